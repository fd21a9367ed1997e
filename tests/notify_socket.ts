/**
 * A datagram socket as a service manager has it, which neither runtime has: by libc.
 *
 * @module
 */

import { arch } from "../ffi/abi/arch.ts";
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM } from "../ffi/abi/socket.ts";
import { pollfd, POLLIN } from "../ffi/abi/poll.ts";
import { systemError } from "../ffi/errno.ts";
import { openLibc } from "../ffi/libc.ts";
import type { Libc } from "../ffi/port.ts";
import { decodeText, encodeText } from "../ffi/text.ts";

/** `<sys/syscall.h>` */
const SYS_bind = arch === "arm64" ? 200 : 49;

/** A socket that is closed at the end of the block. */
export class NotifySocket implements Disposable {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #request = new Uint8Array(new ArrayBuffer(pollfd.size));

  private constructor(libc: Libc, fd: number) {
    this.#libc = libc;
    this.#fd = fd;
    const request = new DataView(this.#request.buffer);
    request.setInt32(pollfd.fd, fd, true);
    request.setInt16(pollfd.events, POLLIN, true);
  }

  /** A socket at a path, or under an abstract name: `@name`. */
  static async bind(name: string): Promise<NotifySocket> {
    const libc = await openLibc();
    const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const bytes = encodeText(`\x01\0${name.replace(/^@/, "\0")}`);
    const address = new Uint8Array(new ArrayBuffer(bytes.length)); // small ones without are moved by JavaScriptCore
    address.set(bytes);
    if (libc.syscall(SYS_bind, fd, libc.address(address), address.length, 0, 0) < 0) {
      throw systemError(libc, `bind ${name}`, { syscall: "bind" });
    }
    return new NotifySocket(libc, fd);
  }

  /** The messages that have come since it was asked before. */
  receive(): string[] {
    const messages: string[] = [];
    const message = new Uint8Array(new ArrayBuffer(4096));
    while (this.#libc.poll(this.#request, 1, 0) > 0) {
      const length = this.#libc.read(this.#fd, message, message.length);
      messages.push(decodeText(message.subarray(0, length)));
    }
    return messages;
  }

  [Symbol.dispose](): void {
    this.#libc.close(this.#fd);
  }
}

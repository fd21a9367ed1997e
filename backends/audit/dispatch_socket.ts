/**
 * The unix socket of auditd's plugin `af_unix`: what the dispatcher sends.
 *
 * @module
 */

import { EAGAIN, EINTR } from "../../ffi/abi/errno.ts";
import {
  AF_UNIX,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  sockaddr_un,
} from "../../ffi/abi/socket.ts";
import { systemError } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/port.ts";
import type { Reactor } from "../../ffi/reactor.ts";
import { encodeText } from "../../ffi/text.ts";

/** How much is read at once, in bytes. */
const CHUNK = 64 * 1024;

/** A connection to the socket. */
export class DispatchSocket {
  readonly #libc: Libc;
  readonly #reactor: Reactor;
  readonly #path: string;
  #fd: number;
  #wake: (() => void) | undefined;

  /** Connects. Throws `SystemError`; `RangeError` for a path that no socket can have. */
  constructor(libc: Libc, reactor: Reactor, path: string) {
    this.#libc = libc;
    this.#reactor = reactor;
    this.#path = path;
    const bytes = encodeText(path);
    const room = sockaddr_un.size - sockaddr_un.sun_path - 1;
    if (bytes.length > room) {
      throw new RangeError(`Cannot audit from socket ${path}: longer than ${room} bytes`);
    }
    const address = new Uint8Array(new ArrayBuffer(sockaddr_un.size));
    new DataView(address.buffer).setUint16(sockaddr_un.sun_family, AF_UNIX, true);
    address.set(bytes, sockaddr_un.sun_path);
    this.#fd = libc.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (this.#fd < 0) throw systemError(libc, `audit from ${path}`, { syscall: "socket", path });
    if (libc.connect(this.#fd, address, address.length) < 0) {
      const error = systemError(libc, `audit from ${path}`, { syscall: "connect", path });
      libc.close(this.#fd);
      throw error;
    }
    try {
      reactor.add(this.#fd, () => this.#wake?.());
    } catch (error) {
      libc.close(this.#fd);
      throw error;
    }
  }

  /** What is sent, until the other side ends or this one is closed; each chunk is valid until the next is asked for. */
  async *chunks(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const buffer = new Uint8Array(CHUNK);
    while (this.#fd >= 0) {
      const count = this.#libc.read(this.#fd, buffer, buffer.length);
      if (count > 0) {
        yield buffer.subarray(0, count);
        continue;
      }
      if (count === 0) return;
      const errno = this.#libc.errno();
      if (errno === EINTR) continue;
      if (errno !== EAGAIN) {
        throw systemError(this.#libc, `audit from ${this.#path}`, {
          syscall: "read",
          path: this.#path,
          errno,
        });
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#reactor.arm(this.#fd);
      });
    }
  }

  /** Ends it. */
  close(): void {
    if (this.#fd < 0) return;
    this.#reactor.remove(this.#fd);
    this.#libc.close(this.#fd);
    this.#fd = -1;
    this.#wake?.();
  }
}

/**
 * A notification pipe: opens, filters, watches, reads.
 *
 * @module
 */

import { EOPNOTSUPP, EPERM } from "../../ffi/abi/errno.ts";
import { KEYCTL_WATCH_KEY } from "../../ffi/abi/keyctl.ts";
import { O_CLOEXEC, O_NONBLOCK } from "../../ffi/abi/open.ts";
import { SYS_ioctl, SYS_pipe2 } from "../../ffi/abi/syscall.ts";
import {
  IOC_WATCH_QUEUE_SET_FILTER,
  IOC_WATCH_QUEUE_SET_SIZE,
  O_NOTIFICATION_PIPE,
} from "../../ffi/abi/watch_queue.ts";
import { UnsupportedError } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/port.ts";
import { readQueue } from "../../ffi/queue.ts";
import { decodeNotes, type KeyNote } from "./decode.ts";
import { hasNotifications, keyctl } from "./keyctl.ts";
import { keyError, NEEDED } from "./refusal.ts";

/** What fits into a read: more than any pipe holds, for a note has at most 127 bytes. */
const READ_SIZE = 64 * 1024;

/**
 * How many notes are asked for, the most that the kernel gives first (6.18). A user with many pipes gets fewer
 * (`fs.pipe-user-pages-soft`).
 */
const SIZES = [512, 256, 128, 64, 32];

/** An open notification pipe. Both ends stay open: without a writer `read` would tell the end, not that nothing is queued. */
export class NotificationPipe {
  /** The end that is read. */
  readonly fd: number;
  /** How many notes it holds. */
  readonly size: number;
  /** Bytes read so far. */
  bytesRead = 0;
  readonly #libc: Libc;
  readonly #writer: number;
  readonly #buffer = new Uint8Array(READ_SIZE);

  /** Throws `UnsupportedError` where the kernel has none, or does not tell of keys by it. */
  constructor(libc: Libc) {
    this.#libc = libc;
    const fds = new Int32Array(new ArrayBuffer(8));
    const flags = O_NOTIFICATION_PIPE | O_CLOEXEC | O_NONBLOCK;
    if (libc.syscall(SYS_pipe2, libc.address(fds), flags, 0, 0, 0) < 0) {
      throw keyError(libc, "watch keys", { syscall: "pipe2", errno: libc.errno() });
    }
    [this.fd, this.#writer] = [fds[0]!, fds[1]!];
    try {
      const tells = hasNotifications(libc);
      if (tells === undefined) {
        throw keyError(libc, "watch keys", { syscall: "keyctl", errno: libc.errno() });
      }
      if (!tells) {
        const message = "Cannot watch keys: the kernel is built without CONFIG_KEY_NOTIFICATIONS";
        throw new UnsupportedError(message, { hint: NEEDED, syscall: "keyctl", errno: EOPNOTSUPP });
      }
      this.size = this.#resize();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #resize(): number {
    for (const size of SIZES) {
      if (this.#control(IOC_WATCH_QUEUE_SET_SIZE, size)) return size;
      if (this.#libc.errno() !== EPERM) break;
    }
    throw keyError(this.#libc, "watch keys", {
      syscall: "ioctl",
      errno: this.#libc.errno(),
      hint: "this user has too many pipes; raise it: sysctl fs.pipe-user-pages-soft",
    });
  }

  #control(request: number, argument: number | bigint): boolean {
    return this.#libc.syscall(SYS_ioctl, this.fd, request, argument, 0, 0) === 0;
  }

  /** Sets what `encodeFilter` gives. Throws `SystemError`. */
  filter(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#control(IOC_WATCH_QUEUE_SET_FILTER, this.#libc.address(bytes))) return;
    throw keyError(this.#libc, "filter keys", { syscall: "ioctl", errno: this.#libc.errno() });
  }

  /**
   * Watches a key under a tag of 0 to 255; 0, or the errno: EBUSY where this pipe watches it already. Waits while the key
   * is under construction.
   */
  watch(key: number, tag: number): number {
    const failed = keyctl(this.#libc, KEYCTL_WATCH_KEY, key, this.fd, tag) < 0;
    return failed ? this.#libc.errno() : 0;
  }

  /** Ends that; the kernel tells of it as of a key that is destroyed. A key that is gone is what was asked for. */
  unwatch(key: number): void {
    keyctl(this.#libc, KEYCTL_WATCH_KEY, key, this.fd, -1);
  }

  /** What is queued; empty where nothing is. */
  read(): KeyNote[] {
    const length = readQueue(this.#libc, this.fd, this.#buffer, "keys");
    this.bytesRead += length;
    return decodeNotes(this.#buffer, length);
  }

  /** Closes both ends; the kernel drops every watch. */
  close(): void {
    this.#libc.close(this.fd);
    this.#libc.close(this.#writer);
  }
}

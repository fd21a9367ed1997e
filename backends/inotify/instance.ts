/**
 * An inotify instance: opens, watches, reads. One serves the whole process, for `max_user_instances` is 128 a user.
 *
 * @module
 */

import { EINVAL, EMFILE, ENOSPC } from "../../ffi/abi/errno.ts";
import { IN_CLOEXEC, IN_NONBLOCK } from "../../ffi/abi/inotify.ts";
import { systemError } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/port.ts";
import { readQueue } from "../../ffi/queue.ts";
import { limitError } from "../limits.ts";
import { decodeInotify, type InotifyRecord } from "./decode.ts";

/** Bytes a `read`: 8,192 events without a name, at least 960 with the longest. */
const READ_SIZE = 256 * 1024;

/** An open inotify file descriptor. */
export class InotifyInstance {
  readonly fd: number;
  /** Bytes read so far. */
  bytesRead = 0;
  readonly #libc: Libc;
  readonly #buffer = new Uint8Array(READ_SIZE);

  /** `inotify_init1(IN_CLOEXEC | IN_NONBLOCK)`. Throws `WatchLimitError` where the user has no instance left. */
  constructor(libc: Libc) {
    this.#libc = libc;
    this.fd = libc.inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (this.fd >= 0) return;
    const error = systemError(libc, "open inotify", { syscall: "inotify_init1" });
    throw error.errno === EMFILE ? limitError(libc, "inotify/max_user_instances", error) : error;
  }

  /** `inotify_add_watch`: the watch descriptor. Throws `SystemError`, `WatchLimitError` for ENOSPC. */
  add(path: Uint8Array<ArrayBuffer>, shown: string, mask: number): number {
    const wd = this.#libc.inotify_add_watch(this.fd, path, mask);
    if (wd >= 0) return wd;
    const error = systemError(this.#libc, `watch ${shown}`, {
      syscall: "inotify_add_watch",
      path: shown,
    });
    throw error.errno === ENOSPC
      ? limitError(this.#libc, "inotify/max_user_watches", error)
      : error;
  }

  /** `inotify_rm_watch`. A watch that the kernel has already dropped (EINVAL) is what was asked for. */
  remove(wd: number): void {
    if (this.#libc.inotify_rm_watch(this.fd, wd) < 0 && this.#libc.errno() !== EINVAL) {
      throw systemError(this.#libc, `remove watch ${wd}`, { syscall: "inotify_rm_watch" });
    }
  }

  /** What is queued, at most one buffer; empty when there is nothing. */
  read(): InotifyRecord[] {
    const length = readQueue(this.#libc, this.fd, this.#buffer, "inotify");
    this.bytesRead += length;
    return decodeInotify(this.#buffer, length);
  }

  /** Closes the file descriptor; the kernel drops every watch. */
  close(): void {
    this.#libc.close(this.fd);
  }
}

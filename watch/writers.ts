/**
 * Whether somebody has a file open for writing.
 *
 * @module
 */

import {
  FAN_CLASS_NOTIF,
  FAN_CLOEXEC,
  FAN_MARK_ADD,
  FAN_MARK_DONT_FOLLOW,
  FAN_MARK_IGNORED_MASK,
  FAN_MARK_REMOVE,
  FAN_MODIFY,
  FAN_NONBLOCK,
  FAN_REPORT_FID,
} from "../ffi/abi/fanotify.ts";
import { ENOENT } from "../ffi/abi/errno.ts";
import { AT_FDCWD, O_CLOEXEC, O_RDONLY } from "../ffi/abi/open.ts";
import type { Libc } from "../ffi/port.ts";
import { cString } from "../ffi/text.ts";

/** A group without privileges has to report handles (Linux 5.13); one with them need not, and reaches every filesystem. */
const FLAGS = [0, FAN_REPORT_FID].map((flag) =>
  FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | flag
);

const MASK = BigInt(FAN_MODIFY);

/** What no event is asked of, by the legacy flag, which all kernels have. */
const IGNORED = FAN_MARK_IGNORED_MASK | FAN_MARK_DONT_FOLLOW;

/** The group of the process, opened when it is first asked, and how many may ask; -1 where the kernel gives none. */
const shared: { group: number | undefined; users: number } = { group: undefined, users: 0 };

/**
 * Asks the kernel. It has no call for that, but of a file that is open for writing it takes no ignore mark that the next
 * modification would remove anyway: it says that it did, and has none (`fanotify_add_inode_mark` in
 * fs/notify/fanotify/fanotify_user.c, since 2.6.37). So a mark is added, and whether it can be removed is the answer. The
 * file is not opened, and nobody is told of an event. 3 to 5 µs.
 */
export class Writers {
  readonly #libc: Libc;
  #isClosed = false;

  constructor(libc: Libc) {
    this.#libc = libc;
    shared.users++;
  }

  /**
   * Whether the file is open for writing, or mapped so; undefined where the kernel does not say: without fanotify, on
   * filesystems that it refuses, for a file that we may not read, for one that is not there.
   */
  isWritten(path: string | Uint8Array): boolean | undefined {
    if (this.#isClosed) return undefined;
    const libc = this.#libc;
    const group = shared.group ??= this.#open();
    if (group < 0) return undefined;
    const bytes = cString(path);
    if (libc.fanotify_mark(group, FAN_MARK_ADD | IGNORED, MASK, AT_FDCWD, bytes) < 0) {
      return undefined;
    }
    if (libc.fanotify_mark(group, FAN_MARK_REMOVE | IGNORED, MASK, AT_FDCWD, bytes) === 0) {
      return false;
    }
    // No mark: or the name went to another file, or away, in between. That is told by events of its own.
    return libc.errno() === ENOENT ? true : undefined;
  }

  #open(): number {
    for (const flags of FLAGS) {
      const fd = this.#libc.fanotify_init(flags, O_RDONLY | O_CLOEXEC);
      if (fd >= 0) return fd;
    }
    return -1;
  }

  /** Closes the group with the last one who may ask. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (--shared.users > 0) return;
    if (shared.group !== undefined && shared.group >= 0) this.#libc.close(shared.group);
    shared.group = undefined;
  }
}

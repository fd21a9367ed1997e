/**
 * An fanotify group: opens, marks, reads.
 *
 * @module
 */

import { EINVAL, EMFILE, ENODEV, ENOSPC, EOPNOTSUPP, EPERM, EXDEV } from "../../ffi/abi/errno.ts";
import {
  FAN_CLASS_NOTIF,
  FAN_CLOEXEC,
  FAN_MARK_ADD,
  FAN_MARK_FILESYSTEM,
  FAN_MARK_INODE,
  FAN_MARK_MOUNT,
  FAN_MARK_REMOVE,
  FAN_NONBLOCK,
  FAN_REPORT_DFID_NAME_TARGET,
  FAN_REPORT_FD_ERROR,
  FAN_REPORT_PIDFD,
  FAN_UNLIMITED_MARKS,
  FAN_UNLIMITED_QUEUE,
} from "../../ffi/abi/fanotify.ts";
import { AT_FDCWD, O_CLOEXEC, O_RDONLY } from "../../ffi/abi/open.ts";
import { CapabilityError, detailsOf, systemError, UnsupportedError } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/port.ts";
import { readQueue } from "../../ffi/queue.ts";
import { limitError } from "../limits.ts";
import { FanotifyBatch } from "./decode.ts";

/** What a mark is put on. */
export type MarkTarget = "inode" | "mount" | "filesystem";

/** Its flag of fanotify_mark(2). */
export const MARK_TARGETS: Readonly<Record<MarkTarget, number>> = {
  inode: FAN_MARK_INODE,
  mount: FAN_MARK_MOUNT,
  filesystem: FAN_MARK_FILESYSTEM,
};

/** What a group should be able to do, where the kernel and the privileges allow. */
export interface GroupWish {
  /** Report who did it, race-free. */
  readonly pidfd: boolean;
  /** Queue without a bound. */
  readonly unlimited: boolean;
  /** Report an open file with each event in place of handles and names: works on every filesystem, but tells accesses only. */
  readonly descriptors?: boolean;
}

/** Bytes a `read`: about 650 events. Half and twice as much were slower (measured from 32 KiB to 1 MiB). */
const READ_SIZE = 64 * 1024;

/**
 * With pidfds each event of a read opens a file descriptor, so a read takes some 160 events at most; closed before the
 * next read, they stay far below the usual RLIMIT_NOFILE of 1,024.
 */
const PIDFD_READ_SIZE = 16 * 1024;

/** Likewise with descriptors, of which an event of 32 bytes has two. */
const DESCRIPTOR_READ_SIZE = 4 * 1024;

const BASE = FAN_CLOEXEC | FAN_NONBLOCK | FAN_CLASS_NOTIF;

/** The sets of init flags to try, from the most to the least that serves the wish. */
function ladder({ pidfd, unlimited, descriptors = false }: GroupWish): number[] {
  const base = descriptors ? BASE : BASE | FAN_REPORT_DFID_NAME_TARGET; // Linux 5.17
  const marks = FAN_UNLIMITED_MARKS; // CAP_SYS_ADMIN
  const queue = unlimited ? FAN_UNLIMITED_QUEUE : 0; // CAP_SYS_ADMIN
  const who = pidfd ? FAN_REPORT_PIDFD : 0; // Linux 5.15, CAP_SYS_ADMIN
  const why = pidfd || descriptors ? FAN_REPORT_FD_ERROR : 0; // Linux 6.13, CAP_SYS_ADMIN
  return [
    base | marks | queue | who | why,
    base | marks | queue | who,
    base | marks | queue,
    base,
  ].filter((flags, i, all) => all.indexOf(flags) === i);
}

/** An open fanotify group: with handles of directory and target, and the name (Linux 5.17), or with open files. */
export class FanotifyGroup {
  readonly fd: number;
  /** The init flags that the kernel granted. */
  readonly flags: number;
  /** Bytes read so far. */
  bytesRead = 0;
  readonly #libc: Libc;
  #spare: Uint8Array<ArrayBuffer> | undefined;

  /**
   * `fanotify_init`. Throws `WatchLimitError` where the user has no group left, `UnsupportedError` below Linux 5.17
   * (5.10.220, 5.15.154) or without CONFIG_FANOTIFY.
   */
  constructor(libc: Libc, wish: GroupWish) {
    this.#libc = libc;
    let fd = -1;
    let granted = 0;
    for (const flags of ladder(wish)) {
      fd = libc.fanotify_init(flags, O_RDONLY | O_CLOEXEC);
      granted = flags;
      if (fd >= 0 || (libc.errno() !== EPERM && libc.errno() !== EINVAL)) break;
    }
    if (fd < 0) {
      const error = systemError(libc, "open fanotify", { syscall: "fanotify_init" });
      if (error.errno === EPERM) {
        throw new CapabilityError(error.message, {
          ...detailsOf(error),
          hint: "without file handles fanotify needs CAP_SYS_ADMIN; run as root, or use inotify",
        });
      }
      throw error.errno === EMFILE
        ? limitError(libc, "fanotify/max_user_groups", error)
        : new UnsupportedError(error.message, {
          ...detailsOf(error),
          hint:
            "fanotify with file names and targets needs Linux 5.17 (or 5.15.154, 5.10.220); use inotify",
        });
    }
    this.fd = fd;
    this.flags = granted;
  }

  /** Whether the kernel granted the privileged flags, and so tells who did what. */
  get isPrivileged(): boolean {
    return (this.flags & FAN_UNLIMITED_MARKS) !== 0;
  }

  /** Whether records carry an open file. */
  get hasDescriptors(): boolean {
    return (this.flags & FAN_REPORT_DFID_NAME_TARGET) === 0;
  }

  /** Whether records carry a pidfd. */
  get hasPidfd(): boolean {
    return (this.flags & FAN_REPORT_PIDFD) !== 0;
  }

  get #readSize(): number {
    if (this.hasDescriptors) return DESCRIPTOR_READ_SIZE;
    return this.hasPidfd ? PIDFD_READ_SIZE : READ_SIZE;
  }

  /**
   * `fanotify_mark(FAN_MARK_ADD)`. Throws `CapabilityError` for EPERM, `WatchLimitError` for ENOSPC,
   * `UnsupportedError` where this filesystem has no such marks, `SystemError` otherwise.
   */
  mark(
    target: MarkTarget,
    mask: number,
    path: Uint8Array<ArrayBuffer>,
    shown: string,
    flags = 0,
  ): void {
    const libc = this.#libc;
    const all = FAN_MARK_ADD | MARK_TARGETS[target] | flags;
    if (libc.fanotify_mark(this.fd, all, BigInt(mask >>> 0), AT_FDCWD, path) === 0) return;
    const errno = libc.errno();
    const error = systemError(libc, `mark the ${target} of ${shown}`, {
      syscall: "fanotify_mark",
      path: shown,
      errno,
    });
    switch (errno) {
      case ENOSPC:
        throw limitError(libc, "fanotify/max_user_marks", error);
      case EPERM:
        throw new CapabilityError(error.message, {
          ...detailsOf(error),
          hint: `a mark on a ${target} needs CAP_SYS_ADMIN; run as root, or use inotify`,
        });
      case ENODEV:
      case EOPNOTSUPP:
      case EXDEV:
        throw new UnsupportedError(error.message, {
          ...detailsOf(error),
          hint: "this filesystem cannot be watched as a whole by fanotify; use inotify",
        });
    }
    throw error;
  }

  /** `fanotify_mark(FAN_MARK_REMOVE)`. A mark that is not there any more is what was asked for. */
  unmark(target: MarkTarget, mask: number, path: Uint8Array<ArrayBuffer>): void {
    const flags = FAN_MARK_REMOVE | MARK_TARGETS[target];
    this.#libc.fanotify_mark(this.fd, flags, BigInt(mask >>> 0), AT_FDCWD, path);
  }

  /** What is queued, at most one buffer; undefined when there is nothing. */
  read(): FanotifyBatch | undefined {
    const buffer = this.#spare ?? new Uint8Array(this.#readSize);
    const length = readQueue(this.#libc, this.fd, buffer, "fanotify");
    this.#spare = length === 0 ? buffer : undefined;
    if (length === 0) return undefined;
    this.bytesRead += length;
    return new FanotifyBatch(buffer, length);
  }

  /** Takes the buffer of a batch that was processed for the next read: new memory costs more than what is read into it. */
  recycle(batch: FanotifyBatch): void {
    this.#spare = batch.bytes;
  }

  /** Closes the file descriptor; the kernel drops every mark. */
  close(): void {
    this.#libc.close(this.fd);
  }
}

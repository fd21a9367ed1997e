/**
 * An fanotify group that tells the errors of one filesystem.
 *
 * One group a filesystem: a record names it by its fsid alone, which copies of an image share, and a group takes no marks
 * on subvolumes of btrfs beside others. The mark does not keep the filesystem from being unmounted, and goes with it.
 *
 * @module
 */

import { EINVAL, EMFILE, ENODEV, ENOSPC, EOPNOTSUPP, EPERM, EXDEV } from "../../ffi/abi/errno.ts";
import {
  FAN_CLASS_NOTIF,
  FAN_CLOEXEC,
  FAN_FS_ERROR,
  FAN_MARK_ADD,
  FAN_MARK_FILESYSTEM,
  FAN_NONBLOCK,
  FAN_Q_OVERFLOW,
  FAN_REPORT_FID,
} from "../../ffi/abi/fanotify.ts";
import { AT_FDCWD, O_CLOEXEC, O_RDONLY } from "../../ffi/abi/open.ts";
import {
  CapabilityError,
  detailsOf,
  type SystemError,
  systemError,
  UnsupportedError,
} from "../../ffi/errno.ts";
import { readText } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { readQueue } from "../../ffi/queue.ts";
import { cString } from "../../ffi/text.ts";
import { limitError } from "../limits.ts";
import { decodeFanotify, errorOf, FanotifyBatch, type FanotifyRecord } from "./decode.ts";
import { copyKey, type HandleKey, isKey } from "./handle.ts";

/** Errors of a filesystem that are alike. */
export interface ErrorRecord {
  readonly errno: number;
  /** How many the kernel counted; only the first of them is known. */
  readonly count: number;
  /** The file that it was found at; undefined where it is the filesystem's as a whole. */
  readonly key: HandleKey | undefined;
  /** The process that met it. */
  readonly pid: number;
  readonly raw: readonly FanotifyRecord[];
}

/** What a read gave. */
export interface ErrorRead {
  readonly errors: readonly ErrorRecord[];
  /** How often the kernel says that its queue was full. */
  readonly overflows: number;
}

/** The errors in a batch: those of one process with one errno at one file are one, with the sum of their counts. Pure. */
export function errorsIn(batch: FanotifyBatch): ErrorRead {
  const errors: ErrorRecord[] = [];
  let overflows = 0;
  for (const record of decodeFanotify(batch)) {
    if ((record.bits & FAN_Q_OVERFLOW) !== 0) overflows++;
    const error = errorOf(record);
    if (error === undefined) continue;
    const { pid, object } = record;
    const key = object < 0 ? undefined : copyKey(batch.words, object);
    const at = errors.findIndex((one) =>
      one.errno === error.errno && one.pid === pid && isSameFile(one.key, key)
    );
    const alike = errors[at];
    if (alike === undefined) errors.push({ ...error, key, pid, raw: [record] });
    else {
      const count = alike.count + error.count;
      errors[at] = { ...alike, count, raw: [...alike.raw, record] };
    }
  }
  return { errors, overflows };
}

/** Whether both are the same file, or none. */
export function isSameFile(one: HandleKey | undefined, other: HandleKey | undefined): boolean {
  return one === undefined || other === undefined ? one === other : isKey(one, 0, other);
}

const FLAGS = FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_FID;

/** The kernel keeps one record for each filesystem and process, so a read takes few. */
const READ_SIZE = 4096;

const NO_ROOT = "errors of filesystems need CAP_SYS_ADMIN: run as root";
const OLD_KERNEL = "errors of filesystems need Linux 5.16";
const NO_IDENTITY = "this filesystem has no identity that fanotify could report";

/** The group. */
export class ErrorGroup {
  readonly fd: number;
  readonly #libc: Libc;

  /** `fanotify_init`. Throws `WatchLimitError`, or `CapabilityError` or `UnsupportedError` that say what is missing. */
  constructor(libc: Libc) {
    this.#libc = libc;
    this.fd = libc.fanotify_init(FLAGS, O_RDONLY | O_CLOEXEC);
    if (this.fd >= 0) return;
    const error = systemError(libc, "open fanotify", { syscall: "fanotify_init" });
    throw error.errno === EMFILE
      ? limitError(libc, "fanotify/max_user_groups", error)
      : explained(error);
  }

  /** Marks the filesystem that is mounted at `point`; again for one that is marked already changes nothing. */
  mark(point: string): void {
    const libc = this.#libc;
    const flags = FAN_MARK_ADD | FAN_MARK_FILESYSTEM;
    if (libc.fanotify_mark(this.fd, flags, BigInt(FAN_FS_ERROR), AT_FDCWD, cString(point)) === 0) {
      return;
    }
    const init = { syscall: "fanotify_mark", path: point };
    const error = systemError(libc, `mark the filesystem of ${point}`, init);
    throw error.errno === ENOSPC
      ? limitError(libc, "fanotify/max_user_marks", error)
      : explained(error);
  }

  /** Whether the mark is still there: it goes with its filesystem (proc_pid_fdinfo(5)). */
  get isMarked(): boolean {
    const marks = readText(this.#libc, `/proc/self/fdinfo/${this.fd}`);
    return marks === undefined || /^fanotify sdev:/m.test(marks);
  }

  /** What is queued, at most one buffer. */
  read(): ErrorRead {
    const buffer = new Uint8Array(READ_SIZE); // records keep it
    const length = readQueue(this.#libc, this.fd, buffer, "fanotify");
    return errorsIn(new FanotifyBatch(buffer, length));
  }

  /** Closes the file descriptor; the kernel drops the mark. */
  close(): void {
    this.#libc.close(this.fd);
  }
}

/** The error as one that says what is missing. */
function explained(error: SystemError): SystemError {
  switch (error.errno) {
    case EPERM:
      return new CapabilityError(error.message, { ...detailsOf(error), hint: NO_ROOT });
    case EINVAL:
      return new UnsupportedError(error.message, { ...detailsOf(error), hint: OLD_KERNEL });
    case ENODEV:
    case EOPNOTSUPP:
    case EXDEV:
      return new UnsupportedError(error.message, { ...detailsOf(error), hint: NO_IDENTITY });
  }
  return error;
}

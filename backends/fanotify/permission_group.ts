/**
 * An fanotify group that is asked before something happens: opens, marks, reads, answers.
 *
 * @module
 */

import { EINTR, EINVAL, EMFILE, EPERM } from "../../ffi/abi/errno.ts";
import {
  FAN_ACCESS_PERM,
  FAN_ALLOW,
  FAN_AUDIT,
  FAN_CLASS_CONTENT,
  FAN_CLASS_PRE_CONTENT,
  FAN_CLOEXEC,
  FAN_DENY,
  FAN_ENABLE_AUDIT,
  FAN_ERRNO_MASK,
  FAN_ERRNO_SHIFT,
  FAN_INFO,
  FAN_MARK_ADD,
  FAN_MARK_EVICTABLE,
  FAN_MARK_IGNORE,
  FAN_MARK_IGNORED_MASK,
  FAN_MARK_IGNORED_SURV_MODIFY,
  FAN_MARK_REMOVE,
  FAN_NONBLOCK,
  FAN_ONDIR,
  FAN_OPEN_EXEC_PERM,
  FAN_OPEN_PERM,
  FAN_PRE_ACCESS,
  FAN_REPORT_FD_ERROR,
  FAN_RESPONSE_INFO_AUDIT_RULE,
  FAN_UNLIMITED_MARKS,
  FAN_UNLIMITED_QUEUE,
  fanotify_event_metadata,
  fanotify_response,
  fanotify_response_info_audit_rule,
  fanotify_response_info_header,
} from "../../ffi/abi/fanotify.ts";
import { FIONREAD } from "../../ffi/abi/ioctl.ts";
import { AT_FDCWD, O_CLOEXEC, O_NONBLOCK, O_RDONLY } from "../../ffi/abi/open.ts";
import { SYS_ioctl } from "../../ffi/abi/syscall.ts";
import { CapabilityError, detailsOf, systemError, UnsupportedError } from "../../ffi/errno.ts";
import { readText } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { readQueue } from "../../ffi/queue.ts";
import { limitError } from "../limits.ts";
import type { FanotifyBatch } from "./decode.ts";
import { MARK_TARGETS, type MarkTarget } from "./group.ts";
import { isWritten, openWriteProbe } from "./write_probe.ts";

/** What can be asked about. */
export type Operation = "open" | "exec" | "read" | "access";

/** The event bit of each operation. */
export const OPERATION_BITS: Readonly<Record<Operation, number>> = {
  open: FAN_OPEN_PERM,
  exec: FAN_OPEN_EXEC_PERM, // Linux 5.0
  read: FAN_ACCESS_PERM,
  access: FAN_PRE_ACCESS, // Linux 6.14
};

/** The operation that a record asks about; undefined for a record that asks nothing. */
export function operationOf(bits: number): Operation | undefined {
  return OPERATIONS_BY_BIT.get(bits & EVERY_OPERATION);
}

const OPERATIONS_BY_BIT: ReadonlyMap<number, Operation> = new Map(
  (Object.entries(OPERATION_BITS) as [Operation, number][]).map(([name, bit]) => [bit, name]),
);

const EVERY_OPERATION = Object.values(OPERATION_BITS).reduce((all, bit) => all | bit);

/** Which groups are asked first: those that may change the content before it is read. */
export type Priority = "content" | "pre-content";

const CLASSES: Readonly<Record<Priority, number>> = {
  content: FAN_CLASS_CONTENT,
  "pre-content": FAN_CLASS_PRE_CONTENT,
};

/**
 * A queue with a bound would let pass unasked what does not fit (`fanotify_handle_event` in
 * fs/notify/fanotify/fanotify.c), so it has none.
 */
const BASE = FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS;

/** Not to wait for the other end of a FIFO that somebody opens, as every open does without O_NONBLOCK. */
const FILE_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK;

/** What the audit log is told of a decision (Linux 6.3). */
export interface AuditRule {
  readonly rule: number;
  /** 0 no, 1 yes, 2 unknown. */
  readonly subjectTrust: number;
  readonly objectTrust: number;
}

/** An answer as the kernel takes it. */
export interface Answer {
  readonly isAllowed: boolean;
  /** With which errno it is denied; EPERM where there is none. Groups of the class `"pre-content"` only, Linux 6.14. */
  readonly errno?: number | undefined;
  readonly audit?: AuditRule | true | undefined;
}

/** A file: its descriptor, or its path. */
type OpenOrNamed = number | Uint8Array<ArrayBuffer>;

/** An open group of permission events. */
export class PermissionGroup {
  readonly fd: number;
  /** What is asked whether a file is open for writing. */
  readonly probe: number;
  /** The init flags that the kernel granted. */
  readonly flags: number;
  readonly #libc: Libc;
  readonly #response = new Uint8Array(
    fanotify_response.size + fanotify_response_info_audit_rule.size,
  );
  readonly #view: DataView = new DataView(this.#response.buffer);
  readonly #bytes = new Uint8Array(4);

  /** The group of file descriptors that {@linkcode PermissionGroup.open} gave. */
  constructor(libc: Libc, fd: number, probe: number, flags: number) {
    this.#libc = libc;
    this.fd = fd;
    this.probe = probe;
    this.flags = flags;
  }

  /**
   * `fanotify_init`. Throws `CapabilityError` without CAP_SYS_ADMIN, `WatchLimitError` where the user has no group left,
   * `UnsupportedError` without CONFIG_FANOTIFY_ACCESS_PERMISSIONS, or CONFIG_AUDITSYSCALL where `audit` is asked for.
   */
  static open(libc: Libc, priority: Priority, audit: boolean): PermissionGroup {
    const base = BASE | CLASSES[priority] | (audit ? FAN_ENABLE_AUDIT : 0);
    for (const flags of [base | FAN_REPORT_FD_ERROR, base]) { // Linux 6.13
      const fd = libc.fanotify_init(flags, FILE_FLAGS);
      if (fd >= 0) return PermissionGroup.#withProbe(libc, fd, flags);
      if (libc.errno() !== EINVAL) break;
    }
    const error = systemError(libc, "guard", { syscall: "fanotify_init" });
    if (error.errno === EPERM) {
      throw new CapabilityError(error.message, {
        ...detailsOf(error),
        hint: `to be asked needs CAP_SYS_ADMIN${
          audit ? ", and CAP_AUDIT_WRITE for the audit log" : ""
        }; run as root`,
      });
    }
    if (error.errno === EMFILE) throw limitError(libc, "fanotify/max_user_groups", error);
    throw new UnsupportedError(error.message, {
      ...detailsOf(error),
      hint: audit
        ? "the audit log needs a kernel with CONFIG_AUDITSYSCALL; leave audit out"
        : "the kernel needs CONFIG_FANOTIFY_ACCESS_PERMISSIONS",
    });
  }

  static #withProbe(libc: Libc, fd: number, flags: number): PermissionGroup {
    try {
      return new PermissionGroup(libc, fd, openWriteProbe(libc), flags);
    } catch (error) {
      libc.close(fd);
      throw error;
    }
  }

  /**
   * `fanotify_mark(FAN_MARK_ADD)`. Throws `CapabilityError`, `WatchLimitError`, or `UnsupportedError` where the filesystem
   * does not ask for that: /proc for nothing, all but ext4, xfs and btrfs not for `"access"`.
   */
  mark(target: MarkTarget, mask: number, path: Uint8Array<ArrayBuffer>, shown: string): void {
    if (this.#mark(FAN_MARK_ADD | MARK_TARGETS[target], mask, AT_FDCWD, path)) return;
    const error = systemError(this.#libc, `guard the ${target} of ${shown}`, {
      syscall: "fanotify_mark",
      path: shown,
    });
    if (error.code === "ENOSPC") throw limitError(this.#libc, "fanotify/max_user_marks", error);
    if (error.code === "EPERM") {
      throw new CapabilityError(error.message, {
        ...detailsOf(error),
        hint: `a mark on a ${target} needs CAP_SYS_ADMIN; run as root`,
      });
    }
    if (["EINVAL", "EOPNOTSUPP", "ENODEV", "EXDEV"].includes(error.code)) {
      throw new UnsupportedError(error.message, {
        ...detailsOf(error),
        hint: (mask & FAN_PRE_ACCESS) !== 0
          ? 'on "access" needs Linux 6.14, and ext4, xfs or btrfs'
          : "this filesystem asks nobody for permission",
      });
    }
    throw error;
  }

  /** `fanotify_mark(FAN_MARK_REMOVE)`. A mark that is not there any more is what was asked for. */
  unmark(target: MarkTarget, mask: number, path: Uint8Array<ArrayBuffer>): void {
    this.#mark(FAN_MARK_REMOVE | MARK_TARGETS[target], mask, AT_FDCWD, path);
  }

  /**
   * Has the kernel allow `mask` of a file without asking, until it is modified, or for good where `survives`; the kernel
   * may forget it when memory is short. Until it is modified Linux 6.0 (5.15.154, 5.10.220) can, but not of a file that
   * {@linkcode isWritten}, which it does not say, nor of one of which something was ever ignored for good. Whether the
   * kernel had no other objection.
   */
  ignore(file: OpenOrNamed, mask: number, survives: boolean): boolean {
    if (!this.#keep(file)) return false;
    // Refused where something is ignored for good already: a mark has one flag for all that it ignores.
    const isFirst = this.#markLightly(FAN_MARK_ADD | FAN_MARK_IGNORE, mask, file);
    if (!survives) return isFirst;
    const flags = FAN_MARK_ADD | FAN_MARK_IGNORED_SURV_MODIFY;
    const isIgnored = this.#markLightly(flags | FAN_MARK_IGNORE, mask, file) ||
      this.#markLightly(flags | FAN_MARK_IGNORED_MASK, mask, file);
    // What was to be ignored until it is modified would be for good now.
    if (isIgnored && isFirst) this.unignore(file, EVERY_OPERATION & ~mask);
    return isIgnored;
  }

  /** Takes back what {@linkcode ignore} added. */
  unignore(file: OpenOrNamed, mask: number): void {
    // FAN_PRE_ACCESS is refused where the group, or the kernel, has it not.
    for (const bits of [mask, mask & ~FAN_PRE_ACCESS]) {
      if (this.#markFile(FAN_MARK_REMOVE | FAN_MARK_IGNORE, bits, file)) return;
      if (this.#markFile(FAN_MARK_REMOVE | FAN_MARK_IGNORED_MASK, bits, file)) return;
    }
  }

  /**
   * Gives the mark of a file a bit that asks about nothing, so that it stays when nothing is ignored any more: while a mark
   * of a group goes, what the group is asked about just then is allowed (`fsnotify_prepare_user_wait` in
   * fs/notify/mark.c; measured on 6.18: most reads of a file whose mark came and went).
   */
  #keep(file: OpenOrNamed): boolean {
    return this.#markLightly(FAN_MARK_ADD, FAN_ONDIR, file);
  }

  /** Evictable: Linux 5.19. An inode that has another mark of the group, as a guarded file itself, has a lasting one. */
  #markLightly(flags: number, mask: number, file: OpenOrNamed): boolean {
    return this.#markFile(flags | FAN_MARK_EVICTABLE, mask, file) ||
      this.#markFile(flags, mask, file);
  }

  #markFile(flags: number, mask: number, file: OpenOrNamed): boolean {
    const [dirfd, path] = typeof file === "number" ? [file, null] : [AT_FDCWD, file];
    return this.#mark(flags, mask, dirfd, path);
  }

  /** The inode numbers of the files of which something is ignored, as proc_pid_fdinfo(5) lists them. */
  ignored(): number[] {
    const marks = readText(this.#libc, `/proc/self/fdinfo/${this.fd}`) ?? "";
    return [...marks.matchAll(/^fanotify ino:(\S+).* ignored_mask:(?!0 )/gm)].map(([, ino]) =>
      Number(`0x${ino}`)
    );
  }

  /** Whether somebody has an open file open for writing; undefined where the kernel does not say. */
  isWritten(file: number): boolean | undefined {
    this.#keep(file); // ours comes before the probe's, of which the end did the same until April 2026 (7746e3bd4cc1)
    return isWritten(this.#libc, this.probe, file);
  }

  #mark(flags: number, mask: number, dirfd: number, path: Uint8Array<ArrayBuffer> | null): boolean {
    return this.#libc.fanotify_mark(this.fd, flags, BigInt(mask >>> 0), dirfd, path) === 0;
  }

  /**
   * How large a buffer for {@linkcode read} is that takes no more than `count` requests, each of which opens a file; but
   * two small ones instead of a large one.
   */
  static bufferSize(count: number): number {
    return Math.max(count * fanotify_event_metadata.size, REQUEST_SIZE);
  }

  /** How many requests are queued: fanotify(7) counts each with the size of its metadata. */
  queued(): number {
    const libc = this.#libc;
    libc.syscall(SYS_ioctl, this.fd, FIONREAD, libc.address(this.#bytes), 0, 0);
    return new DataView(this.#bytes.buffer).getInt32(0, true) / fanotify_event_metadata.size;
  }

  /** Reads what is queued into the buffer of a batch, as far as it fits; false when there is nothing. */
  read(batch: FanotifyBatch): boolean {
    return batch.refill(readQueue(this.#libc, this.fd, batch.bytes, "fanotify")) > 0;
  }

  /**
   * Answers a request; the errno with which it is denied, undefined for EPERM. It may not wait any more (ENOENT: somebody
   * else answered, or the one who asked was killed). One write a request: the kernel takes one response of several. What it
   * does not understand (EINVAL) leaves the request pending, so it is answered again without what is optional.
   */
  answer(fd: number, { isAllowed, errno: wanted, audit }: Answer): number | undefined {
    const verdict = isAllowed ? FAN_ALLOW : FAN_DENY;
    const errno = isAllowed ? undefined : wanted;
    const denial = ((errno ?? 0) & FAN_ERRNO_MASK) << FAN_ERRNO_SHIFT;
    if (audit !== undefined) {
      if (typeof audit === "object" && this.#write(fd, verdict | denial | FAN_AUDIT, audit)) {
        return errno;
      }
      if (this.#write(fd, verdict | denial | FAN_AUDIT)) return errno;
    }
    if (denial !== 0 && this.#write(fd, verdict | denial)) return errno;
    this.#write(fd, verdict);
    return undefined;
  }

  #write(fd: number, response: number, audit?: AuditRule): boolean {
    const view = this.#view;
    view.setInt32(fanotify_response.fd, fd, true);
    view.setUint32(
      fanotify_response.response,
      (response | (audit === undefined ? 0 : FAN_INFO)) >>> 0,
      true,
    );
    let size: number = fanotify_response.size;
    if (audit !== undefined) {
      const at = size;
      size += fanotify_response_info_audit_rule.size;
      view.setUint8(at + fanotify_response_info_header.type, FAN_RESPONSE_INFO_AUDIT_RULE);
      view.setUint8(at + fanotify_response_info_header.pad, 0);
      view.setUint16(
        at + fanotify_response_info_header.len,
        fanotify_response_info_audit_rule.size,
        true,
      );
      view.setUint32(at + fanotify_response_info_audit_rule.rule_number, audit.rule, true);
      view.setUint32(at + fanotify_response_info_audit_rule.subj_trust, audit.subjectTrust, true);
      view.setUint32(at + fanotify_response_info_audit_rule.obj_trust, audit.objectTrust, true);
    }
    while (this.#libc.write(this.fd, this.#response, size) < 0) {
      if (this.#libc.errno() !== EINTR) return false;
    }
    return true;
  }

  /** Closes the group: the kernel drops every mark and allows all that waits. */
  close(): void {
    this.#libc.close(this.fd);
    this.#libc.close(this.probe);
  }
}

/** The largest request: `struct fanotify_event_metadata`, and the range record of FAN_PRE_ACCESS. */
export const REQUEST_SIZE: number = fanotify_event_metadata.size + 24;

/**
 * Calls that failed for want of space or quota, as audit records them.
 *
 * @module
 */

import { ARCHITECTURES_HERE } from "../../backends/audit/tree_rules.ts";
import type { AuditRule } from "../../backends/audit/rules.ts";
import { readSpace } from "../../backends/statfs/space.ts";
import type { AuditEvent } from "../../classify/audit_event.ts";
import { mountOfFd } from "../../backends/poll/listing.ts";
import { auditArchNamed } from "../../ffi/abi/audit_arches.ts";
import { EDQUOT, ENOSPC } from "../../ffi/abi/errno.ts";
import { O_CLOEXEC, O_PATH } from "../../ffi/abi/open.ts";
import { syscallNumber } from "../../ffi/abi/syscall_names.ts";
import { errnoName } from "../../ffi/errno.ts";
import { fileStatus, type FileType, pathOfFd } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { cString } from "../../ffi/text.ts";
import { type AuditTrail, openTrail, type TrailListener } from "../../watch/audit_trail.ts";
import {
  type ErrorInit,
  type ErrorSink,
  type ErrorSource,
  type Filesystem,
  reasonOf,
  type SourceState,
} from "./source.ts";
import { undoAll } from "../undo.ts";

/** By errno the kind of the event. */
const KINDS: ReadonlyMap<number, "error.space" | "error.quota"> = new Map([
  [ENOSPC, "error.space"],
  [EDQUOT, "error.quota"],
]);

/**
 * The calls that take room on a filesystem, with the argument that is an open file on it; undefined where paths tell, or
 * nothing does (msync). Others fail with the same errnos for other reasons: inotify_add_watch for want of watches, add_key for
 * the quota of keys.
 */
const CALLS: Readonly<Record<string, number | undefined>> = {
  write: 0,
  pwrite64: 0,
  writev: 0,
  pwritev: 0,
  pwritev2: 0,
  sendfile: 0,
  sendfile64: 0,
  splice: 2,
  copy_file_range: 2,
  fallocate: 0,
  ftruncate: 0,
  ftruncate64: 0,
  fsync: 0,
  fdatasync: 0,
  sync_file_range: 0,
  syncfs: 0,
  msync: undefined,
  open: undefined,
  openat: undefined,
  openat2: undefined,
  creat: undefined,
  truncate: undefined,
  truncate64: undefined,
  mkdir: undefined,
  mkdirat: undefined,
  mknod: undefined,
  mknodat: undefined,
  symlink: undefined,
  symlinkat: undefined,
  link: undefined,
  linkat: undefined,
  rename: undefined,
  renameat: undefined,
  renameat2: undefined,
  setxattr: undefined,
  lsetxattr: undefined,
  setxattrat: undefined,
  fsetxattr: 0,
  chown: undefined,
  lchown: undefined,
  fchownat: undefined,
  fchown: 0,
  file_setattr: undefined,
};

/** The rules that record them, for each architecture whose programs may run here. */
export function failedCallRules(
  architectures: readonly string[] = ARCHITECTURES_HERE,
): AuditRule[] {
  return architectures.flatMap((name) => {
    const arch = auditArchNamed(name)!;
    const syscalls = Object.keys(CALLS).flatMap((call) => syscallNumber(arch, call) ?? []);
    return [...KINDS.keys()].map((errno): AuditRule => ({
      list: "exit",
      action: "always",
      syscalls,
      fields: [
        { field: "arch", operator: "=", value: name },
        { field: "exit", operator: "=", value: -errno },
      ],
    }));
  });
}

/** What is known of the filesystem of a call. */
interface Whereabouts {
  readonly filesystem: Filesystem | undefined;
  readonly path?: string;
  readonly confidence?: "exact" | "likely";
}

const UNKNOWN: Whereabouts = { filesystem: undefined };

/** A file that a process has open. */
interface OpenFile {
  readonly type: FileType | undefined;
  /** `major:minor` of its filesystem. */
  readonly device: string | undefined;
  readonly file: string | undefined;
  /** Whether there is no room on it for users. */
  readonly isFull: boolean;
}

/** Hears of all filesystems. */
export class FailedCalls implements ErrorSource, TrailListener {
  readonly name = "audit";
  readonly #libc: Libc;
  readonly #sink: ErrorSink;
  readonly #deviceOfMount: (id: number) => string | undefined;
  readonly #filesystems = new Map<string, Filesystem>();
  readonly #undo: (() => void)[] = [];
  #trail: AuditTrail | undefined;
  #state: SourceState = { isActive: true };

  private constructor(
    libc: Libc,
    sink: ErrorSink,
    deviceOfMount: (id: number) => string | undefined,
  ) {
    this.#libc = libc;
    this.#sink = sink;
    this.#deviceOfMount = deviceOfMount;
  }

  /** Adds the rules, and hears. What audit refuses is the state of every filesystem. */
  static async open(
    libc: Libc,
    sink: ErrorSink,
    deviceOfMount: (id: number) => string | undefined,
  ): Promise<FailedCalls> {
    const source = new FailedCalls(libc, sink, deviceOfMount);
    try {
      const { trail, release } = await openTrail({ manages: true });
      source.#undo.push(release);
      source.#trail = trail;
      source.#undo.unshift(trail.listen(source));
      for (const rule of failedCallRules()) source.#undo.unshift(trail.addRule(rule));
    } catch (error) {
      source.#end(reasonOf(error));
    }
    return source;
  }

  cover(filesystem: Filesystem): SourceState {
    this.#filesystems.set(filesystem.device, filesystem);
    return this.#state;
  }

  uncover({ device }: Filesystem): void {
    this.#filesystems.delete(device);
  }

  get isFull(): boolean {
    return this.#sink.isFull;
  }

  resume(): void {
    this.#trail?.resume();
  }

  lost(reason: string, count: number | undefined): void {
    this.#sink.lost(undefined, `${reason}; failed calls may be missing`, count);
  }

  fail(error: unknown): void {
    const reason = reasonOf(error);
    this.#state = { isActive: false, reason };
    this.#sink.ended(this.name, undefined, reason);
  }

  heard(events: readonly AuditEvent[]): void {
    // Who has no room tries again and again: what is alike among what was read at once is one event.
    const alike = new Map<
      string,
      { of: Filesystem | undefined; errors: AuditEvent[]; at: Whereabouts }
    >();
    for (const event of events) {
      const { failed, syscall } = event.attributes;
      if (failed === undefined || !KINDS.has(failed.errno)) continue;
      if (syscall === undefined || !Object.hasOwn(CALLS, syscall)) continue;
      const at = this.#find(event, CALLS[syscall]);
      if (at === "elsewhere") continue;
      const name = [failed.errno, syscall, event.actor?.pid, at.filesystem?.device, at.path].join();
      const known = alike.get(name);
      if (known === undefined) alike.set(name, { of: at.filesystem, errors: [event], at });
      else known.errors.push(event);
    }
    for (const { of, errors, at } of alike.values()) {
      this.#sink.tell(this.name, of, [told(errors, at)]);
    }
  }

  /** The filesystem of a call: by its paths, or by the open file, as long as that is to be seen. */
  #find(
    { path, actor, attributes }: AuditEvent,
    fd: number | undefined,
  ): Whereabouts | "elsewhere" {
    const devices = (attributes.paths ?? []).flatMap(({ device }) => device ?? []);
    if (devices.length > 0) {
      const filesystem = devices.map((device) => this.#filesystems.get(device)).find(Boolean);
      if (filesystem === undefined) return "elsewhere";
      return { filesystem, confidence: "exact", ...(path === "" ? {} : { path }) };
    }
    if (fd === undefined || actor === undefined) return UNKNOWN;
    const open = this.#openFile(actor.pid, Number(attributes.arguments?.[fd]));
    // Another kind of file cannot have failed so: the descriptor is used for something else by now.
    if (open?.type !== "file") return UNKNOWN;
    const filesystem = open.device === undefined ? undefined : this.#filesystems.get(open.device);
    if (filesystem !== undefined) {
      const { file } = open;
      return { filesystem, confidence: "likely", ...(file === undefined ? {} : { path: file }) };
    }
    // Nor a file where there is room.
    return open.isFull || attributes.failed?.errno === EDQUOT ? "elsewhere" : UNKNOWN;
  }

  /** What a process has open; undefined where it is not there any more. Others see nothing of this look. */
  #openFile(pid: number, number: number): OpenFile | undefined {
    const libc = this.#libc;
    const fd = libc.open(cString(`/proc/${pid}/fd/${number}`), O_PATH | O_CLOEXEC, 0);
    if (fd < 0) return undefined;
    try {
      const status = fileStatus(libc, cString(""), fd);
      const space = readSpace(libc, `/proc/self/fd/${fd}`);
      const path = pathOfFd(libc, fd);
      return {
        type: status?.type,
        device: this.#deviceOfMount(mountOfFd(libc, fd)) ?? status?.device,
        file: path?.startsWith("/") ? path : undefined,
        isFull: space?.bytes?.free === 0 || space?.inodes?.free === 0,
      };
    } finally {
      libc.close(fd);
    }
  }

  #end(reason: string): void {
    this.#state = { isActive: false, reason };
    this.#trail = undefined;
    undoAll(this.#undo);
  }

  close(): void {
    this.#filesystems.clear();
    this.#end("it is closed");
  }
}

function told(events: readonly AuditEvent[], at: Whereabouts): ErrorInit {
  const [first] = events as readonly [AuditEvent];
  const { failed, syscall, operation } = first.attributes;
  const { errno } = failed!;
  const { filesystem, path, confidence } = at;
  return {
    kind: KINDS.get(errno)!,
    ...(path === undefined ? {} : { path }),
    ...(path !== undefined && path === first.path && first.pathBytes !== undefined
      ? { pathBytes: first.pathBytes }
      : {}),
    attributes: {
      errno,
      code: errnoName(errno),
      count: events.length,
      ...(operation === undefined ? {} : { operation }),
      ...(syscall === undefined ? {} : { syscall }),
      ...(confidence === undefined ? {} : { confidence }),
      ...(filesystem === undefined ? { unresolved: true } : {}),
    },
    time: first.time,
    ...(first.actor === undefined ? {} : { actor: first.actor }),
    raw: events.length === 1 ? first.raw : events.map(({ raw }) => raw),
  };
}

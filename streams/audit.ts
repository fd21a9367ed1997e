/**
 * `audit()`.
 *
 * @module
 */

import { Assembly } from "../backends/audit/assembly.ts";
import { type Decoded, DispatchStream } from "../backends/audit/audisp.ts";
import { DispatchSocket } from "../backends/audit/dispatch_socket.ts";
import { readLog } from "../backends/audit/log.ts";
import type { AuditLosses } from "../backends/audit/losses.ts";
import { mountOf, parseMountInfo } from "../backends/mounts/mountinfo.ts";
import { auditEvent } from "../classify/audit.ts";
import type { AuditEvent } from "../classify/audit_event.ts";
import { FileEvent } from "../classify/event.ts";
import { isWanted } from "../classify/kinds.ts";
import { deferred } from "../ffi/deferred.ts";
import { systemError } from "../ffi/errno.ts";
import { fileStatus, readText } from "../ffi/file.ts";
import { openLibc } from "../ffi/libc.ts";
import type { Libc } from "../ffi/port.ts";
import { reactor } from "../ffi/reactor.ts";
import { cString } from "../ffi/text.ts";
import { type AuditTrail, openTrail, type TrailTree } from "../watch/audit_trail.ts";
import { auditMounts } from "../watch/audited_mounts.ts";
import { absolutePath, realPath } from "../watch/targets.ts";
import { Turns } from "../watch/turns.ts";
import { chunksOf } from "./chunks.ts";
import { type AuditOptions, type AuditSettings, isKernel, settleAudit } from "./audit_options.ts";
import { SourceStream } from "./source_stream.ts";
import { undoAll } from "./undo.ts";

/** What an audit stream did so far. */
export interface AuditStats {
  /** Events delivered to the queue. */
  readonly events: number;
  /** Records that were read. */
  readonly records: number;
  /** Lines, or parts of a binary stream, that were no records. */
  readonly rejected: number;
  /** Events that were dropped because the consumer was too slow. */
  readonly dropped: number;
  /** How the kernel sends records; undefined of another source. */
  readonly way: "unicast" | "multicast" | undefined;
  /** What of the kernel's records was lost; undefined of another source. */
  readonly losses: AuditLosses | undefined;
}

/** A running stream of audit events. */
export class AuditStream extends SourceStream<AuditEvent> {
  readonly #settings: AuditSettings;
  readonly #undo: (() => void)[] = [];
  /** The directories of the paths, once all are found. */
  readonly #learned: Promise<void>[] = [];
  #trail: AuditTrail | undefined;
  #decoder: DispatchStream | undefined;
  #records = 0;
  /** Wakes what waits for a source or a consumer. */
  readonly #closed = deferred();

  /** Begins to read at once. Use {@linkcode audit}. */
  constructor(settings: AuditSettings) {
    super("audit stream", isKernel(settings.source), settings.signal);
    this.#settings = settings;
  }

  /** @internal */
  protected override async open(): Promise<void> {
    const { source } = this.#settings;
    const libc = await openLibc();
    if (!this.isOpen) return;
    if (isKernel(source)) await this.#openKernel(libc, source);
    else if ("log" in source) {
      this.#read(readLog(libc, absolutePath(libc, source.log), source));
    } else if ("socket" in source) {
      const socket = new DispatchSocket(libc, await reactor(), absolutePath(libc, source.socket));
      this.#undo.push(() => socket.close());
      this.#read(socket.chunks());
    } else this.#read(chunksOf(source, this.#closed.promise));
  }

  /** @internal */
  protected override async armed(): Promise<void> {
    await Promise.all(this.#learned);
  }

  async #openKernel(libc: Libc, source: "netlink" | "unicast" | "multicast"): Promise<void> {
    const { manage, paths, rules } = this.#settings;
    const way = source === "netlink" ? {} : { way: source };
    const { trail, release } = await openTrail({ manages: manage, ...way });
    this.#undo.push(release);
    if (!this.isOpen) return;
    this.#trail = trail;
    this.queue.onRoom = () => trail.resume();
    const isFull = () => this.queue.isFull;
    this.#undo.unshift(trail.listen({
      get isFull() {
        return isFull();
      },
      heard: (events) => this.#tell(events),
      lost: (reason, count) => this.#lost(reason, count),
      fail: (error) => this.fail(error),
    }));
    for (const rule of rules) this.#undo.unshift(trail.addRule(rule));
    for (const path of paths) {
      const { real, isDirectory, tree } = addTree(libc, trail, path);
      this.#undo.unshift(() => tree.remove());
      this.#learned.push(tree.learned);
      if (!isDirectory) continue;
      this.#undo.unshift(
        await auditMounts(libc, trail, real, (reason) => this.#lost(reason, undefined)),
      );
      if (!this.isOpen) return;
    }
  }

  /** Reads to the end, as fast as the consumer takes it. */
  #read(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): void {
    const isRead = this.#readAll(chunks).then(() => undefined, (error) => ({ error }));
    void isRead.then((failure) => {
      this.queue.end(failure);
      this.end();
    });
  }

  async #readAll(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
    const decoder = this.#decoder = new DispatchStream();
    const assembly = new Assembly();
    const turns = new Turns();
    const take = (decoded: readonly Decoded[]) => {
      for (const record of decoded) {
        if (typeof record === "string") continue;
        this.#records++;
        assembly.push(record);
      }
    };
    for await (const chunk of chunks) {
      if (!(chunk instanceof Uint8Array)) {
        throw new TypeError(`Cannot audit from a stream of ${typeof chunk}s: it is not of bytes`);
      }
      take(decoder.push(chunk as Uint8Array<ArrayBuffer>));
      this.#tell(assembly.take(0).map((records) => auditEvent(records)));
      while (this.queue.isFull && this.isOpen) await this.#room();
      if (!this.isOpen) return;
      if (turns.isOver) await turns.next();
    }
    if (!this.isOpen) return;
    take(decoder.end());
    this.#tell(assembly.flush().map((records) => auditEvent(records)));
  }

  /** Until the consumer has made room, or there is none any more. */
  #room(): Promise<void> {
    const { promise, resolve } = deferred();
    this.queue.onRoom = resolve;
    return Promise.race([promise, this.#closed.promise]);
  }

  #tell(events: readonly AuditEvent[]): void {
    const { events: patterns } = this.#settings;
    const wanted = patterns === undefined
      ? events
      : events.filter(({ kind }) => isWanted(kind, patterns));
    this.queue.push(wanted, "/");
  }

  #lost(reason: string, count: number | undefined): void {
    const attributes = { reason, ...(count === undefined ? {} : { count }) };
    const event = FileEvent.from({ kind: "lost", path: "/", attributes }, Date.now(), "audit");
    this.queue.push([event as FileEvent & AuditEvent], "/");
  }

  /** @internal */
  protected override ending(): void {
    this.#closed.resolve();
  }

  /**
   * Undoes all, the last first; what one refuses does not keep the others.
   *
   * @internal
   */
  protected override giveBack(): void {
    undoAll(this.#undo);
  }

  /** Why rules would outlive this process after SIGKILL, until the next start of a program with sentinode. */
  get unkept(): string | undefined {
    return this.#trail?.unkept;
  }

  /** Counters since the stream was opened. */
  stats(): AuditStats {
    const { events, dropped } = this.queue.stats;
    return {
      events,
      records: this.#trail?.records ?? this.#records,
      rejected: this.#decoder?.rejected ?? 0,
      dropped,
      way: this.#trail?.way,
      losses: this.#trail?.losses,
    };
  }
}

/** Audits what changes at and below a path, or at the file that it is. */
function addTree(
  libc: Libc,
  trail: AuditTrail,
  path: string | URL,
): { readonly real: string; readonly isDirectory: boolean; readonly tree: TrailTree } {
  const absolute = absolutePath(libc, path);
  const status = fileStatus(libc, cString(absolute));
  if (status === undefined) {
    throw systemError(libc, `audit ${absolute}`, { syscall: "statx", path: absolute });
  }
  const real = realPath(libc, absolute);
  const mounts = parseMountInfo(readText(libc, "/proc/self/mountinfo") ?? "");
  const device = mountOf(real, mounts)?.device ?? status.device;
  const isDirectory = status.type === "directory";
  return { real, isDirectory, tree: trail.addTree(real, isDirectory, device) };
}

/**
 * Tells what the audit system records: each system call (or login, or whatever else it watches) as one event.
 *
 * A call on files is of the kind of what it did, a failed one `access.failed`, all else `other` with its fields in
 * `attributes`. The actor has the login user and session, whatever su and sudo made of it.
 *
 * **Privilege.** CAP_AUDIT_CONTROL, in the first user and pid namespace; with CAP_AUDIT_READ alone what others' rules are
 * for is heard beside a daemon. None for a file, a stream, or a socket that may be opened.
 *
 * **The machine's state.** Audit is switched on, and `paths` and `rules` are added under keys of this process; all of it
 * is undone on every way out. Other rules, and another daemon, are left alone.
 *
 * **Errors.** `TypeError` or `RangeError` at once for wrong arguments. What the system refuses rejects `ready` and is
 * thrown to the iterator: `CapabilityError`, `UnsupportedError`, `SystemError`.
 *
 * @example
 * ```ts
 * import { audit } from "sentinode";
 *
 * const line = 'type=USER_LOGIN msg=audit(1700000000.123:42): pid=1 uid=0 auid=1000 ses=3 ' +
 *   `msg='op=login acct="ada" exe="/usr/sbin/sshd" hostname=? addr=? terminal=ssh res=success'`;
 * const log = new Blob([line]).stream();
 * for await (const event of audit({ source: log })) {
 *   console.log(event.attributes.type, event.actor?.loginUid, event.attributes.success);
 * }
 * ```
 */
export function audit(options: AuditOptions = {}): AuditStream {
  return new AuditStream(settleAudit(options));
}

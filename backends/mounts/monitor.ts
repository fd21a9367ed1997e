/**
 * Follows the mounts of a namespace.
 *
 * From Linux 6.15 on fanotify tells which mount came, went or moved, and statmount(2) what it is; a table is kept, so that
 * of one that went it is still known what it was. Of remounts fanotify tells nothing: those wake who polls the mount table,
 * as each change does, and then every mount's options are asked for, once it is quiet. The table itself is never read.
 * On older kernels, and without the privilege, it is read at each wake-up and compared.
 *
 * @module
 */

import { EINVAL, EMFILE, ENOSYS, EPERM } from "../../ffi/abi/errno.ts";
import { FAN_MNT_ATTACH, FAN_MNT_DETACH, FAN_Q_OVERFLOW } from "../../ffi/abi/fanotify.ts";
import { O_CLOEXEC, O_RDONLY } from "../../ffi/abi/open.ts";
import {
  CapabilityError,
  detailsOf,
  SystemError,
  systemError,
  UnsupportedError,
} from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/port.ts";
import type { Reactor } from "../../ffi/reactor.ts";
import { cString } from "../../ffi/text.ts";
import { FanotifyRecord, mountIdOf, pidfdOf } from "../fanotify/decode.ts";
import { compareMounts, isChanged, type MountChange } from "./compare.ts";
import type { Mount } from "./mount.ts";
import { MountGroup } from "./mount_group.ts";
import { MountReader } from "./mount_table.ts";
import type { MountNamespace } from "./namespace.ts";

/** A change, and how it became known. */
export interface MountNotice extends MountChange {
  /** It was found by looking, not announced by the kernel. */
  readonly isSynthetic: boolean;
  /** Who did it, where the kernel tells; 0 for a process that it hides from us. */
  readonly pid: number | undefined;
  /** The process, while it is told of; negative where there is none. */
  readonly pidfd: number;
  /** The kernel's record. */
  readonly raw: unknown;
}

/** Who is told. */
export interface MountSink {
  /** While it is, nothing is read, and the kernel keeps the backlog until {@linkcode MountMonitor.resume}. */
  readonly isFull: boolean;
  changed(notices: readonly MountNotice[]): void;
  /** Something woke, and nothing is different: what came has gone again, and who looked meanwhile has seen it. */
  passed?(): void;
  /** The kernel dropped events; what is found by comparing follows, and then `recovered`. */
  lost(): void;
  recovered(): void;
  fail(error: unknown): void;
}

/** How mounts become known: told by fanotify, or by comparing the mount table with what it was. */
export type MountWay = "fanotify" | "mountinfo";

/** How a namespace is followed. */
export interface MonitorInit {
  /** The one way, in place of the one that fits. */
  readonly way?: MountWay | undefined;
  /** Whether to hear, where that may be, who did it. */
  readonly actor?: boolean | undefined;
}

/** What a monitor did so far. */
export interface MountCounters {
  /** How mounts become known. */
  readonly way: MountWay;
  /** Why not by fanotify. */
  readonly refused: string | undefined;
  /** How often the mount table was read as a whole. */
  readonly scans: number;
  /** How often the ids of all mounts were listed. */
  readonly listings: number;
  /** How many mounts were asked for by their ids. */
  readonly looks: number;
}

/**
 * How long it has to be quiet before all is compared, in ms, and for how long that may be put off: with fanotify only options
 * are, without it all that is told. A change wakes before it is done: pivot_root(2) gives processes their new root behind it.
 */
const QUIET: Readonly<Record<MountWay, number>> = { fanotify: 50, mountinfo: 5 };
const PATIENCE: Readonly<Record<MountWay, number>> = { fanotify: 1000, mountinfo: 20 };

/** What is read as a whole is read at most a tenth of the time. */
const SHARE = 10;

/** Follows one namespace. */
export class MountMonitor {
  readonly #libc: Libc;
  readonly #reactor: Reactor;
  readonly #namespace: MountNamespace;
  readonly #sink: MountSink;
  readonly #reader: MountReader;
  readonly #group: MountGroup | undefined;
  readonly #refused: string | undefined;
  /** The open mount table, which wakes those who wait for it; -1 where there is none. */
  readonly #table: number;
  #mounts: Map<number, Mount>;
  /** Mounts that came and were gone before they could be looked at. */
  readonly #unseen = new Set<number>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Since when a look is due, and not before when, on the clock of `performance.now()`. */
  #dueSince = 0;
  #notBefore = 0;
  /** Something was changed since the last look. */
  #isWoken = false;
  #isClosed = false;

  /**
   * Begins to follow: what changes from now on is told. Throws what the kernel refuses, but for what an older kernel does not
   * have and a missing privilege, for which there is the other way.
   */
  constructor(
    libc: Libc,
    loop: Reactor,
    namespace: MountNamespace,
    sink: MountSink,
    { way, actor = false }: MonitorInit = {},
  ) {
    this.#libc = libc;
    this.#reactor = loop;
    this.#namespace = namespace;
    this.#sink = sink;
    this.#reader = new MountReader(libc, namespace, way === "mountinfo" ? false : undefined);
    try {
      if (way !== "mountinfo") this.#group = this.#open(actor);
    } catch (error) {
      const mayElse = error instanceof SystemError && OTHER_WAY.includes(error.errno);
      if (!mayElse || way !== undefined) throw refusal(error);
      this.#refused = `${error.syscall}: ${error.code}`;
    }
    this.#table = namespace.table === undefined
      ? -1
      : libc.open(cString(namespace.table), O_RDONLY | O_CLOEXEC, 0);
    try {
      if (this.#table < 0 && this.#group === undefined) {
        const { table } = namespace;
        throw systemError(libc, `watch the mounts of ${namespace.name}`, {
          syscall: "open",
          ...(table === undefined ? {} : { path: table }),
        });
      }
      this.#mounts = this.#reader.all();
      if (this.#group !== undefined) loop.add(this.#group.fd, this.#ready);
      if (this.#table >= 0) loop.add(this.#table, this.#woken, "wake");
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The mounts as far as they were told of. */
  get mounts(): ReadonlyMap<number, Mount> {
    return this.#mounts;
  }

  get #way(): MountWay {
    return this.#group === undefined ? "mountinfo" : "fanotify";
  }

  get counters(): MountCounters {
    const { scans, listings, looks } = this.#reader;
    return {
      way: this.#way,
      refused: this.#refused,
      scans,
      listings,
      looks,
    };
  }

  /** What is not told, and why; undefined where all is. */
  get gap(): string | undefined {
    return this.#table < 0 ? "remounts: no process in the namespace is seen here" : undefined;
  }

  /** The sink has room again. */
  resume(): void {
    if (this.#isClosed) return;
    if (this.#group !== undefined) this.#reactor.arm(this.#group.fd);
    if (this.#dueSince > 0) this.#look();
  }

  /** Stops, and gives everything back. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    if (this.#group !== undefined) {
      this.#reactor.remove(this.#group.fd);
      this.#group.close();
    }
    if (this.#table >= 0) {
      this.#reactor.remove(this.#table);
      this.#libc.close(this.#table);
    }
  }

  /** A group, where mounts can be looked at by the ids that it tells. */
  #open(wantsPidfd: boolean): MountGroup {
    const group = new MountGroup(this.#libc, this.#namespace, wantsPidfd);
    if (this.#reader.isById) return group;
    group.close();
    throw systemError(this.#libc, `look at the mounts of ${this.#namespace.name}`, {
      syscall: "statmount",
      errno: ENOSYS,
    });
  }

  readonly #ready = (): void =>
    this.#guarded(() => {
      if (this.#isClosed || this.#sink.isFull) return;
      this.#drain();
      if (!this.#isClosed) this.#reactor.arm(this.#group!.fd);
    });

  readonly #woken = (): void =>
    this.#guarded(() => {
      const now = performance.now();
      this.#isWoken = true;
      if (this.#dueSince === 0) this.#dueSince = now;
      const quiet = Math.min(QUIET[this.#way], this.#dueSince + PATIENCE[this.#way] - now);
      this.#lookIn(Math.max(quiet, this.#notBefore - now));
    });

  #lookIn(delay: number): void {
    clearTimeout(this.#timer);
    if (delay <= 0) this.#look();
    else this.#timer = setTimeout(() => this.#guarded(() => this.#look()), delay);
  }

  /** Compares all that is mounted with what is known, where the kernel does not say what changed. */
  #look(): void {
    if (this.#isClosed || this.#sink.isFull) return;
    const begun = performance.now();
    this.#dueSince = 0;
    const isWoken = this.#isWoken;
    this.#isWoken = false;
    let isDifferent = false;
    if (this.#group === undefined) isDifferent = this.#compare();
    else this.#compareOptions();
    if (this.#group === undefined && isWoken && !isDifferent) this.#sink.passed?.();
    const ended = performance.now();
    this.#notBefore = ended + (ended - begun) * SHARE;
    if (!isDifferent || this.#isClosed) return;
    // What was not done yet by then does not wake again.
    this.#dueSince = ended;
    this.#lookIn(Math.max(QUIET.fanotify, this.#notBefore - ended));
  }

  /** Tells the differences; whether there are any. */
  #compare(): boolean {
    const now = this.#reader.all();
    const changes = compareMounts(this.#mounts, now);
    this.#mounts = now;
    this.#tell(changes.map(found));
    return changes.length > 0;
  }

  /** Of mounts that are there; that others came or went, the kernel tells. */
  #compareOptions(): void {
    this.#drain();
    const notices: MountNotice[] = [];
    for (const [id, before] of this.#mounts) {
      const mount = this.#reader.mount(id);
      if (mount === undefined) continue; // its record is about to come
      this.#mounts.set(id, mount);
      if (isChanged(before, mount)) notices.push(found({ what: "change", id, mount, before }));
    }
    this.#tell(notices);
  }

  /** Reads what is queued, and tells it. */
  #drain(): void {
    const group = this.#group!;
    while (!this.#isClosed && !this.#sink.isFull && group.read()) {
      const notices: MountNotice[] = [];
      const pidfds: number[] = [];
      const { batch } = group;
      const record = new FanotifyRecord(batch);
      let isLost = false;
      for (let at = 0; at < batch.length;) {
        const offset = at;
        at = record.read(at, batch.length);
        const pidfd = pidfdOf(record);
        if (pidfd >= 0) pidfds.push(pidfd);
        if ((record.bits & FAN_Q_OVERFLOW) !== 0) isLost = true;
        const id = mountIdOf(record);
        if (isLost || id === undefined) continue;
        const { pid, bits } = record;
        const how = { isSynthetic: false, pid, pidfd, raw: batch.kept.record(offset) };
        for (const change of this.#apply(id, bits)) notices.push({ ...change, ...how });
      }
      this.#tell(notices);
      for (const fd of pidfds) this.#libc.close(fd);
      if (isLost) this.#recover();
    }
  }

  /** What a record says that is not known yet. */
  #apply(id: number, bits: number): MountChange[] {
    const before = this.#mounts.get(id);
    const [isAttached, isDetached] = [bits & FAN_MNT_ATTACH, bits & FAN_MNT_DETACH];
    if (isAttached === 0) {
      const isKnown = this.#mounts.delete(id);
      if (!isKnown && !this.#unseen.delete(id)) return []; // it was gone before this began
      return [{ what: "detach", id, mount: before, before: undefined }];
    }
    if (isDetached === 0 && before !== undefined) return []; // it was in the list already
    const mount = this.#reader.mount(id);
    if (mount === undefined) {
      // It has gone since, which the next record of it tells.
      if (before !== undefined || this.#unseen.has(id)) return [];
      this.#unseen.add(id);
      return [{ what: "attach", id, mount, before }];
    }
    this.#mounts.set(id, mount);
    if (before === undefined) return [{ what: "attach", id, mount, before }];
    this.#lookBelow(id);
    return [{ what: "move", id, mount, before }];
  }

  /** What is mounted below a mount has moved along. */
  #lookBelow(above: number): void {
    const moved = new Set([above]);
    // A mount is newer than the one that it is on, unless it was moved there: so until no more are found.
    for (let size = 0; size < moved.size;) {
      size = moved.size;
      for (const { id, parent } of this.#mounts.values()) if (moved.has(parent)) moved.add(id);
    }
    moved.delete(above);
    for (const id of moved) {
      const mount = this.#reader.mount(id);
      // One that is on another mount by now has a record of its own, which is about to come.
      if (mount?.parent === this.#mounts.get(id)!.parent) this.#mounts.set(id, mount);
    }
  }

  /** After a loss: what was queued behind the kernel's word of it may lack others, so all is compared. */
  #recover(): void {
    this.#sink.lost();
    while (this.#group!.read()) this.#closePidfds();
    this.#compare();
    this.#unseen.clear();
    this.#sink.recovered();
  }

  #closePidfds(): void {
    const { batch } = this.#group!;
    const record = new FanotifyRecord(batch);
    for (let at = 0; at < batch.length;) {
      at = record.read(at, batch.length);
      const pidfd = pidfdOf(record);
      if (pidfd >= 0) this.#libc.close(pidfd);
    }
  }

  #tell(notices: readonly MountNotice[]): void {
    if (notices.length > 0) this.#sink.changed(notices);
  }

  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#sink.fail(error);
    }
  }
}

/** An older kernel, a missing privilege, or no group left: the table can be read all the same. */
const OTHER_WAY: readonly number[] = [EPERM, EINVAL, ENOSYS, EMFILE];

/** What the kernel refuses, with what to do about it. */
function refusal(error: unknown): unknown {
  if (!(error instanceof SystemError)) return error;
  const details = detailsOf(error);
  switch (error.errno) {
    case EPERM:
      return new CapabilityError(error.message, {
        ...details,
        hint: "mount events take CAP_SYS_ADMIN in the user namespace that owns the mounts; " +
          "the mount table tells everybody",
      });
    case EINVAL:
    case ENOSYS:
      return new UnsupportedError(error.message, {
        ...details,
        hint: "mount events need Linux 6.15; the mount table tells on every kernel",
      });
    default:
      return error;
  }
}

function found(change: MountChange): MountNotice {
  return { ...change, isSynthetic: true, pid: undefined, pidfd: -1, raw: undefined };
}

/**
 * The audit events of this machine as they happen, for all in this process who want them: one socket, one set of rules.
 *
 * @module
 */

import { posix } from "node:path";
import process from "node:process";
import { Assembly } from "../backends/audit/assembly.ts";
import type { AuditWay } from "../backends/audit/data_socket.ts";
import { decodeMessage } from "../backends/audit/decode.ts";
import { type AuditHold, holdAudit } from "../backends/audit/lifecycle.ts";
import type { AuditLosses } from "../backends/audit/losses.ts";
import {
  type AuditLoss,
  type RecordSink,
  RecordStream,
  type RecordStreamInit,
} from "../backends/audit/record_stream.ts";
import type { AuditRule } from "../backends/audit/rules.ts";
import type { RuleClass } from "../backends/audit/tree_rules.ts";
import { auditEvent } from "../classify/audit.ts";
import type { AuditEvent } from "../classify/audit_event.ts";
import { CapabilityError } from "../ffi/errno.ts";
import { openLibc } from "../ffi/libc.ts";
import type { Libc } from "../ffi/port.ts";
import { type Reactor, reactor } from "../ffi/reactor.ts";
import { isBookkeeping } from "./audit_bookkeeping.ts";
import { DirectoryTable } from "./directory_table.ts";

/** Somebody who hears of what is audited. */
export interface TrailListener {
  /** While everybody is, nothing is read. */
  readonly isFull: boolean;
  heard(events: readonly AuditEvent[]): void;
  lost(reason: string, count: number | undefined): void;
  /** The end: nothing will be heard any more. */
  fail(error: unknown): void;
}

/** What was lost, in words. */
const REASONS: Readonly<Record<AuditLoss["reason"], string>> = {
  socket: "audit records came faster than they were read (the socket's buffer was full)",
  kernel: "the kernel did not queue audit records (backlog_limit, rate_limit or memory)",
  interruption: "the kernel gave this process up as the daemon of audit",
};

const MISSING = "audit events did not come (their numbers are missing)";

/** How a trail is opened. */
export interface TrailInit extends RecordStreamInit {
  /** Whether audit is switched on, tuned, and has rules of ours. */
  readonly manages: boolean;
}

/** A tree whose changes are audited. */
export interface TrailTree {
  /** What the kernel cannot tell of it. */
  readonly refused: readonly RuleClass[];
  /** Resolves once all its directories are known, by which calls relative to an open directory get their paths. */
  readonly learned: Promise<void>;
  remove(): void;
}

/** A running trail. */
export class AuditTrail {
  readonly #listeners = new Set<TrailListener>();
  readonly #assembly = new Assembly({ isLive: true });
  readonly #directories: DirectoryTable;
  /** This process's rules, or why it has none. */
  readonly #hold: Hold | CapabilityError | undefined;
  readonly #stream: RecordStream;
  readonly #context: Parameters<typeof auditEvent>[1];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lostSerials = 0;
  #records = 0;

  /** Throws what audit refuses: `CapabilityError`, `UnsupportedError`. */
  constructor(libc: Libc, loop: Reactor, init: TrailInit) {
    this.#directories = new DirectoryTable(libc);
    this.#context = {
      pid: process.pid,
      resolve: (device, inode) => this.#directories.resolve(device, inode),
    };
    this.#hold = init.manages ? tryToHold(libc) : undefined;
    try {
      this.#stream = new RecordStream(libc, loop, this.#sink(), init);
    } catch (error) {
      this.#release();
      // Of two capabilities that are missing, the one that gives all is told.
      throw error instanceof CapabilityError && this.#hold instanceof CapabilityError
        ? this.#hold
        : error;
    }
  }

  /** How records come. */
  get way(): AuditWay {
    return this.#stream.way;
  }

  /** Bytes read so far. */
  get bytesRead(): number {
    return this.#stream.bytesRead;
  }

  /** Records read so far. */
  get records(): number {
    return this.#records;
  }

  /** What was lost so far. */
  get losses(): AuditLosses {
    return this.#stream.losses;
  }

  /** Why rules of this process would outlive it after SIGKILL; undefined where somebody removes them. */
  get unkept(): string | undefined {
    return isHeld(this.#hold) ? this.#hold.hold.unkept : undefined;
  }

  /** Hears from now on; what ends that. */
  listen(listener: TrailListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
      this.#stream.resume();
    };
  }

  /** Audits a rule's events; what removes it. Throws `CapabilityError` without the capability, `SystemError` of the kernel. */
  addRule(rule: AuditRule): () => void {
    return this.#managed().addRule(rule);
  }

  /**
   * Audits what changes at and below `path`, as the kernel spells it, on the filesystem of `device`; in the background it
   * learns where the directories are.
   */
  addTree(path: string, isDirectory: boolean, device: string): TrailTree {
    const tree = this.#managed().addTree(path, isDirectory);
    let isWanted = true;
    const directory = isDirectory ? path : posix.dirname(path);
    const learned = this.#directories.learn(directory, device, isDirectory, () => isWanted);
    learned.catch(() => {}); // whoever waits for it hears of it
    return {
      refused: tree.refused,
      learned,
      remove: () => {
        isWanted = false;
        tree.remove();
        this.#directories.forget(directory);
      },
    };
  }

  /** Audits the filesystem of `device` that is mounted at `point` as a part of the tree `path`; what ends that. */
  addMount(path: string, point: string, device: string): () => void {
    this.#managed().control.makeEquivalent(path, point);
    let isWanted = true;
    this.#directories.learn(point, device, true, () => isWanted).catch(() => {});
    return () => {
      isWanted = false;
      this.#directories.forget(point);
    };
  }

  #managed(): AuditHold {
    if (isHeld(this.#hold)) return this.#hold.hold;
    throw this.#hold ?? new TypeError("Cannot add rules of audit: it is not managed");
  }

  /** Where the stream delivers. */
  #sink(): RecordSink {
    const isFull = () => this.#isFull;
    return {
      get full() {
        return isFull();
      },
      message: (type, payload) => {
        const record = decodeMessage(type, payload);
        if (record === undefined) return;
        this.#records++;
        this.#assembly.push(record, Date.now());
      },
      flush: () => this.#flush(),
      lost: ({ reason, count }) => {
        for (const listener of this.#listeners) listener.lost(REASONS[reason], count);
      },
      way: (way) => {
        if (isHeld(this.#hold)) this.#hold.hold.tune(way);
      },
      fail: (error) => this.#fail(error),
    };
  }

  #fail(error: unknown): void {
    for (const listener of this.#listeners) listener.fail(error);
  }

  get #isFull(): boolean {
    if (this.#listeners.size === 0) return false;
    for (const listener of this.#listeners) if (!listener.isFull) return false;
    return true;
  }

  #flush(): void {
    const events: AuditEvent[] = [];
    for (const records of this.#assembly.take(Date.now())) {
      const event = auditEvent(records, this.#context);
      if (isBookkeeping(event, this.way, this.#key)) continue;
      this.#directories.note(event);
      events.push(event);
    }
    if (events.length > 0) { for (const listener of this.#listeners) listener.heard(events); }
    this.#countMissing();
    this.#flushLater();
  }

  /** What the keys of this process's rules begin with. */
  get #key(): string | undefined {
    return isHeld(this.#hold) ? this.#hold.hold.key : undefined;
  }

  #countMissing(): void {
    const { lostSerials, missingParts } = this.#assembly;
    const { counters } = this.#stream;
    const count = lostSerials - this.#lostSerials;
    counters.parts(missingParts);
    counters.serials(count);
    this.#lostSerials = lostSerials;
    // By multicast the socket has told it already; what the kernel throws away that it cannot send to its daemon, nobody has.
    if (count === 0 || this.way !== "unicast") return;
    for (const listener of this.#listeners) listener.lost(MISSING, count);
  }

  /** An event whose end does not come is given up in time. */
  #flushLater(): void {
    const { due } = this.#assembly;
    if (due === undefined || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#flush();
    }, Math.max(0, due - Date.now()) + 1);
  }

  /** There is room again. */
  resume(): void {
    this.#stream.resume();
  }

  /** Gives everything back. */
  close(): void {
    clearTimeout(this.#timer);
    this.#stream.close();
    this.#release();
  }

  #release(): void {
    if (isHeld(this.#hold)) this.#hold.release();
  }
}

type Hold = ReturnType<typeof holdAudit>;

/** A share of this process's hold; with CAP_AUDIT_READ alone what others' rules are for can be heard all the same. */
function tryToHold(libc: Libc): Hold | CapabilityError {
  try {
    return holdAudit(libc);
  } catch (error) {
    if (error instanceof CapabilityError) return error;
    throw error;
  }
}

function isHeld(hold: Hold | CapabilityError | undefined): hold is Hold {
  return hold !== undefined && !(hold instanceof CapabilityError);
}

const shared = new Map<string, { readonly trail: AuditTrail; users: number }>();

/** A share of the trail that is opened so, to be released. Throws what audit refuses. */
export async function openTrail(
  init: TrailInit,
): Promise<{ readonly trail: AuditTrail; release(): void }> {
  const [libc, loop] = [await openLibc(), await reactor()];
  const key = JSON.stringify(init);
  let own = shared.get(key);
  if (own === undefined) {
    shared.set(key, own = { trail: new AuditTrail(libc, loop, init), users: 0 });
  }
  const { trail } = own;
  own.users++;
  let isReleased = false;
  return {
    trail,
    release() {
      if (isReleased) return;
      isReleased = true;
      if (--own.users > 0) return;
      shared.delete(key);
      trail.close();
    },
  };
}

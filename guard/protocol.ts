/**
 * What the two threads of a guard tell each other. The responder never waits for its event loop, so what the main thread
 * has to say while it runs is in shared memory, and an eventfd wakes it.
 *
 * @module
 */

import type { Operation } from "../backends/fanotify/permission_group.ts";
import type { DecisionFields, Verdict } from "./decision.ts";
import type { ProcessFacts } from "../watch/process_facts.ts";
import { PendingRequests, type Ticket } from "./pending.ts";
import type { Rule } from "./rules.ts";

/** What the responder is to do. */
export interface Orders {
  readonly group: { readonly fd: number; readonly probe: number; readonly flags: number };
  /** An eventfd that wakes it. */
  readonly wake: number;
  /** The directory of the open files, for their paths. */
  readonly files: number;
  readonly memory: SharedArrayBuffer;
  /** What the main thread's clock says. */
  readonly now: number;
  /** This process. */
  readonly pid: number;
  readonly rules: readonly Rule[];
  /** The guarded paths, as the kernel spells them. */
  readonly roots: readonly string[];
  /** What is marked directory by directory; undefined where mounts or filesystems are marked. */
  readonly tree: TreeOrders | undefined;
  /** How long a process waits at most, in ms, and what it gets then. */
  readonly timeout: number;
  readonly onTimeout: Verdict;
  /** Whether the main thread decides what no rule does. */
  readonly asks: boolean;
  /** Whether all is allowed, and told as it would have been decided. */
  readonly dryRun: boolean;
}

/** Directories to be marked, with all below them, and files. */
export interface TreeOrders {
  /** The event bits of a directory's mark. */
  readonly mask: number;
  readonly directories: readonly string[];
  readonly files: readonly string[];
  /** Filesystem types that are left out. */
  readonly ignoredTypes: readonly string[];
}

/** A range of a file's content. */
export interface ByteRange {
  /** In bytes. */
  readonly offset: number;
  /** How many bytes. */
  readonly count: number;
}

/** A request that the main thread is to decide. */
export interface Ask {
  readonly type: "ask";
  readonly ticket: Ticket;
  readonly fd: number;
  readonly pid: number;
  readonly bits: number;
  readonly operation: Operation;
  readonly range: ByteRange | undefined;
  /** When it was read, on the clock of both threads. */
  readonly since: number;
}

/** Who decided: a rule, `decide`, nobody in time, a `decide` that threw, nobody for there is no `decide`, the kernel. */
export type DecidedBy = "rule" | "decide" | "timeout" | "error" | "default" | "kernel";

/** Who asked. */
export interface Asker extends ProcessFacts {
  readonly pid: number;
}

/** What was decided, for those who want to know. */
export interface Decided {
  readonly operation: Operation | undefined;
  readonly path: string;
  readonly pathBytes: Uint8Array | undefined;
  readonly range: ByteRange | undefined;
  readonly verdict: Verdict;
  readonly by: DecidedBy;
  readonly rule?: number | undefined;
  readonly errno?: number | undefined;
  readonly cache?: DecisionFields["cache"] | undefined;
  readonly error?: string | undefined;
  /** When, in ms since the epoch, and how long the process waited. */
  readonly time: number;
  readonly waited: number;
  readonly asker: Asker;
  /** Whether `asker` was looked at while the process waited. */
  readonly isExact: boolean;
}

/** What the responder says. */
export type Report =
  | { readonly type: "ready" }
  | { readonly type: "armed" }
  | {
    readonly type: "refused";
    readonly message: string;
    readonly code: string;
    readonly path: string;
    readonly hint: string;
    readonly errno: number;
    readonly syscall: string;
  }
  | { readonly type: "unguarded"; readonly path: string; readonly reason: string }
  | { readonly type: "decided"; readonly decided: readonly Decided[]; readonly unlogged: number }
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "ended" }
  | Ask;

/** Flags and counts that one thread writes and the other reads: 32-bit words at the start of the memory. */
export const WORD = {
  /** The responder ends. */
  stop: 0,
  /** Rises while the responder goes round. */
  beat: 1,
  /** Somebody wants to know what is decided. */
  listens: 2,
  /** How many of the decisions that were told the main thread has taken. */
  taken: 3,
  /** How many pids follow behind the counts, of processes that are allowed all. */
  pids: 4,
  /** How many reports were made since the orders came. */
  reports: 5,
  /** The responder has ended. */
  ended: 6,
  /** What it waits for beside requests: file descriptors plus 1; whoever takes the first away closes both. */
  directories: 7,
  mounts: 8,
} as const;

/** What the responder counts, 64-bit words, in the order of {@linkcode COUNTS}. */
export const COUNTS = [
  "requests",
  "allowed",
  "denied",
  "own",
  "ignored",
  "byRule",
  "byDefault",
  "asked",
  "timedOut",
  "refused",
  "cached",
  "unlogged",
  "marks",
  "unguarded",
] as const;

/** A name in {@linkcode COUNTS}. */
export type Count = (typeof COUNTS)[number];

const PLACES = Object.fromEntries(COUNTS.map((name, i) => [name, i])) as Record<Count, number>;

const WORDS = 16;
/** No process has this pid; 0 is what those have that are in another namespace. */
const NOBODY = -1;
/** How many processes can be allowed all at once. */
export const MOST_PIDS = 1024;

/** The shared memory of a guard. */
export class SharedMemory {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly pids: Int32Array<SharedArrayBuffer>;
  readonly pending: PendingRequests;
  readonly #counts: Float64Array<SharedArrayBuffer>;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(BYTES)) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer, 0, WORDS);
    this.#counts = new Float64Array(buffer, WORDS * 4, COUNTS.length);
    this.pids = new Int32Array(buffer, PIDS_AT, MOST_PIDS);
    this.pending = new PendingRequests(buffer, PIDS_AT + MOST_PIDS * 4);
  }

  /** What was counted. */
  count(name: Count): number {
    return this.#counts[PLACES[name]]!;
  }

  /** Counts; by the responder only. */
  add(name: Count): void {
    this.#counts[PLACES[name]]!++;
  }

  /** Notes a size; by the responder only. */
  set(name: Count, value: number): void {
    this.#counts[PLACES[name]] = value;
  }

  /** Has these processes, and no others, be allowed all; those that already are, are so all the time. */
  ignore(wanted: ReadonlySet<number>): void {
    const { pids, words } = this;
    const rest = new Set(wanted);
    const count = Atomics.load(words, WORD.pids);
    for (let i = 0; i < count; i++) if (!rest.delete(pids[i]!)) Atomics.store(pids, i, NOBODY);
    let at = 0;
    for (const pid of rest) {
      while (at < Atomics.load(words, WORD.pids) && pids[at] !== NOBODY) at++;
      Atomics.store(pids, at, pid);
      if (at === Atomics.load(words, WORD.pids)) Atomics.add(words, WORD.pids, 1);
    }
  }

  /** Whether the process is allowed all. */
  ignores(pid: number): boolean {
    const { pids } = this;
    const count = Atomics.load(this.words, WORD.pids);
    for (let i = 0; i < count; i++) if (pids[i] === pid) return true;
    return false;
  }
}

const PIDS_AT = WORDS * 4 + COUNTS.length * 8;
const BYTES = PIDS_AT + MOST_PIDS * 4 + PendingRequests.BYTES;

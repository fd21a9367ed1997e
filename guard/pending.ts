/**
 * Requests that wait for the main thread, in memory that both threads see: who takes one answers it, the other one is too
 * late. So the responder can keep the deadline whatever the main thread does.
 *
 * @module
 */

/** How many requests may wait at once. Each holds an open file, so that the limit of those is met first. */
export const SLOTS = 4096;

/** What a slot says of its file. */
const IDLE = 0;
const IN_USE = 1;
const CLOSED = 2;

/** Words a slot. */
const WORDS = 3;
/** Odd while a request waits, even once it was answered; rises, so that a late answer never meets another request. */
const STATE = 0;
/** {@linkcode IDLE}, {@linkcode IN_USE} or {@linkcode CLOSED}, beside the state that it is of. */
const FILE = 1;
/** When it is to be answered at last, on a {@linkcode Clock}. */
const DEADLINE = 2;

/** Which request: the slot, and the state that it had then. */
export interface Ticket {
  readonly slot: number;
  readonly state: number;
}

/** The slots of a guard. */
export class PendingRequests {
  readonly #words: Int32Array<SharedArrayBuffer>;

  /** Bytes of shared memory that it takes. */
  static readonly BYTES: number = SLOTS * WORDS * 4;

  constructor(memory: SharedArrayBuffer, offset: number) {
    this.#words = new Int32Array(memory, offset, SLOTS * WORDS);
  }

  /** Has a request wait in a free slot, until `deadline` at most. */
  add(slot: number, deadline: number): Ticket {
    const words = this.#words;
    const at = slot * WORDS;
    const state = (Atomics.load(words, at + STATE) + 1) | 0;
    Atomics.store(words, at + DEADLINE, deadline | 0);
    Atomics.store(words, at + FILE, fileWord(state, IDLE));
    Atomics.store(words, at + STATE, state);
    return { slot, state };
  }

  /** Whether nothing waits in the slot, and nobody has its file open. */
  isFree(slot: number): boolean {
    const words = this.#words;
    const at = slot * WORDS;
    const state = Atomics.load(words, at + STATE);
    if (state === 0) return true;
    return (state & 1) === 0 && Atomics.load(words, at + FILE) === fileWord(state - 1, CLOSED);
  }

  /** Takes the request: true for the one who is to answer it. */
  take({ slot, state }: Ticket): boolean {
    const at = slot * WORDS + STATE;
    return Atomics.compareExchange(this.#words, at, state, (state + 1) | 0) === state;
  }

  /** Whether nobody has answered it. */
  isWaiting({ slot, state }: Ticket): boolean {
    return Atomics.load(this.#words, slot * WORDS + STATE) === state;
  }

  /** Holds the file open while it is used; false where it may be closed already. */
  hold(ticket: Ticket): boolean {
    return this.#file(ticket, IDLE, IN_USE);
  }

  /** Lets go of the file that {@linkcode hold} held. */
  letGo(ticket: Ticket): void {
    this.#file(ticket, IN_USE, IDLE);
  }

  /** Whether it is the caller who has to close the file: nobody uses it, and nobody else closes it. */
  mayClose(ticket: Ticket): boolean {
    return this.#file(ticket, IDLE, CLOSED);
  }

  #file({ slot, state }: Ticket, from: number, to: number): boolean {
    const at = slot * WORDS + FILE;
    const expected = fileWord(state, from);
    return Atomics.compareExchange(this.#words, at, expected, fileWord(state, to)) === expected;
  }

  /** When it is to be answered at last. */
  deadline(slot: number): number {
    return Atomics.load(this.#words, slot * WORDS + DEADLINE);
  }

  /** Moves the deadline. By who holds the file: else the slot might be another request's by now. */
  extend({ slot }: Ticket, deadline: number): void {
    Atomics.store(this.#words, slot * WORDS + DEADLINE, deadline | 0);
  }
}

function fileWord(state: number, use: number): number {
  return (state * 4 + use) | 0;
}

/** How much later `deadline` is than `now`, on a {@linkcode Clock}. */
export function msUntil(deadline: number, now: number): number {
  return (deadline - now) | 0;
}

/** Milliseconds modulo 2^32, that do not jump with the wall clock. */
export class Clock {
  readonly #offset: number;

  /** A clock of its own; or one that goes with another thread's, which says `now`. */
  constructor(now?: number) {
    this.#offset = now === undefined ? 0 : now - performance.now();
  }

  now(): number {
    return this.at(performance.now());
  }

  /** What it said at a time of `performance.now()`. */
  at(time: number): number {
    return Math.round(time + this.#offset) | 0;
  }
}

/**
 * When requests came at the earliest: the kernel stamps none of them, but says how many are queued.
 *
 * @module
 */

import { msUntil } from "./pending.ts";

/** How far apart the times are that are noted, in ms: so much too early a request may seem to have come. */
const GRAIN = 10;

/** A time, and how many requests had come by then. */
interface Mark {
  readonly at: number;
  readonly total: number;
}

/** The times at which requests came that are read in their order. */
export class Arrivals {
  #read = 0;
  /** What is read next came after this. */
  #since: number;
  #marks: Mark[] = [];

  /** Begins with nothing queued. */
  constructor(now: number) {
    this.#since = now;
  }

  /** What is read next came after this. */
  get since(): number {
    return this.#since;
  }

  /** Whether it has to be told how many are queued: some are, and the last time is long ago. */
  isDue(now: number): boolean {
    const last = this.#marks.at(-1);
    return last === undefined || msUntil(now, last.at) >= GRAIN;
  }

  /** At this time so many are queued. */
  queued(now: number, count: number): void {
    if (count === 0) this.empty(now);
    else this.#marks.push({ at: now, total: this.#read + count });
  }

  /** At this time nothing is queued. */
  empty(now: number): void {
    this.#since = now;
    this.#marks = [];
  }

  /** It was waited until now for something to come; in vain, if nothing was queued before. */
  waited(now: number): void {
    if (this.#marks.length === 0) this.#since = now;
  }

  /** So many were read. */
  read(count: number): void {
    this.#read += count;
    while (this.#marks.length > 0 && this.#marks[0]!.total <= this.#read) {
      this.#since = this.#marks.shift()!.at;
    }
  }
}

/**
 * Pairs the halves of inotify's renames, across reads; pure, the clock is the caller's.
 *
 * @module
 */

import { IN_MOVED_FROM, IN_MOVED_TO } from "../ffi/abi/inotify.ts";

/** The part of a record that pairing needs. */
export interface Half {
  /** The event bits. */
  readonly mask: number;
  /** What both halves of one rename share. */
  readonly cookie: number;
}

/** What comes out: a record as it is, or both halves of one rename. A lone half crossed the border of the watch. */
export type Paired<Record extends Half> = { readonly record: Record; readonly to?: Record };

/**
 * How long the second half may be late, in ms. One rename(2) queues both within one system call, but a read may fall
 * between them and the writer may be preempted there.
 */
export const GRACE = 10;

/**
 * A queue of records that gives out each rename once, at the place of its first half.
 *
 * The order of all else is kept: a first half whose partner has not come holds up what is behind it until the partner
 * comes or the grace is over, so that "left under this name" is never told after "a new one came under this name".
 */
export class RenamePairing<Record extends Half> {
  /** The place of what was given out last among those that wait. */
  #at = 0;
  #waiting: { readonly record: Record; readonly since: number }[] = [];
  readonly #partners = new Map<number, Record>();
  readonly #taken = new Set<Record>();

  /** Adds what a read gave at `now`. */
  push(records: readonly Record[], now: number): void {
    for (const record of records) {
      this.#waiting.push({ record, since: now });
      if ((record.mask & IN_MOVED_TO) !== 0) this.#partners.set(record.cookie, record);
    }
  }

  /** Adds a record behind one that waits, or that was given out last. */
  insert(record: Record, behind: Record): void {
    const at = this.#waiting.findIndex((waiting, at) => {
      return at >= this.#at - 1 && waiting.record === behind;
    });
    this.#waiting.splice(at + 1, 0, { record, since: this.#waiting[at]!.since });
  }

  /** Whether something is held back. */
  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** What waits behind `last`, or behind what was given out last, halves apart. */
  *behind(last?: Record): Generator<Record> {
    let isBehind = last === undefined;
    for (let at = this.#at; at < this.#waiting.length; at++) {
      const { record } = this.#waiting[at]!;
      if (isBehind && !this.#taken.has(record)) yield record;
      isBehind ||= record === last;
    }
  }

  /** The second half that belongs to a first one, if it waits. */
  partner(first: Record): Record | undefined {
    return this.#partners.get(first.cookie);
  }

  /** All that can be told at `now`. */
  *take(now: number): Generator<Paired<Record>> {
    const waiting = this.#waiting;
    let at = 0;
    try {
      while (at < waiting.length) {
        const { record, since } = waiting[at]!;
        let to: Record | undefined;
        if ((record.mask & IN_MOVED_FROM) !== 0) {
          to = this.#partners.get(record.cookie);
          if (to === undefined && now - since < GRACE) return;
        }
        this.#at = ++at;
        if (to !== undefined) {
          this.#partners.delete(record.cookie);
          this.#taken.add(to);
          yield { record, to };
        } else if ((record.mask & IN_MOVED_TO) === 0) {
          yield { record };
        } else if (!this.#taken.delete(record)) {
          this.#partners.delete(record.cookie);
          yield { record };
        }
      }
    } finally {
      this.#waiting = waiting.slice(at);
      this.#at = 0;
    }
  }
}

/**
 * {@linkcode Correlation} on the way of all of a watcher's events to the queue: with a clock, and the queue's limits.
 *
 * @module
 */

import { Correlation } from "../classify/correlation.ts";
import type { Deed } from "../classify/deed.ts";
import type { FileEvent } from "../classify/event.ts";
import type { Filter } from "./filter.ts";
import { CAPACITY, type EventQueue } from "./queue.ts";

/** Where events are from. */
export interface Source {
  /** The watched path. */
  readonly path: string;
  /** Called with events that the consumer does not get. */
  onNotTold?(events: readonly FileEvent[]): void;
}

/** What is told may have happened that much before the time since when it should have, in ms: hubs hold back a little. */
const SLACK = 50;

/** Holds events until it is known who did it. */
export class Attribution {
  readonly #queue: EventQueue;
  readonly #filter: Filter;
  readonly #join: Correlation<FileEvent>;
  readonly #sources = new WeakMap<FileEvent, Source>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due = Infinity;

  readonly #hear: () => void;

  /** `fileOf`: as {@linkcode Correlation} has it. `hear`: reads what audit has to tell now. */
  constructor(
    queue: EventQueue,
    filter: Filter,
    fileOf: (event: FileEvent) => string | undefined,
    hear: () => void,
  ) {
    this.#queue = queue;
    this.#filter = filter;
    this.#join = new Correlation(fileOf);
    this.#hear = hear;
  }

  /** Whether the queue has no room for what is held. */
  get isFull(): boolean {
    return this.#queue.isFull || this.#join.size >= CAPACITY;
  }

  /** Events that happened after `since`, in ms since the epoch. */
  push(events: readonly FileEvent[], since: number, source: Source): void {
    for (const event of events) this.#sources.set(event, source);
    const earliest = events.reduce((time, event) => Math.min(time, event.time), since);
    this.#join.push(events, earliest - SLACK, performance.now());
    this.#tell();
  }

  /** What somebody did; the path is spelled as events spell it. */
  heard(deed: Deed): void {
    this.#join.add(deed, performance.now());
    this.#tell();
  }

  /** Tells all that is held. */
  flush(): void {
    this.#release(this.#join.flush());
    clearTimeout(this.#timer);
    this.#due = Infinity;
  }

  /** The queue has room again. */
  resume(): void {
    this.#tell();
  }

  #tell(): void {
    if (this.#queue.wouldDrop) return; // what is held stays, until there is room
    const wasFull = this.isFull;
    // Timers may be early by a fraction of a millisecond.
    this.#release(this.#join.take(performance.now() + 1));
    if (wasFull && !this.isFull) this.#queue.onRoom();
    const { due } = this.#join;
    if (due === this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    if (due === Infinity) return;
    this.#timer = setTimeout(() => {
      this.#due = Infinity;
      this.#hear(); // the timer may come first where the program was busy
      this.#tell();
    }, Math.max(0, due - performance.now()));
  }

  /** Those of one source together: they are a batch. */
  #release(events: readonly FileEvent[]): void {
    for (let start = 0; start < events.length;) {
      const source = this.#sources.get(events[start]!)!;
      let end = start + 1;
      while (end < events.length && this.#sources.get(events[end]!) === source) end++;
      const batch = events.slice(start, end)
        .filter(({ actor }) => !this.#filter.ignoresProcess(actor?.pid ?? 0));
      if (!this.#queue.push(batch, source.path)) source.onNotTold?.(batch);
      start = end;
    }
  }
}

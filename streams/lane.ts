/**
 * One of the streams of a merge, which is read when its events are wanted: one batch ahead at most.
 *
 * @module
 */

import { FileEvent } from "../classify/event.ts";
import { SystemError } from "../ffi/errno.ts";
import { EventStream } from "../watch/event_stream.ts";
import type { Filter } from "../watch/filter.ts";
import { Turns } from "../watch/turns.ts";
import { readingOf } from "./reading.ts";
import { type MergeSource, type Tagged, tagged, type TaggedSource } from "./tagged.ts";

/** What a source ended with. */
export interface Failure {
  readonly error: unknown;
}

/** Who merges. */
export interface Merging {
  /** There is something to take, or to ask for. */
  changed(): void;
  /** Nothing more will come, for that reason if there is one. */
  over(lane: Lane, failure: Failure | undefined): void;
}

/** What came of one of the merged streams so far. */
export interface SourceStats<Stats = unknown> {
  /** Its events that were taken. */
  readonly events: number;
  /** The `lost` events among them, whatever they counted. */
  readonly losses: number;
  /** Whether nothing more comes from it. */
  readonly isOver: boolean;
  /** What it failed with. */
  readonly error?: unknown;
  /** Its own `stats()`; undefined where it has none. */
  readonly stats: Stats;
}

/** How a source of either kind is read. */
interface Source {
  next(): Promise<readonly unknown[] | undefined>;
  /** Ends it; what it has read can still be had where it `drains`. */
  close(): unknown;
  /** Ends it, and forgets what it has. */
  leave(): unknown;
  readonly drains: boolean;
}

/** Reads a source. */
export class Lane {
  /** What its events are tagged with. */
  readonly tag: string;
  readonly #stream: MergeSource;
  readonly #source: Source;
  readonly #filter: Filter | undefined;
  readonly #merging: Merging;
  readonly #turns = new Turns();
  /** What was read, from `#at` on not taken yet. */
  #batch: readonly Tagged[] = [];
  #at = 0;
  #isReading = false;
  #isOver = false;
  #isLeft = false;
  #closing: Promise<void> | undefined;
  #events = 0;
  #losses = 0;
  #failure: Failure | undefined;

  /** Claims the source: `TypeError` where somebody else iterates it. */
  constructor({ tag, source, filter }: TaggedSource, merging: Merging) {
    this.tag = tag;
    this.#stream = source;
    this.#source = source instanceof EventStream ? batchesOf(source) : itemsOf(source);
    this.#filter = filter;
    this.#merging = merging;
  }

  /** Reads the next batch, unless there is one, or it is being read. */
  ask(): void {
    if (this.#isReading || this.#isOver || this.#batch.length > 0) return;
    this.#isReading = true;
    void this.#read();
  }

  async #read(): Promise<void> {
    try {
      // What has always something at hand would keep others, who wait for the event loop, from having anything.
      if (this.#turns.isOver) await this.#turns.next();
      if (this.#isOver) return;
      const items = await this.#source.next();
      if (this.#isOver) return;
      if (items === undefined) this.#end();
      else this.#hold(items);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isReading = false;
      this.#merging.changed();
    }
  }

  #hold(items: readonly unknown[]): void {
    const events = items.map((item) => tagged(this.tag, item));
    const filter = this.#filter;
    this.#batch = filter === undefined
      ? events
      : events.filter(({ event: { kind } }) => filter.wants(kind));
    this.#at = 0;
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.#failure = { error };
    this.#end(this.#failure);
    this.close().catch(() => {}); // why it failed says more
  }

  #end(failure?: Failure): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#merging.over(this, failure);
  }

  /** Tells as a loss that nothing more comes from here. */
  tell({ error }: Failure): void {
    const reason = error instanceof Error ? error.message : String(error);
    const path = error instanceof SystemError && error.path !== undefined ? error.path : "/";
    const attributes = { reason, cause: error };
    const event = FileEvent.from({ kind: "lost", path, attributes }, Date.now(), "sentinode");
    this.#batch = [{ tag: this.tag, event }];
    this.#at = 0;
  }

  /** Up to that many of the events that were read; undefined where there are none. */
  take(most: number): readonly Tagged[] | undefined {
    if (this.#batch.length === 0) return undefined;
    const [start, end] = [this.#at, this.#at + most];
    const taken = start === 0 && end >= this.#batch.length
      ? this.#batch
      : this.#batch.slice(start, end);
    this.#at = end;
    if (end >= this.#batch.length) this.#batch = [];
    this.#events += taken.length;
    for (const { event } of taken) if (event.kind === "lost") this.#losses++;
    return taken;
  }

  /** Nothing of it is wanted any more, whatever it has. */
  leave(): void {
    this.#isLeft = true;
    this.#batch = [];
    this.#end();
  }

  /** Ends the source, once; rejects with what it rejects with. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    if (!this.#source.drains) this.#end();
    try {
      await (this.#isLeft ? this.#source.leave() : this.#source.close());
    } catch (error) {
      this.#end(); // who knows whether it still ends by itself
      throw error;
    }
  }

  /** Whether nothing more will be read. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** When the source is ready; at once where it does not say. */
  get ready(): unknown {
    return "ready" in this.#stream ? this.#stream.ready : undefined;
  }

  /** What came of it so far. */
  stats(): SourceStats {
    const stream = this.#stream;
    return {
      events: this.#events,
      losses: this.#losses,
      isOver: this.#isOver,
      ...this.#failure,
      stats: "stats" in stream && typeof stream.stats === "function" ? stream.stats() : undefined,
    };
  }
}

/** Our own streams tell all that was read before they were closed. */
function batchesOf(stream: EventStream<unknown>): Source {
  const batches = stream.batches();
  return {
    next: async () => (await batches.next()).value,
    close: () => stream.close(),
    leave: () => batches.return!(),
    drains: true,
  };
}

/** As `for await` has it. */
function itemsOf(items: MergeSource): Source {
  const reading = readingOf(items);
  let [isReading, isDone] = [false, false];
  const leave = async () => {
    if (isDone) return;
    const left = Promise.try(() => reading.leave());
    // A generator leaves when what it waits for has come, which may be never.
    if (isReading) left.catch(() => {});
    else await left;
  };
  return {
    async next() {
      isReading = true;
      try {
        const { done, value } = await reading.next();
        isDone = done === true;
        return isDone ? undefined : [value];
      } catch (error) {
        isDone = true;
        throw error;
      } finally {
        isReading = false;
      }
    },
    close: leave,
    leave,
    drains: false,
  };
}

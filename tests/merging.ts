/**
 * Streams that do what a test says, to be merged.
 *
 * @module
 */

import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { FileEvent, type WatchEvent } from "../classify/event.ts";
import { EventStream } from "../watch/event_stream.ts";
import { EventQueue } from "../watch/queue.ts";

/** An event of the program's own, told by its path. */
export function event(path: string): FileEvent {
  return FileEvent.from({ kind: "user.x", path }, 0, "test");
}

/** `count` events `NAME0`, `NAME1` … */
export function events(name: string, count: number, first = 0): FileEvent[] {
  return Array.from({ length: count }, (_, i) => event(`${name}${first + i}`));
}

/** Until all is done that is at hand. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 3; i++) await setImmediate();
}

/** A queue of which nobody may take twice at once. */
class WatchedQueue extends EventQueue {
  taken = 0;
  #isTaken = false;

  override async take(): Promise<readonly WatchEvent[] | undefined> {
    assert(!this.#isTaken, "two takes at once");
    this.#isTaken = true;
    this.taken++;
    try {
      return await super.take();
    } finally {
      this.#isTaken = false;
    }
  }
}

/** One of our own streams. */
export class Fake extends EventStream {
  readonly queue: WatchedQueue;
  readonly arming: PromiseWithResolvers<void> = Promise.withResolvers<void>();
  readonly ready: Promise<void> = this.arming.promise;
  /** How often it was closed. */
  closed = 0;
  /** What closing does before the queue is ended. */
  closing: () => void | Promise<void> = () => {};

  constructor(bounded = true) {
    const queue = new WatchedQueue(bounded);
    super(queue, "fake");
    this.queue = queue;
    this.ready.catch(() => {});
  }

  push(...events: FileEvent[]): void {
    this.queue.push(events, "/fake");
  }

  stats(): { events: number; dropped: number } {
    const { events, dropped } = this.queue.stats;
    return { events, dropped };
  }

  override async close(): Promise<void> {
    this.closed++;
    await this.closing();
    this.queue.end();
  }
}

/** Anybody's iterator. */
export class Iterated implements AsyncIterable<WatchEvent>, AsyncIterator<WatchEvent> {
  readonly #queue = new EventQueue(false);
  /** How often it was asked for the next event, and told to end. */
  asked = 0;
  returned = 0;
  #isAsked = false;
  returning: () => void | Promise<void> = () => {};

  push(...events: FileEvent[]): void {
    for (const one of events) this.#queue.push([one], "/");
  }

  end(failure?: { readonly error: unknown }): void {
    this.#queue.end(failure);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<WatchEvent>> {
    assert(!this.#isAsked, "two next() at once");
    this.#isAsked = true;
    this.asked++;
    try {
      const batch = await this.#queue.take();
      return batch === undefined
        ? { done: true, value: undefined }
        : { done: false, value: batch[0]! };
    } finally {
      this.#isAsked = false;
    }
  }

  async return(): Promise<IteratorResult<WatchEvent>> {
    this.returned++;
    await this.returning();
    return { done: true, value: undefined };
  }
}

/**
 * A stream of events with one consumer: event by event, or batch by batch.
 *
 * @module
 */

import type { WatchEvent } from "../classify/event.ts";
import type { Batches } from "./batches.ts";

const END: IteratorReturnResult<undefined> = { done: true, value: undefined };

/**
 * What comes in batches, for one consumer.
 *
 * - **One consumer.** Iterating twice is a `TypeError`.
 * - **Every end closes it.** `break`, `return`, an exception in the loop.
 */
export abstract class EventStream<Event = WatchEvent>
  implements AsyncIterable<Event>, AsyncDisposable {
  readonly #queue: Batches<Event>;
  /** What it is called in messages. */
  readonly #name: string;
  #isIterated = false;

  /** Streams what the queue gives. */
  constructor(queue: Batches<Event>, name: string) {
    this.#queue = queue;
    this.#name = name;
  }

  /** Whether somebody takes the events. */
  protected get isIterated(): boolean {
    return this.#isIterated;
  }

  /** Called once, when somebody begins to take the events. */
  protected iterated(): void {}

  /** Settles once: when all that happens from now on is told, or with what prevented it. */
  abstract readonly ready: Promise<void>;

  /** Counters since it was opened. */
  abstract stats(): object;

  /** Ends the stream and gives back all that it takes. Always the same promise. */
  abstract close(): Promise<void>;

  /** {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What each read gave, as one array. */
  batches(): AsyncIterableIterator<readonly Event[]> {
    this.#claim();
    return this.#iterator(async () => {
      const value = await this.#queue.take();
      return value === undefined ? END : { done: false, value };
    });
  }

  /** Event by event. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Event> {
    this.#claim();
    let batch: readonly Event[] = [];
    let at = 0;
    const refill = async (): Promise<IteratorResult<Event, undefined>> => {
      while (at >= batch.length) {
        const next = await this.#queue.take();
        if (next === undefined) return END;
        batch = next;
        at = 0;
      }
      return { done: false, value: batch[at++]! };
    };
    // Calls of next() may overlap; they are answered in their order.
    let waiting = 0;
    let last: Promise<unknown> = Promise.resolve();
    const wait = (): Promise<IteratorResult<Event, undefined>> => {
      waiting++;
      const result = last.then(refill).finally(() => waiting--);
      last = result.catch(() => {});
      return result;
    };
    return this.#iterator(() =>
      waiting === 0 && at < batch.length
        ? Promise.resolve({ done: false, value: batch[at++]! })
        : wait()
    );
  }

  #claim(): void {
    if (this.#isIterated) {
      throw new TypeError(`Cannot iterate the ${this.#name}: it is already iterated`);
    }
    this.#isIterated = true;
    this.iterated();
  }

  #iterator<T>(next: () => Promise<IteratorResult<T, undefined>>): AsyncIterableIterator<T> {
    const end = async (): Promise<IteratorResult<T, undefined>> => {
      this.#queue.clear();
      await this.close();
      return END;
    };
    const iterator: AsyncIterableIterator<T> = {
      next,
      return: end,
      throw: async (error) => {
        await end();
        throw error;
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }
}

/**
 * A stream of events with one consumer: event by event, or batch by batch.
 *
 * @module
 */

import type { WatchEvent } from "../classify/event.ts";
import type { EventQueue } from "./queue.ts";

const END: IteratorReturnResult<undefined> = { done: true, value: undefined };

/**
 * What an {@linkcode EventQueue} holds, for one consumer.
 *
 * - **One consumer.** Iterating twice is a `TypeError`.
 * - **Every end closes it.** `break`, `return`, an exception in the loop.
 */
export abstract class EventStream<Event extends WatchEvent = WatchEvent>
  implements AsyncIterable<Event>, AsyncDisposable {
  /** @internal */
  protected readonly queue: EventQueue<Event>;
  /** What it is called in messages. */
  readonly #name: string;
  #isIterated = false;

  /** @internal */
  constructor(queue: EventQueue<Event>, name: string) {
    this.queue = queue;
    this.#name = name;
  }

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
      const value = await this.queue.take();
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
        const next = await this.queue.take();
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
  }

  #iterator<T>(next: () => Promise<IteratorResult<T, undefined>>): AsyncIterableIterator<T> {
    const end = async (): Promise<IteratorResult<T, undefined>> => {
      this.queue.clear();
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

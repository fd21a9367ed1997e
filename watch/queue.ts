/**
 * The queue between the backends and the consumer: batches in, batches or single events out.
 *
 * @module
 */

import { FileEvent, type WatchEvent } from "../classify/event.ts";

/** How many events wait for a slow consumer before the backends are asked to leave the rest in the kernel. */
export const CAPACITY = 16_384;

/** What the queue did so far. */
export interface QueueStats {
  /** Events that were queued. */
  readonly events: number;
  /** Events that came while the queue was full. */
  readonly dropped: number;
  /** The most events that waited at once. */
  readonly highWater: number;
}

/** A first-in, first-out queue with one consumer; what the queue itself tells is a plain event of kind `lost`. */
export class EventQueue<Event extends WatchEvent = WatchEvent> {
  /** Called when the consumer has made room in a full queue. */
  onRoom: () => void = () => {};
  readonly #bounded: boolean;
  #batches: (readonly Event[])[] = [];
  #waiting = 0;
  #wakes: (() => void)[] = [];
  #ended = false;
  #failure: { readonly error: unknown } | undefined;
  #loss: { readonly event: FileEvent; count: number } | undefined;
  #events = 0;
  #dropped = 0;
  #highWater = 0;

  /** A queue that drops (and says so) when full, or one that grows with its unread events. */
  constructor(bounded: boolean) {
    this.#bounded = bounded;
  }

  /** Whether the consumer is a whole capacity behind. */
  get isFull(): boolean {
    return this.#waiting >= CAPACITY;
  }

  /** Whether what is added now would be dropped. */
  get wouldDrop(): boolean {
    return this.#bounded && this.isFull;
  }

  /**
   * Adds events. Where the queue is full already, because the source serves others who have room, they are dropped, and
   * a `lost` event that stands in their place counts them; then false.
   */
  push(events: readonly Event[], path: string): boolean {
    if (this.#ended || events.length === 0) return true;
    if (this.wouldDrop) {
      this.#drop(events.length, path);
      return false;
    }
    this.#loss = undefined;
    this.#add(events);
    return true;
  }

  #add(events: readonly Event[]): void {
    this.#batches.push(events);
    this.#waiting += events.length;
    this.#events += events.length;
    if (this.#waiting > this.#highWater) this.#highWater = this.#waiting;
    this.#wake();
  }

  #drop(count: number, path: string): void {
    this.#dropped += count;
    const reason = "the consumer was too slow";
    if (this.#loss === undefined) {
      const event = FileEvent.from({ kind: "lost", path }, Date.now(), "sentinode");
      this.#loss = { event, count: 0 };
      this.#add([event as WatchEvent as Event]);
    }
    this.#loss.count += count;
    this.#loss.event.attributes = { count: this.#loss.count, reason };
  }

  /** Ends the stream after what is queued, with an error if one is given. */
  end(failure?: { readonly error: unknown }): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = failure;
    this.#wake();
  }

  /** Lets everybody who waits look, in the order in which they came. */
  #wake(): void {
    const wakes = this.#wakes;
    this.#wakes = [];
    for (const wake of wakes) wake();
  }

  /** Forgets what is queued: nobody will read it. */
  clear(): void {
    this.#batches = [];
    this.#waiting = 0;
  }

  /** The next batch; undefined at the end. Rejects once with the error that ended the stream. */
  async take(): Promise<readonly Event[] | undefined> {
    for (;;) {
      const batch = this.takeNow();
      if (batch !== undefined) return batch;
      if (this.#ended) {
        const failure = this.#failure;
        this.#failure = undefined;
        if (failure !== undefined) throw failure.error;
        return undefined;
      }
      await new Promise<void>((resolve) => this.#wakes.push(resolve));
    }
  }

  /** The next batch if one waits. */
  takeNow(): readonly Event[] | undefined {
    const batch = this.#batches.shift();
    if (batch === undefined) return undefined;
    const wasFull = this.isFull;
    this.#waiting -= batch.length;
    if (wasFull && !this.isFull) this.onRoom();
    return batch;
  }

  get stats(): QueueStats {
    return { events: this.#events, dropped: this.#dropped, highWater: this.#highWater };
  }
}

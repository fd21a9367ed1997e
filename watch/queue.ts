/**
 * The queue between the backends and the consumer: batches in, batches or single events out.
 *
 * @module
 */

import { FileEvent, type WatchEvent } from "../classify/event.ts";
import { Batches } from "./batches.ts";

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
export class EventQueue<Event extends WatchEvent = WatchEvent> extends Batches<Event> {
  /** Called when the consumer has made room in a full queue. */
  onRoom: () => void = () => {};
  readonly #bounded: boolean;
  #batches: (readonly Event[])[] = [];
  #waiting = 0;
  #loss: { readonly event: FileEvent; count: number } | undefined;
  #events = 0;
  #dropped = 0;
  #highWater = 0;

  /** A queue that drops (and says so) when full, or one that grows with its unread events. */
  constructor(bounded: boolean) {
    super();
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
    if (this.isEnded || events.length === 0) return true;
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
    this.wake();
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

  /** Forgets what is queued: nobody will read it. */
  override clear(): void {
    this.#batches = [];
    this.#waiting = 0;
  }

  /** The next batch if one waits. */
  override takeNow(): readonly Event[] | undefined {
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

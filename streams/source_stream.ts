/**
 * A stream that opens something of the system's, and gives it back at every end.
 *
 * @module
 */

import type { WatchEvent } from "../classify/event.ts";
import { reactor } from "../ffi/reactor.ts";
import { EventStream } from "../watch/event_stream.ts";
import { EventQueue } from "../watch/queue.ts";

/** What all streams have in common that are no watch of files: how they begin, fail and end. */
export abstract class SourceStream<Event extends WatchEvent> extends EventStream<Event> {
  /** Settles once: resolves when all that happens from now on is told, rejects with what prevented it. */
  readonly ready: Promise<void>;
  /**
   * What waits for the consumer.
   *
   * @internal
   */
  protected readonly queue: EventQueue<Event>;
  readonly #signal: AbortSignal | undefined;
  readonly #opened: Promise<void>;
  #closing: Promise<void> | undefined;

  /** Begins at once; where `isBounded`, what is told while the queue is full is dropped, and counted. */
  constructor(name: string, isBounded: boolean, signal: AbortSignal | undefined) {
    const queue = new EventQueue<Event>(isBounded);
    super(queue, name);
    this.queue = queue;
    this.#signal = signal;
    // A turn later, when the fields of the class that extends this one are there.
    this.#opened = Promise.resolve().then(() => this.isOpen ? this.open() : undefined);
    this.ready = this.#opened.then(() => this.armed()).catch(async (error) => {
      this.queue.end({ error });
      await this.close().catch(() => {}); // what prevented it says more
      throw error;
    });
    this.ready.catch(() => {}); // the iterator throws the same
    if (signal?.aborted) this.end();
    else signal?.addEventListener("abort", this.end);
  }

  /** Opens the source, as long as the stream {@linkcode isOpen}. */
  protected abstract open(): Promise<void>;

  /** Gives back what {@linkcode open} took, however far it came. */
  protected abstract giveBack(): void | Promise<void>;

  /** Resolves when what was opened tells all. */
  protected armed(): Promise<void> | void {}

  /** It is about to end: wakes what {@linkcode open} or a reader waits for. */
  protected ending(): void {}

  /** Whether it has not ended, and is not about to. */
  protected get isOpen(): boolean {
    return this.#closing === undefined;
  }

  /** Ends it where nobody waits for that: what goes wrong is thrown to the iterator. */
  protected readonly end = (): void => void this.close().catch(() => {});

  /** Ends it with an error, after what is queued. */
  protected fail(error: unknown): void {
    this.queue.end({ error });
    this.end();
  }

  /** Ends the stream and gives back all that it takes. Always the same promise. */
  override close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    await null; // so that `#closing` is set before anything asks for it
    this.#signal?.removeEventListener("abort", this.end);
    this.ending();
    await this.#opened.catch(() => {});
    try {
      await this.giveBack();
      await reactor().then((loop) => loop.idle(), () => {}); // there is none without libc, and nothing to wait for
    } catch (error) {
      this.queue.end({ error });
      throw error;
    } finally {
      this.queue.end();
    }
  }
}

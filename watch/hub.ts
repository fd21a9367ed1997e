/**
 * A kernel queue that serves many watchers.
 *
 * @module
 */

import type { Libc } from "../ffi/port.ts";
import type { Reactor } from "../ffi/reactor.ts";
import type { Feed, Gap } from "./feed.ts";
import { Turns } from "./turns.ts";

/**
 * How long is read before the event loop has its turn, in ms: about a full batch. What comes in small pieces is read to its
 * end meanwhile, else others who are always busy on the same filesystem would have the end never be reached.
 */
const SLICE = 1;

/** Reads a queue while somebody is fed from it. `Home` is what a hub keeps with each feed. */
export abstract class Hub<Home> {
  protected readonly libc: Libc;
  protected readonly reactor: Reactor;
  /** Those who are fed. */
  protected readonly homes: Map<Feed, Home> = new Map();
  #caughtUpAt = Date.now();
  #settling: (() => void)[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer is due, on the clock of `performance.now()`. */
  #due = Infinity;
  #running = false;
  #closed = false;

  constructor(libc: Libc, reactor: Reactor) {
    this.libc = libc;
    this.reactor = reactor;
  }

  /** The queue's file descriptor. */
  protected abstract get fd(): number;

  /** Works on what one read gives; false when nothing was queued. */
  protected abstract turn(): boolean;

  /** Takes back what only `feed` needed. */
  protected abstract withdraw(feed: Feed, home: Home): void;

  /** Closes the queue; the kernel drops its marks. */
  protected abstract closeQueue(): void;

  /** How many watches or marks of the kernel `feed` takes. */
  abstract marks(feed: Feed): number;

  /** Begins to read; closes the queue where it cannot. */
  protected start(): void {
    try {
      this.reactor.add(this.fd, () => void this.run());
    } catch (error) {
      this.closeQueue();
      throw error;
    }
  }

  /**
   * Reads until nothing is queued, a full batch a turn of the event loop: the consumer has it before the next is made, and
   * a batch that is forgotten young costs the garbage collector nothing. While everybody is full the kernel keeps the
   * backlog, until {@linkcode resume}.
   */
  protected async run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    const turns = new Turns(SLICE);
    try {
      while (!this.#closed && !this.isFull()) {
        const now = Date.now();
        const more = this.turn();
        for (const feed of this.homes.keys()) feed.flush();
        if (!more) {
          this.#caughtUpAt = now;
          this.reactor.arm(this.fd);
          break;
        }
        if (turns.isOver) await turns.next();
      }
    } catch (error) {
      for (const feed of this.homes.keys()) feed.sink.fail(error);
    } finally {
      this.#running = false;
    }
  }

  /** Whether no feed has room. One that has keeps the queue moving; the full ones then count what they lose. */
  protected isFull(): boolean {
    if (this.homes.size === 0) return false;
    for (const feed of this.homes.keys()) if (!feed.sink.full) return false;
    return true;
  }

  /** Some feed has room again. */
  resume(): void {
    void this.run();
  }

  /** Reads again after `delay` ms at the latest, whether or not something is queued then. */
  protected runLater(delay: number): void {
    const due = performance.now() + delay;
    if (due >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => {
      this.#due = Infinity;
      void this.run();
    }, delay);
  }

  /** Resolves once everything was processed that is queued now. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#settling.push(resolve);
      if (this.#closed) this.#settle();
      else this.runLater(0);
    });
  }

  /** Whether there is work that waits for the next time that all is processed. */
  get isBehind(): boolean {
    return false;
  }

  /** What was queued is processed. */
  protected caughtUp(): void {
    this.#settle();
  }

  /** When nothing was queued last, in ms since the epoch: what is told now happened later. */
  get caughtUpAt(): number {
    return this.#caughtUpAt;
  }

  #settle(): void {
    const settling = this.#settling;
    this.#settling = [];
    for (const resolve of settling) resolve();
  }

  /** What of `feed` is not covered, and why. */
  gaps(feed: Feed): readonly Gap[] {
    return feed.gaps;
  }

  /** Whether it was closed with its last feed. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Closes the queue if nobody is fed from it. */
  closeIfIdle(): void {
    if (this.#closed || this.homes.size > 0) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.reactor.remove(this.fd);
    this.closeQueue();
    this.#settle();
  }

  /** Bytes read so far. */
  abstract get bytesRead(): number;

  /** Feeds `feed` from now on. */
  protected settle(feed: Feed, home: Home): void {
    this.homes.set(feed, home);
    this.#wake();
  }

  /** While all were full nothing was read; who comes has room, and who goes takes none any more. */
  #wake(): void {
    if (!this.#closed) this.runLater(0);
  }

  /** Takes `feed` back, and everything that only it needed. */
  remove(feed: Feed): void {
    const home = this.homes.get(feed);
    if (home === undefined) return;
    this.homes.delete(feed);
    this.withdraw(feed, home);
    this.closeIfIdle();
    this.#wake();
  }

  /** Loss that concerns every feed. */
  protected lostAll(reason: string): void {
    for (const feed of this.homes.keys()) feed.lost(reason);
  }
}

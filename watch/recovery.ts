/**
 * Repairs what a loss broke: keeps a picture of what the consumer knows, compares it with the tree after a loss, and tells
 * the difference.
 *
 * @module
 */

import { compare, type Judge, KNOWN, since } from "../backends/poll/compare.ts";
import type { FileEvent } from "../classify/event.ts";
import type { Libc } from "../ffi/port.ts";
import { Differences } from "./differences.ts";
import type { Feed } from "./feed.ts";
import { Picture } from "./picture.ts";

/** The recovery of one feed. */
export class Recovery {
  readonly #feed: Feed;
  readonly #differences: Differences;
  readonly #picture: Picture;
  /** Since when something may be missing, in ms since the epoch. */
  #since: number | undefined;
  /** How many losses there were. */
  #losses = 0;
  #isRunning = false;
  /** Between a loss and the first time that all was read behind the comparison, records may tell what it told. */
  #overlaps = false;
  /** Events that the comparison found: the picture has them. */
  readonly #found = new Set<FileEvent>();

  constructor(libc: Libc, feed: Feed) {
    this.#feed = feed;
    this.#differences = new Differences(libc, feed);
    this.#picture = new Picture(feed.directory);
    feed.recovery = this;
  }

  /** How many names the picture has. */
  get names(): number {
    return this.#picture.index.size;
  }

  /** Begins to learn the names that are there; call it when the feed is armed. */
  begin(): void {
    void this.#run();
  }

  /** Something was lost since that time, in ms since the epoch. */
  lost(time: number): void {
    this.#losses++;
    this.#since = Math.min(time, this.#since ?? time);
    this.#overlaps = true;
    void this.#run();
  }

  /** The consumer did not get these events. */
  dropped(events: readonly FileEvent[]): void {
    for (const event of events.toReversed()) this.#picture.undo(event);
    this.lost(events[0]!.time);
  }

  /** Notes what is about to be told; what of it is news. */
  note(events: FileEvent[]): FileEvent[] {
    if (!this.#overlaps && this.#found.size === 0) {
      for (const event of events) this.#picture.apply(event);
      return events;
    }
    return events.filter((event) =>
      this.#found.delete(event) || this.#picture.apply(event) || !this.#overlaps
    );
  }

  /** All that was queued has been told. */
  caughtUp(): void {
    if (this.#since === undefined) this.#overlaps = false;
  }

  /** The consumer has room again. */
  resume(): void {
    this.#differences.resume();
  }

  stop(): void {
    this.#differences.stop();
  }

  /** Compares as long as there is anything to compare. */
  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (;;) {
        const { unlisted } = this.#picture;
        if (this.#since !== undefined) {
          const [time, losses, start] = [this.#since, this.#losses, Date.now()];
          // All that is not listed yet is looked at as well.
          unlisted.length = 0;
          await this.#tell(since(time * 1000));
          if (this.#differences.isStopped) return;
          // What was lost meanwhile happened after this comparison began.
          this.#since = losses === this.#losses ? undefined : start;
          if (this.#since === undefined) this.#feed.recovered();
        } else if (unlisted.length > 0) {
          await this.#tell(KNOWN, unlisted.splice(0));
          if (this.#differences.isStopped) return;
        } else return;
      }
    } catch (error) {
      this.#feed.sink.fail(error);
    } finally {
      this.#isRunning = false;
    }
  }

  async #tell(judge: Judge, from?: readonly number[]): Promise<void> {
    const differences = compare(this.#differences.ground(), this.#picture.index, judge, from);
    await this.#differences.tellAll(differences, (event) => this.#found.add(event));
  }
}

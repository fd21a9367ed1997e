/**
 * Repairs what a loss broke: keeps a picture of what the consumer knows, compares it with the tree after a loss, and tells
 * the difference.
 *
 * @module
 */

import { compare, type Judge, KNOWN, KNOWN_WITH_STATUS, since } from "../backends/poll/compare.ts";
import type { FileEvent } from "../classify/event.ts";
import type { Libc } from "../ffi/port.ts";
import { Differences } from "./differences.ts";
import type { Feed } from "./feed.ts";
import { Picture } from "./picture.ts";
import { pauseAfter } from "./poller.ts";

/** Directories that nobody tells of, as long as there are any: their paths as events spell them. */
export type Uncovered = () => readonly Uint8Array[];

/** The recovery of one feed. */
export class Recovery {
  readonly #feed: Feed;
  readonly #differences: Differences;
  readonly #picture: Picture;
  /** Whether losses are repaired; else only what a limit leaves uncovered is looked at. */
  readonly #repairs: boolean;
  /** Since when something may be missing, in ms since the epoch. */
  #since: number | undefined;
  /** How many losses there were. */
  #losses = 0;
  #isRunning = false;
  /** Whether names are being learned, or were since all was read: what is still queued may be of names that are known. */
  #isLearning = false;
  #isListing = false;
  /** Between a loss and the first time that all was read behind the comparison, records may tell what it told. */
  #overlaps = false;
  /** The time of an exchange that a comparison may have told before, since the last loss. */
  #exchanged: number | undefined;
  #isRechecked = false;
  /** Events that the comparison found: the picture has them. */
  readonly #found = new Set<FileEvent>();
  #uncovered: Uncovered | undefined;
  /** The directories of the last look at what is uncovered. */
  #polled: number[] = [];
  /** When that began, in ms since the epoch. */
  #polledAt = 0;
  #isPollDue = false;
  #pollTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(libc: Libc, feed: Feed, repairs: boolean) {
    this.#feed = feed;
    this.#differences = new Differences(libc, feed);
    this.#picture = new Picture(feed.directory);
    this.#repairs = repairs;
  }

  /** The tree has another path now. */
  renamed(root: string): void {
    this.#picture.renamed(root);
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
    if (!this.#repairs) return;
    this.#isRechecked = false;
    this.#lost(time);
  }

  #lost(time: number): void {
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

  /**
   * Polls what a limit leaves uncovered since `time`, in ms since the epoch: nobody else tells of it. A look once a second,
   * or less often where looking takes long; another call takes the next one forward once all is covered.
   */
  poll(uncovered: Uncovered, time: number): void {
    const isNew = this.#uncovered === undefined;
    this.#prepare(uncovered, time);
    if (isNew || uncovered().length === 0) this.#pollNow();
  }

  /** {@linkcode poll} from the beginning of the watch on: what is there by now is known. */
  async pollFromNow(uncovered: Uncovered): Promise<void> {
    const start = performance.now();
    this.#prepare(uncovered, Date.now());
    this.#polled = this.#entries(uncovered());
    await this.#tell(KNOWN_WITH_STATUS, this.#polled);
    this.#pollLater(start);
  }

  #prepare(uncovered: Uncovered, time: number): void {
    if (this.#uncovered !== undefined) return;
    this.#uncovered = uncovered;
    this.#polledAt = time;
    this.#picture.index.keepStatus();
  }

  /** A directory that is not covered has appeared: all that is in it is news. */
  appeared(path: Uint8Array): void {
    const entry = this.#picture.enter(path);
    if (entry !== undefined) this.#picture.index.setListed(entry);
  }

  /** Notes what is about to be told; what of it is news. */
  note(events: FileEvent[]): FileEvent[] {
    const mayBeKnown = this.#overlaps && !this.#isLearning;
    if (!mayBeKnown && this.#found.size === 0) {
      for (const event of events) this.#picture.apply(event);
      return events;
    }
    if (this.#overlaps) this.#exchanged ??= events.find(isExchange)?.time;
    return events.filter((event) =>
      this.#found.delete(event) || this.#picture.apply(event) || !mayBeKnown
    );
  }

  /** All that was queued has been told. */
  caughtUp(): void {
    if (!this.#isListing) this.#isLearning = false;
    if (this.#since !== undefined || this.#isPollDue) return;
    this.#overlaps = false;
    const exchanged = this.#exchanged;
    this.#exchanged = undefined;
    // What an exchange leaves does not show whether it was told before; and told twice, it is undone.
    if (exchanged === undefined || this.#isRechecked || !this.#repairs) return;
    this.#isRechecked = true;
    this.#lost(exchanged);
  }

  /** The consumer has room again. */
  resume(): void {
    this.#differences.resume();
  }

  stop(): void {
    clearTimeout(this.#pollTimer);
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
        } else if (this.#isPollDue) {
          await this.#poll();
          if (this.#differences.isStopped) return;
          this.#isPollDue = false;
        } else if (unlisted.length > 0 && this.#repairs) {
          this.#isLearning = this.#isListing = true;
          await this.#tell(KNOWN, unlisted.splice(0));
          this.#isListing = false;
          if (this.#differences.isStopped) return;
        } else return;
      }
    } catch (error) {
      this.#feed.sink.fail(error);
    } finally {
      this.#isRunning = false;
    }
  }

  #pollLater(start: number): void {
    if (this.#differences.isStopped) return;
    this.#pollTimer = setTimeout(() => this.#pollNow(), pauseAfter(start));
  }

  #pollNow(): void {
    clearTimeout(this.#pollTimer);
    this.#isPollDue = this.#overlaps = true;
    void this.#run();
  }

  /** Looks at what is not covered, and a last time at what was not when it was looked at before. */
  async #poll(): Promise<void> {
    const [time, start] = [Date.now(), performance.now()];
    const now = this.#entries(this.#uncovered!());
    await this.#tell(since(this.#polledAt * 1000), [...new Set([...now, ...this.#polled])]);
    if (this.#differences.isStopped) return;
    this.#polled = now;
    this.#polledAt = time;
    if (now.length > 0) return this.#pollLater(start);
    this.#uncovered = undefined;
    this.#picture.index.dropStatus();
    if (this.#repairs) this.#feed.recovered();
  }

  #entries(paths: readonly Uint8Array[]): number[] {
    return paths.map((path) => this.#picture.enter(path)).filter((entry) => entry !== undefined);
  }

  async #tell(judge: Judge, from?: readonly number[]): Promise<void> {
    const differences = compare(this.#differences.ground(), this.#picture.index, judge, from);
    await this.#differences.tellAll(differences, (event) => this.#found.add(event));
  }
}

function isExchange({ attributes }: FileEvent): boolean {
  return attributes.exchange === true;
}

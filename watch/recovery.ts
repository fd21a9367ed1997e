/**
 * Repairs what a loss broke: keeps a picture of what the consumer knows, compares it with the tree after a loss, and tells
 * the difference.
 *
 * Reading goes on meanwhile. What is read after a directory was looked at may have happened before: then it is told
 * already, or it is of a state that is over, and to follow it leads astray. So what was read while a comparison ran, or
 * was queued by its end, is checked by another one, until one was not disturbed.
 *
 * @module
 */

import { compare, type Judge, KNOWN, KNOWN_WITH_STATUS, since } from "../backends/poll/compare.ts";
import { ROOT } from "../backends/poll/file_index.ts";
import { isWithin } from "../backends/mounts/mountinfo.ts";
import type { FileEvent } from "../classify/event.ts";
import type { Libc } from "../ffi/port.ts";
import { encodeText } from "../ffi/text.ts";
import { Differences } from "./differences.ts";
import type { Feed } from "./feed.ts";
import { isStructural, Picture } from "./picture.ts";
import { PAUSE, pauseAfter } from "./poller.ts";

/** Directories that nobody tells of, as long as there are any: their paths as events spell them. */
export type Uncovered = () => readonly Uint8Array[];

/** The recovery of one feed. */
export class Recovery {
  readonly #feed: Feed;
  readonly #differences: Differences;
  readonly #picture: Picture;
  readonly #settled: (() => Promise<void>) | undefined;
  /** Since when something may be missing, in ms since the epoch. */
  #since: number | undefined;
  /** How many losses there were. */
  #losses = 0;
  #isRunning = false;
  /** Whether names are being learned, or were since all was read: what is still queued may be of names that are known. */
  #isLearning = false;
  #isListing = false;
  /** Whether a loss was told that is not to be compared yet. */
  #isAwaited = false;
  /** Whether a loss is not recovered yet: records may tell what is known, or is over. */
  #isRecovering = false;
  /** When the last comparison began, in ms since the epoch. */
  #comparedAt = 0;
  /** Whether names came or went since then, as records say. */
  #isDisturbed = false;
  #endPause: (() => void) | undefined;
  /** From a look at what is uncovered until all is read that was queued then, records may tell what it told. */
  #overlaps = false;
  /** Events that the comparison found: the picture has them. */
  readonly #found = new Set<FileEvent>();
  #uncovered: Uncovered | undefined;
  /** The directories of the last look at what is uncovered. */
  #polled: number[] = [];
  /** When that began, in ms since the epoch. */
  #polledAt = 0;
  #isPollDue = false;
  #pollTimer: ReturnType<typeof setTimeout> | undefined;
  /** Directories of which other contents are to be seen, and who waits for that to be told. */
  #remounted: string[] = [];
  #remountTold: (() => void)[] = [];
  /** What alone is being recovered; undefined where that is everything. */
  #scope: readonly string[] | undefined;

  /**
   * `settled` resolves once everything was told that is queued now; without it losses are not repaired, and only what a
   * limit leaves uncovered is looked at.
   */
  constructor(libc: Libc, feed: Feed, settled?: () => Promise<void>) {
    this.#feed = feed;
    this.#differences = new Differences(libc, feed);
    this.#picture = new Picture(feed.directory);
    this.#settled = settled;
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

  /** {@linkcode begin} where the consumer knows nothing of what is there; resolves once it was told. */
  show(): Promise<void> {
    this.#picture.unlisted.length = 0;
    this.#picture.index.setListed(ROOT);
    return this.remounted([this.#feed.directory]);
  }

  /**
   * Something was mounted on these directories, or is not any more: what it hides is told to be removed, what it shows to be
   * created. They are paths as events spell them; resolves once that was told.
   */
  remounted(paths: readonly string[]): Promise<void> {
    if (this.#settled === undefined || this.#differences.isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      this.#remounted.push(...paths);
      this.#remountTold.push(resolve);
      this.#scope = this.#isRecovering ? this.#scope && [...this.#scope, ...paths] : paths;
      this.#isRecovering = true;
      void this.#run();
    });
  }

  /** Something was lost: what is read from now on may be known already. {@linkcode lost} follows. */
  lostSome(): void {
    if (this.#settled === undefined) return;
    this.#isRecovering = true;
    this.#scope = undefined;
    this.#isAwaited = true;
  }

  /** Something was lost since that time, in ms since the epoch. */
  lost(time: number): void {
    if (this.#settled === undefined) return;
    this.#losses++;
    this.#since = Math.min(time, this.#since ?? time);
    this.#isRecovering = true;
    this.#scope = undefined;
    this.#isAwaited = false;
    this.#endPause?.();
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
    const isDoubtful = (this.#overlaps || this.#isRecovering) && !this.#isLearning;
    if (!isDoubtful && this.#found.size === 0) {
      for (const event of events) this.#picture.apply(event);
      return events;
    }
    return events.filter((event) => {
      if (this.#found.delete(event)) return true;
      const isRecovering = this.#isRecovering && this.#isInScope(event);
      const mayBeKnown = (this.#overlaps || isRecovering) && !this.#isLearning;
      if (isRecovering && isStructural(event.kind)) {
        this.#isDisturbed = true;
        // What led to it was lost, and what it led to is found by looking.
        if (mayBeKnown && this.#picture.contradicts(event)) return false;
      }
      return this.#picture.apply(event) || !mayBeKnown;
    });
  }

  #isInScope({ path, from }: FileEvent): boolean {
    return this.#scope?.some((point) =>
      isWithin(path, point) || (from !== undefined && isWithin(from, point))
    ) ?? true;
  }

  /** All that was queued has been told. */
  caughtUp(): void {
    if (!this.#isRecovering) this.#picture.forgetStrays();
    if (!this.#isListing) this.#isLearning = false;
    if (!this.#isPollDue) this.#overlaps = false;
  }

  /** The consumer has room again. */
  resume(): void {
    this.#differences.resume();
  }

  stop(): void {
    clearTimeout(this.#pollTimer);
    this.#differences.stop();
    this.#endPause?.();
    this.#tellRemounted();
  }

  #tellRemounted(): void {
    for (const told of this.#remountTold.splice(0)) told();
  }

  /** Compares as long as there is anything to compare. */
  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      while (!this.#differences.isStopped && await this.#step());
    } catch (error) {
      this.#feed.sink.fail(error);
    } finally {
      this.#isRunning = false;
    }
  }

  /** Does what is to be done next; false where that is nothing. */
  async #step(): Promise<boolean> {
    this.#feed.flush(); // the picture has what was told before
    const { unlisted } = this.#picture;
    if (this.#since !== undefined) {
      const [time, losses] = [this.#since, this.#losses];
      // All that is not listed yet is looked at as well.
      unlisted.length = 0;
      for (const stray of this.#picture.takeStrays()) {
        const event = this.#differences.tell({ kind: "remove", ...stray });
        if (event !== undefined) this.#found.add(event);
      }
      this.#remounted.length = 0; // all is looked at
      await this.#compare(since(time * 1000));
      // What was lost meanwhile happened after this comparison began.
      this.#since = losses === this.#losses ? undefined : this.#comparedAt;
      return true;
    }
    if (this.#isPollDue) {
      await this.#poll();
      this.#isPollDue = this.#differences.isStopped;
      return true;
    }
    if (this.#settled === undefined) return false;
    if (unlisted.length > 0) {
      this.#isLearning = this.#isListing = true;
      await this.#tell(KNOWN, unlisted.splice(0));
      this.#isListing = false;
      return true;
    }
    if (this.#remounted.length > 0) {
      // A directory that was made to mount something on it has to be told before.
      await this.#settled();
      this.#feed.flush();
      await this.#compare(since(Date.now() * 1000), this.#entriesOf(this.#remounted.splice(0)));
      return true;
    }
    if (!this.#isRecovering || this.#isAwaited) return false;
    await this.#settled();
    this.#feed.flush();
    const isMore = this.#since !== undefined || this.#isAwaited || this.#isPollDue ||
      this.#remounted.length > 0;
    if (isMore) return true;
    if (this.#isDisturbed) await this.#check();
    else {
      this.#isRecovering = false;
      if (this.#scope === undefined) this.#feed.recovered();
      this.#scope = undefined;
      this.#tellRemounted();
    }
    return true;
  }

  /** Compares once more, and pauses where that was not enough. */
  async #check(): Promise<void> {
    const judge = since(this.#comparedAt * 1000);
    // Nothing was lost since then: what changed in files was told, but for those that nobody tells of.
    const isTold = this.#uncovered === undefined;
    const [start, waited] = [performance.now(), this.#differences.waited];
    await this.#compare(
      isTold ? { ...judge, changed: () => undefined } : judge,
      this.#scope && this.#entriesOf(this.#scope),
    );
    const worked = performance.now() - start - (this.#differences.waited - waited);
    if (this.#isDisturbed) await this.#pause(worked * PAUSE);
  }

  async #compare(judge: Judge, from?: readonly number[]): Promise<void> {
    this.#comparedAt = Date.now();
    this.#isDisturbed = false;
    await this.#tell(judge, from);
  }

  #entriesOf(paths: readonly string[]): number[] {
    return this.#entries(paths.map((path) => encodeText(path)));
  }

  /** Waits that many ms, or until something was lost, or it is stopped. */
  #pause(ms: number): Promise<void> {
    if (this.#differences.isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#endPause?.(), ms);
      this.#endPause = () => {
        clearTimeout(timer);
        this.#endPause = undefined;
        resolve();
      };
    });
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
    if (this.#settled !== undefined) this.#feed.recovered();
  }

  #entries(paths: readonly Uint8Array[]): number[] {
    return paths.map((path) => this.#picture.enter(path)).filter((entry) => entry !== undefined);
  }

  async #tell(judge: Judge, from?: readonly number[]): Promise<void> {
    const differences = compare(this.#differences.ground(), this.#picture.index, judge, from);
    await this.#differences.tellAll(differences, (event) => this.#found.add(event));
  }
}

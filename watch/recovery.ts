/**
 * Repairs what a loss broke: keeps a picture of what the consumer knows, compares it with the tree after a loss, and tells
 * the difference.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { compare, type Difference, type Ground, KNOWN, since } from "../backends/poll/compare.ts";
import type { FileEvent } from "../classify/event.ts";
import type { Kind } from "../classify/kinds.ts";
import type { Libc } from "../ffi/port.ts";
import { bytesUnlessText, decodeText } from "../ffi/text.ts";
import { circumstances, type Feed } from "./feed.ts";
import { Picture } from "./picture.ts";

/** How long the comparison goes on before others get their turn, in ms. */
const TURN = 8;

/** The recovery of one feed. */
export class Recovery {
  readonly #libc: Libc;
  readonly #feed: Feed;
  readonly #picture: Picture;
  /** Since when something may be missing, in ms since the epoch. */
  #since: number | undefined;
  /** How many losses there were. */
  #losses = 0;
  #isRunning = false;
  #isStopped = false;
  /** Between a loss and the first time that all was read behind the comparison, records may tell what it told. */
  #overlaps = false;
  /** Events that the comparison found: the picture has them. */
  readonly #found = new Set<FileEvent>();
  #resume: (() => void) | undefined;

  constructor(libc: Libc, feed: Feed) {
    this.#libc = libc;
    this.#feed = feed;
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
    this.#resume?.();
  }

  stop(): void {
    this.#isStopped = true;
    this.#resume?.();
  }

  /** Compares as long as there is anything to compare. */
  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (;;) {
        const { unlisted, index } = this.#picture;
        if (this.#since !== undefined) {
          const [time, losses, start] = [this.#since, this.#losses, Date.now()];
          // All that is not listed yet is looked at as well.
          unlisted.length = 0;
          await this.#tell(compare(this.#ground(), index, since(time * 1000)));
          if (this.#isStopped) return;
          // What was lost meanwhile happened after this comparison began.
          this.#since = losses === this.#losses ? undefined : start;
          if (this.#since === undefined) this.#feed.recovered();
        } else if (unlisted.length > 0) {
          await this.#tell(compare(this.#ground(), index, KNOWN, unlisted.splice(0)));
          if (this.#isStopped) return;
        } else return;
      }
    } catch (error) {
      this.#feed.sink.fail(error);
    } finally {
      this.#isRunning = false;
    }
  }

  /** Tells differences in slices that leave the event loop free, and while the consumer has room. */
  async #tell(differences: Iterable<Difference | undefined>): Promise<void> {
    let until = performance.now() + TURN;
    for (const difference of differences) {
      if (this.#isStopped) return;
      // The differences of one directory are told together: an event in between could rename it.
      if (difference !== undefined) {
        this.#add(difference);
        continue;
      }
      this.#feed.flush();
      if (performance.now() < until && !this.#feed.sink.full) continue;
      while (this.#feed.sink.full && !this.#isStopped) {
        await new Promise<void>((resolve) => this.#resume = resolve);
      }
      await new Promise(setImmediate);
      until = performance.now() + TURN;
    }
    this.#feed.flush();
  }

  #ground(): Ground {
    const feed = this.#feed;
    const root = feed.canonical ?? feed.directory;
    const above = root === "/" ? "/" : `${root}/`;
    return {
      libc: this.#libc,
      root,
      recursive: feed.recursive,
      only: feed.only,
      leavesOut: (path, isDirectory) => feed.ignores(above + decodeText(path), isDirectory),
    };
  }

  #add({ kind, type, path, from }: Difference): void {
    const feed = this.#feed;
    const root = feed.canonical ?? feed.directory;
    const above = root === "/" ? "/" : `${root}/`;
    const kinds: Readonly<Record<Difference["kind"], Kind>> = {
      create: `create.${type}`,
      link: "create.link",
      remove: `remove.${type}`,
      rename: "rename",
      "modify.data": "modify.data",
      "modify.metadata": "modify.metadata",
    };
    const text = decodeText(path);
    const event = feed.event(kinds[kind], above + text, type === "directory", circumstances());
    if (event === undefined) return;
    this.#found.add(event);
    const bytes = bytesUnlessText(path, 0, path.length, text);
    if (bytes !== undefined) event.pathBytes = feed.spellBytes(below(above, bytes));
    if (from === undefined) return;
    const old = decodeText(from);
    event.from = feed.spell(above + old);
    const oldBytes = bytesUnlessText(from, 0, from.length, old);
    if (oldBytes !== undefined) event.fromBytes = feed.spellBytes(below(above, oldBytes));
  }
}

function below(above: string, bytes: Uint8Array): Uint8Array {
  const head = new TextEncoder().encode(above);
  const path = new Uint8Array(head.length + bytes.length);
  path.set(head);
  path.set(bytes, head.length);
  return path;
}

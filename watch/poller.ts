/**
 * Looks again and again where nobody tells of changes: a target whose filesystem others change as well.
 *
 * @module
 */

import { posix } from "node:path";
import {
  BY_STATUS,
  compare,
  type Difference,
  type Judge,
  KNOWN_WITH_STATUS,
} from "../backends/poll/compare.ts";
import { FileIndex, ROOT } from "../backends/poll/file_index.ts";
import { mountOfFd, openDirectory } from "../backends/poll/listing.ts";
import { fileStatus } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { cString, encodeText } from "../ffi/text.ts";
import { Differences } from "./differences.ts";
import { circumstances, type Feed } from "./feed.ts";

/** Between two looks, in ms. */
export const INTERVAL = 1000;

/** A look that takes long makes the pause longer, to this many times its length: looking takes a tenth of the time. */
export const PAUSE = 9;

/** How long to pause after a look that began at `start`, on the clock of `performance.now()`, in ms. */
export function pauseAfter(start: number): number {
  return Math.max(INTERVAL, (performance.now() - start) * PAUSE);
}

/** Polls the target of one feed. */
export class Poller {
  readonly #libc: Libc;
  readonly #feed: Feed;
  readonly #differences: Differences;
  readonly #index = new FileIndex(true);
  #inode: number | undefined;
  /** By path the mounts that the target and the directories above it were on. */
  readonly #mounts = new Map<string, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #polling: Promise<void> | undefined;

  readonly bytesRead = 0;
  /** When the look before this one began, in ms since the epoch: what is found happened since. */
  caughtUpAt = 0;
  #lookedAt = 0;

  constructor(libc: Libc, feed: Feed) {
    this.#libc = libc;
    this.#feed = feed;
    this.#differences = new Differences(libc, feed);
    this.#index.prepare();
  }

  /** Learns what is there; from then on changes are found. */
  async open(): Promise<void> {
    this.#inode = this.#rootInode();
    for (const path of this.#above()) this.#mounts.set(path, this.#mountAt(path) ?? 0);
    if (this.#feed.isShown) {
      this.#index.setListed(ROOT); // and empty: all that is there is news
      return this.#later(0);
    }
    // What appeared while it was waited for is news.
    await this.#look(this.#feed.isLate ? BY_STATUS : KNOWN_WITH_STATUS);
    this.#later(INTERVAL);
  }

  marks(): number {
    return 0;
  }

  /** Whether the target is still there is looked at now, and told. */
  settled(): Promise<void> {
    if (this.#isGone()) this.#rootGone();
    return Promise.resolve();
  }

  /** Other filesystems are mounted below: looks at once, and resolves when what that changed was told. */
  async remounted(): Promise<void> {
    await this.#polling;
    clearTimeout(this.#timer);
    await this.#pollNow();
  }

  resume(): void {
    this.#differences.resume();
  }

  remove(): void {
    clearTimeout(this.#timer);
    this.#differences.stop();
  }

  #rootInode(): number | undefined {
    return fileStatus(this.#libc, cString(this.#feed.directory))?.inode;
  }

  /** The target's directory and those above it. */
  *#above(): Generator<string> {
    for (let at = this.#feed.directory; at !== "/"; at = posix.dirname(at)) yield at;
    yield "/";
  }

  #mountAt(path: string): number | undefined {
    const fd = openDirectory(this.#libc, encodeText(path));
    if (fd < 0) return undefined;
    const mount = mountOfFd(this.#libc, fd);
    this.#libc.close(fd);
    return mount;
  }

  /** Whether the directory is another one, or none; what is mounted over it, or was, is told by those who know of mounts. */
  #isGone(): boolean {
    if (this.#feed.gone !== undefined || this.#rootInode() === this.#inode) return false;
    for (const path of this.#above()) {
      const mount = this.#mountAt(path);
      if (mount !== undefined) return mount === this.#mounts.get(path);
    }
    return true;
  }

  #later(delay: number): void {
    if (this.#differences.isStopped) return;
    this.#timer = setTimeout(() => void this.#pollNow(), delay);
  }

  #pollNow(): Promise<void> {
    return this.#polling = this.#poll().catch((error) => this.#feed.sink.fail(error));
  }

  async #poll(): Promise<void> {
    const start = performance.now();
    if (this.#feed.gone !== undefined) return;
    if (this.#isGone()) return this.#rootGone();
    await this.#look(BY_STATUS);
    this.#later(pauseAfter(start));
  }

  #look(judge: Judge): Promise<void> {
    this.caughtUpAt = this.#lookedAt;
    this.#lookedAt = Date.now();
    return this.#differences.tellAll(compare(this.#differences.ground(), this.#index, judge));
  }

  /** The target is not there any more, and with it all that was in it. */
  #rootGone(): void {
    const feed = this.#feed;
    const index = this.#index;
    for (const entry of [...index.entries()].reverse()) {
      const gone: Difference = { kind: "remove", type: index.type(entry), path: index.path(entry) };
      this.#differences.tell(gone);
    }
    if (feed.only === undefined) {
      feed.event("remove.directory", feed.directory, true, circumstances());
    }
    feed.flush();
    feed.end("it was removed");
  }
}

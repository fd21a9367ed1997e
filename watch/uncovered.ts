/**
 * The directories that the kernel refuses to watch: gaps in the coverage. Where a limit is used up they are polled, and
 * tried again.
 *
 * @module
 */

import type { DirectoryTree } from "../backends/tree.ts";
import { type SystemError, WatchLimitError } from "../ffi/errno.ts";
import type { Libc } from "../ffi/port.ts";
import type { Node, Tag } from "./audience.ts";
import type { Feed, Gap } from "./feed.ts";
import { Recovery } from "./recovery.ts";

/**
 * After how long a directory is tried again for which there was no watch, mark or file descriptor left, in ms: others may
 * have given some back.
 */
const RETRY = 2000;

/** What the hub is asked for. */
export interface Ground<Mark> {
  /** Who wants what happens in a directory; nobody where it is not in the tree any more. */
  wanting(node: Node<Mark>): readonly Feed[];
  /** When all that was queued had been read, in ms since the epoch. */
  caughtUpAt(): number;
  /** Catches up again after `delay` ms at the latest. */
  runLater(delay: number): void;
}

/** What a hub does not cover. */
export class Uncovered<Mark> {
  readonly #libc: Libc;
  readonly #tree: DirectoryTree<Tag<Mark>>;
  readonly #ground: Ground<Mark>;
  /** Directories that are not covered, with all below them, and why. */
  readonly #errors = new Map<Node<Mark>, SystemError>();
  /** Who was told that a limit is used up. */
  readonly #limited = new Set<Feed>();
  /** Whose targets are being armed: what a limit leaves out of them is polled once that is done. */
  readonly arming: Set<Feed> = new Set();
  /** When those that a limit left out are tried again, on the clock of `performance.now()`. */
  #retryAt = Infinity;

  constructor(libc: Libc, tree: DirectoryTree<Tag<Mark>>, ground: Ground<Mark>) {
    this.#libc = libc;
    this.#tree = tree;
    this.#ground = ground;
  }

  /** The kernel refuses a directory, which `feeds` want; `newcomers` do not know what is in it. */
  add(
    node: Node<Mark>,
    error: SystemError,
    feeds: readonly Feed[],
    newcomers: readonly Feed[] = [],
  ): void {
    this.#errors.set(node, error);
    const isLimit = error instanceof WatchLimitError;
    if (isLimit) this.#retryWithin(RETRY);
    for (const feed of feeds) {
      feed.flush(); // what was told before
      if (!isLimit) {
        feed.sink.lost(feed.spell(this.#tree.path(node)), reasonOf(error));
        continue;
      }
      if (newcomers.includes(feed)) this.#recovery(feed)?.appeared(this.#bytesFor(feed, node));
      // Told once, of all that the watcher asked for: what a limit leaves out changes from now on.
      if (!this.#limited.has(feed)) {
        this.#limited.add(feed);
        feed.sink.lost(feed.path, reasonOf(error));
      }
      if (!this.arming.has(feed) || feed.isLate) this.#poll(feed);
    }
  }

  /** The directory is covered, or nobody asks for it any more. */
  delete(node: Node<Mark>): void {
    this.#errors.delete(node);
  }

  /** Whether a limit leaves anything uncovered of the feed's target. */
  isLimited(feed: Feed): boolean {
    return this.#limited.has(feed);
  }

  /** The feed has been taken back. */
  release(feed: Feed): void {
    this.#limited.delete(feed);
  }

  /** What compares the names that the feed knows with those that are there; undefined where it asked for neither. */
  #recovery(feed: Feed): Recovery | undefined {
    if (feed.recovery === undefined && feed.filter.tellsOfTree) {
      feed.recovery = new Recovery(this.#libc, feed);
    }
    return feed.recovery;
  }

  /** Polls for the feed what a limit leaves uncovered. */
  #poll(feed: Feed): void {
    this.#recovery(feed)?.poll(() => this.#limitedPaths(feed), this.#ground.caughtUpAt());
  }

  /** Polls for the feed what a limit left uncovered when it was armed; what is there by now is known. */
  pollFromNow(feed: Feed): Promise<void> | undefined {
    return this.#recovery(feed)?.pollFromNow(() => this.#limitedPaths(feed));
  }

  /** The directories that a limit leaves uncovered. */
  #limitedPaths(feed: Feed): Uint8Array[] {
    const paths: Uint8Array[] = [];
    for (const [node, error] of this.#errors) {
      if (!(error instanceof WatchLimitError)) continue;
      if (this.#ground.wanting(node).includes(feed)) paths.push(this.#bytesFor(feed, node));
    }
    return paths;
  }

  #bytesFor(feed: Feed, node: Node<Mark>): Uint8Array {
    return feed.spellBytes(this.#tree.bytes(node));
  }

  /** What of the feed's target is not covered, and why. */
  gaps(feed: Feed): Gap[] {
    const gaps: Gap[] = [];
    for (const [node, error] of this.#errors) {
      if (!this.#ground.wanting(node).includes(feed)) continue;
      const isPolled = error instanceof WatchLimitError && feed.recovery !== undefined;
      const reason = (isPolled ? "it is polled: " : "") + reasonOf(error);
      gaps.push({ path: feed.spell(this.#tree.path(node)), reason });
    }
    return gaps;
  }

  #retryWithin(delay: number): void {
    this.#retryAt = Math.min(this.#retryAt, performance.now() + delay);
    this.#ground.runLater(delay);
  }

  /** The directories that a limit left out and that are to be tried again, until it leaves out one once more. */
  *due(): Generator<Node<Mark>, void> {
    const now = performance.now();
    if (this.#retryAt === Infinity) return;
    if (now < this.#retryAt) return this.#ground.runLater(this.#retryAt - now);
    this.#retryAt = Infinity;
    for (const [node, error] of [...this.#errors]) {
      const isWanted = this.#ground.wanting(node).length > 0;
      if (isWanted && !(error instanceof WatchLimitError)) continue;
      this.#errors.delete(node);
      if (isWanted) yield node;
      if (this.#retryAt < Infinity) return;
    }
    // All is covered again.
    for (const feed of this.#limited) this.#poll(feed);
    this.#limited.clear();
  }

  /** A watch or mark was given back: somebody may lack it. */
  freed(): void {
    if (this.#limited.size > 0) this.#retryWithin(0);
  }
}

function reasonOf(error: SystemError): string {
  return error.hint === "" ? error.message : `${error.message}; ${error.hint}`;
}

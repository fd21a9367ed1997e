/**
 * Differences between an index and a tree, told to a feed as events that no record announced.
 *
 * @module
 */

import type { Difference, Ground } from "../backends/poll/compare.ts";
import type { FileEvent } from "../classify/event.ts";
import type { Kind } from "../classify/kinds.ts";
import type { FileType } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { bytesUnlessText, decodeText, encodeText, joinPath } from "../ffi/text.ts";
import { circumstances, type Feed } from "./feed.ts";
import { Turns } from "./turns.ts";

/** The way from the bytes of a difference to an event of a feed. */
export class Differences {
  readonly #libc: Libc;
  readonly #feed: Feed;
  /** How long it waited for the consumer, in ms. */
  waited = 0;
  #isStopped = false;
  #resume: (() => void) | undefined;

  constructor(libc: Libc, feed: Feed) {
    this.#libc = libc;
    this.#feed = feed;
  }

  /** The path that everything is below, in the spelling of the feed's hub, with its slash. */
  get #above(): string {
    const root = this.#root;
    return root === "/" ? root : `${root}/`;
  }

  get #root(): string {
    return this.#feed.canonical ?? this.#feed.directory;
  }

  /** What of the tree counts for the feed. It is read by the path that was asked for, which leads through its own mount. */
  ground(): Ground {
    const feed = this.#feed;
    const above = this.#above;
    const root = this.#root;
    const at = (path: Uint8Array) => path.length === 0 ? root : above + decodeText(path);
    return {
      libc: this.#libc,
      root: feed.directory,
      recursive: feed.recursive,
      only: feed.only,
      leavesOut: feed.leavesOut
        ? (path, isDirectory) => feed.leftOut(at(path), isDirectory)
        : undefined,
      isHidden: feed.hidesAny ? (path) => feed.hides(at(path)) : undefined,
    };
  }

  /** The consumer has room again. */
  resume(): void {
    this.#resume?.();
  }

  /** Nothing is told any more. */
  stop(): void {
    this.#isStopped = true;
    this.#resume?.();
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /**
   * Tells differences in slices that leave the event loop free, and while the consumer has room; calls `told` with each
   * event. Those of one directory are told together: an event in between could rename it.
   */
  async tellAll(
    differences: Iterable<Difference | undefined>,
    told: (event: FileEvent) => void = () => {},
  ): Promise<void> {
    const { sink } = this.#feed;
    const turns = new Turns();
    for (const difference of differences) {
      if (this.#isStopped) return;
      if (difference !== undefined) {
        const event = this.tell(difference);
        if (event !== undefined) told(event);
        continue;
      }
      this.#feed.flush();
      if (!turns.isOver && !sink.full) continue;
      const start = performance.now();
      while (sink.full && !this.#isStopped) {
        await new Promise<void>((resolve) => this.#resume = resolve);
      }
      this.waited += performance.now() - start;
      await turns.next();
    }
    this.#feed.flush();
  }

  /** Tells a difference; the event, if somebody wants it. */
  tell({ kind, type, path, from }: Difference): FileEvent | undefined {
    const feed = this.#feed;
    const text = this.#above + decodeText(path);
    const event = feed.event(kindOf(kind, type), text, type === "directory", circumstances());
    if (event === undefined) return undefined;
    const bytes = this.#bytes(path);
    if (bytes !== undefined) event.pathBytes = bytes;
    if (from !== undefined) {
      event.from = feed.spell(this.#above + decodeText(from));
      const fromBytes = this.#bytes(from);
      if (fromBytes !== undefined) event.fromBytes = fromBytes;
    }
    return event;
  }

  /** The bytes of a path in the user's spelling where they are no text. */
  #bytes(path: Uint8Array): Uint8Array | undefined {
    if (bytesUnlessText(path, 0, path.length, decodeText(path)) === undefined) return undefined;
    return this.#feed.spellBytes(joinPath(encodeText(this.#root), path));
  }
}

/** The kind of the event that tells of a difference. */
export function kindOf(kind: Difference["kind"], type: FileType): Kind {
  switch (kind) {
    case "create":
    case "remove":
      return `${kind}.${type}`;
    case "link":
      return "create.link";
    default:
      return kind;
  }
}

/**
 * A tree of its own, and what a watcher tells of it.
 *
 * @module
 */

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { watch, type Watcher, type WatchEvent, type WatchOptions } from "../mod.ts";
import { isRoot, TemporaryDirectory, within } from "./runtime.ts";

/** Where everybody may make files, in memory where there is such a place. */
const PLACE = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

/** A tmpfs as root, so that one mark covers it; any directory else. */
export class Ground implements Disposable {
  readonly #directory = new TemporaryDirectory(undefined, PLACE);
  readonly path: string = this.#directory.path;

  constructor() {
    if (isRoot) execFileSync("mount", ["-t", "tmpfs", "sentinode-test", this.path]);
  }

  [Symbol.dispose](): void {
    if (isRoot) execFileSync("umount", ["--lazy", this.path]);
    this.#directory[Symbol.dispose]();
  }
}

/** A watcher and what it has told, relative to the ground. */
export class Seen implements AsyncDisposable {
  readonly watcher: Watcher;
  readonly #root: string;
  readonly #events: AsyncIterator<WatchEvent>;

  constructor(root: string, paths: string | readonly string[], options: WatchOptions) {
    this.#root = root;
    this.watcher = watch(paths, options);
    this.#events = this.watcher[Symbol.asyncIterator]();
  }

  /** The next event. */
  async next(what = "an event"): Promise<WatchEvent> {
    const { value } = await within(this.#events.next(), what);
    return value;
  }

  /** Everything up to an event of the program's own, behind what the kernel has queued by then. */
  async upTo(path: string): Promise<string[]> {
    const seen: string[] = [];
    for (;;) {
      const event = await this.next(`${path} after ${seen}`);
      const below = event.path.slice(this.#root.length + 1);
      if (below === path) return seen;
      seen.push(`${event.kind} ${below}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.watcher.close();
  }
}

/**
 * Looks at what a name stands for when the kernel does not say: a `create` may be of a file, a symlink, another link.
 *
 * @module
 */

import type { Kind } from "../classify/kinds.ts";
import { type FileStatus, fileStatus } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { cString } from "../ffi/text.ts";

/** The most creations that go by unlooked-at after looks that found nothing. */
const MOST_SKIPPED = 256;

/** How many inodes that were seen to appear are remembered, to tell a second link from the first name. */
const REMEMBERED = 4096;

/** What a look found. */
export interface Look {
  readonly kind: Kind;
  /** The path of another link of the same file. */
  readonly linkOf?: string;
}

const GONE: Look = { kind: "create" };

/** Refines `create`, and keeps the cost of looking for what is already gone small. */
export class Looker {
  readonly #libc: Libc;
  /** Inode → where and under which name it appeared. */
  readonly #seen = new Map<number, { readonly device: string; readonly path: string }>();
  #skip = 0;
  #run = 0;

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  /** The reader has caught up: what is announced now is likely to be there. */
  caughtUp(): void {
    this.#run = this.#skip = 0;
  }

  /**
   * Whether to look at the next creation. Behind a backlog of files that came and went, looks find nothing and cost more
   * than the rest of the way: each miss doubles the number of creations that are not looked at, the first hit or an
   * emptied queue ends it.
   */
  isDue(): boolean {
    if (this.#skip === 0) return true;
    this.#skip--;
    return false;
  }

  /**
   * What appeared at `path`, which was no directory; bare `create` where it is gone.
   *
   * @param pathBytes the path as a C string
   * @param since since when names are watched, in ms
   */
  create(path: string, pathBytes: Uint8Array<ArrayBuffer>, since: number): Look {
    const status = fileStatus(this.#libc, pathBytes);
    if (status === undefined) {
      this.#run = this.#skip = Math.min(this.#run * 2 + 1, MOST_SKIPPED);
      return GONE;
    }
    this.#run = 0;
    if (status.type === "directory") return GONE;
    return status.type === "file"
      ? this.#file(path, status, since)
      : { kind: `create.${status.type}` };
  }

  /** A new file or another link of one? Of one that has several names already the first may be anywhere. */
  #file(path: string, status: FileStatus, since: number): Look {
    const { inode, device, links, birthTime } = status;
    const seen = this.#seen.get(inode);
    if (links > 1) {
      if (seen?.device === device && seen.path !== path) return this.#link(seen.path, status);
      // The kernel's clock of birth times ticks every few ms behind ours.
      if (birthTime !== undefined && birthTime < since - 20) return { kind: "create.link" };
    }
    if (this.#seen.size >= REMEMBERED) this.#seen.delete(this.#seen.keys().next().value!);
    this.#seen.set(inode, { device, path });
    return links > 1 ? GONE : { kind: "create.file" };
  }

  /** Another link of what appeared at `path`, which may have been renamed or removed since. */
  #link(path: string, { inode, device }: FileStatus): Look {
    const first = fileStatus(this.#libc, cString(path));
    const isThere = first?.inode === inode && first.device === device;
    return isThere ? { kind: "create.link", linkOf: path } : { kind: "create.link" };
  }
}

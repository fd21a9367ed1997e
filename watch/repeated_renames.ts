/**
 * The renames that the kernel does not tell because it takes them for an earlier one.
 *
 * @module
 */

import { type HandleKey, HandleTable } from "../backends/fanotify/handle.ts";
import type { Node } from "./tree_hub.ts";

/** Where a file was brought by a rename. */
export interface Rename<Mark> {
  readonly key: HandleKey;
  readonly to: Node<Mark>;
  readonly name: string;
  readonly nameBytes: Uint8Array | undefined;
  readonly isDirectory: boolean;
}

/**
 * The renames since the queue was last read to its end, by file. The kernel merges a record into an equal one that is
 * still queued, so of a → b, b → a, a → b the last is not told; where the file is shows it.
 */
export class RepeatedRenames<Mark> {
  readonly #renames = new HandleTable<Rename<Mark>[]>();
  /** Those of files that were renamed more than once. */
  readonly #repeated: Rename<Mark>[][] = [];

  note(rename: Rename<Mark>): void {
    const renames = this.#renames.get(rename.key, 0);
    if (renames === undefined) this.#renames.set(rename.key, [rename]);
    else if (renames.push(rename) === 2) this.#repeated.push(renames);
  }

  /** For each file that is not where its last rename told: that rename, and the one that brought it where it is. */
  *untold(
    isThere: (rename: Rename<Mark>) => boolean,
  ): Generator<readonly [last: Rename<Mark>, actual: Rename<Mark>]> {
    for (const renames of this.#repeated) {
      const last = renames.at(-1)!;
      const actual = isThere(last) ? undefined : renames.find(isThere);
      if (actual !== undefined) yield [last, actual];
    }
  }

  clear(): void {
    this.#renames.clear();
    this.#repeated.length = 0;
  }
}

/**
 * Exchanges, which the kernel announces as two renames: `a` to `b`, then `b` to `a` (`RENAME_EXCHANGE`; `vfs_rename` in
 * fs/namei.c calls `fsnotify_move` for each). The directories stay locked until both are queued, so that no other name in
 * them comes or goes in between.
 *
 * @module
 */

import type { Node } from "./audience.ts";

/** How many records behind a rename are looked at for the other half of an exchange. One process queues them in a row. */
export const NEAR = 32;

/** What a rename brought into a directory, and nothing else has come there, or gone, since. */
export interface Arrival<Mark, Identity> {
  /** The name that it has now, a `nameKey`. */
  readonly name: string;
  /** Where it was; undefined where nobody watches. */
  readonly from: Node<Mark> | undefined;
  readonly fromName: string;
  readonly isDirectory: boolean;
  /** What tells whether what leaves the name is the same. */
  readonly identity: Identity;
}

/** By directory, of the records of one queue. */
export class Arrivals<Mark, Identity> {
  readonly #last = new Map<Node<Mark>, Arrival<Mark, Identity>>();

  /** A rename gave an entry of the directory its name. */
  came(directory: Node<Mark>, arrival: Arrival<Mark, Identity>): void {
    this.#last.set(directory, arrival);
  }

  /** An entry of the directory came or went in another way. */
  changed(directory: Node<Mark>): void {
    if (this.#last.size > 0) this.#last.delete(directory);
  }

  /** Whether what happened last in the directory gave an entry this name. */
  isLast(directory: Node<Mark>, name: string): boolean {
    return this.#last.get(directory)?.name === name;
  }

  /** What came to the name that is left now for the one where it came from: then this may be the rest of an exchange. */
  reversed(
    directory: Node<Mark> | undefined,
    name: string,
    to: Node<Mark> | undefined,
    newName: string,
  ): Arrival<Mark, Identity> | undefined {
    const last = directory && this.#last.get(directory);
    if (last === undefined || last.name !== name || last.from !== to) return undefined;
    return to === undefined || last.fromName === newName ? last : undefined;
  }

  clear(): void {
    this.#last.clear();
  }
}

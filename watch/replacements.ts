/**
 * Whether a rename took its new name from another file: the link count of that one changes, which the kernel says behind
 * the rename, and before it says that the renamed file itself moved (`fsnotify_move` in include/linux/fsnotify.h).
 *
 * @module
 */

import type { FanotifyRecord } from "../backends/fanotify/decode.ts";
import { copyKey, HandleTable, isKey } from "../backends/fanotify/handle.ts";
import { FAN_ATTRIB, FAN_DELETE, FAN_MOVE_SELF, FAN_ONDIR } from "../ffi/abi/fanotify.ts";
import type { Node } from "./audience.ts";
import type { Backlog } from "./backlog.ts";

/** What the records since the queue was last read to its end say of it. */
export class Replacements<Mark> {
  readonly #backlog: Backlog;
  /**
   * Files whose link count changed, by whom: what the kernel says of another change by the same process may have been
   * merged into that. 0 where a removal was told first.
   */
  readonly #relinked = new HandleTable<number>();
  /** Names that renames gave to files, and that nothing took since. */
  readonly #renamedTo = new Map<Node<Mark>, Set<string>>();

  constructor(backlog: Backlog) {
    this.#backlog = backlog;
  }

  /** Notes a changed link count until the removal that explains it, which may have been merged into a record before. */
  noteLinks({ bits, batch: { words }, directory, object, pid }: FanotifyRecord): void {
    if (object < 0 || (bits & FAN_ONDIR) !== 0) return;
    const isRemoval = directory >= 0;
    if ((bits & (isRemoval ? FAN_DELETE : FAN_ATTRIB)) === 0) return;
    const known = this.#relinked.get(words, object);
    if (known === undefined) this.#relinked.set(copyKey(words, object), isRemoval ? 0 : pid);
    else if (isRemoval === (known !== 0)) this.#relinked.delete(words, object);
  }

  /** A file lost the name (a `nameKey`) in the directory. */
  left(directory: Node<Mark>, name: string): void {
    this.#renamedTo.get(directory)?.delete(name);
  }

  /**
   * Whether the rename of `record` took the name (a `nameKey`) in `to` from another file; undefined where the kernel merged
   * what tells it. `awaitAll` waits until all is queued that the kernel says of the rename.
   */
  replaces(
    record: FanotifyRecord,
    to: Node<Mark>,
    name: string,
    awaitAll: () => void,
  ): boolean | undefined {
    const named = this.#renamedTo.get(to);
    if (named?.has(name)) return true;
    if (named === undefined) this.#renamedTo.set(to, new Set([name]));
    else named.add(name);
    let replaced = this.#find(record);
    if (replaced === undefined) {
      awaitAll();
      if (this.#backlog.readAhead()) replaced = this.#find(record);
    }
    return replaced === "merged" ? undefined : replaced;
  }

  /**
   * Looks between the record of a rename and the end of what the kernel says of it: the move of the renamed file itself,
   * undefined where that is not read yet, or went into an earlier record.
   */
  #find({ batch, object, offset, length, pid }: FanotifyRecord): boolean | "merged" | undefined {
    if (object < 0) return undefined;
    const moved = copyKey(batch.words, object);
    let isReplaced = false;
    for (const next of this.#backlog.behind(offset + length)) {
      if (next.pid !== pid || next.directory >= 0 || next.object < 0) continue;
      if ((next.bits & FAN_MOVE_SELF) !== 0 && isKey(next.batch.words, next.object, moved)) {
        if (isReplaced) return true;
        return this.#relinked.values().some((who) => who === pid) ? "merged" : false;
      }
      if ((next.bits & FAN_ATTRIB) !== 0) isReplaced = true;
    }
    return undefined;
  }

  clear(): void {
    this.#relinked.clear();
    this.#renamedTo.clear();
  }
}

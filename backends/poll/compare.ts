/**
 * What is different between an index and the tree on disk, as changes that make the one into the other, in an order in
 * which they can be applied.
 *
 * @module
 */

import type { FileType } from "../../ffi/file.ts";
import { encodeText, joinPath } from "../../ffi/text.ts";
import type { Libc } from "../../ffi/port.ts";
import { type FileIndex, NONE, ROOT } from "./file_index.ts";
import {
  emptyStatus,
  type EntryStatus,
  listEntries,
  mountOfFd,
  openDirectory,
  statusAt,
} from "./listing.ts";

/** A difference. Paths are bytes below the root. */
export interface Difference {
  readonly kind: "create" | "link" | "modify.data" | "modify.metadata" | "rename" | "remove";
  readonly type: FileType;
  readonly path: Uint8Array<ArrayBuffer>;
  /** Of a rename the old path. */
  readonly from?: Uint8Array<ArrayBuffer>;
}

/** How the statuses of files are judged. */
export interface Judge {
  /** Whether what has the inode number of a known entry is that very file, and not one that got the number later. */
  isSame(index: FileIndex, entry: number, status: EntryStatus): boolean;
  /** What of a known entry, which is still the same file, has changed. */
  changed(
    index: FileIndex,
    entry: number,
    status: EntryStatus,
  ): "modify.data" | "modify.metadata" | undefined;
  /** Whether an entry that is met in a directory that was never listed was there before. */
  wasThere(status: EntryStatus | undefined): boolean;
  /** Whether all that is met in a directory that was never listed was there before: an index is filled. */
  readonly learns: boolean;
  /** Whether it needs statuses; where not, it is about directories that were never listed, and no others are read. */
  readonly looks: boolean;
}

/** A tree, and what of it counts. */
export interface Ground {
  readonly libc: Libc;
  readonly root: string;
  readonly recursive: boolean;
  /** The only name in the root that counts. */
  readonly only: string | undefined;
  /** Whether a path below the root, and what is below it, does not count; undefined where all does. */
  readonly leavesOut: ((path: Uint8Array, isDirectory: boolean) => boolean) | undefined;
  /**
   * Whether another filesystem is mounted on a directory: that it is there counts, what is in it does not. Undefined where
   * none is.
   */
  readonly isHidden: ((path: Uint8Array) => boolean) | undefined;
}

/**
 * Lists the directories of `from` and all below them, makes the index what is there, and yields what was different: parents
 * before children, what was removed last. Yields `undefined` where others may have a turn: then the index
 * may change, to what is there.
 */
export function* compare(
  ground: Ground,
  index: FileIndex,
  judge: Judge,
  from: readonly number[] = [ROOT],
): Generator<Difference | undefined, void, void> {
  const walk = new Walk(ground, index, judge);
  const waiting = [...from];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (!index.isLive(next) || !index.isDirectory(next)) continue;
    yield* walk.directory(next, waiting);
    yield undefined;
  }
  yield* walk.removed();
}

class Walk {
  readonly #ground: Ground;
  readonly #index: FileIndex;
  readonly #judge: Judge;
  readonly #root: Uint8Array;
  readonly #only: Uint8Array | undefined;
  /** Of the entry in hand. */
  readonly #status = emptyStatus();
  #mount: number | undefined;
  /** By inode number the entries that the index had at first; made when it is needed. */
  #inodes: Map<number, number> | undefined;
  /** Entries that were not where they should be: they may turn up elsewhere, or be announced anew, without an inode. */
  readonly #missing: { readonly entry: number; readonly inode: number }[] = [];

  constructor(ground: Ground, index: FileIndex, judge: Judge) {
    this.#ground = ground;
    this.#index = index;
    this.#judge = judge;
    this.#root = encodeText(ground.root);
    this.#only = ground.only === undefined ? undefined : encodeText(ground.only);
  }

  /** Compares one directory; the differences, and into `waiting` the directories to go on with. */
  *directory(
    directory: number,
    waiting: number[],
  ): Generator<Difference | undefined, void, void> {
    const { recursive, isHidden } = this.#ground;
    const index = this.#index;
    if (isHidden?.(index.path(directory))) return yield* this.#hide(directory);
    const wasListed = index.isListed(directory);
    if (!wasListed || this.#judge.looks) yield* this.#list(directory, wasListed);
    if (!recursive) return;
    for (let at = index.firstChild(directory); at !== NONE; at = index.nextSibling(at)) {
      if (index.isDirectory(at)) waiting.push(at);
    }
  }

  /** What is in a directory is not to be seen: removals, children before parents. */
  *#hide(directory: number): Generator<Difference | undefined, void, void> {
    const index = this.#index;
    for (let top = index.firstChild(directory); top !== NONE; top = index.firstChild(directory)) {
      for (const entry of [top, ...index.entries(top)].reverse()) {
        yield { kind: "remove", type: index.type(entry), path: index.path(entry) };
      }
      index.remove(top);
      yield undefined;
    }
    index.setListed(directory); // all that comes to light is news
  }

  *#list(directory: number, wasListed: boolean): Generator<Difference, void, void> {
    const { libc } = this.#ground;
    const index = this.#index;
    const fd = openDirectory(libc, this.#path(directory));
    if (fd < 0) return; // gone, as its parent tells; or not to be read, and then nothing is known
    const found: Difference[] = [];
    const isNew = this.#judge.learns && !wasListed && index.firstChild(directory) === NONE;
    try {
      const mount = mountOfFd(libc, fd);
      if (mount !== (this.#mount ??= mount)) return; // another target, or left out
      const isWhole = listEntries(libc, fd, (bytes, start, end, type, inode) => {
        const only = directory === ROOT ? this.#only : undefined;
        if (only !== undefined && !isName(only, bytes, start, end)) return;
        const known = isNew ? NONE : index.child(directory, bytes, start, end);
        const isNeeded = this.#judge.looks || type === undefined;
        const status = isNeeded ? statusAt(libc, fd, bytes, start, end, this.#status) : undefined;
        if (isNeeded && status === undefined) return; // gone since it was listed
        const seenType = status?.type ?? type ?? "other";
        const isHidden = seenType === "directory" && this.#isHidden(directory, bytes, start, end);
        // What is seen of a directory that something is mounted on is another one's.
        const seenInode = isHidden ? 0 : status?.inode ?? inode;
        let entry = known;
        let isKnown = known !== NONE &&
          (isHidden ? index.isDirectory(known) : this.#isStill(known, seenType, seenInode));
        if (!isKnown) {
          if (this.#leavesOut(directory, bytes, start, end, seenType)) return;
          isKnown = !wasListed && known === NONE && this.#judge.wasThere(status);
          entry = isKnown
            ? index.add(directory, bytes, start, end, seenType, seenInode)
            : this.#appeared(directory, bytes, start, end, seenType, seenInode, status, found);
        }
        if (isKnown) {
          index.setInode(entry, seenInode);
          const kind = status && !isHidden ? this.#judge.changed(index, entry, status) : undefined;
          if (kind !== undefined) found.push({ kind, type: seenType, path: index.path(entry) });
        }
        if (status !== undefined && this.#judge.looks && !isHidden) index.setStatus(entry, status);
        index.setSeen(entry);
      });
      const unseen = index.takeUnseen(directory);
      // Of what could not be read to its end nothing is known to be missing.
      if (isWhole) {
        // Where names are only learned, what happens to those that were told is told by others.
        if (this.#judge.looks) {
          for (const entry of unseen) this.#missing.push({ entry, inode: index.inode(entry) });
        }
        index.setListed(directory);
      }
    } finally {
      libc.close(fd);
    }
    yield* found;
  }

  /** What was missing and did not turn up: removals, children before parents. */
  *removed(): Generator<Difference | undefined, void, void> {
    const index = this.#index;
    for (const { entry: top, inode } of this.#missing) {
      if (!index.isLive(top)) continue;
      const isAnew = index.inode(top) !== inode;
      const below = [top, ...index.entries(top)].reverse();
      // What was in one that is there anew went with the old one, unless it was announced as well.
      const gone = isAnew
        ? below.filter((entry) => !this.#isThere(entry))
        : this.#isThere(top)
        ? []
        : below;
      for (const entry of gone) {
        yield { kind: "remove", type: index.type(entry), path: index.path(entry) };
      }
      for (const entry of gone) index.remove(entry);
      yield undefined;
    }
  }

  #path(entry: number): Uint8Array {
    const below = this.#index.path(entry);
    if (below.length === 0) return this.#root;
    return joinPath(this.#root, below);
  }

  #leavesOut(
    directory: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    type: FileType,
  ): boolean {
    const { leavesOut } = this.#ground;
    if (leavesOut === undefined) return false;
    return leavesOut(this.#pathOf(directory, bytes, start, end), type === "directory");
  }

  /** Whether another filesystem is mounted on that directory. */
  #isHidden(directory: number, bytes: Uint8Array, start: number, end: number): boolean {
    return this.#ground.isHidden?.(this.#pathOf(directory, bytes, start, end)) === true;
  }

  #pathOf(directory: number, bytes: Uint8Array, start: number, end: number): Uint8Array {
    const above = this.#index.path(directory);
    const name = bytes.subarray(start, end);
    return above.length === 0 ? name.slice() : joinPath(above, name);
  }

  /** Whether a name still stands for what the index has there. */
  #isStill(entry: number, type: FileType, inode: number): boolean {
    const index = this.#index;
    if (index.inode(entry) === 0) {
      // Announced and never looked at: a type that was not told is whatever is there.
      if (index.isDirectory(entry) !== (type === "directory")) return false;
      index.setType(entry, type);
      return true;
    }
    // The number may be another file's by now; then its contents are new, and judged so.
    return index.inode(entry) === inode && index.type(entry) === type;
  }

  /** A name that was not known, or stood for something else: its entry. */
  #appeared(
    directory: number,
    bytes: Uint8Array<ArrayBuffer>,
    start: number,
    end: number,
    type: FileType,
    inode: number,
    status: EntryStatus | undefined,
    found: Difference[],
  ): number {
    const index = this.#index;
    const old = index.child(directory, bytes, start, end);
    const moved = this.#movedHere(inode, status, old, directory);
    if (old !== NONE) {
      const gone = [...index.entries(old)].reverse();
      // A rename takes the name from what is like it.
      const isReplaced = moved !== NONE && index.isDirectory(old) === (type === "directory");
      if (!isReplaced) gone.push(old);
      for (const entry of gone) {
        found.push({ kind: "remove", type: index.type(entry), path: index.path(entry) });
      }
      index.remove(old);
    }
    if (moved !== NONE) {
      const from = index.path(moved);
      index.move(moved, directory, bytes, start, end);
      found.push({ kind: "rename", type, from, path: index.path(moved) });
      return moved;
    }
    const isLink = (status?.links ?? 1) > 1 && type !== "directory" &&
      this.#known(inode, status) !== NONE;
    const entry = index.add(directory, bytes, start, end, type, inode);
    // All that is in a new directory is new as well.
    if (type === "directory") index.setListed(entry);
    found.push({ kind: isLink ? "link" : "create", type, path: index.path(entry) });
    return entry;
  }

  /** The entry that was renamed to a name with this inode; `NONE` where that is not proven. */
  #movedHere(
    inode: number,
    status: EntryStatus | undefined,
    old: number,
    directory: number,
  ): number {
    const entry = this.#known(inode, status);
    if (entry === NONE || entry === old || this.#isThere(entry)) return NONE;
    // Nothing can be below itself; the picture is behind, and the rest of the walk sorts it out.
    if (this.#isWithin(directory, entry)) return NONE;
    // What was in the directory that had the name goes with it.
    return old !== NONE && this.#isWithin(entry, old) ? NONE : entry;
  }

  #isWithin(entry: number, above: number): boolean {
    for (let at = entry; at !== ROOT; at = this.#index.parent(at)) if (at === above) return true;
    return above === ROOT;
  }

  /** The entry that the index had for this very file. */
  #known(inode: number, status: EntryStatus | undefined): number {
    const index = this.#index;
    if (status === undefined || inode === 0) return NONE;
    if (this.#inodes === undefined) {
      this.#inodes = new Map();
      for (const entry of index.entries()) {
        if (index.inode(entry) !== 0) this.#inodes.set(index.inode(entry), entry);
      }
    }
    const entry = this.#inodes.get(inode);
    if (entry === undefined || !index.isLive(entry) || index.inode(entry) !== inode) return NONE;
    if (index.type(entry) !== status.type) return NONE;
    return this.#judge.isSame(index, entry, status) ? entry : NONE;
  }

  /** Whether the entry is on disk where the index has it. */
  #isThere(entry: number): boolean {
    const { libc } = this.#ground;
    const index = this.#index;
    const fd = openDirectory(libc, this.#path(index.parent(entry)));
    if (fd < 0) return false;
    const path = index.path(entry);
    const start = path.lastIndexOf(SLASH) + 1;
    const name = new Uint8Array(path.length - start + 1);
    name.set(path.subarray(start));
    const status = statusAt(libc, fd, name, 0, name.length - 1);
    libc.close(fd);
    if (status === undefined) return false;
    return index.inode(entry) === 0 || index.inode(entry) === status.inode;
  }
}

const SLASH = 0x2f;

function isName(name: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  return name.every((byte, at) => byte === bytes[start + at]);
}

/** How far the kernel's clock of timestamps may be behind ours, in µs: a tick of 100 Hz, twice. */
const TICK = 20_000;

/**
 * Judges by the time since when something may have been missed, in µs: what changed later may be untold. Timestamps are the
 * machine's own, so this is for local filesystems.
 */
export function since(time: number): Judge {
  const from = time - TICK;
  return {
    learns: false,
    looks: true,
    // A number is given again only to a file that is born later.
    isSame: (_index, _entry, { born }) => born !== 0 && born < from,
    changed(index, entry, status) {
      const { type, modified, changed } = status;
      if (changed < from) return undefined;
      // What was looked at before tells more.
      if (index.status(entry).changed !== 0) return BY_STATUS.changed(index, entry, status);
      if (modified < from) return "modify.metadata";
      // Names that come and go modify a directory; they are told themselves.
      return type === "directory" ? undefined : "modify.data";
    },
    wasThere: (status) => status !== undefined && status.born < from,
  };
}

/** Takes everything for known: to fill an index with names. */
export const KNOWN: Judge = {
  learns: true,
  looks: false,
  isSame: () => true,
  changed: () => undefined,
  wasThere: () => true,
};

/** {@linkcode KNOWN}, with statuses. */
export const KNOWN_WITH_STATUS: Judge = { ...KNOWN, looks: true };

/** Judges by the statuses that the index has; any filesystem will do. */
export const BY_STATUS: Judge = {
  learns: false,
  looks: true,
  isSame(index, entry, { type, modified, born, size }) {
    const known = index.status(entry);
    if (known.born !== 0 && born !== 0) return known.born === born;
    return known.modified === modified && (type === "directory" || known.size === size);
  },
  changed(index, entry, { type, modified, changed, size }) {
    const known = index.status(entry);
    const isWritten = known.modified !== modified || known.size !== size;
    if (isWritten) return type === "directory" ? undefined : "modify.data";
    return known.changed === changed ? undefined : "modify.metadata";
  },
  wasThere: () => false,
};

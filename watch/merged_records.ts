/**
 * What the kernel does not tell because it merges a record into an equal one that is still queued, or into another one
 * of the same file and name.
 *
 * @module
 */

import { type HandleKey, HandleTable, isKey } from "../backends/fanotify/handle.ts";
import { nameKey } from "../backends/tree.ts";
import type { Node } from "./audience.ts";

/** A name below a directory. */
export interface Name<Mark> {
  readonly directory: Node<Mark>;
  readonly name: string;
  readonly nameBytes: Uint8Array | undefined;
}

/** A file, and the names that it was given. */
interface Track<Mark> {
  readonly key: HandleKey;
  readonly isDirectory: boolean;
  readonly names: Name<Mark>[];
  /** How many renames of it were told. */
  renames: number;
  /** Whether it was moved to where nothing is known, and whether that was the last of it. */
  hasLeft: boolean;
  isOutside: boolean;
  /** Whether its removal was told with its creation, which may have been long after. */
  isBrief: boolean;
  /** Whether its last name was taken from it by a record of another file, or by its removal. */
  isTaken: boolean;
  /** Whether its last name is in a directory whose removal had been told by then, with its creation. */
  isOrphan: boolean;
}

/** A file that is not where the records left it. */
export interface Astray<Mark> {
  readonly key: HandleKey;
  readonly isDirectory: boolean;
  /** Where the records left it; undefined where that name was told to be another file's since, or nobody's. */
  readonly last: Name<Mark> | undefined;
  /** Where it is; undefined where it has gone. */
  readonly actual: Name<Mark> | undefined;
  /** Whether it may have gone to where nothing is known, or come from there. */
  readonly hasLeft: boolean;
}

/**
 * The files whose records may hide something, since the queue was last read to its end. Of a → b, b → a, a → b the last
 * rename is not told, and of create b, b → c, c → b, remove b the removal is told with the creation: where the file is
 * shows it.
 *
 * What stays hidden: a file that is created as b, renamed away, and linked as b again while the first record is queued. The
 * second creation is told with the first, and looking after every file that was created and renamed would cost each save.
 */
export class MergedRecords<Mark> {
  readonly #tracks = new HandleTable<Track<Mark>>();
  readonly #suspects = new Set<Track<Mark>>();
  readonly #isKnown: (directory: Node<Mark>) => boolean;

  /** `isKnown`: whether a directory is where it was told to be. */
  constructor(isKnown: (directory: Node<Mark>) => boolean) {
    this.#isKnown = isKnown;
  }

  get isEmpty(): boolean {
    return this.#suspects.size === 0;
  }

  /** A rename gave the file this name. */
  renamed(key: HandleKey, name: Name<Mark>, isDirectory: boolean, isOrphan: boolean): void {
    this.named(key, name);
    const track = this.#track(key, isDirectory);
    track.isTaken = track.isOutside = false;
    track.isOrphan = isOrphan;
    track.names.push(name);
    if (++track.renames > 1 || track.isBrief) this.#suspects.add(track);
  }

  /** A rename took the file from this name to where nothing is known. */
  movedOut(key: HandleKey, name: Name<Mark>, isDirectory: boolean): void {
    const track = this.#track(key, isDirectory);
    const last = track.names.at(-1);
    if (last !== undefined && !isSameName(last, name)) return; // another name of the same file
    track.hasLeft = track.isOutside = track.isTaken = true;
    if (++track.renames > 1 || track.isBrief) this.#suspects.add(track);
  }

  /** Creation and removal of the file were told by one record. */
  brief(key: HandleKey, isDirectory: boolean): void {
    this.#track(key, isDirectory).isBrief = true;
  }

  /**
   * A record gave the name to the file of `key`, or took it away. What another directory did that was told to have it until
   * then: it was removed with its creation, or else moved on.
   */
  named(
    key: HandleKey | undefined,
    { directory, name, nameBytes }: Name<Mark>,
  ): "moved" | "removed" | undefined {
    let untold: "moved" | "removed" | undefined;
    for (const track of this.#suspects) {
      const last = track.names.at(-1);
      if (last === undefined || !isSameName(last, { directory, name, nameBytes })) continue;
      if (key !== undefined && isKey(track.key, 0, key)) continue;
      if (track.isDirectory && !track.isTaken) untold = track.isBrief ? "removed" : "moved";
      track.isTaken = true;
    }
    return untold;
  }

  /**
   * The names in a directory that had this name, and had gone before they were given: whatever has the name now, they are
   * not in it. They are left no more.
   */
  takeOrphans(
    { directory, name, nameBytes }: Name<Mark>,
  ): { readonly last: Name<Mark>; readonly isDirectory: boolean }[] {
    const isThat = (node: Node<Mark>) =>
      node.parent === directory &&
      nameKey(node.name, node.nameBytes) === nameKey(name, nameBytes);
    const orphans = [];
    for (const track of this.#suspects) {
      const last = track.names.at(-1);
      if (last === undefined || !track.isOrphan || track.isTaken || track.isOutside) continue;
      let at: Node<Mark> | null = last.directory;
      while (at !== null && !isThat(at)) at = at.parent;
      if (at === null) continue;
      track.isTaken = true;
      orphans.push({ last, isDirectory: track.isDirectory });
    }
    return orphans;
  }

  /** Where the records left a file of which they may hide something. */
  left(key: HandleKey): Name<Mark> | undefined {
    const track = this.#tracks.get(key, 0);
    return track !== undefined && this.#suspects.has(track) ? this.#last(track) : undefined;
  }

  /** The name that the file has by what was told. What was left in a directory that has gone, or left, went with it. */
  #last({ names, isTaken, isOutside, isOrphan }: Track<Mark>): Name<Mark> | undefined {
    const last = names.at(-1);
    const isLeft = last !== undefined && !isTaken && !isOutside &&
      (isOrphan || this.#isKnown(last.directory));
    return isLeft ? last : undefined;
  }

  /** Whether the file is somewhere else than it was told, and nobody was told where. */
  isAstray(key: HandleKey): boolean {
    const track = this.#tracks.get(key, 0);
    return track !== undefined && this.#suspects.has(track) && track.isTaken;
  }

  /** The file is not where it was left, as another record shows. */
  strayed(key: HandleKey): void {
    const track = this.#tracks.get(key, 0);
    if (track !== undefined) track.isTaken = true;
  }

  /** The files that are not where they were left, in directories that are known. */
  astray(isThere: (name: Name<Mark>, key: HandleKey) => boolean): Astray<Mark>[] {
    const found: Astray<Mark>[] = [];
    for (const track of this.#suspects) {
      const { key, isDirectory, names, hasLeft } = track;
      const last = this.#last(track);
      if (last !== undefined && isThere(last, key)) continue;
      const actual = names.find((name) => this.#isKnown(name.directory) && isThere(name, key));
      if (last === undefined && actual === undefined) continue;
      found.push({ key, isDirectory, last, actual, hasLeft });
    }
    return found;
  }

  clear(): void {
    this.#tracks.clear();
    this.#suspects.clear();
  }

  #track(key: HandleKey, isDirectory: boolean): Track<Mark> {
    const known = this.#tracks.get(key, 0);
    if (known !== undefined) return known;
    const track: Track<Mark> = {
      key,
      isDirectory,
      names: [],
      renames: 0,
      hasLeft: false,
      isOutside: false,
      isBrief: false,
      isTaken: false,
      isOrphan: false,
    };
    this.#tracks.set(key, track);
    return track;
  }
}

/**
 * Astray files in an order in which it can be told: what has gone; moves, none of them to a name that another file
 * of them was told to have and has not left yet; what is found. Of a ring of moves one is found anew in the end.
 */
export function inOrder<Mark>(astray: readonly Astray<Mark>[]): Astray<Mark>[] {
  const isMove = ({ last, actual }: Astray<Mark>) => last !== undefined && actual !== undefined;
  const gone = astray.filter(({ actual }) => actual === undefined);
  const found = astray.filter(({ last }) => last === undefined);
  const moves = astray.filter(isMove);
  const ordered: Astray<Mark>[] = [];
  while (moves.length > 0) {
    const free = moves.findIndex(({ actual }) =>
      !moves.some(({ last }) => isSameName(last!, actual!))
    );
    const [next] = moves.splice(Math.max(free, 0), 1);
    if (free >= 0) ordered.push(next!);
    else found.push({ ...next!, last: undefined });
  }
  return [...gone, ...ordered, ...found];
}

/** The name alone, as a {@linkcode nameKey}. */
export function keyOfName<Mark>({ name, nameBytes }: Name<Mark>): string {
  return nameKey(name, nameBytes);
}

/** Whether both are one name of the same directory. */
export function isSameName<Mark>(one: Name<Mark>, other: Name<Mark>): boolean {
  return one.directory === other.directory && keyOfName(one) === keyOfName(other);
}

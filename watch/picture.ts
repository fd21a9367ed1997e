/**
 * What a consumer knows of a tree: the names that were there when its watch began, and what it was told since.
 *
 * @module
 */

import { FileIndex, NONE, ROOT } from "../backends/poll/file_index.ts";
import type { FileEvent } from "../classify/event.ts";
import { KINDS, matches } from "../classify/kinds.ts";
import type { FileType } from "../ffi/file.ts";
import { encodeText, encodeTextInto, latin1Text } from "../ffi/text.ts";

/** What an event of a kind says of the names that are there. */
type Effect = "adds" | "moves" | "removes";

const EFFECTS: ReadonlyMap<string, Effect> = new Map(
  KINDS.flatMap((kind): [string, Effect][] => {
    if (kind === "rename") return [[kind, "moves"]];
    if (kind === "rename.in" || matches(kind, "create")) return [[kind, "adds"]];
    return kind === "rename.out" || matches(kind, "remove") ? [[kind, "removes"]] : [];
  }),
);

/** Patterns of all these kinds. */
export const STRUCTURAL: readonly string[] = ["create", "rename", "remove"];

/** Whether events of a kind add, move or remove a name. */
export function isStructural(kind: string): boolean {
  return EFFECTS.has(kind);
}

/** Whether a name came with that, from nowhere that is watched. */
export function isComing(kind: string): boolean {
  return EFFECTS.get(kind) === "adds";
}

/** Whether a name went with that, to nowhere that is watched. */
export function isGoing(kind: string): boolean {
  return EFFECTS.get(kind) === "removes";
}

/** Room for a name; where the kernel allows 255 bytes, some filesystems allow 255 characters. */
const scratch = new Uint8Array(1024);

/** A name `bytes[start, end)` in a directory. */
class Place {
  directory: number = NONE;
  bytes: Uint8Array = scratch;
  start = 0;
  end = 0;

  set(directory: number, bytes: Uint8Array, start: number, end: number): true {
    this.directory = directory;
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    return true;
  }
}

/** An inode number that no file has, as 0 is of those that are not known. */
const NO_INODE = -1;

/** Something in a directory that is not there; the path is below the root. */
export interface Stray {
  readonly type: FileType;
  readonly path: Uint8Array<ArrayBuffer>;
}

/** An index of names that follows events. */
export class Picture {
  readonly index: FileIndex = new FileIndex(false);
  /** Directories whose names are not known yet. */
  readonly unlisted: number[] = [ROOT];
  /** The root's path with its slash, and its length in bytes. */
  #above = "";
  #skip = 0;
  /** The directory of the last path, which is often that of the next, its entry, and until when that is right. */
  #last = "";
  #lastEntry = NONE;
  #lastEpoch = NONE;
  /** Events that took a name from something else. */
  readonly #replacing = new WeakSet<FileEvent>();
  /**
   * What was told in directories that are known not to be there, by path: fanotify tells a removal that it merged into the
   * creation before what happened in between. The rest of that may be lost.
   */
  readonly #strays = new Map<string, Stray>();
  /** Where the last path is: one object for all, for they are many. */
  readonly #place = new Place();

  /** Of the tree below `root`, as events spell it. */
  constructor(root: string) {
    this.index.prepare();
    this.renamed(root);
  }

  /** Events spell the root so from now on. */
  renamed(root: string): void {
    this.#above = root === "/" ? root : `${root}/`;
    this.#skip = encodeText(this.#above).length;
    this.#last = "";
  }

  /** Follows an event; false where it says what is known already. */
  apply(event: FileEvent): boolean {
    switch (EFFECTS.get(event.kind)) {
      case "adds":
        return this.#add(event);
      case "removes":
        return this.#remove(event);
      case "moves":
        return this.#rename(event.from!, event.fromBytes, event.path, event.pathBytes, event);
      default:
        return true;
    }
  }

  /** Whether an event cannot follow what is known, because something in between was lost. */
  contradicts({ kind, path, pathBytes, from, fromBytes, isDirectory }: FileEvent): boolean {
    const effect = EFFECTS.get(kind);
    if (effect === undefined) return false;
    const { index } = this;
    const there = this.#find(path, pathBytes) ?? NONE;
    const isFilled = there !== NONE && index.firstChild(there) !== NONE;
    if (effect === "removes") return isFilled && kind !== "rename.out";
    const directory = this.#directoryOf(path, pathBytes);
    if (directory === NONE) return true;
    const isOther = (entry: number) =>
      entry !== NONE && index.isDirectory(entry) !== (isDirectory === true);
    if (isOther(there)) return true;
    if (effect === "adds") return false;
    const entry = this.#find(from!, fromBytes);
    if (entry === undefined) return false;
    if (entry === NONE) return there === NONE;
    if (isOther(entry) || (isFilled && there !== entry)) return true;
    return directory !== undefined && this.#isWithin(directory, entry);
  }

  /** Takes back an event that the consumer did not get. */
  undo(event: FileEvent): void {
    switch (EFFECTS.get(event.kind)) {
      case "adds":
        this.#remove(event);
        break;
      case "removes":
        return void this.#add(event);
      case "moves":
        this.#rename(event.path, event.pathBytes, event.from!, event.fromBytes, event);
        break;
      default:
        return;
    }
    if (!this.#replacing.has(event) || !this.#locate(event.path, event.pathBytes, false)) return;
    // What the consumer still has there is nothing that can be there now.
    const { directory, bytes, start, end } = this.#place;
    if (this.index.child(directory, bytes, start, end) !== NONE) return;
    this.index.add(directory, bytes, start, end, "other", NO_INODE);
  }

  /** The entry of a directory that is there; undefined for what is above the root. */
  enter(path: Uint8Array): number | undefined {
    if (path.length <= this.#skip) return path.length < this.#skip - 1 ? undefined : ROOT;
    this.#locateBytes(path, true);
    const { directory, bytes, start, end } = this.#place;
    return this.#directory(directory, bytes, start, end, true);
  }

  /** The directory of a name; where it is not known it `enters`, or there is none. */
  #directory(
    above: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    enters: boolean,
  ): number {
    const { index } = this;
    const known = index.child(above, bytes, start, end);
    if (known !== NONE || !enters) return known;
    const entry = index.add(above, bytes, start, end, "directory", 0);
    this.unlisted.push(entry);
    return entry;
  }

  #add(event: FileEvent): boolean {
    const { index } = this;
    const type = typeOf(event);
    if (!this.#locateNew(event.path, event.pathBytes)) return this.#stray(event, type);
    const { directory, bytes, start, end } = this.#place;
    const known = index.child(directory, bytes, start, end);
    const comesIn = event.kind === "rename.in";
    if (known !== NONE && comesIn) this.#replacing.add(event);
    // A directory that comes in has its own contents, which are told behind it.
    const isOther = index.isDirectory(known) !== (type === "directory") ||
      (comesIn && type === "directory");
    if (known !== NONE && !isOther) {
      index.setInode(known, 0);
      return false;
    }
    if (known !== NONE) index.remove(known);
    const entry = index.add(directory, bytes, start, end, type, 0);
    // What is in a directory that appeared is told.
    index.setListed(entry);
    return true;
  }

  #remove(event: FileEvent): boolean {
    const entry = this.#find(event.path, event.pathBytes);
    if (entry === undefined) return true;
    if (entry === NONE) {
      const path = this.#below(event.path, event.pathBytes);
      return this.#strays.size > 0 && this.#strays.delete(latin1Text(path, path.length));
    }
    this.index.remove(entry);
    return true;
  }

  /** Notes what was told in a directory that is not there. */
  #stray(event: FileEvent, type: FileType): true {
    if (this.#directoryOf(event.path, event.pathBytes) === NONE) {
      const path = this.#below(event.path, event.pathBytes);
      this.#strays.set(latin1Text(path, path.length), { type, path });
    }
    return true;
  }

  /** The path below the root. */
  #below(text: string, path: Uint8Array = encodeText(text)): Uint8Array<ArrayBuffer> {
    return path.slice(this.#skip) as Uint8Array<ArrayBuffer>;
  }

  /** All that was queued has been told: what is left has gone with its directory, as far as nothing was lost. */
  forgetStrays(): void {
    this.#strays.clear();
  }

  /** What was told in directories that are not there, and not that it went, those below before those above. */
  takeStrays(): Stray[] {
    const strays = [...this.#strays.values()].sort((a, b) => b.path.length - a.path.length);
    this.#strays.clear();
    return strays;
  }

  #rename(
    from: string,
    fromBytes: Uint8Array | undefined,
    path: string,
    pathBytes: Uint8Array | undefined,
    event: FileEvent,
  ): boolean {
    const { index } = this;
    const entry = this.#find(from, fromBytes);
    if (!this.#locateNew(path, pathBytes)) {
      if (entry !== undefined && entry !== NONE) index.remove(entry);
      return this.#stray(event, typeOf(event));
    }
    const { directory, bytes, start, end } = this.#place;
    const there = index.child(directory, bytes, start, end);
    if (entry === undefined || entry === NONE) {
      if (there !== NONE) return false;
      const type = typeOf(event);
      const added = index.add(directory, bytes, start, end, type, 0);
      if (type === "directory") this.unlisted.push(added);
      return true;
    }
    if (entry === there) return true;
    // Not below itself: what would make sense of it was lost.
    if (this.#isWithin(directory, entry)) return true;
    index.move(entry, directory, bytes, start, end);
    if (there !== NONE) {
      index.remove(there); // last, for it may have been in there
      this.#replacing.add(event);
    }
    return true;
  }

  #isWithin(entry: number, above: number): boolean {
    for (let at = entry; at !== ROOT; at = this.index.parent(at)) if (at === above) return true;
    return above === ROOT;
  }

  /** The directory of a path; `NONE` where it is known not to be there, undefined where nothing is known of it. */
  #directoryOf(text: string, path: Uint8Array = encodeText(text)): number | undefined {
    const { index } = this;
    let directory = ROOT;
    for (let at = this.#skip;;) {
      const end = path.indexOf(SLASH, at);
      if (end < 0) return directory;
      const child = index.child(directory, path, at, end);
      if (child === NONE) return index.isListed(directory) ? NONE : undefined;
      if (!index.isDirectory(child)) return NONE;
      directory = child;
      at = end + 1;
    }
  }

  /** The entry of a path; `NONE` where its directory does not have it, undefined where the directory is not known. */
  #find(text: string, path: Uint8Array | undefined): number | undefined {
    if (!this.#locate(text, path, false)) {
      return this.#directoryOf(text, path) === NONE ? NONE : undefined;
    }
    const { directory, bytes, start, end } = this.#place;
    const entry = this.index.child(directory, bytes, start, end);
    return entry === NONE && !this.index.isListed(directory) ? undefined : entry;
  }

  /**
   * Finds the place of a name that came. A directory on the way that is not known enters the picture, but for one that is
   * known not to be there: what came before it was not told, or was told to be over.
   */
  #locateNew(text: string, path: Uint8Array | undefined): boolean {
    if (this.#locate(text, path, false)) return true;
    return this.#directoryOf(text, path) !== NONE && this.#locate(text, path, true);
  }

  /**
   * Finds the place of a path, given as bytes where it is no text. A directory on the way that is not known is there where
   * a name came into it, and `enters` the picture; else this is false.
   */
  #locate(text: string, path: Uint8Array | undefined, enters: boolean): boolean {
    return path === undefined ? this.#locateText(text, enters) : this.#locateBytes(path, enters);
  }

  #locateText(text: string, enters: boolean): boolean {
    const { index } = this;
    const start = text.lastIndexOf("/") + 1;
    if (start === text.length || start < this.#above.length) return false; // the root itself
    if (
      this.#lastEpoch !== index.epoch || start !== this.#last.length || !text.startsWith(this.#last)
    ) {
      let directory = ROOT;
      for (let at = this.#above.length; at < start;) {
        const end = text.indexOf("/", at);
        const length = encodeTextInto(text, at, end, scratch);
        directory = this.#directory(directory, scratch, 0, length, enters);
        if (directory === NONE) return false;
        at = end + 1;
      }
      this.#last = text.slice(0, start);
      this.#lastEntry = directory;
      this.#lastEpoch = index.epoch;
    }
    const end = encodeTextInto(text, start, text.length, scratch);
    return this.#place.set(this.#lastEntry, scratch, 0, end);
  }

  #locateBytes(path: Uint8Array, enters: boolean): boolean {
    if (path.length <= this.#skip) return false; // the root itself
    const start = path.lastIndexOf(SLASH) + 1;
    let directory = ROOT;
    for (let at = this.#skip; at < start;) {
      const end = path.indexOf(SLASH, at);
      directory = this.#directory(directory, path, at, end, enters);
      if (directory === NONE) return false;
      at = end + 1;
    }
    return this.#place.set(directory, path, start, path.length);
  }
}

const SLASH = 0x2f;

function typeOf({ kind, isDirectory }: FileEvent): FileType {
  if (isDirectory) return "directory";
  return kind.endsWith(".symlink") ? "symlink" : kind.endsWith(".other") ? "other" : "file";
}

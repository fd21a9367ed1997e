/**
 * What a consumer knows of a tree: the names that were there when its watch began, and what it was told since.
 *
 * @module
 */

import { FileIndex, NONE, ROOT } from "../backends/poll/file_index.ts";
import type { FileEvent } from "../classify/event.ts";
import { matches } from "../classify/kinds.ts";
import type { FileType } from "../ffi/file.ts";
import { encodeText } from "../ffi/text.ts";

/** Kinds that add, move or remove a name. */
export function isStructural(kind: string): boolean {
  return matches(kind, "create") || matches(kind, "rename") || matches(kind, "remove");
}

/** An index of names that follows events. */
export class Picture {
  readonly index: FileIndex = new FileIndex(false);
  /** Directories whose names are not known yet. */
  readonly unlisted: number[] = [ROOT];
  /** The length of the root's path in bytes, with its slash. */
  readonly #skip: number;
  /** The directory of the last path, which is often that of the next. */
  #last = "";
  #lastEntry = NONE;

  /** Of the tree below `root`, as events spell it. */
  constructor(root: string) {
    this.#skip = root === "/" ? 1 : encodeText(root).length + 1;
  }

  /** Follows an event; false where it says what is known already. */
  apply(event: FileEvent): boolean {
    const { kind } = event;
    if (!isStructural(kind)) return true;
    const path = event.pathBytes ?? encodeText(event.path);
    if (kind === "rename") {
      return this.#rename(event.fromBytes ?? encodeText(event.from!), path, event);
    }
    const isAway = kind === "rename.out" || matches(kind, "remove");
    return isAway ? this.#remove(path, event) : this.#add(path, event);
  }

  /** Takes back an event that the consumer did not get. */
  undo(event: FileEvent): void {
    const { kind } = event;
    if (!isStructural(kind)) return;
    const path = event.pathBytes ?? encodeText(event.path);
    if (kind === "rename") {
      this.#rename(path, event.fromBytes ?? encodeText(event.from!), event);
    } else if (kind === "rename.out" || matches(kind, "remove")) this.#add(path, event);
    else this.#remove(path, event);
  }

  /** The entry of a directory that is there, with those on the way to it; undefined for what is above the root. */
  enter(path: Uint8Array): number | undefined {
    if (path.length < this.#skip - 1) return undefined;
    const { index } = this;
    let directory = ROOT;
    for (let at = this.#skip; at < path.length;) {
      const slash = path.indexOf(SLASH, at);
      const end = slash < 0 ? path.length : slash;
      let entry = index.child(directory, path, at, end);
      if (entry === NONE) {
        entry = index.add(directory, path, at, end, "directory", 0);
        if (index.isListed(directory)) index.setListed(entry);
        else this.unlisted.push(entry);
      }
      directory = entry;
      at = end + 1;
    }
    return directory;
  }

  #add(path: Uint8Array, event: FileEvent): boolean {
    const { index } = this;
    const place = this.#place(path, event.path);
    if (place === undefined) return true;
    const { directory, start } = place;
    const type = typeOf(event);
    const known = index.child(directory, path, start, path.length);
    if (known !== NONE && index.isDirectory(known) === (type === "directory")) {
      index.setInode(known, 0);
      return false;
    }
    if (known !== NONE) this.#drop(known);
    const entry = index.add(directory, path, start, path.length, type, 0);
    // What is in a directory that appeared is told.
    index.setListed(entry);
    return true;
  }

  #remove(path: Uint8Array, event: FileEvent): boolean {
    const entry = this.#find(path, event.path);
    if (entry === undefined) return true;
    if (entry === NONE) return false;
    this.#drop(entry);
    return true;
  }

  #rename(from: Uint8Array, path: Uint8Array, event: FileEvent): boolean {
    const { index } = this;
    const entry = this.#find(from, undefined);
    const place = this.#place(path, undefined);
    if (place === undefined) { // to where nothing is known yet
      if (entry !== undefined && entry !== NONE) this.#drop(entry);
      return true;
    }
    const { directory, start } = place;
    const there = index.child(directory, path, start, path.length);
    if (entry === undefined || entry === NONE) {
      if (there !== NONE) return false;
      const type = typeOf(event);
      const added = index.add(directory, path, start, path.length, type, 0);
      if (type === "directory") this.unlisted.push(added);
      return true;
    }
    if (entry === there) return true;
    for (let at = directory; at !== ROOT; at = index.parent(at)) {
      if (at === entry) return true; // not below itself: what would make sense of it was lost
    }
    if (there !== NONE) this.#drop(there);
    index.move(entry, directory, path, start, path.length);
    this.#last = "";
    return true;
  }

  #drop(entry: number): void {
    this.index.remove(entry);
    this.#last = "";
  }

  /** The entry of a path; `NONE` where its directory does not have it, undefined where the directory is not known. */
  #find(path: Uint8Array, text: string | undefined): number | undefined {
    const place = this.#place(path, text);
    if (place === undefined) return undefined;
    const entry = this.index.child(place.directory, path, place.start, path.length);
    return entry === NONE && !this.index.isListed(place.directory) ? undefined : entry;
  }

  /** The directory of a path and where the name begins; undefined where the directory is not known. */
  #place(
    path: Uint8Array,
    text: string | undefined,
  ): { readonly directory: number; readonly start: number } | undefined {
    if (path.length <= this.#skip) return undefined; // the root itself
    const start = path.lastIndexOf(SLASH) + 1;
    const above = text?.slice(0, text.lastIndexOf("/") + 1);
    if (above !== undefined && above === this.#last) {
      return { directory: this.#lastEntry, start };
    }
    let directory = ROOT;
    for (let at = this.#skip; at < start;) {
      const end = path.indexOf(SLASH, at);
      directory = this.index.child(directory, path, at, end);
      if (directory === NONE) return undefined;
      at = end + 1;
    }
    // Names that are no text look alike.
    if (above !== undefined && !above.includes("\uFFFD")) {
      this.#last = above;
      this.#lastEntry = directory;
    }
    return { directory, start };
  }
}

const SLASH = 0x2f;

function typeOf({ kind, isDirectory }: FileEvent): FileType {
  if (isDirectory) return "directory";
  return kind.endsWith(".symlink") ? "symlink" : kind.endsWith(".other") ? "other" : "file";
}

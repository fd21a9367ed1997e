/**
 * The names below a directory and what is known of each, in a few dozen bytes a file: columns of numbers, one heap of
 * name bytes, one hash table.
 *
 * @module
 */

import type { FileType } from "../../ffi/file.ts";

/** The number of the directory that everything is below. */
export const ROOT = 0;

/** No such entry. */
export const NONE = -1;

/** The types by their number. */
const TYPES: readonly FileType[] = ["file", "directory", "symlink", "other"];
const DIRECTORY = TYPES.indexOf("directory");

/** Flags beside the type. */
const TYPE = 0x03;
const LISTED = 0x04;
const SEEN = 0x08;
const LIVE = 0x10;

/** What statx told of an entry, times in µs since the epoch; 0 where it is not known. */
export interface IndexedStatus {
  readonly modified: number;
  readonly changed: number;
  readonly born: number;
  readonly size: number;
}

const UNKNOWN: IndexedStatus = { modified: 0, changed: 0, born: 0, size: 0 };

/** The columns, all of one length. */
interface Columns {
  readonly parent: Int32Array;
  /** The siblings of an entry, and the first child of a directory. */
  readonly next: Int32Array;
  readonly previous: Int32Array;
  readonly first: Int32Array;
  /** Where the name is in the heap: its length in two bytes, then its bytes. */
  readonly name: Uint32Array;
  readonly flags: Uint8Array;
  /** Exact up to 2^53. */
  readonly inode: Float64Array;
}

/** A tree of names. An entry is a number, which may be used again after the entry was removed. */
export class FileIndex {
  #columns: Columns = columns(64);
  #status: Float64Array | undefined;
  #used = 1;
  #free: number[] = [];
  #size = 0;
  #heap = new Uint8Array(1024);
  #heapEnd = 0;
  #heapWaste = 0;
  #epoch = 0;
  /** The hash table, made when somebody first looks for a name. Entry + 1; 0 is free, -1 was taken. */
  #slots: Int32Array | undefined;
  #taken = 0;

  /** An index of a directory of which nothing is known; `withStatus` keeps a place for {@linkcode IndexedStatus}. */
  constructor(withStatus: boolean) {
    if (withStatus) this.keepStatus();
    this.#columns.parent[ROOT] = NONE;
    this.#columns.first[ROOT] = NONE;
    this.#columns.flags[ROOT] = DIRECTORY | LIVE;
  }

  /** Makes the hash table now: then it grows with the index, and is not built at once when a name is first looked for. */
  prepare(): void {
    if (this.#slots === undefined) this.#makeSlots();
  }

  /** How many entries there are, without the root. */
  get size(): number {
    return this.#size;
  }

  /** Changes when a directory is moved or removed: the entry of a path may be another one then. */
  get epoch(): number {
    return this.#epoch;
  }

  /** More than every entry. */
  get end(): number {
    return this.#used;
  }

  /** Bytes of memory that it takes. */
  get bytes(): number {
    const numbers = Object.values(this.#columns).reduce(
      (sum, { byteLength }) => sum + byteLength,
      0,
    );
    return numbers + (this.#status?.byteLength ?? 0) + this.#heap.length +
      (this.#slots?.byteLength ?? 0);
  }

  /** The entry `bytes[start, end)` of a directory. */
  child(parent: number, bytes: Uint8Array, start: number, end: number): number {
    const slots = this.#slots ?? this.#makeSlots();
    const mask = slots.length - 1;
    for (let at = hash(parent, bytes, start, end) & mask;; at = (at + 1) & mask) {
      const entry = slots[at]! - 1;
      if (entry === -1) return NONE;
      if (entry >= 0 && this.#isNamed(entry, parent, bytes, start, end)) return entry;
    }
  }

  /**
   * Adds an entry that is not there. While an index is filled, before a name is looked for, the same may be added twice, as
   * a directory that changes may list it: one of them stays.
   */
  add(
    parent: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    type: FileType,
    inode: number,
  ): number {
    const entry = this.#free.pop() ?? this.#used++;
    if (entry >= this.#columns.parent.length) this.#grow();
    const { flags, inode: inodes, first } = this.#columns;
    flags[entry] = TYPES.indexOf(type) | LIVE;
    inodes[entry] = inode;
    first[entry] = NONE;
    this.#status?.fill(0, entry * 4, entry * 4 + 4);
    this.#name(entry, bytes, start, end);
    this.#link(entry, parent);
    this.#size++;
    return entry;
  }

  /** Gives an entry another parent and name, where nothing is. */
  move(entry: number, parent: number, bytes: Uint8Array, start: number, end: number): void {
    if (this.isDirectory(entry)) this.#epoch++;
    this.#unlink(entry);
    this.#heapWaste += LENGTH + this.#lengthAt(this.#columns.name[entry]!);
    this.#name(entry, bytes, start, end);
    this.#link(entry, parent);
  }

  /** Removes an entry, and everything below it. */
  remove(entry: number): void {
    if (this.isDirectory(entry)) this.#epoch++;
    const { first, parent } = this.#columns;
    for (let at = entry;;) {
      while (first[at] !== NONE) at = first[at]!;
      const above = parent[at]!;
      this.#release(at);
      if (at === entry) break;
      at = above;
    }
    if (this.#heapWaste > this.#heapEnd / 2 && this.#heapWaste > 4096) this.#compact();
  }

  firstChild(entry: number): number {
    return this.#columns.first[entry]!;
  }

  nextSibling(entry: number): number {
    return this.#columns.next[entry]!;
  }

  parent(entry: number): number {
    return this.#columns.parent[entry]!;
  }

  isLive(entry: number): boolean {
    return (this.#columns.flags[entry]! & LIVE) !== 0;
  }

  type(entry: number): FileType {
    return TYPES[this.#columns.flags[entry]! & TYPE]!;
  }

  isDirectory(entry: number): boolean {
    return (this.#columns.flags[entry]! & TYPE) === DIRECTORY;
  }

  setType(entry: number, type: FileType): void {
    const { flags } = this.#columns;
    flags[entry] = (flags[entry]! & ~TYPE) | TYPES.indexOf(type);
  }

  /** The inode number; 0 where it is not known. */
  inode(entry: number): number {
    return this.#columns.inode[entry]!;
  }

  setInode(entry: number, inode: number): void {
    this.#columns.inode[entry] = inode;
  }

  /** Whether all names in the directory are known. */
  isListed(entry: number): boolean {
    return (this.#columns.flags[entry]! & LISTED) !== 0;
  }

  setListed(entry: number): void {
    this.#columns.flags[entry]! |= LISTED;
  }

  /** Marks an entry as seen; {@linkcode takeUnseen} asks for it. */
  setSeen(entry: number): void {
    this.#columns.flags[entry]! |= SEEN;
  }

  /** The entries of a directory that were not marked since the last call. */
  takeUnseen(directory: number): number[] {
    const { flags } = this.#columns;
    const unseen: number[] = [];
    for (let at = this.firstChild(directory); at !== NONE; at = this.nextSibling(at)) {
      if ((flags[at]! & SEEN) === 0) unseen.push(at);
      flags[at]! &= ~SEEN;
    }
    return unseen;
  }

  /** Keeps a place for {@linkcode IndexedStatus} from now on. */
  keepStatus(): void {
    this.#status ??= new Float64Array(4 * this.#columns.parent.length);
  }

  /** Forgets every {@linkcode IndexedStatus}. */
  dropStatus(): void {
    this.#status = undefined;
  }

  status(entry: number): IndexedStatus {
    const status = this.#status;
    if (status === undefined) return UNKNOWN;
    const at = entry * 4;
    return {
      modified: status[at]!,
      changed: status[at + 1]!,
      born: status[at + 2]!,
      size: status[at + 3]!,
    };
  }

  setStatus(entry: number, { modified, changed, born, size }: IndexedStatus): void {
    const status = this.#status;
    if (status === undefined) return;
    const at = entry * 4;
    status[at] = modified;
    status[at + 1] = changed;
    status[at + 2] = born;
    status[at + 3] = size;
  }

  /** The bytes of the name, valid until the index changes. */
  name(entry: number): Uint8Array {
    return this.#nameAt(this.#columns.name[entry]!);
  }

  /** The bytes of the path below the root; empty for the root. */
  path(entry: number): Uint8Array<ArrayBuffer> {
    const { parent, name } = this.#columns;
    let length = 0;
    for (let at = entry; at !== ROOT; at = parent[at]!) length += this.#lengthAt(name[at]!) + 1;
    const path = new Uint8Array(Math.max(0, length - 1));
    let end = path.length;
    for (let at = entry; at !== ROOT; at = parent[at]!) {
      const bytes = this.#nameAt(name[at]!);
      path.set(bytes, end -= bytes.length);
      if (end > 0) path[--end] = SLASH;
    }
    return path;
  }

  /** Every entry below a directory, parents first. */
  *entries(below: number = ROOT): Generator<number> {
    const { first, next, parent } = this.#columns;
    for (let at = first[below]!; at !== NONE;) {
      yield at;
      if (first[at] !== NONE) {
        at = first[at]!;
        continue;
      }
      while (at !== below && next[at] === NONE) at = parent[at]!;
      at = at === below ? NONE : next[at]!;
    }
  }

  #lengthAt(at: number): number {
    return lengthAt(this.#heap, at);
  }

  #nameAt(at: number): Uint8Array {
    return this.#heap.subarray(at + LENGTH, at + LENGTH + this.#lengthAt(at));
  }

  #hashOf(parent: number, at: number): number {
    return hash(parent, this.#heap, at + LENGTH, at + LENGTH + this.#lengthAt(at));
  }

  #release(entry: number): void {
    this.#unlink(entry);
    this.#heapWaste += LENGTH + this.#lengthAt(this.#columns.name[entry]!);
    this.#columns.flags[entry] = 0;
    this.#free.push(entry);
    this.#size--;
  }

  #isNamed(entry: number, parent: number, bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#columns.parent[entry] !== parent) return false;
    let at = this.#columns.name[entry]!;
    if (this.#lengthAt(at) !== end - start) return false;
    const heap = this.#heap;
    at += LENGTH;
    while (start < end) if (heap[at++] !== bytes[start++]) return false;
    return true;
  }

  #name(entry: number, bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    const needed = this.#heapEnd + LENGTH + length;
    if (needed > this.#heap.length) {
      this.#heap = grown(this.#heap, Math.max(this.#heap.length * 1.25, needed));
    }
    this.#columns.name[entry] = this.#heapEnd;
    this.#heap[this.#heapEnd++] = length;
    this.#heap[this.#heapEnd++] = length >> 8;
    for (let at = start; at < end; at++) this.#heap[this.#heapEnd++] = bytes[at]!;
  }

  #link(entry: number, parent: number): void {
    const { parent: parents, next, previous, first } = this.#columns;
    const sibling = first[parent]!;
    parents[entry] = parent;
    previous[entry] = NONE;
    next[entry] = sibling;
    if (sibling !== NONE) previous[sibling] = entry;
    first[parent] = entry;
    if (this.#slots === undefined) return;
    if ((this.#taken + 1) * 4 > this.#slots.length * 3) this.#rehash(this.#size + 1);
    else this.#hash(this.#slots, entry);
  }

  #unlink(entry: number): void {
    const { parent: parents, next, previous, first, name } = this.#columns;
    if (this.#slots !== undefined) {
      const mask = this.#slots.length - 1;
      let at = this.#hashOf(parents[entry]!, name[entry]!) & mask;
      while (this.#slots[at] !== entry + 1) at = (at + 1) & mask;
      this.#slots[at] = -1;
    }
    const [before, after] = [previous[entry]!, next[entry]!];
    if (before === NONE) first[parents[entry]!] = after;
    else next[before] = after;
    if (after !== NONE) previous[after] = before;
  }

  /** Enters a linked entry into the hash table. */
  #hash(slots: Int32Array, entry: number): void {
    const { parent, name } = this.#columns;
    const mask = slots.length - 1;
    let at = this.#hashOf(parent[entry]!, name[entry]!) & mask;
    while (slots[at]! > 0) at = (at + 1) & mask;
    if (slots[at] === 0) this.#taken++;
    slots[at] = entry + 1;
  }

  /** Builds the hash table for `size` entries, half full at most. */
  #rehash(size: number): Int32Array {
    const slots = new Int32Array(2 ** Math.ceil(Math.log2(Math.max(128, size * 1.7))));
    this.#slots = slots;
    this.#taken = 0;
    for (const entry of this.entries()) this.#hash(slots, entry);
    return slots;
  }

  /** Builds the hash table, and drops what was added twice. */
  #makeSlots(): Int32Array {
    const slots = this.#rehash(this.#size);
    const { parent, name } = this.#columns;
    const twice: number[] = [];
    for (const entry of this.entries()) {
      const start = name[entry]! + LENGTH;
      const end = start + this.#lengthAt(start - LENGTH);
      if (this.child(parent[entry]!, this.#heap, start, end) !== entry) twice.push(entry);
    }
    for (const entry of twice) if (this.isLive(entry)) this.remove(entry);
    return slots;
  }

  #grow(): void {
    const length = Math.ceil(this.#columns.parent.length * 1.25);
    this.#columns = columns(length, this.#columns);
    if (this.#status !== undefined) {
      const larger = new Float64Array(length * 4);
      larger.set(this.#status);
      this.#status = larger;
    }
  }

  /** Drops the names that nothing has any more. */
  #compact(): void {
    const old = this.#heap;
    this.#heap = new Uint8Array(Math.max(1024, (this.#heapEnd - this.#heapWaste) * 1.25));
    this.#heapEnd = this.#heapWaste = 0;
    for (const entry of this.entries()) {
      const start = this.#columns.name[entry]! + LENGTH;
      this.#name(entry, old, start, start + lengthAt(old, start - LENGTH));
    }
  }
}

const SLASH = 0x2f;

/** Before a name in the heap: how long it is. On some filesystems 255 characters are more than 255 bytes. */
const LENGTH = 2;

function lengthAt(heap: Uint8Array, at: number): number {
  return heap[at]! | (heap[at + 1]! << 8);
}

function columns(length: number, from?: Columns): Columns {
  const made: Columns = {
    parent: new Int32Array(length),
    next: new Int32Array(length),
    previous: new Int32Array(length),
    first: new Int32Array(length),
    name: new Uint32Array(length),
    flags: new Uint8Array(length),
    inode: new Float64Array(length),
  };
  if (from !== undefined) {
    for (const name of Object.keys(made) as (keyof Columns)[]) made[name].set(from[name]);
  }
  return made;
}

function grown(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(length);
  larger.set(bytes);
  return larger;
}

/** FNV-1a over the name, begun with the parent. */
function hash(parent: number, bytes: Uint8Array, start: number, end: number): number {
  let value = Math.imul(parent + 1, 0x9e3779b1) ^ 0x811c9dc5;
  for (let at = start; at < end; at++) value = Math.imul(value ^ bytes[at]!, 0x01000193);
  return value ^ (value >>> 15);
}

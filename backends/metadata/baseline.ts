/**
 * The metadata of files as it was last told, by device and inode number: columns of numbers, one hash table, and the
 * extended attributes, of which many files have the same, apart.
 *
 * @module
 */

import type { FileMetadata, Xattrs } from "./state.ts";

/** No such file. */
export const NONE = -1;

/** The columns, all of one length. */
interface Columns {
  /** Exact up to 2^53; 0 of a row that is free. */
  readonly inode: Float64Array;
  /** {@linkcode FileMetadata.accessed}, `modified`, `changed`, `born`. */
  readonly times: BigInt64Array;
  /** {@linkcode NUMBERS}. */
  readonly numbers: Uint32Array;
  readonly mode: Uint16Array;
  /** {@linkcode HAS_XFLAGS} and its neighbours. */
  readonly flags: Uint8Array;
}

/** What of a file is a u32, in the order of its column. */
const NUMBERS = ["device", "uid", "gid", "links", "attributes", "attributesMask"] as const;
const XFLAGS = NUMBERS.length;
const PROJECT = XFLAGS + 1;
const XATTRS = PROJECT + 1;
const NAME = XATTRS + 1;
const WIDTH = NAME + 1;

const HAS_XFLAGS = 0x1;
const TOLD = 0x2;
const SEEN = 0x4;
const RECENT = 0x8;

/** Extended attributes that cannot be listed, and none. */
const UNKNOWN = 0;
const EMPTY = 1;

/** A table of files. A row is a number, which may be used again after the file was forgotten. */
export class Baseline {
  #columns: Columns = columns(64);
  #used = 0;
  #free: number[] = [];
  /** The hash table: row + 1; 0 is free, -1 was taken. */
  #slots = new Int32Array(128);
  #taken = 0;
  readonly #xattrs = new XattrSets();

  /** How many files there are. */
  get size(): number {
    return this.#used - this.#free.length;
  }

  /** Bytes of memory that it takes, without extended attributes. */
  get bytes(): number {
    const numbers = Object.values(this.#columns).reduce(
      (sum, { byteLength }) => sum + byteLength,
      0,
    );
    return numbers + this.#slots.byteLength;
  }

  /** The row of a file; {@linkcode NONE} where it is not known. A number that another file has by now is not its. */
  find({ device, inode, born }: Pick<FileMetadata, "device" | "inode" | "born">): number {
    const row = this.#row(device, inode);
    return row !== NONE && this.#columns.times[row * 4 + 3] === born ? row : NONE;
  }

  /** When the metadata of a file had last changed, as far as was read. */
  changed(row: number): bigint {
    return this.#columns.times[row * 4 + 2]!;
  }

  /** Its {@linkcode FileMetadata.attributes}. */
  attributes(row: number): number {
    return this.#columns.numbers[row * WIDTH + 4]!;
  }

  /** What is known of a file. */
  get(row: number): FileMetadata {
    const { inode, times, numbers, mode, flags } = this.#columns;
    const at = row * WIDTH;
    const time = row * 4;
    return {
      inode: inode[row]!,
      device: numbers[at]!,
      uid: numbers[at + 1]!,
      gid: numbers[at + 2]!,
      links: numbers[at + 3]!,
      attributes: numbers[at + 4]!,
      attributesMask: numbers[at + 5]!,
      mode: mode[row]!,
      xflags: (flags[row]! & HAS_XFLAGS) !== 0 ? numbers[at + XFLAGS]! : undefined,
      projectId: numbers[at + PROJECT]!,
      accessed: times[time]!,
      modified: times[time + 1]!,
      changed: times[time + 2]!,
      born: times[time + 3]!,
      xattrs: this.#xattrs.get(numbers[at + XATTRS]!),
    };
  }

  /** Notes what is known of a file from now on; its row. */
  set(file: FileMetadata): number {
    let row = this.#row(file.device, file.inode);
    if (row === NONE) row = this.#add(file.device, file.inode);
    const { times, numbers, mode, flags } = this.#columns;
    const at = row * WIDTH;
    for (let i = 0; i < NUMBERS.length; i++) numbers[at + i] = file[NUMBERS[i]!];
    numbers[at + XFLAGS] = file.xflags ?? 0;
    numbers[at + PROJECT] = file.projectId;
    const known = numbers[at + XATTRS]!;
    numbers[at + XATTRS] = this.#xattrs.take(file.xattrs);
    this.#xattrs.release(known);
    mode[row] = file.mode;
    flags[row] = (flags[row]! & ~HAS_XFLAGS) | SEEN | (file.xflags === undefined ? 0 : HAS_XFLAGS);
    times.set([file.accessed, file.modified, file.changed, file.born], row * 4);
    return row;
  }

  /** Whether the last change that was read was told; else it was only learned that the file is like that. */
  isTold(row: number): boolean {
    return (this.#columns.flags[row]! & TOLD) !== 0;
  }

  /** Notes {@linkcode isTold}. */
  setTold(row: number, isTold: boolean): void {
    this.#setFlag(row, TOLD, isTold);
  }

  /** Whether the file was read so soon after it had changed that another change may have the same time. */
  isRecent(row: number): boolean {
    return (this.#columns.flags[row]! & RECENT) !== 0;
  }

  /** Notes {@linkcode isRecent}. */
  setRecent(row: number, isRecent: boolean): void {
    this.#setFlag(row, RECENT, isRecent);
  }

  /** A hash of the name under which the file was last met. */
  name(row: number): number {
    return this.#columns.numbers[row * WIDTH + NAME]!;
  }

  /** Notes {@linkcode name}. */
  setName(row: number, name: number): void {
    this.#columns.numbers[row * WIDTH + NAME] = name;
  }

  /** Begins a walk: what is not met until {@linkcode forgetUnseen} is forgotten then. */
  beginWalk(): void {
    const { flags } = this.#columns;
    for (let row = 0; row < this.#used; row++) flags[row] = flags[row]! & ~SEEN;
  }

  /** A walk has met the file. */
  setSeen(row: number): void {
    this.#setFlag(row, SEEN, true);
  }

  /** Forgets the files that were neither met nor noted since {@linkcode beginWalk}. */
  forgetUnseen(): void {
    const { inode, flags } = this.#columns;
    for (let row = 0; row < this.#used; row++) {
      if (inode[row] !== 0 && (flags[row]! & SEEN) === 0) this.#remove(row);
    }
  }

  #setFlag(row: number, flag: number, isSet: boolean): void {
    const { flags } = this.#columns;
    flags[row] = isSet ? flags[row]! | flag : flags[row]! & ~flag;
  }

  #row(device: number, inode: number): number {
    const mask = this.#slots.length - 1;
    for (let at = hash(device, inode) & mask;; at = (at + 1) & mask) {
      const row = this.#slots[at]! - 1;
      if (row === -1) return NONE;
      if (row >= 0 && this.#is(row, device, inode)) return row;
    }
  }

  #is(row: number, device: number, inode: number): boolean {
    const { inode: inodes, numbers } = this.#columns;
    return inodes[row] === inode && numbers[row * WIDTH] === device;
  }

  #add(device: number, inode: number): number {
    const row = this.#free.pop() ?? this.#used++;
    if (row >= this.#columns.inode.length) this.#columns = grown(this.#columns);
    const { inode: inodes, numbers, flags } = this.#columns;
    inodes[row] = inode;
    numbers.fill(0, row * WIDTH, (row + 1) * WIDTH);
    numbers[row * WIDTH] = device;
    flags[row] = 0;
    if (++this.#taken * 3 > this.#slots.length * 2) this.#rehash();
    else this.#insert(row);
    return row;
  }

  #insert(row: number): void {
    const { inode, numbers } = this.#columns;
    const mask = this.#slots.length - 1;
    let at = hash(numbers[row * WIDTH]!, inode[row]!) & mask;
    while (this.#slots[at]! > 0) at = (at + 1) & mask;
    this.#slots[at] = row + 1;
  }

  /** Makes room in the hash table, and throws out what was removed. */
  #rehash(): void {
    let { length } = this.#slots;
    while (this.size * 3 > length) length *= 2;
    this.#slots = new Int32Array(length);
    this.#taken = this.size;
    const { inode } = this.#columns;
    for (let row = 0; row < this.#used; row++) if (inode[row] !== 0) this.#insert(row);
  }

  #remove(row: number): void {
    const { inode, numbers } = this.#columns;
    const mask = this.#slots.length - 1;
    let at = hash(numbers[row * WIDTH]!, inode[row]!) & mask;
    while (this.#slots[at] !== row + 1) at = (at + 1) & mask;
    this.#slots[at] = -1;
    this.#xattrs.release(numbers[row * WIDTH + XATTRS]!);
    inode[row] = 0;
    this.#free.push(row);
  }
}

/** Sets of extended attributes, each kept once for all files that have it. */
class XattrSets {
  readonly #ids = new Map<string, number>();
  readonly #sets: (SharedXattrs | undefined)[] = [
    { key: "", xattrs: undefined, users: 1 },
    { key: "", xattrs: new Map(), users: 1 },
  ];
  readonly #free: number[] = [];

  get(id: number): Xattrs | undefined {
    return this.#sets[id]!.xattrs;
  }

  /** The number of a set, which has one user more. */
  take(xattrs: Xattrs | undefined): number {
    if (xattrs === undefined) return UNKNOWN;
    if (xattrs.size === 0) return EMPTY;
    const key = [...xattrs].map(([name, { digest }]) => `${name}\0${digest}`).join("\0");
    let id = this.#ids.get(key);
    if (id === undefined) {
      id = this.#free.pop() ?? this.#sets.length;
      this.#sets[id] = { key, xattrs, users: 0 };
      this.#ids.set(key, id);
    }
    this.#sets[id]!.users++;
    return id;
  }

  /** The set has one user less. */
  release(id: number): void {
    if (id === UNKNOWN || id === EMPTY) return;
    const set = this.#sets[id]!;
    if (--set.users > 0) return;
    this.#ids.delete(set.key);
    this.#sets[id] = undefined;
    this.#free.push(id);
  }
}

interface SharedXattrs {
  readonly key: string;
  readonly xattrs: Xattrs | undefined;
  users: number;
}

function columns(length: number): Columns {
  return {
    inode: new Float64Array(length),
    times: new BigInt64Array(length * 4),
    numbers: new Uint32Array(length * WIDTH),
    mode: new Uint16Array(length),
    flags: new Uint8Array(length),
  };
}

/** The same, half as long again. */
function grown(old: Columns): Columns {
  const larger = columns(Math.ceil(old.inode.length * 1.5));
  larger.inode.set(old.inode);
  larger.times.set(old.times);
  larger.numbers.set(old.numbers);
  larger.mode.set(old.mode);
  larger.flags.set(old.flags);
  return larger;
}

function hash(device: number, inode: number): number {
  let bits = Math.imul(inode | 0, 0x9e3779b1) ^ Math.imul((inode / 2 ** 32) | 0, 0x85ebca6b);
  bits = Math.imul(bits ^ device, 0xc2b2ae35);
  return bits ^ (bits >>> 15);
}

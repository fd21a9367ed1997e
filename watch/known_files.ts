/**
 * What is known of the files of a target, and what is found by looking at them: {@linkcode Baseline} with names and a
 * reader.
 *
 * @module
 */

import { Baseline, NONE } from "../backends/metadata/baseline.ts";
import {
  type FileIdentity,
  type FileMetadata,
  MetadataReader,
} from "../backends/metadata/state.ts";
import { S_IFDIR, S_IFLNK, S_IFMT } from "../ffi/abi/stat.ts";
import { isRecent } from "../ffi/file_time.ts";
import type { Libc } from "../ffi/port.ts";
import { latin1Bytes, latin1Text } from "../ffi/text.ts";
import { LinkNames } from "./link_names.ts";

/** A file that is known, as it was last told and as it is now. */
export interface SeenFile {
  readonly before: FileMetadata;
  readonly file: FileMetadata;
  /** Whether the change that `before` came of was told; else it was only learned that the file is like that. */
  readonly isTold: boolean;
}

/** How files are looked at. */
export interface KnownFilesInit {
  /** Of up to how many bytes values of extended attributes are kept. */
  readonly kept: number;
  /** The path at which a symlink is followed in any case. */
  readonly root: Uint8Array;
  /** Whether others are as well. */
  readonly followsSymlinks: boolean;
}

/** The files of a target. Paths are bytes. */
export class KnownFiles {
  /** The names of those that have several. */
  readonly names: LinkNames = new LinkNames();
  readonly #reader: MetadataReader;
  readonly #baseline = new Baseline();
  readonly #root: string;
  readonly #followsSymlinks: boolean;

  constructor(libc: Libc, { kept, root, followsSymlinks }: KnownFilesInit) {
    this.#reader = new MetadataReader(libc, kept);
    this.#root = textOf(root);
    this.#followsSymlinks = followsSymlinks;
  }

  /** How many there are. */
  get size(): number {
    return this.#baseline.size;
  }

  /** What is at a path; where symlinks are followed, what one leads to if the link itself has not changed. */
  look(path: Uint8Array): FileMetadata | undefined {
    const file = this.#reader.read(path, this.#isRoot(path));
    const isLink = file !== undefined && (file.mode & S_IFMT) === S_IFLNK;
    if (!isLink || !this.#followsSymlinks) return file;
    const row = this.#baseline.find(file);
    if (row !== NONE && this.#baseline.changed(row) !== file.changed) return file;
    return this.#reader.read(path, true) ?? file;
  }

  /** What is at the very path. */
  read(path: Uint8Array, follows: boolean): FileMetadata | undefined {
    return this.#reader.read(path, follows);
  }

  /** What is known of a file found at a path; undefined where it is new, or came there by a rename not told yet. */
  seen(file: FileMetadata, path: Uint8Array): SeenFile | undefined {
    const row = this.#baseline.find(file);
    if (row === NONE || this.#isAnother(row, file, path)) return undefined;
    return { before: this.#baseline.get(row), file, isTold: this.#baseline.isTold(row) };
  }

  /** What is known of a file, under whatever name; undefined where it is new. */
  known(file: FileIdentity): SeenFile["before"] | undefined {
    const row = this.#baseline.find(file);
    return row === NONE ? undefined : this.#baseline.get(row);
  }

  /** Whether nothing has changed at a path, by the time of change and those flags that statx tells with it. */
  isSame(path: Uint8Array, follows: boolean): boolean {
    const file = this.#reader.identify(path, follows || this.#isRoot(path));
    if (file === undefined) return true;
    const row = this.#baseline.find(file);
    if (row === NONE || this.#baseline.changed(row) !== file.changed) return false;
    if (this.#baseline.isRecent(row)) return false;
    if (this.#baseline.attributes(row) !== file.attributes) return false;
    this.#baseline.setSeen(row);
    this.meet(file, path);
    return true;
  }

  /** Notes what is known of a file from now on. What could not be read this time is as it was. */
  note(file: FileMetadata, isTold: boolean): void {
    const row = this.#baseline.find(file);
    const before = row === NONE ? undefined : this.#baseline.get(row);
    const wasTold = before?.changed === file.changed && this.#baseline.isTold(row);
    const { xattrs = before?.xattrs } = file;
    const { xflags, projectId } = file.xflags === undefined && before ? before : file;
    const state = { ...file, xattrs, xflags, projectId };
    this.#set(state, isTold || wasTold, isRecent(file.changed));
  }

  /** Notes a part of it. */
  notePart(file: FileMetadata, part: Partial<FileMetadata>): void {
    const row = this.#baseline.find(file);
    if (row === NONE) return;
    const [isTold, isRecent] = [this.#baseline.isTold(row), this.#baseline.isRecent(row)];
    this.#set({ ...this.#baseline.get(row), ...part }, isTold, isRecent);
  }

  /** Notes that nobody knows what became of a file since it was like that, so that it is looked at again in any case. */
  revert(file: FileMetadata): void {
    this.#set(file, true, true);
  }

  /** A new file is like that. `isTold`: what led to it was told. */
  learn(file: FileMetadata, path: Uint8Array, isTold: boolean): void {
    this.note(file, isTold);
    this.named(file, path);
  }

  /** A file that is known has that name now. */
  named(file: FileMetadata, path: Uint8Array): void {
    this.#baseline.setName(this.#baseline.find(file), nameOf(file, path));
    this.meet(file, path);
  }

  /** A walk has met a file at a path: it is noted if the file has several. */
  meet(file: FileIdentity, path: Uint8Array): void {
    const row = this.#baseline.find(file);
    if (row !== NONE) this.#baseline.setSeen(row);
    if (file.links < 2 || (file.mode & S_IFMT) === S_IFDIR) return;
    this.names.add(textOf(path), keyOf(file));
  }

  /** What is at a name of a file with several; undefined where that is another one by now. */
  readName(name: string): FileMetadata | undefined {
    const file = this.#reader.read(latin1Bytes(name));
    return file !== undefined && keyOf(file) === this.names.fileOf(name) ? file : undefined;
  }

  /** Begins a walk over everything: what is not met until {@linkcode forgetUnseen} is forgotten then. */
  beginWalk(): void {
    this.#baseline.beginWalk();
  }

  /** {@linkcode beginWalk}. */
  forgetUnseen(): void {
    this.#baseline.forgetUnseen();
  }

  #set(file: FileMetadata, isTold: boolean, isRecent: boolean): void {
    const row = this.#baseline.set(file);
    this.#baseline.setTold(row, isTold);
    this.#baseline.setRecent(row, isRecent);
  }

  #isRoot(path: Uint8Array): boolean {
    return path.length === this.#root.length && textOf(path) === this.#root;
  }

  /** Whether a file came to a name by a rename that was not told yet. Through symlinks it has other names as well. */
  #isAnother(row: number, file: FileMetadata, path: Uint8Array): boolean {
    if (this.#followsSymlinks) return false;
    const name = nameOf(file, path);
    const known = this.#baseline.name(row);
    if (known !== ANY && name !== ANY) return known !== name;
    this.#baseline.setName(row, name);
    return false;
  }
}

/** A path as the text that {@linkcode LinkNames} have. */
export function textOf(path: Uint8Array): string {
  return latin1Text(path.slice(), path.length);
}

/** Which file that is; its number may be another one's later. */
export function keyOf({ device, inode, born }: FileIdentity): string {
  return `${device}/${inode}/${born}`;
}

/** The name of a file that has several. */
const ANY = 0;

/** A hash of the last name in a path: that stays when a directory above is renamed. */
function nameOf({ links }: FileMetadata, bytes: Uint8Array): number {
  if (links > 1) return ANY;
  let hash = 0x811c9dc5;
  for (let at = bytes.lastIndexOf(SLASH) + 1; at < bytes.length; at++) {
    hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  }
  return (hash >>> 0) || 1;
}

const SLASH = 0x2f;

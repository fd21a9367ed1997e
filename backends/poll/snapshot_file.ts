/**
 * The bytes of a snapshot: a header, the entries parents first, a checksum.
 *
 * Little-endian. Header: `SENTINOD`, version (u32), number of entries (u32), inode (f64) and time of birth (f64) of the
 * root, time of the snapshot (f64, ms), the root's path (u32 length, bytes). Entry: number of its parent (u32; 0 is the
 * root, entries count from 1), type (u8), name (u16 length, bytes), inode, modified, changed, born, size (f64 each, times in
 * µs). Then the first 8 bytes of the SHA-256 of all before.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { FileType } from "../../ffi/file.ts";
import { FileIndex, ROOT } from "./file_index.ts";

const MAGIC = "SENTINOD";
const VERSION = 1;
const HEAD = 44;
const CHECKSUM = 8;
const TYPES: readonly FileType[] = ["file", "directory", "symlink", "other"];

/** What a snapshot knows. */
export interface SnapshotContent {
  /** The path of the directory, as bytes. */
  readonly root: Uint8Array;
  /** Which directory it was: its inode number and time of birth (µs; 0 where it is not known). */
  readonly inode: number;
  readonly born: number;
  /** When it was taken, in ms since the epoch. */
  readonly time: number;
  readonly index: FileIndex;
}

/** A snapshot as bytes. */
export function encodeSnapshot(
  { root, inode, born, time, index }: SnapshotContent,
): Uint8Array<ArrayBuffer> {
  let size = HEAD + root.length + CHECKSUM;
  const numbers = new Uint32Array(index.end);
  let number = 0;
  for (const entry of index.entries()) {
    numbers[entry] = ++number;
    size += 47 + index.name(entry).length;
  }
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < MAGIC.length; at++) bytes[at] = MAGIC.charCodeAt(at);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, index.size, true);
  [inode, born, time].forEach((value, at) => view.setFloat64(16 + at * 8, value, true));
  view.setUint32(40, root.length, true);
  bytes.set(root, HEAD);
  let at = HEAD + root.length;
  for (const entry of index.entries()) {
    const name = index.name(entry);
    view.setUint32(at, numbers[index.parent(entry)]!, true);
    bytes[at + 4] = TYPES.indexOf(index.type(entry));
    view.setUint16(at + 5, name.length, true);
    bytes.set(name, at + 7);
    at += 7 + name.length;
    const { modified, changed, born, size } = index.status(entry);
    view.setFloat64(at, index.inode(entry), true);
    view.setFloat64(at + 8, modified, true);
    view.setFloat64(at + 16, changed, true);
    view.setFloat64(at + 24, born, true);
    view.setFloat64(at + 32, size, true);
    at += 40;
  }
  bytes.set(checksum(bytes.subarray(0, at)), at);
  return bytes;
}

/** The content of {@linkcode encodeSnapshot}'s bytes. Throws `TypeError` for what is no snapshot, or is damaged. */
export function decodeSnapshot(bytes: Uint8Array): SnapshotContent {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (
    bytes.length < HEAD + CHECKSUM ||
    [...MAGIC].some((letter, at) => letter.charCodeAt(0) !== bytes[at])
  ) throw new TypeError("Cannot read the snapshot: these bytes are none");
  const version = view.getUint32(8, true);
  if (version !== VERSION) {
    throw new TypeError(
      `Cannot read the snapshot: it is of version ${version}, and this is for version ${VERSION}`,
    );
  }
  const end = bytes.length - CHECKSUM;
  const sum = checksum(bytes.subarray(0, end));
  if (sum.some((byte, at) => byte !== bytes[end + at])) {
    throw new TypeError("Cannot read the snapshot: it is damaged (its checksum differs)");
  }
  const index = new FileIndex(true);
  index.setListed(ROOT);
  const entries = [ROOT];
  let at = HEAD + view.getUint32(40, true);
  const root = bytes.slice(HEAD, at);
  for (let left = view.getUint32(12, true); left > 0; left--) {
    const parent = entries[view.getUint32(at, true)]!;
    const type = TYPES[bytes[at + 4]!]!;
    const start = at + 7;
    at = start + view.getUint16(at + 5, true);
    const number = (offset: number) => view.getFloat64(at + offset, true);
    const entry = index.add(parent, bytes, start, at, type, number(0));
    index.setListed(entry);
    index.setStatus(entry, {
      modified: number(8),
      changed: number(16),
      born: number(24),
      size: number(32),
    });
    entries.push(entry);
    at += 40;
  }
  const [inode, born, time] = [16, 24, 32].map((offset) => view.getFloat64(offset, true));
  return { root, inode: inode!, born: born!, time: time!, index };
}

function checksum(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest().subarray(0, CHECKSUM);
}

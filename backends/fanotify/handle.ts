/**
 * File handles: the identity under which fanotify reports files, and the way back to an open directory.
 *
 * A key is what an fanotify info record has from its fsid on: two words of fsid, then `struct file_handle` (length,
 * type, bytes). The inode's generation is within the handle, so a key is never another file's later.
 *
 * @module
 */

import { EINVAL, EOPNOTSUPP, EOVERFLOW } from "../../ffi/abi/errno.ts";
import {
  AT_HANDLE_FID,
  file_handle,
  FILEID_BTRFS_WITHOUT_PARENT,
  FILEID_INO32_GEN,
  FILEID_INO32_GEN_PARENT,
  FILEID_INO64_GEN,
  FILEID_INO64_GEN_PARENT,
  MAX_HANDLE_SZ,
} from "../../ffi/abi/handle.ts";
import { AT_EMPTY_PATH, O_CLOEXEC, O_DIRECTORY, O_PATH } from "../../ffi/abi/open.ts";
import { filesystemStatus } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { cString } from "../../ffi/text.ts";

/** fsid and file handle as words; the spare bytes of the last word are zero. */
export type HandleKey = Int32Array<ArrayBuffer>;

/** Words of the fsid. */
const FSID = 2;

/** Words before the handle's own bytes: fsid (2), length, type. */
const HEAD = 4;

/** How many words of the key at `at` are compared whole. */
function wholeWords(words: Int32Array, at: number): number {
  return HEAD + (words[at + 2]! >>> 2);
}

/** The bits of the last, partial word that belong to the handle; 0 where there is no such word. */
function tailMask(words: Int32Array, at: number): number {
  return (1 << ((words[at + 2]! & 3) * 8)) - 1;
}

/** A copy of the key that begins at word `at`. */
export function copyKey(words: Int32Array, at: number): HandleKey {
  const whole = wholeWords(words, at);
  const mask = tailMask(words, at);
  const key = new Int32Array(mask === 0 ? whole : whole + 1);
  key.set(words.subarray(at, at + key.length));
  if (mask !== 0) key[whole]! &= mask;
  return key;
}

/** Whether the key at `at` is `key`. */
export function isKey(words: Int32Array, at: number, key: HandleKey): boolean {
  const whole = wholeWords(words, at);
  for (let i = 0; i < whole; i++) if (words[at + i] !== key[i]) return false;
  const mask = tailMask(words, at);
  return mask === 0 || (words[at + whole]! & mask) === key[whole];
}

/** `key` with the fsid of `other`: statfs(2) gives each subvolume of btrfs one of its own, where a record has the mark's. */
export function onFilesystemOf(other: HandleKey, key: HandleKey): HandleKey {
  const same = key.slice();
  same.set(other.subarray(0, FSID));
  return same;
}

/** The words of a handle of btrfs that name its subvolume (`struct btrfs_fid`, fs/btrfs/export.h). */
const SUBVOLUME = [HEAD + 2, HEAD + 3] as const;

/** Whether the directory of the key at `at` is in another subvolume of btrfs than the one at `parent`: the root of one. */
export function isSubvolumeOf(words: Int32Array, at: number, parent: number): boolean {
  return words[at + 3] === FILEID_BTRFS_WITHOUT_PARENT &&
    words[parent + 3] === FILEID_BTRFS_WITHOUT_PARENT &&
    SUBVOLUME.some((word) => words[at + word] !== words[parent + word]);
}

/** The inode number in a key of the usual types (ext4, xfs, tmpfs …); undefined where it cannot be told. */
export function inodeOf(key: HandleKey): number | undefined {
  const [, , length = 0, type, low = 0, high = 0] = key;
  switch (type) {
    case FILEID_INO32_GEN:
    case FILEID_INO32_GEN_PARENT:
      return length >= 4 ? low >>> 0 : undefined;
    case FILEID_INO64_GEN:
    case FILEID_INO64_GEN_PARENT:
      return length >= 8 ? (low >>> 0) + (high >>> 0) * 2 ** 32 : undefined;
  }
  return undefined;
}

/** 32 bits of the key at `at`; different keys may share them. */
export function hash(words: Int32Array, at: number): number {
  const whole = wholeWords(words, at);
  let sum = words[at]!;
  for (let i = 1; i < whole; i++) sum = Math.imul(sum ^ (sum >>> 15), 0x2c1b3c6d) ^ words[at + i]!;
  const mask = tailMask(words, at);
  if (mask !== 0) sum = Math.imul(sum, 0x2c1b3c6d) ^ (words[at + whole]! & mask);
  return sum;
}

interface Entry<T> {
  readonly key: HandleKey;
  readonly value: T;
  next: Entry<T> | undefined;
}

/** A map from handle keys that are looked up where they stand, without a copy. */
export class HandleTable<T> {
  readonly #chains = new Map<number, Entry<T>>();
  size = 0;

  get(words: Int32Array, at: number): T | undefined {
    let entry = this.#chains.get(hash(words, at));
    while (entry !== undefined && !isKey(words, at, entry.key)) entry = entry.next;
    return entry?.value;
  }

  /** Adds or replaces. */
  set(key: HandleKey, value: T): void {
    this.delete(key, 0);
    const sum = hash(key, 0);
    this.#chains.set(sum, { key, value, next: this.#chains.get(sum) });
    this.size++;
  }

  delete(words: Int32Array, at: number): boolean {
    const sum = hash(words, at);
    let before: Entry<T> | undefined;
    for (let entry = this.#chains.get(sum); entry !== undefined; entry = entry.next) {
      if (!isKey(words, at, entry.key)) {
        before = entry;
        continue;
      }
      if (before !== undefined) before.next = entry.next;
      else if (entry.next !== undefined) this.#chains.set(sum, entry.next);
      else this.#chains.delete(sum);
      this.size--;
      return true;
    }
    return false;
  }

  clear(): void {
    this.#chains.clear();
    this.size = 0;
  }

  *values(): Generator<T> {
    for (const chain of this.#chains.values()) {
      for (let entry: Entry<T> | undefined = chain; entry; entry = entry.next) yield entry.value;
    }
  }
}

const EMPTY = cString("");
const DOT_DOT = cString("..");
const handle = new Int32Array(2 + MAX_HANDLE_SZ / 4);
const handleBytes = new Uint8Array(handle.buffer);
const mountId = new Int32Array(1);

/** An open directory with its identity. */
export interface OpenDirectory {
  readonly fd: number;
  readonly key: HandleKey;
  /** The mount through which it was opened. */
  readonly mountId: number;
}

/**
 * The identity of an open (O_PATH) file; undefined, and errno, where the filesystem has none. Filesystems that cannot
 * open a handle again may still give one to compare (AT_HANDLE_FID, Linux 6.5).
 */
export function identify(libc: Libc, fd: number): OpenDirectory | undefined {
  const fsid = filesystemStatus(libc, fd)?.fsid;
  if (fsid === undefined) return undefined;
  // Where the kernel does not know the flag (EINVAL), the first refusal is what is to be told, so it is asked for again.
  for (const flag of [0, AT_HANDLE_FID, 0]) {
    handle[0] = MAX_HANDLE_SZ;
    if (libc.name_to_handle_at(fd, EMPTY, handleBytes, mountId, AT_EMPTY_PATH | flag) === 0) {
      const words = new Int32Array(2 + handle.length);
      words.set(fsid);
      words.set(handle, 2);
      return { fd, key: copyKey(words, 0), mountId: mountId[0]! };
    }
    const errno = libc.errno();
    const isRefusal = errno === EOPNOTSUPP || errno === EOVERFLOW;
    if (!isRefusal && !(errno === EINVAL && flag === AT_HANDLE_FID)) return undefined;
  }
  return undefined;
}

/**
 * The directory that `key` names, opened with O_PATH on the filesystem of `mountFd`; -1 and errno where it cannot. Without
 * O_DIRECTORY in `flags` any file; the root of a user namespace may open directories only (Linux 6.16).
 */
export function openHandle(
  libc: Libc,
  mountFd: number,
  key: HandleKey,
  flags: number = O_DIRECTORY,
): number {
  const bytes = new Uint8Array(file_handle.size + key[2]!);
  bytes.set(new Uint8Array(key.buffer, key.byteOffset + 8, bytes.length));
  return libc.open_by_handle_at(mountFd, bytes, O_PATH | O_CLOEXEC | flags);
}

/** The parent of an open directory, opened with O_PATH; -1 and errno where it cannot. */
export function openParent(libc: Libc, fd: number): number {
  return libc.openat(fd, DOT_DOT, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
}

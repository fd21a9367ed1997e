/**
 * A directory as the kernel lists it: names as bytes, each with its type and inode number.
 *
 * @module
 */

import { DT_DIR, DT_LNK, DT_REG, DT_UNKNOWN, linux_dirent64 } from "../../ffi/abi/dirent.ts";
import { ENAMETOOLONG } from "../../ffi/abi/errno.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
} from "../../ffi/abi/open.ts";
import { statx, STATX_BASIC_STATS, STATX_BTIME, STATX_MNT_ID } from "../../ffi/abi/statx.ts";
import { type FileType, fileType } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { cString } from "../../ffi/text.ts";
import type { IndexedStatus } from "./file_index.ts";

/** Longer paths are opened in steps. */
const STEP = 4000;

const SLASH = 0x2f;

/** Opens a directory, however long its path is; -1 (and errno) where it cannot be. */
export function openDirectory(libc: Libc, path: Uint8Array): number {
  const flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  if (path.length <= STEP) return libc.open(cString(path), flags, 0);
  let above = AT_FDCWD;
  for (let rest = path;;) {
    const isLast = rest.length <= STEP;
    const end = isLast ? rest.length : rest.lastIndexOf(SLASH, STEP);
    if (end <= 0) return -ENAMETOOLONG;
    const fd = libc.openat(
      above,
      cString(rest.subarray(0, end)),
      isLast ? flags : flags | O_PATH,
      0,
    );
    if (above !== AT_FDCWD) libc.close(above);
    if (fd < 0 || isLast) return fd;
    above = fd;
    rest = rest.subarray(end + 1);
  }
}

/** What is called with an entry: its name is `bytes[start, end)`, followed by a NUL. */
export type EachEntry = (
  bytes: Uint8Array<ArrayBuffer>,
  start: number,
  end: number,
  type: FileType | undefined,
  inode: number,
) => void;

/** Calls `each` for the entries of an open directory; false (and errno) where they cannot be read. */
export function listEntries(libc: Libc, fd: number, each: EachEntry): boolean {
  for (;;) {
    const count = libc.getdents64(fd, listing, listing.length);
    if (count <= 0) return count === 0;
    for (let at = 0; at < count;) {
      const start = at + linux_dirent64.d_name;
      const end = listing.indexOf(0, start);
      const inode = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
      const type = typeOf(listing[at + linux_dirent64.d_type]!);
      at += view.getUint16(at + linux_dirent64.d_reclen, true);
      const isDots = listing[start] === DOT &&
        (end === start + 1 || (end === start + 2 && listing[start + 1] === DOT));
      if (!isDots) each(listing, start, end, type, inode);
    }
  }
}

/** Undefined where the filesystem does not tell the type with the name. */
function typeOf(type: number): FileType | undefined {
  switch (type) {
    case DT_REG:
      return "file";
    case DT_DIR:
      return "directory";
    case DT_LNK:
      return "symlink";
    case DT_UNKNOWN:
      return undefined;
    default:
      return "other";
  }
}

const DOT = 0x2e;
const listing = new Uint8Array(64 * 1024);
const view = new DataView(listing.buffer);

/** What statx tells of a name. */
export interface EntryStatus extends IndexedStatus {
  readonly type: FileType;
  readonly inode: number;
  readonly links: number;
}

/** A place for an {@linkcode EntryStatus}. */
export function emptyStatus(): { -readonly [Key in keyof EntryStatus]: EntryStatus[Key] } {
  return { type: "other", inode: 0, links: 0, size: 0, modified: 0, changed: 0, born: 0 };
}

/**
 * `statx` of `bytes[start, end)`, which a NUL follows, below an open directory; undefined (and errno) where it fails. A
 * walk gives one place `into` which all go, one after the other.
 */
export function statusAt(
  libc: Libc,
  fd: number,
  bytes: Uint8Array<ArrayBuffer>,
  start: number,
  end: number,
  into: ReturnType<typeof emptyStatus> = emptyStatus(),
): EntryStatus | undefined {
  let path = name;
  if (end - start < name.length) {
    for (let at = start; at <= end; at++) name[at - start] = bytes[at]!;
  } else path = bytes.subarray(start, end + 1);
  if (libc.statx(fd, path, AT_SYMLINK_NOFOLLOW, MASK, status) < 0) return undefined;
  const isBorn = (statusView.getUint32(statx.stx_mask, true) & STATX_BTIME) !== 0;
  into.type = fileType(statusView.getUint16(statx.stx_mode, true));
  into.inode = number64(statx.stx_ino);
  into.links = statusView.getUint32(statx.stx_nlink, true);
  into.size = number64(statx.stx_size);
  into.modified = time(statx.stx_mtime);
  into.changed = time(statx.stx_ctime);
  into.born = isBorn ? time(statx.stx_btime) : 0;
  return into;
}

const MASK = STATX_BASIC_STATS | STATX_BTIME;
const name = new Uint8Array(1024);

/** The id of the mount that an open file is on (Linux 5.8; 0 before). */
export function mountOfFd(libc: Libc, fd: number): number {
  const result = libc.statx(fd, EMPTY, AT_EMPTY_PATH, STATX_MNT_ID, status);
  const isTold = result === 0 && (statusView.getUint32(statx.stx_mask, true) & STATX_MNT_ID) !== 0;
  return isTold ? number64(statx.stx_mnt_id) : 0;
}

const EMPTY = cString("");
const status = new Uint8Array(statx.size);
const statusView = new DataView(status.buffer);

function number64(at: number): number {
  return statusView.getUint32(at, true) + statusView.getUint32(at + 4, true) * 2 ** 32;
}

/** A `struct statx_timestamp` in µs, which a number holds exactly; its halves apart, for a BigInt takes ten times as long. */
function time(at: number): number {
  const seconds = statusView.getInt32(at + 4, true) * 2 ** 32 + statusView.getUint32(at, true);
  return seconds * 1e6 + Math.floor(statusView.getUint32(at + 8, true) / 1000);
}

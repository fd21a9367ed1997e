/**
 * Files through libc: what the runtimes' own functions would do, but with `--allow-ffi` alone.
 *
 * @module
 */

import { DT_DIR, DT_UNKNOWN, linux_dirent64 } from "./abi/dirent.ts";
import { EINTR } from "./abi/errno.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_STATX_DONT_SYNC,
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  PATH_MAX,
} from "./abi/open.ts";
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "./abi/stat.ts";
import { statfs } from "./abi/statfs.ts";
import { statx, STATX_BASIC_STATS, STATX_BTIME } from "./abi/statx.ts";
import type { Libc } from "./port.ts";
import { bytesUnlessText, cString, decodeText, sliceable, sliceText } from "./text.ts";

/** What a name stands for. */
export type FileType = "file" | "directory" | "symlink" | "other";

/** The part of `struct statx` that the house uses. */
export interface FileStatus {
  readonly type: FileType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  /** Inode number; exact up to 2^53, and compared only with itself. */
  readonly inode: number;
  /** `major:minor` of the filesystem. */
  readonly device: string;
  readonly size: number;
  /** ms since the epoch; undefined where the filesystem does not keep it. */
  readonly birthTime?: number;
}

const status = new Uint8Array(statx.size);
const statusView = new DataView(status.buffer);

/** `statx` of `path` below `dirfd`, without following a last symlink; undefined (and errno) where it fails. */
export function fileStatus(
  libc: Libc,
  path: Uint8Array<ArrayBuffer>,
  dirfd: number = AT_FDCWD,
): FileStatus | undefined {
  const flags = AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC | (path.length === 1 ? AT_EMPTY_PATH : 0);
  if (libc.statx(dirfd, path, flags, STATX_BASIC_STATS | STATX_BTIME, status) < 0) return undefined;
  const view = statusView;
  const mode = view.getUint16(statx.stx_mode, true);
  const major = view.getUint32(statx.stx_dev_major, true);
  const born = (view.getUint32(statx.stx_mask, true) & STATX_BTIME) !== 0;
  return {
    type: fileType(mode),
    mode,
    uid: view.getUint32(statx.stx_uid, true),
    gid: view.getUint32(statx.stx_gid, true),
    links: view.getUint32(statx.stx_nlink, true),
    inode: Number(view.getBigUint64(statx.stx_ino, true)),
    device: `${major}:${view.getUint32(statx.stx_dev_minor, true)}`,
    size: Number(view.getBigUint64(statx.stx_size, true)),
    ...(born
      ? {
        birthTime: Number(view.getBigInt64(statx.stx_btime, true)) * 1000 +
          view.getUint32(statx.stx_btime + 8, true) / 1e6,
      }
      : {}),
  };
}

/** The status of what a path leads to, through symlinks; undefined (and errno) where that is nothing. */
export function statusBehind(libc: Libc, path: Uint8Array<ArrayBuffer>): FileStatus | undefined {
  const fd = libc.open(path, O_PATH | O_CLOEXEC, 0);
  if (fd < 0) return undefined;
  const status = fileStatus(libc, cString(""), fd);
  libc.close(fd);
  return status;
}

/** The type of a file of that `st_mode`. */
export function fileType(mode: number): FileType {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symlink";
    default:
      return "other";
  }
}

/** All of a (small, or /proc) file; undefined (and errno) where it cannot be opened, with these flags too, or read. */
export function readFile(
  libc: Libc,
  path: string,
  flags = 0,
): Uint8Array<ArrayBuffer> | undefined {
  const fd = libc.open(cString(path), O_RDONLY | O_CLOEXEC | flags, 0);
  if (fd < 0) return undefined;
  let content = new Uint8Array(4096);
  let length = 0;
  for (;;) {
    const count = libc.read(fd, content.subarray(length), content.length - length);
    if (count < 0 && libc.errno() === EINTR) continue;
    if (count <= 0) {
      libc.close(fd);
      return count < 0 ? undefined : content.subarray(0, length);
    }
    length += count;
    if (length === content.length) {
      const larger = new Uint8Array(length * 2);
      larger.set(content);
      content = larger;
    }
  }
}

/** {@linkcode readFile} as text. */
export function readText(libc: Libc, path: string): string | undefined {
  const content = readFile(libc, path);
  return content === undefined ? undefined : decodeText(content);
}

/** Writes a whole file, for its user alone where it is new; false (and errno) where that fails. */
export function writeFile(libc: Libc, path: string, content: Uint8Array<ArrayBuffer>): boolean {
  const fd = libc.open(cString(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600);
  if (fd < 0) return false;
  for (let at = 0; at < content.length;) {
    const count = libc.write(fd, content.subarray(at), content.length - at);
    if (count < 0 && libc.errno() === EINTR) continue;
    if (count < 0) {
      libc.close(fd);
      return false;
    }
    at += count;
  }
  return libc.close(fd) === 0;
}

const target = new Uint8Array(PATH_MAX);

/** The target of a symlink as bytes, valid until the next call; undefined (and errno) where it cannot be read. */
export function readLink(libc: Libc, path: string): Uint8Array<ArrayBuffer> | undefined {
  const length = libc.readlink(cString(path), target, target.length);
  return length < 0 ? undefined : target.subarray(0, length);
}

/** The path that the kernel gives an open file; undefined where there is no /proc, or the path is not valid UTF-8. */
export function pathOfFd(libc: Libc, fd: number): string | undefined {
  const link = readLink(libc, `/proc/self/fd/${fd}`);
  if (link === undefined) return undefined;
  const path = decodeText(link);
  return bytesUnlessText(link, 0, link.length, path) === undefined ? path : undefined;
}

/** An entry of a directory. `type` is undefined where the filesystem does not tell it with the name. */
export interface DirectoryEntry {
  readonly name: string;
  /** Present where the name is not valid UTF-8. */
  readonly nameBytes?: Uint8Array<ArrayBuffer>;
  readonly isDirectory: boolean | undefined;
}

/** The entries of a directory without `.` and `..`; undefined (and errno) where it cannot be opened or read. */
export function readDirectory(
  libc: Libc,
  path: Uint8Array<ArrayBuffer>,
): DirectoryEntry[] | undefined {
  const fd = libc.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
  if (fd < 0) return undefined;
  const entries: DirectoryEntry[] = [];
  for (;;) {
    const count = libc.getdents64(fd, listing, listing.length);
    if (count <= 0) {
      libc.close(fd);
      return count < 0 ? undefined : entries;
    }
    for (let at = 0; at < count;) {
      const length = listingView.getUint16(at + linux_dirent64.d_reclen, true);
      const start = at + linux_dirent64.d_name;
      const end = listing.indexOf(0, start);
      const name = sliceText(listingText, start, end);
      const type = listing[at + linux_dirent64.d_type];
      at += length;
      if (name === "." || name === "..") continue;
      const isDirectory = type === DT_UNKNOWN ? undefined : type === DT_DIR;
      const nameBytes = bytesUnlessText(listing, start, end, name);
      entries.push(nameBytes ? { name, nameBytes, isDirectory } : { name, isDirectory });
    }
  }
}

/**
 * Waits until no entry of the directory is being renamed, created or removed: like each of these, reading takes the lock
 * of the directory, which they hold until their events are queued (fs/namei.c, fs/readdir.c; Linux 4.7 to 6.18).
 */
export function awaitChanges(libc: Libc, path: Uint8Array<ArrayBuffer>): void {
  const fd = libc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) return;
  libc.getdents64(fd, entry, entry.length);
  libc.close(fd);
}

const entry = new Uint8Array(512);
const listing = new Uint8Array(64 * 1024);
const listingView = new DataView(listing.buffer);
const listingText = sliceable(listing.buffer);

/** What `statfs` tells of the filesystem under an open file descriptor. */
export interface FilesystemStatus {
  /** `f_type`, the magic number. */
  readonly magic: number;
  /** `f_fsid`, the two words that fanotify reports with each handle. */
  readonly fsid: readonly [number, number];
}

/** `fstatfs` of an open file; undefined (and errno) where it fails. */
export function filesystemStatus(libc: Libc, fd: number): FilesystemStatus | undefined {
  const buffer = new Uint8Array(statfs.size);
  if (libc.fstatfs(fd, buffer) < 0) return undefined;
  const view = new DataView(buffer.buffer);
  return {
    magic: view.getUint32(statfs.f_type, true),
    fsid: [view.getInt32(statfs.f_fsid, true), view.getInt32(statfs.f_fsid + 4, true)],
  };
}

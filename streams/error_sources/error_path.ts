/**
 * The path of the file at which an error was found.
 *
 * @module
 */

import process from "node:process";
import type { ErrorRecord } from "../../backends/fanotify/error_group.ts";
import {
  type HandleKey,
  HandleTable,
  inodeOf,
  openHandle,
} from "../../backends/fanotify/handle.ts";
import { openFileDirectory, OpenFiles } from "../../backends/fanotify/open_files.ts";
import { inodePath } from "../../backends/poll/inode_search.ts";
import { EPERM } from "../../ffi/abi/errno.ts";
import { O_CLOEXEC, O_DIRECTORY, O_NONBLOCK, O_RDONLY } from "../../ffi/abi/open.ts";
import { fileStatus, filesystemStatus } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { bytesUnlessText, cString, decodeText, encodeText } from "../../ffi/text.ts";
import { Turns } from "../../watch/turns.ts";
import type { Filesystem } from "./source.ts";

/** How long files are looked for at once, in ms. */
const MOST = 1000;

/** And which part of the time in the long run. */
const SHARE = 0.1;

/** How many files that cannot be opened are remembered, so that they are not tried again. */
const REMEMBERED = 1024;

/** A path, and its bytes where they are no UTF-8. */
export interface FoundPath {
  readonly path: string;
  readonly pathBytes?: Uint8Array;
}

/** Whether a record is of the error that a lookup here made, which was tried in vain just before. */
export function isEcho({ key, pid, count }: ErrorRecord, tried: readonly HandleKey[]): boolean {
  return pid === process.pid && count === 1 && key !== undefined &&
    tried.some((one) => inodeOf(one) === inodeOf(key));
}

/** Finds files by their inode numbers, among the names that may be read, as long as its time lasts. */
export class InodeFinder {
  readonly #libc: Libc;
  #left = MOST;
  #since = performance.now();

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  /** A path of the file; undefined where there is none, or no time left to find it. */
  async find(
    { mount, top }: Filesystem,
    inode: number,
    isWanted: () => boolean,
  ): Promise<FoundPath | undefined> {
    const turns = new Turns();
    const begun = performance.now();
    this.#left = Math.min(MOST, this.#left + (begun - this.#since) * SHARE);
    const isOver = () => performance.now() - begun > this.#left || !isWanted();
    try {
      // The usual mount first: its paths are those that the user knows.
      for (const point of new Set([mount.point, top.point])) {
        if (fileStatus(this.#libc, cString(point))?.inode === inode) return { path: point };
        const search = inodePath(this.#libc, encodeText(point), inode);
        let step = search.next();
        for (; !step.done; step = search.next()) {
          if (isOver()) return undefined;
          if (turns.isOver) await turns.next();
        }
        if (step.value !== undefined) return pathOf(step.value);
      }
      return undefined;
    } finally {
      this.#since = performance.now();
      this.#left -= this.#since - begun;
    }
  }

  /** Whether the file is still there. */
  isAt({ path, pathBytes = encodeText(path) }: FoundPath, inode: number): boolean {
    const directory = pathBytes.subarray(0, Math.max(1, pathBytes.lastIndexOf(SLASH)));
    const { done, value } = inodePath(this.#libc, directory, inode).next();
    return done === true && value !== undefined && pathOf(value).path === path;
  }
}

const SLASH = 0x2f;

function pathOf(bytes: Uint8Array): FoundPath {
  const path = decodeText(bytes);
  const pathBytes = bytesUnlessText(bytes, 0, bytes.length, path);
  return pathBytes === undefined ? { path } : { path, pathBytes };
}

/**
 * The paths of the files in error records.
 *
 * To open a broken inode by its handle is one more error (measured on 6.18: the kernel reads it again, finds it broken, and
 * says so). So each is tried once, and the error that this made is not told.
 */
export class ErrorPaths {
  readonly #libc: Libc;
  readonly #finder: InodeFinder;
  /** Those that could not be opened, with where they were found. */
  readonly #broken = new HandleTable<{ readonly found: FoundPath | undefined }>();
  /** Those that were just tried in vain. */
  #tried: HandleKey[] = [];

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#finder = new InodeFinder(libc);
  }

  /** Takes the files that were tried in vain since this was last asked: what is read next tells of that, too. */
  takeTried(): readonly HandleKey[] {
    return this.#tried.splice(0);
  }

  /** Where the file of `key` is; undefined where that cannot be told. */
  async find(
    filesystem: Filesystem,
    key: HandleKey,
    isWanted: () => boolean,
  ): Promise<FoundPath | undefined> {
    const inode = inodeOf(key);
    const known = this.#broken.get(key, 0);
    if (known?.found !== undefined && this.#finder.isAt(known.found, inode!)) return known.found;
    const opened = known === undefined ? this.#open(filesystem, key) : "broken";
    if (typeof opened === "object") return opened;
    const found = inode === undefined
      ? undefined
      : await this.#finder.find(filesystem, inode, isWanted);
    if (opened === "broken") {
      if (this.#broken.size >= REMEMBERED) this.#broken.clear();
      this.#broken.set(key, { found });
    }
    return found;
  }

  /** By the handle: `"broken"` where it cannot be opened, undefined where it has no path that can be seen. */
  #open({ top }: Filesystem, key: HandleKey): FoundPath | "broken" | undefined {
    const libc = this.#libc;
    // Not O_PATH, which open_by_handle_at(2) does not take; and not kept, or nobody could unmount it.
    const flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK;
    const mountFd = libc.open(cString(top.point), flags, 0);
    if (mountFd < 0) return undefined;
    const fsid = filesystemStatus(libc, mountFd)?.fsid;
    const isSame = fsid !== undefined && fsid[0] === key[0] && fsid[1] === key[1];
    const fd = isSame ? openHandle(libc, mountFd, key, 0) : -1;
    const isRefused = !isSame || (fd < 0 && libc.errno() === EPERM); // without CAP_DAC_READ_SEARCH
    libc.close(mountFd);
    if (isRefused) return undefined;
    if (fd < 0) {
      this.#tried.push(key);
      return "broken";
    }
    const files = openFileDirectory(libc);
    try {
      const { path, pathBytes } = new OpenFiles(libc, files).path(fd);
      const file = fileStatus(libc, cString(""), fd);
      const there = fileStatus(libc, cString(pathBytes ?? path));
      // What has no name that can be seen from here gets a path all the same, from the top of the filesystem.
      const isThere = file !== undefined && there?.inode === file.inode &&
        there.device === file.device;
      if (!isThere && file?.links !== 0) return undefined;
      return pathBytes === undefined ? { path } : { path, pathBytes };
    } finally {
      libc.close(files);
      libc.close(fd);
    }
  }
}

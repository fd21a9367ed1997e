/**
 * Walks over everything in a tree, in turns.
 *
 * @module
 */

import { listEntries, mountOfFd, openDirectory, statusAt } from "../backends/poll/listing.ts";
import { fileStatus } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { cString, decodeText, encodeText, joinPath } from "../ffi/text.ts";
import { Turns } from "./turns.ts";

/** What is walked over. */
export interface Walk {
  readonly root: string;
  readonly recursive: boolean;
  /** Whether what symlinks lead to belongs to it. */
  readonly followsSymlinks: boolean;
  /** Whether something, and what is below it, does not count. */
  leavesOut(path: string, isDirectory: boolean): boolean;
  /** Called with each path; of the root, and of a symlink that is followed once more, to follow it. */
  each(path: Uint8Array<ArrayBuffer>, follows: boolean): void;
  /** Called between turns; false ends it. */
  goesOn(): boolean | Promise<boolean>;
}

/** A directory to go into, and the mount that it has to be on, where that is known. */
interface Place {
  readonly path: Uint8Array<ArrayBuffer>;
  readonly mount: number | undefined;
}

/** Walks over the root and all below it on the same mount; whether it came to the end. */
export async function walk(libc: Libc, work: Walk): Promise<boolean> {
  const root = encodeText(work.root);
  const turns = new Turns();
  /** Directories that were met where symlinks make several paths of one, by device and inode. */
  const met = new Set<string>();
  const waiting: Place[] = [{ path: root, mount: undefined }];
  if (!await work.goesOn()) return false;
  work.each(root, true);
  for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
    const { path } = place;
    const fd = openDirectory(libc, path);
    if (fd < 0) continue; // a file; gone; or not to be read, and then nothing is known
    try {
      const mount = mountOfFd(libc, fd);
      if (place.mount !== undefined && place.mount !== mount) continue; // a target of its own, or left out
      if (work.followsSymlinks && !isNew(libc, fd, met)) continue;
      listEntries(libc, fd, (bytes, start, end, type) => {
        const seen = type ?? statusAt(libc, fd, bytes, start, end)?.type;
        const below = joinPath(path, bytes.subarray(start, end));
        const isDirectory = seen === "directory";
        if (work.leavesOut(decodeText(below), isDirectory)) return;
        work.each(below, false);
        if (!work.recursive && isDirectory) return;
        if (isDirectory) waiting.push({ path: below, mount });
        else if (seen === "symlink" && work.followsSymlinks) {
          work.each(below, true);
          waiting.push({ path: below, mount: undefined });
        }
      });
    } finally {
      libc.close(fd);
    }
    if (!turns.isOver) continue;
    await turns.next();
    if (!await work.goesOn()) return false;
  }
  return await work.goesOn();
}

function isNew(libc: Libc, fd: number, met: Set<string>): boolean {
  const status = fileStatus(libc, cString(""), fd);
  const key = `${status?.device}/${status?.inode}`;
  if (met.has(key)) return false;
  met.add(key);
  return true;
}

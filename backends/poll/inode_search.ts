/**
 * Where the file of an inode number is, by the names of directories alone.
 *
 * A file that is broken cannot be opened, not even looked at: that is another error. Its name in a directory has its number
 * all the same.
 *
 * @module
 */

import { joinPath } from "../../ffi/text.ts";
import type { Libc } from "../../ffi/port.ts";
import { listEntries, mountOfFd, openDirectory } from "./listing.ts";

/**
 * The path of a file with that number below `root`, on the same mount; undefined where none is found. Yields after each
 * directory in which it is not, so that the caller can give up or let others have their turn. A file may have other names.
 */
export function* inodePath(
  libc: Libc,
  root: Uint8Array,
  inode: number,
): Generator<void, Uint8Array | undefined> {
  const waiting: Uint8Array[] = [root];
  let mount: number | undefined;
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const found = lookIn(path);
    if (found !== undefined) return found;
    yield;
  }
  return undefined;

  function lookIn(path: Uint8Array): Uint8Array | undefined {
    const fd = openDirectory(libc, path);
    if (fd < 0) return undefined; // gone, not to be read, or broken
    let found: Uint8Array | undefined;
    try {
      const here = mountOfFd(libc, fd);
      if (here !== (mount ??= here)) return undefined;
      listEntries(libc, fd, (bytes, start, end, type, number) => {
        if (found !== undefined || (type !== "directory" && number !== inode)) return;
        const entry = joinPath(path, bytes.subarray(start, end));
        if (number === inode) found = entry;
        else waiting.push(entry);
      });
    } finally {
      libc.close(fd);
    }
    return found;
  }
}

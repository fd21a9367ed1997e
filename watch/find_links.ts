/**
 * Finds the symlinks in a tree.
 *
 * @module
 */

import { listEntries, mountOfFd, openDirectory, statusAt } from "../backends/poll/listing.ts";
import type { Libc } from "../ffi/port.ts";
import { bytesUnlessText, decodeText, encodeText, joinPath } from "../ffi/text.ts";
import { Turns } from "./turns.ts";

/** A symlink that was found. */
export interface FoundLink {
  readonly path: string;
  /** Present where the path is not valid UTF-8. */
  readonly pathBytes: Uint8Array | undefined;
}

/**
 * The symlinks in a directory, and below it on the same mount where it is recursive; in slices that leave the event loop
 * free, in the order of their names. `leavesOut` is asked for each link and directory.
 */
export async function* findLinks(
  libc: Libc,
  root: string,
  recursive: boolean,
  leavesOut: (path: string, isDirectory: boolean) => boolean,
): AsyncGenerator<FoundLink, void, void> {
  const waiting: Uint8Array[] = [encodeText(root)];
  const turns = new Turns();
  let mount: number | undefined;
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    const directory = at;
    const fd = openDirectory(libc, directory);
    if (fd < 0) continue; // gone, or not to be read: whoever watches it says so
    const links: FoundLink[] = [];
    const below: { readonly path: string; readonly bytes: Uint8Array }[] = [];
    try {
      const here = mountOfFd(libc, fd);
      if (here !== (mount ??= here)) continue; // another target, or left out
      listEntries(libc, fd, (bytes, start, end, type) => {
        const seen = type ?? statusAt(libc, fd, bytes, start, end)?.type;
        if (seen !== "symlink" && (seen !== "directory" || !recursive)) return;
        const whole = joinPath(directory, bytes.subarray(start, end));
        const path = decodeText(whole);
        if (leavesOut(path, seen === "directory")) return;
        if (seen === "directory") below.push({ path, bytes: whole });
        else links.push({ path, pathBytes: bytesUnlessText(whole, 0, whole.length, path) });
      });
    } finally {
      libc.close(fd);
    }
    yield* links.sort(byPath);
    waiting.push(...below.sort(byPath).reverse().map(({ bytes }) => bytes));
    if (turns.isOver) await turns.next();
  }
}

function byPath(
  { path: one }: { readonly path: string },
  { path: other }: { readonly path: string },
): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

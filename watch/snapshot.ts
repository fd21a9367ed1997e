/**
 * What changed while nobody watched.
 *
 * @module
 */

import { BY_STATUS, compare, type Ground, KNOWN_WITH_STATUS } from "../backends/poll/compare.ts";
import { FileIndex } from "../backends/poll/file_index.ts";
import { type EntryStatus, statusAt } from "../backends/poll/listing.ts";
import {
  decodeSnapshot,
  encodeSnapshot,
  type SnapshotContent,
} from "../backends/poll/snapshot_file.ts";
import { FileEvent, type WatchEvent } from "../classify/event.ts";
import { AT_FDCWD } from "../ffi/abi/open.ts";
import { SystemError, systemError } from "../ffi/errno.ts";
import { openLibc } from "../ffi/libc.ts";
import type { Libc } from "../ffi/port.ts";
import { bytesUnlessText, cString, decodeText, encodeText, joinPath } from "../ffi/text.ts";
import { kindOf } from "./differences.ts";
import { Filter, type Ignore } from "./filter.ts";
import { checkIgnore } from "./options.ts";
import { absolutePath } from "./targets.ts";
import { Turns } from "./turns.ts";

/** Options of {@linkcode snapshot} and {@linkcode changesSince}. */
export interface SnapshotOptions {
  /** Globs, expressions or functions, as of `watch()`; give the same to both. Default none. */
  ignore?: Ignore | readonly Ignore[];
  /** Ends it with an `AbortError`. */
  signal?: AbortSignal;
}

/**
 * Notes the state of a directory tree, for {@linkcode changesSince}: names, inode numbers, times and sizes, about 60 bytes a
 * file. It does not cross into other mounts. A change made while it is taken may be in it or not; a watcher that was
 * started before tells of it.
 *
 * **Privilege.** None; what this user may not read is not in it. Throws `SystemError` where there is no such directory.
 *
 * @example
 * ```ts
 * import { changesSince, snapshot } from "sentinode";
 *
 * const before = await snapshot("/var/tmp");
 * for await (const event of changesSince(before)) console.log(event.kind, event.path);
 * ```
 *
 * @param path a directory
 */
export async function snapshot(
  path: string | URL,
  options: SnapshotOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const libc = await openLibc();
  const root = absolutePath(libc, path);
  const { inode, born } = rootStatus(libc, root, `take a snapshot of ${root}`);
  const content: SnapshotContent = {
    root: encodeText(root),
    inode,
    born,
    time: Date.now(),
    index: new FileIndex(true),
  };
  const turns = inTurns(
    compare(groundOf(libc, root, options), content.index, KNOWN_WITH_STATUS),
    options.signal,
  );
  for await (const _ of turns); // an index that is filled has no differences
  return encodeSnapshot(content);
}

/**
 * What is different now: events that lead from the state of the snapshot to the present one, parents before what is in
 * them, removals last. A rename is one event where inode number and time of birth prove it.
 *
 * **Errors.** `TypeError` for what is no snapshot, or is damaged; `SystemError` where the directory is gone, or is another
 * one than it was.
 *
 * @param snapshot what {@linkcode snapshot} gave
 */
export async function* changesSince(
  snapshot: Uint8Array,
  options: SnapshotOptions = {},
): AsyncGenerator<WatchEvent, void, void> {
  const { root: rootBytes, inode, born, index } = decodeSnapshot(snapshot);
  const libc = await openLibc();
  const root = decodeText(rootBytes);
  const now = rootStatus(libc, root, `compare ${root} with the snapshot`);
  if (now.inode !== inode || (born !== 0 && now.born !== 0 && now.born !== born)) {
    throw new SystemError(`Cannot compare ${root} with the snapshot: it is another directory now`, {
      path: root,
      hint: "take a new snapshot",
    });
  }
  const above = root === "/" ? root : `${root}/`;
  const time = Date.now();
  const differences = compare(groundOf(libc, root, options), index, BY_STATUS);
  for await (const { kind, type, path, from } of inTurns(differences, options.signal)) {
    const whole = (path: Uint8Array) => {
      const text = decodeText(path);
      const isText = bytesUnlessText(path, 0, path.length, text) === undefined;
      const bytes = isText ? undefined : joinPath(rootBytes, path);
      return { text: above + text, bytes };
    };
    const { text, bytes } = whole(path);
    const old = from && whole(from);
    yield FileEvent.from(
      {
        kind: kindOf(kind, type),
        path: text,
        isDirectory: type === "directory",
        synthetic: true,
        ...(bytes === undefined ? {} : { pathBytes: bytes }),
        ...(old === undefined ? {} : { from: old.text }),
        ...(old?.bytes === undefined ? {} : { fromBytes: old.bytes }),
      },
      time,
      "snapshot",
    );
  }
}

function groundOf(libc: Libc, root: string, { ignore = [] }: SnapshotOptions): Ground {
  const filter = new Filter([], checkIgnore(ignore), new Set());
  const above = root === "/" ? root : `${root}/`;
  return {
    libc,
    root,
    recursive: true,
    only: undefined,
    isHidden: undefined,
    leavesOut: filter.asksPaths
      ? (path, isDirectory) => filter.ignores(above + decodeText(path), isDirectory, root)
      : undefined,
  };
}

function rootStatus(libc: Libc, root: string, action: string): EntryStatus {
  // With a slash, so that a symlink is followed and a file is refused.
  const path = cString(`${root}/`);
  const status = statusAt(libc, AT_FDCWD, path, 0, path.length - 1);
  if (status !== undefined) return status;
  throw systemError(libc, action, { syscall: "statx", path: root });
}

/** What is not undefined, with a turn for others every few ms. */
async function* inTurns<T>(
  values: Iterable<T | undefined>,
  signal: AbortSignal | undefined,
): AsyncGenerator<T, void, void> {
  const turns = new Turns();
  for (const value of values) {
    signal?.throwIfAborted();
    if (value !== undefined) yield value;
    else if (turns.isOver) await turns.next();
  }
}

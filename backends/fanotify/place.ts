/**
 * Where the directory of a handle is: as the kernel tells it now, and as queued records tell it was before.
 *
 * @module
 */

import { ESTALE } from "../../ffi/abi/errno.ts";
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH } from "../../ffi/abi/open.ts";
import { fileStatus, readDirectory, readLink } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { bytesUnlessText, cString, decodeText, encodeText } from "../../ffi/text.ts";
import { isMountRoot } from "../mounts/mount_id.ts";
import { nameKey } from "../tree.ts";
import { decodeMoves, type FanotifyBatch, lastLoss } from "./decode.ts";
import {
  copyKey,
  type HandleKey,
  HandleTable,
  identify,
  isKey,
  onFilesystemOf,
  openHandle,
  openParent,
} from "./handle.ts";

/** A name below a parent, or a path of its own. */
export interface Place {
  readonly parent: HandleKey | undefined;
  readonly name: string;
  readonly nameBytes: Uint8Array | undefined;
}

/**
 * Where a directory is now, seen through the mount of `mountFd`: below a parent, or for the root of the mount a path of
 * its own. `"gone"` where it was removed; undefined where this mount does not reach it.
 */
export function locate(libc: Libc, mountFd: number, key: HandleKey): Place | "gone" | undefined {
  const fd = openHandle(libc, mountFd, key);
  if (fd < 0) return libc.errno() === ESTALE ? "gone" : undefined;
  const parentFd = openParent(libc, fd);
  try {
    if (fileStatus(libc, cString(""), fd)?.links === 0) return "gone";
    // What a link tells is no longer than a page; then the name is looked for.
    const path = readLink(libc, `/proc/self/fd/${fd}`)?.slice() ??
      (parentFd < 0 ? undefined : nameWithin(libc, parentFd, key));
    if (path === undefined) return undefined;
    const root = { parent: undefined, name: decodeText(path), nameBytes: undefined };
    if (isMountRoot(libc, fd)) return root; // what it is mounted on may have no handles
    const above = parentFd < 0 ? undefined : identify(libc, parentFd);
    if (above === undefined) return undefined;
    const parent = onFilesystemOf(key, above.key);
    if (isKey(parent, 0, key)) return root;
    const bytes = path.subarray(path.lastIndexOf(SLASH) + 1);
    const name = decodeText(bytes);
    return { parent, name, nameBytes: bytesUnlessText(bytes, 0, bytes.length, name) };
  } finally {
    if (parentFd >= 0) libc.close(parentFd);
    libc.close(fd);
  }
}

/** The name of the directory of `key` within its parent. */
function nameWithin(libc: Libc, parentFd: number, key: HandleKey): Uint8Array | undefined {
  for (const entry of readDirectory(libc, cString(`/proc/self/fd/${parentFd}/.`)) ?? []) {
    if (entry.isDirectory === false) continue;
    const name = entry.nameBytes ?? encodeText(entry.name);
    const fd = libc.openat(
      parentFd,
      cString(name),
      O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
      0,
    );
    if (fd < 0) continue;
    const found = identify(libc, fd)?.key;
    libc.close(fd);
    if (found !== undefined && isKey(found, 0, key)) return name;
  }
  return undefined;
}

const SLASH = 0x2f;

/** Where a directory was until the record with this number in the stream. */
interface FormerPlace extends Place {
  readonly until: number;
}

/** A name that a directory was given or lost, by the record with this number in the stream. */
interface NameChange {
  readonly until: number;
  readonly name: string;
  readonly isCreated: boolean;
}

/** Below no directory that is known. */
export const NOWHERE: Place = { parent: undefined, name: "?", nameBytes: undefined };

/** What the records of a stream say of where directories were before they were moved or removed. */
export class FormerPlaces {
  readonly #places = new HandleTable<FormerPlace[]>();
  /** Where directories were that others took the place of. */
  readonly #replaced = new HandleTable<FormerPlace[]>();
  /** By parent the names that directories gave up or took. */
  readonly #names = new HandleTable<NameChange[]>();
  /** How far the stream is known, in bytes. */
  #end = 0;
  /** The number of the last record that says that records were lost. */
  #lastLoss = -1;

  /** Notes what a batch says that begins at byte `first` of the stream; nothing where it was noted before. */
  note(batch: FanotifyBatch, first: number): void {
    if (first + batch.length <= this.#end) return;
    for (const move of decodeMoves(batch)) {
      const until = first + move.offset;
      const { object, name, nameBytes, to, isCreated, isReplaced } = move;
      if (move.directory >= 0) {
        const parent = copyKey(batch.words, move.directory);
        add(this.#names, parent, { until, name: nameKey(name, nameBytes), isCreated });
        if (isCreated) continue;
        const table = isReplaced ? this.#replaced : this.#places;
        add(table, copyKey(batch.words, object), { until, parent, name, nameBytes });
      } else { // it came from where nobody watches
        add(this.#places, copyKey(batch.words, object), { until, ...NOWHERE });
      }
      if (to === undefined) continue;
      const given = nameKey(to.name, to.nameBytes);
      const taken = { until, name: given, isCreated: false };
      add(this.#names, copyKey(batch.words, to.directory), taken);
    }
    const loss = lastLoss(batch);
    if (loss >= 0) this.#lastLoss = first + loss;
    this.#end = first + batch.length;
  }

  /** Whether records behind byte `at` of the stream were lost: then a directory may have been moved without a word. */
  isLossBehind(at: number): boolean {
    return this.#lastLoss > at;
  }

  /** Where the directory was at byte `at` of the stream; undefined where no later record moves or removes it. */
  at(key: HandleKey, at: number): Place | undefined {
    return this.#places.get(key, 0)?.find(({ until }) => until >= at);
  }

  /** Where a directory that is gone was at byte `at` of the stream, if another one was renamed over it since. */
  untilReplaced(key: HandleKey, at: number): Place | undefined {
    return this.#replaced.get(key, 0)?.find(({ until }) => until >= at);
  }

  /** Whether a record behind byte `at` of the stream gives `name` (a {@linkcode nameKey}) to another, or to none. */
  isGivenUp(parent: HandleKey, name: string, at: number): boolean {
    const isIt = (one: NameChange) => one.until > at && one.name === name && !one.isCreated;
    return this.#names.get(parent, 0)?.some(isIt) ?? false;
  }

  /** Whether a record behind byte `at` of the stream is of a directory that comes into `parent`, or leaves it. */
  isInFlux(parent: HandleKey, at: number): boolean {
    return this.#names.get(parent, 0)?.some(({ until }) => until > at) ?? false;
  }

  clear(): void {
    this.#places.clear();
    this.#replaced.clear();
    this.#names.clear();
  }
}

function add<T>(table: HandleTable<T[]>, key: HandleKey, value: T): void {
  const values = table.get(key, 0);
  if (values === undefined) table.set(key, [value]);
  else values.push(value);
}

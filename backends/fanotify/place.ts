/**
 * Where the directory of a handle is: as the kernel tells it now, and as queued records tell it was before.
 *
 * @module
 */

import { ESTALE } from "../../ffi/abi/errno.ts";
import { fileStatus, readLink } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { bytesUnlessText, cString, decodeText, encodeText } from "../../ffi/text.ts";
import { decodeMoves, type FanotifyBatch } from "./decode.ts";
import {
  copyKey,
  type HandleKey,
  HandleTable,
  identify,
  isKey,
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
    const parent = parentFd < 0 ? undefined : identify(libc, parentFd);
    if (parent === undefined) return undefined;
    const path = readLink(libc, `/proc/self/fd/${fd}`)?.slice() ?? encodeText("?");
    if (parent.mountId !== identify(libc, fd)?.mountId || isKey(parent.key, 0, key)) {
      return { parent: undefined, name: decodeText(path), nameBytes: undefined };
    }
    const bytes = path.subarray(path.lastIndexOf(SLASH) + 1);
    const name = decodeText(bytes);
    return { parent: parent.key, name, nameBytes: bytesUnlessText(bytes, 0, bytes.length, name) };
  } finally {
    if (parentFd >= 0) libc.close(parentFd);
    libc.close(fd);
  }
}

const SLASH = 0x2f;

/** Where a directory was until the record with this number in the stream. */
interface FormerPlace extends Place {
  readonly until: number;
}

/** What the records of a stream say of where directories were before they were moved or removed. */
export class FormerPlaces {
  readonly #places = new HandleTable<FormerPlace[]>();
  /** How far the stream is known, in bytes. */
  #end = 0;

  /** Notes what a batch says that begins at byte `first` of the stream; nothing where it was noted before. */
  note(batch: FanotifyBatch, first: number): void {
    if (first + batch.length <= this.#end) return;
    for (const { offset, directory, object, name, nameBytes } of decodeMoves(batch)) {
      const parent = copyKey(batch.words, directory);
      const place: FormerPlace = { until: first + offset, parent, name, nameBytes };
      const places = this.#places.get(batch.words, object);
      if (places === undefined) this.#places.set(copyKey(batch.words, object), [place]);
      else places.push(place);
    }
    this.#end = first + batch.length;
  }

  /** Where the directory was at byte `at` of the stream; undefined where no later record moves or removes it. */
  at(key: HandleKey, at: number): Place | undefined {
    return this.#places.get(key, 0)?.find(({ until }) => until >= at);
  }

  clear(): void {
    this.#places.clear();
  }
}

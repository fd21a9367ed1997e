/**
 * inotify's records from the bytes that `read` gave; pure.
 *
 * @module
 */

import { inotify_event } from "../../ffi/abi/inotify.ts";
import { bytesUnlessText, sliceable, sliceText } from "../../ffi/text.ts";
import { DecodeError } from "../decode_error.ts";

/** One `struct inotify_event`. */
export interface InotifyRecord {
  /** The watch, -1 for an overflow. */
  readonly wd: number;
  /** Every bit that the kernel sent. */
  readonly mask: number;
  /** Links the two halves of a rename; 0 elsewhere. */
  readonly cookie: number;
  /** The entry of the watched directory, empty for the watched object itself. */
  readonly name: string;
  /** The bytes of the name where it is not valid UTF-8. */
  readonly nameBytes?: Uint8Array;
}

/** The records of `bytes[0, length)`. Throws {@linkcode DecodeError} for bytes that no kernel sends. */
export function decodeInotify(bytes: Uint8Array<ArrayBuffer>, length: number): InotifyRecord[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  const text = sliceable(bytes.buffer, bytes.byteOffset, length);
  const records: InotifyRecord[] = [];
  for (let at = 0; at < length;) {
    if (length - at < inotify_event.size) {
      throw new DecodeError("an inotify event", at, `${length - at} bytes are no header`);
    }
    const start = at + inotify_event.name;
    const padded = view.getUint32(at + inotify_event.len, true);
    if (padded > length - start) {
      throw new DecodeError("an inotify event", at, `its name of ${padded} bytes is cut`);
    }
    // The name is padded with NULs to a multiple of the header's size.
    let end = start;
    while (end < start + padded && bytes[end] !== 0) end++;
    const name = sliceText(text, start, end);
    const nameBytes = bytesUnlessText(bytes, start, end, name);
    const record = {
      wd: view.getInt32(at + inotify_event.wd, true),
      mask: view.getUint32(at + inotify_event.mask, true),
      cookie: view.getUint32(at + inotify_event.cookie, true),
      name,
    };
    records.push(nameBytes === undefined ? record : { ...record, nameBytes });
    at = start + padded;
  }
  return records;
}

/**
 * The notes of a notification pipe from the bytes that `read` gave; pure.
 *
 * @module
 */

import {
  key_notification,
  WATCH_INFO_ID,
  WATCH_INFO_ID__SHIFT,
  WATCH_INFO_LENGTH,
  WATCH_META_REMOVAL_NOTIFICATION,
  watch_notification,
  watch_notification_removal,
  WATCH_TYPE_KEY_NOTIFY,
  WATCH_TYPE_META,
} from "../../ffi/abi/watch_queue.ts";
import { DecodeError } from "../decode_error.ts";

/** One `struct watch_notification`, with what follows it. */
export interface KeyNote {
  /** `WATCH_TYPE_META` 0, `WATCH_TYPE_KEY_NOTIFY` 1. */
  readonly type: number;
  /** What happened, by type. */
  readonly subtype: number;
  /** Every bit of `info`: length, watch, and what the type makes of the rest. */
  readonly info: number;
  /** The watch's id, of `info`. */
  readonly tag: number;
  /** Of a key: the one that is watched. */
  readonly keyId?: number;
  /** Of a key: another key, or an error, or 0. */
  readonly aux?: number;
  /** Of a watch that is no more: the serial number of its key. */
  readonly id?: number;
  /** What this version does not know. */
  readonly rest?: Uint8Array;
}

/** The notes of `bytes[0, length)`. Throws {@linkcode DecodeError} for bytes that no kernel sends. */
export function decodeNotes(bytes: Uint8Array<ArrayBuffer>, length: number): KeyNote[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  const notes: KeyNote[] = [];
  for (let at = 0; at < length;) {
    if (length - at < watch_notification.size) {
      throw new DecodeError("a note", at, `${length - at} bytes are no header`);
    }
    const word = view.getUint32(at, true);
    const [type, subtype] = [word & 0xffffff, word >>> 24];
    const info = view.getUint32(at + watch_notification.info, true);
    const size = info & WATCH_INFO_LENGTH;
    if (size < watch_notification.size || size > length - at) {
      throw new DecodeError("a note", at, `it has ${size} bytes of ${length - at}`);
    }
    const tag = (info & WATCH_INFO_ID) >>> WATCH_INFO_ID__SHIFT;
    let known: number = watch_notification.size;
    let body = {};
    if (type === WATCH_TYPE_KEY_NOTIFY && size >= key_notification.size) {
      known = key_notification.size;
      body = {
        keyId: view.getUint32(at + key_notification.key_id, true),
        aux: view.getUint32(at + key_notification.aux, true),
      };
    } else if (
      type === WATCH_TYPE_META && subtype === WATCH_META_REMOVAL_NOTIFICATION &&
      size >= watch_notification_removal.size
    ) {
      known = watch_notification_removal.size;
      body = { id: Number(view.getBigUint64(at + watch_notification_removal.id, true)) };
    }
    const rest = size > known ? { rest: bytes.slice(at + known, at + size) } : {};
    notes.push({ type, subtype, info, tag, ...body, ...rest });
    at += size;
  }
  return notes;
}

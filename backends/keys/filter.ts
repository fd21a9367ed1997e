/**
 * Which notes are wanted: in the kernel's form, and applied here; pure.
 *
 * @module
 */

import {
  NOTIFY_KEY_CLEARED,
  NOTIFY_KEY_LINKED,
  NOTIFY_KEY_REVOKED,
  NOTIFY_KEY_UNLINKED,
  WATCH_INFO_LENGTH,
  watch_notification_filter,
  watch_notification_type_filter,
  WATCH_TYPE_KEY_NOTIFY,
  WATCH_TYPE_META,
} from "../../ffi/abi/watch_queue.ts";
import type { KeyNote } from "./decode.ts";

/** Notes that pass: of the type, of one of the subtypes, and with these bits in `info`. */
export interface KeyFilter {
  /** The type of note; default 1, of keys. */
  readonly type?: number;
  /** Subtypes, 0 to 31; default all. */
  readonly subtypes?: readonly number[];
  /** What the bits of `info` that {@linkcode infoMask} has must be; default 0. The watch's tag is in `0xff00`. */
  readonly info?: number;
  /** Which bits of `info` count; default none. Not `0x7f`, the note's length. */
  readonly infoMask?: number;
}

/** How many filters the kernel takes. */
const MOST = 16;

/** By these keyrings are followed: which keys are in them. */
const STRUCTURE: KeyFilter = {
  subtypes: [NOTIFY_KEY_LINKED, NOTIFY_KEY_UNLINKED, NOTIFY_KEY_CLEARED, NOTIFY_KEY_REVOKED],
};

/** How many filters there may be beside that. */
export const MOST_FILTERS: number = MOST - 1;

/** What is wrong with a filter; undefined where nothing is. */
export function faultOf(filter: KeyFilter): string | undefined {
  const { type = WATCH_TYPE_KEY_NOTIFY, subtypes = [], info = 0, infoMask = 0 } = filter;
  const isIn = (value: number, most: number) =>
    Number.isInteger(value) && value >= 0 && value <= most;
  if (!isIn(type, 0xffffff)) return `type is ${type}`;
  // The kernel has room for 256, and looks at the first 32 (6.18).
  const bad = subtypes.find((subtype) => !isIn(subtype, 31));
  if (bad !== undefined) return `subtypes are 0 to 31, not ${bad}`;
  if (!isIn(infoMask, 0xffffffff) || !isIn(info, 0xffffffff)) return "info has 32 bits";
  if ((infoMask & WATCH_INFO_LENGTH) !== 0) return "infoMask has bits of the note's length, 0x7f";
  if ((info & ~infoMask) !== 0) return "info has bits that infoMask has not";
  return undefined;
}

/**
 * `struct watch_notification_filter`: what one of the filters lets pass, and what keyrings are followed by. The kernel
 * filters neither losses nor removals, though the type that they have could be given here.
 */
export function encodeFilter(filters: readonly KeyFilter[]): Uint8Array<ArrayBuffer> {
  const all = [STRUCTURE, ...filters];
  const one = watch_notification_type_filter;
  const bytes = new Uint8Array(watch_notification_filter.filters + all.length * one.size);
  const view = new DataView(bytes.buffer);
  view.setUint32(watch_notification_filter.nr_filters, all.length, true);
  for (const [i, { type = WATCH_TYPE_KEY_NOTIFY, subtypes, info, infoMask }] of all.entries()) {
    const at = watch_notification_filter.filters + i * one.size;
    view.setUint32(at + one.type, type, true);
    view.setUint32(at + one.info_filter, info ?? 0, true);
    view.setUint32(at + one.info_mask, infoMask ?? 0, true);
    view.setUint32(at + one.subtype_filter, subtypeBits(subtypes), true);
  }
  return bytes;
}

function subtypeBits(subtypes: readonly number[] | undefined): number {
  if (subtypes === undefined) return 0xffffffff;
  return subtypes.reduce((bits, subtype) => bits | (1 << subtype), 0) >>> 0;
}

/** Whether one of the filters lets the note pass; losses and removals pass all. */
export function passes({ type, subtype, info }: KeyNote, filters: readonly KeyFilter[]): boolean {
  return type === WATCH_TYPE_META ||
    filters.some((filter) =>
      (filter.type ?? WATCH_TYPE_KEY_NOTIFY) === type &&
      (filter.subtypes?.includes(subtype) ?? true) &&
      ((info & (filter.infoMask ?? 0)) >>> 0) === (filter.info ?? 0)
    );
}

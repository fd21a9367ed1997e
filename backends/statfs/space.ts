/**
 * How much room a filesystem has, by statfs(2), and when that is too little.
 *
 * @module
 */

import { ST_RDONLY, statfs } from "../../ffi/abi/statfs.ts";
import type { Libc } from "../../ffi/port.ts";
import { cString } from "../../ffi/text.ts";

/** What there is of bytes, or of inodes. */
export interface Amount {
  /** What may still be used: of bytes without those that are reserved for root. */
  readonly free: number;
  readonly total: number;
}

/** The room of a filesystem. */
export interface Space {
  /** Absent where the filesystem does not count them. */
  readonly bytes?: Amount;
  /** Absent where they come as they are needed, as with btrfs. */
  readonly inodes?: Amount;
  readonly isReadOnly: boolean;
}

const status = new Uint8Array(statfs.size);
const view = new DataView(status.buffer);

/** The room of the filesystem at `path`; undefined (and errno) where it fails. */
export function readSpace(libc: Libc, path: string): Space | undefined {
  if (libc.statfs(cString(path), status) < 0) return undefined;
  return decodeSpace(view);
}

/** The room that a `struct statfs` tells. Pure. */
export function decodeSpace(view: DataView): Space {
  const word = (offset: number) => Number(view.getBigUint64(offset, true));
  const unit = word(statfs.f_frsize) || word(statfs.f_bsize);
  const bytes = { free: word(statfs.f_bavail) * unit, total: word(statfs.f_blocks) * unit };
  const inodes = { free: word(statfs.f_ffree), total: word(statfs.f_files) };
  return {
    ...(bytes.total === 0 ? {} : { bytes }),
    ...(inodes.total === 0 ? {} : { inodes }),
    isReadOnly: (word(statfs.f_flags) & ST_RDONLY) !== 0,
  };
}

/**
 * Whether there is too little: no more than `least`. What was too little is so until there is a tenth of `least`, and a
 * hundredth of all, beyond it, so that what goes up and down around it is told once. Pure.
 */
export function isScarce({ free, total }: Amount, least: number, wasScarce: boolean): boolean {
  const enough = wasScarce ? least + Math.max(least / 10, total / 100) : least;
  return free <= least || free < enough;
}

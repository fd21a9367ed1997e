/**
 * The mount that holds a file, by statx(2).
 *
 * @module
 */

import { AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_STATX_DONT_SYNC } from "../../ffi/abi/open.ts";
import {
  statx,
  STATX_ATTR_MOUNT_ROOT,
  type STATX_MNT_ID,
  type STATX_MNT_ID_UNIQUE,
} from "../../ffi/abi/statx.ts";
import type { Libc } from "../../ffi/port.ts";
import { cString } from "../../ffi/text.ts";

const FLAGS = AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;

const status = new Uint8Array(statx.size);
const view = new DataView(status.buffer);

/**
 * The id of the mount that holds a path, or with an empty one the open file `dirfd`: that of mount tables, which is given
 * anew (STATX_MNT_ID, Linux 5.8), or one that never is (STATX_MNT_ID_UNIQUE, 6.8). 0 where it cannot be told.
 */
export function mountId(
  libc: Libc,
  dirfd: number,
  path: string,
  kind: typeof STATX_MNT_ID | typeof STATX_MNT_ID_UNIQUE,
): number {
  const flags = path === "" ? FLAGS | AT_EMPTY_PATH : FLAGS;
  if (libc.statx(dirfd, cString(path), flags, kind, status) < 0) return 0;
  const isTold = (view.getUint32(statx.stx_mask, true) & kind) !== 0;
  return isTold ? Number(view.getBigUint64(statx.stx_mnt_id, true)) : 0;
}

/** Whether an open file is what was mounted, so that its path is the mount point (STATX_ATTR_MOUNT_ROOT, Linux 5.8). */
export function isMountRoot(libc: Libc, fd: number): boolean {
  if (libc.statx(fd, cString(""), FLAGS | AT_EMPTY_PATH, 0, status) < 0) return false;
  return (view.getBigUint64(statx.stx_attributes, true) & BigInt(STATX_ATTR_MOUNT_ROOT)) !== 0n;
}

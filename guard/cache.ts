/**
 * Decisions that the kernel remembers: ignore marks on files.
 *
 * @module
 */

import type { PermissionGroup } from "../backends/fanotify/permission_group.ts";
import { AT_EMPTY_PATH } from "../ffi/abi/open.ts";
import { statx, STATX_BASIC_STATS } from "../ffi/abi/statx.ts";
import { isRecent } from "../ffi/file_time.ts";
import type { Libc } from "../ffi/port.ts";
import { cString } from "../ffi/text.ts";
import type { Cache } from "./decision.ts";

const status = new Uint8Array(statx.size);
const view = new DataView(status.buffer);

/** What a change of a file changes, and when that was last, both in ns since the epoch. */
export interface FileVersion {
  readonly changed: bigint;
  readonly size: bigint;
  readonly seen: bigint;
}

/** The state of an open file; undefined where it cannot be told. */
export function fileVersion(libc: Libc, fd: number): FileVersion | undefined {
  if (libc.statx(fd, cString(""), AT_EMPTY_PATH, STATX_BASIC_STATS, status) < 0) return undefined;
  const changed = view.getBigInt64(statx.stx_ctime, true) * 1_000_000_000n +
    BigInt(view.getUint32(statx.stx_ctime + 8, true));
  const size = view.getBigUint64(statx.stx_size, true);
  return { changed, size, seen: BigInt(Math.round(Date.now() * 1e6)) };
}

/**
 * Has the kernel allow the same of this file without asking; whether it does. `since` is the state that was decided on:
 * where the file has changed, or may have without it being seen, nothing is remembered.
 */
export function remember(
  libc: Libc,
  group: PermissionGroup,
  fd: number,
  bits: number,
  cache: Cache,
  since?: FileVersion,
): boolean {
  if (cache === "always") return group.ignore(fd, bits, true);
  if (since !== undefined && isRecent(since.changed, since.seen)) return false;
  if (group.isWritten(fd) === true || !group.ignore(fd, bits, false)) return false;
  if (since === undefined) return true;
  // From here on a change ends it; one in between is seen.
  const now = fileVersion(libc, fd);
  if (now !== undefined && now.changed === since.changed && now.size === since.size) return true;
  group.unignore(fd, bits);
  return false;
}

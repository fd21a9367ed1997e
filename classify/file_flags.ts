/**
 * The flags of a file (chattr(1), xfs_io(8), fscrypt, fs-verity) from the bits by which the kernel tells them.
 *
 * @module
 */

import {
  FS_XFLAG_APPEND,
  FS_XFLAG_COWEXTSIZE,
  FS_XFLAG_DAX,
  FS_XFLAG_EXTSIZE,
  FS_XFLAG_EXTSZINHERIT,
  FS_XFLAG_FILESTREAM,
  FS_XFLAG_IMMUTABLE,
  FS_XFLAG_NOATIME,
  FS_XFLAG_NODEFRAG,
  FS_XFLAG_NODUMP,
  FS_XFLAG_NOSYMLINKS,
  FS_XFLAG_PROJINHERIT,
  FS_XFLAG_REALTIME,
  FS_XFLAG_RTINHERIT,
  FS_XFLAG_SYNC,
} from "../ffi/abi/file_attr.ts";
import {
  STATX_ATTR_APPEND,
  STATX_ATTR_COMPRESSED,
  STATX_ATTR_ENCRYPTED,
  STATX_ATTR_IMMUTABLE,
  STATX_ATTR_NODUMP,
  STATX_ATTR_VERITY,
} from "../ffi/abi/statx.ts";
import type { FileMetadata } from "../backends/metadata/state.ts";

/**
 * A flag's name, its bit in `stx_attributes`, and the one in `fa_xflags`; 0 where it has none there. Those that the kernel
 * sets itself as it writes (preallocated, has extended attributes) and those of mounts are left out.
 */
const FLAGS: readonly (readonly [name: string, attribute: number, xflag: number])[] = [
  ["immutable", STATX_ATTR_IMMUTABLE, FS_XFLAG_IMMUTABLE],
  ["append", STATX_ATTR_APPEND, FS_XFLAG_APPEND],
  ["nodump", STATX_ATTR_NODUMP, FS_XFLAG_NODUMP],
  ["noatime", 0, FS_XFLAG_NOATIME],
  ["sync", 0, FS_XFLAG_SYNC],
  ["compressed", STATX_ATTR_COMPRESSED, 0],
  ["encrypted", STATX_ATTR_ENCRYPTED, 0],
  ["verity", STATX_ATTR_VERITY, 0],
  // STATX_ATTR_DAX says whether it is in effect, which is the mount's choice too.
  ["dax", 0, FS_XFLAG_DAX],
  ["realtime", 0, FS_XFLAG_REALTIME],
  ["rtinherit", 0, FS_XFLAG_RTINHERIT],
  ["projinherit", 0, FS_XFLAG_PROJINHERIT],
  ["nosymlinks", 0, FS_XFLAG_NOSYMLINKS],
  ["extsize", 0, FS_XFLAG_EXTSIZE],
  ["extszinherit", 0, FS_XFLAG_EXTSZINHERIT],
  ["nodefrag", 0, FS_XFLAG_NODEFRAG],
  ["filestream", 0, FS_XFLAG_FILESTREAM],
  ["cowextsize", 0, FS_XFLAG_COWEXTSIZE],
];

type Bits = Pick<FileMetadata, "attributes" | "attributesMask" | "xflags">;

/** The names of the flags that are set, as far as both of two states tell them, in the order of the table. */
export function commonFlags(file: Bits, other: Bits): string[] {
  const mask = file.attributesMask & other.attributesMask;
  const hasXflags = file.xflags !== undefined && other.xflags !== undefined;
  return FLAGS.filter(([, attribute, xflag]) =>
    (attribute & mask & file.attributes) !== 0 ||
    (hasXflags && (xflag & file.xflags) !== 0)
  ).map(([name]) => name);
}

/**
 * Constants and layout of statx(2), from `<linux/stat.h>`. Since Linux 4.11 unless a later version
 * is noted. The flags of the call (`AT_*`) are in `open.ts`, the bits of `stx_mode` in `stat.ts`.
 *
 * @module
 */

// What is asked for in the mask of statx(2) and filled in according to `stx_mask`. The deprecated
// STATX_ALL is left out.

export const STATX_TYPE = 0x1; // stx_mode & S_IFMT
export const STATX_MODE = 0x2; // stx_mode & ~S_IFMT
export const STATX_NLINK = 0x4;
export const STATX_UID = 0x8;
export const STATX_GID = 0x10;
export const STATX_ATIME = 0x20;
export const STATX_MTIME = 0x40;
export const STATX_CTIME = 0x80;
export const STATX_INO = 0x100;
export const STATX_SIZE = 0x200;
export const STATX_BLOCKS = 0x400;
export const STATX_BASIC_STATS = 0x7ff; // all of the above: what stat(2) gives
export const STATX_BTIME = 0x800; // time of creation
export const STATX_MNT_ID = 0x1000; // stx_mnt_id: the id of mountinfo, reused, 5.8
export const STATX_DIOALIGN = 0x2000; // stx_dio_mem_align, stx_dio_offset_align, 6.1
export const STATX_MNT_ID_UNIQUE = 0x4000; // stx_mnt_id: never reused, 6.8
export const STATX_SUBVOL = 0x8000; // 6.10
export const STATX_WRITE_ATOMIC = 0x10000; // stx_atomic_write_*, 6.11
export const STATX_DIO_READ_ALIGN = 0x20000; // 6.14

// Bits of `stx_attributes`, each valid where `stx_attributes_mask` has it too.

export const STATX_ATTR_COMPRESSED = 0x4;
export const STATX_ATTR_IMMUTABLE = 0x10;
export const STATX_ATTR_APPEND = 0x20; // append-only
export const STATX_ATTR_NODUMP = 0x40;
export const STATX_ATTR_ENCRYPTED = 0x800;
export const STATX_ATTR_AUTOMOUNT = 0x1000; // automount trigger
export const STATX_ATTR_MOUNT_ROOT = 0x2000; // root of a mount, 5.8
export const STATX_ATTR_VERITY = 0x100000; // fs-verity, 5.5
export const STATX_ATTR_DAX = 0x200000; // direct access, 5.8
export const STATX_ATTR_WRITE_ATOMIC = 0x400000; // 6.11

/** `struct statx_timestamp` (`<linux/stat.h>`). `tv_sec` is an s64, `tv_nsec` a u32. */
export const statx_timestamp = {
  size: 16,
  tv_sec: 0,
  tv_nsec: 8,
} as const;

/**
 * `struct statx` (`<linux/stat.h>`). u64 are `stx_attributes`, `stx_ino`, `stx_size`,
 * `stx_blocks`, `stx_attributes_mask`, `stx_mnt_id` and `stx_subvol`; `stx_mode` is a u16; the
 * times are `statx_timestamp`; all others are u32.
 */
export const statx = {
  size: 256,
  stx_mask: 0x00,
  stx_blksize: 0x04,
  stx_attributes: 0x08,
  stx_nlink: 0x10,
  stx_uid: 0x14,
  stx_gid: 0x18,
  stx_mode: 0x1c,
  stx_ino: 0x20,
  stx_size: 0x28,
  stx_blocks: 0x30,
  stx_attributes_mask: 0x38,
  stx_atime: 0x40,
  stx_btime: 0x50,
  stx_ctime: 0x60,
  stx_mtime: 0x70,
  stx_rdev_major: 0x80,
  stx_rdev_minor: 0x84,
  stx_dev_major: 0x88,
  stx_dev_minor: 0x8c,
  stx_mnt_id: 0x90, // 5.8
  stx_dio_mem_align: 0x98, // 6.1
  stx_dio_offset_align: 0x9c, // 6.1
  stx_subvol: 0xa0, // 6.10
  stx_atomic_write_unit_min: 0xa8, // 6.11
  stx_atomic_write_unit_max: 0xac, // 6.11
  stx_atomic_write_segments_max: 0xb0, // 6.11
  stx_dio_read_offset_align: 0xb4, // 6.14
  stx_atomic_write_unit_max_opt: 0xb8, // 6.16
} as const;

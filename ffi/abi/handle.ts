/**
 * File handles: name_to_handle_at(2), open_by_handle_at(2) and the handles in fanotify records.
 * From `<fcntl.h>` (`struct file_handle`, `MAX_HANDLE_SZ`), `<linux/fcntl.h>` (`AT_HANDLE_*`) and
 * the kernel's own `include/linux/exportfs.h` (`FILEID_*`). Since Linux 2.6.39 unless a later
 * version is noted.
 *
 * @module
 */

export const MAX_HANDLE_SZ = 128; // largest handle_bytes

// Flags of name_to_handle_at(2), beside AT_EMPTY_PATH and AT_SYMLINK_FOLLOW of `open.ts`.

export const AT_HANDLE_MNT_ID_UNIQUE = 0x1; // *mount_id is the unique u64, 6.12
export const AT_HANDLE_CONNECTABLE = 0x2; // 6.13
export const AT_HANDLE_FID = 0x200; // to compare only, may not open; = AT_REMOVEDIR, 6.5

// Values in handle_type.

export const FILEID_INO32_GEN = 0x1; // inode u32, gen u32; 2.6.13
export const FILEID_INO32_GEN_PARENT = 0x2; // and those of the parent
export const FILEID_BTRFS_WITHOUT_PARENT = 0x4d; // objectid u64, root_objectid u64, gen u32; 2.6.29
export const FILEID_INO64_GEN = 0x81; // inode u64, gen u32; 6.7, of xfs long before
export const FILEID_INO64_GEN_PARENT = 0x82;
export const FILEID_INVALID = 0xff; // no handle could be made; handle_bytes is 0
export const FILEID_USER_FLAGS_MASK = 0xffff0000; // AT_HANDLE_CONNECTABLE's; not compared, 6.13

/**
 * `struct file_handle` (`<fcntl.h>` under `_GNU_SOURCE`). `f_handle` has `handle_bytes` bytes;
 * `handle_type` is signed.
 */
export const file_handle = {
  size: 8,
  handle_bytes: 0,
  handle_type: 4,
  f_handle: 8,
} as const;

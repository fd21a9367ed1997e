/**
 * Constants and layouts of statmount(2) and listmount(2), Linux 6.8, and the flags of mounts, from `<linux/mount.h>`.
 *
 * @module
 */

// What statmount is asked for, and what it then tells: bits of `mnt_id_req.param` and `statmount.mask`. A kernel that does
// not know a bit leaves it out.

export const STATMOUNT_SB_BASIC = 0x1; // sb_dev_major … sb_flags
export const STATMOUNT_MNT_BASIC = 0x2; // mnt_id … mnt_master
export const STATMOUNT_PROPAGATE_FROM = 0x4;
export const STATMOUNT_MNT_ROOT = 0x8;
export const STATMOUNT_MNT_POINT = 0x10;
export const STATMOUNT_FS_TYPE = 0x20;
export const STATMOUNT_MNT_NS_ID = 0x40; // 6.11
export const STATMOUNT_MNT_OPTS = 0x80; // 6.11
export const STATMOUNT_FS_SUBTYPE = 0x100; // 6.13
export const STATMOUNT_SB_SOURCE = 0x200; // 6.13

// Flags of a mount: bits of `statmount.mnt_attr`.

export const MOUNT_ATTR_RDONLY = 0x1;
export const MOUNT_ATTR_NOSUID = 0x2;
export const MOUNT_ATTR_NODEV = 0x4;
export const MOUNT_ATTR_NOEXEC = 0x8;
export const MOUNT_ATTR_NOATIME = 0x10; // with STRICTATIME's bit a field of three values, of which 0 is relatime
export const MOUNT_ATTR_STRICTATIME = 0x20;
export const MOUNT_ATTR_NODIRATIME = 0x80;
export const MOUNT_ATTR_IDMAP = 0x100000;
export const MOUNT_ATTR_NOSYMFOLLOW = 0x200000;

// Flags of a filesystem: bits of `statmount.sb_flags`, and how a mount propagates: of `mnt_propagation`.

export const MS_RDONLY = 0x1;
export const MS_SYNCHRONOUS = 0x10;
export const MS_DIRSYNC = 0x80;
export const MS_LAZYTIME = 0x2000000;
export const MS_UNBINDABLE = 0x20000;
export const MS_SHARED = 0x100000;

/** `struct mnt_id_req`; 24 bytes without `mnt_ns_id`, which came with Linux 6.11. All ids are u64. */
export const mnt_id_req = { size: 32, mnt_id: 8, param: 16, mnt_ns_id: 24 } as const;

/**
 * `struct statmount`, behind whose head of 512 bytes the strings stand: a string field is a u32, the offset from there.
 * Ids, `mask`, `mnt_attr`, `mnt_propagation` and what is of a peer group are u64, all else is u32.
 */
export const statmount = {
  size: 512,
  mnt_opts: 4,
  mask: 8,
  sb_dev_major: 16,
  sb_dev_minor: 20,
  sb_magic: 24,
  sb_flags: 32,
  fs_type: 36,
  mnt_id: 40,
  mnt_parent_id: 48,
  mnt_id_old: 56,
  mnt_parent_id_old: 60,
  mnt_attr: 64,
  mnt_propagation: 72,
  mnt_peer_group: 80,
  mnt_master: 88,
  propagate_from: 96,
  mnt_root: 104,
  mnt_point: 108,
  mnt_ns_id: 112,
  fs_subtype: 120,
  sb_source: 124,
} as const;

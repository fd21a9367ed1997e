/**
 * statfs(2): the layout from `<asm/statfs.h>` (on 64-bit machines glibc's is the same), the
 * filesystem types from `<linux/magic.h>`.
 *
 * @module
 */

/**
 * `struct statfs` (`<asm/statfs.h>`). All are 64 bits wide, `f_fsid` being two s32: the same two as
 * in a fanotify FID record.
 */
export const statfs = {
  size: 120,
  f_type: 0,
  f_bsize: 8,
  f_blocks: 16,
  f_bfree: 24,
  f_bavail: 32,
  f_files: 40,
  f_ffree: 48,
  f_fsid: 56,
  f_namelen: 64,
  f_frsize: 72,
  f_flags: 80,
} as const;

// Bits of `f_flags`.

export const ST_RDONLY = 0x1;

// Values of `f_type`: filesystems on disks.

export const EXT4_SUPER_MAGIC = 0xef53; // also ext2 and ext3
export const XFS_SUPER_MAGIC = 0x58465342;
export const BTRFS_SUPER_MAGIC = 0x9123683e;
export const SQUASHFS_MAGIC = 0x73717368;

// In memory.

export const TMPFS_MAGIC = 0x01021994; // also devtmpfs
export const RAMFS_MAGIC = 0x858458f6;

// On top of others.

export const OVERLAYFS_SUPER_MAGIC = 0x794c7630;
export const FUSE_SUPER_MAGIC = 0x65735546; // also virtiofs

// Over a network or from a host.

export const NFS_SUPER_MAGIC = 0x6969;
export const SMB_SUPER_MAGIC = 0x517b; // smbfs, long gone
export const CIFS_SUPER_MAGIC = 0xff534d42; // cifs, as vers=1.0
export const SMB2_SUPER_MAGIC = 0xfe534d42; // cifs, as vers=2.0 and later
export const CEPH_SUPER_MAGIC = 0x00c36400;
export const V9FS_MAGIC = 0x01021997; // 9p

// Of the kernel itself.

export const PROC_SUPER_MAGIC = 0x9fa0;
export const SYSFS_MAGIC = 0x62656572;
export const CGROUP_SUPER_MAGIC = 0x27e0eb;
export const CGROUP2_SUPER_MAGIC = 0x63677270; // 4.5
export const DEVPTS_SUPER_MAGIC = 0x1cd1;
export const DEBUGFS_MAGIC = 0x64626720;
export const TRACEFS_MAGIC = 0x74726163; // 4.1

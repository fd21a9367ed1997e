/**
 * The attributes that file_getattr(2) reads and file_setattr(2) sets, by path, from `<linux/fs.h>`. XFS had them first,
 * and so they have its names; each filesystem has some of them.
 *
 * @module
 */

// Bits of `fa_xflags`.

export const FS_XFLAG_REALTIME = 0x1; // data in the realtime volume
export const FS_XFLAG_PREALLOC = 0x2; // preallocated extents
export const FS_XFLAG_IMMUTABLE = 0x8;
export const FS_XFLAG_APPEND = 0x10;
export const FS_XFLAG_SYNC = 0x20;
export const FS_XFLAG_NOATIME = 0x40;
export const FS_XFLAG_NODUMP = 0x80;
export const FS_XFLAG_RTINHERIT = 0x100; // new files get REALTIME
export const FS_XFLAG_PROJINHERIT = 0x200; // new files get the project
export const FS_XFLAG_NOSYMLINKS = 0x400;
export const FS_XFLAG_EXTSIZE = 0x800;
export const FS_XFLAG_EXTSZINHERIT = 0x1000;
export const FS_XFLAG_NODEFRAG = 0x2000;
export const FS_XFLAG_FILESTREAM = 0x4000;
export const FS_XFLAG_DAX = 0x8000;
export const FS_XFLAG_COWEXTSIZE = 0x10000;
export const FS_XFLAG_HASATTR = 0x80000000; // there are extended attributes

/** `struct file_attr` (`<linux/fs.h>`, 6.17). `fa_xflags` is a u64, all others are u32. */
export const file_attr = {
  size: 24,
  fa_xflags: 0,
  fa_extsize: 8,
  fa_nextents: 12,
  fa_projid: 16,
  fa_cowextsize: 20,
} as const;

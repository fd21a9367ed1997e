/**
 * Requests of ioctl(2). From `<asm-generic/ioctls.h>`, and of files from `<linux/fs.h>`.
 *
 * @module
 */

export const FIONREAD = 0x541b; // how many bytes are queued

export const FS_IOC_SETFLAGS = 0x40086602; // chattr(1)
export const FS_IOC32_SETFLAGS = 0x40046602; // of a program of 32 bits
export const FS_IOC_FSSETXATTR = 0x401c5820; // chattr(1), xfs_io(8)

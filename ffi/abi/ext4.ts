/**
 * The numbers that ext4 has for errors, in its superblock and in `/sys/fs/ext4/DEV/last_error_errcode`, from the kernel's
 * own `fs/ext4/ext4.h`. Since Linux 5.6.
 *
 * @module
 */

export const EXT4_ERR_UNKNOWN = 1;
export const EXT4_ERR_EIO = 2;
export const EXT4_ERR_ENOMEM = 3;
export const EXT4_ERR_EFSBADCRC = 4; // EBADMSG
export const EXT4_ERR_EFSCORRUPTED = 5; // EUCLEAN
export const EXT4_ERR_ENOSPC = 6;
export const EXT4_ERR_ENOKEY = 7;
export const EXT4_ERR_EROFS = 8;
export const EXT4_ERR_EFBIG = 9;
export const EXT4_ERR_EEXIST = 10;
export const EXT4_ERR_ERANGE = 11;
export const EXT4_ERR_EOVERFLOW = 12;
export const EXT4_ERR_EBUSY = 13;
export const EXT4_ERR_ENOTDIR = 14;
export const EXT4_ERR_ENOTEMPTY = 15;
export const EXT4_ERR_ESHUTDOWN = 16;
export const EXT4_ERR_EFAULT = 17;

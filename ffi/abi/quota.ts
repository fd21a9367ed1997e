/**
 * The warnings of quota, from `<linux/quota.h>`: messages of the family VFS_DQUOT of generic netlink. Since Linux 2.6.24.
 *
 * @module
 */

// Whose quota it is: QUOTA_NL_A_QTYPE.

export const USRQUOTA = 0;
export const GRPQUOTA = 1;
export const PRJQUOTA = 2; // 4.4

export const QUOTA_NL_C_WARNING = 1; // the only command

// What is warned of: QUOTA_NL_A_WARNING. Inodes (I) and blocks (B).

export const QUOTA_NL_IHARDWARN = 1; // the hard limit is reached
export const QUOTA_NL_ISOFTLONGWARN = 2; // the soft limit was exceeded for too long
export const QUOTA_NL_ISOFTWARN = 3; // the soft limit is exceeded
export const QUOTA_NL_BHARDWARN = 4;
export const QUOTA_NL_BSOFTLONGWARN = 5;
export const QUOTA_NL_BSOFTWARN = 6;
export const QUOTA_NL_IHARDBELOW = 7; // usage is below the limit again
export const QUOTA_NL_ISOFTBELOW = 8;
export const QUOTA_NL_BHARDBELOW = 9;
export const QUOTA_NL_BSOFTBELOW = 10;

// Attributes of a warning.

export const QUOTA_NL_A_QTYPE = 1; // u32
export const QUOTA_NL_A_EXCESS_ID = 2; // u64
export const QUOTA_NL_A_WARNING = 3; // u32
export const QUOTA_NL_A_DEV_MAJOR = 4; // u32
export const QUOTA_NL_A_DEV_MINOR = 5; // u32
export const QUOTA_NL_A_CAUSED_ID = 6; // u64
export const QUOTA_NL_A_PAD = 7; // 4.7

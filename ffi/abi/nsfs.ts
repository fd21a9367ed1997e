/**
 * Namespaces as files, from `<linux/nsfs.h>`, `<linux/magic.h>` and `<linux/sched.h>`.
 *
 * @module
 */

export const NSFS_MAGIC = 0x6e736673; // of statfs(2), for a file that is a namespace
export const NS_GET_NSTYPE = 0xb703; // which: CLONE_NEWNS …, 4.11
export const NS_GET_MNTNS_ID = 0x8008b705; // the id of a mount namespace into a u64, 6.11
export const CLONE_NEWNS = 0x20000;

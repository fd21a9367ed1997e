/**
 * The value of `system.posix_acl_access` and `system.posix_acl_default`: a header, and entries to its end, all
 * little-endian. From `<linux/posix_acl_xattr.h>` and `<linux/posix_acl.h>`.
 *
 * @module
 */

export const POSIX_ACL_XATTR_VERSION = 2;

// Whom an entry is for: a number, not flags.

export const ACL_USER_OBJ = 0x1; // the owner
export const ACL_USER = 0x2;
export const ACL_GROUP_OBJ = 0x4; // the owning group
export const ACL_GROUP = 0x8;
export const ACL_MASK = 0x10;
export const ACL_OTHER = 0x20;

// What it allows.

export const ACL_READ = 0x4;
export const ACL_WRITE = 0x2;
export const ACL_EXECUTE = 0x1;

/** `struct posix_acl_xattr_header`. `a_version` is a u32. */
export const posix_acl_xattr_header = {
  size: 4,
  a_version: 0,
} as const;

/** `struct posix_acl_xattr_entry`. `e_tag` and `e_perm` are u16, `e_id` is a u32. */
export const posix_acl_xattr_entry = {
  size: 8,
  e_tag: 0,
  e_perm: 2,
  e_id: 4,
} as const;

/**
 * POSIX access control lists as text, from the value of their extended attribute.
 *
 * @module
 */

import {
  ACL_EXECUTE,
  ACL_GROUP,
  ACL_GROUP_OBJ,
  ACL_MASK,
  ACL_OTHER,
  ACL_READ,
  ACL_USER,
  ACL_USER_OBJ,
  ACL_WRITE,
  posix_acl_xattr_entry,
  posix_acl_xattr_header,
  POSIX_ACL_XATTR_VERSION,
} from "../ffi/abi/posix_acl.ts";

/** Whom an entry is for, as acl(5) spells it, and whether the entry names one. */
const TAGS: Readonly<Record<number, readonly [tag: string, isNamed: boolean]>> = {
  [ACL_USER_OBJ]: ["user", false],
  [ACL_USER]: ["user", true],
  [ACL_GROUP_OBJ]: ["group", false],
  [ACL_GROUP]: ["group", true],
  [ACL_MASK]: ["mask", false],
  [ACL_OTHER]: ["other", false],
};

const PERMISSIONS = [[ACL_READ, "r"], [ACL_WRITE, "w"], [ACL_EXECUTE, "x"]] as const;

/** The entries of a list, as getfacl(1) with `--numeric` shows them: `user:1000:rw-`; undefined for what is no list. */
export function aclEntries(value: Uint8Array): string[] | undefined {
  const { size } = posix_acl_xattr_entry;
  const length = value.length - posix_acl_xattr_header.size;
  if (length < 0 || length % size !== 0) return undefined;
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  const version = view.getUint32(posix_acl_xattr_header.a_version, true);
  if (version !== POSIX_ACL_XATTR_VERSION) return undefined;
  const entries: string[] = [];
  for (let at = posix_acl_xattr_header.size; at < value.length; at += size) {
    const tag = TAGS[view.getUint16(at + posix_acl_xattr_entry.e_tag, true)];
    if (tag === undefined) return undefined;
    const id = tag[1] ? view.getUint32(at + posix_acl_xattr_entry.e_id, true) : "";
    const allowed = view.getUint16(at + posix_acl_xattr_entry.e_perm, true);
    const letters = PERMISSIONS.map(([bit, letter]) => (allowed & bit) !== 0 ? letter : "-");
    entries.push(`${tag[0]}:${id}:${letters.join("")}`);
  }
  return entries;
}

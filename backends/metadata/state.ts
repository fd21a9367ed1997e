/**
 * Reads the metadata of a file without opening it: no event is raised, no time of access changes, and no permission on
 * the file itself is needed. What cannot be read is absent.
 *
 * @module
 */

import { ENODATA, ENOSYS, EOPNOTSUPP } from "../../ffi/abi/errno.ts";
import { file_attr } from "../../ffi/abi/file_attr.ts";
import { AT_FDCWD, AT_NO_AUTOMOUNT, AT_SYMLINK_NOFOLLOW, PATH_MAX } from "../../ffi/abi/open.ts";
import { statx, STATX_BASIC_STATS, STATX_BTIME } from "../../ffi/abi/statx.ts";
import { SYS_file_getattr } from "../../ffi/abi/syscall.ts";
import type { Libc } from "../../ffi/port.ts";
import { cString, latin1Bytes, latin1Text } from "../../ffi/text.ts";

/** The metadata of a file. Times are in ns since the epoch. */
export interface FileMetadata {
  /** 12 bits of the major number, and 20 of the minor one. */
  readonly device: number;
  /** Exact up to 2^53. */
  readonly inode: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  /** `STATX_ATTR_*`, and which of them the filesystem tells. */
  readonly attributes: number;
  readonly attributesMask: number;
  /** `FS_XFLAG_*`; undefined where the kernel (before Linux 6.17) or the filesystem does not tell them by path. */
  readonly xflags: number | undefined;
  /** What the file is counted for in quotas; 0 where `xflags` is undefined. */
  readonly projectId: number;
  readonly accessed: bigint;
  readonly modified: bigint;
  readonly changed: bigint;
  /** 0 where the filesystem does not keep it. */
  readonly born: bigint;
  /** Undefined where they cannot be listed. */
  readonly xattrs: Xattrs | undefined;
}

/** Which file that is, and whether something of it may have changed. */
export type FileIdentity = Pick<
  FileMetadata,
  "device" | "inode" | "mode" | "links" | "attributes" | "changed" | "born"
>;

/** Extended attributes by name, its bytes as latin1. */
export type Xattrs = ReadonlyMap<string, Xattr>;

/** The value of an extended attribute: enough to see that it changed, and all of it where it is kept. */
export interface Xattr {
  /** Length and hash; undefined where it cannot be read. */
  readonly digest: string | undefined;
  readonly value?: Uint8Array;
}

/** Those whose values are decoded, and so always kept. */
const DECODED: ReadonlySet<string> = new Set([
  "system.posix_acl_access",
  "system.posix_acl_default",
  "security.capability",
]);

/** How XFS keeps and lists what it has under another name as well: access control lists. */
const DOUBLE: ReadonlySet<string> = new Set(["trusted.SGI_ACL_FILE", "trusted.SGI_ACL_DEFAULT"]);

const NO_XATTRS: Xattrs = new Map();

// On explicit buffers, for some go in by their address: JavaScriptCore moves the bytes of a small array that has none.
const status = new Uint8Array(new ArrayBuffer(statx.size));
const statusView = new DataView(status.buffer);
const attributes = new Uint8Array(new ArrayBuffer(file_attr.size));
const attributesView = new DataView(attributes.buffer);
const path = new Uint8Array(new ArrayBuffer(PATH_MAX));
/** As long as lists and values may be (XATTR_LIST_MAX, XATTR_SIZE_MAX of `<linux/limits.h>`). */
const list = new Uint8Array(new ArrayBuffer(0x10000));
const value = new Uint8Array(new ArrayBuffer(0x10000));

/** Reads the metadata of one file after the other. */
export class MetadataReader {
  readonly #libc: Libc;
  readonly #kept: number;
  readonly #path: bigint;
  readonly #attributes: bigint;
  readonly #names = new Map<string, Uint8Array<ArrayBuffer>>();
  #hasFileGetattr = true;

  /** Keeps values of extended attributes of up to `kept` bytes. */
  constructor(libc: Libc, kept: number) {
    this.#libc = libc;
    this.#kept = kept;
    this.#path = libc.address(path);
    this.#attributes = libc.address(attributes);
  }

  /**
   * The metadata of what is at a path; of what a symlink there leads to where it `follows`. Undefined (and errno) where it
   * cannot be looked up.
   */
  read(name: Uint8Array, follows = false): FileMetadata | undefined {
    const identity = this.identify(name, follows);
    if (identity === undefined) return undefined;
    const view = statusView;
    const hasXflags = this.#readFileAttributes(follows);
    return {
      ...identity,
      uid: view.getUint32(statx.stx_uid, true),
      gid: view.getUint32(statx.stx_gid, true),
      attributesMask: view.getUint32(statx.stx_attributes_mask, true),
      xflags: hasXflags ? attributesView.getUint32(file_attr.fa_xflags, true) : undefined,
      projectId: hasXflags ? attributesView.getUint32(file_attr.fa_projid, true) : 0,
      accessed: time(statx.stx_atime),
      modified: time(statx.stx_mtime),
      xattrs: this.#readXattrs(follows),
    };
  }

  /** What of {@linkcode read} tells whether the rest may have changed. */
  identify(name: Uint8Array, follows = false): FileIdentity | undefined {
    if (name.length >= PATH_MAX || name.includes(0)) return undefined;
    path.set(name);
    path[name.length] = 0;
    const flags = AT_NO_AUTOMOUNT | (follows ? 0 : AT_SYMLINK_NOFOLLOW);
    const mask = STATX_BASIC_STATS | STATX_BTIME;
    if (this.#libc.statx(AT_FDCWD, path, flags, mask, status) < 0) return undefined;
    const view = statusView;
    const isBorn = (view.getUint32(statx.stx_mask, true) & STATX_BTIME) !== 0;
    const major = view.getUint32(statx.stx_dev_major, true);
    const high = view.getUint32(statx.stx_ino + 4, true);
    return {
      device: ((major << 20) | view.getUint32(statx.stx_dev_minor, true)) >>> 0,
      inode: view.getUint32(statx.stx_ino, true) + high * 2 ** 32,
      mode: view.getUint16(statx.stx_mode, true),
      links: view.getUint32(statx.stx_nlink, true),
      attributes: view.getUint32(statx.stx_attributes, true),
      changed: time(statx.stx_ctime),
      born: isBorn ? time(statx.stx_btime) : 0n,
    };
  }

  /** Into `attributes`, where the kernel and the filesystem tell them without an open file. */
  #readFileAttributes(follows: boolean): boolean {
    if (!this.#hasFileGetattr) return false;
    const { syscall, errno } = this.#libc;
    const flags = follows ? 0 : AT_SYMLINK_NOFOLLOW;
    const { size } = file_attr;
    if (
      syscall(SYS_file_getattr, AT_FDCWD, this.#path, this.#attributes, size, flags) === 0
    ) return true;
    if (errno() === ENOSYS) this.#hasFileGetattr = false;
    return false;
  }

  #readXattrs(follows: boolean): Xattrs | undefined {
    const { listxattr, llistxattr, errno } = this.#libc;
    const length = (follows ? listxattr : llistxattr)(path, list, list.length);
    if (length === 0) return NO_XATTRS;
    if (length < 0) return errno() === EOPNOTSUPP ? NO_XATTRS : undefined;
    const found = new Map<string, Xattr>();
    for (const name of latin1Text(list, length - 1).split("\0").sort()) {
      const xattr = DOUBLE.has(name) ? undefined : this.#readXattr(name, follows);
      if (xattr !== undefined) found.set(name, xattr);
    }
    return found;
  }

  /** Undefined where it has gone since it was listed. */
  #readXattr(name: string, follows: boolean): Xattr | undefined {
    const { getxattr, lgetxattr, errno } = this.#libc;
    const bytes = this.#nameBytes(name);
    const length = (follows ? getxattr : lgetxattr)(path, bytes, value, value.length);
    if (length < 0) return errno() === ENODATA ? undefined : { digest: undefined };
    const digest = digestOf(value, length);
    const isKept = DECODED.has(name) || length <= this.#kept;
    return isKept ? { digest, value: value.slice(0, length) } : { digest };
  }

  /** A name as a C string; most files have the same ones. */
  #nameBytes(name: string): Uint8Array<ArrayBuffer> {
    let bytes = this.#names.get(name);
    if (bytes === undefined) {
      if (this.#names.size >= 256) this.#names.clear();
      this.#names.set(name, bytes = cString(latin1Bytes(name)));
    }
    return bytes;
  }
}

/** A `struct statx_timestamp` in ns. */
function time(at: number): bigint {
  return statusView.getBigInt64(at, true) * 1_000_000_000n +
    BigInt(statusView.getUint32(at + 8, true));
}

/** The length and 64 bits of hash (FNV-1a in two directions): different values that agree are not met. */
function digestOf(bytes: Uint8Array, length: number): string {
  let forward = 0x811c9dc5;
  let backward = 0x811c9dc5;
  for (let i = 0; i < length; i++) {
    forward = Math.imul(forward ^ bytes[i]!, 0x01000193);
    backward = Math.imul(backward ^ bytes[length - 1 - i]!, 0x01000193);
  }
  return `${length}:${(forward >>> 0).toString(36)}:${(backward >>> 0).toString(36)}`;
}

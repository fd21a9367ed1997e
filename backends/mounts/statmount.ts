/**
 * Mounts by their unique ids: statmount(2) and listmount(2), Linux 6.8, and what their bytes say.
 *
 * @module
 */

import { EOVERFLOW } from "../../ffi/abi/errno.ts";
import {
  mnt_id_req,
  MOUNT_ATTR_IDMAP,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_STRICTATIME,
  MS_DIRSYNC,
  MS_LAZYTIME,
  MS_RDONLY,
  MS_SHARED,
  MS_SYNCHRONOUS,
  MS_UNBINDABLE,
  statmount,
  STATMOUNT_FS_SUBTYPE,
  STATMOUNT_FS_TYPE,
  STATMOUNT_MNT_BASIC,
  STATMOUNT_MNT_OPTS,
  STATMOUNT_MNT_POINT,
  STATMOUNT_MNT_ROOT,
  STATMOUNT_PROPAGATE_FROM,
  STATMOUNT_SB_BASIC,
  STATMOUNT_SB_SOURCE,
} from "../../ffi/abi/mount.ts";
import { SYS_listmount, SYS_statmount } from "../../ffi/abi/syscall.ts";
import type { Libc } from "../../ffi/port.ts";
import { bytesUnlessText, decodeText } from "../../ffi/text.ts";
import { DecodeError } from "../decode_error.ts";
import type { Mount } from "./mount.ts";
import type { Propagation } from "./mountinfo.ts";

/** All that a {@linkcode Mount} is made of. */
const ALL = STATMOUNT_SB_BASIC | STATMOUNT_MNT_BASIC | STATMOUNT_PROPAGATE_FROM |
  STATMOUNT_MNT_ROOT | STATMOUNT_MNT_POINT | STATMOUNT_FS_TYPE | STATMOUNT_MNT_OPTS |
  STATMOUNT_FS_SUBTYPE | STATMOUNT_SB_SOURCE;

/** `LSMT_ROOT`: all mounts of the namespace, from its first one. */
const LSMT_ROOT = 0xffffffffffffffffn;

/** Ids that one call lists. */
const PAGE = 1024;

const request = new DataView(new ArrayBuffer(mnt_id_req.size));
request.setUint32(0, mnt_id_req.size, true);
const requestBytes = new Uint8Array(request.buffer);
const ids = new BigUint64Array(PAGE);
const idBytes = new Uint8Array(ids.buffer);
let answer = new Uint8Array(4096);

function call(
  libc: Libc,
  number: number,
  [id, param, namespace]: readonly [bigint, bigint, bigint],
  buffer: Uint8Array<ArrayBuffer>,
  length: number,
): number {
  request.setBigUint64(mnt_id_req.mnt_id, id, true);
  request.setBigUint64(mnt_id_req.param, param, true);
  request.setBigUint64(mnt_id_req.mnt_ns_id, namespace, true);
  return libc.syscall(number, libc.address(requestBytes), libc.address(buffer), length, 0, 0);
}

/**
 * The ids of all mounts of a namespace that can be reached from our root; 0 is our own, another one needs CAP_SYS_ADMIN
 * there and Linux 6.11. Undefined (and errno) where the kernel does not tell.
 */
export function listMountIds(libc: Libc, namespace = 0n): bigint[] | undefined {
  const all: bigint[] = [];
  for (let last = 0n;;) {
    const count = call(libc, SYS_listmount, [LSMT_ROOT, last, namespace], idBytes, PAGE);
    if (count < 0) return undefined;
    for (let i = 0; i < count; i++) all.push(ids[i]!);
    if (count < PAGE) return all;
    last = ids[count - 1]!;
  }
}

/** The mount of an id; undefined (and errno) where there is none, or none that can be reached from our root. */
export function mountById(libc: Libc, id: bigint, namespace = 0n): Mount | undefined {
  for (;;) {
    const asked = [id, BigInt(ALL), namespace] as const;
    if (call(libc, SYS_statmount, asked, answer, answer.length) === 0) {
      return decodeStatmount(answer);
    }
    if (libc.errno() !== EOVERFLOW) return undefined;
    answer = new Uint8Array(answer.length * 2);
  }
}

/** Whether the kernel tells what is mounted, as it has since Linux 6.13: of any of these mounts. */
export function tellsSources(libc: Libc, ids: readonly bigint[], namespace = 0n): boolean {
  return ids.some((id) => {
    const asked = [id, BigInt(STATMOUNT_SB_SOURCE), namespace] as const;
    if (call(libc, SYS_statmount, asked, answer, answer.length) < 0) return false;
    return (answer[statmount.mask + 1]! & (STATMOUNT_SB_SOURCE >> 8)) !== 0;
  });
}

/** The mount that `struct statmount` tells of; undefined where it has no place. Throws {@linkcode DecodeError}. */
export function decodeStatmount(bytes: Uint8Array<ArrayBuffer>): Mount | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const word = (at: number) => view.getUint32(at, true);
  const long = (at: number) => Number(view.getBigUint64(at, true));
  const mask = word(statmount.mask);
  const string = (bit: number, at: number): Uint8Array | undefined => {
    if ((mask & bit) === 0) return undefined;
    const start = statmount.size + word(at);
    const end = start < bytes.length ? bytes.indexOf(0, start) : -1;
    if (end < 0) throw new DecodeError("struct statmount", at, "a string ends nowhere");
    return bytes.subarray(start, end);
  };
  const point = string(STATMOUNT_MNT_POINT, statmount.mnt_point);
  if (point === undefined || point.length === 0) return undefined;
  const flags = word(statmount.sb_flags);
  const subtype = string(STATMOUNT_FS_SUBTYPE, statmount.fs_subtype);
  const options = string(STATMOUNT_MNT_OPTS, statmount.mnt_opts);
  const superOptions = [isSet(flags, MS_RDONLY) ? "ro" : "rw", ...named(SUPER_FLAGS, flags)];
  if (options !== undefined && options.length > 0) superOptions.push(decodeText(options));
  return {
    id: long(statmount.mnt_id),
    parent: long(statmount.mnt_parent_id),
    tableId: word(statmount.mnt_id_old),
    device: `${word(statmount.sb_dev_major)}:${word(statmount.sb_dev_minor)}`,
    ...text("root", string(STATMOUNT_MNT_ROOT, statmount.mnt_root) ?? ROOT),
    ...text("point", point),
    options: mountOptions(word(statmount.mnt_attr)),
    type: decodeText(string(STATMOUNT_FS_TYPE, statmount.fs_type) ?? NONE) +
      (subtype === undefined || subtype.length === 0 ? "" : `.${decodeText(subtype)}`),
    ...text("source", string(STATMOUNT_SB_SOURCE, statmount.sb_source) ?? UNNAMED),
    superOptions: superOptions.join(),
    ...propagation(view, (mask & STATMOUNT_PROPAGATE_FROM) !== 0),
  };
}

const NONE = new Uint8Array();
const ROOT = new Uint8Array([0x2f]);
/** Of a mount whose source nobody named (fs/proc_namespace.c:mangle). */
const UNNAMED = new Uint8Array([0x6e, 0x6f, 0x6e, 0x65]);

/** `point`, and `pointBytes` where they are not valid UTF-8. */
function text<Name extends "root" | "point" | "source">(
  name: Name,
  bytes: Uint8Array,
): { readonly [N in Name]: string } & { readonly [N in `${Name}Bytes`]?: Uint8Array } {
  const value = decodeText(bytes);
  const raw = bytesUnlessText(bytes as Uint8Array<ArrayBuffer>, 0, bytes.length, value);
  return {
    [name]: value,
    ...(raw === undefined ? {} : { [`${name}Bytes`]: raw }),
  } as ReturnType<typeof text<Name>>;
}

/** As `/proc/self/mountinfo` calls them, in its order (fs/proc_namespace.c:show_mnt_opts and show_sb_opts). */
const MOUNT_FLAGS: readonly (readonly [number, string])[] = [
  [MOUNT_ATTR_NOSUID, "nosuid"],
  [MOUNT_ATTR_NODEV, "nodev"],
  [MOUNT_ATTR_NOEXEC, "noexec"],
  [MOUNT_ATTR_NOATIME, "noatime"],
  [MOUNT_ATTR_NODIRATIME, "nodiratime"],
];

const LATER_MOUNT_FLAGS: readonly (readonly [number, string])[] = [
  [MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"],
  [MOUNT_ATTR_IDMAP, "idmapped"],
];

const SUPER_FLAGS: readonly (readonly [number, string])[] = [
  [MS_SYNCHRONOUS, "sync"],
  [MS_DIRSYNC, "dirsync"],
  [MS_LAZYTIME, "lazytime"],
];

function mountOptions(flags: number): string {
  const isRelatime = !isSet(flags, MOUNT_ATTR_NOATIME) && !isSet(flags, MOUNT_ATTR_STRICTATIME);
  return [
    isSet(flags, MOUNT_ATTR_RDONLY) ? "ro" : "rw",
    ...named(MOUNT_FLAGS, flags),
    ...(isRelatime ? ["relatime"] : []),
    ...named(LATER_MOUNT_FLAGS, flags),
  ].join();
}

function named(names: readonly (readonly [number, string])[], flags: number): string[] {
  return names.filter(([bit]) => isSet(flags, bit)).map(([, name]) => name);
}

function isSet(flags: number, bit: number): boolean {
  return (flags & bit) !== 0;
}

function propagation(view: DataView, hasFrom: boolean): Propagation {
  const kind = view.getUint32(statmount.mnt_propagation, true);
  const group = (at: number) => Number(view.getBigUint64(at, true));
  const master = group(statmount.mnt_master);
  const from = hasFrom ? group(statmount.propagate_from) : 0;
  return {
    ...(isSet(kind, MS_SHARED) ? { shared: group(statmount.mnt_peer_group) } : {}),
    ...(master !== 0 ? { master } : {}),
    // What is the master itself is told of as such (fs/proc_namespace.c:show_mountinfo).
    ...(from !== 0 && from !== master ? { propagateFrom: from } : {}),
    ...(isSet(kind, MS_UNBINDABLE) ? { unbindable: true as const } : {}),
  };
}

/**
 * A mount namespace: our own, that of a process, or the one that a file stands for.
 *
 * @module
 */

import { EACCES, EINVAL, EPERM } from "../../ffi/abi/errno.ts";
import { CLONE_NEWNS, NS_GET_MNTNS_ID, NS_GET_NSTYPE, NSFS_MAGIC } from "../../ffi/abi/nsfs.ts";
import { O_CLOEXEC, O_NONBLOCK, O_RDONLY } from "../../ffi/abi/open.ts";
import { SYS_ioctl } from "../../ffi/abi/syscall.ts";
import { CapabilityError, detailsOf, SystemError, systemError } from "../../ffi/errno.ts";
import { fileStatus, filesystemStatus, readDirectory, readLink } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { cString, decodeText } from "../../ffi/text.ts";

/** A mount namespace, where it can be asked. */
export interface MountNamespace {
  /** What it is called in messages. */
  readonly name: string;
  /** The process that was named, if one was. */
  readonly pid: number | undefined;
  /** The file that it is, for a mark: `/proc/self/ns/mnt`. */
  readonly file: string;
  /** Its table, as a process in it has it; undefined where none is seen there. */
  readonly table: string | undefined;
  /** Its id for statmount(2): 0 is our own; undefined before Linux 6.11. */
  readonly id: bigint | undefined;
}

/** The namespace of this process. */
export const OWN: MountNamespace = {
  name: "this process",
  pid: undefined,
  file: "/proc/self/ns/mnt",
  table: "/proc/self/mountinfo",
  id: 0n,
};

/**
 * The namespace of a process, by its number, or that of a file (`/proc/PID/ns/mnt`, or where one is mounted). Throws
 * `SystemError` for what is not there or no mount namespace, `CapabilityError` for what may not be looked at.
 */
export function openNamespace(libc: Libc, which: number | string | undefined): MountNamespace {
  if (which === undefined) return OWN;
  const pid = typeof which === "number" ? which : undefined;
  const file = pid === undefined ? String(which) : `/proc/${pid}/ns/mnt`;
  const name = pid === undefined ? file : `process ${pid}`;
  const fd = libc.open(cString(file), O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
  if (fd < 0) throw refusal(libc, name, file);
  try {
    // Kernels up to 6.17 take any file for a namespace when they mark it, so it has to be one.
    const isNamespace = filesystemStatus(libc, fd)?.magic === NSFS_MAGIC &&
      libc.syscall(SYS_ioctl, fd, NS_GET_NSTYPE, 0, 0, 0) === CLONE_NEWNS;
    if (!isNamespace) {
      throw new SystemError(`Cannot watch the mounts of ${name}: it is no mount namespace`, {
        errno: EINVAL,
        syscall: "ioctl",
        path: file,
        hint: "a mount namespace is a file like /proc/PID/ns/mnt",
      });
    }
    const inode = fileStatus(libc, cString(""), fd)?.inode;
    if (inode === namespaceOf(libc, "self")) return { ...OWN, name, pid };
    const id = new BigUint64Array(1);
    const isKnown = libc.syscall(SYS_ioctl, fd, NS_GET_MNTNS_ID, libc.address(id), 0, 0) === 0;
    const member = pid ?? memberOf(libc, inode);
    return {
      name,
      pid,
      file,
      table: member === undefined ? undefined : `/proc/${member}/mountinfo`,
      id: isKnown ? id[0] : undefined,
    };
  } finally {
    libc.close(fd);
  }
}

/** A process that is in a namespace, if one is seen. */
function memberOf(libc: Libc, namespace: number | undefined): number | undefined {
  for (const { name } of readDirectory(libc, cString("/proc")) ?? []) {
    if (/^\d+$/.test(name) && namespaceOf(libc, name) === namespace) return Number(name);
  }
  return undefined;
}

/** The inode number of a process's mount namespace: `mnt:[4026531841]`; undefined where that may not be read. */
function namespaceOf(libc: Libc, process: string): number | undefined {
  const link = readLink(libc, `/proc/${process}/ns/mnt`);
  const inode = link && /\[(\d+)\]/.exec(decodeText(link))?.[1];
  return inode === undefined ? undefined : Number(inode);
}

function refusal(libc: Libc, name: string, file: string): SystemError {
  const error = systemError(libc, `watch the mounts of ${name}`, { syscall: "open", path: file });
  if (error.errno !== EACCES && error.errno !== EPERM) return error;
  return new CapabilityError(error.message, {
    ...detailsOf(error),
    hint: "another user's process takes CAP_SYS_PTRACE; run as root, or as that user",
  });
}

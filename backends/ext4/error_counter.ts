/**
 * The errors that ext4 counts, and what it tells of the last one: `/sys/fs/ext4/DEV/` (Documentation/ABI/testing/sysfs-fs-ext4).
 *
 * @module
 */

import {
  EBUSY,
  EEXIST,
  EIO,
  ENOENT,
  ENOMEM,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
  EOVERFLOW,
  EROFS,
  ERRNO,
} from "../../ffi/abi/errno.ts";
import * as ext4 from "../../ffi/abi/ext4.ts";
import { O_CLOEXEC, O_RDONLY } from "../../ffi/abi/open.ts";
import { systemError, UnsupportedError } from "../../ffi/errno.ts";
import { readLink, readText } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { cString, decodeText } from "../../ffi/text.ts";

/** ext4's own numbers of errors, as errnos. */
const ERRNOS: Readonly<Record<number, number>> = {
  [ext4.EXT4_ERR_EIO]: EIO,
  [ext4.EXT4_ERR_ENOMEM]: ENOMEM,
  [ext4.EXT4_ERR_EFSBADCRC]: ERRNO["EBADMSG"]!,
  [ext4.EXT4_ERR_EFSCORRUPTED]: ERRNO["EUCLEAN"]!,
  [ext4.EXT4_ERR_ENOSPC]: ENOSPC,
  [ext4.EXT4_ERR_ENOKEY]: ERRNO["ENOKEY"]!,
  [ext4.EXT4_ERR_EROFS]: EROFS,
  [ext4.EXT4_ERR_EFBIG]: ERRNO["EFBIG"]!,
  [ext4.EXT4_ERR_EEXIST]: EEXIST,
  [ext4.EXT4_ERR_ERANGE]: ERRNO["ERANGE"]!,
  [ext4.EXT4_ERR_EOVERFLOW]: EOVERFLOW,
  [ext4.EXT4_ERR_EBUSY]: EBUSY,
  [ext4.EXT4_ERR_ENOTDIR]: ENOTDIR,
  [ext4.EXT4_ERR_ENOTEMPTY]: ENOTEMPTY,
  [ext4.EXT4_ERR_ESHUTDOWN]: ERRNO["ESHUTDOWN"]!,
  [ext4.EXT4_ERR_EFAULT]: ERRNO["EFAULT"]!,
};

/** What ext4 tells of the last error; what it does not tell is absent. */
export interface LastError {
  readonly errno?: number;
  /** The function of the kernel that found it, and the line in it. */
  readonly function?: string;
  readonly line?: number;
  /** Absent where it is about no file. */
  readonly inode?: number;
  /** Absent where it is about no block. */
  readonly block?: number;
  /** In ms since the epoch, whole seconds. */
  readonly time?: number;
}

/** The last error by the files `last_error_*`, of which older kernels have fewer. Pure. */
export function lastError(read: (name: string) => string | undefined): LastError {
  const text = (name: string) => read(`last_error_${name}`)?.trim() || undefined;
  const number = (name: string) => {
    const value = Number(text(name) ?? 0);
    return Number.isSafeInteger(value) && value > 0 ? value : undefined; // 0 is none
  };
  const found = {
    errno: ERRNOS[number("errcode") ?? 0],
    function: text("func"),
    line: number("line"),
    inode: number("ino"),
    block: number("block"),
    time: number("time"),
  };
  if (found.time !== undefined) found.time *= 1000;
  const told = Object.entries(found).filter(([, value]) => value !== undefined);
  return Object.fromEntries(told) as LastError;
}

/** How many errors were counted since the counter was at `before`. A lower one began anew (e2fsck). Pure. */
export function newErrors(before: number, now: number): number {
  return now >= before ? now - before : now;
}

/** The directory of the filesystem on a device `major:minor`; undefined for what is no block device. */
export function ext4Directory(libc: Libc, device: string): string | undefined {
  const link = readLink(libc, `/sys/dev/block/${device}`);
  if (link === undefined) return undefined;
  const path = decodeText(link);
  return `/sys/fs/ext4/${path.slice(path.lastIndexOf("/") + 1)}`;
}

/** What is new since the last look. */
export interface NewErrors {
  readonly count: number;
  readonly last: LastError;
}

/** The counter of one filesystem. The file wakes those who wait for it (`"wake"` of the reactor) at each error. */
export class ErrorCounter {
  readonly fd: number;
  readonly #libc: Libc;
  readonly #directory: string;
  #count: number;

  /** Opens it, for which everybody has the permission. Throws `UnsupportedError` where there is none. */
  constructor(libc: Libc, device: string) {
    this.#libc = libc;
    this.#directory = ext4Directory(libc, device) ?? "/sys/fs/ext4/?";
    const path = `${this.#directory}/errors_count`;
    this.fd = libc.open(cString(path), O_RDONLY | O_CLOEXEC, 0);
    if (this.fd < 0) {
      const { message, errno, syscall } = systemError(libc, `open ${path}`, {
        syscall: "open",
        path,
      });
      const hint = errno === ENOENT ? "ext4 alone has it, with sysfs mounted at /sys" : "";
      throw new UnsupportedError(message, { errno, syscall, path, hint });
    }
    this.#count = this.#read() ?? 0;
  }

  /** What is new; undefined where the filesystem is not there any more. */
  look(): NewErrors | undefined {
    const now = this.#read();
    if (now === undefined) return undefined;
    const count = newErrors(this.#count, now);
    this.#count = now;
    const read = (name: string) => readText(this.#libc, `${this.#directory}/${name}`);
    return { count, last: count === 0 ? {} : lastError(read) };
  }

  /** The counter; undefined once the filesystem was unmounted (ENODEV). */
  #read(): number | undefined {
    const bytes = new Uint8Array(32);
    const length = this.#libc.pread(this.fd, bytes, bytes.length, 0);
    if (length <= 0) return undefined;
    const count = Number(decodeText(bytes.subarray(0, length)));
    return Number.isSafeInteger(count) ? count : undefined;
  }

  /** Closes the file descriptor. */
  close(): void {
    this.#libc.close(this.fd);
  }
}

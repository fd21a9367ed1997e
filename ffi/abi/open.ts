/**
 * Flags of open(2), from `<asm-generic/fcntl.h>` and arm64's `<asm/fcntl.h>`; the `AT_*` flags of
 * the calls that take a directory fd and a path, from `<linux/fcntl.h>`; the limits of
 * `<linux/limits.h>`.
 *
 * @module
 */

import { arch } from "./arch.ts";

// Access mode: a field of two bits.

export const O_RDONLY = 0x0;
export const O_WRONLY = 0x1;
export const O_RDWR = 0x2;

// Flags of open(2), the same on x86-64 and arm64.

export const O_CREAT = 0x40;
export const O_EXCL = 0x80;
export const O_TRUNC = 0x200;
export const O_APPEND = 0x400;
export const O_NONBLOCK = 0x800;
export const O_NOATIME = 0x40000; // 2.6.8
export const O_CLOEXEC = 0x80000; // 2.6.23
export const O_PATH = 0x200000; // 2.6.39

// Flags of open(2) that arm64 has at other places. O_LARGEFILE is the kernel's value, as
// fanotify_init(2) wants it in event_f_flags; glibc's own is 0 on 64-bit machines.

export const O_DIRECTORY: number = arch === "arm64" ? 0x4000 : 0x10000;
export const O_NOFOLLOW: number = arch === "arm64" ? 0x8000 : 0x20000;
export const O_LARGEFILE: number = arch === "arm64" ? 0x20000 : 0x8000;

// Directory fd and flags of the *at() calls.

export const AT_FDCWD = -100; // relative to the current directory
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200; // unlinkat(2) as rmdir(2)
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_NO_AUTOMOUNT = 0x800; // do not trigger an automount, 2.6.38
export const AT_EMPTY_PATH = 0x1000; // an empty path means the fd itself, 2.6.39

// How fresh the answer of statx(2) must be: a field of two bits in its flags.

export const AT_STATX_SYNC_TYPE = 0x6000; // mask of the field, 4.11
export const AT_STATX_SYNC_AS_STAT = 0x0; // as stat(2), 4.11
export const AT_STATX_FORCE_SYNC = 0x2000; // ask the server, 4.11
export const AT_STATX_DONT_SYNC = 0x4000; // take what is cached, 4.11

// Limits, in bytes.

export const NAME_MAX = 255; // without the NUL
export const PATH_MAX = 4096; // with the NUL

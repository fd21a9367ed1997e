/**
 * Numbers for syscall(2), of the calls that libc has no function for (or only a recent libc has),
 * from `<sys/syscall.h>`.
 *
 * @module
 */

import { arch } from "./arch.ts";

// Numbered by architecture: x86-64 has its own table, arm64 that of `<asm-generic/unistd.h>`.

export const SYS_io_setup: number = arch === "arm64" ? 0 : 206;
export const SYS_io_destroy: number = arch === "arm64" ? 1 : 207;
export const SYS_io_getevents: number = arch === "arm64" ? 4 : 208;
export const SYS_io_submit: number = arch === "arm64" ? 2 : 209;
export const SYS_io_cancel: number = arch === "arm64" ? 3 : 210;
export const SYS_ioctl: number = arch === "arm64" ? 29 : 16;
export const SYS_flock: number = arch === "arm64" ? 32 : 73;
export const SYS_pipe2: number = arch === "arm64" ? 59 : 293;
export const SYS_socketpair: number = arch === "arm64" ? 199 : 53;
export const SYS_add_key: number = arch === "arm64" ? 217 : 248;
export const SYS_request_key: number = arch === "arm64" ? 218 : 249;
export const SYS_keyctl: number = arch === "arm64" ? 219 : 250;
export const SYS_wait4: number = arch === "arm64" ? 260 : 61;
export const SYS_getdents64: number = arch === "arm64" ? 61 : 217;
export const SYS_prlimit64: number = arch === "arm64" ? 261 : 302;

// The same everywhere, as are all calls since 5.1.

export const SYS_pidfd_send_signal = 424; // 5.1
export const SYS_pidfd_open = 434; // 5.3
export const SYS_statmount = 457; // 6.8
export const SYS_listmount = 458; // 6.8
export const SYS_file_getattr = 468; // 6.17
export const SYS_file_setattr = 469; // 6.17

/**
 * Limits of a process: prlimit(2). From `<sys/resource.h>`.
 *
 * @module
 */

export const RLIMIT_CORE = 4; // bytes of a core dump
export const RLIMIT_NOFILE = 7; // one more than the largest file descriptor that may be opened

/** `struct rlimit` of 64-bit kernels. */
export const rlimit = {
  size: 16,
  rlim_cur: 0,
  rlim_max: 8,
} as const;

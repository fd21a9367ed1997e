/**
 * Where -1 becomes an error.
 *
 * @module
 */

import { EMFILE, ERRNO } from "./abi/errno.ts";
import { rlimit, RLIMIT_NOFILE } from "./abi/resource.ts";
import { SYS_prlimit64 } from "./abi/syscall.ts";
import type { Libc } from "./port.ts";

/** Of two names for a number the first, which code compares with: EAGAIN, not EWOULDBLOCK. */
const NAMES = new Map(Object.entries(ERRNO).toReversed().map(([name, value]) => [value, name]));

/** The C name of an errno, `"ENOSPC"` for 28; `"E999"` for one that this version does not know. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `E${errno}`;
}

/** What a {@linkcode SystemError} knows beyond its message. */
export interface SystemErrorInit {
  /** The errno, 0 where no system call failed. */
  errno?: number;
  /** The C name of the call. */
  syscall?: string;
  /** The path that the call was about. */
  path?: string;
  /** What a person can do about it. */
  hint?: string;
  /** The error underneath. */
  cause?: unknown;
}

/**
 * What the system refused.
 *
 * @example
 * ```ts
 * import { SystemError, watch } from "sentinode";
 *
 * try {
 *   await watch("/no/such/directory").ready;
 * } catch (error) {
 *   if (error instanceof SystemError) console.log(error.code, error.syscall, error.hint);
 * }
 * ```
 */
export class SystemError extends Error {
  /** `"SystemError"`, or the name of the class. */
  override name = "SystemError";
  /** The C name of the errno: `"ENOSPC"`. */
  readonly code: string;
  /** The number of {@linkcode code}, 0 where no system call failed. */
  readonly errno: number;
  /** The C name of the call that failed, empty where none did. */
  readonly syscall: string;
  /** The path that the call was about. */
  readonly path?: string;
  /** What a person can do: the limit and its value, the capability, the kernel version. */
  readonly hint: string;

  /** An error with what is known of it. */
  constructor(message: string, init: SystemErrorInit = {}) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause });
    this.errno = init.errno ?? 0;
    this.code = this.errno === 0 ? "" : errnoName(this.errno);
    this.syscall = init.syscall ?? "";
    if (init.path !== undefined) this.path = init.path;
    this.hint = init.hint ?? "";
  }
}

/** A limit of the kernel is used up: watches, instances, groups, marks, file descriptors. `hint` names it. */
export class WatchLimitError extends SystemError {
  /** `"WatchLimitError"`. */
  override name = "WatchLimitError";
}

/** A capability is missing; `hint` names it. */
export class CapabilityError extends SystemError {
  /** `"CapabilityError"`. */
  override name = "CapabilityError";
}

/** This kernel, filesystem, machine, runtime or version of sentinode cannot do it. */
export class UnsupportedError extends SystemError {
  /** `"UnsupportedError"`. */
  override name = "UnsupportedError";
}

/** What is known of an error, for another one that says more of it. */
export function detailsOf(error: SystemError): SystemErrorInit {
  const { errno, syscall, path } = error;
  return { errno, syscall, ...(path === undefined ? {} : { path }), cause: error };
}

/** What an errno means in a sentence, for those that users meet. */
const STATES: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "not permitted",
  ENOENT: "no such file or directory",
  ENOTDIR: "not a directory",
  EISDIR: "it is a directory",
  ELOOP: "too many symbolic links",
  ENAMETOOLONG: "the name is too long",
  ENOSPC: "the limit of watches is used up",
  EMFILE: "too many open instances or files",
  ENFILE: "too many open files in the system",
  ENOSYS: "the kernel does not have it",
  EINVAL: "the kernel does not take these flags",
  ENODEV: "the filesystem has no identity to report",
  EXDEV: "the filesystem shares no identity with those already watched",
  EOPNOTSUPP: "the filesystem does not support it",
  ESTALE: "it is gone",
};

/** What a person can do where the path itself is what is wrong. */
const HINTS: Readonly<Record<string, string>> = {
  EACCES: "give this user read permission on it, and search permission on the directories above",
  ENOENT: "create the path first, or watch the directory that will hold it",
  ENOTDIR: "what comes before a slash must be a directory; name the file without one",
  ELOOP: "a symbolic link on the way leads back to itself",
};

const limits = new Uint8Array(rlimit.size);

/** What a person can do where this process has no file descriptor left. */
function fileLimitHint(libc: Libc): string {
  const known = libc.syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, libc.address(limits), 0) === 0;
  const value = new DataView(limits.buffer).getBigUint64(rlimit.rlim_cur, true);
  return `RLIMIT_NOFILE is ${known ? value : "unknown"}, all held by this process; ` +
    `close some, or raise it: ulimit -n ${known ? value * 4n : 4096}`;
}

/** The last failure of `libc` as a {@linkcode SystemError}: `Cannot watch /x: permission denied (EACCES)`. */
export function systemError(
  libc: Libc,
  action: string,
  init: SystemErrorInit & { syscall: string },
): SystemError {
  const errno = init.errno ?? libc.errno();
  const code = errnoName(errno);
  const message = `Cannot ${action}: ${STATES[code] ?? "the system refused"} (${code})`;
  if (errno === EMFILE) {
    return new WatchLimitError(message, { hint: fileLimitHint(libc), ...init, errno });
  }
  const hint = init.hint ?? (init.path === undefined ? undefined : HINTS[code]);
  return new SystemError(message, { ...init, errno, ...(hint === undefined ? {} : { hint }) });
}

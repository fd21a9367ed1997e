/**
 * What the kernel refuses of keys, and what a person can do.
 *
 * @module
 */

import {
  EACCES,
  EAGAIN,
  EINVAL,
  EKEYEXPIRED,
  EKEYREVOKED,
  ENOKEY,
  ENOPKG,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
} from "../../ffi/abi/errno.ts";
import {
  errnoName,
  SystemError,
  systemError,
  type SystemErrorInit,
  UnsupportedError,
  WatchLimitError,
} from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/port.ts";

/** What a kernel has to be built with, and whose is. */
export const NEEDED: string =
  "needs Linux 5.8 with CONFIG_WATCH_QUEUE and CONFIG_KEY_NOTIFICATIONS, which the kernels of Fedora, " +
  "the RHEL family and Ubuntu have and those of Debian have not: " +
  'grep -E "WATCH_QUEUE|KEY_NOTIF" /boot/config-$(uname -r)';

/** What an errno says of a key, the class of error that it is, and what to do. */
const REFUSALS: Readonly<
  Record<number, readonly [state: string, hint: string, kind: typeof SystemError]>
> = {
  [ENOPKG]: ["the kernel is built without CONFIG_WATCH_QUEUE", NEEDED, UnsupportedError],
  [EINVAL]: ["the kernel has no notification pipe", NEEDED, UnsupportedError],
  [EOPNOTSUPP]: [
    "the kernel is built without CONFIG_KEY_NOTIFICATIONS",
    NEEDED,
    UnsupportedError,
  ],
  [ENOSYS]: ["the kernel is built without CONFIG_KEYS", NEEDED, UnsupportedError],
  [EPERM]: [
    "not permitted",
    "a container's seccomp profile may forbid keyctl(2), as Docker's does: allow it there",
    SystemError,
  ],
  [EACCES]: [
    "permission denied",
    "it has to give this user the permission View (keyctl setperm), or to be in a keyring of this process",
    SystemError,
  ],
  [EAGAIN]: [
    "the limit of watches is used up",
    "a user may have as many watches of keys as RLIMIT_NOFILE allows file descriptors: raise it with ulimit -n",
    WatchLimitError,
  ],
  [ENOKEY]: [
    "there is no such key",
    "keyctl show lists the keys of the session, /proc/keys all that may be seen",
    SystemError,
  ],
  [EKEYEXPIRED]: ["its time is over", "name one that is still valid", SystemError],
  [EKEYREVOKED]: ["it is revoked", "name one that is still valid", SystemError],
};

/** Why a key cannot be watched, for `coverage()`. */
export function stateOf(errno: number): string {
  return `${REFUSALS[errno]?.[0] ?? "the kernel refused"} (${errnoName(errno)})`;
}

/** The kernel's answer `errno` to `action` as an error that says which option, permission or limit it is. */
export function keyError(
  libc: Libc,
  action: string,
  init: SystemErrorInit & { readonly errno: number; readonly syscall: string },
): SystemError {
  const refusal = REFUSALS[init.errno];
  if (refusal === undefined) return systemError(libc, action, init);
  const [state, hint, Refused] = refusal;
  return new Refused(`Cannot ${action}: ${state} (${errnoName(init.errno)})`, { hint, ...init });
}

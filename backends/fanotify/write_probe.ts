/**
 * Whether somebody has a file open for writing, which no system call tells.
 *
 * Of such a file fanotify takes no ignore mask that the next modification would remove anyway, and does not say so
 * (`do_fanotify_mark` in fs/notify/fanotify/fanotify_user.c). So one is added that is for nothing, and whether it can be
 * removed is the answer. By a group of its own: a mark that goes lets pass what its group is asked about at that moment.
 *
 * @module
 */

import { EMFILE } from "../../ffi/abi/errno.ts";
import {
  FAN_CLASS_NOTIF,
  FAN_CLOEXEC,
  FAN_MARK_ADD,
  FAN_MARK_IGNORED_MASK,
  FAN_MARK_REMOVE,
  FAN_MODIFY,
  FAN_UNLIMITED_MARKS,
} from "../../ffi/abi/fanotify.ts";
import { O_CLOEXEC, O_RDONLY } from "../../ffi/abi/open.ts";
import { systemError } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/port.ts";
import { limitError } from "../limits.ts";

const FLAGS = FAN_CLOEXEC | FAN_CLASS_NOTIF | FAN_UNLIMITED_MARKS;

/** A group for that; its file descriptor. Throws `WatchLimitError` where the user has none left. */
export function openWriteProbe(libc: Libc): number {
  const fd = libc.fanotify_init(FLAGS, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) return fd;
  const error = systemError(libc, "guard", { syscall: "fanotify_init" });
  throw error.errno === EMFILE ? limitError(libc, "fanotify/max_user_groups", error) : error;
}

/** Whether a file is open for writing; undefined where the kernel does not say. */
export function isWritten(libc: Libc, probe: number, file: number): boolean | undefined {
  const mark = (flags: number) =>
    libc.fanotify_mark(probe, flags | FAN_MARK_IGNORED_MASK, BigInt(FAN_MODIFY), file, null) === 0;
  return mark(FAN_MARK_ADD) ? !mark(FAN_MARK_REMOVE) : undefined;
}

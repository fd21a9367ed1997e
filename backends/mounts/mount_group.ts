/**
 * An fanotify group that is told of the mounts of a namespace (FAN_REPORT_MNT, Linux 6.15).
 *
 * @module
 */

import {
  FAN_CLASS_NOTIF,
  FAN_CLOEXEC,
  FAN_MARK_ADD,
  FAN_MARK_MNTNS,
  FAN_MNT_ATTACH,
  FAN_MNT_DETACH,
  FAN_NONBLOCK,
  FAN_REPORT_MNT,
  FAN_REPORT_PIDFD,
} from "../../ffi/abi/fanotify.ts";
import { AT_FDCWD, O_CLOEXEC, O_RDONLY } from "../../ffi/abi/open.ts";
import { systemError } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/port.ts";
import { readQueue } from "../../ffi/queue.ts";
import { cString } from "../../ffi/text.ts";
import { FanotifyBatch } from "../fanotify/decode.ts";
import type { MountNamespace } from "./namespace.ts";

/** 48 bytes an event, each of which may open a pidfd: no more than 341, of the 1,024 files that are the usual limit. */
const READ_SIZE = 16 * 1024;

const BASE = FAN_CLOEXEC | FAN_NONBLOCK | FAN_CLASS_NOTIF | FAN_REPORT_MNT;

/** A group with its one mark. */
export class MountGroup {
  readonly fd: number;
  /** What a read gave; valid until the next. */
  readonly batch: FanotifyBatch = new FanotifyBatch(new Uint8Array(READ_SIZE), 0);
  readonly #libc: Libc;

  /**
   * Opens the group, with pidfds where they are wanted and may be had, and marks the namespace. Throws `SystemError`: EINVAL
   * before Linux 6.15, EPERM without CAP_SYS_ADMIN in the namespace's user namespace.
   */
  constructor(libc: Libc, namespace: MountNamespace, wantsPidfd: boolean) {
    this.#libc = libc;
    const action = `watch the mounts of ${namespace.name}`;
    let fd = wantsPidfd ? libc.fanotify_init(BASE | FAN_REPORT_PIDFD, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) fd = libc.fanotify_init(BASE, O_RDONLY | O_CLOEXEC);
    if (fd < 0) throw systemError(libc, action, { syscall: "fanotify_init" });
    const mask = BigInt(FAN_MNT_ATTACH | FAN_MNT_DETACH);
    const file = cString(namespace.file);
    if (libc.fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_MNTNS, mask, AT_FDCWD, file) < 0) {
      const error = systemError(libc, action, {
        syscall: "fanotify_mark",
        path: namespace.file,
      });
      libc.close(fd);
      throw error;
    }
    this.fd = fd;
  }

  /** Reads what is queued into {@linkcode batch}; false where nothing is. */
  read(): boolean {
    const { batch } = this;
    return batch.refill(readQueue(this.#libc, this.fd, batch.bytes, "mount events")) > 0;
  }

  close(): void {
    this.#libc.close(this.fd);
  }
}

/**
 * Has what is mounted in an audited tree audited as a part of it: the kernel's rules for a directory are for the filesystems
 * that were mounted there when they were added, and for others when it is told so.
 *
 * @module
 */

import {
  isWithin,
  KERNEL_FILESYSTEMS,
  parseMountInfo,
  reachable,
} from "../backends/mounts/mountinfo.ts";
import { ENOENT } from "../ffi/abi/errno.ts";
import { SystemError } from "../ffi/errno.ts";
import { readText } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import type { AuditTrail } from "./audit_trail.ts";
import { concerns, onMountChanges } from "./mount_changes.ts";

/**
 * Follows the mounts at and below `path`, a tree of the trail as the kernel spells it, until the function that it resolves to
 * is called; `refused` is told what the kernel does not take.
 */
export async function auditMounts(
  libc: Libc,
  trail: AuditTrail,
  path: string,
  refused: (reason: string) => void,
): Promise<() => void> {
  /** What ends it, by mount. */
  const known = new Map<string, () => void>();
  const look = () => {
    const mounts = reachable(parseMountInfo(readText(libc, "/proc/self/mountinfo") ?? ""))
      .filter(({ point, type }) => isWithin(point, path) && !KERNEL_FILESYSTEMS.has(type));
    const now = new Map(
      mounts.map((mount) => [`${mount.id} ${mount.device} ${mount.point}`, mount]),
    );
    for (const [key, forget] of known) {
      if (now.has(key)) continue;
      known.delete(key);
      forget();
    }
    for (const [key, { point, device }] of now) {
      if (known.has(key)) continue;
      try {
        known.set(key, trail.addMount(path, point, device));
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        if (error.errno !== ENOENT) refused(error.message); // else it is gone again
      }
    }
  };
  const stop = await onMountChanges((notices) => {
    if (notices === undefined || notices.some((notice) => concerns(notice, path))) look();
  });
  return () => {
    stop();
    for (const forget of known.values()) forget();
  };
}

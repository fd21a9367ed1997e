/**
 * Limits of quota, by quotactl(2): setquota(8) is not everywhere.
 *
 * @module
 */

import { arch } from "../ffi/abi/arch.ts";
import { systemError } from "../ffi/errno.ts";
import { openLibc } from "../ffi/libc.ts";
import { cString } from "../ffi/text.ts";

/** `<asm/unistd.h>` */
const SYS_quotactl = arch === "arm64" ? 60 : 179;
/** `QCMD(Q_SETQUOTA, USRQUOTA)` of `<sys/quota.h>`. */
const SET_USER_QUOTA = 0x80000800;
/** `QIF_LIMITS`: what of `struct dqblk` counts. */
const QIF_LIMITS = 5;

/** What a user may have. */
export interface QuotaLimits {
  readonly bytes: number;
  readonly softBytes: number;
  readonly inodes: number;
}

/** Sets the limits of a user on the filesystem of a block device. */
export async function setQuota(
  device: string,
  user: number,
  { bytes, softBytes, inodes }: QuotaLimits,
): Promise<void> {
  const libc = await openLibc();
  const limits = new BigUint64Array(9); // struct dqblk
  limits[0] = BigInt(bytes / 1024); // in blocks of 1 KiB
  limits[1] = BigInt(softBytes / 1024);
  limits[3] = BigInt(inodes);
  limits[8] = BigInt(QIF_LIMITS);
  const name = cString(device);
  const result = libc.syscall(
    SYS_quotactl,
    SET_USER_QUOTA,
    libc.address(name),
    user,
    libc.address(limits),
    0,
  );
  if (result < 0) throw systemError(libc, `set a quota on ${device}`, { syscall: "quotactl" });
}

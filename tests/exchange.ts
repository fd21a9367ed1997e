/**
 * `renameat2(2)` with `RENAME_EXCHANGE`, for which neither runtime has a function, nor coreutils before 9.5.
 *
 * @module
 */

import { arch } from "node:process";
import { systemError } from "../ffi/errno.ts";
import { openLibc } from "../ffi/libc.ts";
import { cString } from "../ffi/text.ts";

/** From `<sys/syscall.h>`. */
const SYS_renameat2 = arch === "arm64" ? 276 : 316;

/** From `<fcntl.h>`, as the register that the kernel reads an `int` of. */
const AT_FDCWD = 0xffff_ff9c;

/** From `<linux/fs.h>`. */
const RENAME_EXCHANGE = 2;

const libc = await openLibc();

/** Lets two names change places at once. */
export function exchange(path: string | Uint8Array, other: string | Uint8Array): void {
  const [a, b] = [cString(path), cString(other)];
  const [from, to] = [Number(libc.address(a)), Number(libc.address(b))];
  if (libc.syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) < 0) {
    throw systemError(libc, `exchange ${path} and ${other}`, { syscall: "renameat2" });
  }
}

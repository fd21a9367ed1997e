/**
 * Keeps a process that guards from leaving a core dump. While the kernel writes one the threads have ended and the files are
 * still open, so that who waits is neither answered nor let pass; and if the dump is to be in a guarded directory, or made by
 * a guarded program, the kernel itself has to ask, and waits for good.
 *
 * @module
 */

import { rlimit, RLIMIT_CORE } from "../ffi/abi/resource.ts";
import { SYS_prlimit64 } from "../ffi/abi/syscall.ts";
import type { Libc } from "../ffi/port.ts";

/** Bytes: too small for a file, and by its value what keeps the kernel from starting a program for the dump (fs/coredump.c). */
const NO_DUMP = 1n;

/** How many guards there are, and the limits before the first one. */
let guards = 0;
const before = new Uint8Array(rlimit.size);

/** Has this process, and what it starts, leave no core dump; gives what ends that, once no guard needs it. */
export function forbidCoreDumps(libc: Libc): () => void {
  if (guards++ === 0) {
    libc.syscall(SYS_prlimit64, 0, RLIMIT_CORE, 0, libc.address(before), 0);
    const wanted = before.slice();
    const view = new DataView(wanted.buffer);
    view.setBigUint64(rlimit.rlim_cur, NO_DUMP, true);
    // The hard limit may be less, and more than that needs CAP_SYS_RESOURCE; then there is no file, either.
    if (view.getBigUint64(rlimit.rlim_max, true) < NO_DUMP) {
      view.setBigUint64(rlimit.rlim_max, NO_DUMP, true);
    }
    libc.syscall(SYS_prlimit64, 0, RLIMIT_CORE, libc.address(wanted), 0, 0);
  }
  return () => {
    if (--guards === 0) libc.syscall(SYS_prlimit64, 0, RLIMIT_CORE, libc.address(before), 0, 0);
  };
}

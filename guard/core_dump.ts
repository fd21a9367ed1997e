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

/** Too small for a file, and by its value what keeps the kernel from starting a program for the dump (fs/coredump.c). */
const NO_DUMP = 1n;

const old = new Uint8Array(rlimit.size);
const oldView = new DataView(old.buffer);
const wanted = new Uint8Array(rlimit.size);
const view = new DataView(wanted.buffer);

/** How many guards there are, and the limit before the first one. */
let guards = 0;
let before = NO_DUMP;

/** Has this process, and what it starts, leave no core dump; gives what ends that, once no guard needs it. */
export function forbidCoreDumps(libc: Libc): () => void {
  if (guards++ === 0) before = setLimit(libc, NO_DUMP);
  return () => {
    if (--guards === 0) setLimit(libc, before);
  };
}

/** Sets the soft limit of core dumps, where that is allowed; the one before. */
function setLimit(libc: Libc, soft: bigint): bigint {
  libc.syscall(SYS_prlimit64, 0, RLIMIT_CORE, 0, libc.address(old), 0);
  const hard = oldView.getBigUint64(rlimit.rlim_max, true);
  view.setBigUint64(rlimit.rlim_cur, soft, true);
  view.setBigUint64(rlimit.rlim_max, hard > soft ? hard : soft, true); // more than it was needs CAP_SYS_RESOURCE
  libc.syscall(SYS_prlimit64, 0, RLIMIT_CORE, libc.address(wanted), 0, 0);
  return oldView.getBigUint64(rlimit.rlim_cur, true);
}

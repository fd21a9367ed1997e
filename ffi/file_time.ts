/**
 * The times of files.
 *
 * @module
 */

const SECOND = 1_000_000_000n;

/**
 * For how long after a change at `time` (ns since the epoch) another one may have the same time, in ns: 2 s on FAT, 1 s on
 * ext3, of which the times have no fraction of a second; elsewhere a tick of the kernel's clock, 10 ms at CONFIG_HZ=100.
 * Linux 6.13 makes times finer where somebody looks, on some filesystems.
 */
export function tickOf(time: bigint): bigint {
  return time % SECOND === 0n ? 2n * SECOND : SECOND / 50n;
}

/** Whether the file that has just been seen to have changed last at `time` may change again without its showing. */
export function isRecent(time: bigint, now: bigint = BigInt(Date.now()) * 1_000_000n): boolean {
  return now - time < tickOf(time);
}

/**
 * Random numbers that a seed repeats: `SENTINODE_SEED`, or one of now.
 *
 * @module
 */

import process from "node:process";

/** The seed of this run. */
export const seed: number = Number(process.env["SENTINODE_SEED"] ?? Date.now() % 2 ** 32);

/** Numbers in [0, 1): mulberry32. */
export function random(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number below the given one. */
export type Random = (below: number) => number;

/** {@linkcode random} in whole numbers. */
export function wholeNumbers(seed: number): Random {
  const next = random(seed);
  return (below) => Math.floor(next() * below);
}

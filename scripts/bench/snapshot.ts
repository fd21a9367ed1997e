/**
 * Takes snapshots of a tree, and prints the seconds that the fastest took.
 *
 *     snapshot.ts DIRECTORY ROUNDS
 *
 * @module
 */

import process from "node:process";
import { snapshot } from "../../mod.ts";

const [directory, rounds] = process.argv.slice(2);
let best = Infinity;
for (let round = 0; round < Number(rounds); round++) {
  const start = performance.now();
  await snapshot(directory!);
  best = Math.min(best, (performance.now() - start) / 1000);
}
process.stdout.write(`${best.toFixed(6)}\n`);

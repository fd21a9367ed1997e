/**
 * Runs all cases one way, in a directory (of a type of filesystem) if one is given, and prints how each ended as one line
 * of JSON: for users other than the one who tests.
 *
 * @module
 */

import process from "node:process";
import { readCases, runCase, type Way } from "./case.ts";

const way = process.argv[2] as Way;
const [, , , ground, type] = process.argv;
for (const one of readCases(way, type)) {
  const { name } = one;
  try {
    console.log(JSON.stringify({ name, difference: await runCase(one, way, ground) }));
  } catch (error) {
    console.log(JSON.stringify({ name, error: String(error) }));
  }
}

/**
 * Where programs and tests of this repository keep what is costly to make or to fetch.
 *
 * @module
 */

import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** The directory: outside of the tree, the user's. */
export const CACHE: string = join(
  process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"),
  "sentinode",
);

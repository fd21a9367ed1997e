/**
 * Writes `guard/worker_source.ts`: the thread of the responder, and all that it imports, as one source.
 *
 *     deno run -A scripts/bundle_worker.ts            writes it
 *     deno run -A scripts/bundle_worker.ts --check    fails where it is not what would be written
 *
 * A Worker that is started from a `data:` URL needs no file beside the program, so that single-file executables have it.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url).href);
const FILE = join(ROOT, "guard/worker_source.ts");
const ENTRY = "guard/worker.ts";

/** The module that has the source. */
export function bundleWorker(): string {
  const { status, stdout, stderr } = spawnSync(
    "bun",
    ["build", ENTRY, "--target=node", "--format=esm", "--minify-syntax", "--minify-whitespace"],
    { cwd: ROOT, encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`Cannot bundle ${ENTRY}: ${stderr}`);
  return `/**
 * The source of \`worker.ts\` and all that it imports. Written by \`scripts/bundle_worker.ts\`.
 *
 * @module
 */

/** A module for a Worker. */
export const WORKER_SOURCE: string =
  ${JSON.stringify(stdout)};
`;
}

if (import.meta.main) {
  const text = bundleWorker();
  if (!process.argv.includes("--check")) writeFileSync(FILE, text);
  else if (readFileSync(FILE, "utf8") !== text) {
    console.error("guard/worker_source.ts is behind: deno run -A scripts/bundle_worker.ts");
    process.exitCode = 1;
  }
}

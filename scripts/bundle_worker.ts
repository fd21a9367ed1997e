/**
 * Writes the programs that other threads and processes run, each with all that it imports as one source.
 *
 *     deno run -A scripts/bundle_worker.ts            writes them
 *     deno run -A scripts/bundle_worker.ts --check    fails where one is not what would be written
 *
 * What is started from a text needs no file beside the program, so that single-file executables have it.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url).href);

/** A program, and the module that has its source. */
export interface Bundle {
  readonly entry: string;
  readonly file: string;
  readonly name: string;
  readonly about: string;
}

/** The programs. */
export const BUNDLES: readonly Bundle[] = [
  {
    entry: "guard/worker.ts",
    file: "guard/worker_source.ts",
    name: "WORKER_SOURCE",
    about: "A module for a Worker.",
  },
  {
    entry: "backends/audit/keeper_main.ts",
    file: "backends/audit/keeper_source.ts",
    name: "KEEPER_SOURCE",
    about: "A module for a process.",
  },
];

/** The text of the module that has the source. */
export function bundle({ entry, name, about }: Bundle): string {
  const { status, stdout, stderr } = spawnSync(
    "bun",
    ["build", entry, "--target=node", "--format=esm", "--minify-syntax", "--minify-whitespace"],
    { cwd: ROOT, encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`Cannot bundle ${entry}: ${stderr}`);
  return `/**
 * The source of \`${
    entry.split("/").at(-1)
  }\` and all that it imports. Written by \`scripts/bundle_worker.ts\`.
 *
 * @module
 */

/** ${about} */
export const ${name}: string =
  ${JSON.stringify(stdout)};
`;
}

if (import.meta.main) {
  for (const one of BUNDLES) {
    const text = bundle(one);
    const file = join(ROOT, one.file);
    if (!process.argv.includes("--check")) writeFileSync(file, text);
    else if (readFileSync(file, "utf8") !== text) {
      console.error(`${one.file} is behind: deno run -A scripts/bundle_worker.ts`);
      process.exitCode = 1;
    }
  }
}

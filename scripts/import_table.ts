/**
 * Checks who imports whom: each room may reach its neighbours only, and only the adapters know a runtime.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { posix } from "node:path";
import process from "node:process";

/** Room → the rooms (or files) that it may import, beside itself. A trailing `(types)` allows `import type` only. */
const TABLE: Readonly<Record<string, readonly string[]>> = {
  ffi: [],
  backends: ["ffi", "classify (types)"],
  classify: ["ffi/abi", "backends (types)"],
  watch: ["backends", "classify", "ffi"],
  guard: ["watch", "backends", "classify", "ffi"],
  streams: ["watch", "backends", "classify", "ffi"],
  cli: ["mod.ts", "streams", "guard", "watch", "classify", "ffi", "backends"],
  "mod.ts": ["streams", "guard", "watch", "backends", "classify", "ffi"],
  "cli.ts": ["cli", "ffi"],
  examples: ["mod.ts"],
};

/** The only files that may name `Deno`, `Bun` or `bun:`. */
const ADAPTERS = ["ffi/deno.ts", "ffi/bun.ts", "ffi/libc.ts"];

/** Made of the others. */
const GENERATED = ["guard/worker_source.ts", "backends/audit/keeper_source.ts"];

const IMPORT = /^\s*(?:import|export)\s+(type\s)?[^"']*?from\s+"(\.[^"]+)"/gm;
const RUNTIME = /\b(?:Deno|Bun)\.\w|"bun:|from "bun"/;

/** What is wrong in a source file; empty where nothing is. */
export function violations(file: string, text: string): string[] {
  if (GENERATED.includes(file)) return [];
  const found: string[] = [];
  const room = roomOf(file);
  const allowed = TABLE[room];
  if (allowed === undefined) return [];
  for (const [, isType, specifier] of text.matchAll(IMPORT)) {
    const target = posix.join(posix.dirname(file), specifier!);
    if (roomOf(target) === room) continue;
    const isAllowed = allowed.some((entry) => {
      const [place, only] = entry.split(" ");
      return (target === place || target.startsWith(`${place}/`)) &&
        (only === undefined || isType !== undefined);
    });
    if (!isAllowed) {
      found.push(`${file} imports ${target}: ${room} may import ${allowed.join(", ")}`);
    }
  }
  if (!ADAPTERS.includes(file) && RUNTIME.test(withoutComments(text))) {
    found.push(`${file} names a runtime: only ${ADAPTERS.join(", ")} may`);
  }
  return found;
}

function roomOf(file: string): string {
  return file.split("/")[0]!;
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "");
}

/** Checks `files`, prints what is wrong, and tells whether nothing was. */
export function checkImports(files: readonly string[]): boolean {
  const found = files.flatMap((file) => violations(file, readFileSync(file, "utf8")));
  for (const line of found) process.stderr.write(`${line}\n`);
  return found.length === 0;
}

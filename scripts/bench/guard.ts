/**
 * The guard under test: guards the mount at DIRECTORY, prints "ready", and ends with its standard input.
 *
 *     guard.ts DIRECTORY rules|paths|decide|cached
 *
 * @module
 */

import process from "node:process";
import { guard, type GuardOptions } from "../../mod.ts";

const [directory, way] = process.argv.slice(2);

const WAYS: Readonly<Record<string, GuardOptions>> = {
  rules: { rules: [{ operation: "exec", verdict: "deny" }, { verdict: "allow" }] },
  paths: { rules: [{ path: "*.exe", verdict: "deny" }, { path: "/**", verdict: "allow" }] },
  decide: { decide: () => Promise.resolve("allow") },
  cached: { rules: [{ verdict: "allow", cache: "until-modified" }] },
};

await using gate = guard(directory!, { scope: "mount", ...WAYS[way!] });
await gate.ready;
process.stdout.write("ready\n");
for await (const _ of process.stdin);

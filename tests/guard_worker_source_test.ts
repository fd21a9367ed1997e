/** The responder's thread is started from a source that is written beforehand: it has to be what the modules say. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { WORKER_SOURCE } from "../guard/worker_source.ts";
import { bundleWorker } from "../scripts/bundle_worker.ts";
import { isInstalled } from "../scripts/real_work/process.ts";
import { moduleFile } from "./runtime.ts";

test("worker_source.ts is what scripts/bundle_worker.ts writes", {
  skip: isInstalled("bun") ? false : "bun is not installed",
}, () => {
  const written = readFileSync(moduleFile("guard/worker_source.ts"), "utf8");
  assert(written === bundleWorker(), "it is behind: deno run -A scripts/bundle_worker.ts");
});

test("the responder's thread imports nothing that is not part of the runtime", () => {
  const specifiers = [...WORKER_SOURCE.matchAll(/\b(?:from|import)\s*\(?\s*"([^"]+)"/g)]
    .map(([, specifier]) => specifier!);
  assert(specifiers.length > 0);
  for (const specifier of specifiers) assert.match(specifier, /^(node:|bun:)/);
});

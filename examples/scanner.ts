/**
 * An on-access scanner: reads each file before it may be opened, and denies those with the marker of the EICAR test file.
 *
 *     deno run -A examples/scanner.ts DIRECTORY
 *     bun examples/scanner.ts DIRECTORY
 *
 * @module
 */

import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { type DecisionFields, guard, type GuardRequest } from "../mod.ts";

/** In parts, so that this source has it not. */
const MARKER = ["EICAR", "STANDARD", "ANTIVIRUS", "TEST", "FILE"].join("-");

/** How long the next piece of a file may take, in ms. */
const PATIENCE = 5_000;

/** What is found clean is not read again until it is written to; a change through a map is not noticed (docs/guard.md). */
const CLEAN: DecisionFields = { verdict: "allow", cache: "until-modified" };

async function scan(request: GuardRequest): Promise<DecisionFields> {
  const decoder = new TextDecoder("latin1"); // a character a byte
  let text = "";
  for await (const bytes of request.readable) {
    // The marker may begin at the end of one piece, and end in the next.
    text = text.slice(1 - MARKER.length) + decoder.decode(bytes);
    if (text.includes(MARKER)) return { verdict: "deny" };
    request.extend(PATIENCE);
    await setImmediate(); // the turn of other files
  }
  return CLEAN;
}

const [directory] = process.argv.slice(2);
if (directory === undefined) throw new TypeError("Cannot scan nothing: give a directory");

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => stop.abort());

const scanner = guard(directory, { decide: scan, timeout: PATIENCE, signal: stop.signal });
await scanner.ready;
console.log(`scanning what is opened below ${JSON.stringify(directory)}`);
for await (const { kind, path, actor, attributes } of scanner) {
  const { verdict = kind, by, reason = by } = attributes;
  console.log(verdict, reason, JSON.stringify(path), actor?.exe ?? "?");
}

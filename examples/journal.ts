/**
 * A journal of a directory, a line of JSON each: what changes, what audit tells that was refused (as root), and once a minute
 * that nothing was missed in between.
 *
 *     deno run -A examples/journal.ts DIRECTORY
 *     bun examples/journal.ts DIRECTORY
 *
 * @module
 */

import process from "node:process";
import { audit, merge, watch } from "../mod.ts";

const MINUTE = 60_000;

const [path] = process.argv.slice(2);
if (path === undefined) throw new TypeError("Cannot keep a journal of nothing: give a directory");

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => stop.abort());

const changes = watch(path, { actor: process.getuid!() === 0 });
const refusals = audit({ paths: path, events: ["access.failed"] });
const journal = merge({ changes, refusals }, { signal: stop.signal });
await journal.ready;

// By way of the watcher, so that it stands behind all that was told by then.
changes.inject({ kind: "user.begun", path });
const minutes = setInterval(() => {
  const { losses } = journal.stats().changes;
  changes.inject({ kind: "user.minute", path, attributes: { losses } });
}, MINUTE);

for await (const item of journal) console.log(JSON.stringify(item));
clearInterval(minutes);

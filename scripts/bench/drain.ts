/**
 * The reader under test: watches DIRECTORY, prints "ready", and when told drains what is queued.
 *
 *     drain.ts DIRECTORY batches|events
 *
 * @module
 */

import { readSync } from "node:fs";
import process from "node:process";
import { watch } from "../../mod.ts";

const EVENTS = 600_000;
const [directory, way] = process.argv.slice(2);

const watcher = watch(directory!, {
  backend: "fanotify",
  queue: "unlimited",
  events: ["create", "remove", "rename", "access.close.write"],
});
await watcher.ready;
process.stdout.write("ready\n");
// Nothing is read meanwhile, for C reads nothing either: the queue fills while this thread waits here.
readSync(0, new Uint8Array(16));

let events = 0;
let characters = 0;
const start = performance.now();
if (way === "batches") {
  for await (const batch of watcher.batches()) {
    for (const event of batch) characters += event.kind.length + event.path.length;
    events += batch.length;
    if (events >= EVENTS) break;
  }
} else {
  for await (const event of watcher) {
    characters += event.kind.length + event.path.length;
    if (++events >= EVENTS) break;
  }
}
const seconds = (performance.now() - start) / 1000;
process.stdout.write(`${events} ${seconds.toFixed(6)} ${characters}\n`);
process.exit();

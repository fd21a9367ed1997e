/**
 * The reader under test: watches DIRECTORY, prints "ready", and for each line on stdin, which says how many events are
 * queued, drains them and prints events and seconds.
 *
 *     drain.ts DIRECTORY batches|events signal|diff
 *
 * @module
 */

import { readSync } from "node:fs";
import process from "node:process";
import { watch } from "../../mod.ts";

const [directory, way, recover] = process.argv.slice(2);

const watcher = watch(directory!, {
  recover: recover as "signal" | "diff", // C remembers no names, as "signal"
  backend: "fanotify",
  queue: "unlimited",
  events: ["create", "remove", "rename", "access.close.write"],
});
await watcher.ready;
process.stdout.write("ready\n");

let events = 0;
let characters = 0;
let target = order();
let start = performance.now();

/** Waits for a line and reads its number. Nothing else happens on this thread meanwhile: the queue fills, as C's does. */
function order(): number {
  const line = new Uint8Array(32);
  return Number(new TextDecoder().decode(line.subarray(0, readSync(0, line))));
}

/** Reports a finished drain and waits for the next; false at the end. */
function next(): boolean {
  const seconds = (performance.now() - start) / 1000;
  process.stdout.write(`${events} ${seconds.toFixed(6)} ${characters}\n`);
  events = 0;
  target = order();
  start = performance.now();
  return target > 0;
}

if (way === "batches") {
  for await (const batch of watcher.batches()) {
    for (const event of batch) characters += event.kind.length + event.path.length;
    events += batch.length;
    if (events >= target && !next()) break;
  }
} else {
  for await (const event of watcher) {
    characters += event.kind.length + event.path.length;
    if (++events >= target && !next()) break;
  }
}
process.exit();

/**
 * Prints the time to be ready (ms), the memory that it took (MB) and the watches of a watch on DIRECTORY.
 *
 *     set_up.ts DIRECTORY fanotify|inotify
 *
 * @module
 */

import process from "node:process";
import { watch } from "../../mod.ts";

const [directory, backend] = process.argv.slice(2) as [string, "fanotify" | "inotify"];

// A first watch elsewhere loads the modules and libc: what is measured is the tree, not the start of the program.
const first = watch("/proc/self", { backend: "inotify", recursive: false });
await first.ready;
await first.close();

const before = process.memoryUsage().rss;
const start = performance.now();
const watcher = watch(directory, { backend, recover: "signal" });
await watcher.ready;
const milliseconds = performance.now() - start;
const bytes = process.memoryUsage().rss - before;
const { watches } = watcher.stats();
process.stdout.write(`${milliseconds.toFixed(1)} ${(bytes / 1e6).toFixed(1)} ${watches}\n`);
process.exit();

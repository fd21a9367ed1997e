/**
 * Lets processes do random operations in a watched tree, round by round, and compares the picture that the events give
 * with the tree after each. Prints a line of JSON, or the operations that a difference needs, and exits with 1.
 *
 *     deno run -A tests/model/run.ts [OPTIONS]
 *
 *     --backend fanotify|inotify    default inotify
 *     --directory DIR               where to work; default the place for temporary files
 *     --seed N                      default SENTINODE_SEED, or the time
 *     --rounds N                    default 20
 *     --operations N                how many a round; default 300
 *     --processes N                 how many at once; default 1
 *     --attempts N                  how often a failure is tried again to find a shorter one, for it may depend on when
 *                                   the watcher reads; default 12
 *
 * @module
 */

import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { watch, type WatchEvent } from "../../mod.ts";
import { seed as seedOfNow, wholeNumbers } from "../random.ts";
import { within } from "../runtime.ts";
import { INSIDE, type Operation, OUTSIDE, randomOperations, showOperation } from "./operations.ts";
import { type Entries, Picture } from "./picture.ts";
import { shrink } from "./shrink.ts";
import { compileWorker, Worker } from "./worker.ts";

/** How many rounds a watcher lasts. */
const SESSION = 8;

/** How long the picture may take to become the tree once all that was done before is told, in ms. */
const DEADLINE = 3_000;

/** How long to look for a shorter failure, in ms. */
const SHRINKING = 60_000;

const { values } = parseArgs({
  options: {
    backend: { type: "string", default: "inotify" },
    directory: { type: "string", default: tmpdir() },
    seed: { type: "string", default: `${seedOfNow}` },
    rounds: { type: "string", default: "20" },
    operations: { type: "string", default: "300" },
    processes: { type: "string", default: "1" },
    attempts: { type: "string", default: "12" },
  },
});

const backend = values.backend as "fanotify" | "inotify";
const base = realpathSync(mkdtempSync(join(values.directory, "sentinode-model-")));
const program = compileWorker(base);

/** A difference between picture and tree, and what led to it. */
interface Failure {
  readonly differences: readonly string[];
  /** Done in the rounds before. */
  readonly before: readonly Operation[];
  readonly round: readonly Operation[];
  readonly events: readonly string[];
}

/** What all rounds saw together. */
const seen = { by: "", rounds: 0, done: 0, events: 0 };

/** Does `before` unwatched, then the rounds under one watcher; the first failure. */
async function session(
  before: readonly Operation[],
  rounds: readonly (readonly Operation[])[],
): Promise<Failure | undefined> {
  const directory = mkdtempSync(join(base, "session-"));
  const root = join(directory, INSIDE);
  for (const name of [INSIDE, OUTSIDE]) mkdirSync(join(directory, name));
  const workers = Array.from({ length: Number(values.processes) }, () => {
    return new Worker(program, directory);
  });
  const watcher = watch(root, { backend, recover: "signal" });
  try {
    const perform = async (operations: readonly Operation[]) => {
      const done = await Promise.all(workers.map((worker, i) => {
        return worker.perform(operations.filter(({ by }) => by === i));
      }));
      return done.flat();
    };
    if (before.length > 0) await perform(before);
    await within(watcher.ready, "the watcher");
    const [covered] = watcher.coverage();
    seen.by = `${covered!.backend} ${covered!.by}`;
    const tree = () => workers[0]!.entries();
    const picture = new Picture(directory, await tree());
    const told = new Told(watcher, picture);
    const past = [...before];
    for (const [n, operations] of rounds.entries()) {
      const done = await perform(operations);
      const differences = await told.settled(join(root, `.end${n}`), tree);
      seen.rounds++;
      seen.done += done.length;
      seen.events += told.events.length;
      if (differences.length > 0) {
        return { differences, before: past, round: done, events: told.events };
      }
      told.events.length = 0;
      past.push(...done);
    }
    return undefined;
  } finally {
    await watcher.close();
    for (const worker of workers) worker[Symbol.dispose]();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Reads a watcher into a picture. */
class Told {
  readonly events: string[] = [];
  readonly #picture: Picture;
  #wake: () => void = () => {};
  #awaited = "";
  #isTold = false;
  #wrong: string[] = [];

  constructor(events: AsyncIterable<WatchEvent>, picture: Picture) {
    this.#picture = picture;
    void this.#read(events);
  }

  async #read(events: AsyncIterable<WatchEvent>): Promise<void> {
    try {
      for await (const event of events) {
        const { kind, path, from, synthetic } = event;
        this.events.push(`${kind}${synthetic ? "*" : ""} ${from ? `${from} -> ` : ""}${path}`);
        if (kind === "lost") this.#wrong.push(`lost: ${event.attributes.reason}`);
        this.#picture.apply(event);
        this.#isTold ||= path === this.#awaited;
        this.#wake();
      }
    } catch (error) {
      this.#wrong.push(String(error));
    }
  }

  /** Waits until the file `marker`, made now, is told, and then until the picture is the tree; what differs in the end. */
  async settled(marker: string, tree: () => Promise<Entries>): Promise<string[]> {
    this.#awaited = marker;
    this.#isTold = false;
    writeFileSync(marker, "");
    const late = performance.now() + DEADLINE;
    for (;;) {
      const actual = await tree();
      const differences = [...this.#wrong, ...this.#picture.differences(actual)];
      if (!this.#isTold) differences.push("the end was not told");
      if (differences.length === 0 || this.#wrong.length > 0) return differences;
      const left = late - performance.now();
      if (left <= 0) return differences;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, left);
      await promise;
      clearTimeout(timer);
    }
  }
}

/** A failure that needs less than this one, if the same operations lead to one again. */
async function smaller(failure: Failure): Promise<Failure> {
  let least = failure;
  const late = performance.now() + SHRINKING;
  const fails = async (before: readonly Operation[], round: readonly Operation[]) => {
    for (let attempt = 0; attempt < Number(values.attempts); attempt++) {
      const again = await session(before, [round]);
      if (again !== undefined) return least = again, true;
    }
    return false;
  };
  const isLate = () => performance.now() > late;
  if (!await fails(failure.before, failure.round)) return failure;
  const round = await shrink(least.round, (round) => fails(failure.before, round), isLate);
  await shrink(failure.before, (before) => fails(before, round), isLate);
  return least;
}

async function main(): Promise<number> {
  const [first, rounds] = [Number(values.seed), Number(values.rounds)];
  console.error(`model ${backend} with SENTINODE_SEED=${first}`);
  let failures = 0;
  for (let from = first; from < first + rounds; from += SESSION) {
    const length = Math.min(SESSION, first + rounds - from);
    const failure = await session(
      [],
      Array.from({ length }, (_, n) => {
        const random = wholeNumbers(from + n);
        return randomOperations(random, Number(values.operations), Number(values.processes));
      }),
    );
    if (failure === undefined) continue;
    failures++;
    console.log(`SENTINODE_SEED=${from}: ${failure.differences.join(", ")}`);
    const { differences, before, round, events } = await smaller(failure);
    const lines = [
      differences,
      "--- before the watch",
      before.map(showOperation),
      "--- done",
      round.map(showOperation),
      "--- told",
      events.map((line) => line.replaceAll(/\S*\/session-[^/]*\//g, "")),
    ];
    console.log(lines.flat().join("\n"));
  }
  console.log(JSON.stringify({ ...seen, failures }));
  return failures === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} finally {
  rmSync(base, { recursive: true, force: true });
}

/**
 * Lets processes do random operations in a watched tree, round by round, and compares the picture that the events give
 * with the tree after each. Prints a line of JSON, or the operations that a difference needs, and exits with 1.
 *
 *     deno run -A tests/model/run.ts [OPTIONS]
 *
 *     --backend NAME                fanotify, inotify or poll; default inotify
 *     --overflow N                  lets the kernel queue N records at most, and has the reader sleep now and then, so
 *                                   that some are lost, and recovered. Needs the user root, but no capability: without
 *                                   any, fanotify marks directories
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
import { watch, type Watcher, type WatchEvent } from "../../mod.ts";
import { INTERVAL } from "../../watch/poller.ts";
import { seed as seedOfNow, wholeNumbers } from "../random.ts";
import { aWhile, within } from "../runtime.ts";
import { INSIDE, type Operation, OUTSIDE, randomOperations, showOperation } from "./operations.ts";
import { type Entries, Picture } from "./picture.ts";
import { shrink } from "./shrink.ts";
import { QueueLimit } from "./queue_limit.ts";
import { compileWorker, Worker } from "./worker.ts";

/** How long the picture may take to become the tree once all that was done before is told, in ms. */
const DEADLINE = 3_000;

/** Where overflows are forced: how many operations are done at once, and how long nobody reads, in ms. */
const SLICE = 50;
const STALL = 3;

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
    overflow: { type: "string" },
  },
});

const backend = values.backend as "fanotify" | "inotify" | "poll";
const overflow = values.overflow === undefined ? undefined : Number(values.overflow);
/** How many rounds a watcher lasts. The limit of queues, which is everybody's, is lowered while one begins. */
const SESSION = overflow === undefined ? 8 : 32;

const base = realpathSync(mkdtempSync(join(values.directory, "sentinode-model-")));
const program = compileWorker(base);

if (backend === "poll") {
  // Of what happens within a second a look every second sees little; a short pause has looks meet the work.
  const wait = globalThis.setTimeout;
  const sooner = (call: () => void, delay = 0) => wait(call, delay === INTERVAL ? 10 : delay);
  globalThis.setTimeout = sooner as typeof setTimeout;
}

/** A difference between picture and tree, and what led to it. */
interface Failure {
  readonly differences: readonly string[];
  /** Done in the rounds before. */
  readonly before: readonly Operation[];
  readonly round: readonly Operation[];
  readonly events: readonly string[];
}

/** What all rounds saw together; `lostAgain` counts the losses while one was repaired. */
const seen = { by: "", rounds: 0, done: 0, events: 0, lost: 0, lostAgain: 0 };

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
  let watcher: Watcher | undefined;
  try {
    const performAtOnce = async (operations: readonly Operation[]) => {
      const done = await Promise.all(workers.map((worker, i) => {
        return worker.perform(operations.filter(({ by }) => by === i));
      }));
      return done.flat();
    };
    const perform = async (operations: readonly Operation[]) => {
      if (overflow === undefined) return await performAtOnce(operations);
      const done: Operation[] = [];
      for (let at = 0; at < operations.length; at += SLICE) {
        const slice = performAtOnce(operations.slice(at, at + SLICE));
        await aWhile(); // so that they are sent
        sleep(STALL);
        done.push(...await slice);
      }
      return done;
    };
    if (before.length > 0) await performAtOnce(before);
    const limit = overflow === undefined || backend === "poll"
      ? undefined
      : await QueueLimit.lower(backend, overflow);
    try {
      watcher = watch(root, { backend, recover: overflow === undefined ? "signal" : "diff" });
      await within(watcher.ready, "the watcher");
    } finally {
      await limit?.restore();
    }
    const [covered] = watcher.coverage();
    seen.by = `${covered!.backend} ${covered!.by}`;
    const tree = () => workers[0]!.entries();
    const start = await tree();
    const picture = new Picture(directory, start, backend !== "poll", backend === "fanotify");
    // Names are read in the background; of those that were not the removal is not noticed after a loss.
    while (overflow !== undefined && watcher.stats().names < start.size) await aWhile();
    const told = new Told(watcher, picture);
    const past = [...before];
    for (const [n, operations] of rounds.entries()) {
      const done = await perform(operations);
      const differences = await told.settled(join(root, `.end${n}`), tree);
      seen.rounds++;
      seen.done += done.length;
      seen.events += told.events.length;
      seen.lost += told.lost;
      seen.lostAgain += told.lostAgain;
      told.lost = told.lostAgain = 0;
      if (differences.length > 0) {
        return { differences, before: past, round: done, events: told.events };
      }
      told.events.length = 0;
      past.push(...done);
    }
    return undefined;
  } finally {
    await watcher?.close();
    for (const worker of workers) worker[Symbol.dispose]();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Has the event loop stand still for that many ms. */
function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Reads a watcher into a picture. */
class Told {
  readonly events: string[] = [];
  readonly #picture: Picture;
  #wake: () => void = () => {};
  #awaited = "";
  #isTold = false;
  #wrong: string[] = [];
  lost = 0;
  /** Losses while one was repaired. */
  lostAgain = 0;
  #isRepairing = false;

  constructor(events: AsyncIterable<WatchEvent>, picture: Picture) {
    this.#picture = picture;
    void this.#read(events);
  }

  async #read(events: AsyncIterable<WatchEvent>): Promise<void> {
    try {
      for await (const event of events) {
        const { kind, path, from, synthetic } = event;
        this.events.push(`${kind}${synthetic ? "*" : ""} ${from ? `${from} -> ` : ""}${path}`);
        if (kind === "lost") {
          if (overflow === undefined) this.#wrong.push(`lost: ${event.attributes.reason}`);
          this.lost++;
          if (this.#isRepairing) this.lostAgain++;
          this.#isRepairing = true;
        } else if (kind === "recovered") this.#isRepairing = false;
        const wrong = this.#picture.apply(event);
        if (wrong !== undefined) this.#wrong.push(`${this.events.at(-1)}, and ${wrong}`);
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
      if (this.#isRepairing) differences.push("recovered was not told");
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
  if (overflow !== undefined && seen.lost === 0) {
    console.log("nothing was lost, so nothing was tried");
    return 1;
  }
  return failures === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} finally {
  rmSync(base, { recursive: true, force: true });
}

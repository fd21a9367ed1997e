/**
 * What is told of each way to change a file, and of whom: what operations_told.ts says, on each filesystem, by each way of
 * watching, and nothing else.
 */

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chownSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import test from "node:test";
import { metadataText } from "../cli/metadata.ts";
import { watch, type WatchEvent } from "../mod.ts";
import { isInstalled } from "../scripts/real_work/process.ts";
import { Audited, whyUnaudited } from "./audited.ts";
import { Filesystem, whyNot } from "./filesystem.ts";
import { isSince } from "./kernel.ts";
import {
  FILESYSTEMS,
  isPossible,
  makeBefore,
  type Operation,
  OPERATIONS,
  Operations,
  type OperationsFilesystem,
} from "./operations.ts";
import { ROWS, toldTable, type Way, WAYS } from "./operations_told.ts";
import { AS_NOBODY, moduleFile, NOBODY, TemporaryDirectory, within } from "./runtime.ts";

const EVENTS = ["create", "modify", "rename", "remove", "access.failed"];

/** How much older than a watcher a file has to be for the kernel's clock of births to say so, in ms. */
const OLDER = 50;

/** Watchers of one directory, one each way, and a process that makes files between two operations. */
class Watchers implements AsyncDisposable {
  readonly #path: string;
  readonly #all;
  readonly #maker: ChildProcess;
  #fences = 0;

  constructor(path: string) {
    this.#path = path;
    this.#all = (Object.keys(WAYS) as Way[]).map((way) => {
      const watcher = watch(path, { ...WAYS[way], metadata: { sweep: 0 }, events: EVENTS });
      return { way, watcher, events: watcher[Symbol.asyncIterator]() };
    });
    const script = "while read -r file; do : > $file; done";
    this.#maker = spawn("sh", ["-c", script], { stdio: ["pipe", "inherit", "inherit"] });
  }

  async ready(): Promise<void> {
    for (const { way, watcher } of this.#all) {
      await watcher.ready;
      const gaps = watcher.coverage().flatMap((one) => one.gaps);
      assert.deepEqual(gaps, [], way);
    }
  }

  /** What each told until now. What audit alone tells comes behind the first fence, and before the second one. */
  async told(): Promise<Map<Way, WatchEvent[]>> {
    const [first, second] = [await this.#untilFence(), await this.#untilFence()];
    return new Map([...first].map(([way, events]) => [way, [...events, ...second.get(way)!]]));
  }

  async #untilFence(): Promise<Map<Way, WatchEvent[]>> {
    const fence = join(this.#path, `fence-${this.#fences++}`);
    this.#maker.stdin!.write(`${fence}\n`);
    const lists = this.#all.map(async ({ way, events }): Promise<[Way, WatchEvent[]]> => {
      const seen: WatchEvent[] = [];
      for (;;) {
        const { value: event } = await within(events.next(), `${way}: ${fence}`);
        if (event.path === fence) return [way, seen];
        seen.push(event);
      }
    });
    return new Map(await Promise.all(lists));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#maker.stdin!.end();
    for (const { watcher } of this.#all) await watcher.close();
  }
}

/** An event as the table has it, with how sure it is who did it. */
function lineOf(event: WatchEvent, directory: string, pid: number): string {
  const { kind, path, from, actor, synthetic, attributes } = event;
  const name = (path: string) => path.replace(`${directory}/`, "");
  const where = from === undefined ? name(path) : `${name(from)} -> ${name(path)}`;
  const errno = attributes["failed"] as { readonly code?: string } | undefined;
  const what = metadataText(event).replace(/20[2-9]\d-\d\d-\d\dT[^ ]+/g, "now") || errno?.code;
  const known = actor === undefined
    ? "nobody"
    : actor.pid === pid
    ? actor.confidence
    : `${actor.confidence}, another one`;
  const words = [kind, where, what, synthetic && "synthetic"].filter((word) => word);
  return `${words.join(" ")} (${known})`;
}

/** What has to be told of an operation. */
function expected(operation: Operation, way: Way, owner: number): string[] {
  const row = ROWS.find(({ operations }) => operations.includes(operation.name))!;
  const { told, before, isRefusalUntold } = row;
  const known = before !== undefined && !isSince(before[0]) ? before[1] : row.known;
  const isRefused = operation.needsRoot && owner !== 0;
  if (isRefused) {
    const isTold = way.endsWith("audit") && isRefusalUntold !== true;
    return isTold ? ["access.failed path EPERM (exact)"] : [];
  }
  if (known[way] === "untold") return [];
  return told.map((line) => `${line} (${known[way]})`);
}

/** Makes what the operations of a filesystem need, each in a directory of its own. */
function prepare(
  operations: Operations,
  list: readonly Operation[],
  root: string,
  owner: number,
): void {
  for (const { name, path, other, first } of list) {
    const at = join(root, name);
    mkdirSync(at);
    chownSync(at, owner, owner);
    makeBefore(join(at, "path"), path, "path", owner);
    makeBefore(join(at, "other"), other ?? "absent", "other", owner);
    if (first !== undefined) assert.equal(operations.run(first, [join(at, "path")]), "done");
  }
}

async function check(type: OperationsFilesystem, owner: number): Promise<void> {
  await using _audited = await Audited.open();
  using programs = new TemporaryDirectory(owner);
  using filesystem = new Filesystem(type);
  const operations = new Operations(join(programs.path, "operations"));
  const user = owner === 0 ? [] : AS_NOBODY;
  const hasRings = operations.hasRings(user);
  const list = OPERATIONS.filter((operation) =>
    isPossible(operation, type) && (hasRings || !operation.name.startsWith("io_uring-"))
  );
  prepare(operations, list, filesystem.path, owner);
  const prepared = Date.now();
  while (Date.now() <= prepared + OLDER) await setTimeout(OLDER);
  const differences: string[] = [];
  {
    await using watchers = new Watchers(filesystem.path);
    await watchers.ready();
    await watchers.told();
    for (const operation of list) {
      const { name, other } = operation;
      const directory = join(filesystem.path, name);
      const paths = [join(directory, "path"), ...other ? [join(directory, "other")] : []];
      const [program = "", ...args] = [...user, ...operations.command(name, ...paths)];
      const { pid } = spawnSync(program, args);
      for (const [way, events] of await watchers.told()) {
        const lines = events.map((event) => lineOf(event, directory, pid));
        const wanted = expected(operation, way, owner);
        if (lines.join("\n") === wanted.join("\n")) continue;
        differences.push(`${name}, ${way}: ${lines.join("; ")} instead of ${wanted.join("; ")}`);
      }
    }
  }
  assert.deepEqual(differences, []);
}

const skip = whyUnaudited ||
  ["cc", "setpriv"].filter((program) => !isInstalled(program)).map((name) => `needs ${name}`)[0] ||
  false;

for (const type of FILESYSTEMS) {
  test(`${type}: what is told of each way to change a file`, {
    skip: skip || whyNot(type),
    timeout: 60_000,
  }, () => check(type, 0));
}

test("ext4: what is told of what nobody does, and may not do", {
  skip: skip || whyNot("ext4"),
  timeout: 60_000,
}, () => check("ext4", NOBODY));

test("the table has all operations, each once", () => {
  const names = ROWS.flatMap(({ operations }) => operations);
  assert.deepEqual(names.toSorted(), OPERATIONS.map(({ name }) => name).toSorted());
});

test("the README has the table", () => {
  assert.ok(readFileSync(moduleFile("README.md"), "utf8").includes(`\n${toldTable()}\n`));
});

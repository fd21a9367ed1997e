/**
 * The cases of `cases/*.txt` under inotify, a fanotify mark on the filesystem and, as nobody,
 * fanotify marks on directories; and who did it.
 */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import process from "node:process";
import test from "node:test";
import { watch, type WatchEvent, type WatchOptions } from "../mod.ts";
import { Observer, Sentinel, within } from "../scripts/real_work/observer.ts";
import {
  isInstalled,
  isRoot,
  moduleCommand,
  NOBODY,
  run,
  runAsNobody,
  succeed,
} from "../scripts/real_work/process.ts";
import { type Difference, readCases, runCase, type Way } from "./cases/case.ts";

function same(difference: Difference | undefined): void {
  if (difference === undefined) return;
  const { step, expected, actual } = difference;
  assert.deepEqual(actual, expected, `after ${step}: ${actual.join(", ") || "no event"}`);
  assert.fail(`after ${step}: ${actual.join(", ")}`);
}

for (const way of ["inotify", "filesystem"] as const) {
  for (const one of readCases(way)) {
    const skip = (way === "filesystem" || one.needsRoot) && !isRoot && "needs root";
    test(
      `${way}: ${one.name}`,
      { skip, timeout: 60_000 },
      async () => same(await runCase(one, way)),
    );
  }
}

/** How each case ended for nobody; all are done by one process. */
async function asNobody(way: Way): Promise<ReadonlyMap<string, CaseEnd>> {
  const command = moduleCommand(new URL("cases/run.ts", import.meta.url), way);
  const { code, stdout, stderr } = await (isRoot ? runAsNobody(command) : run(command));
  assert.equal(code, 0, stderr);
  const ends = stdout.trim().split("\n").map((line) => JSON.parse(line) as CaseEnd);
  return new Map(ends.map((end) => [end.name, end]));
}

interface CaseEnd {
  readonly name: string;
  readonly difference?: Difference;
  readonly error?: string;
}

let ends: Promise<ReadonlyMap<string, CaseEnd>> | undefined;
for (const { name } of readCases("inode")) {
  const skip = isRoot && !isInstalled("setpriv") && "setpriv is not installed";
  test(`inode, as nobody: ${name}`, { skip, timeout: 120_000 }, async () => {
    const end = (await (ends ??= asNobody("inode"))).get(name);
    assert(end !== undefined);
    assert.equal(end.error, undefined);
    same(end.difference);
  });
}

// --- who did it ---

/** Watches a directory of everybody's for what `work` does in it; the events of that. */
async function eventsOf(
  options: WatchOptions,
  work: (directory: string, observer: Observer) => Promise<void>,
): Promise<WatchEvent[]> {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "sentinode-actor-")));
  chmodSync(directory, 0o777);
  const observer = new Observer(watch(directory, options));
  let sentinel: Sentinel | undefined;
  try {
    await within(observer.watcher.ready, "the watcher");
    sentinel = await Sentinel.open(options);
    await work(directory, observer);
    await sentinel.settled();
    return observer.events;
  } finally {
    await observer.close();
    await sentinel?.close();
    rmSync(directory, { recursive: true });
  }
}

const SKIP = !isRoot && "needs root";
const ACTOR = { backend: "fanotify", actor: true, events: ["create"] } as const;

/** What getent(1) says, which asks as all programs do. */
function nameOf(database: "passwd" | "group", id: number): string {
  return execFileSync("getent", [database, String(id)], { encoding: "utf8" }).split(":")[0]!;
}

test("actor: this process", { skip: SKIP, timeout: 60_000 }, async () => {
  const events = await eventsOf(ACTOR, async (directory) => {
    await Promise.resolve(writeFileSync(join(directory, "f"), ""));
  });
  assert.equal(events.length, 1);
  const { actor } = events[0]!;
  assert.equal(actor?.pid, process.pid);
  assert.equal(actor.self, true);
  assert.equal(actor.ppid, process.ppid);
  assert.equal(actor.uid, 0);
  assert.equal(actor.user, "root");
  assert.equal(actor.group, "root");
  assert.equal(actor.exe, realpathSync(process.execPath));
  assert.equal(actor.confidence, "exact");
});

test("actor: a process of another user that is still there", {
  skip: SKIP || (!isInstalled("setpriv") && "setpriv is not installed"),
  timeout: 60_000,
}, async () => {
  const user = ["--reuid", `${NOBODY}`, "--regid", `${NOBODY}`, "--clear-groups", "--"];
  let pid: number | undefined;
  const events = await eventsOf(ACTOR, async (directory, observer) => {
    const looked = Promise.withResolvers<string>();
    // It waits for the end of its input, so that it can be looked at.
    const child = succeed(["setpriv", ...user, "/bin/sh", "-c", ": >f; read -r end || :"], {
      cwd: directory,
      input: looked.promise,
      started: (started) => pid = started.pid,
    });
    try {
      await observer.until(() => observer.events.length > 0, "its event");
    } finally {
      looked.resolve("");
      await child;
    }
  });
  assert.equal(events.length, 1);
  const { actor } = events[0]!;
  assert.equal(actor?.pid, pid);
  assert.equal(actor?.self, false);
  assert.equal(actor?.ppid, process.pid);
  assert.equal(actor?.uid, NOBODY);
  assert.equal(actor?.gid, NOBODY);
  assert.equal(actor?.user, nameOf("passwd", NOBODY));
  assert.equal(actor?.group, nameOf("group", NOBODY));
  assert.equal(actor?.comm, "sh");
  assert.equal(actor?.exe, realpathSync("/bin/sh"));
  assert.equal(actor?.gone, undefined);
  assert.equal(actor?.confidence, "exact");
});

test("actor: a process that is gone is said to be gone, or known exactly, never another", {
  skip: SKIP,
  timeout: 60_000,
}, async () => {
  const pids = new Map<string, number>();
  const events = await eventsOf(ACTOR, async (directory) => {
    for (let i = 0; i < 40; i++) {
      const path = join(directory, `${i}`);
      await succeed(["/bin/sh", "-c", ": >$0", path], {
        started: (child) => pids.set(path, child.pid!),
      });
    }
  });
  assert.deepEqual(events.map(({ path }) => path), [...pids.keys()]);
  for (const { path, actor } of events) {
    assert.equal(actor?.pid, pids.get(path));
    assert.equal(actor?.self, false);
    // One that has exited and was not waited for has a name still, and no executable any more.
    if (actor?.gone === undefined) assert.equal(actor?.comm, "sh");
    if (actor?.exe !== undefined) assert.equal(actor.exe, realpathSync("/bin/sh"));
  }
});

test("ignoreProcesses: what this process does is not told, what its child does is", {
  skip: SKIP,
  timeout: 60_000,
}, async () => {
  const options = { backend: "fanotify", ignoreProcesses: ["self"], events: ["create"] } as const;
  const events = await eventsOf(options, async (directory) => {
    writeFileSync(join(directory, "own"), "");
    await succeed(["/bin/sh", "-c", ": >child"], { cwd: directory });
    writeFileSync(join(directory, "own too"), "");
  });
  assert.deepEqual(events.map(({ path }) => basename(path)), ["child"]);
});

test(
  "ignoreProcesses: a set may change while watching",
  { skip: SKIP, timeout: 60_000 },
  async () => {
    const ignored = new Set<number | "self">();
    const options = { backend: "fanotify", ignoreProcesses: ignored, events: ["create"] } as const;
    const events = await eventsOf(options, async (directory, observer) => {
      writeFileSync(join(directory, "before"), "");
      await observer.until(() => observer.events.length === 1, "the first event");
      ignored.add(process.pid);
      writeFileSync(join(directory, "meanwhile"), "");
      await succeed(["/bin/sh", "-c", ": >child"], { cwd: directory });
      await observer.until(() => observer.events.length === 2, "the child's event");
      ignored.delete(process.pid);
      writeFileSync(join(directory, "after"), "");
    });
    assert.deepEqual(events.map(({ path }) => basename(path)), ["before", "child", "after"]);
  },
);

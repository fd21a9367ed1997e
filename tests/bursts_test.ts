/**
 * Much at once: deep trees, thousands of names in one turn of the event loop, more than the
 * kernel's queue holds.
 */

import assert from "node:assert/strict";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { watch, type WatchEvent, type WatchOptions } from "../mod.ts";
import { Model } from "../scripts/real_work/model.ts";
import { Observer, Sentinel, within } from "../scripts/real_work/observer.ts";
import { isRoot, succeed } from "../scripts/real_work/process.ts";
import { runScript } from "./runtime.ts";

const BACKENDS = ["inotify", "fanotify"] as const;
type BackendName = (typeof BACKENDS)[number];

/** A filesystem where nobody else works: a mark on all of it has a queue to itself. */
const QUIET = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

/** A watched directory with a place beside it, and all that was reported. */
interface Stage {
  readonly tree: string;
  readonly outside: string;
  readonly events: readonly WatchEvent[];
  readonly observer: Observer;
  /** Resolves when all that was done has been reported. */
  settled(): Promise<void>;
}

async function onStage(
  options: WatchOptions & { backend: BackendName },
  act: (stage: Stage) => Promise<void>,
): Promise<void> {
  const base = realpathSync(mkdtempSync(join(QUIET, "sentinode-burst-")));
  const [tree, outside] = [join(base, "tree"), join(base, "outside")];
  mkdirSync(tree);
  mkdirSync(outside);
  const observer = new Observer(watch(tree, { recover: "signal", ...options }));
  let sentinel: Sentinel | undefined;
  try {
    await within(observer.watcher.ready, "the watcher");
    const { events } = observer;
    // On the same filesystem, so that they have the same queue and the same fate.
    const bell = sentinel = await Sentinel.open(options, QUIET);
    await act({ tree, outside, events, observer, settled: () => bell.settled() });
  } finally {
    await observer.close();
    await sentinel?.close();
    rmSync(base, { recursive: true, force: true });
  }
}

/** What the events make of an empty tree is the tree. */
function assertComplete(stage: Stage): void {
  const wrong: string[] = [];
  rmSync(stage.outside, { recursive: true });
  const model = Model.ofNothing(stage.tree, true);
  for (const event of stage.events) wrong.push(...[model.apply(event) ?? []].flat());
  assert.deepEqual([...wrong, ...model.differences()], []);
}

function touch(path: string): void {
  closeSync(openSync(path, "wx"));
}

function pathsOf(events: readonly WatchEvent[], kind: string): Set<string> {
  return new Set(events.filter((event) => event.kind === kind).map(({ path }) => path));
}

for (const backend of BACKENDS) {
  const skip = backend === "fanotify" && !isRoot && "needs root";
  const settings = { skip, timeout: 120_000 };

  test(`${backend}: mkdir -p of 21 levels with a file at the bottom`, settings, async () => {
    await onStage({ backend }, async (stage) => {
      const { tree, events, settled } = stage;
      const deep = Array.from({ length: 21 }, (_, level) => `level${level}`).join("/");
      await succeed(["sh", "-euc", `mkdir -p ${deep}; echo text >${deep}/file`], { cwd: tree });
      await settled();
      assertComplete(stage);
      assert.equal(pathsOf(events, "create.directory").size, 21);
      assert.deepEqual([...pathsOf(events, "create.file")], [join(tree, deep, "file")]);
    });
  });

  test(`${backend}: the same in one turn of the event loop, 10 times`, settings, async () => {
    await onStage({ backend, events: ["create"] }, async (stage) => {
      const { tree, events, settled } = stage;
      for (let n = 0; n < 10; n++) {
        const deep = join(tree, `${n}`, ...Array.from({ length: 20 }, (_, level) => `${level}`));
        mkdirSync(deep, { recursive: true });
        touch(join(deep, "file"));
      }
      await settled();
      assertComplete(stage);
      assert.equal(events.length, 220);
    });
  });

  test(`${backend}: a tree that is moved in is complete`, settings, async () => {
    await onStage({ backend }, async (stage) => {
      const { tree, outside, events, settled } = stage;
      for (let d = 0; d < 50; d++) {
        const directory = join(outside, "a", ...`${d}`.split(""), "in");
        mkdirSync(directory, { recursive: true });
        for (let f = 0; f < 20; f++) touch(join(directory, `${f}`));
      }
      renameSync(join(outside, "a"), join(tree, "b"));
      await settled();
      assertComplete(stage);
      assert.deepEqual([...pathsOf(events, "rename.in")], [join(tree, "b")]);
      assert.equal(pathsOf(events, "create.file").size, 1000);
    });
  });

  test(`${backend}: 1,000 directories made in one turn`, settings, async () => {
    await onStage({ backend, events: ["create"] }, async (stage) => {
      const { tree, events, settled } = stage;
      for (let d = 0; d < 1000; d++) mkdirSync(join(tree, `${d}`));
      await settled();
      assert.equal(events.length, 1000);
      assert.equal(pathsOf(events, "create.directory").size, 1000);
    });
  });

  test(`${backend}: 12,000 files made while the thread is blocked`, settings, async () => {
    await onStage({ backend, events: ["create"] }, async (stage) => {
      const { tree, events, settled } = stage;
      for (let f = 0; f < 12_000; f++) touch(join(tree, `${f}`));
      await settled();
      if (limitOf(backend) < 12_000) assert(events.some(({ kind }) => kind === "lost"));
      else {
        assert.equal(events.length, 12_000);
        assert.equal(pathsOf(events, "create.file").size, 12_000);
      }
    });
  });

  test(`${backend}: more than the kernel's queue holds is lost aloud`, settings, async () => {
    await onStage({ backend, events: ["create"] }, async ({ tree, events, observer }) => {
      const limit = limitOf(backend);
      for (let f = 0; f < limit + 2000; f++) touch(join(tree, `${f}`));
      await observer.until(() => events.at(-1)?.kind === "lost", "the loss");
      const lost = events.filter(({ kind }) => kind === "lost");
      assert.equal(lost.length, 1);
      assert.equal(typeof lost[0]!.attributes.reason, "string");
      // All that was queued came before, once.
      const came = pathsOf(events, "create.file");
      assert.equal(came.size, events.length - 1);
      assert(came.size >= limit - 1, `${came.size} of ${limit}`);
      const after = join(tree, "after");
      touch(after);
      await observer.until(() => events.at(-1)?.path === after, "what comes after");
    });
  });

  test(`${backend}: 2,000 renames in one turn`, settings, async () => {
    await onStage({ backend, events: ["rename"] }, async ({ tree, events, settled }) => {
      const made: string[] = [];
      mkdirSync(join(tree, "d"));
      touch(join(tree, "0"));
      await settled(); // the directory is watched
      for (let r = 0; r < 2000; r++) {
        const [from, to] = [
          join(tree, r % 2 ? "d" : "", `${r}`),
          join(tree, r % 2 ? "" : "d", `${r + 1}`),
        ];
        renameSync(from, to);
        made.push(`rename ${from} -> ${to}`);
      }
      await settled();
      assertRenames(events, made);
    });
  });

  test(`${backend}: 2,000 renames by a process while they are read`, settings, async () => {
    await onStage({ backend, events: ["rename"] }, async ({ tree, events, settled }) => {
      mkdirSync(join(tree, "d"));
      for (let f = 0; f < 10; f++) touch(join(tree, `${f}.0`));
      await settled(); // the directory is watched
      const source = `
        import { renameSync } from "node:fs";
        import process from "node:process";
        const tree = process.argv[2];
        for (let r = 0; r < 200; r += 2) {
          for (let f = 0; f < 10; f++) {
            renameSync(tree + "/" + f + "." + r, tree + "/d/" + f + "." + r);
          }
          for (let f = 0; f < 10; f++) {
            renameSync(tree + "/d/" + f + "." + r, tree + "/" + f + "." + (r + 2));
          }
        }`;
      const { status, stderr } = await runScript(source, { args: [tree] });
      assert.equal(status, 0, stderr);
      await settled();
      const made: string[] = [];
      const files = Array.from({ length: 10 }, (_, f) => f);
      for (let r = 0; r < 200; r += 2) {
        made.push(...files.map((f) => `rename ${tree}/${f}.${r} -> ${tree}/d/${f}.${r}`));
        made.push(...files.map((f) => `rename ${tree}/d/${f}.${r} -> ${tree}/${f}.${r + 2}`));
      }
      assertRenames(events, made);
    });
  });

  test(`${backend}: renames back and forth end where the file is`, settings, async () => {
    await onStage({ backend }, async (stage) => {
      const { tree, events, settled } = stage;
      touch(join(tree, "0"));
      await settled();
      // An odd number, and the kernel may merge equal ones in its queue.
      for (let r = 0; r < 2001; r++) renameSync(join(tree, `${r % 2}`), join(tree, `${1 - r % 2}`));
      await settled();
      assert.deepEqual(new Set(events.map(({ kind }) => kind)), new Set(["create.file", "rename"]));
      assertComplete(stage);
    });
  });

  test(`${backend}: so does a directory, and what comes into it`, settings, async () => {
    await onStage({ backend }, async (stage) => {
      const { tree, settled } = stage;
      mkdirSync(join(tree, "0"));
      await settled();
      for (let r = 0; r < 5; r++) renameSync(join(tree, `${r % 2}`), join(tree, `${1 - r % 2}`));
      touch(join(tree, "1", "file"));
      await settled();
      assertComplete(stage);
    });
  });
}

/** The events are exactly these renames. */
function assertRenames(events: readonly WatchEvent[], made: readonly string[]): void {
  const reported = events.map(({ kind, from, path }) => `${kind} ${from} -> ${path}`);
  const at = made.findIndex((rename, i) => rename !== reported[i]);
  if (at >= 0) assert.equal(reported[at], made[at], `event ${at} of ${reported.length}`);
  assert.equal(reported.length, made.length);
}

/** How many records the kernel queues before it says that some are lost. */
function limitOf(backend: BackendName): number {
  return Number(readFileSync(`/proc/sys/fs/${backend}/max_queued_events`, "utf8"));
}

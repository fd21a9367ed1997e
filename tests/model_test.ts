/** Random operations by other processes: the picture that the events give is the tree, round by round. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { pathToFileURL } from "node:url";
import { isInstalled } from "../scripts/real_work/process.ts";
import { Ground } from "./ground.ts";
import { QueueLimit } from "./model/queue_limit.ts";
import { shrink } from "./model/shrink.ts";
import { seed } from "./random.ts";
import { isRoot, moduleFile, runScript } from "./runtime.ts";

/** A way to watch, and by whom. */
interface Way {
  readonly name: string;
  readonly backend: "fanotify" | "inotify" | "poll";
  /** What has to have watched, so that no way is tested in the name of another. */
  readonly by: string;
  readonly asNobody: boolean;
}

const WAYS: readonly Way[] = [
  { name: "inotify", backend: "inotify", by: "inotify watch", asNobody: false },
  {
    name: "a mark on the filesystem",
    backend: "fanotify",
    by: "fanotify filesystem",
    asNobody: false,
  },
  { name: "marks on directories", backend: "fanotify", by: "fanotify inode", asNobody: isRoot },
  { name: "polling", backend: "poll", by: "poll poll", asNobody: false },
];

function reason({ by, asNobody }: Way): string | false {
  if (!isInstalled("cc")) return "cc is not installed";
  if (asNobody && !isInstalled("setpriv")) return "setpriv is not installed";
  return by === "fanotify filesystem" && !isRoot && "needs root";
}

for (const way of WAYS) {
  for (const processes of [1, 2]) {
    const { name, backend, by, asNobody } = way;
    const options = { skip: reason(way), timeout: 120_000 };
    test(`${name}: ${processes} at work`, options, async () => {
      using ground = new Ground();
      const given = { backend, seed, processes, rounds: 24 };
      const args = Object.entries(given).map(([option, value]) => `--${option}=${value}`);
      // Nobody works where its temporary files are, for a filesystem of root's is not nobody's to write.
      if (!asNobody) args.push(`--directory=${ground.path}`);
      const program = pathToFileURL(moduleFile("tests/model/run.ts")).href;
      const { status, stdout, stderr } = await runScript(`import ${JSON.stringify(program)};`, {
        asNobody,
        args,
        deadline: 110_000,
      });
      assert.equal(status, 0, stdout + stderr);
      const seen = JSON.parse(stdout);
      assert.equal(seen.by, by);
      assert.equal(seen.rounds, 24);
      assert(seen.done > 24 && seen.events > seen.done / 4, stdout);
    });
  }
}

/** Who may lower the limits of queues, but has no capability, so that fanotify marks directories. */
const POWERLESS = ["setpriv", "--bounding-set=-all"];

for (const { name, backend, by, asNobody } of WAYS.filter((way) => way.backend !== "poll")) {
  const skip = !isRoot ? "needs root" : reason({ name, backend, by, asNobody });
  test(`${name}: what is lost is recovered`, { skip, timeout: 120_000 }, async () => {
    using ground = new Ground();
    const given = { backend, seed, processes: 2, rounds: 24, overflow: 16, directory: ground.path };
    const program = pathToFileURL(moduleFile("tests/model/run.ts")).href;
    const { status, stdout, stderr } = await runScript(`import ${JSON.stringify(program)};`, {
      under: asNobody ? POWERLESS : [],
      args: Object.entries(given).map(([option, value]) => `--${option}=${value}`),
      deadline: 110_000,
    });
    assert.equal(status, 0, stdout + stderr);
    const seen = JSON.parse(stdout);
    assert.equal(seen.by, by);
    assert.equal(seen.rounds, 24);
    assert(seen.lost > 0, stdout);
  });
}

test(
  "the limit of queues is restored after a SIGKILL",
  { skip: !isRoot && "needs root" },
  async () => {
    const file = "/proc/sys/fs/inotify/max_queued_events";
    const before = readFileSync(file, "utf8");
    const program = pathToFileURL(moduleFile("tests/model/queue_limit.ts")).href;
    const { status, stdout } = await runScript(`
    import { QueueLimit } from ${JSON.stringify(program)};
    import { readFileSync } from "node:fs";
    await QueueLimit.lower("inotify", 4242);
    console.log(readFileSync(${JSON.stringify(file)}, "utf8"));
    process.kill(process.pid, "SIGKILL");
    await new Promise(() => {});
  `);
    assert.notEqual(status, 0);
    assert.equal(stdout.trim(), "4242");
    // Whoever lowers it next waits until it is restored.
    const limit = await QueueLimit.lower("inotify", 4242);
    await limit.restore();
    assert.equal(readFileSync(file, "utf8"), before);
  },
);

test("shrinking leaves what a failure needs", async () => {
  const needed = [3, 17, 18, 60];
  let attempts = 0;
  const fails = (items: readonly number[]) => {
    attempts++;
    return Promise.resolve(needed.every((item) => items.includes(item)));
  };
  const all = Array.from({ length: 64 }, (_, n) => n);
  assert.deepEqual(await shrink(all, fails, () => false), needed);
  assert(attempts < 150, `${attempts} attempts`);
  assert.deepEqual(await shrink(all, fails, () => true), all);
  assert.deepEqual(await shrink([1], () => Promise.resolve(true), () => false), []);
});

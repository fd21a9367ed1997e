/** Random operations by other processes: the picture that the events give is the tree, round by round. */

import assert from "node:assert/strict";
import test from "node:test";
import { pathToFileURL } from "node:url";
import { isInstalled } from "../scripts/real_work/process.ts";
import { Ground } from "./ground.ts";
import { shrink } from "./model/shrink.ts";
import { seed } from "./random.ts";
import { isRoot, moduleFile, runScript } from "./runtime.ts";

/** A way to watch, and by whom. */
interface Way {
  readonly name: string;
  readonly backend: "fanotify" | "inotify";
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
      assert(seen.done > 24 && seen.events > seen.done / 2, stdout);
    });
  }
}

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

/** A path with mounts below it: each is a target of its own, and all follow the path that was asked for. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { watch } from "../mod.ts";
import { isRoot, TemporaryDirectory, within } from "./runtime.ts";

const settings = { skip: isRoot ? false : "needs root", timeout: 60_000 };

/** A directory with a tmpfs at `inner`, and a mount that the kernel makes up at `proc`. */
class Mounts implements Disposable {
  readonly #directory = new TemporaryDirectory();
  readonly path: string = this.#directory.path;

  constructor() {
    for (const [type, name] of [["tmpfs", "inner"], ["proc", "proc"]] as const) {
      mkdirSync(join(this.path, name));
      execFileSync("mount", ["-t", type, "sentinode-test", join(this.path, name)]);
    }
  }

  [Symbol.dispose](): void {
    for (const name of ["inner", "proc"]) execFileSync("umount", [join(this.path, name)]);
    this.#directory[Symbol.dispose]();
  }
}

for (const backend of ["auto", "inotify"] as const) {
  test(`${backend}: globs are relative to the path that was asked for`, settings, async () => {
    using mounts = new Mounts();
    const ignore = ["inner/skipped/**", "skipped/*"];
    await using watcher = watch(mounts.path, { backend, ignore, events: ["create"] });
    await watcher.ready;
    const inner = join(mounts.path, "inner");
    for (const name of ["skipped", "kept"]) {
      mkdirSync(join(inner, name));
      writeFileSync(join(inner, name, "file"), "");
    }
    const seen: string[] = [];
    const all = (async () => {
      for await (const { path } of watcher) {
        seen.push(path.slice(mounts.path.length + 1));
        if (path.endsWith("/kept/file")) break;
      }
    })();
    await within(all, "the last file");
    assert.deepEqual(seen, ["inner/kept", "inner/kept/file"]);
  });
}

test("what is left out goes with the path it is below", settings, async () => {
  using mounts = new Mounts();
  using other = new TemporaryDirectory();
  await using watcher = watch([mounts.path, other.path]);
  await watcher.ready;
  const paths = () => watcher.coverage().map(({ path, by }) => `${by} ${path}`).sort();
  const kept = paths().filter((line) => line.endsWith(other.path));
  assert.equal(paths().filter((line) => line === `none ${mounts.path}/proc`).length, 1);
  assert.equal(paths().length, 4);
  await watcher.remove(mounts.path);
  assert.deepEqual(paths(), kept);
  await watcher.add(join(mounts.path, "inner"));
  await watcher.add(mounts.path); // takes over what is below
  assert.equal(paths().filter((line) => line === `none ${mounts.path}/proc`).length, 1);
  assert.equal(paths().length, 4);
});

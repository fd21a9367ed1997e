/** What is mounted and unmounted in a watched tree, and over a path, while it is watched. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, symlinkSync } from "node:fs";
import test from "node:test";
import { mounts, type WatchEvent, type WatchOptions } from "../mod.ts";
import { settings, testSteps, Watched } from "./mounted_over.ts";
import { isRoot } from "./runtime.ts";

const WAYS: Readonly<Record<string, WatchOptions>> = {
  auto: { backend: "auto" },
  inotify: { backend: "inotify" },
  'auto, missing "wait"': { backend: "auto", missing: "wait" },
  'inotify, missing "wait"': { backend: "inotify", missing: "wait" },
  "auto, followSymlinks": { backend: "auto", followSymlinks: true },
};

for (const [way, options] of Object.entries(WAYS)) testSteps(way, options);

test("the kinds of mounts, in order with what they hide and show", settings, async () => {
  await using watched = new Watched();
  watched.make("w/m/a", "w/n", "out");
  await watched.watch("w", { events: ["mount", "create", "remove"] });
  watched.mount("w/m", "--bind", watched.at("out"));
  assert.deepEqual(await watched.upTo("recovered w/m"), [
    "mount.attach w/m",
    "lost w/m",
    "remove.directory w/m/a",
    "recovered w/m",
  ]);
  execFileSync("mount", ["-o", "remount,bind,ro", watched.at("w/m")]);
  assert.deepEqual(await watched.upTo("mount.change w/m"), ["mount.change w/m"]);
  execFileSync("mount", ["--move", watched.at("w/m"), watched.at("w/n")]);
  watched.moved("w/m", "w/n");
  await watched.upTo("mount.move w/n");
  await watched.upTo("create.directory w/m/a");
  await watched.upTo("recovered w/m");
  await watched.covers("w", "w/n");
  watched.unmount("w/n");
  assert.deepEqual(await watched.upTo("recovered w/n"), [
    ...["mount.detach w/n", "lost w/n", "recovered w/n"],
  ]);
});

test(
  "the kinds of mounts alone, as mounts() tells them, and none of others",
  settings,
  async () => {
    await using watched = new Watched();
    watched.make("w/m", "out");
    symlinkSync(watched.at("w"), watched.at("link"));
    await using stream = mounts();
    await stream.ready;
    await watched.watch("link", { events: ["mount.attach", "mount.detach"] });
    const events = stream[Symbol.asyncIterator]();
    const asMounts: WatchEvent[] = [];
    const nextMount = async () => {
      for (;;) {
        const { value } = await events.next();
        if (value.path === watched.at("w/m")) return void asMounts.push(value);
      }
    };
    watched.mount("out");
    watched.mount("w/m");
    await nextMount(); // else it may be gone before it is looked at
    await watched.upTo("mount.attach link/m");
    watched.unmount("w/m");
    watched.unmount("out");
    await nextMount();
    await watched.upTo("mount.detach link/m");
    const told = watched.all.filter(({ kind }) => kind.startsWith("mount."));
    const same = ({ kind, backend, attributes }: WatchEvent) => ({ kind, backend, attributes });
    assert.deepEqual(told.map(same), asMounts.map(same));
    assert.deepEqual(told.map(({ path }) => path), Array(2).fill(watched.at("link/m")));
  },
);

for (const backend of ["auto", "inotify"] as const) {
  test(`${backend}: a filesystem mounted and unmounted inside`, settings, async () => {
    await using watched = new Watched();
    watched.make("w/d", "w/m/a");
    watched.touch("w/m/a/f");
    await watched.watch("w", { backend });
    for (let round = 0; round < 3; round++) {
      watched.mount("w/m");
      assert.deepEqual(await watched.upTo("recovered w/m"), [
        "lost w/m",
        "remove.file w/m/a/f",
        "remove.directory w/m/a",
        "recovered w/m",
      ]);
      await watched.covers("w", "w/m");
      watched.make("w/m/x");
      await watched.upTo("create.directory w/m/x");
      watched.touch("w/m/x/y");
      assert.deepEqual(await watched.upTo("create.file w/m/x/y"), ["create.file w/m/x/y"]);
      watched.unmount("w/m");
      assert.deepEqual(await watched.upTo("recovered w/m"), [
        "lost w/m",
        "remove.file w/m/x/y",
        "remove.directory w/m/x",
        "create.directory w/m/a",
        "create.file w/m/a/f",
        "recovered w/m",
      ]);
      await watched.covers("w");
      watched.touch(`w/d/${round}`);
      assert.deepEqual(await watched.upTo(`create.file w/d/${round}`), [
        `create.file w/d/${round}`,
      ]);
    }
  });

  test(`${backend}: what nobody is to repair is said to be lost`, settings, async () => {
    await using watched = new Watched();
    watched.make("w/d", "w/m/a");
    await watched.watch("w", { backend, recover: "signal" });
    watched.mount("w/m");
    assert.deepEqual(await watched.upTo("lost w/m"), ["lost w/m"]);
    await watched.covers("w", "w/m");
    watched.touch("w/m/f");
    assert.deepEqual(await watched.upTo("create.file w/m/f"), ["create.file w/m/f"]);
    watched.unmount("w/m");
    assert.deepEqual(await watched.upTo("lost w/m"), ["lost w/m"]);
    await watched.covers("w");
    watched.touch("w/m/a/f");
    assert.deepEqual(await watched.upTo("create.file w/m/a/f"), ["create.file w/m/a/f"]);
  });

  test(
    `${backend}: one that was mounted before, and one that the kernel makes up`,
    settings,
    async () => {
      await using watched = new Watched();
      watched.make("w/d", "w/m/a", "w/proc/a");
      watched.mount("w/m");
      await watched.watch("w", { backend });
      await watched.covers("w", "w/m");
      watched.unmount("w/m");
      assert.deepEqual(await watched.upTo("recovered w/m"), [
        "lost w/m",
        "create.directory w/m/a",
        "recovered w/m",
      ]);
      await watched.covers("w");
      watched.touch("w/m/a/f");
      assert.deepEqual(await watched.upTo("create.file w/m/a/f"), ["create.file w/m/a/f"]);
      watched.mount("w/proc", "-t", "proc", "sentinode-test");
      assert.deepEqual(await watched.upTo("recovered w/proc"), [
        "lost w/proc",
        "remove.directory w/proc/a",
        "recovered w/proc",
      ]);
      await watched.covers("not w/proc", "w");
      watched.touch("w/d/f");
      assert.deepEqual(await watched.upTo("create.file w/d/f"), ["create.file w/d/f"]);
    },
  );

  test(`${backend}: a directory bound to another place inside`, settings, async () => {
    await using watched = new Watched();
    watched.make("w/d", "w/m");
    await watched.watch("w", { backend });
    watched.mount("w/m", "--bind", watched.at("w/d"));
    await watched.upTo("recovered w/m");
    watched.touch("w/d/both");
    watched.touch("w/end");
    const told = await watched.upTo("create.file w/end");
    assert.deepEqual(told.sort(), [
      "create.file w/d/both",
      "create.file w/end",
      "create.file w/m/both",
    ]);
  });

  test(`${backend}: something is mounted above a path that is waited for`, settings, async () => {
    await using watched = new Watched();
    watched.make("a/b/c");
    await watched.watch("a/b/c", { backend, missing: "wait" });
    watched.mount("a");
    assert.deepEqual(await watched.upTo("rename.out a/b/c"), ["rename.out a/b/c"]);
    watched.make("a/b/c/d");
    assert.deepEqual(await watched.upTo("create.directory a/b/c/d"), [
      "create.directory a/b/c",
      "create.directory a/b/c/d",
    ]);
    watched.unmount("a");
    const told = await watched.upTo("create.directory a/b/c");
    assert.deepEqual(told, ["rename.out a/b/c", "create.directory a/b/c"]);
  });

  test(`${backend}: the watched path itself is unmounted`, settings, async () => {
    await using watched = new Watched();
    watched.make("m/below");
    watched.mount("m");
    watched.make("m/a");
    await watched.watch("m", { backend });
    watched.unmount("m");
    assert.deepEqual(await watched.upTo("recovered m"), [
      "lost m",
      "remove.directory m/a",
      "create.directory m/below",
      "recovered m",
    ]);
    await watched.covers("m");
  });

  test(`${backend}: something is mounted above the watched path`, settings, async () => {
    await using watched = new Watched();
    watched.make("m/a/b");
    await watched.watch("m/a", { backend });
    watched.mount("m");
    assert.deepEqual(await watched.upTo("recovered m/a"), [
      "lost m/a",
      "remove.directory m/a/b",
      "remove.directory m/a",
      "recovered m/a",
    ]);
    await watched.isGap("m/a", /cannot be reached/);
    watched.unmount("m");
    assert.deepEqual(await watched.upTo("recovered m/a"), [
      "lost m/a",
      "create.directory m/a",
      "create.directory m/a/b",
      "recovered m/a",
    ]);
    await watched.covers("m/a");
  });
}

const hasMountEvents = isRoot && await tellsOfMounts();

test("mounts elsewhere cost a watcher no look at the mount table", {
  skip: hasMountEvents ? false : "needs root, and Linux 6.15",
  timeout: 120_000,
}, async () => {
  await using watched = new Watched();
  const name = "n".repeat(200);
  watched.make("w/m", `out/${name}`, `else/${name}`);
  // A mark on the filesystem would be told what others do there.
  await watched.watch("w", { backend: "inotify" });
  watched.mount("w/m");
  await watched.upTo("recovered w/m");
  await using stream = mounts({ events: ["mount.attach"] });
  await stream.ready;
  // The kernel counts what each thread reads, of whatever file; for a process it adds what its children read.
  const read = () =>
    readdirSync("/proc/self/task").map((thread) =>
      Number(/^rchar: (\d+)/.exec(readFileSync(`/proc/self/task/${thread}/io`, "utf8"))![1])
    ).reduce((sum, bytes) => sum + bytes);
  const tableSize = () => readFileSync("/proc/self/mountinfo").length;
  const [out, elsewhere] = [watched.at(`out/${name}`), watched.at(`else/${name}`)];
  watched.mount("out", "-t", "tmpfs", "sentinode-test");
  try {
    const [before, listed] = [read(), tableSize()];
    execFileSync("sh", [
      "-ec",
      'mkdir -p "$1"; i=0; while [ $i -lt 300 ]; do mount --bind "$2" "$1"; i=$((i + 1)); done',
      "sh",
      out,
      elsewhere,
    ]);
    let count = 0;
    for await (const { path } of stream) if (path === out && ++count === 300) break;
    watched.touch("w/m/f");
    await watched.upTo("create.file w/m/f");
    const cost = read() - before - listed;
    // 24 bytes of the event and as many of the id of the mount, in the two groups that are told: the watcher's and the stream's.
    assert(cost < tableSize() / 2, `${cost} bytes were read; the table has ${tableSize()}`);
  } finally {
    watched.unmount("out", "--recursive");
  }
});

async function tellsOfMounts(): Promise<boolean> {
  await using stream = mounts();
  await stream.ready;
  return stream.stats().way === "fanotify";
}

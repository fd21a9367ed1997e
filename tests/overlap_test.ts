/** Several watchers in one process on the same ground: each sees its own, once, whatever the others do. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import type { WatchOptions } from "../mod.ts";
import { Ground, Seen } from "./ground.ts";
import { aWhile, isRoot, TemporaryDirectory, testAsNobody } from "./runtime.ts";

const WAYS: readonly (readonly [name: string, options: WatchOptions])[] = [
  ["fanotify", { backend: "fanotify" }],
  ["inotify", { backend: "inotify" }],
];

for (const [name, way] of WAYS) {
  const options: WatchOptions = { ...way, events: ["create", "rename", "remove"] };
  const file = (root: string, path: string) => writeFileSync(join(root, path), "");

  for (const first of ["inner", "outer"]) {
    test(`${name}: a watch within a watch, the ${first} first`, async () => {
      using ground = new Ground();
      const { path: root } = ground;
      mkdirSync(join(root, "x/y"), { recursive: true });
      const open = (which: string) =>
        new Seen(root, which === "inner" ? join(root, "x") : root, options);
      await using one = open(first);
      await one.watcher.ready;
      await using other = open(first === "inner" ? "outer" : "inner");
      await other.watcher.ready;
      const [inner, outer] = first === "inner" ? [one, other] : [other, one];
      const act = (n: number) => {
        for (const at of ["", "x/", "x/y/"]) file(root, `${at}f${n}`);
        file(root, `x/end${n}`);
      };
      act(1);
      assert.deepEqual(await inner.upTo("x/end1"), ["create.file x/f1", "create.file x/y/f1"]);
      const all = (n: number) =>
        [`f${n}`, `x/f${n}`, `x/y/f${n}`].map((path) => `create.file ${path}`);
      assert.deepEqual(await outer.upTo("x/end1"), all(1));
      await inner.watcher.close();
      act(2);
      assert.deepEqual(await outer.upTo("x/end2"), all(2));
    });
  }

  test(`${name}: the outer closed, the inner goes on`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    mkdirSync(join(root, "x/y"), { recursive: true });
    await using inner = new Seen(root, join(root, "x"), options);
    await inner.watcher.ready;
    await using outer = new Seen(root, root, options);
    await outer.watcher.ready;
    await outer.watcher.close();
    file(root, "x/y/f");
    mkdirSync(join(root, "x/new"));
    file(root, "x/end");
    assert.deepEqual(await inner.upTo("x/end"), ["create.file x/y/f", "create.directory x/new"]);
  });

  test(`${name}: one watcher of an inner and its outer path`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    mkdirSync(join(root, "x/y"), { recursive: true });
    await using both = new Seen(root, [join(root, "x"), root], options);
    await both.watcher.ready;
    file(root, "x/y/f");
    file(root, "g");
    file(root, "end");
    assert.deepEqual(await both.upTo("end"), ["create.file x/y/f", "create.file g"]);
  });

  test(`${name}: a watch of what has just appeared in a watch`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    await using outer = new Seen(root, root, options);
    await outer.watcher.ready;
    mkdirSync(join(root, "x"));
    file(root, "x/old");
    await using inner = new Seen(root, join(root, "x"), options);
    await inner.watcher.ready;
    for (const path of ["x/f", "x/end", "end"]) file(root, path);
    // What is found by looking comes in the order of the directory.
    const files = ["create.file x/end", "create.file x/f", "create.file x/old"];
    const all = await outer.upTo("end");
    assert.deepEqual([all[0], ...all.slice(1).sort()], ["create.directory x", ...files]);
    // What was made a moment before it was armed may still have been queued.
    const later = (await inner.upTo("x/end")).filter((line) => line !== "create.file x/old");
    assert.deepEqual(later, ["create.file x/f"]);
  });

  test(`${name}: a reader that stands still holds up no newcomer`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    for (const name of ["a", "b"]) mkdirSync(join(root, name));
    await using still = new Seen(root, join(root, "a"), options);
    await still.watcher.ready;
    // In slices, for the kernel's queue holds no more than a reader may leave unread.
    for (let n = 0; n < 17_000; n++) {
      file(root, `a/${n}`);
      while (n % 1000 === 999 && still.watcher.stats().events < Math.min(n + 1, 16_384)) {
        await aWhile();
      }
    }
    await using other = new Seen(root, join(root, "b"), options);
    await other.watcher.ready;
    file(root, "b/f");
    file(root, "b/end");
    assert.deepEqual(await other.upTo("b/end"), ["create.file b/f"]);
    await still.watcher.close();
    file(root, "b/g");
    file(root, "b/end2");
    assert.deepEqual(await other.upTo("b/end2"), ["create.file b/g"]);
  });

  test(`${name}: the same tree twice, one closed in the midst of it`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    mkdirSync(join(root, "d"));
    await using first = new Seen(root, root, options);
    await using second = new Seen(root, root, options);
    await Promise.all([first.watcher.ready, second.watcher.ready]);
    const all: string[] = [];
    const act = (n: number) => {
      file(root, `d/${n}`);
      mkdirSync(join(root, `d/d${n}`));
      renameSync(join(root, `d/${n}`), join(root, `${n}`));
      all.push(`create d/${n}`, `create.directory d/d${n}`, `rename ${n}`);
    };
    // A file that was renamed before anybody looked is of no type any more.
    const brief = (lines: readonly string[]) => lines.map((line) => line.replace(".file", ""));
    for (let n = 0; n < 100; n++) act(n);
    file(root, "end1");
    assert.deepEqual(brief(await first.upTo("end1")), all);
    for (let n = 100; n < 200; n++) act(n);
    const closed = first.watcher.close();
    for (let n = 200; n < 300; n++) act(n);
    await closed;
    for (let n = 300; n < 400; n++) act(n);
    file(root, "end2");
    all.splice(300, 0, "create end1");
    assert.deepEqual(brief(await second.upTo("end2")), all);
  });

  test(`${name}: the same tree twice, each without what the other one has`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    for (const path of ["a/d", "b/d", "c"]) mkdirSync(join(root, path), { recursive: true });
    for (const path of ["a/d/f", "a/old", "b/old"]) file(root, path);
    await using noA = new Seen(root, root, { ...options, ignore: "a" });
    await using noB = new Seen(root, root, {
      ...options,
      ignore: "b",
      events: ["create", "rename"],
    });
    await Promise.all([noA.watcher.ready, noB.watcher.ready]);
    file(root, "a/x");
    file(root, "b/x");
    for (const path of ["a/old", "b/old"]) rmSync(join(root, path));
    file(root, "end1");
    assert.deepEqual(await noA.upTo("end1"), ["create.file b/x", "remove b/old"]);
    assert.deepEqual(await noB.upTo("end1"), ["create.file a/x"]);
    // What one has known all the time comes with its contents for the other.
    renameSync(join(root, "a"), join(root, "c/a2"));
    file(root, "c/a2/d/g");
    file(root, "end2");
    const comes = ["create.directory c/a2/d", "create.file c/a2/d/f", "create.file c/a2/d/g"];
    const [first, ...rest] = await noA.upTo("end2");
    assert.equal(first, "rename.in c/a2");
    assert.deepEqual(rest.sort(), [...comes, "create.file c/a2/x"]);
    assert.deepEqual(await noB.upTo("end2"), ["rename c/a2", "create.file c/a2/d/g"]);
    // And leaves for the one, while the other goes on.
    renameSync(join(root, "c/a2"), join(root, "c/b"));
    file(root, "c/b/d/h");
    file(root, "end3");
    assert.deepEqual(await noA.upTo("end3"), ["rename c/b", "create.file c/b/d/h"]);
    assert.deepEqual(await noB.upTo("end3"), ["rename.out c/a2"]);
    await noA.watcher.close();
    file(root, "c/b/d/i");
    file(root, "c/i");
    file(root, "end4");
    assert.deepEqual(await noB.upTo("end4"), ["create.file c/i"]);
  });
}

test("the same tree by each backend, one after the other closed", async () => {
  using ground = new Ground();
  const { path: root } = ground;
  mkdirSync(join(root, "d"));
  const backends = ["inotify", "poll", "fanotify", "inotify", "fanotify", "poll"] as const;
  const all = backends.map((backend) => new Seen(root, root, { backend, events: ["create"] }));
  try {
    await Promise.all(all.map(({ watcher }) => watcher.ready));
    for (let n = 0; n < all.length; n++) {
      const closed = all[n - 1]?.watcher.close();
      mkdirSync(join(root, `d/${n}`));
      writeFileSync(join(root, `d/${n}/f`), "");
      for (const seen of all.slice(n)) {
        // One told twice would be the next round's.
        const told = [await seen.next(), await seen.next()];
        assert.deepEqual(told.map(({ kind, path }) => [kind, path]), [
          ["create.directory", join(root, `d/${n}`)],
          ["create.file", join(root, `d/${n}/f`)],
        ], `round ${n}, ${seen.watcher.coverage()[0]!.backend}`);
      }
      await closed;
    }
  } finally {
    for (const { watcher } of all) await watcher.close();
  }
});

// As root a mark on the filesystem covers everything; nobody gets a mark a directory.
if (isRoot) {
  test("all of this as nobody", { timeout: 120_000 }, async () => {
    await testAsNobody("tests/overlap_test.ts", 17);
  });
}

const settings = { skip: isRoot ? false : "needs root", timeout: 60_000 };

test("fanotify: the same directory through another mount", settings, async () => {
  using ground = new Ground();
  using other = new TemporaryDirectory();
  const { path: root } = ground;
  mkdirSync(join(root, "x"));
  execFileSync("mount", ["--bind", join(root, "x"), other.path]);
  try {
    await using bound = new Seen(other.path, other.path, { events: ["create"] });
    await bound.watcher.ready;
    await using whole = new Seen(root, root, { events: ["create"] });
    await whole.watcher.ready;
    mkdirSync(join(root, "x/d"));
    writeFileSync(join(root, "x/d/f"), "");
    writeFileSync(join(root, "x/end"), "");
    assert.deepEqual(await bound.upTo("end"), ["create.directory d", "create.file d/f"]);
    assert.deepEqual(await whole.upTo("x/end"), ["create.directory x/d", "create.file x/d/f"]);
  } finally {
    execFileSync("umount", ["--lazy", other.path]);
  }
});

test("fanotify: directories that come and go outside hold nothing up", settings, async () => {
  using ground = new Ground();
  const { path: root } = ground;
  for (const name of ["in", "out"]) mkdirSync(join(root, name));
  await using inside = new Seen(root, join(root, "in"), { events: ["create"] });
  await inside.watcher.ready;
  for (let n = 0; n < 200; n++) {
    mkdirSync(join(root, `out/${n}`));
    writeFileSync(join(root, `out/${n}/f`), "");
    rmSync(join(root, `out/${n}`), { recursive: true });
  }
  const start = performance.now();
  writeFileSync(join(root, "in/end"), "");
  assert.deepEqual(await inside.upTo("in/end"), []);
  assert(performance.now() - start < 1000, `after ${performance.now() - start} ms`);
});

test("fanotify: directories that others are renamed over hold nothing up", settings, async () => {
  using ground = new Ground();
  const { path: root } = ground;
  for (const name of ["in", "out"]) mkdirSync(join(root, name));
  for (let n = 0; n < 20; n++) mkdirSync(join(root, `out/${n}`));
  await using inside = new Seen(root, join(root, "in"), { events: ["create"] });
  await inside.watcher.ready;
  for (let n = 0; n < 20; n++) {
    mkdirSync(join(root, "out/new"));
    writeFileSync(join(root, `out/${n}/f`), "");
    rmSync(join(root, `out/${n}/f`));
    renameSync(join(root, "out/new"), join(root, `out/${n}`));
  }
  const start = performance.now();
  writeFileSync(join(root, "in/end"), "");
  assert.deepEqual(await inside.upTo("in/end"), []);
  assert(performance.now() - start < 1500, `after ${performance.now() - start} ms`);
});

test(
  "fanotify: what happened in a directory before another one was renamed over it",
  settings,
  async () => {
    using ground = new Ground();
    const { path: root } = ground;
    for (const name of ["in", "in/old", "in/new"]) mkdirSync(join(root, name));
    writeFileSync(join(root, "in/old/f"), "");
    await using inside = new Seen(root, join(root, "in"), {});
    await inside.watcher.ready;
    rmSync(join(root, "in/old/f"));
    renameSync(join(root, "in/new"), join(root, "in/old"));
    writeFileSync(join(root, "in/end"), "");
    assert.deepEqual(await inside.upTo("in/end"), ["remove in/old/f", "rename in/old"]);
  },
);

test("fanotify: a directory's own marks beside the filesystem's", settings, async () => {
  using ground = new Ground();
  const { path: root } = ground;
  mkdirSync(join(root, "a"));
  writeFileSync(join(root, "a/f"), "");
  const own: WatchOptions = {
    backend: "fanotify",
    recursive: false,
    events: ["create", "access.open"],
  };
  const whole = new Seen(root, root, { events: ["create"] });
  await whole.watcher.ready;
  writeFileSync(join(root, "a/known"), "");
  assert.deepEqual(await whole.upTo("a/known"), []);
  await using directory = new Seen(root, join(root, "a"), own);
  await using single = new Seen(root, join(root, "a/f"), own);
  await Promise.all([directory.watcher.ready, single.watcher.ready]);
  for (const n of [1, 2]) {
    readFileSync(join(root, "a/f"));
    writeFileSync(join(root, `a/end${n}`), "");
    assert.deepEqual(
      (await directory.upTo(`a/end${n}`)).filter((line) => line.endsWith("a/f")),
      ["access.open a/f"],
    );
    renameSync(join(root, `a/end${n}`), join(root, `a/${n}`));
    readFileSync(join(root, "a/f"));
    single.watcher.inject({ kind: "user.end", path: join(root, `end${n}`) });
    const opens: string[] = await single.upTo(`end${n}`);
    assert(opens.every((line) => line === "access.open a/f"), opens.join());
    assert.equal(directory.watcher.coverage()[0]!.watches, 1);
    await whole.watcher.close();
  }
});

test("fanotify: a mount's accesses have the path of now", settings, async () => {
  using ground = new Ground();
  const { path: root } = ground;
  mkdirSync(join(root, "a"));
  writeFileSync(join(root, "a/f"), "");
  await using seen = new Seen(root, root, { scope: "mount", events: ["access.open"] });
  await seen.watcher.ready;
  readFileSync(join(root, "a/f"));
  writeFileSync(join(root, "end1"), "");
  assert.deepEqual(await seen.upTo("end1"), ["access.open a/f"]);
  renameSync(join(root, "a"), join(root, "b"));
  readFileSync(join(root, "b/f"));
  writeFileSync(join(root, "end2"), "");
  assert.deepEqual(await seen.upTo("end2"), ["access.open b/f"]);
});

/** Losses, and their repair: what the events say in the end is what is on disk. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import { watch, type Watcher, type WatchEvent, type WatchOptions } from "../mod.ts";
import { Model } from "../scripts/real_work/model.ts";
import { exchange } from "./exchange.ts";
import { Ground } from "./ground.ts";
import { isInstalled } from "../scripts/real_work/process.ts";
import {
  aWhile,
  isRoot,
  moduleFile,
  TemporaryDirectory,
  testAsNobody,
  untilLater,
  within,
} from "./runtime.ts";

/** More than the kernel's queue holds (16,384 by default). */
const MANY = 17_000;

/** A watcher whose events go into a model of the tree. */
class Followed implements AsyncDisposable {
  readonly watcher: Watcher;
  readonly events: WatchEvent[] = [];
  readonly wrong: string[] = [];
  readonly #model: Model;
  #wake = () => {};

  constructor(path: string, options: WatchOptions) {
    this.#model = Model.ofDisk(path, false);
    this.watcher = watch(path, options);
  }

  /** Begins to read. */
  follow(): void {
    void (async () => {
      for await (const event of this.watcher) {
        this.events.push(event);
        if (event.kind !== "lost") {
          const wrong = this.#model.apply(event);
          if (wrong !== undefined) this.wrong.push(`${this.events.length}: ${wrong}`);
        }
        this.#wake();
      }
    })();
  }

  /** Waits for an event, from the `from`th on. */
  async until(what: string, is: (event: WatchEvent) => boolean, from = 0): Promise<number> {
    for (let at = from;;) {
      for (; at < this.events.length; at++) if (is(this.events[at]!)) return at;
      await within(new Promise<void>((resolve) => this.#wake = resolve), what, 10_000);
    }
  }

  differences(): string[] {
    return this.#model.differences();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.watcher.close();
  }
}

function touch(directory: string, from: number, to: number): void {
  for (let n = from; n < to; n++) writeFileSync(join(directory, `n${n}`), "x");
}

for (const backend of ["inotify", "fanotify"] as const) {
  const settings = { timeout: 120_000 };

  test(`${backend}: an overflow is repaired`, settings, async () => {
    using ground = new Ground();
    const root = ground.path;
    const at = (path: string) => join(root, path);
    for (const path of ["busy", "old/sub", "away"]) mkdirSync(at(path), { recursive: true });
    for (const path of ["old/f", "old/sub/g", "one", "two", "gone"]) writeFileSync(at(path), "");
    await untilLater();
    await using followed = new Followed(root, { backend });
    await followed.watcher.ready;
    followed.follow();
    while (followed.watcher.stats().names < 9) await aWhile();
    touch(at("busy"), 0, MANY);
    rmSync(at("gone"));
    renameSync(at("old"), at("away/new"));
    renameSync(at("one"), at("busy/uno"));
    writeFileSync(at("two"), "data");
    mkdirSync(at("made/deep"), { recursive: true });
    writeFileSync(at("made/deep/f"), "");
    const end = await followed.until("recovered", ({ kind }) => kind === "recovered");
    const start = followed.events.findIndex(({ kind }) => kind === "lost");
    assert(start >= 0 && start < end);
    assert.match(String(followed.events[start]!.attributes.reason), /queue was full/);
    const told = followed.events.slice(start + 1, end)
      .filter(({ path }) => !path.startsWith(`${at("busy")}/n`))
      .map(({ kind, from, path, synthetic }) =>
        [synthetic ? "+" : "", kind, " ", ...(from ? [from, " -> "] : []), path].join("")
          .replaceAll(`${root}/`, "")
      );
    for (
      const line of [
        "+remove.file gone",
        "+rename old -> away/new",
        "+rename one -> busy/uno",
        "+modify.data two",
        "+create.directory made",
        "+create.directory made/deep",
        "+create.file made/deep/f",
      ]
    ) {
      assert.equal(told.filter((one) => one === line).length, 1, `${line} in ${told.join(", ")}`);
    }
    // What was told before is watched where it is now.
    const from = followed.events.length;
    for (const path of ["made/deep/end", "away/new/sub/end", "busy/end"]) {
      writeFileSync(at(path), "");
      const index = await followed.until(path, (event) => event.path === at(path), from);
      assert.equal(followed.events[index]!.synthetic, undefined);
    }
    assert.deepEqual(followed.wrong, []);
    assert.deepEqual(followed.differences(), []);
  });

  test(`${backend}: an overflow while another one is repaired`, settings, async () => {
    using ground = new Ground();
    const root = ground.path;
    mkdirSync(join(root, "a"));
    await using followed = new Followed(root, { backend });
    await followed.watcher.ready;
    followed.follow();
    touch(join(root, "a"), 0, MANY);
    // In the middle of what the repair tells.
    await followed.until("a difference", ({ synthetic }) => synthetic === true);
    renameSync(join(root, "a"), join(root, "b"));
    touch(join(root, "b"), MANY, 2 * MANY);
    for (let n = 0; n < 100; n++) rmSync(join(root, `b/n${n}`));
    writeFileSync(join(root, "end"), "");
    await followed.until("end", ({ path }) => path === join(root, "end"));
    const losses = () => followed.events.filter(({ kind }) => kind === "lost").length;
    // What the queue holds is told behind it.
    await followed.until("recovered", ({ kind }) => kind === "recovered");
    for (let n = 0; followed.differences().length > 0; n++) {
      const marker = join(root, `end${n}`);
      writeFileSync(marker, "");
      await followed.until(marker, ({ path }) => path === marker);
    }
    assert(losses() >= 2, `${losses()} losses`);
    assert.deepEqual(followed.differences(), []);
  });

  test(`${backend}: an exchange while an overflow is repaired`, settings, async () => {
    using ground = new Ground();
    const root = ground.path;
    const at = (path: string) => join(root, path);
    for (const name of ["a", "b", "c"]) mkdirSync(at(name));
    for (const name of ["a/f", "b/g"]) writeFileSync(at(name), "");
    await using followed = new Followed(root, { backend });
    await followed.watcher.ready;
    followed.follow();
    exchange(at("a"), at("b"));
    touch(at("c"), 0, MANY);
    exchange(at("a"), at("b"));
    await followed.until("a difference", ({ synthetic }) => synthetic === true);
    exchange(at("a"), at("b"));
    writeFileSync(at("end"), "");
    await followed.until("end", ({ path }) => path === at("end"));
    let last = await followed.until("recovered", ({ kind }) => kind === "recovered");
    while (followed.differences().length > 0) {
      last = await followed.until("recovered", ({ kind }) => kind === "recovered", last + 1);
    }
  });

  test(`${backend}: what a slow consumer missed beside a fast one`, settings, async () => {
    using ground = new Ground();
    const root = ground.path;
    await using fast = new Followed(root, { backend });
    await using slow = new Followed(root, { backend });
    await Promise.all([fast.watcher.ready, slow.watcher.ready]);
    fast.follow();
    for (let round = 0; round < 6; round++) {
      touch(root, round * 5000, (round + 1) * 5000);
      const last = join(root, `n${(round + 1) * 5000 - 1}`);
      await fast.until(last, ({ path }) => path === last);
    }
    slow.follow();
    await slow.until("recovered", ({ kind }) => kind === "recovered");
    assert(slow.watcher.stats().dropped > 0);
    assert.deepEqual(slow.differences(), []);
    assert.deepEqual(slow.wrong, []);
    assert.equal(fast.watcher.stats().losses, 0);
    assert.deepEqual([...fast.wrong, ...fast.differences()], []);
  });

  const million = { ...settings, skip: isInstalled("cc") ? false : "cc is not installed" };
  const [many, rounds] = isRoot ? ["a million", 50] : ["200,000", 10];
  test(`${backend}: an overflow of ${many} events`, million, async () => {
    using ground = new Ground();
    using scratch = new TemporaryDirectory();
    const root = ground.path;
    const at = (path: string) => join(root, path);
    for (let n = 0; n < 100; n++) mkdirSync(at(`${n}`));
    mkdirSync(at("kept"));
    touch(at("kept"), 0, 20_000);
    const fill = join(scratch.path, "fill");
    execFileSync("cc", ["-O2", "-o", fill, moduleFile("scripts/bench/fill.c")]);
    await untilLater();
    await using followed = new Followed(root, { backend });
    await followed.watcher.ready;
    followed.follow();
    while (followed.watcher.stats().names < 20_101) await aWhile();
    const before = process.memoryUsage.rss();
    // Nothing is read meanwhile. 10,000 files each time, made and removed: two events each.
    for (let round = 0; round < rounds; round++) execFileSync(fill, [root, "10000"]);
    touch(at("kept"), 20_000, 20_500);
    for (let n = 0; n < 500; n++) rmSync(at(`kept/n${n}`));
    renameSync(at("kept"), at("moved"));
    await followed.until("recovered", ({ kind }) => kind === "recovered");
    const grown = (process.memoryUsage.rss() - before) / 2 ** 20;
    assert.deepEqual(followed.wrong, []);
    assert.deepEqual(followed.differences(), []);
    // The first of the million are in the queue, and what becomes of their files is found, too.
    const told = followed.events.filter(({ synthetic, path }) =>
      synthetic && !path.includes("/file-")
    ).map(({ kind }) => kind);
    const count = (wanted: string) => told.filter((kind) => kind === wanted).length;
    assert.deepEqual([count("rename"), count("create.file"), count("remove.file")], [1, 500, 500]);
    // What the kernel queued is kept here, and what a collector of garbage leaves lying; a million events are 219 MiB and
    // more (measured).
    assert(grown < 128, `${grown} MiB`);
  });

  test(
    `${backend}: with recover "signal" the loss alone is told, and all is watched`,
    settings,
    async () => {
      using ground = new Ground();
      const root = ground.path;
      mkdirSync(join(root, "a"));
      await using followed = new Followed(root, { backend, recover: "signal" });
      await followed.watcher.ready;
      followed.follow();
      touch(join(root, "a"), 0, MANY);
      mkdirSync(join(root, "new/deep"), { recursive: true });
      await followed.until("lost", ({ kind }) => kind === "lost");
      for (let n = 0;; n++) {
        // The directories are armed a moment later; nothing tells when.
        const name = join(root, `new/deep/${n}`);
        writeFileSync(name, "");
        writeFileSync(join(root, `end${n}`), "");
        await followed.until("end", ({ path }) => path === join(root, `end${n}`));
        if (followed.events.some(({ path }) => path === name)) break;
      }
      assert(!followed.events.some(({ kind, synthetic }) => kind === "recovered" || synthetic));
    },
  );
}

if (isRoot) {
  test("all of this as nobody", { timeout: 240_000 }, async () => {
    await testAsNobody("tests/recovery_test.ts", 13, 200_000);
  });
}

test("symlinks are told as such", { timeout: 60_000 }, async () => {
  using ground = new Ground();
  const root = ground.path;
  mkdirSync(join(root, "a"));
  await using followed = new Followed(root, { backend: "inotify" });
  await followed.watcher.ready;
  followed.follow();
  touch(join(root, "a"), 0, MANY);
  symlinkSync("a", join(root, "link"));
  await followed.until("recovered", ({ kind }) => kind === "recovered");
  const link = followed.events.filter(({ path }) => path === join(root, "link"));
  assert.deepEqual(link.map(({ kind }) => kind), ["create.symlink"]);
});

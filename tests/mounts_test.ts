/** What is mounted and unmounted in a watched tree, and over a path, while it is watched. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { watch, type WatchOptions } from "../mod.ts";
import { Observer } from "../scripts/real_work/observer.ts";
import { Ground } from "./ground.ts";
import { isRoot } from "./runtime.ts";

const settings = { skip: isRoot ? false : "needs root", timeout: 60_000 };

/** A ground with a watcher, and mounts in it. */
class Watched implements AsyncDisposable {
  readonly #ground = new Ground();
  readonly root: string = this.#ground.path;
  readonly #mounts: string[] = [];
  #observer: Observer | undefined;

  at(path: string): string {
    return join(this.root, path);
  }

  make(...paths: readonly string[]): void {
    for (const path of paths) mkdirSync(this.at(path), { recursive: true });
  }

  touch(path: string): void {
    closeSync(openSync(this.at(path), "a"));
  }

  mount(path: string, ...args: readonly string[]): void {
    const options = args.length > 0 ? args : ["-t", "tmpfs", "sentinode-test"];
    execFileSync("mount", [...options, this.at(path)]);
    this.#mounts.push(path);
  }

  /** A mark on a filesystem keeps it busy. */
  unmount(path: string): void {
    execFileSync("umount", ["--lazy", this.at(path)]);
    this.#mounts.splice(this.#mounts.indexOf(path), 1);
  }

  async watch(path: string, options: WatchOptions): Promise<void> {
    this.#observer = new Observer(watch(this.at(path), options));
    await this.#observer.watcher.ready;
  }

  /** Waits until these paths are covered, or said not to be. */
  async covers(...paths: readonly string[]): Promise<void> {
    const coverage = () =>
      this.#observer!.watcher.coverage().map(({ path, backend }) =>
        `${backend === "none" ? "not " : ""}${path.slice(this.root.length + 1)}`
      ).sort().join();
    const deadline = performance.now() + 10_000;
    while (coverage() !== paths.join() && performance.now() < deadline) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(coverage(), paths.join());
  }

  /** Waits until a gap is told of. */
  async isGap(path: string, reason: RegExp): Promise<void> {
    const gaps = () => this.#observer!.watcher.coverage().flatMap(({ gaps }) => gaps);
    const isTold = () =>
      gaps().some((gap) => gap.path === this.at(path) && reason.test(gap.reason));
    const deadline = performance.now() + 10_000;
    while (!isTold() && performance.now() < deadline) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert(isTold(), JSON.stringify(gaps()));
  }

  /** What is told until `line` is. */
  async upTo(line: string): Promise<string[]> {
    const observer = this.#observer!;
    const lines = () =>
      observer.events.map(({ kind, path }) => `${kind} ${path.slice(this.root.length + 1)}`);
    await observer.until(() => lines().includes(line), line).catch((error) => {
      throw new Error(`${error.message}; told were ${lines()}`);
    });
    const told = lines();
    observer.events.length = 0;
    return told;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#observer?.close();
    for (const path of [...this.#mounts].reverse()) this.unmount(path);
    this.#ground[Symbol.dispose]();
  }
}

for (const backend of ["auto", "inotify"] as const) {
  test(`${backend}: a filesystem mounted and unmounted inside`, settings, async () => {
    await using watched = new Watched();
    watched.make("w/d", "w/m");
    await watched.watch("w", { backend });
    for (let round = 0; round < 3; round++) {
      watched.mount("w/m");
      assert.deepEqual(await watched.upTo("lost w/m"), ["lost w/m"]);
      await watched.covers("w", "w/m");
      watched.make("w/m/a");
      await watched.upTo("create.directory w/m/a");
      watched.touch("w/m/a/f");
      assert.deepEqual(await watched.upTo("create.file w/m/a/f"), ["create.file w/m/a/f"]);
      watched.unmount("w/m");
      assert.deepEqual(await watched.upTo("lost w/m"), ["lost w/m"]);
      await watched.covers("w");
      watched.touch(`w/d/${round}`);
      watched.touch(`w/m/${round}`);
      assert.deepEqual(await watched.upTo(`create.file w/m/${round}`), [
        `create.file w/d/${round}`,
        `create.file w/m/${round}`,
      ]);
    }
  });

  test(
    `${backend}: one that was mounted before, and one that the kernel makes up`,
    settings,
    async () => {
      await using watched = new Watched();
      watched.make("w/d", "w/m", "w/proc");
      watched.mount("w/m");
      await watched.watch("w", { backend });
      await watched.covers("w", "w/m");
      watched.unmount("w/m");
      assert.deepEqual(await watched.upTo("lost w/m"), ["lost w/m"]);
      await watched.covers("not w/m", "w");
      watched.mount("w/proc", "-t", "proc", "sentinode-test");
      watched.mount("w/m");
      assert.deepEqual(await watched.upTo("lost w/m"), ["lost w/m"]);
      await watched.covers("not w/proc", "w", "w/m");
      watched.touch("w/m/f");
      assert.deepEqual(await watched.upTo("create.file w/m/f"), ["create.file w/m/f"]);
      watched.touch("w/d/f");
      assert.deepEqual(await watched.upTo("create.file w/d/f"), ["create.file w/d/f"]);
    },
  );

  test(`${backend}: a directory bound to another place inside`, settings, async () => {
    await using watched = new Watched();
    watched.make("w/d", "w/m", "out");
    await watched.watch("w", { backend });
    watched.mount("w/m", "--bind", watched.at("out"));
    await watched.upTo("lost w/m");
    watched.touch("out/f");
    assert.deepEqual(await watched.upTo("create.file w/m/f"), ["create.file w/m/f"]);
    watched.unmount("w/m");
    await watched.upTo("lost w/m");
    watched.touch("out/g");
    watched.touch("w/d/end");
    assert.deepEqual(await watched.upTo("create.file w/d/end"), ["create.file w/d/end"]);
    watched.mount("w/m", "--bind", watched.at("w/d"));
    await watched.upTo("lost w/m");
    watched.touch("w/d/both");
    watched.touch("w/end");
    const told = await watched.upTo("create.file w/end");
    assert.deepEqual(told.sort(), [
      "create.file w/d/both",
      "create.file w/end",
      "create.file w/m/both",
    ]);
  });

  test(`${backend}: the path is waited for, and something is mounted on it`, settings, async () => {
    await using watched = new Watched();
    await watched.watch("a/m", { backend, missing: "wait" });
    watched.make("a/m");
    await watched.upTo("create.directory a/m");
    watched.mount("a/m");
    assert.deepEqual(await watched.upTo("lost a/m"), ["lost a/m"]);
    watched.touch("a/m/f");
    assert.deepEqual(await watched.upTo("create.file a/m/f"), ["create.file a/m/f"]);
    watched.unmount("a/m");
    assert.deepEqual(await watched.upTo("lost a/m"), ["lost a/m"]);
    watched.touch("a/m/g");
    assert.deepEqual(await watched.upTo("create.file a/m/g"), ["create.file a/m/g"]);
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
    // inotify says of the directories that it watched that they are gone.
    const told = await watched.upTo("create.directory a/b/c");
    assert.deepEqual(told.filter((line) => !line.startsWith("lost")), [
      "rename.out a/b/c",
      "create.directory a/b/c",
    ]);
  });

  test(`${backend}: the watched path itself is unmounted`, settings, async () => {
    await using watched = new Watched();
    watched.make("m", "d");
    watched.mount("m");
    watched.make("m/a");
    await watched.watch("m", { backend });
    watched.touch("m/a/f");
    await watched.upTo("create.file m/a/f");
    watched.unmount("m");
    assert.deepEqual(await watched.upTo("lost m"), ["lost m"]);
    await watched.isGap("m", /unmounted/);
  });

  test(`${backend}: something is mounted over the watched path`, settings, async () => {
    await using watched = new Watched();
    watched.make("m/a");
    await watched.watch("m/a", { backend });
    watched.mount("m");
    assert.deepEqual(await watched.upTo("lost m/a"), ["lost m/a"]);
    await watched.isGap("m/a", /cannot be reached/);
  });
}

/**
 * What mounts in and above a watched tree hide and show.
 *
 * @module
 */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { watch, type WatchEvent, type WatchOptions } from "../mod.ts";
import { Observer } from "../scripts/real_work/observer.ts";
import { Ground } from "./ground.ts";
import { aWhile, isRoot, until } from "./runtime.ts";

/** How each test is run. */
export const settings: { readonly skip: string | false; readonly timeout: number } = {
  skip: isRoot ? false : "needs root",
  timeout: 60_000,
};

/** A ground with a watcher, and mounts in it. */
export class Watched implements AsyncDisposable {
  readonly #ground = new Ground();
  readonly root: string = this.#ground.path;
  readonly #mounts: string[] = [];
  #observer: Observer | undefined;
  /** What {@linkcode upTo} has taken. */
  readonly all: WatchEvent[] = [];
  #held: number | undefined;
  #before: readonly string[] = [];

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
  unmount(path: string, ...options: readonly string[]): void {
    execFileSync("umount", ["--lazy", ...options, this.at(path)]);
    this.#mounts.splice(this.#mounts.lastIndexOf(path), 1);
  }

  /** Keeps a file open. */
  hold(path: string): void {
    this.#held = openSync(this.at(path), "r");
  }

  release(): void {
    if (this.#held !== undefined) closeSync(this.#held);
    this.#held = undefined;
  }

  /** What was mounted at a path is not there any more, or elsewhere. */
  moved(from: string, to?: string): void {
    this.#mounts.splice(this.#mounts.lastIndexOf(from), 1);
    if (to !== undefined) this.#mounts.push(to);
  }

  async watch(path: string, options: WatchOptions): Promise<void> {
    this.#before = listed(this.at(path));
    this.#observer = new Observer(watch(this.at(path), options));
    await this.#observer.watcher.ready;
  }

  /** Waits until the names are learned, which is done in the background: before, none is told to be hidden. */
  async learned(): Promise<void> {
    const { watcher } = this.#observer!;
    await until(() => watcher.stats().names >= this.#before.length - 1);
  }

  /** Waits until these paths are covered, or said not to be. */
  async covers(...paths: readonly string[]): Promise<void> {
    const coverage = () =>
      this.#observer!.watcher.coverage().map(({ path, backend }) =>
        `${backend === "none" ? "not " : ""}${path.slice(this.root.length + 1)}`
      ).sort().join();
    const deadline = performance.now() + 10_000;
    while (coverage() !== paths.join() && performance.now() < deadline) {
      await aWhile();
    }
    assert.equal(coverage(), paths.join());
  }

  /** Waits until what events told, and what was there before, is what is there; that is nothing where the path is not. */
  async isAsTold(path: string): Promise<void> {
    const observer = this.#observer!;
    let found: string[] = [];
    const isSame = () => {
      found = listed(this.at(path));
      return found.join("\n") === told(this.#before, observer.events).join("\n");
    };
    await observer.until(isSame, "the tree as it is").catch(() => {
      assert.deepEqual(told(this.#before, observer.events), found, this.lines().join("\n"));
    });
  }

  /** What was told so far. */
  lines(): string[] {
    return this.#observer!.events.map(({ kind, path }) =>
      `${kind} ${path.slice(this.root.length + 1)}`
    );
  }

  /** Waits until a gap is told of. */
  async isGap(path: string, reason: RegExp): Promise<void> {
    const gaps = () => this.#observer!.watcher.coverage().flatMap(({ gaps }) => gaps);
    const isTold = () =>
      gaps().some((gap) => gap.path === this.at(path) && reason.test(gap.reason));
    const deadline = performance.now() + 10_000;
    while (!isTold() && performance.now() < deadline) {
      await aWhile();
    }
    assert(isTold(), JSON.stringify(gaps()));
  }

  /** What is told until `line` is. */
  async upTo(line: string): Promise<string[]> {
    const observer = this.#observer!;
    const lines = () => this.lines();
    await observer.until(() => lines().includes(line), line).catch((error) => {
      throw new Error(`${error.message}; told were ${JSON.stringify(observer.events)}`);
    });
    const told = lines();
    this.all.push(...observer.events.splice(0));
    return told;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
    await this.#observer?.close();
    for (const path of [...this.#mounts].reverse()) this.unmount(path);
    this.#ground[Symbol.dispose]();
  }
}

/** All that is at a path and below it, sorted. */
function listed(path: string): string[] {
  if (!existsSync(path)) return [];
  const below = readdirSync(path, { recursive: true, encoding: "utf8" });
  return [path, ...below.map((name) => join(path, name))].sort();
}

/** What there is after the events, sorted. */
function told(before: readonly string[], events: readonly WatchEvent[]): string[] {
  const paths = new Set(before);
  for (const { kind, path, from } of events) {
    if (kind === "rename") throw new Error(`${from} was renamed to ${path} by nobody`);
    if (kind.startsWith("create") || kind === "rename.in") paths.add(path);
    if (!kind.startsWith("remove") && kind !== "rename.out") continue;
    for (const one of paths) if (one === path || one.startsWith(`${path}/`)) paths.delete(one);
  }
  return [...paths].sort();
}

/** What is done, and after each step what is told is what is there. */
type Steps = readonly ((watched: Watched) => void)[];

const STEPS: Readonly<Record<string, Steps>> = {
  "mount and unmount": [
    (w) => w.mount("w/m"),
    (w) => w.touch("w/m/new"),
    (w) => w.unmount("w/m"),
    (w) => w.touch("w/m/a/new"),
  ],
  "bind": [
    (w) => w.mount("w/m", "--bind", w.at("out")),
    (w) => w.touch("out/a/new"),
    (w) => w.unmount("w/m"),
    (w) => w.touch("w/m/a/new"),
    (w) => w.mount("w/m", "--bind", w.at("w/d")),
    (w) => w.touch("w/d/new"),
    (w) => w.unmount("w/m"),
  ],
  "a directory bound to itself": [
    (w) => w.mount("w/m", "--bind", w.at("w/m")),
    (w) => w.touch("w/m/a/new"),
    (w) => w.unmount("w/m"),
    (w) => w.touch("w/m/a/newer"),
  ],
  "move": [
    (w) => w.mount("w/m", "--bind", w.at("out")),
    (w) => {
      execFileSync("mount", ["--move", w.at("w/m"), w.at("w/d")]);
      w.moved("w/m", "w/d");
    },
    (w) => w.touch("w/d/new"),
    (w) => w.touch("w/m/a/new"),
    (w) => {
      execFileSync("mount", ["--move", w.at("w/d"), w.at("else")]);
      w.moved("w/d", "else");
    },
    (w) => w.touch("w/d/newer"),
  ],
  "nested mounts, and all unmounted at once": [
    (w) => w.mount("w/m"),
    (w) => w.make("w/m/n/x"),
    (w) => w.mount("w/m/n", "--bind", w.at("out")),
    (w) => w.touch("w/m/n/new"),
    (w) => {
      w.moved("w/m/n");
      w.unmount("w/m", "--recursive");
    },
    (w) => w.touch("w/m/a/new"),
  ],
  "nested mounts that come and go together": [
    (w) => w.mount("out/a"),
    (w) => w.touch("out/a/inner"),
    (w) => w.mount("w/m", "--rbind", w.at("out")),
    (w) => w.touch("out/a/new"),
    (w) => w.unmount("w/m", "--recursive"),
  ],
  "a mount inside is hidden by one above": [
    (w) => w.mount("w/m/a", "--bind", w.at("out")),
    (w) => w.mount("w/m"),
    (w) => w.touch("out/new"),
    (w) => w.touch("w/m/new"),
    (w) => w.unmount("w/m"),
    (w) => w.touch("w/m/a/newer"),
    (w) => w.unmount("w/m/a"),
    (w) => w.touch("w/m/a/newest"),
  ],
  "files are open at a lazy unmount": [
    (w) => w.mount("w/m"),
    (w) => {
      w.touch("w/m/open");
      w.hold("w/m/open");
    },
    (w) => w.unmount("w/m"),
    (w) => w.touch("w/m/a/new"),
    (w) => w.release(),
  ],
  "a mount is mounted over": [
    (w) => w.mount("w/m"),
    (w) => w.touch("w/m/first"),
    (w) => w.mount("w/m"),
    (w) => w.touch("w/m/second"),
    (w) => w.unmount("w/m"),
    (w) => w.touch("w/m/third"),
    (w) => w.unmount("w/m"),
    (w) => w.touch("w/m/a/new"),
  ],
  "over the path": [
    (w) => w.mount("w"),
    (w) => w.touch("w/new"),
    (w) => w.make("w/m/b"),
    (w) => w.mount("w/m", "--bind", w.at("out")),
    (w) => {
      w.moved("w/m");
      w.unmount("w", "--recursive");
    },
    (w) => w.touch("w/m/a/new"),
  ],
  "above the path": [
    (w) => w.mount("."),
    (w) => w.make("other"),
    (w) => w.unmount("."),
    (w) => w.touch("w/m/a/new"),
  ],
};

/** Tests each of the steps with a way of watching. */
export function testSteps(way: string, options: WatchOptions): void {
  for (const [what, steps] of Object.entries(STEPS)) {
    test(`${way}: ${what}: what is hidden and shown is told`, settings, async () => {
      await using watched = new Watched();
      watched.make("w/d/e", "w/m/a/b", "out/a", "else");
      for (const path of ["w/d/f", "w/m/f", "w/m/a/b/f", "out/f", "out/a/f"]) watched.touch(path);
      await watched.watch("w", options);
      if (options.backend !== "poll") await watched.learned();
      for (const step of steps) {
        step(watched);
        await watched.isAsTold("w");
      }
      watched.touch("w/end");
      await watched.isAsTold("w");
    });
  }
}

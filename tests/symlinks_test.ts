/** Followed symlinks: whatever becomes of them, what is told leads to what is there. */

import assert from "node:assert/strict";
import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { matches } from "../classify/kinds.ts";
import { watch, type WatchEvent, type WatchOptions } from "../mod.ts";
import { isLooking, looked, Observer, Sentinel } from "../scripts/real_work/observer.ts";
import { Ground } from "./ground.ts";
import { type Random, seed, wholeNumbers } from "./random.ts";
import { isRoot, testAsNobody } from "./runtime.ts";

const WAYS: readonly (readonly [name: string, options: WatchOptions])[] = [
  ["auto", {}],
  ["fanotify", { backend: "fanotify" }],
  ["inotify", { backend: "inotify" }],
];

/** A directory `w` of a ground, watched with its symlinks. */
class Watched implements AsyncDisposable {
  readonly root: string;
  readonly observer: Observer;
  readonly #sentinels: readonly Sentinel[];

  private constructor(root: string, observer: Observer, sentinels: readonly Sentinel[]) {
    this.root = root;
    this.observer = observer;
    this.#sentinels = sentinels;
  }

  static async open(root: string, options: WatchOptions): Promise<Watched> {
    const observer = new Observer(watch(join(root, "w"), { ...options, followSymlinks: true }));
    await observer.watcher.ready;
    // Where symlinks lead is watched with inotify.
    const sentinels = [
      await Sentinel.open(options, root),
      await Sentinel.open({ backend: "inotify" }, root),
    ];
    return new Watched(root, observer, sentinels);
  }

  /** Resolves when all that was done has been told. */
  async settled(): Promise<void> {
    const { watcher } = this.observer;
    do {
      for (const sentinel of this.#sentinels) await sentinel.settled();
      await looked(watcher);
      for (const sentinel of this.#sentinels) await sentinel.settled();
    } while (isLooking(watcher));
  }

  /** What was told since the last time. */
  async told(): Promise<string[]> {
    await this.settled();
    return this.observer.events.splice(0).map(({ kind, path }) =>
      `${kind} ${path.slice(this.root.length + 1)}`
    );
  }

  /** What is not covered. */
  get gaps(): string[] {
    return this.observer.watcher.coverage().flatMap(({ gaps }) => gaps)
      .map(({ path, reason }) => `${path.slice(this.root.length + 1)}: ${reason}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.observer.close();
    for (const sentinel of this.#sentinels) await sentinel.close();
  }
}

for (const [name, way] of WAYS) {
  test(`${name}: the picture is the tree, whatever becomes of it, seed ${seed}`, {
    timeout: 120_000,
  }, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    const below = wholeNumbers(seed);
    for (const directory of ["w/a", "w/b", "out/c"]) {
      mkdirSync(join(root, directory), { recursive: true });
    }
    for (let n = 0; n < 30; n++) act(root, below);
    await using watched = await Watched.open(root, way);
    const { events } = watched.observer;
    const top = join(root, "w");
    const picture = new Picture(listed(top));
    for (let round = 0; round < 30; round++) {
      const acts: string[] = [];
      for (let n = below(12); n >= 0; n--) {
        acts.push(act(root, below));
        if (below(4) === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await watched.settled();
      const told = events.splice(0);
      told.forEach((event) => picture.apply(event));
      const shown = told.map(({ kind, path, from, synthetic }) =>
        `${synthetic ? "~" : ""}${kind} ${from ?? ""} ${path}`.replaceAll(`${root}/`, "")
      );
      assert.deepEqual(
        [...picture.names].sort(),
        listed(top).sort(),
        `round ${round}:\n${acts.join("\n")}\ntold:\n${shown.join("\n")}`,
      );
    }
  });
}

/** One random operation on names that are met again and again; what it was. */
function act(root: string, below: Random): string {
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
  const directory = () =>
    pick(["w", "w/a", "w/b", "w/a/b", "w/b/a", "out", "out/c", "out/a", "out/c/b"]);
  const path = () => `${directory()}/${pick(["a", "b", "c", "f", "l", "m"])}`;
  const one = path();
  const other = path();
  const at = (path: string) => join(root, path);
  const link = () => {
    const to = below(3) === 0 ? path() : directory();
    symlinkSync(
      below(2) === 0 ? at(to) : `${"../".repeat(one.split("/").length - 1)}${to}`,
      at(one),
    );
    return `ln -s ${to} ${one}`;
  };
  const acts = [
    () => (mkdirSync(at(one)), `mkdir ${one}`),
    () => (mkdirSync(at(`${one}/${pick(["a", "b"])}`), { recursive: true }), `mkdir -p ${one}/…`),
    () => (closeSync(openSync(at(one), "a")), `touch ${one}`),
    () => (closeSync(openSync(at(one), "a")), `touch ${one}`),
    link,
    link,
    link,
    () => (renameSync(at(one), at(other)), `mv ${one} ${other}`),
    () => (renameSync(at(one), at(other)), `mv ${one} ${other}`),
    () => (rmSync(at(one), { recursive: true }), `rm -r ${one}`),
  ];
  try {
    return pick(acts)();
  } catch {
    return "nothing"; // not possible now
  }
}

/** What a consumer knows who believes what is told. */
class Picture {
  readonly names: Set<string>;

  constructor(names: readonly string[]) {
    this.names = new Set(names);
  }

  apply({ kind, path, from }: WatchEvent): void {
    const { names } = this;
    if (matches(kind, "create")) names.add(path);
    else if (kind === "rename.in") {
      this.#take(path);
      names.add(path);
    } else if (kind === "rename") {
      const moved = this.#take(from!);
      this.#take(path);
      for (const one of moved) names.add(path + one.slice(from!.length));
    } else if (matches(kind, "remove") || kind === "rename.out") this.#take(path);
    else assert(matches(kind, "modify"), `${kind} ${path}`);
  }

  #take(path: string): string[] {
    const taken = [...this.names].filter((one) => one === path || one.startsWith(`${path}/`));
    for (const one of taken) this.names.delete(one);
    return taken;
  }
}

/** All below a directory, through symlinks, but no directory that is above itself on the path. */
function listed(path: string, above: readonly string[] = []): string[] {
  const { dev, ino } = statSync(path);
  const chain = [...above, `${dev} ${ino}`];
  return readdirSync(path).flatMap((name) => {
    const one = join(path, name);
    const status = statusOf(one);
    const isLink = lstatSync(one).isSymbolicLink();
    if (!status?.isDirectory()) return [one];
    if (chain.includes(`${status.dev} ${status.ino}`)) return isLink ? [one] : [];
    return [one, ...listed(one, chain)];
  });
}

/** Of what a path leads to, if it leads to anything. */
function statusOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

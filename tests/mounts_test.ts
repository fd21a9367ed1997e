/** What is mounted and unmounted in a watched tree, and over a path, while it is watched. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { mounts, watch, type WatchEvent, type WatchOptions } from "../mod.ts";
import { Observer } from "../scripts/real_work/observer.ts";
import { Ground } from "./ground.ts";
import { aWhile, isRoot, until } from "./runtime.ts";

const settings = { skip: isRoot ? false : "needs root", timeout: 60_000 };

/** A ground with a watcher, and mounts in it. */
class Watched implements AsyncDisposable {
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
      throw new Error(`${error.message}; told were ${lines()}`);
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

const WAYS: Readonly<Record<string, WatchOptions>> = {
  auto: { backend: "auto" },
  inotify: { backend: "inotify" },
  poll: { backend: "poll" },
  'auto, missing "wait"': { backend: "auto", missing: "wait" },
  'inotify, missing "wait"': { backend: "inotify", missing: "wait" },
  "auto, followSymlinks": { backend: "auto", followSymlinks: true },
};

for (const [way, options] of Object.entries(WAYS)) {
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
      'mkdir -p "$1"; i=0; while [ $i -lt 1000 ]; do mount --bind "$2" "$1"; i=$((i + 1)); done',
      "sh",
      out,
      elsewhere,
    ]);
    let count = 0;
    for await (const { path } of stream) if (path === out && ++count === 1000) break;
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

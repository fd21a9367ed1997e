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
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import test from "node:test";
import { setImmediate } from "node:timers";
import { matches } from "../classify/kinds.ts";
import { watch, type WatchEvent, type WatchOptions } from "../mod.ts";
import { isLooking, looked, Observer, Sentinel } from "../scripts/real_work/observer.ts";
import { Ground } from "./ground.ts";
import { type Random, seed, wholeNumbers } from "./random.ts";
import {
  aWhile,
  isRoot,
  limited,
  moduleFile,
  noUserNamespaces,
  openFiles,
  runScript,
  TemporaryDirectory,
  testAsNobody,
  touch,
  until,
} from "./runtime.ts";

/** More than the kernel's queue holds (16,384 by default). */
const MANY = 17_000;

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

function isSame(names: string[], others: string[]): boolean {
  return names.sort().join("\n") === others.sort().join("\n");
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
    await using watched = await Watched.open(root, { ...way, queue: "unlimited" });
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
      const told: WatchEvent[] = [];
      // What a link leads to may wait for what is queued, and be looked into after that.
      const late = performance.now() + 5_000;
      do {
        const more = events.splice(0);
        more.forEach((event) => picture.apply(event));
        told.push(...more);
        await aWhile();
      } while (!isSame([...picture.names], listed(top)) && performance.now() < late);
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

for (const [name, way] of WAYS) {
  test(`${name}: what is covered, and what is not`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    mkdirSync(join(root, "w/a/b"), { recursive: true });
    mkdirSync(join(root, "out"));
    touch(join(root, "out/f"));
    const links = {
      "w/a/b/loop": "..",
      "w/dangling": "nothing",
      "w/device": "/dev/null",
      "w/file": "../out/f",
      "w/itself": "itself",
      "w/link": "../out",
      "w/proc": "/proc/self",
      "w/up": "../..",
    };
    for (const [link, to] of Object.entries(links)) symlinkSync(to, join(root, link));
    await using watched = await Watched.open(root, { ...way, ignore: ["up"] });
    assert.deepEqual(watched.gaps.sort(), [
      "w/a/b/loop: it leads to " + join(root, "w/a") + ", which it is in",
      "w/itself: it leads to itself",
      "w/proc: the kernel announces no changes of proc",
    ]);
    const { watcher } = watched.observer;
    const paths = () => watcher.coverage().map(({ path }) => path.slice(root.length + 1));
    const known = Object.keys(links).filter((link) => link !== "w/up");
    assert.deepEqual(paths().sort(), ["w", ...known]);
    const of = (path: string) => watcher.coverage().find((one) => one.path === join(root, path))!;
    assert.deepEqual(of("w/link").mount, of("w").mount);
    assert.equal(of("w/link").backend, of("w").backend);
    assert.equal(of("w/proc").backend, "none");
    rmSync(join(root, "w"), { recursive: true });
    await watched.settled();
    assert.deepEqual(paths(), ["w"]);
  });

  test(`${name}: links that come and go take nothing with them`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    for (const path of ["w", "one/sub", "two"]) mkdirSync(join(root, path), { recursive: true });
    touch(join(root, "one/f"));
    const attempt = async (rounds: number) => {
      await using watched = await Watched.open(root, way);
      const { watcher } = watched.observer;
      const before = watcher.stats().watches;
      for (let round = 0; round < rounds; round++) {
        for (const to of ["one", "one/f", "later/x", "two"]) {
          symlinkSync(`../${to}`, join(root, "w/next"));
          renameSync(join(root, "w/next"), join(root, "w/link"));
          if (round > 0) await watched.settled();
        }
        rmSync(join(root, "w/link"));
        await watched.settled();
        assert.equal(watcher.stats().watches, before);
      }
      symlinkSync("../one", join(root, "w/link"));
      await watched.observer.until(() => watched.observer.events.length > 0, "an event");
      await watcher.close(); // in the middle of it, or not
      rmSync(join(root, "w/link"));
    };
    await attempt(2);
    const before = openFiles();
    for (let n = 0; n < 10; n++) await attempt(1);
    await until(() => openFiles() <= before);
  });

  test(`${name}: a link to another filesystem, which comes and goes`, {
    skip: isRoot ? false : "needs root",
  }, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    using mounts = new Mounts(root);
    for (const path of ["w", "disk", "disk/hidden"]) mkdirSync(join(root, path));
    mounts.mount("disk");
    mkdirSync(join(root, "disk/d"));
    symlinkSync("../disk", join(root, "w/link"));
    symlinkSync("../disk/d", join(root, "w/d"));
    await using watched = await Watched.open(root, way);
    const { watcher } = watched.observer;
    const of = (path: string) => watcher.coverage().find((one) => one.path === join(root, path));
    assert.equal(of("w/link")!.mount.point, join(root, "disk"));
    touch(join(root, "w/d/f"));
    const both = (...paths: readonly string[]) => () =>
      paths.every((path) =>
        watched.observer.events.some((event) => event.path === join(root, path))
      );
    await watched.observer.until(both("w/d/f", "w/link/d/f"), "what is told of both");
    mounts.unmount("disk");
    await watched.observer.until(both("w/link/hidden"), "what was hidden");
    assert.deepEqual(
      (await watched.told()).filter((line) => !/^(modify|lost|recovered)/.test(line)).sort(),
      [
        "create.directory w/link/hidden",
        "create.file w/d/f",
        "create.file w/link/d/f",
        "create.symlink w/d",
        "create.symlink w/link",
        "rename.out w/d",
        "rename.out w/link",
      ],
    );
    assert.equal(of("w/link")!.mount.point, root);
    mounts.mount("disk");
    mkdirSync(join(root, "disk/d"));
    await watched.observer.until(both("w/link/d"), "what was mounted");
    touch(join(root, "disk/d/f"));
    await watched.observer.until(both("w/d/f"), "what is in it");
  });

  test(`${name}: a filesystem mounted in what a link leads to`, {
    skip: isRoot ? false : "needs root",
  }, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    using mounts = new Mounts(root);
    for (const path of ["w", "out/m"]) mkdirSync(join(root, path), { recursive: true });
    symlinkSync("../out", join(root, "w/link"));
    await using watched = await Watched.open(root, way);
    const { watcher, events } = watched.observer;
    mounts.mount("out/m");
    const isCovered = () => watcher.coverage().some(({ path }) => path === join(root, "w/link/m"));
    await until(isCovered);
    touch(join(root, "out/m/f"));
    const isTold = () => events.some(({ path }) => path === join(root, "w/link/m/f"));
    await watched.observer.until(isTold, "the file");
    renameSync(join(root, "w/link"), join(root, "w/other"));
    touch(join(root, "out/m/g"));
    const isMoved = () => events.some(({ path }) => path === join(root, "w/other/m/g"));
    await watched.observer.until(isMoved, "the file");
    mounts.unmount("out/m");
    await until(() => !watcher.coverage().some(({ path }) => path === join(root, "w/other/m")));
  });

  test(`${name}: what was lost is found, links and what is below them`, {
    timeout: 60_000,
  }, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    for (const path of ["w/busy", "one", "two"]) mkdirSync(join(root, path), { recursive: true });
    for (const path of ["one/1", "two/2"]) touch(join(root, path));
    symlinkSync("../one", join(root, "w/kept"));
    symlinkSync("../one", join(root, "w/gone"));
    symlinkSync("../one", join(root, "w/changed"));
    const observer = new Observer(watch(join(root, "w"), { ...way, followSymlinks: true }));
    const { watcher, events } = observer;
    try {
      await watcher.ready;
      await until(() => watcher.stats().names >= 7);
      const picture = new Picture(listed(join(root, "w")));
      for (let n = 0; n < MANY; n++) writeFileSync(join(root, `w/busy/${n}`), "x");
      rmSync(join(root, "w/gone"));
      rmSync(join(root, "w/changed"));
      symlinkSync("../two", join(root, "w/changed"));
      symlinkSync("../two", join(root, "w/new"));
      touch(join(root, "one/more"));
      const losses = () => events.filter(({ kind }) => kind === "lost");
      const isOver = () => {
        const recovered = events.filter(({ kind }) => kind === "recovered");
        return losses().length > 0 &&
          losses().every(({ path }) =>
            recovered.some((event) => event.path === path) ||
            /gone|changed/.test(path)
          );
      };
      await observer.until(isOver, "the end of the loss");
      await looked(watcher);
      for (const path of ["w/kept/end", "w/changed/end", "w/new/end"]) {
        touch(join(root, path));
        await observer.until(() => events.some((event) => event.path === join(root, path)), path);
      }
      for (const event of events) {
        if (event.kind !== "lost" && event.kind !== "recovered") picture.apply(event, true);
      }
      assert.deepEqual([...picture.names].sort(), listed(join(root, "w")).sort());
    } finally {
      await observer.close();
    }
  });

  test(`${name}: links that came while events were lost are followed, with recover "signal"`, {
    timeout: 60_000,
  }, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    for (const path of ["w/busy", "one", "two"]) mkdirSync(join(root, path), { recursive: true });
    symlinkSync("../one", join(root, "w/changed"));
    const options = { ...way, followSymlinks: true, recover: "signal" } as const;
    const observer = new Observer(watch(join(root, "w"), options));
    const { watcher, events } = observer;
    try {
      await watcher.ready;
      for (let n = 0; n < MANY; n++) writeFileSync(join(root, `w/busy/${n}`), "x");
      symlinkSync("../two", join(root, "w/next"));
      renameSync(join(root, "w/next"), join(root, "w/changed"));
      symlinkSync("../two", join(root, "w/new"));
      await observer.until(() => events.some(({ kind }) => kind === "lost"), "the loss");
      const covered = () => watcher.coverage().map(({ path }) => path);
      await until(() => covered().includes(join(root, "w/new")));
      await looked(watcher);
      for (const path of ["w/new/end", "w/changed/end"]) {
        const seen = () => events.some((event) => event.path === join(root, path));
        await until(() => {
          if (!seen()) writeFileSync(join(root, path), "x");
          return seen();
        });
      }
    } finally {
      await observer.close();
    }
  });

  test(`${name}: saves of what a link leads to`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    for (const path of ["w", "out"]) mkdirSync(join(root, path));
    for (const path of ["out/f", "out/g"]) writeFileSync(join(root, path), "old");
    symlinkSync("../out", join(root, "w/link"));
    symlinkSync("../out/g", join(root, "w/g"));
    await using watched = await Watched.open(root, { ...way, atomicSave: true });
    for (const name of ["f", "g"]) {
      writeFileSync(join(root, `out/${name}.tmp`), "new");
      renameSync(join(root, `out/${name}.tmp`), join(root, `out/${name}`));
    }
    touch(join(root, "out/end"));
    const { events } = watched.observer;
    const isOver = () => events.some(({ path }) => path === join(root, "w/link/end"));
    await watched.observer.until(isOver, "the end");
    assert.deepEqual((await watched.told()).sort(), [
      "create.file w/link/end",
      "modify.data w/g",
      "modify.data w/link/f",
      "modify.data w/link/g",
    ]);
  });

  test(`${name}: names that are no text are told, links of such names not followed`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    for (const path of ["w", "out"]) mkdirSync(join(root, path));
    symlinkSync("../out", join(root, "w/link"));
    execFileSync("sh", ["-c", `ln -s ../out "w/$(printf 'l\\377')"; : >"out/$(printf '\\377')"`], {
      cwd: root,
    });
    await using watched = await Watched.open(root, way);
    assert.deepEqual(watched.gaps, ["w/l\ufffd: its path is not valid UTF-8"]);
    execFileSync("sh", ["-c", `rm "out/$(printf '\\377')"`], { cwd: root });
    await watched.settled();
    const [event] = watched.observer.events;
    assert.equal(event?.path, join(root, "w/link/\ufffd"));
    assert.equal(event.pathBytes?.at(-1), 0xff);
    assert.deepEqual(await watched.told(), ["remove w/link/\ufffd"]);
  });
}

test(`poll: the picture becomes the tree, whatever becomes of it, seed ${seed}`, {
  timeout: 120_000,
}, async () => {
  using ground = new Ground();
  const { path: root } = ground;
  const below = wholeNumbers(seed);
  const top = join(root, "w");
  for (const directory of ["w/a", "w/b", "out/c"]) {
    mkdirSync(join(root, directory), { recursive: true });
  }
  for (let n = 0; n < 30; n++) act(root, below);
  const observer = new Observer(watch(top, { backend: "poll", followSymlinks: true }));
  const { watcher, events } = observer;
  try {
    await watcher.ready;
    const picture = new Picture(listed(top));
    for (let round = 0; round < 4; round++) {
      for (let n = below(12); n >= 0; n--) act(root, below);
      await observer.until(() => {
        for (const event of events.splice(0)) picture.apply(event, true);
        return sameNames(picture.names, listed(top));
      }, "the tree").catch((error) => {
        assert.deepEqual([...picture.names].sort(), listed(top).sort(), error.message);
      });
    }
  } finally {
    await observer.close();
  }
});

test("poll: a file that a link leads to, and one that comes", { timeout: 60_000 }, async () => {
  using ground = new Ground();
  const { path: root } = ground;
  for (const path of ["w", "out"]) mkdirSync(join(root, path));
  writeFileSync(join(root, "out/f"), "old");
  symlinkSync("../out/f", join(root, "w/file"));
  symlinkSync("../out/later", join(root, "w/later"));
  const observer = new Observer(watch(join(root, "w"), { backend: "poll", followSymlinks: true }));
  const told = async (line: string) => {
    const lines = () =>
      observer.events.map(({ kind, path }) => `${kind} ${path.slice(root.length + 1)}`);
    await observer.until(() => lines().includes(line), `${line} in ${lines()}`);
    return lines();
  };
  try {
    await observer.watcher.ready;
    writeFileSync(join(root, "out/f"), "longer");
    assert.deepEqual(await told("modify.data w/file"), ["modify.data w/file"]);
    renameSync(join(root, "w/file"), join(root, "w/moved"));
    await told("rename w/moved");
    writeFileSync(join(root, "out/f"), "longer still");
    await told("modify.data w/moved");
    renameSync(join(root, "w/moved"), join(root, "w/file"));
    mkdirSync(join(root, "out/later"));
    touch(join(root, "out/later/g"));
    await told("create.file w/later/g");
    rmSync(join(root, "out/f"));
    const lines = await told("create.symlink w/file");
    // The way to it is watched with inotify, which may come before the next look.
    assert(lines.includes("remove.file w/file") || lines.includes("rename.out w/file"), `${lines}`);
  } finally {
    await observer.close();
  }
});

test("a reader who is too slow is told what it missed below links", {
  timeout: 60_000,
}, async () => {
  using ground = new Ground();
  const { path: root } = ground;
  for (const path of ["w", "out"]) mkdirSync(join(root, path));
  symlinkSync("../out", join(root, "w/link"));
  const watcher = watch([join(root, "w"), join(root, "out")], {
    backend: "inotify",
    followSymlinks: true,
    queue: "kernel",
  });
  // Who reads all the time keeps the queue of the process moving.
  const other = new Observer(watch(join(root, "out"), { backend: "inotify" }), () => {});
  try {
    await watcher.ready;
    await other.watcher.ready;
    const names = Array.from({ length: 25_000 }, (_, n) => `f${n}`);
    for (const [n, name] of names.entries()) {
      touch(join(root, "out", name));
      if (n % 5_000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => watcher.stats().losses > 0);
    const seen = new Set<string>();
    let losses = 0;
    for await (const { kind, path } of watcher) {
      if (kind === "lost") losses++;
      else if (matches(kind, "create")) seen.add(path);
      if (seen.size === 2 * names.length) break;
    }
    assert(losses > 0);
  } finally {
    await watcher.close();
    await other.close();
  }
});

test("nobody is told that what a link leads to may not be read", {
  skip: !isRoot && "needs root",
}, async () => {
  const { status, stdout, stderr } = await runScript(
    `
    import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
    import { watch } from ${JSON.stringify(moduleFile("mod.ts"))};
    mkdirSync("w");
    symlinkSync("/root", "w/home");
    symlinkSync("/root/below/x", "w/below");
    const watcher = watch("w", { followSymlinks: true });
    await watcher.ready;
    for (const { gaps } of watcher.coverage()) {
      for (const { path, reason } of gaps) console.log(path.split("/").at(-1) + ": " + reason);
    }
    writeFileSync("w/end", "");
    for await (const { kind, path } of watcher) {
      console.log(kind, path.split("/").at(-1));
      break;
    }
  `,
    { asNobody: true },
  );
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  assert.match(stdout, /^below: Cannot watch \/root\/below: permission denied/im);
  assert.match(stdout, /^home: Cannot watch .*\/home: .*permission denied/im);
  assert.match(stdout, /^create.file end$/m);
});

test("where a limit leaves no watch for what a link leads to, it is tried again", {
  skip: noUserNamespaces,
}, async () => {
  using directory = new TemporaryDirectory();
  const { status, stdout, stderr } = await runScript(
    `
    import { mkdirSync, rmdirSync, symlinkSync, writeFileSync } from "node:fs";
    import process from "node:process";
    import { watch } from ${JSON.stringify(moduleFile("mod.ts"))};
    const at = (path) => process.argv[2] + "/" + path;
    for (const path of ["w", "w/d", "out", "out/x", "out/y"]) mkdirSync(at(path));
    const watcher = watch(at("w"), { followSymlinks: true, backend: "inotify" });
    await watcher.ready;
    symlinkSync("../out", at("w/link"));
    for await (const { kind, path, attributes } of watcher) {
      console.log(kind, path.slice(at("").length), attributes.reason?.slice(0, 40) ?? "");
      if (kind === "lost") {
        console.log(watcher.coverage().flatMap(({ gaps }) => gaps).length > 0);
        rmdirSync(at("w/d"));
        writeFileSync(at("out/f"), "");
      }
      if (path === at("w/link/f")) break;
    }
  `,
    { under: limited("max_inotify_watches", 3), args: [directory.path] },
  );
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  assert.match(
    stdout,
    /^create.symlink w\/link \nlost w\/link Cannot watch .*\ntrue\nremove.directory w\/d \n/,
  );
  assert.match(stdout, /^create.file w\/link\/f $/m);
});

function sameNames(names: ReadonlySet<string>, others: readonly string[]): boolean {
  return names.size === others.length && others.every((name) => names.has(name));
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

/** Filesystems in memory that are mounted in a directory. */
class Mounts implements Disposable {
  readonly #root: string;
  readonly #mounted = new Set<string>();

  constructor(root: string) {
    this.#root = root;
  }

  mount(path: string): void {
    execFileSync("mount", ["-t", "tmpfs", "sentinode-test", join(this.#root, path)]);
    this.#mounted.add(path);
  }

  /** A mark on a filesystem keeps it busy. */
  unmount(path: string): void {
    execFileSync("umount", ["--lazy", join(this.#root, path)]);
    this.#mounted.delete(path);
  }

  [Symbol.dispose](): void {
    for (const path of this.#mounted) this.unmount(path);
  }
}

/** What a consumer knows who believes what is told. */
class Picture {
  readonly names: Set<string>;

  constructor(names: readonly string[]) {
    this.names = new Set(names);
  }

  /** Follows an event; after a loss something may be told twice. */
  apply({ kind, path, from, attributes }: WatchEvent, mayBeKnown = false): void {
    const { names } = this;
    if (matches(kind, "create")) {
      assert(mayBeKnown || !names.has(path), `${kind} ${path}: it was there`);
      names.add(path);
    } else if (kind === "rename.in") {
      this.#take(path);
      names.add(path);
    } else if (kind === "rename") {
      const moved = this.#take(from!);
      this.#take(path);
      for (const one of moved) names.add(path + one.slice(from!.length));
    } else if (matches(kind, "remove") || kind === "rename.out") this.#take(path);
    else assert(matches(kind, "modify"), `${kind} ${path} ${attributes.reason}`);
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

// As root a mark on the filesystem covers everything; nobody gets a mark a directory.
if (isRoot) {
  test("all of this as nobody", { timeout: 200_000 }, async () => {
    await testAsNobody("tests/symlinks_test.ts", 25, 180_000);
  });
}

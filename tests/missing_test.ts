/** Paths that come and go with their parents: waited for, told when they appear, with what is in them, each once. */

import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import test from "node:test";
import { watch, type WatchEvent, type WatchOptions } from "../mod.ts";
import { matches } from "../classify/kinds.ts";
import { Observer } from "../scripts/real_work/observer.ts";
import { Ground } from "./ground.ts";
import { isRoot, moduleFile, openFiles, runScript, testAsNobody, touch, until } from "./runtime.ts";

const WAYS: readonly (readonly [name: string, options: WatchOptions])[] = [
  ["auto", {}],
  ["fanotify", { backend: "fanotify" }],
  ["inotify", { backend: "inotify" }],
];

/** A watched path of a ground, and what was told of it. */
class Watched implements AsyncDisposable {
  readonly #root: string;
  readonly observer: Observer;

  private constructor(root: string, observer: Observer) {
    this.#root = root;
    this.observer = observer;
  }

  static async open(root: string, path: string, options: WatchOptions): Promise<Watched> {
    const observer = new Observer(watch(join(root, path), options));
    await observer.watcher.ready;
    return new Watched(root, observer);
  }

  get #lines(): string[] {
    return this.observer.events.map(({ kind, path }) =>
      `${kind} ${path.slice(this.#root.length + 1)}`
    );
  }

  /** What is told until `line` is. */
  async upTo(line: string): Promise<string[]> {
    await this.observer.until(() => this.#lines.includes(line), line).catch((error) => {
      throw new Error(`${error.message}; told were ${this.#lines}`);
    });
    const lines = this.#lines;
    this.observer.events.length = 0;
    return lines;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.observer.close();
  }
}

for (const [name, way] of WAYS) {
  const waiting: WatchOptions = { ...way, missing: "wait" };

  test(`${name}: several parents are missing`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    await using watched = await Watched.open(root, "a/b/c", waiting);
    const { watcher } = watched.observer;
    const [waits] = watcher.coverage();
    assert.equal(waits!.path, join(root, "a/b/c"));
    const reason = `it is not there; ${root} is watched for it`;
    assert.deepEqual(waits!.gaps, [{ path: waits!.path, reason }]);
    mkdirSync(join(root, "a/b/x"), { recursive: true });
    mkdirSync(join(root, "a/b/c/d"), { recursive: true });
    touch(join(root, "a/b/c/d/f"));
    assert.deepEqual(await watched.upTo("create.file a/b/c/d/f"), [
      "create.directory a/b/c",
      "create.directory a/b/c/d",
      "create.file a/b/c/d/f",
    ]);
    assert.deepEqual(watcher.coverage()[0]!.gaps, []);
    touch(join(root, "a/b/x/f"));
    touch(join(root, "a/b/end"));
    touch(join(root, "a/b/c/end"));
    assert.deepEqual(await watched.upTo("create.file a/b/c/end"), ["create.file a/b/c/end"]);
  });

  test(`${name}: a missing parent is moved in, away, and in again`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    mkdirSync(join(root, "x/b/c/d"), { recursive: true });
    await using watched = await Watched.open(root, "a/b/c", waiting);
    for (const round of ["1", "2", "3"]) {
      touch(join(root, "x/b/c/d/f"));
      renameSync(join(root, "x"), join(root, "a"));
      assert.deepEqual(await watched.upTo("create.file a/b/c/d/f"), [
        "create.directory a/b/c",
        "create.directory a/b/c/d",
        "create.file a/b/c/d/f",
      ]);
      touch(join(root, `a/b/c/${round}`));
      assert.equal((await watched.upTo(`create.file a/b/c/${round}`)).length, 1);
      renameSync(join(root, "a"), join(root, "x"));
      assert.deepEqual(await watched.upTo("rename.out a/b/c"), ["rename.out a/b/c"]);
      rmSync(join(root, `x/b/c/${round}`));
    }
  });

  test(`${name}: a parent is moved in while much else is still to be read`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    for (const path of ["a/b/c", "other"]) mkdirSync(join(root, path), { recursive: true });
    touch(join(root, "a/b/c/f"));
    await using busy = await Watched.open(root, "other", { ...way, events: ["rename"] });
    await using watched = await Watched.open(root, "a/b/c", waiting);
    for (let round = 0; round < 5; round++) {
      renameSync(join(root, "a"), join(root, `x${round}`));
      assert.deepEqual(await watched.upTo("rename.out a/b/c"), ["rename.out a/b/c"]);
      mkdirSync(join(root, "a"));
      for (let i = 0; i < 3000; i++) touch(join(root, `other/${round} ${i}`));
      renameSync(join(root, `x${round}/b`), join(root, "a/b"));
      assert.deepEqual(
        await watched.upTo("create.file a/b/c/f"),
        ["create.directory a/b/c", "create.file a/b/c/f"],
      );
      touch(join(root, `a/b/c/${round}`));
      assert.deepEqual(
        await watched.upTo(`create.file a/b/c/${round}`),
        [`create.file a/b/c/${round}`],
      );
      rmSync(join(root, `a/b/c/${round}`));
      await watched.upTo(`remove a/b/c/${round}`);
    }
    assert.equal(busy.observer.events.length, 0);
  });

  test(`${name}: it and its parents are removed and made again`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    mkdirSync(join(root, "a/b/c"), { recursive: true });
    await using watched = await Watched.open(root, "a/b/c", waiting);
    for (const removed of ["a/b/c", "a/b", "a", "a", "a/b", "a/b/c"]) {
      touch(join(root, "a/b/c/f"));
      await watched.upTo("create.file a/b/c/f");
      rmSync(join(root, "a/b/c/f"));
      rmSync(join(root, removed), { recursive: true });
      mkdirSync(join(root, "a/b/c"), { recursive: true });
      const told = await watched.upTo("create.directory a/b/c");
      assert.deepEqual(
        told.filter((line) => !/^(create.file|modify)/.test(line)),
        ["remove a/b/c/f", "remove.directory a/b/c", "create.directory a/b/c"],
      );
    }
  });

  test(`${name}: a file where a parent should be`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    touch(join(root, "a"));
    await using watched = await Watched.open(root, "a/b", waiting);
    rmSync(join(root, "a"));
    mkdirSync(join(root, "a/b"), { recursive: true });
    assert.equal((await watched.upTo("create.directory a/b")).length, 1);
  });

  test(`${name}: a symlink on the way leads elsewhere`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    for (const release of ["1", "2"]) {
      mkdirSync(join(root, release));
      touch(join(root, release, "conf"));
    }
    symlinkSync("1", join(root, "now"));
    await using watched = await Watched.open(root, "now/conf", waiting);
    for (const release of ["2", "1", "2"]) {
      symlinkSync(release, join(root, "next"));
      renameSync(join(root, "next"), join(root, "now"));
      const told = await watched.upTo("create.file now/conf");
      assert.deepEqual(told, ["rename.out now/conf", "create.file now/conf"]);
      writeFileSync(join(root, "now/conf"), release);
      assert.deepEqual(await watched.upTo("modify.data now/conf"), ["modify.data now/conf"]);
    }
  });

  test(`${name}: a symlink that leads nowhere yet`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    symlinkSync("later/there", join(root, "link"));
    await using watched = await Watched.open(root, "link", waiting);
    mkdirSync(join(root, "later/there/d"), { recursive: true });
    touch(join(root, "later/there/d/f"));
    assert.deepEqual(await watched.upTo("create.file link/d/f"), [
      "create.directory link/d",
      "create.file link/d/f",
    ]);
    mkdirSync(join(root, "other"));
    touch(join(root, "other/g"));
    symlinkSync("other", join(root, "next"));
    renameSync(join(root, "next"), join(root, "link"));
    assert.deepEqual(await watched.upTo("create.file link/g"), [
      "rename.in link",
      "create.file link/g",
    ]);
    touch(join(root, "later/there/d/h"));
    touch(join(root, "link/end"));
    assert.deepEqual(await watched.upTo("create.file link/end"), ["create.file link/end"]);
  });

  test(`${name}: only what is asked for is told`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    const options: WatchOptions = { ...waiting, events: ["modify.data"], ignore: ["*.log"] };
    await using watched = await Watched.open(root, "a/b", options);
    mkdirSync(join(root, "a/b"), { recursive: true });
    await until(() => watched.observer.watcher.coverage()[0]!.gaps.length === 0);
    for (const file of ["f.log", "f"]) writeFileSync(join(root, "a/b", file), "f");
    assert.deepEqual(await watched.upTo("modify.data a/b/f"), ["modify.data a/b/f"]);
  });

  test(`${name}: a file, through atomic saves, and its directory's removal and return`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    mkdirSync(join(root, "a/b"), { recursive: true });
    touch(join(root, "a/b/f"));
    await using watched = await Watched.open(root, "a/b/f", way); // without the option
    for (const removed of ["a/b/f", "a/b", "a", "a/b"]) {
      for (let n = 0; n < 3; n++) {
        touch(join(root, "a/b/f~"));
        renameSync(join(root, "a/b/f~"), join(root, "a/b/f"));
        assert.deepEqual(await watched.upTo("rename.in a/b/f"), ["rename.in a/b/f"]);
      }
      rmSync(join(root, removed), { recursive: true });
      assert.deepEqual(await watched.upTo("remove a/b/f"), ["remove a/b/f"]);
      mkdirSync(join(root, "a/b"), { recursive: true });
      touch(join(root, "a/b/f"));
      assert.deepEqual(await watched.upTo("create.file a/b/f"), ["create.file a/b/f"]);
    }
    renameSync(join(root, "a/b"), join(root, "a/c"));
    assert.deepEqual(await watched.upTo("rename.out a/b/f"), ["rename.out a/b/f"]);
    writeFileSync(join(root, "a/c/f"), "x");
    renameSync(join(root, "a/c"), join(root, "a/b"));
    assert.deepEqual(await watched.upTo("create.file a/b/f"), ["create.file a/b/f"]);
  });

  test(`${name}: an end while it waits leaves nothing`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    const attempt = async () => {
      const watched = await Watched.open(root, "a/b/c", waiting);
      mkdirSync(join(root, "a/b/c"), { recursive: true }); // noticed or not
      await watched.observer.close();
      await watched.observer.ended;
      rmSync(join(root, "a"), { recursive: true });
    };
    await attempt();
    const before = openFiles();
    for (let n = 0; n < 20; n++) await attempt();
    await until(() => openFiles() <= before);
  });

  test(`${name}: a path in a path that is waited for, added and removed`, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    await using watched = await Watched.open(root, "a/b", waiting);
    const { watcher } = watched.observer;
    await watcher.add(join(root, "a/b/c"));
    await watcher.add(join(root, "other"));
    assert.deepEqual(
      watcher.coverage().map(({ path }) => path),
      ["a/b", "other"].map((path) => join(root, path)),
    );
    mkdirSync(join(root, "a/b/c"), { recursive: true });
    assert.deepEqual(await watched.upTo("create.directory a/b/c"), [
      "create.directory a/b",
      "create.directory a/b/c",
    ]);
    await watcher.remove(join(root, "a/b"));
    mkdirSync(join(root, "a/b/d"));
    mkdirSync(join(root, "other"));
    assert.deepEqual(await watched.upTo("create.directory other"), ["create.directory other"]);
  });

  for (const seed of [1, 2, 3]) {
    test(`${name}: the picture is the tree, whatever becomes of the parents, seed ${seed}`, async () => {
      using ground = new Ground();
      const { path: root } = ground;
      const path = join(root, "a/b/c");
      await using watched = await Watched.open(root, "a/b/c", waiting);
      const { observer } = watched;
      let count = 0;
      for (const act of randomActs(root, seed)) {
        try {
          act();
        } catch {
          continue; // not possible now
        }
        if (count++ % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      rmSync(join(root, "a"), { recursive: true, force: true });
      mkdirSync(path, { recursive: true });
      touch(join(path, "end"));
      const end = () => observer.events.some((event) => event.path === join(path, "end"));
      await observer.until(end, "the end");
      assert.deepEqual(pictureOf(observer.events), new Set(listed(path)));
    });
  }
}

/** What may happen to `a/b/c` and its parents. */
function* randomActs(root: string, seed: number): Generator<() => void> {
  const at = (path: string) => join(root, path);
  const make = (path: string) => () => void mkdirSync(at(path), { recursive: true });
  const move = (from: string, to: string) => () => renameSync(at(from), at(to));
  const remove = (path: string) => () => rmSync(at(path), { recursive: true });
  const write = (path: string) => () => touch(at(path));
  const acts = [
    ...["a/b/c", "a/b/c/d/e", "x/b/c/r", "y/c/q"].map(make),
    ...["a/b/c", "a/b/c/f", "a/b/c/d/f", "x/b/c/g"].map(write),
    ...["a", "a/b", "a/b/c", "x", "y"].map(remove),
    ...[["a", "x"], ["a/b", "y"], ["a/b/c", "z"]].flatMap(([one, other]) => [
      move(one!, other!),
      move(other!, one!),
    ]),
  ];
  for (let n = 0; n < 120; n++) {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0; // as rand() of ISO C
    yield acts[(seed >>> 16) % acts.length]!;
  }
}

/** What the events say is there. Nothing may come twice, or go without having come. */
function pictureOf(events: readonly WatchEvent[]): Set<string> {
  const picture = new Set<string>();
  const below = (path: string) =>
    [...picture].filter((one) => one === path || one.startsWith(`${path}/`));
  for (const { kind, path, from } of events) {
    if (matches(kind, "create")) {
      assert(!picture.has(path), `${kind} ${path}: it was there`);
      picture.add(path);
    } else if (kind === "rename.in") picture.add(path);
    else if (kind === "rename") {
      for (const one of below(from!)) {
        picture.delete(one);
        picture.add(path + one.slice(from!.length));
      }
    } else if (matches(kind, "remove") || kind === "rename.out") {
      // What came with a directory may be gone before anybody has looked into that.
      assert(picture.has(path) || picture.has(dirname(path)), `${kind} ${path}: it was not there`);
      for (const one of below(path)) picture.delete(one);
    } else assert.equal(kind, "modify.data");
  }
  return picture;
}

function listed(path: string): string[] {
  if (!existsSync(path)) return [];
  const names = lstatSync(path).isDirectory() ? readdirSync(path) : [];
  return [path, ...names.flatMap((name) => listed(join(path, name)))];
}

test("nobody may not wait where nobody may look", { skip: !isRoot && "needs root" }, async () => {
  const told = await runScript(
    `
    import { watch } from ${JSON.stringify(moduleFile("mod.ts"))};
    const watcher = watch("/root/a/b", { missing: "wait" });
    console.log(await watcher.ready.catch(({ code }) => code));
    await watcher.close();
  `,
    { asNobody: true },
  );
  assert.deepEqual(told, { status: 0, stdout: "EACCES\n", stderr: "" });
});

// As root a mark on the filesystem covers everything; nobody gets a mark a directory.
if (isRoot) {
  test("all of this as nobody", { timeout: 120_000 }, async () => {
    await testAsNobody("tests/missing_test.ts", 42);
  });
}

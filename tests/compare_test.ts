/** Differences between an index and a tree: applied to the picture, they give the tree. */

import assert from "node:assert/strict";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import test from "node:test";
import {
  BY_STATUS,
  compare,
  type Difference,
  type Judge,
  KNOWN,
  KNOWN_WITH_STATUS,
  since,
} from "../backends/poll/compare.ts";
import { FileIndex } from "../backends/poll/file_index.ts";
import { openLibc } from "../ffi/libc.ts";
import { decodeText } from "../ffi/text.ts";
import { exchange } from "./exchange.ts";
import { random, seed } from "./random.ts";
import { TemporaryDirectory } from "./runtime.ts";

const libc = await openLibc();

/** A tree with its index. */
class Compared implements Disposable {
  readonly #directory = new TemporaryDirectory();
  readonly #index: FileIndex;
  readonly #judge: Judge | undefined;
  #time = 0;
  /** Paths below on which something is mounted. */
  readonly mounts = new Set<string>();

  /** By statuses, or by the time of the last look. */
  constructor(byStatus: boolean, prepare: (at: (name: string) => string) => void) {
    prepare(this.at);
    this.#index = new FileIndex(byStatus);
    this.#judge = byStatus ? BY_STATUS : undefined;
    assert.deepEqual(this.#compare(byStatus ? KNOWN_WITH_STATUS : KNOWN), []);
  }

  readonly at = (name: string): string => join(this.#directory.path, name);

  /** The differences since the last time. */
  differences(): Difference[] {
    return this.#compare(this.#judge ?? since(this.#time));
  }

  /** {@linkcode differences} as text, sorted. */
  told(): string[] {
    return this.differences().map(({ kind, type, path, from }) =>
      `${kind} ${type} ${from === undefined ? "" : `${decodeText(from)} -> `}${decodeText(path)}`
    ).sort();
  }

  #compare(judge: Judge): Difference[] {
    const ground = {
      libc,
      root: this.#directory.path,
      recursive: true,
      only: undefined,
      leavesOut: undefined,
      isHidden: (path: Uint8Array) => this.mounts.has(decodeText(path)),
    };
    this.#time = Date.now() * 1000;
    return [...compare(ground, this.#index, judge)].filter((one) => one !== undefined);
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }
}

const CASES: Readonly<
  Record<string, {
    readonly before?: (at: (name: string) => string) => void;
    readonly work: (at: (name: string) => string) => void;
    readonly told: readonly string[];
  }>
> = {
  "nothing": { work: () => {}, told: [] },
  "what is new": {
    work(at) {
      mkdirSync(at("d/e"), { recursive: true });
      writeFileSync(at("d/e/f"), "");
      symlinkSync("f", at("s"));
    },
    told: ["create directory d", "create directory d/e", "create file d/e/f", "create symlink s"],
  },
  "what is gone": {
    before(at) {
      mkdirSync(at("d/e"), { recursive: true });
      writeFileSync(at("d/e/f"), "");
    },
    work: (at) => rmSync(at("d"), { recursive: true }),
    told: ["remove directory d", "remove directory d/e", "remove file d/e/f"],
  },
  "another link": {
    before: (at) => writeFileSync(at("f"), ""),
    work: (at) => linkSync(at("f"), at("g")),
    told: ["link file g", "modify.metadata file f"],
  },
  "data": {
    before: (at) => writeFileSync(at("f"), "one"),
    work: (at) => truncateSync(at("f"), 1),
    told: ["modify.data file f"],
  },
  "permissions": {
    before(at) {
      writeFileSync(at("f"), "one");
      mkdirSync(at("d"));
    },
    work(at) {
      chmodSync(at("f"), 0o600);
      chmodSync(at("d"), 0o700);
    },
    told: ["modify.metadata directory d", "modify.metadata file f"],
  },
  "a directory renamed, and what changed inside": {
    before(at) {
      mkdirSync(at("a/b/c"), { recursive: true });
      writeFileSync(at("a/b/f"), "");
      writeFileSync(at("a/b/c/g"), "");
      mkdirSync(at("z"));
    },
    work(at) {
      renameSync(at("a/b"), at("z/y"));
      rmSync(at("z/y/f"));
      writeFileSync(at("z/y/c/h"), "");
    },
    told: ["create file z/y/c/h", "remove file z/y/f", "rename directory a/b -> z/y"],
  },
  "a file in the place of another": {
    before(at) {
      writeFileSync(at("f"), "old");
      writeFileSync(at("g"), "new");
    },
    work: (at) => renameSync(at("g"), at("f")),
    told: ["rename file g -> f"],
  },
  "a new file in the place of another": {
    before: (at) => writeFileSync(at("f"), "old"),
    work(at) {
      writeFileSync(at("g"), "new");
      renameSync(at("g"), at("f"));
    },
    told: ["create file f", "remove file f"],
  },
  "two files exchanged": {
    before(at) {
      mkdirSync(at("z"));
      writeFileSync(at("f"), "one");
      writeFileSync(at("z/g"), "other");
    },
    work: (at) => exchange(at("f"), at("z/g")),
    told: ["create file z/g", "rename file z/g -> f"],
  },
  "a directory and a file exchanged": {
    before(at) {
      mkdirSync(at("z/d/e"), { recursive: true });
      writeFileSync(at("f"), "");
    },
    work: (at) => exchange(at("z/d"), at("f")),
    told: ["create file z/d", "remove file f", "rename directory z/d -> f"],
  },
  "two directories exchanged": {
    before(at) {
      mkdirSync(at("d/e"), { recursive: true });
      mkdirSync(at("z/y"), { recursive: true });
      writeFileSync(at("d/f"), "");
      writeFileSync(at("z/y/g"), "");
    },
    work: (at) => exchange(at("d"), at("z/y")),
    told: [
      "create directory z/y",
      "create directory z/y/e",
      "create file z/y/f",
      "remove directory d/e",
      "remove file d/f",
      "rename directory z/y -> d",
    ],
  },
  "a directory in the place of the one that it was in": {
    before(at) {
      mkdirSync(at("a/b/c"), { recursive: true });
      writeFileSync(at("a/f"), "");
    },
    work(at) {
      renameSync(at("a/b"), at("t"));
      rmSync(at("a"), { recursive: true });
      renameSync(at("t"), at("a"));
    },
    told: [
      "create directory a",
      "create directory a/c",
      "remove directory a",
      "remove directory a/b",
      "remove directory a/b/c",
      "remove file a/f",
    ],
  },
  "a directory in the place of another that was not empty": {
    before(at) {
      mkdirSync(at("a"));
      mkdirSync(at("b"));
      writeFileSync(at("a/f"), "");
      writeFileSync(at("b/g"), "");
    },
    work(at) {
      rmSync(at("b/g"));
      renameSync(at("a"), at("b"));
    },
    told: ["remove file b/g", "rename directory a -> b"],
  },
  "a file in the place of a directory": {
    before(at) {
      writeFileSync(at("f"), "");
      mkdirSync(at("d"));
    },
    work(at) {
      rmSync(at("d"), { recursive: true });
      renameSync(at("f"), at("d"));
    },
    told: ["remove directory d", "rename file f -> d"],
  },
  "a directory in the place of a file": {
    before: (at) => writeFileSync(at("f"), "old"),
    work(at) {
      rmSync(at("f"));
      mkdirSync(at("f"));
    },
    told: ["create directory f", "remove file f"],
  },
};

/** Time in which the kernel's clock of timestamps moves on. */
const tick = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 45);

for (const [name, { before, work, told }] of Object.entries(CASES)) {
  for (const byStatus of [true, false]) {
    test(`${name}, by ${byStatus ? "status" : "time"}`, () => {
      using compared = new Compared(byStatus, (at) => before?.(at));
      // By time even a directory that is not listed yet is told of, but not what it lost.
      tick();
      compared.differences();
      tick();
      compared.differences();
      work(compared.at);
      assert.deepEqual(compared.told(), told);
      assert.deepEqual(compared.told().filter((line) => byStatus || /^(create|re)/.test(line)), []);
    });
  }
}

for (const byStatus of [true, false]) {
  test(`random changes by ${byStatus ? "status" : "time"}, seed ${seed}`, () => {
    const next = random(seed);
    const pick = <T>(of: readonly T[]): T => of[Math.floor(next() * of.length)]!;
    using compared = new Compared(byStatus, () => {});
    const picture = new Map<string, boolean>();
    const path = () =>
      Array.from({ length: 1 + Math.floor(next() * 3) }, () => pick(["a", "b", "c", "é"])).join(
        "/",
      );
    const attempt = (change: () => void) => {
      try {
        change();
      } catch { // there is no such file, or another one
      }
    };
    for (let round = 0; round < 60; round++) {
      if (!byStatus) tick();
      for (let step = 0; step < 20; step++) {
        const [one, other] = [compared.at(path()), compared.at(path())];
        attempt(pick([
          () => writeFileSync(one, "x".repeat(step)),
          () => mkdirSync(one, { recursive: true }),
          () => mkdirSync(one, { recursive: true }),
          () => renameSync(one, other),
          () => renameSync(one, other),
          () => exchange(one, other),
          () => linkSync(one, other),
          () => rmSync(one, { recursive: true }),
        ]));
      }
      const differences = compared.differences();
      for (const { kind, type, path, from } of differences) {
        const name = decodeText(path);
        const below = (top: string) =>
          [...picture].filter(([one]) => one === top || one.startsWith(`${top}/`));
        const above = name.slice(0, Math.max(0, name.lastIndexOf("/")));
        assert(above === "" || picture.get(above) === true, `${kind} ${name} before its parent`);
        if (kind === "remove") {
          assert(picture.has(name), `remove ${name}, which is not there`);
          assert.equal(below(name).length, 1, `remove ${name} before what is in it`);
          picture.delete(name);
        } else if (kind === "create" || kind === "link") {
          assert(!picture.has(name), `create ${name}, which is there`);
          picture.set(name, type === "directory");
        } else if (kind === "rename") {
          const old = decodeText(from!);
          const moved = below(old);
          assert(moved.length > 0, `rename of ${old}, which is not there`);
          for (const [gone] of moved) picture.delete(gone);
          for (const [gone] of below(name)) picture.delete(gone);
          for (const [one, is] of moved) picture.set(name + one.slice(old.length), is);
        } else assert(picture.has(name), `${kind} ${name}, which is not there`);
      }
      const tree = readdirSync(compared.at(""), { recursive: true, withFileTypes: true })
        .map((
          entry,
        ) => [
          join(entry.parentPath, entry.name).slice(compared.at("x").length - 1),
          entry.isDirectory(),
        ]);
      assert.deepEqual([...picture].sort(), tree.sort(), `round ${round}`);
    }
  });
}

for (const byStatus of [false, true]) {
  test(`what a mount hides and shows, by ${byStatus ? "status" : "time"}`, () => {
    using compared = new Compared(byStatus, (at) => {
      mkdirSync(at("m/d/e"), { recursive: true });
      writeFileSync(at("m/f"), "");
    });
    compared.mounts.add("m");
    assert.deepEqual(compared.told(), [
      "remove directory m/d",
      "remove directory m/d/e",
      "remove file m/f",
    ]);
    writeFileSync(compared.at("m/g"), "");
    mkdirSync(compared.at("other"));
    assert.deepEqual(compared.told(), ["create directory other"]);
    compared.mounts.clear();
    assert.deepEqual(compared.told(), [
      "create directory m/d",
      "create directory m/d/e",
      "create file m/f",
      "create file m/g",
    ]);
    compared.mounts.add(""); // the root itself
    const told = compared.differences();
    assert.equal(told.length, 6);
    for (const [i, { path }] of told.entries()) {
      const above = told.slice(0, i).some((one) =>
        decodeText(path).startsWith(`${decodeText(one.path)}/`)
      );
      assert(!above, "the innermost first");
    }
  });
}

/** What the kernel hides by merging records: told all the same, and nothing else is. */

import assert from "node:assert/strict";
import { mkdirSync, renameSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import type { WatchOptions } from "../mod.ts";
import { exchange } from "./exchange.ts";
import { Ground, Seen } from "./ground.ts";
import { isRoot, testAsNobody } from "./runtime.ts";

const OPTIONS: WatchOptions = { backend: "fanotify", events: ["create", "rename", "remove"] };

interface Case {
  readonly before?: (at: (name: string) => string) => void;
  readonly work: (at: (name: string) => string) => void;
  readonly told: readonly string[];
}

/** Done at a stretch, so that all of it is queued when it is read; `+` marks what no record told. */
const CASES: Readonly<Record<string, Case>> = {
  "a rename that is repeated": {
    before: (at) => writeFileSync(at("a"), ""),
    work(at) {
      for (const [from, to] of ["ab", "ba", "ab"]) renameSync(at(from!), at(to!));
    },
    told: ["rename b", "rename a", "+rename b"],
  },
  "a file that is removed where it was created, renamed in between": {
    work(at) {
      writeFileSync(at("b"), "");
      renameSync(at("b"), at("c"));
      renameSync(at("c"), at("b"));
      rmSync(at("b"));
    },
    told: ["create b", "remove b", "rename c", "rename b", "+remove b"],
  },
  "a directory of that kind": {
    work(at) {
      mkdirSync(at("b"));
      renameSync(at("b"), at("c"));
      renameSync(at("c"), at("b"));
      rmdirSync(at("b"));
    },
    told: [
      "create.directory b",
      "remove.directory b",
      "rename c",
      "rename b",
      "+remove.directory b",
    ],
  },
  "one that came into a directory which had been told to be gone, and whose name another one has": {
    before: (at) => mkdirSync(at("b/b"), { recursive: true }),
    work(at) {
      mkdirSync(at("x/b/f"), { recursive: true });
      renameSync(at("x/b"), at("c"));
      renameSync(at("c"), at("x/b"));
      rmSync(at("x"), { recursive: true });
      renameSync(at("b"), at("x"));
    },
    told: [
      "create.directory x",
      "remove.directory x",
      "create.directory x/b",
      "remove.directory x/b",
      "create.directory x/b/f",
      "remove.directory x/b/f",
      "rename c",
      "rename x/b",
      "+remove.directory x/b",
      "rename x",
    ],
  },
  "a directory whose last move is not told, and in which more is made behind another of its name": {
    work(at) {
      mkdirSync(at("b"));
      for (const [from, to] of ["bc", "cb", "bc"]) renameSync(at(from!), at(to!));
      mkdirSync(at("b"));
      writeFileSync(at("c/f"), "");
    },
    told: [
      "create.directory b",
      "rename c",
      "rename b",
      "+rename.out b",
      "create.directory b",
      "+create.directory c",
      "+create.file c/f",
    ],
  },
  "one whose name another one has since": {
    work(at) {
      writeFileSync(at("b"), "");
      renameSync(at("b"), at("c"));
      renameSync(at("c"), at("b"));
      rmSync(at("b"));
      mkdirSync(at("b"));
    },
    told: ["create b", "remove b", "rename c", "rename b", "create.directory b"],
  },
  "a repeated rename from a name that another one has since": {
    before: (at) => writeFileSync(at("a"), ""),
    work(at) {
      for (const [from, to] of ["ab", "ba", "ab"]) renameSync(at(from!), at(to!));
      mkdirSync(at("a"));
    },
    told: ["rename b", "rename a", "create.directory a", "+create.file b"],
  },
  "a directory of that kind, with what is in it": {
    before(at) {
      mkdirSync(at("a"));
      writeFileSync(at("a/f"), "");
    },
    work(at) {
      for (const [from, to] of ["ab", "ba", "ab"]) renameSync(at(from!), at(to!));
      mkdirSync(at("a"));
    },
    told: [
      "rename b",
      "rename a",
      "+rename.out a",
      "create.directory a",
      "+create.directory b",
      "+create.file b/f",
    ],
  },
  "a directory of that kind, in another one": {
    work(at) {
      mkdirSync(at("a/b"), { recursive: true });
      renameSync(at("a/b"), at("c"));
      renameSync(at("c"), at("a/b"));
      rmdirSync(at("a/b"));
      rmdirSync(at("a"));
    },
    told: [
      "create.directory a",
      "remove.directory a",
      "create.directory a/b",
      "remove.directory a/b",
      "rename c",
      "rename a/b",
      "+remove.directory a/b",
    ],
  },
  "an exchange that is repeated": {
    before(at) {
      for (const name of ["a", "b"]) mkdirSync(at(name));
      writeFileSync(at("a/f"), "");
      writeFileSync(at("b/g"), "");
    },
    work(at) {
      for (let n = 0; n < 3; n++) exchange(at("a"), at("b"));
    },
    told: [
      "rename b",
      "rename.in a",
      "+create.file a/g",
      "rename b",
      "rename.in a",
      "+create.file a/f",
      "+rename b",
      "+create.directory a",
      "+create.file a/g",
    ],
  },
};

for (const [name, { before, work, told }] of Object.entries(CASES)) {
  test(name, { skip: !isRoot && "needs root", timeout: 30_000 }, async () => {
    using ground = new Ground();
    const at = (path: string) => join(ground.path, path);
    before?.(at);
    await using seen = new Seen(ground.path, ground.path, OPTIONS);
    await seen.watcher.ready;
    work(at);
    for (const line of told) {
      const { kind, path, synthetic } = await seen.next();
      assert.equal(`${synthetic ? "+" : ""}${kind} ${path.slice(ground.path.length + 1)}`, line);
    }
    writeFileSync(at("end"), "");
    assert.deepEqual(await seen.upTo("end"), []);
  });
}

/** Renames out of the watched directory and into it, and what is told of them: with a mark on the filesystem, or on directories. */
const MOVES: Readonly<
  Record<string, { readonly moves: string; readonly told: readonly string[] }>
> = {
  "a move out that is repeated": {
    moves: "out in out",
    told: ["rename.out a", "rename.in a", "+rename.out a"],
  },
  "a move in that is repeated": {
    moves: "in out in",
    told: ["rename.in a", "rename.out a", isRoot ? "+rename.in a" : "rename.in a"],
  },
};

for (const [name, { moves, told }] of Object.entries(MOVES)) {
  test(name, { timeout: 30_000 }, async () => {
    using ground = new Ground();
    const at = (path: string) => join(ground.path, path);
    for (const path of ["in", "out"]) mkdirSync(at(path));
    const steps = moves.split(" ");
    writeFileSync(at(steps[0] === "out" ? "in/a" : "out/a"), "");
    await using seen = new Seen(at("in"), at("in"), OPTIONS);
    await seen.watcher.ready;
    for (const to of steps) renameSync(at(to === "out" ? "in/a" : "out/a"), at(`${to}/a`));
    for (const line of told) {
      const { kind, path, synthetic } = await seen.next(line);
      assert.equal(`${synthetic ? "+" : ""}${kind} ${path.slice(at("in").length + 1)}`, line);
    }
    writeFileSync(at("in/end"), "");
    assert.deepEqual(await seen.upTo("end"), []);
  });
}

if (isRoot) {
  test("moves as nobody, with marks on directories", { timeout: 60_000 }, async () => {
    await testAsNobody("tests/merged_records_test.ts", Object.keys(MOVES).length, 50_000);
  });
}

/** What is ignored costs nothing: no watch, no mark, no look inside, and one question. */

import assert from "node:assert/strict";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { gitignore, type WatchOptions } from "../mod.ts";
import { Ground, Seen } from "./ground.ts";
import { aWhile, isRoot, testAsNobody, within } from "./runtime.ts";

/** How many watches and marks this process has in the kernel (proc_pid_fdinfo(5)). */
function kernelMarks(): number {
  let count = 0;
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      if (!/inotify|fanotify/.test(readlinkSync(`/proc/self/fd/${fd}`))) continue;
      const info = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
      count += info.match(/^(inotify wd|fanotify (ino|mnt_id|sdev)):/gm)?.length ?? 0;
    } catch {
      // the one that listed the directory
    }
  }
  return count;
}

type Ignore = NonNullable<WatchOptions["ignore"]>;

/** Ways to say that directories of the name `drop` are ignored; a function notes the paths that it is asked for. */
const IGNORES: Readonly<Record<string, (asked: string[]) => Promise<Ignore> | Ignore>> = {
  "a glob": () => "drop",
  "a glob of all below": () => "**/drop/**",
  "an expression": () => /\/drop$/,
  "a function": (asked) => (path) => (asked.push(path), path.endsWith("/drop")),
  gitignore: () => gitignore(),
};

const LONG_AGO = new Date("2001-01-01");

for (const backend of ["inotify", "fanotify"] as const) {
  /** As root one mark covers the filesystem. */
  const isWhole = backend === "fanotify" && isRoot;

  for (const [name, ignoring] of Object.entries(IGNORES)) {
    test(
      `${backend}: ${name} is asked before anything is watched`,
      { timeout: 60_000 },
      async () => {
        using ground = new Ground();
        const { path: base } = ground;
        const root = join(base, "w");
        const at = (path: string) => join(root, path);
        const make = (...paths: readonly string[]) => {
          for (const path of paths) mkdirSync(at(path), { recursive: true });
        };
        make("drop/deep", "keep/in", "keep/drop/deep", "../out/in", "../out/drop/deep", ".git");
        writeFileSync(at(".gitignore"), "drop/\n");
        const all = ["drop", "drop/deep", "keep", "keep/in", "keep/drop", "keep/drop/deep"];
        const age = (path: string) => utimesSync(at(path), LONG_AGO, LONG_AGO);
        for (const path of [...all, "../out/drop", "../out/drop/deep"]) age(path);
        const asked: string[] = [];
        // Git ignores its own directory as well.
        const ignore = [await ignoring(asked), ".git"].flat();
        const before = kernelMarks();
        await using seen = new Seen(root, root, { backend, ignore, events: ["create", "rename"] });
        const { watcher } = seen;
        await watcher.ready;
        /** The kernel, the coverage and the statistics agree on how many directories are watched. */
        const watched = (count: number, left = 0) => {
          const expected = isWhole ? 1 : count;
          const [{ watches } = { watches: 0 }] = watcher.coverage();
          const actual = [kernelMarks() - before - left, watches, watcher.stats().watches];
          assert.deepEqual(actual, [expected, expected, expected]);
        };
        let ends = 0;
        const told = async () => {
          writeFileSync(at(`end${++ends}`), "");
          return await seen.upTo(`end${ends}`);
        };
        watched(3); // w, keep, keep/in

        // The names are read in the background; a relatime mount notes the first time after a change.
        const wasRead = (path: string) => statSync(at(path)).atimeMs !== LONG_AGO.getTime();
        const reading = async () => {
          while (!wasRead("keep/in")) await aWhile();
        };
        await within(reading(), "the names");
        assert.deepEqual(all.filter(wasRead), ["keep", "keep/in"]);

        make("new/in", "new/drop/deep");
        for (const path of ["new/drop", "new/drop/deep"]) age(path);
        const created = (await told()).sort();
        assert.deepEqual(created, ["create.directory new", "create.directory new/in"]);
        watched(5);

        renameSync(at("../out"), at("moved"));
        assert.deepEqual(await told(), ["rename.in moved", "create.directory moved/in"]);
        watched(7);

        for (const path of ["drop/f", "keep/drop/deep/f", "new/drop/deep/f", "moved/drop/f"]) {
          writeFileSync(at(path), "");
        }
        assert.deepEqual(await told(), []);
        for (const drop of ["drop", "keep/drop", "new/drop", "moved/drop"]) {
          assert(!wasRead(drop) && !wasRead(`${drop}/deep`), drop);
        }

        // A name that is ignored is taken, and given up.
        renameSync(at("new"), at("moved/drop/new"));
        assert.deepEqual(await told(), ["rename.out new"]);
        // Nobody knows where it is now, and fanotify takes a mark back by its path.
        const left = backend === "fanotify" && !isWhole ? 2 : 0;
        watched(5, left);
        renameSync(at("keep/drop"), at("kept"));
        assert.deepEqual(await told(), [
          "rename.in kept",
          "create.directory kept/deep",
          "create.file kept/deep/f",
        ]);
        watched(7, left);

        assert.equal(asked.length, new Set(asked).size, `asked twice: ${asked.sort()}`);
        assert.deepEqual(asked.filter((path) => path.includes("/drop/")), []);
        assert.equal(asked.length > 0, name === "a function");
        await watcher.close();
        assert.equal(kernelMarks(), before);
      },
    );
  }
}

if (isRoot) {
  test("all of this as nobody", { timeout: 120_000 }, async () => {
    await testAsNobody("tests/pruning_test.ts", 10);
  });
}

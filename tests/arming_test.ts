/** Directories that change while they are looked into: all that is there in the end is told, and is watched. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { watch, type WatchOptions } from "../mod.ts";
import { Model } from "../scripts/real_work/model.ts";
import { Observer, within } from "../scripts/real_work/observer.ts";
import { Ground } from "./ground.ts";
import { isRoot, testAsNobody } from "./runtime.ts";

const WAYS: readonly (readonly [name: string, options: WatchOptions])[] = [
  ["fanotify", { backend: "fanotify" }],
  ["inotify", { backend: "inotify" }],
];

/** Paths begin with `in`, the watched directory, or `out`, the place beside it. */
interface Hands {
  /** A directory, with its parents. */
  readonly make: (...paths: string[]) => void;
  readonly move: (from: string, to: string) => void;
  readonly write: (path: string) => void;
  readonly remove: (path: string) => void;
}

interface Case {
  readonly before?: (hands: Hands) => void;
  readonly work: (hands: Hands) => void;
}

/** Done at a stretch: the directories are looked into when all of it has happened. */
const CASES: Readonly<Record<string, Case>> = {
  "moved in, and one inside moved on": {
    before: ({ make, write }) => (make("out/d/c/b"), write("out/d/c/b/f")),
    work({ move }) {
      move("out/d", "in/d");
      move("in/d/c", "in/e");
    },
  },
  "moved in, one inside moved on, and removed": {
    before: ({ make, write }) => (make("out/d/c/b", "in/e"), write("out/d/c/f")),
    work({ move, remove }) {
      move("out/d", "in/d");
      move("in/d/c", "in/e/c");
      remove("in/d");
    },
  },
  "moved in, and renamed inside, over an empty one": {
    before: ({ make, write }) => (make("out/d/b", "out/d/é"), write("out/d/b/f")),
    work({ move }) {
      move("out/d", "in/d");
      move("in/d/b", "in/d/é");
    },
  },
  "moved in, and a file inside made a directory": {
    before: ({ make }) => make("out/d"),
    work({ move, write, make, remove }) {
      move("out/d", "in/d");
      for (const name of ["t", "u"]) write(`in/d/${name}`);
      move("in/d/t", "in/d/c");
      move("in/d/u", "in/d/c");
      remove("in/d/c");
      make("in/d/c/é");
    },
  },
  "moved in and out and in": {
    before: ({ make, write }) => (make("out/d/b"), write("out/d/b/f")),
    work({ move, write }) {
      move("out/d", "in/d");
      move("in/d", "out/d");
      write("out/d/g");
      move("out/d", "in/d");
    },
  },
  "made, removed and made again": {
    work({ make, write, remove }) {
      for (const name of ["x", "y", "z"]) {
        make(`in/d/${name}`);
        write(`in/d/${name}/f`);
        if (name !== "z") remove("in/d");
      }
    },
  },
  "one that was there, removed and made again": {
    before: ({ make, write }) => (make("in/d/x"), write("in/d/x/f")),
    work({ make, write, remove }) {
      remove("in/d");
      make("in/d/x/y");
      write("in/d/x/g");
    },
  },
  "made, and renamed with what is in it": {
    work({ make, move, write }) {
      make("in/a/b/c");
      move("in/a", "in/e");
      move("in/e/b", "in/f");
      write("in/f/c/g");
      make("in/a/b");
    },
  },
  "made, and moved into one that is made": {
    work({ make, move, write }) {
      make("in/b/ф", "in/é");
      move("in/b", "in/é/x");
      write("in/é/x/c");
      make("in/b");
    },
  },
  "renamed twice, in a directory that has left since": {
    before: ({ make }) => make("in/é", "in/x"),
    work({ make, move }) {
      move("in/x", "in/ф");
      move("in/ф", "in/é/ф");
      move("in/é", "out/é");
      make("in/é/ф");
    },
  },
  "removed while it is looked into": {
    work({ make, write, remove }) {
      for (let n = 0; n < 40; n++) {
        make(`in/d${n}/x/y/z`);
        write(`in/d${n}/x/y/f`);
      }
      for (let n = 0; n < 40; n += 2) remove(n % 4 === 0 ? `in/d${n}` : `in/d${n}/x/y`);
    },
  },
};

for (const [name, options] of WAYS) {
  for (const [what, { before, work }] of Object.entries(CASES)) {
    test(`${name}: ${what}`, { timeout: 30_000 }, async () => {
      using ground = new Ground();
      const root = join(ground.path, "in");
      const at = (path: string) => join(ground.path, path);
      const hands: Hands = {
        make: (...paths) => paths.forEach((path) => mkdirSync(at(path), { recursive: true })),
        move: (from, to) => renameSync(at(from), at(to)),
        write: (path) => writeFileSync(at(path), ""),
        remove: (path) => rmSync(at(path), { recursive: true }),
      };
      hands.make("in", "out");
      before?.(hands);
      const watcher = watch(root, { ...options, recover: "signal" });
      const model = Model.ofDisk(root, true);
      const lost: string[] = [];
      const observer = new Observer(watcher, (event) => {
        if (event.kind === "lost") lost.push(`${event.attributes.reason}`);
        model.apply(event);
      });
      try {
        await within(watcher.ready, "the watcher");
        work(hands);
        await settled(observer, model, join(root, "end"));
        // Each directory is watched.
        const entries = readdirSync(root, { withFileTypes: true, recursive: true });
        for (const entry of entries.filter((entry) => entry.isDirectory())) {
          writeFileSync(join(entry.parentPath, entry.name, "late"), "");
        }
        await settled(observer, model, join(root, "end2"));
        assert.deepEqual(lost, []);
      } finally {
        await observer.close();
      }
    });
  }
}

/** Waits until the picture is the tree, with a file that is made now. */
async function settled(observer: Observer, model: Model, end: string): Promise<void> {
  writeFileSync(end, "");
  await observer.until(() => model.differences().length === 0, "the picture", 3000).catch(() => {});
  assert.deepEqual(model.differences(), []);
}

/** Steps into directories whose path is longer than a system call takes (PATH_MAX, 4096). */
function deep(directory: string, step: string): void {
  const steps = `i=0; while [ $i -lt 60 ]; do ${step}; cd -P ${LONG}; i=$((i+1)); done; : >f$i`;
  execFileSync("sh", ["-euc", steps], { cwd: directory });
}

const LONG = "n".repeat(100);

for (const [name, options] of WAYS) {
  test(`${name}: deeper than a path may be long`, { timeout: 30_000 }, async () => {
    using ground = new Ground();
    const { path: root } = ground;
    deep(root, `mkdir ${LONG}`);
    const watcher = watch(root, { ...options, recover: "signal" });
    try {
      const observer = new Observer(watcher);
      await within(watcher.ready, "the watcher");
      const [covered] = watcher.coverage();
      deep(root, `: >f$i`);
      writeFileSync(join(root, "end"), "");
      const { events } = observer;
      await observer.until(() => events.some(({ path }) => path === join(root, "end")), "the end");
      const paths = events.map(({ path }) => path);
      const level = (n: number) => join(root, ...Array<string>(n).fill(LONG), `f${n}`);
      if (covered!.by === "filesystem") {
        for (let n = 0; n <= 60; n++) assert(paths.includes(level(n)), `the file at level ${n}`);
      } else {
        // What cannot be watched is lost aloud, and a gap.
        assert(paths.includes(level(30)));
        assert(events.some(({ kind, attributes }) => {
          return kind === "lost" && `${attributes.reason}`.includes("ENAMETOOLONG");
        }));
        assert.match(covered!.gaps[0]!.reason, /ENAMETOOLONG/);
      }
    } finally {
      await watcher.close();
      execFileSync("find", [root, "-mindepth", "1", "-delete"]);
    }
  });
}

// As root a mark on the filesystem covers everything; nobody gets a mark a directory.
if (isRoot) {
  test("all of this as nobody", { timeout: 120_000 }, async () => {
    await testAsNobody("tests/arming_test.ts", 24);
  });
}

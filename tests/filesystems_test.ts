/** What watches each type of filesystem, whether it tells what happens there, and what nothing tells. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { type Coverage, watch, type WatchOptions } from "../mod.ts";
import { moduleCommand, runAsNobody } from "../scripts/real_work/process.ts";
import { type Case, type Difference, readCases, runCase, type Way } from "./cases/case.ts";
import { Filesystem, type FilesystemType, whyNot } from "./filesystem.ts";
import { isSince } from "./kernel.ts";
import { Seen } from "./ground.ts";
import { moduleFile, runScript, within } from "./runtime.ts";

/** How fanotify covers each type for root: by one mark on it, or by a mark a directory. */
const MARKS: Readonly<Record<FilesystemType, "filesystem" | "inode">> = {
  "ext4": "filesystem",
  "xfs": "filesystem",
  "btrfs": "filesystem",
  "btrfs subvolume": "inode",
  "btrfs snapshot": "inode",
  "tmpfs": "filesystem",
  "overlay": "inode",
  "overlay nfs_export": "inode",
  "fuse": "inode",
  "bind": "filesystem",
  "squashfs": "filesystem",
};

/** What can be mounted. */
const TYPES = Object.keys(MARKS) as FilesystemType[];

/** What no way of watching tells. */
const GAPS: Readonly<Partial<Record<FilesystemType, string>>> = {
  fuse:
    'the kernel announces no changes that are made on the other side of fuse; use backend: "poll"',
};

/** What has no fsid, or that of another, which fanotify refuses before Linux 6.8. */
const WITHOUT_FSID: readonly FilesystemType[] = [
  "btrfs subvolume",
  "btrfs snapshot",
  "overlay",
  "fuse",
];

/** Whether fanotify refuses the type, so that `auto` takes inotify. */
function isRefused(type: FilesystemType): boolean {
  return WITHOUT_FSID.includes(type) && !isSince([6, 8]);
}

function skipOf(types: readonly FilesystemType[], way: Way | "fanotify"): string | false {
  return types.map(whyNot).find((reason) => reason !== false) ??
    (way !== "inotify" && types.some(isRefused) && "refused, as who watches it shows");
}

// --- who watches ---

/** The choices of a user, and how each covers a filesystem. */
const CHOICES: readonly (readonly [
  options: WatchOptions,
  asRoot: (marks: string) => string,
  asNobody: string,
])[] = [
  [
    {},
    (marks) => marks === "filesystem" ? "fanotify filesystem" : "inotify watch",
    "inotify watch",
  ],
  [{ backend: "inotify" }, () => "inotify watch", "inotify watch"],
  [{ backend: "fanotify" }, (marks) => `fanotify ${marks}`, "fanotify inode"],
  [{ recursive: false, backend: "fanotify" }, () => "fanotify inode", "fanotify inode"],
];

/** What covers a path, and what of it is not. */
function brief(coverage: readonly Coverage[]): string[] {
  return coverage.flatMap(({ backend, by, gaps }) => [
    `${backend} ${by}`,
    ...gaps.map(({ reason }) => reason.replace("fuse.bindfs", "fuse")), // as its version mounts
  ]);
}

for (const type of TYPES) {
  test(`${type}: who watches it, for root and for nobody`, { skip: whyNot(type) }, async () => {
    using filesystem = new Filesystem(type);
    const { path } = filesystem;
    const gap = GAPS[type] === undefined ? [] : [GAPS[type]];
    /** What a choice comes to, where fanotify would take it. */
    const expected = (options: WatchOptions, by: string): string[] => {
      if (!isRefused(type) || !by.startsWith("fanotify")) return [by, ...gap];
      return options.backend === "fanotify" ? ["UnsupportedError"] : ["inotify watch", ...gap];
    };
    for (const [options, asRoot] of CHOICES) {
      const watcher = watch(path, options);
      const error = await within(watcher.ready, "the watcher").catch((error) => error);
      const said = error === undefined ? brief(watcher.coverage()) : [error.name];
      assert.deepEqual(said, expected(options, asRoot(MARKS[type])));
      await watcher.close();
    }
    const { status, stdout, stderr } = await runScript(
      `
      import process from "node:process";
      import { watch } from ${JSON.stringify(moduleFile("mod.ts"))};
      const [path, choices] = process.argv.slice(2);
      for (const options of JSON.parse(choices)) {
        const watcher = watch(path, options);
        const error = await watcher.ready.catch((error) => error);
        console.log(JSON.stringify(error?.name ?? watcher.coverage()));
        await watcher.close();
      }
      `,
      { asNobody: true, args: [path, JSON.stringify(CHOICES.map(([options]) => options))] },
    );
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
    const lines = stdout.trim().split("\n");
    assert.equal(lines.length, CHOICES.length);
    for (const [i, [options, , asNobody]] of CHOICES.entries()) {
      const said: string | Coverage[] = JSON.parse(lines[i]!);
      assert.deepEqual(
        typeof said === "string" ? [said] : brief(said),
        expected(options, asNobody),
      );
    }
  });
}

// --- what it tells ---

interface Ended {
  readonly name: string;
  readonly difference?: Difference | undefined;
  readonly error?: string;
}

/** Those of `cases/` that did not end as they should. */
function failed(ended: readonly Ended[], cases: readonly Case[]): readonly Ended[] {
  assert.deepEqual(ended.map(({ name }) => name), cases.map(({ name }) => name));
  return ended.filter(({ difference, error }) => difference !== undefined || error !== undefined);
}

const settings = { timeout: 60_000 };

/** What may be written to; a snapshot is a subvolume, and how an overlay was mounted is not seen from above. */
const WRITABLE = TYPES.filter((type) => !/squashfs|snapshot|nfs_export/.test(type));

for (const type of WRITABLE) {
  for (const way of ["inotify", MARKS[type]] as const) {
    test(`${type}: all cases, ${way}`, { ...settings, skip: skipOf([type], way) }, async () => {
      using filesystem = new Filesystem(type);
      const ended: Ended[] = [];
      const cases = readCases(way, type);
      for (const one of cases) {
        ended.push({ name: one.name, difference: await runCase(one, way, filesystem.path) });
      }
      assert.deepEqual(failed(ended, cases), []);
    });
  }

  test(
    `${type}: all cases, inode as nobody`,
    { ...settings, skip: skipOf([type], "inode") },
    async () => {
      using filesystem = new Filesystem(type);
      const way: Way = "inode";
      const program = new URL("cases/run.ts", import.meta.url);
      const command = moduleCommand(program, way, filesystem.path, type);
      const { code, stdout, stderr } = await runAsNobody(command);
      assert.equal(code, 0, stderr);
      const ended = stdout.trim().split("\n").map((line): Ended => JSON.parse(line));
      assert.deepEqual(failed(ended, readCases(way, type)), []);
    },
  );
}

// --- what is particular to some ---

const BACKENDS = ["fanotify", "inotify"] as const;

function shell(cwd: string, commands: string): void {
  execFileSync("sh", ["-euc", commands], { cwd });
}

/** What is told of `paths`, relative to `root`, while `act` acts; what it does to "end" comes last. */
async function told(
  root: string,
  paths: string | readonly string[],
  options: WatchOptions,
  act: () => void,
): Promise<string[]> {
  await using seen = new Seen(root, paths, options);
  await within(seen.watcher.ready, "the watcher");
  act();
  return await seen.upTo("end");
}

test(
  "a subvolume of btrfs below one that is marked directory by directory is a gap, and a loss",
  { skip: skipOf(["btrfs subvolume"], "fanotify") },
  async () => {
    using filesystem = new Filesystem("btrfs subvolume");
    const { path } = filesystem;
    shell(path, "btrfs -q subvolume create inner; mkdir d");
    await using seen = new Seen(path, path, { backend: "fanotify" });
    await seen.watcher.ready;
    const [{ gaps } = { gaps: [] }] = seen.watcher.coverage();
    assert.deepEqual(gaps.map((gap) => gap.path), [join(path, "inner")]);
    assert.match(gaps[0]!.reason, /EXDEV/);
    const lost = await seen.next();
    assert.deepEqual([lost.kind, lost.path], ["lost", join(path, "inner")]);
    shell(path, ": > d/f; : > end");
    assert.deepEqual(await seen.upTo("end"), ["create.file d/f"]);
    // What chooses for itself does not choose that.
    assert.deepEqual(
      await told(path, path, {}, () => shell(path, ": > inner/f; rm end")),
      ["create.file inner/f"],
    );
  },
);

for (
  const [one, other] of [
    ["fuse", "fuse"],
    ["fuse", "ext4"],
    ["ext4", "fuse"],
    [
      "btrfs subvolume",
      "btrfs snapshot",
    ],
    ["btrfs subvolume", "tmpfs"],
    ["tmpfs", "btrfs subvolume"],
  ] as const
) {
  const options: WatchOptions = { backend: "fanotify", actor: true, events: ["create"] };
  test(
    `${one} and ${other} at once: each told as its own`,
    { skip: skipOf([one, other], "fanotify") },
    async () => {
      using first = new Filesystem(one);
      using second = new Filesystem(other);
      const paths = [first.path, second.path];
      const watcher = watch(paths, options);
      try {
        await within(watcher.ready, "the watcher");
        assert.deepEqual(
          brief(watcher.coverage()),
          [one, other].flatMap((type) => [
            `fanotify ${MARKS[type]}`,
            ...GAPS[type] === undefined ? [] : [GAPS[type]],
          ]),
        );
        // Of the same names, and where a filesystem gives numbers in order, of the same handles.
        const names = ["d/", "d/f", "end"];
        for (const path of paths) {
          mkdirSync(join(path, "d"));
          writeFileSync(join(path, "d/f"), "");
          writeFileSync(join(path, "end"), "");
        }
        const expected = paths.flatMap((path) => names.map((name) => join(path, name)));
        const actual: string[] = [];
        const all = (async () => {
          for await (const event of watcher) {
            actual.push(event.path + (event.isDirectory ? "/" : ""));
            if (actual.length === expected.length) break;
          }
        })();
        await within(all, "the events");
        assert.deepEqual(actual.toSorted(), expected.toSorted());
      } finally {
        await watcher.close();
      }
    },
  );
}

for (const type of ["bind", "btrfs subvolume"] as const) {
  const skip = skipOf([type], "fanotify");
  test(`${type}: what of the filesystem is mounted nowhere is a gap`, { skip }, async () => {
    using filesystem = new Filesystem(type);
    const { base, path } = filesystem;
    const gapsOf = async () => {
      await using seen = new Seen(path, path, { scope: "filesystem" });
      await within(seen.watcher.ready, "the watcher");
      return seen.watcher.coverage().flatMap(({ gaps }) => gaps);
    };
    assert.deepEqual(await gapsOf(), []);
    execFileSync("umount", ["--lazy", join(base, "root")]);
    const part = type === "bind" ? "/part" : "/subvolume";
    const reason = `of this filesystem only ${part} is mounted here`;
    assert.deepEqual(await gapsOf(), [{ path, reason }]);
  });
}

for (const backend of BACKENDS) {
  test(`fuse: what is changed on its other side is not told, ${backend}`, {
    skip: skipOf(["fuse"], backend),
  }, async () => {
    using filesystem = new Filesystem("fuse");
    const { base, path } = filesystem;
    mkdirSync(join(path, "d"));
    const events = await told(path, path, { backend }, () => {
      shell(join(base, "other side"), "echo other > d/f; mkdir e");
      assert.equal(readFileSync(join(path, "d/f"), "utf8"), "other\n");
      writeFileSync(join(path, "d/f"), "near");
      writeFileSync(join(path, "end"), "");
    });
    assert.deepEqual(events, ["modify.data d/f"]);
  });

  test(`bind: told at the bound path alone, whichever way it was reached, ${backend}`, {
    skip: skipOf(["bind"], backend),
  }, async () => {
    using filesystem = new Filesystem("bind");
    const { base, path } = filesystem;
    const origin = join(base, "root");
    mkdirSync(join(path, "d"));
    const events = await told(path, path, { backend, events: ["create", "rename"] }, () => {
      shell(origin, ": > part/d/f; : > f; mkdir d; : > d/f; mv part/d/f part/g; mv f part/h");
      writeFileSync(join(path, "end"), "");
    });
    assert.deepEqual(events, ["create d/f", "rename g", "rename.in h"]);
  });

  for (const type of ["overlay", "overlay nfs_export"] as const) {
    test(`${type}: what is copied up from the lower layer, ${backend}`, {
      skip: skipOf([type], backend),
    }, async () => {
      using filesystem = new Filesystem(type);
      const { path } = filesystem;
      const events = await told(path, path, { backend }, () => {
        shell(
          path,
          `chmod 600 below; echo more >> directory/inner; mv below directory/below
          ln directory/inner directory/other; : > directory/new; chmod 700 directory; rm -r directory; : > end`,
        );
      });
      assert.deepEqual(events.slice(0, 6), [
        "modify.metadata below",
        "modify.data directory/inner",
        "rename directory/below",
        "create directory/other",
        "create directory/new",
        "modify.metadata directory",
      ]);
      assert.deepEqual(events.slice(6).toSorted(), [
        "remove directory/below",
        "remove directory/inner",
        "remove directory/new",
        "remove directory/other",
        "remove.directory directory",
      ]);
    });
  }

  test(
    `squashfs: what is read of it, ${backend}`,
    { skip: skipOf(["squashfs"], backend) },
    async () => {
      using filesystem = new Filesystem("squashfs");
      const { path } = filesystem;
      await using seen = new Seen(path, path, { backend, events: ["access.read", "access.close"] });
      await within(seen.watcher.ready, "the watcher");
      readFileSync(join(path, "directory/file"));
      const events = [];
      do events.push(await seen.next()); while (
        events.at(-1)!.kind !== "access.close.nowrite" || events.at(-1)!.isDirectory
      );
      assert.deepEqual(
        events.filter(({ isDirectory }) => !isDirectory).map(({ kind, path }) => `${kind} ${path}`),
        ["access.read", "access.close.nowrite"].map((kind) =>
          `${kind} ${join(path, "directory/file")}`
        ),
      );
    },
  );
}

/** A limit that is used up while watching: told once, named, a gap for each part, and covered again when there is room. */

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import {
  isRoot,
  limited,
  moduleFile,
  noUserNamespaces,
  runScript,
  TemporaryDirectory,
} from "./runtime.ts";

/** What the scripts begin with. `told(what)` prints what a watcher has told, and what it does not cover, since the last time. */
const PRELUDE = `
  import {
    closeSync, mkdirSync, openSync, renameSync, rmdirSync, rmSync, writeFileSync,
  } from "node:fs";
  import process from "node:process";
  import { setTimeout as sleep } from "node:timers/promises";
  import { watch } from ${JSON.stringify(moduleFile("mod.ts"))};
  import { openLibc } from ${JSON.stringify(moduleFile("ffi/libc.ts"))};

  // Deno opens files of its own for signals, whenever it first comes to it, and panics where it cannot (2.9.6).
  process.on("SIGUSR2", sleep).off("SIGUSR2", sleep);

  const root = process.argv[2];
  const at = (path) => root + "/" + path;
  // Not writeFileSync: Bun's truncates.
  const touch = (path) => closeSync(openSync(at(path), "a"));

  class Seen {
    events = [];
    constructor(path, options) {
      this.watcher = watch(at(path), { events: ["create", "remove"], ...options });
      (async () => {
        const below = (path) => path.slice(root.length + 1);
        for await (const { kind, from, path, synthetic, attributes } of this.watcher) {
          const paths = (from === undefined ? "" : below(from) + " -> ") + below(path);
          const line = (synthetic ? "~" : "") + kind + " " + paths;
          this.events.push(attributes.reason === undefined ? line : line + ": " + attributes.reason);
        }
      })();
    }
    gaps() {
      return this.watcher.coverage().flatMap(({ gaps }) => gaps);
    }
    recovered() {
      return this.until(() => this.events.some((line) => line.startsWith("recovered")));
    }
    async until(condition) {
      const end = performance.now() + 25_000;
      while (!condition(this) && performance.now() < end) await sleep(5);
    }
    /** Up to the creation of a file. */
    async told(path) {
      await this.until(() => this.events.some((line) => line.endsWith("create.file " + path)));
      const events = this.events.splice(0);
      console.log(JSON.stringify({
        events,
        gaps: this.gaps().map(({ path }) => path.slice(root.length + 1)),
        reasons: [...new Set(this.gaps().map(({ reason }) => reason.replace(/^[^(]*/, "")))],
        isPolled: this.gaps().every(({ reason }) => reason.startsWith("it is polled: Cannot ")),
        watches: this.watcher.coverage()[0].watches,
      }));
    }
  }
`;

/** What a script tells at one point. */
interface Told {
  readonly events: readonly string[];
  readonly gaps: readonly string[];
  readonly reasons: readonly string[];
  readonly isPolled: boolean;
  readonly watches: number;
}

async function run(
  directory: string,
  script: string,
  under: readonly string[],
): Promise<readonly Told[]> {
  const ended = await runScript(PRELUDE + script, { under, args: [directory] });
  assert.deepEqual({ ...ended, stdout: "" }, { status: 0, stdout: "", stderr: "" });
  return ended.stdout.trim().split("\n").map((line) => JSON.parse(line));
}

/** Where a backend takes a watch or mark a directory; whoever has no other privilege gets one for fanotify, too. */
const LIMITS = [
  ["inotify", "max_inotify_watches"],
  ["fanotify", "max_fanotify_marks"],
] as const;

for (const [backend, sysctl] of LIMITS) {
  const settings = { skip: noUserNamespaces, timeout: 60_000 };

  test(
    `user.${sysctl} is used up while arming: one loss, a gap a directory`,
    settings,
    async () => {
      using directory = new TemporaryDirectory();
      for (let i = 0; i < 500; i++) {
        mkdirSync(join(directory.path, `${i}`, "below"), { recursive: true });
      }
      const [told] = await run(
        directory.path,
        `
      const seen = new Seen("", { backend: "${backend}" });
      await seen.watcher.ready;
      touch("end");
      await seen.told("end");
      await seen.watcher.close();
      `,
        limited(sysctl, 3),
      );
      const { events, gaps, reasons, watches } = told!;
      assert.equal(watches, 3);
      // The root and a directory with what is below it, or two directories without.
      assert(gaps.length === 499 || gaps.length === 500, `${gaps.length}`);
      assert.equal(reasons.length, 1);
      assert.equal(events.length, 2);
      for (const text of [events[0]!, reasons[0]!]) {
        assert.match(
          text,
          new RegExp(
            `\\(ENOSPC\\); user\\.${sysctl} is 3, held by \\S+.* \\(\\d+\\) 3.*; raise it with: sysctl `,
          ),
        );
      }
      assert.match(events[0]!, /^lost : /);
      assert.equal(events[1], "create.file end");
    },
  );

  test(`user.${sysctl} is used up while watching, and given back`, settings, async () => {
    using directory = new TemporaryDirectory();
    for (const name of ["a", "b"]) mkdirSync(join(directory.path, name));
    const told = await run(
      directory.path,
      `
      const seen = new Seen("", { backend: "${backend}" });
      await seen.watcher.ready;
      mkdirSync(at("c/below"), { recursive: true });
      touch("c/below/f");
      mkdirSync(at("d"));
      for (const path of ["a/f", "b/f", "d/f"]) touch(path);
      const tells = (path) => seen.until(() => seen.events.some((line) => line.endsWith(path)));
      for (const path of ["a/f", "b/f", "d/f"]) await tells(path);
      await seen.told("c/below/f");

      rmSync(at("a"), { recursive: true });
      rmSync(at("b"), { recursive: true });
      await seen.until(() => seen.gaps().length === 1);
      for (const path of ["c/below/g", "end2"]) touch(path);
      await seen.told("end2");

      rmSync(at("c"), { recursive: true });
      await seen.recovered();
      for (const path of ["d/g", "end3"]) touch(path);
      await seen.told("end3");
      await seen.watcher.close();
      `,
      limited(sysctl, 3),
    );
    const [full, other, all] = told.map(({ events, gaps }) => ({
      events: events.map((line) => line.replace(/: .*/, "")).toSorted(),
      gaps,
    }));
    assert.deepEqual(full, {
      events: [
        "create.directory c",
        "create.directory d",
        "create.file a/f",
        "create.file b/f",
        "lost ",
        "~create.directory c/below",
        "~create.file c/below/f",
        "~create.file d/f",
      ],
      gaps: ["c", "d"],
    });
    assert(told[0]!.isPolled);
    assert.deepEqual(other, {
      events: [
        "create.file c/below/g",
        "create.file end2",
        "remove a/f",
        "remove b/f",
        "remove.directory a",
        "remove.directory b",
      ],
      gaps: ["d"],
    });
    assert.deepEqual(all, {
      events: [
        "create.file d/g",
        "create.file end3",
        "recovered ",
        "remove c/below/f",
        "remove c/below/g",
        "remove.directory c",
        "remove.directory c/below",
      ],
      gaps: [],
    });
  });

  for (const recover of ["diff", "signal"] as const) {
    test(`a tree that is ten times user.${sysctl}, ${recover}: all is told`, settings, async () => {
      using directory = new TemporaryDirectory();
      for (let i = 0; i < 1000; i++) {
        const path = join(directory.path, `${i % 10}`, `${i}`);
        mkdirSync(path, { recursive: true });
        writeFileSync(join(path, "old"), "");
      }
      const [told] = await run(
        directory.path,
        `
        const seen = new Seen("", {
          backend: "${backend}",
          recover: "${recover}",
          events: ["create", "remove", "rename", "modify.data"],
        });
        await seen.watcher.ready;
        for (let i = 0; i < 1000; i++) {
          const path = at(i % 10 + "/" + i);
          mkdirSync(path + "/new");
          if (i % 3 === 0) writeFileSync(path + "/old", "text");
          if (i % 3 === 1) rmSync(path + "/old");
          if (i % 3 === 2) renameSync(path + "/old", path + "/renamed");
        }
        await seen.until(() => seen.events.length >= 2001);
        mkdirSync(at("more/below"), { recursive: true });
        touch("more/below/f");
        await seen.until(() => seen.events.some((line) => line.endsWith("more/below/f")));
        // One more look finds nothing.
        const before = seen.events.length;
        touch("0/990/last");
        await seen.until(() => seen.events.some((line) => line.endsWith("last")));
        console.assert(seen.events.length === before + 1);
        touch("end");
        await seen.told("end");
        await seen.watcher.close();
        `,
        limited(sysctl, 100),
      );
      const expected = ["create.directory more", "create.directory more/below"];
      expected.push("create.file more/below/f", "create.file 0/990/last", "create.file end");
      for (let i = 0; i < 1000; i++) {
        const path = `${i % 10}/${i}`;
        expected.push(`create.directory ${path}/new`);
        if (i % 3 === 0) expected.push(`modify.data ${path}/old`);
        if (i % 3 === 1) expected.push(`remove ${path}/old`);
        if (i % 3 === 2) expected.push(`rename ${path}/old -> ${path}/renamed`);
      }
      const [lost, ...events] = told!.events.map((line) =>
        line.replace("~", "").replace("remove.file", "remove")
      );
      assert.match(lost!, /^lost : /);
      assert.deepEqual(events.toSorted(), expected.toSorted());
      assert.equal(told!.watches, 100);
      // Nine of ten directories, what is left of the tenth, what is new in the rest of it, and the one that was added.
      assert.equal(told!.gaps.length, 9 + 2 + 98 + 1);
    });
  }
}

test(
  "a watcher that is closed leaves its watches to one that lacks some, and what that missed is told",
  {
    skip: noUserNamespaces,
    timeout: 60_000,
  },
  async () => {
    using directory = new TemporaryDirectory();
    for (const path of ["a/1", "b/1", "b/2"]) {
      mkdirSync(join(directory.path, path), { recursive: true });
    }
    const [before, after] = await run(
      directory.path,
      `
    const first = new Seen("a", { backend: "inotify" });
    await first.watcher.ready;
    const second = new Seen("b", { backend: "inotify" });
    await second.watcher.ready;
    touch("b/end");
    await second.told("b/end");
    for (const path of ["b/1/meanwhile", "b/2/meanwhile"]) touch(path);
    await first.watcher.close();
    await second.recovered();
    for (const path of ["b/1/f", "b/2/f", "b/end2"]) touch(path);
    await second.told("b/end2");
    await second.watcher.close();
    `,
      limited("max_inotify_watches", 4),
    );
    assert.equal(before!.gaps.length, 1);
    assert.deepEqual(after!.events.map((line) => line.replace("~", "")).toSorted(), [
      "create.file b/1/f",
      "create.file b/1/meanwhile",
      "create.file b/2/f",
      "create.file b/2/meanwhile",
      "create.file b/end2",
      "recovered b",
    ]);
    assert.equal(after!.events.filter((line) => line.startsWith("~")).length, 1);
    assert.deepEqual(after!.gaps, []);
  },
);

// --- file descriptors ---

/** Room for the runtime itself. */
const FILES = 200;
const FEW = ["sh", "-c", `ulimit -n ${FILES}; exec "$@"`, "sh"];

for (const backend of ["auto", "fanotify", "inotify"] as const) {
  test(`no file descriptor left to arm with, ${backend}: an error that names the limit`, {
    timeout: 60_000,
  }, async () => {
    using directory = new TemporaryDirectory();
    mkdirSync(join(directory.path, "a"));
    const { status, stdout, stderr } = await runScript(
      `${PRELUDE}
      const libc = await openLibc();
      const outcomes = [];
      // From no file descriptor to as many as it takes; the first attempt loads what is loaded once.
      await watch(root, { backend: "${backend}" }).close();
      for (let free = 0; outcomes.at(-1) !== "ready" && free < 20; free++) {
        const held = [];
        for (let fd; (fd = libc.eventfd(0, 0)) >= 0;) held.push(fd);
        for (let i = 0; i < free; i++) libc.close(held.pop());
        const watcher = watch(root, { backend: "${backend}" });
        const outcome = await watcher.ready.then(
          () => watcher.coverage().every(({ gaps }) => gaps.length === 0) ? "ready" : "gaps",
          ({ name, code, hint }) => name + " " + code + " " + hint,
        );
        await watcher.close();
        for (const fd of held) libc.close(fd);
        outcomes.push(outcome);
      }
      console.log(JSON.stringify(outcomes));
      `,
      { under: FEW, args: [directory.path] },
    );
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
    const outcomes: string[] = JSON.parse(stdout);
    assert.equal(outcomes.pop(), "ready");
    assert(outcomes.length > 0);
    for (const outcome of outcomes) {
      assert.match(
        outcome,
        new RegExp(`^WatchLimitError EMFILE RLIMIT_NOFILE is ${FILES}\\b.*ulimit`),
      );
    }
  });
}

const WAYS = [["inotify", false], ["fanotify", isRoot ? false : "needs root"]] as const;

for (const [backend, skip] of WAYS) {
  test(`no file descriptor left while watching, ${backend}: all is told once there is one`, {
    skip,
    timeout: 60_000,
  }, async () => {
    using directory = new TemporaryDirectory();
    mkdirSync(join(directory.path, "a"));
    const [told] = await run(
      directory.path,
      `
      const libc = await openLibc();
      const seen = new Seen("", { backend: "${backend}" });
      await seen.watcher.ready;
      const held = [];
      mkdirSync(at("b/below"), { recursive: true });
      for (const path of ["a/f", "b/below/f"]) touch(path);
      for (let fd; (fd = libc.eventfd(0, 0)) >= 0;) held.push(fd);
      await sleep(200);
      for (const fd of held) libc.close(fd);
      touch("end");
      await seen.until(() => seen.events.some((line) => line.endsWith("b/below/f")));
      if (seen.events.some((line) => line.startsWith("lost"))) await seen.recovered();
      await seen.told("end");
      await seen.watcher.close();
      `,
      FEW,
    );
    const { events, gaps } = told!;
    assert.deepEqual(gaps, []);
    const created = events.filter((line) => !/^(lost|recovered)/.test(line)).map((line) =>
      line.replace("~", "").replace(/create\.file/, "create")
    );
    assert.deepEqual(created.toSorted(), [
      "create a/f",
      "create b/below/f",
      "create end",
      "create.directory b",
      "create.directory b/below",
    ]);
    const lost = events.filter((line) => line.startsWith("lost"));
    assert.equal(lost.length, backend === "inotify" ? 1 : 0);
    for (const line of lost) assert.match(line, /RLIMIT_NOFILE is 200\b/);
  });
}

/**
 * What a watch costs and gives back: time, memory, file descriptors, threads, and the process's own
 * end.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import { watch } from "../mod.ts";
import { Observer, within } from "../scripts/real_work/observer.ts";
import { isRoot, moduleCommand } from "../scripts/real_work/process.ts";
import { isUserMode } from "./kernel.ts";
import { isDeno, moduleFile, runScript } from "./runtime.ts";

/** A filesystem where nobody else works, and that is in memory. */
const QUIET = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

const BACKENDS = ["inotify", "fanotify"] as const;

/** A directory that is removed at the end of the block. */
class Directory implements Disposable {
  readonly path: string = realpathSync(mkdtempSync(join(QUIET, "sentinode-resources-")));

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

/** What the scripts below begin with: the file descriptors and threads of the process, counted. */
const PRELUDE = `
  import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
  import { readdirSync, readFileSync, readlinkSync } from "node:fs";
  import process from "node:process";
  import { watch } from ${JSON.stringify(moduleFile("mod.ts"))};

  // Deno opens two sockets of its own for signals, whenever it first comes to it (2.9.6).
  process.on("SIGUSR2", fds).off("SIGUSR2", fds);

  const [directory, backend] = process.argv.slice(2);
  function fds() {
    return readdirSync("/proc/self/fd").flatMap((fd) => {
      try {
        const link = readlinkSync("/proc/self/fd/" + fd);
        // The runtime makes a pair of sockets when it first needs them; we make none.
        return link.startsWith("socket:") ? [] : [link];
      } catch {
        return []; // the one that reads the directory
      }
    }).sort();
  }
  const ours = (name) => fds().filter((link) => /^anon_inode:/.test(link) && link.includes(name));
  /** But for those that compile and collect garbage, which the engines start when they like. */
  const ENGINE = /^(HeapHelper|JITWorker|JSCWarmUp|mi-scavenger|V8 Default)/;
  const threads = () =>
    readdirSync("/proc/self/task").filter((task) => {
      try {
        return !ENGINE.test(readFileSync("/proc/self/task/" + task + "/comm", "utf8"));
      } catch {
        return false; // it has ended
      }
    }).length;
`;

/** Runs a script after the prelude; what it printed, as JSON. */
async function measure(source: string, ...args: string[]): Promise<Record<string, number>> {
  const { status, stdout, stderr } = await runScript(PRELUDE + source, { args, deadline: 60_000 });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Record<string, number>;
}

const ROOT = { skip: !isRoot && "needs root", timeout: 120_000 };

test("50,000 directories are watched in less than 5 ms and 5 MB", ROOT, async () => {
  using directory = new Directory();
  for (let d = 0; d < 250; d++) {
    for (let e = 0; e < 200; e++) {
      mkdirSync(join(directory.path, `${d}`, `${e}`), { recursive: e === 0 });
    }
  }
  const { best, grown, marks } = await measure(
    `
    const options = { backend: "fanotify", events: ["create"], recover: "signal" };
    const warm = watch("/dev/shm", options);
    await warm.ready;
    await warm.close();
    let [best, grown, marks] = [Infinity, Infinity, 0];
    for (let round = 0; round < 5; round++) {
      const before = process.memoryUsage.rss();
      const start = performance.now();
      const watcher = watch(directory, options);
      await watcher.ready;
      best = Math.min(best, performance.now() - start);
      grown = Math.min(grown, process.memoryUsage.rss() - before);
      marks = watcher.stats().watches;
      await watcher.close();
    }
    console.log(JSON.stringify({ best, grown, marks }));
  `,
    directory.path,
  );
  assert.equal(marks, 1);
  assert(best! < (isUserMode ? 25 : 5), `ready after ${best} ms`);
  assert(grown! < 5_000_000, `${grown} bytes more`);
});

/** How 200 watchers are opened, and how many watches or marks the kernel has for a tree of three directories. */
const MANY: Readonly<Record<string, readonly [options: string, marks: number, whole: boolean]>> = {
  "inotify": [`backend: "inotify"`, 3, false],
  "fanotify, the filesystem": [`backend: "fanotify"`, 1, true],
  "fanotify, directories": [`backend: "fanotify", recursive: false`, 1, false],
};

for (const [way, [options, marks, isWhole]] of Object.entries(MANY)) {
  const settings = { skip: isWhole && !isRoot && "needs root", timeout: 60_000 };
  for (const place of ["each in a directory of its own", "all on the same tree"]) {
    const isSame = place === "all on the same tree";
    test(`${way}: 200 watchers, ${place}`, settings, async () => {
      using directory = new Directory();
      const counts = await measure(
        `
        const at = (i) => directory + "/" + (backend === "true" ? "same" : i);
        for (let i = 0; i < 200; i++) mkdirSync(at(i) + "/d/e", { recursive: true });
        const options = { ${options}, events: ["create"] };
        /** The watches and marks of all queues (proc_pid_fdinfo(5)). */
        const marks = () => readdirSync("/proc/self/fd").flatMap((fd) => {
          try {
            const info = readFileSync("/proc/self/fdinfo/" + fd, "utf8");
            return info.match(/^(inotify wd|fanotify (ino|mnt_id|sdev)):/gm) ?? [];
          } catch {
            return []; // the one that reads the directory
          }
        }).length;
        /** Without the one that is told of mounts. */
        const queues = () => readdirSync("/proc/self/fd").filter((fd) => {
          try {
            return readlinkSync("/proc/self/fd/" + fd).includes("notify") &&
              !/^fanotify mnt_ns:/m.test(readFileSync("/proc/self/fdinfo/" + fd, "utf8"));
          } catch {
            return false; // the one that reads the directory
          }
        }).length;
        const first = watch(at(0), options);
        await first.ready;
        await first.close();
        const before = { fds: fds().length, threads: threads(), marks: marks() };
        const start = performance.now();
        const watchers = Array.from({ length: 200 }, (_, i) => watch(at(i), options));
        for (const { ready } of watchers) await ready;
        const during = {
          fds: fds().length,
          threads: threads(),
          marks: marks(),
          differing: new Set(watchers.map((watcher) => watcher.stats().watches)).size - 1,
          queues: queues(),
        };
        const told = watchers.map(() => []);
        const reading = watchers.map(async (watcher, i) => {
          for await (const event of watcher) told[i].push(event.path);
        });
        const expected = watchers.map(() => []);
        const open = new Set(watchers.keys());
        async function act(name) {
          const made = new Set(watchers.keys().map(at));
          for (const place of made) writeFileSync(place + "/" + name, "");
          for (const i of open) expected[i].push(at(i) + "/" + name);
          while ([...open].some((i) => told[i].length < expected[i].length)) {
            await new Promise((resolve) => setTimeout(resolve, 1));
          }
        }
        await act("a");
        for (let i = 0; i < 200; i += 2) {
          open.delete(i);
          await watchers[i].close();
        }
        const half = { marks: marks() };
        await act("b");
        for (const watcher of watchers) await watcher.close();
        await Promise.all(reading);
        const ms = performance.now() - start;
        const after = { fds: fds().length, threads: threads(), marks: marks() };
        const isTold = JSON.stringify(told) === JSON.stringify(expected);
        const flat = Object.entries({ before, during, half, after }).flatMap(([when, counts]) =>
          Object.entries(counts).map(([what, count]) => [when + " " + what, count])
        );
        console.log(JSON.stringify({ ...Object.fromEntries(flat), isTold: Number(isTold), ms }));
        `,
        directory.path,
        `${isSame}`,
      );
      const all = isWhole || isSame ? marks : 200 * marks;
      const half = isWhole || isSame ? marks : 100 * marks;
      assert.equal(counts["isTold"], 1);
      assert.deepEqual(
        ["before", "during", "half", "after"].map((when) => counts[`${when} marks`]),
        [0, all, half, 0],
      );
      assert.equal(counts["during queues"], 1);
      assert.equal(counts["during differing"], 0);
      assert.equal(counts["after fds"], counts["before fds"]);
      // A queue, an fd on the filesystem for a mark on it, two for mounts, and what is waited with: in Bun four.
      assert(counts["during threads"]! - counts["before threads"]! <= 1);
      assert(counts["during fds"]! - counts["before fds"]! <= 8);
      assert(counts["after threads"]! <= counts["during threads"]!);
      assert(counts["ms"]! < 10_000, `${counts["ms"]} ms`);
    });
  }
}

for (const backend of BACKENDS) {
  const settings = {
    skip: backend === "fanotify" && !isRoot && "needs root",
    timeout: 120_000,
  };

  test(`${backend}: 200 watchers share their file descriptors and threads`, settings, async () => {
    using directory = new Directory();
    const counts = await measure(
      `
      const watchers = [];
      async function open(i) {
        mkdirSync(directory + "/" + i);
        const actor = backend === "fanotify" && i % 2 === 1;
        const watcher = watch(directory + "/" + i, { backend, actor });
        await watcher.ready;
        watchers.push(watcher);
      }
      const before = threads();
      await open(0);
      const one = threads();
      for (let i = 1; i < 200; i++) await open(i);
      const all = threads();
      // They work: each sees its own.
      const seen = watchers.map(async (watcher) => {
        for await (const event of watcher) return event.path;
      });
      for (let i = 0; i < 200; i++) writeFileSync(directory + "/" + i + "/f", "");
      const inotify = ours("inotify").length;
      const fanotify = ours("fanotify").length;
      const paths = new Set(await Promise.all(seen));
      console.log(JSON.stringify({ before, one, all, inotify, fanotify, paths: paths.size }));
    `,
      directory.path,
      backend,
    );
    const { before, one, all, inotify, fanotify, paths } = counts;
    assert.equal(paths, 200);
    assert(all! - one! <= 0, `${one} threads with one watcher, ${all} with 200`);
    assert(one! - before! <= 1, `${before} threads without a watcher, ${one} with one`);
    assert(backend === "inotify" ? inotify === 1 : inotify! <= 1);
    assert(backend === "inotify" ? fanotify === 0 : fanotify === 2);
  });

  /** Ways to end a watch, each with `watcher`, `controller` and an event on its way. */
  const ENDINGS: Readonly<Record<string, string>> = {
    break: `for await (const _ of watcher) break;`,
    close: `await watcher.close();`,
    "await using": `{ await using _ = watcher; }`,
    abort: `
      controller.abort();
      for await (const _ of watcher);`,
    "abort while waiting": `
      for await (const _ of watcher) controller.abort();`,
    exception: `
      try {
        for await (const _ of watcher) throw new Error("of the consumer");
      } catch (error) {
        if (error.message !== "of the consumer") throw error;
      }`,
    "close before ready": `
      const early = watch(directory, { backend });
      early.ready.catch(() => {});
      await early.close();
      await watcher.close();`,
    "failure to arm": `
      const failing = watch(directory + "/not there", { backend });
      try {
        await failing.ready;
        throw new Error("watches what is not there");
      } catch (error) {
        if (error.code !== "ENOENT") throw error;
      }
      await watcher.close();`,
  };

  for (const [name, ending] of Object.entries(ENDINGS)) {
    test(`${backend}: after ${name} everything is given back, 20 times`, settings, async () => {
      using directory = new Directory();
      const start = performance.now();
      const { fds, threads, leaked } = await measure(
        `
        async function round(n) {
          const controller = new AbortController();
          const watcher = watch(directory, { backend, signal: controller.signal });
          await watcher.ready;
          writeFileSync(directory + "/" + n, "");
          ${ending}
          await watcher.close();
        }
        await round(0);
        const before = fds();
        const threadsBefore = threads();
        for (let n = 1; n <= 20; n++) await round(n);
        const after = fds();
        // The runtime may close one of its own meanwhile; what is new is ours.
        for (const link of before) if (after.includes(link)) after.splice(after.indexOf(link), 1);
        const leaked = ours("inotify").length + ours("fanotify").length;
        const more = threads() - threadsBefore;
        console.log(JSON.stringify({ fds: after.length, threads: more, leaked }));
      `,
        directory.path,
        backend,
      );
      assert.equal(leaked, 0);
      assert.equal(fds, 0);
      // The runtime's own pool may have needed one or two more at once; ours would be one a round.
      assert(threads! <= 2, `${threads} threads more`);
      // It ended by itself: nothing was left that keeps a process.
      assert(performance.now() - start < 10_000);
    });
  }

  test(`${backend}: files that are still written keep nothing, 20 times`, settings, async () => {
    using directory = new Directory();
    const start = performance.now();
    const { fds, told, leaked } = await measure(
      `
      async function round(n) {
        const both = { atomicSave: true, writeFinish: true };
        const other = watch(directory, { backend, ...both });
        const watcher = watch(directory, { backend, ...both });
        await Promise.all([watcher.ready, other.ready]);
        const fd = openSync(directory + "/" + n, "w");
        let told = 0;
        mkdirSync(directory + "/at once" + n);
        for await (const { kind, attributes } of watcher) {
          if (kind === "create.directory") await watcher.close();
          else if (attributes.unfinished) told++;
        }
        closeSync(fd);
        await other.close();
        return told;
      }
      await round(0);
      const before = fds();
      let told = 0;
      for (let n = 1; n <= 20; n++) told += await round(n);
      const after = fds();
      for (const link of before) if (after.includes(link)) after.splice(after.indexOf(link), 1);
      const leaked = ours("inotify").length + ours("fanotify").length;
      console.log(JSON.stringify({ fds: after.length, told, leaked }));
    `,
      directory.path,
      backend,
    );
    assert.equal(told, 20);
    assert.equal(leaked, 0);
    assert.equal(fds, 0);
    assert(performance.now() - start < 10_000);
  });

  test(`${backend}: process.exit ends at once, whatever is open`, settings, async () => {
    using directory = new Directory();
    const { code, ms } = await endOf(directory.path, backend, "process.exit(3);", () => {});
    assert.equal(code, 3);
    assert(ms < 2000, `after ${ms} ms`);
  });

  test(`${backend}: SIGINT ends a process that watches`, settings, async () => {
    using directory = new Directory();
    const { code, signal, ms } = await endOf(directory.path, backend, "", (pid) => {
      process.kill(pid, "SIGINT");
    });
    assert(signal === "SIGINT" || code === 130, `${signal} ${code}`);
    assert(ms < 2000, `after ${ms} ms`);
  });

  test(`${backend}: who never reads is told of the loss, and keeps little`, settings, async () => {
    using directory = new Directory();
    const { created, lost, highWater, grown } = await measure(
      `
      const watcher = watch(directory, { backend, events: ["create"], recover: "signal" });
      await watcher.ready;
      const make = async (n) => {
        for (let i = 0; i < 200; i++) {
          for (let f = 0; f < 200; f++) {
            closeSync(openSync(directory + "/" + (n + i * 200 + f), "wx"));
          }
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      await make(0);
      const before = process.memoryUsage.rss();
      await make(100000);
      const grown = process.memoryUsage.rss() - before;
      const highWater = watcher.stats().queueHighWater;
      let [created, lost] = [0, 0];
      for await (const event of watcher) {
        if (event.kind === "lost") lost++;
        else created++;
        if (event.path === directory + "/last") break;
        if (event.kind === "lost") writeFileSync(directory + "/last", "");
      }
      console.log(JSON.stringify({ created, lost, highWater, grown }));
    `,
      directory.path,
      backend,
    );
    assert(lost! >= 1);
    assert(created! < 80_000);
    assert(highWater! < 40_000, `${highWater} events waited`);
    // What came after the queues were full changed nothing.
    assert(grown! < 30_000_000, `${grown} bytes more`);
  });

  test(`${backend}: a slow watcher loses by itself, and to the event`, settings, async () => {
    using directory = new Directory();
    const all = 30_000;
    const options = { backend, events: ["create"], recover: "signal" } as const;
    const slow = watch(directory.path, options);
    const fast = new Observer(watch(directory.path, options));
    try {
      await within(Promise.all([slow.ready, fast.watcher.ready]), "the watchers");
      for (let made = 0; made < all;) {
        for (const end = made + 1000; made < end; made++) {
          writeFileSync(join(directory.path, `${made}`), "");
        }
        await fast.until(() => fast.events.length >= made, `${made} events`);
      }
      assert.equal(fast.events.length, all);
      assert(fast.events.every(({ kind }) => kind === "create.file"));
      const reader = new Observer(slow);
      const { events } = reader;
      await reader.until(() => events.at(-1)?.kind === "lost", "the loss");
      const [lost] = events.slice(-1);
      assert.equal(events.filter(({ kind }) => kind === "lost").length, 1);
      assert.equal(events.length - 1 + lost!.attributes.count!, all);
      assert.equal(slow.stats().dropped, lost!.attributes.count);
      // And it goes on.
      const after = join(directory.path, "after");
      writeFileSync(after, "");
      await reader.until(() => events.at(-1)?.path === after, "what comes after");
    } finally {
      await fast.close();
      await slow.close();
    }
  });
}

/** How a process ends that has two open watchers: the code, and how many ms after it was ready. */
async function endOf(
  directory: string,
  backend: string,
  end: string,
  ready: (pid: number) => void,
): Promise<{ code: number | null; signal: string | null; ms: number }> {
  const script = join(directory, "end.ts");
  writeFileSync(
    script,
    `${PRELUDE}
    const watchers = [{}, { events: ["access"] }].map((more) =>
      watch(directory, { backend, ...more })
    );
    for (const watcher of watchers) await watcher.ready;
    (async () => {
      for await (const _ of watchers[0]);
    })();
    console.log("ready");
    ${end}`,
  );
  const [program, ...args] = moduleCommand(new URL(`file://${script}`), directory, backend);
  const child = spawn(program!, args, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.on("close", (code: number | null, signal: string | null) => resolve({ code, signal }));
  });
  try {
    const said = new Promise<void>((resolve) => child.stdout.on("data", () => resolve()));
    await within(said, "the process");
    const start = performance.now();
    ready(child.pid!);
    const { code, signal } = await within(ended, "its end", 10_000);
    return { code, signal, ms: performance.now() - start };
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}

// In Bun the kernel's poll has a page of memory (io_setup(2)), which is kept, as its end has everything wait.
if (!isDeno) {
  test(
    "there is one poll of the kernel, whatever threads have watched",
    { timeout: 60_000 },
    async () => {
      using directory = new Directory();
      const { polls, inWorkers, after } = await measure(
        `
      const polls = () => readFileSync("/proc/self/maps", "utf8").match(/\\[aio\\]/g)?.length ?? 0;
      const source = \`
        import { readFileSync } from "node:fs";
        import { watch } from ${JSON.stringify(moduleFile("mod.ts"))};
        const watcher = watch(${JSON.stringify(directory.path)});
        await watcher.ready;
        const count = readFileSync("/proc/self/maps", "utf8").match(/\\\\[aio\\\\]/g).length;
        await watcher.close();
        postMessage(count);
      \`;
      for (let i = 0; i < 3; i++) {
        const watcher = watch(directory, { backend: "inotify" });
        await watcher.ready;
        await watcher.close();
      }
      const before = polls();
      const inWorkers = [];
      for (let i = 0; i < 3; i++) {
        const worker = new Worker(URL.createObjectURL(new Blob([source])), { type: "module" });
        inWorkers.push(await new Promise((resolve) => worker.onmessage = ({ data }) => resolve(data)));
        worker.terminate();
      }
      console.log(JSON.stringify({ polls: before, inWorkers: Math.max(...inWorkers), after: polls() }));
      process.exit();
      `,
        directory.path,
      );
      assert.deepEqual({ polls, inWorkers, after }, { polls: 1, inWorkers: 2, after: 1 });
    },
  );
}

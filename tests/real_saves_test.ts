/** What is told of the saves of real programs, and of files while they are written. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import {
  type Backend,
  type BackendSink,
  watch,
  type WatchEvent,
  type WatchOptions,
} from "../mod.ts";
import { Observer, Sentinel, within } from "../scripts/real_work/observer.ts";
import {
  isInstalled,
  isRoot,
  moduleCommand,
  run,
  runAsNobody,
  succeed,
} from "../scripts/real_work/process.ts";
import { type Mode, runScenario, SCENARIOS, type Way } from "./saves/scenario.ts";

const WAYS = ["inotify", "filesystem", "inode"] as const;

const absent = [...new Set(SCENARIOS.map(({ needs }) => needs))]
  .filter((program) => !isInstalled(program));

interface Outcome {
  readonly name: string;
  readonly mode: Mode;
  readonly told?: readonly string[];
  readonly error?: string;
}

/** What was told to nobody; all is done by one process. */
async function asNobody(way: Way): Promise<readonly Outcome[]> {
  const command = moduleCommand(new URL("saves/run.ts", import.meta.url), way, ...absent);
  const { code, stdout, stderr } = await (isRoot ? runAsNobody(command) : run(command));
  assert.equal(code, 0, stderr);
  return stdout.trim().split("\n").map((line) => JSON.parse(line) as Outcome);
}

const outcomes = new Map<Way, Promise<readonly Outcome[]>>();

for (const { name, needs, told, command } of SCENARIOS) {
  const lacks = absent.includes(needs) && `${needs} is not installed`;
  for (const mode of Object.keys(told) as Mode[]) {
    for (const way of WAYS) {
      const skip = lacks || (way !== "inotify" && !isRoot && "needs root");
      test(`${way}, ${mode}: ${name}`, { skip, timeout: 60_000 }, async () => {
        assert.deepEqual(
          await runScenario({ name, needs, told, command }, mode, way),
          told[mode],
        );
      });
    }
    for (const way of ["inotify", "inode"] as const) {
      const skip = lacks || (isRoot && !isInstalled("setpriv") && "setpriv is not installed");
      test(`${way}, as nobody, ${mode}: ${name}`, { skip, timeout: 300_000 }, async () => {
        if (!outcomes.has(way)) outcomes.set(way, asNobody(way));
        const all = await outcomes.get(way)!;
        const outcome = all.find((other) => other.name === name && other.mode === mode);
        assert.deepEqual(outcome, { name, mode, told: told[mode] });
      });
    }
  }
}

/** A directory that is watched. */
interface Stage {
  readonly tree: string;
  readonly outside: string;
  readonly observer: Observer;
  /** What was told, without its directory. */
  told(): string[];
  /** Resolves when all that was done has been seen. */
  settled(): Promise<void>;
}

async function onStage(
  way: Way,
  options: WatchOptions,
  act: (stage: Stage) => Promise<void>,
  prepare: (tree: string) => Promise<void> | void = () => {},
  names: readonly string[] = [""],
): Promise<void> {
  const base = realpathSync(mkdtempSync(join(tmpdir(), "sentinode-saves-")));
  const [tree, outside] = [join(base, "tree"), join(base, "outside")];
  mkdirSync(tree);
  mkdirSync(outside);
  let observer: Observer | undefined;
  let sentinel: Sentinel | undefined;
  try {
    await prepare(tree);
    const all: WatchOptions = {
      events: ["create", "modify.data", "rename", "remove"],
      ...options,
      backend: way === "inotify" ? "inotify" : "fanotify",
    };
    observer = new Observer(watch(names.map((name) => join(tree, name)), all));
    await within(observer.watcher.ready, "the watcher");
    const bell = sentinel = await Sentinel.open(all);
    const { events } = observer;
    const shown = ({ kind, path, attributes }: WatchEvent) =>
      `${kind} ${path.slice(tree.length + 1)}${attributes.unfinished ? " unfinished" : ""}`;
    await act({
      tree,
      outside,
      observer,
      told: () => events.map(shown),
      settled: () => bell.settled(),
    });
  } finally {
    await observer?.close();
    await sentinel?.close();
    rmSync(base, { recursive: true });
  }
}

test("poll: a file that stays open is told once it is closed", { timeout: 60_000 }, async () => {
  const base = realpathSync(mkdtempSync(join(tmpdir(), "sentinode-saves-")));
  const events = ["create"];
  const observer = new Observer(watch(base, { backend: "poll", writeFinish: true, events }));
  const told = () => observer.events.map(({ kind, path }) => `${kind} ${path.slice(base.length)}`);
  try {
    await within(observer.watcher.ready, "the watcher");
    const file = openSync(join(base, "file"), "w");
    try {
      mkdirSync(join(base, "directory"));
      await observer.until(() => told().length > 0, "another");
      assert.deepEqual(told(), ["create.directory /directory"]);
    } finally {
      closeSync(file);
    }
    await observer.until(() => told().length > 1, "the file");
    assert.deepEqual(told(), ["create.directory /directory", "create.file /file"]);
  } finally {
    await observer.close();
    rmSync(base, { recursive: true });
  }
});

test("a backend of one's own", async () => {
  const base = realpathSync(mkdtempSync(join(tmpdir(), "sentinode-saves-")));
  const path = join(base, "file");
  let sink: BackendSink | undefined;
  const backend: Backend = {
    name: "script",
    open(request, to) {
      assert(request.wants("access.close.write"));
      sink = to;
      return { coverage: () => ({ by: "script", watches: 0, gaps: [] }), close() {} };
    },
  };
  const observer = new Observer(watch(base, { backend, writeFinish: true }));
  try {
    await within(observer.watcher.ready, "the watcher");
    sink!.deliver([{ kind: "create.file", path }, { kind: "modify.data", path }]);
    sink!.deliver([{ kind: "create.directory", path: join(base, "directory") }]);
    sink!.deliver([{ kind: "modify.data", path }, { kind: "access.close.write", path }]);
    await observer.until(() => observer.events.length >= 3, "the close");
    assert.deepEqual(observer.events.map(({ kind }) => kind), [
      "create.directory",
      "create.file",
      "modify.data",
    ]);
    assert(observer.events.every(({ backend }) => backend === "script"));
  } finally {
    await observer.close();
    rmSync(base, { recursive: true });
  }
});

const MIB = 1024 * 1024;

for (const way of ["inotify", "filesystem"] as const) {
  const skip = way === "filesystem" && !isRoot && "needs root";
  const settings = { skip, timeout: 60_000 };
  const noPerl = skip || (!isInstalled("perl") && "perl is not installed");
  const withPerl = { ...settings, skip: noPerl };
  const FINISH = { writeFinish: true };

  test(`${way}: cp of 64 MiB is told when all of it is there`, settings, async () => {
    await onStage(way, FINISH, async ({ tree, outside, observer, told, settled }) => {
      const [source, target] = [join(outside, "big"), join(tree, "big")];
      await succeed(["dd", "if=/dev/zero", `of=${source}`, "bs=1M", "count=64", "status=none"]);
      const sizes: number[] = [];
      const copied = succeed(["cp", source, target]);
      await observer.until(() => {
        if (observer.events.length > sizes.length) sizes.push(statSync(target).size);
        return observer.events.length >= 2;
      }, "the copy");
      await copied;
      await settled();
      assert.deepEqual(told(), ["create.file big", "modify.data big"]);
      assert.deepEqual([...new Set(sizes)], [64 * MIB]);
    });
  });

  test(`${way}: of several writers the last one counts`, settings, async () => {
    await onStage(way, FINISH, async ({ tree, observer, told, settled }) => {
      const fds = ["w", "a", "a"].map((how) => openSync(join(tree, "file"), how));
      for (const fd of fds) {
        assert.deepEqual(told(), []);
        writeSync(fd, "text\n");
        closeSync(fd);
        if (fd !== fds.at(-1)) await settled();
      }
      await observer.until(() => told().length >= 2, "the last close");
      assert.deepEqual(told(), ["create.file file", "modify.data file"]);
    });
  });

  test(`${way}: a file that stays open is told as unfinished by close()`, withPerl, async () => {
    await onStage(way, FINISH, async ({ tree, observer, told, settled }) => {
      const log = openSync(join(tree, "log"), "w");
      try {
        writeSync(log, "one\n");
        // Those who are looked at before it: by then it was looked at, too.
        await succeed(["perl", "-e", 'open(F, ">", "x"); close(F); truncate("x", 1)'], {
          cwd: tree,
        });
        await observer.until(() => told().some((event) => event.endsWith(" x")), "another");
        writeSync(log, "two\n");
        await settled();
        assert(!told().some((event) => event.includes("log")), `${told()}`);
        await observer.close();
        await observer.ended;
        assert.deepEqual(told().filter((event) => event.includes("log")), [
          "create.file log unfinished",
          "modify.data log unfinished",
        ]);
      } finally {
        closeSync(log);
      }
    });
  });

  test(`${way}: a single file that is watched`, settings, async () => {
    const watched = ["file"];
    await onStage(
      way,
      { atomicSave: true },
      async ({ tree, observer, told }) => {
        writeFileSync(join(tree, "new"), "new");
        renameSync(join(tree, "new"), join(tree, "file"));
        await observer.until(() => told().length > 0, "the save");
        assert.deepEqual(told(), ["modify.data file"]);
      },
      (tree) => writeFileSync(join(tree, "file"), "old"),
      watched,
    );
  });

  const noCompiler = noPerl || (!isInstalled("cc") && "cc is not installed");
  test(`${way}: a file that is mapped is told when the map is gone`, {
    ...settings,
    skip: noCompiler,
  }, async () => {
    await onStage(way, FINISH, async ({ tree, outside, observer, told, settled }) => {
      const source = `
        #include <fcntl.h>
        #include <sys/mman.h>
        #include <unistd.h>
        int main(void) {
          char c;
          int fd = open("mapped", O_CREAT | O_RDWR, 0600);
          if (fd < 0 || ftruncate(fd, 4096) < 0) return 1;
          char *map = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
          if (map == MAP_FAILED || close(fd) < 0) return 2;
          if (write(1, "mapped", 6) != 6) return 3;
          if (read(0, &c, 1) < 0) return 4;
          map[0] = 1;
          return 0; // which unmaps
        }`;
      const program = join(outside, "map");
      const { status, stderr } = spawnSync("cc", ["-x", "c", "-o", program, "-"], {
        input: source,
      });
      assert.equal(status, 0, String(stderr));
      const { promise: input, resolve: goOn } = Promise.withResolvers<string>();
      const { promise: mapped, resolve: isMapped } = Promise.withResolvers<void>();
      const ended = run([program], {
        cwd: tree,
        input,
        started: (child) => child.stdout!.once("data", () => isMapped()),
      });
      await within(mapped, "the map");
      await succeed(["perl", "-e", 'open(F, ">", "x"); close(F); truncate("x", 1)'], { cwd: tree });
      await observer.until(() => told().some((event) => event.endsWith(" x")), "another");
      await settled();
      assert(!told().some((event) => event.includes("mapped")), `${told()}`);
      goOn("\n");
      assert.equal((await ended).code, 0);
      const ofIt = () => told().filter((event) => event.includes("mapped"));
      await observer.until(() => ofIt().length >= 2, "the end of the map");
      assert.deepEqual(ofIt(), ["create.file mapped", "modify.data mapped"]);
    });
  });

  const noGit = skip || (!isInstalled("git") && "git is not installed");
  test(
    `${way}: git checkout and commit, which rename locks over files`,
    { ...settings, skip: noGit },
    async () => {
      const git = (cwd: string, ...args: string[]) => {
        const user = ["-c", "user.name=Somebody", "-c", "user.email=somebody@localhost"];
        const command = [
          "git",
          ...user,
          "-c",
          "gc.auto=0",
          "-c",
          "maintenance.auto=false",
          ...args,
        ] as const;
        return succeed(command as unknown as [string], {
          cwd,
          env: { HOME: cwd, GIT_CONFIG_NOSYSTEM: "1" },
        });
      };
      const commit = async (tree: string, text: string) => {
        writeFileSync(join(tree, "file"), text);
        await git(tree, "add", "file");
        await git(tree, "commit", "-qm", text);
      };
      const both = { atomicSave: true, writeFinish: true };
      await onStage(way, both, async ({ tree, observer, told, settled }) => {
        await commit(tree, "two");
        await git(tree, "checkout", "-q", "--detach", "HEAD~");
        await settled();
        writeFileSync(join(tree, "end"), "");
        await observer.until(
          () => told().some((event) => /^create\S* end$/.test(event)),
          "the end",
        );
        const events = told();
        // A lock that is removed again, with nothing renamed, is told as it is.
        const renamed = observer.events.filter(({ from }) => from?.endsWith(".lock"));
        assert.deepEqual(renamed.map(({ from, path }) => `${from} -> ${path}`), []);
        assert.deepEqual(events.filter((event) => /(index|main)\.lock/.test(event)), []);
        for (const name of ["index", "HEAD", "refs/heads/main"]) {
          assert(events.includes(`modify.data .git/${name}`), `${name} is not in ${events}`);
        }
      }, async (tree) => {
        await git(tree, "init", "-q", "--initial-branch=main");
        await commit(tree, "one");
      });
    },
  );
}

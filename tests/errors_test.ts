/** What the system refuses: the class, the code, the hint, by ready and by the iterator, as root and as nobody. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import { SystemError, UnsupportedError, watch, type WatchOptions } from "../mod.ts";
import {
  aWhile,
  isRoot,
  limited,
  moduleFile,
  noUserNamespaces,
  type RunInit,
  runScript,
  TemporaryDirectory,
  within,
} from "./runtime.ts";

const MODULE = JSON.stringify(moduleFile("mod.ts"));

/** Who tries: root in this process is not enough, nobody meets other refusals. */
const USERS: readonly (readonly [name: string, init: RunInit, skip: string | false])[] = [
  ["this user", {}, false],
  ["nobody", { asNobody: true }, isRoot ? false : "needs root"],
];

const BACKENDS = ["auto", "fanotify", "inotify"] as const;

test("of two names for an errno the usual one is told", () => {
  const codes = [11, 35, 28, 999].map((errno) => new SystemError("x", { errno }).code);
  assert.deepEqual(codes, ["EAGAIN", "EDEADLK", "ENOSPC", "E999"]);
});

/** What a script tells of an error. */
interface Told {
  readonly name: string;
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  readonly path?: string;
  readonly hint: string;
  readonly message: string;
  readonly same: boolean;
  /** What is open that was not before. */
  readonly left: readonly string[];
}

/** A script that uses up what `use` does, and prints the error of `watch(path, options)`. */
function refused(path: string, options: WatchOptions, use = ""): string {
  return `
    import { readdirSync, readlinkSync } from "node:fs";
    import { watch } from ${MODULE};
    import { openLibc } from ${JSON.stringify(moduleFile("ffi/libc.ts"))};
    import { cString } from ${JSON.stringify(moduleFile("ffi/text.ts"))};
    const libc = await openLibc();
    const base = ${JSON.stringify(path)};
    ${use}
    const links = () => readdirSync("/proc/self/fd").flatMap((fd) => {
      try {
        const link = readlinkSync("/proc/self/fd/" + fd);
        // Deno opens two sockets of its own for signals, whenever it first comes to it (2.9.6).
        return link.startsWith("socket:") ? [] : [fd + " " + link];
      } catch {
        return []; // what the list was read from
      }
    });
    const before = links();
    const left = () => links().filter((link) => !before.includes(link));
    const watcher = watch(base, ${JSON.stringify(options)});
    const error = await watcher.ready.then(() => undefined, (error) => error);
    const thrown = await watcher[Symbol.asyncIterator]().next().then(() => undefined, (error) => error);
    await watcher.close();
    const until = performance.now() + 5000; // Bun closes the copy that its stream holds in a later turn
    while (left().length > 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 1));
    const { name, code, errno, syscall, path, hint, message } = error ?? {};
    console.log(JSON.stringify({
      name, code, errno, syscall, path, hint: hint?.replaceAll(process.pid, "OURS"), message,
      same: error === thrown, left: left(),
    }));
  `;
}

async function tell(source: string, init: RunInit): Promise<Told> {
  const { status, stdout, stderr } = await runScript(source, init);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  return JSON.parse(stdout);
}

/** What every refusal of a path tells. */
function check(told: Told, path: string, code: string): void {
  assert.deepEqual([told.name, told.code, told.path], ["SystemError", code, path], told.message);
  assert(told.errno > 0 && /^[a-z_0-9]+$/.test(told.syscall), told.syscall);
  assert.match(told.message, /^Cannot \S+ .+: [^.]+ \(E[A-Z]+\)$/);
  assert(told.message.includes(path) && told.message.includes(code), told.message);
  assert(told.hint.length > 10, "a hint");
  assert(told.same, "the iterator throws what ready rejects with");
  assert.deepEqual(told.left, [], "no file descriptor is left");
}

/** A path that is refused to anybody. */
const PATHS: readonly (readonly [path: string, code: string])[] = [
  ["/no/such/path", "ENOENT"],
  ["/etc/no-such-file", "ENOENT"],
  ["/etc/hostname/", "ENOTDIR"],
  ["/etc/hostname/x", "ENOTDIR"],
  [`/${"x".repeat(256)}`, "ENAMETOOLONG"],
];

for (const [user, init, skip] of USERS) {
  for (const backend of BACKENDS) {
    test(`paths that are refused to ${user}, ${backend}`, { skip }, async () => {
      for (const [path, code] of PATHS) {
        const told = await tell(refused(path, { backend }), init);
        if (code !== "ENAMETOOLONG") check(told, path, code);
        else assert.equal(told.code, code);
      }
    });
  }
}

test("a symbolic link that leads to itself", async () => {
  using directory = new TemporaryDirectory();
  const link = join(directory.path, "link");
  symlinkSync("link", link);
  check(await tell(refused(link, {}), {}), link, "ELOOP");
});

for (const backend of BACKENDS) {
  test(`no permission, ${backend}`, { skip: isRoot ? false : "needs root" }, async () => {
    using directory = new TemporaryDirectory();
    const [closed, below] = [
      join(directory.path, "closed"),
      join(directory.path, "closed", "below"),
    ];
    mkdirSync(below, { recursive: true });
    spawnSync("chmod", ["755", directory.path]);
    spawnSync("chmod", ["0", closed]);
    for (const path of [closed, below]) {
      const told = await tell(refused(path, { backend }), { asNobody: true });
      check(told, path, "EACCES");
      assert.match(told.hint, /permission/);
    }
  });
}

for (const used of ["ready", "iterator", "batches", "close", "nothing"]) {
  test(`a failure is no unhandled rejection where only ${used} is used`, async () => {
    const use: Readonly<Record<string, string>> = {
      ready: "await watcher.ready.catch((error) => console.log(error.code));",
      iterator:
        "try { for await (const _ of watcher); } catch (error) { console.log(error.code); }",
      batches:
        "try { for await (const _ of watcher.batches()); } catch (error) { console.log(error.code); }",
      close: "await watcher.close(); console.log('ENOENT');",
      nothing: "console.log('ENOENT');",
    };
    const ended = await runScript(`
      import { watch } from ${MODULE};
      const watcher = watch("/no/such/path");
      ${use[used]}
    `);
    assert.deepEqual(ended, { status: 0, stdout: "ENOENT\n", stderr: "" });
  });
}

/** The open file descriptors of this process. */
function openFds(): number {
  return readdirSync("/proc/self/fd").length;
}

/** How many of them are the kernel's queues, and the sets that wait for them. */
function openQueues(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return /inotify|fanotify/.test(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      return false; // the one that lists
    }
  }).length;
}

/** Until as many file descriptors are open as before: Bun closes the copy that its stream holds in a later turn. */
async function noneIsLeft(before: number): Promise<void> {
  const until = performance.now() + 5000;
  while (openFds() > before && performance.now() < until) await aWhile();
  assert(openFds() <= before, "no file descriptor is left");
}

for (const backend of BACKENDS) {
  const skip = backend === "fanotify" && !isRoot ? "needs root" : false;
  test(
    `a path that comes and goes while it is armed: armed or ENOENT, ${backend}`,
    { skip },
    async () => {
      using directory = new TemporaryDirectory();
      const path = join(directory.path, "blinking");
      // Another process makes and removes it as fast as it can.
      const blink = `while :; do mkdir "$0/a" -p; rmdir "$0/a" "$0"; done`;
      const blinking = spawn("sh", ["-c", blink, path], { stdio: "ignore", detached: true });
      try {
        const outcomes = { armed: 0, ENOENT: 0 };
        const attempt = async () => {
          const watcher = watch(path, { backend });
          try {
            await within(watcher.ready, "ready");
            outcomes.armed++;
          } catch (error) {
            assert(error instanceof SystemError && error.code === "ENOENT", `${error}`);
            outcomes.ENOENT++;
          }
          await within(watcher.close(), "close");
        };
        await attempt();
        const before = openFds();
        for (let i = 0; i < 300; i++) await attempt();
        const until = performance.now() + 5000;
        while (outcomes.armed * outcomes.ENOENT === 0 && performance.now() < until) await attempt();
        assert(outcomes.armed > 0 && outcomes.ENOENT > 0, JSON.stringify(outcomes));
        await noneIsLeft(before);
      } finally {
        const ended = new Promise((resolve) => blinking.once("close", resolve));
        process.kill(-blinking.pid!, "SIGKILL"); // with the mkdir or rmdir that it waits for
        await ended;
      }
    },
  );
}

test("close() right after watch() leaves no file descriptor", async () => {
  using directory = new TemporaryDirectory();
  for (let i = 0; i < 300; i++) mkdirSync(join(directory.path, `${i}`, "x"), { recursive: true });
  for (const backend of BACKENDS) {
    await watch(directory.path, { backend: "inotify" }).close();
    const [before, queues] = [openFds(), openQueues()];
    for (let i = 0; i < 20; i++) {
      const watcher = watch(directory.path, { backend });
      for (let turn = 0; turn < i; turn++) await Promise.resolve();
      await within(watcher.close(), "close");
      assert.equal(openQueues(), queues, `${backend}, closed after ${i} turns`);
    }
    await noneIsLeft(before);
  }
});

test("a directory whose name is no UTF-8, by a link that is", async () => {
  using directory = new TemporaryDirectory();
  const script = `mkdir "$0/$(printf 'raw-\\377')" && ln -s "$0/$(printf 'raw-\\377')" "$0/link"`;
  assert.equal(spawnSync("sh", ["-c", script, directory.path]).status, 0);
  const link = join(directory.path, "link");
  for (const backend of BACKENDS) {
    const watcher = watch(link, { backend });
    await within(watcher.ready, `ready of ${backend}`);
    writeFileSync(join(link, backend), "");
    const { value } = await within(watcher[Symbol.asyncIterator]().next(), "the event");
    assert.equal(value?.path, join(link, backend));
    await watcher.close();
  }
});

for (const scope of ["mount", "filesystem"] as const) {
  test(`scope ${scope} is nothing that inotify can do`, async () => {
    const watcher = watch("/tmp", { scope, backend: "inotify" });
    await assert.rejects(within(watcher.ready, "ready"), (error) => {
      assert(error instanceof UnsupportedError);
      assert.match(error.message, new RegExp(`^Cannot watch a whole ${scope} with inotify: `));
      assert.match(error.hint, /fanotify/);
      return true;
    });
    await watcher.close();
  });

  test(`scope ${scope} needs CAP_SYS_ADMIN`, { skip: isRoot ? false : "needs root" }, async () => {
    const options = { scope, backend: "fanotify" } as const;
    const told = await tell(refused("/tmp", options), { asNobody: true });
    assert.deepEqual([told.name, told.code, told.same, told.left], [
      "CapabilityError",
      "EPERM",
      true,
      [],
    ]);
    assert.match(told.hint, /CAP_SYS_ADMIN/);
  });
}

/** A limit of a user namespace of its own, which ends with the process; what uses it up; what must then be told. */
const LIMITS: readonly {
  readonly sysctl: string;
  readonly value: number;
  readonly use: string;
  readonly backend: "auto" | "inotify" | "fanotify";
  readonly holds: string;
}[] = [
  {
    sysctl: "max_inotify_instances",
    value: 3,
    use: "for (let i = 0; i < 3; i++) libc.inotify_init1(0o2000000);",
    backend: "inotify",
    holds: "3",
  },
  {
    sysctl: "max_inotify_instances",
    value: 1,
    use: "libc.inotify_init1(0o2000000);",
    backend: "auto",
    holds: "1",
  },
  {
    sysctl: "max_inotify_watches",
    value: 4,
    use: `const fd = libc.inotify_init1(0o2000000);
      for (const path of ["/", "/etc", "/usr", "/tmp"]) libc.inotify_add_watch(fd, cString(path), 0x100);`,
    backend: "inotify",
    holds: "4",
  },
  {
    sysctl: "max_fanotify_groups",
    value: 2,
    use: "for (let i = 0; i < 2; i++) libc.fanotify_init(0xe01, 0);",
    backend: "fanotify",
    holds: "2",
  },
  {
    sysctl: "max_fanotify_marks",
    value: 3,
    use: `const fd = libc.fanotify_init(0xe01, 0);
      for (const name of ["a", "b", "c"]) libc.fanotify_mark(fd, 1, 0x100n, -100, cString(base + "/" + name));`,
    backend: "fanotify",
    holds: "3",
  },
];

for (const { sysctl, value, use, backend, holds } of LIMITS) {
  test(`user.${sysctl} is used up, ${backend}`, { skip: noUserNamespaces }, async () => {
    using directory = new TemporaryDirectory();
    for (const name of ["a", "b", "c"]) mkdirSync(join(directory.path, name));
    const under = limited(sysctl, value);
    const told = await tell(refused(directory.path, { backend }, use), { under });
    assert.equal(told.name, "WatchLimitError", told.message);
    assert(told.code === "EMFILE" || told.code === "ENOSPC", told.code);
    const pattern = `user.${sysctl} is ${value}, held by .*\\(OURS\\) ${holds}\\b.*sysctl`;
    assert.match(told.hint, new RegExp(pattern.replaceAll(".m", "\\.m")));
    assert(told.same);
    assert.deepEqual(told.left, []);
  });
}

/** What a guard is asked, and what nobody is: the facts that docs/guard.md tells. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import test from "node:test";
import type { GuardOptions } from "../mod.ts";
import { isInstalled, moduleCommand, run } from "../scripts/real_work/process.ts";
import { Filesystem, type FilesystemType, whyNot } from "./filesystem.ts";
import { type Version, whyBefore } from "./kernel.ts";
import { Running } from "./running.ts";
import { moduleFile, runScript, until } from "./runtime.ts";

const noCompiler = !isInstalled("cc") && "cc is not installed";

/** A filesystem of its own: a guarded directory, one beside it, and what uses files in them. */
class Ground implements Disposable {
  readonly #filesystem: Filesystem;
  readonly base: string;
  readonly guarded: string;
  readonly beside: string;
  readonly use: string;

  constructor(type: FilesystemType = "tmpfs") {
    this.#filesystem = new Filesystem(type);
    this.base = this.#filesystem.base;
    this.guarded = join(this.#filesystem.path, "guarded");
    this.beside = join(this.#filesystem.path, "beside");
    this.use = join(this.base, "use");
    for (const directory of [this.guarded, this.beside]) mkdirSync(directory);
    execFileSync("cc", ["-o", this.use, moduleFile("tests/use_file.c")]);
    for (const name of ["file", "last"]) this.file(name);
  }

  /** A new guarded file, with its own name in it. */
  file(name: string): string {
    const path = join(this.guarded, name);
    writeFileSync(path, name);
    return path;
  }

  /** Uses files; what came of each step. */
  async steps(...steps: readonly string[]): Promise<string[]> {
    const { code, signal, stdout, stderr } = await run([this.use, ...steps], { deadline: 10_000 });
    return code === 0 ? stdout.trim().split("\n") : [`${signal ?? code} ${stderr}`];
  }

  [Symbol.dispose](): void {
    this.#filesystem[Symbol.dispose]();
  }
}

/** A guard in a process of its own. */
class Guarding implements AsyncDisposable {
  readonly running: Running;
  readonly #ground: Ground;

  private constructor(ground: Ground, options: object, under: readonly string[]) {
    const settings = JSON.stringify({ paths: [ground.guarded], ...options });
    const module = new URL("./guarding.ts", import.meta.url);
    this.running = new Running([...under, ...moduleCommand(module, settings)]);
    this.#ground = ground;
  }

  static async start(
    ground: Ground,
    options: Omit<GuardOptions, "decide"> & { readonly decide?: "never" } = {},
    under: readonly string[] = [],
  ): Promise<Guarding> {
    const guarding = new Guarding(ground, options, under);
    await guarding.running.until(/^ready\n/);
    return guarding;
  }

  /** What it was asked so far, with file names alone, until the file "last" is opened, which it does. */
  async asked(): Promise<string[]> {
    await this.#ground.steps("open", join(this.#ground.guarded, "last"), "read");
    const said = await this.running.until(/\/last /);
    return said.split("\n").slice(1)
      .filter((line) => line !== "" && !line.includes("/last "))
      .map((line) => line.replace(/\/\S*\//, ""));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.running[Symbol.asyncDispose]();
  }
}

function limit(
  name: string,
  type: FilesystemType,
  body: (ground: Ground) => Promise<void>,
  since: Version = [5, 0],
): void {
  test(
    name,
    { skip: whyBefore(since) || whyNot(type) || noCompiler, timeout: 60_000 },
    async () => {
      using ground = new Ground(type);
      await body(ground);
    },
  );
}

const DENY_ALL = { rules: [{ path: "last", verdict: "allow" }, { verdict: "deny" }] } as const;

limit("names are nobody's business, nor is what opens no file", "tmpfs", async (ground) => {
  const file = ground.file("file");
  await using guarding = await Guarding.start(ground, DENY_ALL);
  const [link, moved] = [join(ground.guarded, "link"), join(ground.guarded, "moved")];
  const steps = ["stat", file, "path", file, "shorten", file, "open", file];
  assert.deepEqual(await ground.steps(...steps), [
    "stat: ok",
    "path: ok",
    "shorten: ok",
    "open: EPERM",
  ]);
  for (const command of [["chmod", "600", file], ["ln", file, link], ["mv", file, moved]]) {
    assert.equal((await run(command as [string])).code, 0);
  }
  for (const command of [["rm", moved], ["ls", ground.guarded], ["mkdir", file]]) {
    assert.equal((await run(command as [string])).code, 0);
  }
  assert.deepEqual(await guarding.asked(), ["access.open file deny rule"]);
});

limit("FIFOs and devices are not asked about", "ext4", async (ground) => {
  await using guarding = await Guarding.start(ground, DENY_ALL);
  const [fifo, device] = [join(ground.guarded, "fifo"), join(ground.guarded, "zero")];
  const script = 'mkfifo "$0" && : <> "$0" && mknod "$1" c 1 5 && head -c 1 "$1"';
  const { code, stderr } = await run(["sh", "-c", script, fifo, device]);
  assert.equal(code, 0, stderr);
  assert.deepEqual(await guarding.asked(), []);
}, [6, 18]);

limit("a file whose creation is denied is there, one is not emptied", "tmpfs", async (ground) => {
  const file = ground.file("file");
  await using guarding = await Guarding.start(ground, DENY_ALL);
  const created = join(ground.guarded, "created");
  assert.deepEqual(await ground.steps("create", created, "truncate", file), [
    "create: EPERM",
    "truncate: EPERM",
  ]);
  assert.equal(statSync(created).size, 0);
  assert.equal(statSync(file).size, 4);
  assert.deepEqual(await guarding.asked(), [
    "access.open created deny rule",
    "access.open file deny rule",
  ]);
});

for (const on of ["read", "access"] as const) {
  const kind = on === "read" ? "access.read" : "access";
  const since: Version = on === "read" ? [5, 0] : [6, 14];

  limit(`what was open before is not asked about, on ${on}`, "ext4", async (ground) => {
    const file = ground.file("file");
    await using user = new Running([ground.use, "open", file, "wait", "read", "wait"]);
    await user.until(/wait: ok/);
    await using guarding = await Guarding.start(ground, {
      on,
      rules: [{ path: "file", verdict: "deny" }],
    });
    assert.deepEqual(await ground.steps("open", file, "read"), ["open: ok", "read: EPERM"]);
    user.tell("go on");
    await user.until(/read: "file"/);
    assert.deepEqual(await guarding.asked(), [`${kind} file deny rule`]);
  }, [6, 18]);

  limit(`each read is asked about, in memory or not, on ${on}`, "ext4", async (ground) => {
    const file = ground.file("file");
    await using guarding = await Guarding.start(ground, { on });
    const once = `${kind} file allow default`;
    assert.equal((await ground.steps("open", file, "read", "read")).at(-1), 'read: "file"');
    assert.deepEqual(await guarding.asked(), [once, once]);
  }, since);

  limit(
    `a map is asked about ${on === "read" ? "never" : "once"}, on ${on}`,
    "ext4",
    async (ground) => {
      const file = ground.file("file");
      await using guarding = await Guarding.start(ground, { on });
      assert.equal(
        (await ground.steps("open", file, "map", "look", "look")).at(-1),
        'look: "file"',
      );
      const once = `${kind} file allow default`;
      assert.deepEqual(await guarding.asked(), on === "read" ? [] : [once]);
    },
    since,
  );
}

for (const [scope, isAsked] of [["tree", false], ["mount", true], ["filesystem", true]] as const) {
  const said = isAsked ? "" : " not";
  limit(`a hard link elsewhere is${said} asked about, scope ${scope}`, "tmpfs", async (ground) => {
    const link = join(ground.beside, "link");
    linkSync(ground.file("file"), link);
    await using guarding = await Guarding.start(ground, { scope });
    assert.deepEqual(await ground.steps("open", link), ["open: ok"]);
    const asked = await guarding.asked();
    assert.deepEqual(asked, isAsked ? ["access.open link allow default"] : []);
  });
}

for (const [scope, isAsked] of [["tree", true], ["mount", false], ["filesystem", true]] as const) {
  const said = isAsked ? "" : " not";
  limit(`another mount of it is${said} asked about, scope ${scope}`, "tmpfs", async (ground) => {
    const file = ground.file("file");
    const bound = join(ground.base, "bound");
    mkdirSync(bound);
    execFileSync("mount", ["--bind", ground.guarded, bound]);
    await using guarding = await Guarding.start(ground, { scope });
    assert.deepEqual(await ground.steps("open", join(bound, "file")), ["open: ok"]);
    // A mount namespace has mounts of its own.
    const apart = await run(["unshare", "--mount", ground.use, "open", file]);
    assert.equal(apart.stdout, "open: ok\n");
    const once = "access.open file allow default";
    assert.deepEqual(await guarding.asked(), isAsked ? [once, once] : []);
  });
}

limit(
  "an execution is asked about first, then its opening",
  "ext4",
  async (ground) => {
    const program = join(ground.guarded, "program");
    const script = join(ground.guarded, "script");
    execFileSync("cp", [ground.use, program]);
    writeFileSync(script, "#!/bin/sh\n", { mode: 0o755 });
    await using guarding = await Guarding.start(ground, { on: ["open", "exec"] });
    for (const command of [[program], [script], ["sh", script]]) {
      assert.equal((await run(command as [string])).code, 0);
    }
    const asked = (await guarding.asked()).map((line) => line.split(" allow ")[0]);
    assert.deepEqual(asked, [
      ...["access.exec program", "access.open program"],
      ...["access.exec script", "access.open script", "access.open script"], // the last one is the shell's
      "access.open script", // by its name to a shell it is data
    ]);
  },
);

limit("what pre-content denies, content is not asked about", "tmpfs", async (ground) => {
  const file = ground.file("file");
  const rules = [{ path: "file", verdict: "deny" }] as const;
  const denied = ["access.open file deny rule"];
  await using content = await Guarding.start(ground, { rules });
  {
    await using first = await Guarding.start(ground, { priority: "pre-content", rules });
    assert.deepEqual(await ground.steps("open", file), ["open: EPERM"]);
    assert.deepEqual(await first.asked(), denied);
  }
  await using first = await Guarding.start(ground, { priority: "pre-content" });
  assert.deepEqual(await ground.steps("open", file), ["open: EPERM"]);
  assert.deepEqual(await first.asked(), ["access.open file allow default"]);
  assert.deepEqual(await content.asked(), denied);
});

limit("what is moved is asked about where it is", "tmpfs", async (ground) => {
  const [came, left] = [join(ground.guarded, "came"), join(ground.beside, "left")];
  const outside = join(ground.beside, "file");
  writeFileSync(outside, "");
  await using guarding = await Guarding.start(ground);
  renameSync(outside, came);
  renameSync(join(ground.guarded, "file"), left);
  assert.deepEqual(await ground.steps("open", came, "open", left), ["open: ok", "open: ok"]);
  assert.deepEqual(await guarding.asked(), ["access.open came allow default"]);
});

/** What may be done to a file between two opens, and whether the second one is asked about where the first was cached. */
const BETWEEN: readonly (readonly [how: string, step: string, next: string[], isAsked: boolean])[] =
  [
    ["opened for writing", "append", [], false],
    ["written", "append", ["write"], true],
    ["truncated by its name", "shorten", [], true],
    ["opened with O_TRUNC", "truncate", [], true],
    ["changed through a map", "append", ["scribble"], false], // which the kernel tells nobody
  ];

for (const cache of ["until-modified", "always"] as const) {
  for (const [how, step, next, isModified] of BETWEEN) {
    const isAsked = isModified && cache === "until-modified";
    const name = `a file allowed ${cache}, then ${how}: ${isAsked ? "asked about" : "not asked"}`;
    limit(name, "ext4", async (ground) => {
      const file = ground.file("file");
      await using guarding = await Guarding.start(ground, {
        rules: [{ path: "file", verdict: "allow", cache }],
      });
      const once = "access.open file allow rule";
      await ground.steps("open", file);
      await guarding.running.until(/file allow rule/); // told once the kernel knows
      const steps = await ground.steps(step, file, ...next);
      assert.deepEqual(steps, [step, ...next].map((one) => `${one}: ok`));
      await ground.steps("open", file);
      assert.deepEqual(await guarding.asked(), isAsked ? [once, once] : [once]);
    });
  }
}

limit("while a file is open for writing it is asked about each time", "ext4", async (ground) => {
  const file = ground.file("file");
  await using guarding = await Guarding.start(ground, {
    rules: [{ path: "file", verdict: "allow", cache: "until-modified" }],
  });
  await using writer = new Running([ground.use, "append", file, "wait"]);
  await writer.until(/wait/);
  for (let i = 0; i < 3; i++) await ground.steps("open", file);
  assert.equal((await guarding.asked()).length, 4);
});

limit("a stopped guard answers nobody, a killed one lets all pass", "tmpfs", async (ground) => {
  const file = ground.file("file");
  await using guarding = await Guarding.start(ground, { decide: "never", timeout: 500 });
  const waiting = async () => {
    const user = new Running([ground.use, "open", file]);
    await until(() => waitsForFanotify(user.pid));
    return user;
  };
  guarding.running.signal("SIGSTOP");
  await using first = await waiting();
  guarding.running.signal("SIGCONT"); // and its time is over
  await first.until(/open: EPERM/);

  guarding.running.signal("SIGSTOP");
  await using second = await waiting();
  second.signal("SIGTERM"); // who waits can be killed
  await second.ended();

  // A new directory is marked by the responder: so long nobody is asked about what is in it.
  const fresh = join(ground.guarded, "fresh");
  mkdirSync(fresh);
  assert.deepEqual(await ground.steps("create", join(fresh, "file")), ["create: ok"]);

  await using third = await waiting();
  guarding.running.signal("SIGKILL");
  await third.until(/open: ok/);
});

limit("a guard that crashes lets all pass, and leaves no core dump", "tmpfs", async (ground) => {
  const file = ground.file("file");
  // Where core(5) says so, the dump is made in the working directory: by the kernel, which would have to ask, too.
  const under = ["sh", "-c", 'ulimit -c unlimited && cd "$0" && exec "$@"', ground.guarded];
  await using guarding = await Guarding.start(ground, { scope: "filesystem" }, under);
  assert.deepEqual(await ground.steps("open", file), ["open: ok"]);
  guarding.running.signal("SIGABRT");
  assert.deepEqual(await ground.steps("open", file), ["open: ok"]);
  await guarding.running.ended();
  assert.deepEqual(readdirSync(ground.guarded).toSorted(), ["file", "last"]);
});

limit("the limit of core dumps is given back with the last guard", "tmpfs", async (ground) => {
  const script = `
    import { readFileSync } from "node:fs";
    import process from "node:process";
    import { guard } from ${JSON.stringify(moduleFile("mod.ts"))};
    const tell = () => {
      const [, soft] = /core file size +(\\S+)/.exec(readFileSync("/proc/self/limits", "utf8"));
      console.log(soft);
    };
    tell();
    const guards = [1, 2].map(() => guard(process.argv[2]));
    for (const one of guards) await one.ready;
    tell();
    for (const one of guards) {
      await one.close();
      tell();
    }
  `;
  const under = ["sh", "-c", 'ulimit -c unlimited && exec "$@"', "sh"];
  const { stdout, stderr } = await runScript(script, { under, args: [ground.guarded] });
  assert.equal(stdout, "unlimited\n1\n1\nunlimited\n", stderr);
});

/** Whether a child of the process waits for an answer. */
function waitsForFanotify(pid: number): boolean {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  // It can be killed, but not interrupted (fs/notify/fanotify/fanotify.c), as nothing else that it does.
  return children !== "" && /^State:\s+D/m.test(readFileSync(`/proc/${children}/status`, "utf8"));
}

/**
 * The command line, as a process of its own: what it prints, what it says, how it ends. In Deno it runs with
 * `--allow-ffi` alone.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type ChildProcess, spawn, spawnSync, type StdioOptions } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";

import { escapeBytes, escapeText, safeJson } from "../cli/escape.ts";
import { kindsOfLetters, lettersOf } from "../cli/letters.ts";
import { timeFormatter } from "../cli/time.ts";
import { VERSION } from "../cli/version.ts";
import { Filesystem } from "./filesystem.ts";
import {
  AS_NOBODY,
  isDeno,
  isRoot,
  moduleFile,
  NOBODY,
  TemporaryDirectory,
  within,
} from "./runtime.ts";

/** How long anything may take, in ms. */
const DEADLINE = 20_000;

type User = "root" | "nobody" | "this user";

/** Everybody as whom the tests can be run. */
const USERS: readonly User[] = isRoot ? ["root", "nobody"] : ["this user"];

const [ME] = USERS as [User];

const ownerOf = (user: User): number | undefined => user === "nobody" ? NOBODY : undefined;

interface RunInit {
  readonly user?: User;
  readonly stdio?: StdioOptions;
  /** A compiled command line, run without a runtime, and with an empty environment. */
  readonly executable?: string;
}

/** The command that runs the command line in the runtime under test. */
function command(args: readonly string[]): string[] {
  const runtime = isDeno
    ? [process.execPath, "run", "--quiet", "--no-prompt", "--allow-ffi"]
    : [process.execPath];
  return [...runtime, moduleFile("cli.ts"), ...args];
}

/** A running command. */
class Run implements AsyncDisposable {
  stdout: Buffer = Buffer.alloc(0);
  stderr = "";
  readonly child: ChildProcess;
  readonly #closed: Promise<number | null>;
  readonly #waiting = new Set<() => void>();
  /** Where nobody's runtime may put what it compiled. */
  readonly #home: TemporaryDirectory | undefined;
  #isRunning = true;

  constructor(args: readonly string[], { user = ME, stdio, executable }: RunInit = {}) {
    this.#home = user === "nobody" ? new TemporaryDirectory(NOBODY) : undefined;
    const home = this.#home?.path;
    const change = user === "nobody" ? AS_NOBODY : [];
    const [file, ...rest] = [...change, ...executable ? [executable, ...args] : command(args)];
    this.child = spawn(file!, rest, {
      stdio: stdio ?? ["ignore", "pipe", "pipe"],
      env: executable !== undefined
        ? {}
        : home === undefined
        ? process.env
        : { ...process.env, HOME: home, DENO_DIR: join(home, "deno") },
    });
    this.child.stdout?.on("data", (data: Buffer) => {
      this.stdout = Buffer.concat([this.stdout, data]);
      this.#changed();
    });
    this.child.stderr?.on("data", (data: Buffer) => {
      this.stderr += data.toString();
      this.#changed();
    });
    this.#closed = new Promise((resolve, reject) => {
      this.child.on("error", reject);
      this.child.on("exit", () => this.#isRunning = false);
      this.child.on("close", (status: number | null) => {
        resolve(status);
        this.#changed();
      });
    });
  }

  #changed(): void {
    for (const wake of this.#waiting) wake();
  }

  get lines(): string[] {
    return this.stdout.toString().split("\n").slice(0, -1);
  }

  /** Resolves once `condition` holds, which is looked at whenever something was printed. */
  async until(what: string, condition: () => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = () => condition() && resolve();
    this.#waiting.add(look);
    look();
    const ended = this.#closed.then((status) => {
      if (!condition()) {
        throw new Error(`${what}: it ended with ${status}: ${this.stdout}${this.stderr}`);
      }
    });
    try {
      await within(
        Promise.race([promise, ended]),
        `${what} in ${this.stdout}${this.stderr}`,
        DEADLINE,
      );
    } finally {
      this.#waiting.delete(look);
    }
  }

  /** Armed: a change made from now on is reported. */
  async armed(): Promise<this> {
    await this.until("Watching or Tracing", () => /^(Watching|Tracing) .*\n/m.test(this.stderr));
    return this;
  }

  async printed(text: string): Promise<void> {
    await this.until(`printed ${text}`, () => this.stdout.includes(text));
  }

  /** The exit status. */
  async status(): Promise<number | null> {
    return await within(this.#closed, `the end (${this.stdout}${this.stderr})`, DEADLINE);
  }

  /** Not `child.kill`, after which Deno tells of a death by that signal whatever the process made of it. */
  kill(signal: NodeJS.Signals): void {
    process.kill(this.child.pid!, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isRunning) this.kill("SIGKILL");
    this.child.stdout?.resume();
    await this.#closed;
    this.#home?.[Symbol.dispose]();
  }
}

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function runToEnd(args: readonly string[], init: RunInit = {}): Promise<Ended> {
  await using run = new Run(args, init);
  const status = await run.status();
  return { status, stdout: run.stdout.toString(), stderr: run.stderr };
}

/** A child that did what it was told and stays until the end of the block, so that it can be looked at. */
class Held implements AsyncDisposable {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;

  constructor(script: string, owner?: number) {
    this.#child = spawn("sh", ["-c", `${script}\nread -r line`], {
      stdio: ["pipe", "inherit", "inherit"],
      ...(owner === undefined ? {} : { uid: owner, gid: owner }),
    });
    this.pid = this.#child.pid!;
    this.#closed = new Promise((resolve) => this.#child.on("close", () => resolve()));
  }

  /** Gives it a line to read. */
  say(line: string): void {
    this.#child.stdin!.write(`${line}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin!.end();
    await within(this.#closed, "the child's end", DEADLINE);
  }
}

/** A tmpfs of its own. Needs root. */
class Tmpfs implements Disposable {
  readonly #point = new TemporaryDirectory();
  readonly path: string = this.#point.path;

  constructor() {
    const { status, stderr } = spawnSync("mount", ["-t", "tmpfs", "sentinode-test", this.path]);
    assert.equal(status, 0, String(stderr));
    chmodSync(this.path, 0o777);
  }

  [Symbol.dispose](): void {
    // The traced child may still be on its way out.
    const { status, stderr } = spawnSync("umount", ["--lazy", this.path]);
    assert.equal(status, 0, String(stderr));
    this.#point[Symbol.dispose]();
  }
}

/** Stops a process and waits until it is. */
async function pause(run: Run): Promise<void> {
  run.kill("SIGSTOP");
  const end = performance.now() + DEADLINE;
  while (!/^State:\s+T/m.test(readFileSync(`/proc/${run.child.pid}/status`, "utf8"))) {
    assert.ok(performance.now() < end, "it does not stop");
    await new Promise(setImmediate);
  }
}

const NEEDS_ROOT = { skip: isRoot ? false : "needs root" };

// --- help and wrong arguments ---

const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  watch: [
    "events",
    "ignore",
    "no-recursive",
    "scope",
    "backend",
    "actor",
    "metadata",
    "atomic-save",
    "write-finish",
    "recover",
    "once",
    "timeout",
    "count",
    "json",
    "raw",
    "format",
    "time-format",
    "null",
    "quiet",
  ],
  trace: [
    "comm",
    "pid",
    "user",
    "events",
    "count",
    "timeout",
    "json",
    "format",
    "time-format",
    "null",
  ],
  doctor: ["json"],
};

for (const [name, options] of Object.entries(COMMANDS)) {
  test(`${name} --help names every option`, async () => {
    for (const flag of ["--help", "-h"]) {
      const { status, stdout, stderr } = await runToEnd([name, flag]);
      assert.equal(status, 0);
      assert.equal(stderr, "");
      assert.match(stdout, new RegExp(`^Usage: sentinode ${name} `));
      for (const option of [...options, "help"]) {
        assert.match(stdout, new RegExp(` --${option}\\b`));
      }
      for (const line of stdout.split("\n")) assert.ok(line.length <= 110, line);
    }
  });
}

test("--help names every command, --version the version of the package", async () => {
  const { status, stdout } = await runToEnd(["--help"]);
  assert.equal(status, 0);
  for (const name of Object.keys(COMMANDS)) assert.match(stdout, new RegExp(`^  ${name} `, "m"));
  const { version } = JSON.parse(readFileSync(moduleFile("deno.json"), "utf8"));
  assert.equal(VERSION, version);
  assert.deepEqual(await runToEnd(["--version"]), {
    status: 0,
    stdout: `sentinode ${version}\n`,
    stderr: "",
  });
});

/** Arguments, and the line that says what is wrong with them. */
const WRONG: readonly (readonly [args: readonly string[], complaint: string])[] = [
  [[], "sentinode: Cannot run: no command is given"],
  [["wach", "/tmp"], "sentinode: Cannot run wach: no such command"],
  [["--jsn"], "sentinode: Cannot run --jsn: no such command"],
  [["watch"], "sentinode watch: Cannot watch nothing: give PATH…"],
  [["watch", "--jsn", "/tmp"], "sentinode watch: Cannot watch with --jsn: no such option"],
  [["watch", "-z", "/tmp"], "sentinode watch: Cannot watch with -z: no such option"],
  [["watch", "--json=1", "/tmp"], "sentinode watch: Cannot watch with --json=1: it takes no value"],
  [["watch", "/tmp", "--count"], "sentinode watch: Cannot watch with --count: it takes N"],
  [
    ["watch", "--ignore", "--json", "/tmp"],
    "sentinode watch: Cannot watch with --ignore --json: it takes GLOB; write --ignore=--json",
  ],
  [
    ["watch", "--count", "0", "/tmp"],
    "sentinode watch: Cannot watch with --count 0: not a whole number of at least 1",
  ],
  [
    ["watch", "--count=1.5", "/tmp"],
    "sentinode watch: Cannot watch with --count 1.5: not a whole number of at least 1",
  ],
  [
    ["watch", "--timeout=soon", "/tmp"],
    "sentinode watch: Cannot watch with --timeout soon: not a number",
  ],
  [
    ["watch", "--timeout=-1", "/tmp"],
    "sentinode watch: Cannot watch with --timeout -1: not a number",
  ],
  [
    ["watch", "--once", "--count", "2", "/tmp"],
    "sentinode watch: Cannot watch with --once and --count: give one of them",
  ],
  [
    ["watch", "--json", "--format", "%p", "/tmp"],
    "sentinode watch: Cannot watch with --json and --format: give one of them",
  ],
  [["watch", "--raw", "/tmp"], "sentinode watch: Cannot watch with --raw: it is for --json"],
  [
    ["watch", "--scope", "world", "/tmp"],
    'sentinode watch: Cannot watch with scope "world": it is one of tree, mount, filesystem',
  ],
  [
    ["watch", "--ignore", "[a", "/tmp"],
    'sentinode watch: Cannot use [a as a glob: "[" has no "]"',
  ],
  [["trace", "/tmp", "/"], 'sentinode trace: Cannot trace with "/": one argument too many'],
  [["trace", "--pid", "me"], "sentinode trace: Cannot trace with --pid me: not a process id"],
  [
    ["trace", "--user", "no-such-user"],
    "sentinode trace: Cannot trace with --user no-such-user: no such user in /etc/passwd; a uid will do",
  ],
  [["doctor", "--format", "%p"], "sentinode doctor: Cannot doctor with --format: no such option"],
];

for (const [args, complaint] of WRONG) {
  test(`refuses ${["sentinode", ...args].join(" ")}`, async () => {
    const { status, stdout, stderr } = await runToEnd(args);
    const program = complaint.slice(0, complaint.indexOf(":"));
    assert.equal(stderr, `${complaint}\nTry '${program} --help'\n`);
    assert.equal(stdout, "");
    assert.equal(status, 1);
  });
}

test("refuses unknown kinds, backends and letters by name, and says which there are", async () => {
  for (
    const [args, complaint] of [
      [
        ["watch", "--events", "create,bogus", "/tmp"],
        /^sentinode watch: Cannot .*bogus.*: no such kind; .*create/,
      ],
      [
        ["watch", "--backend", "bogus", "/tmp"],
        /^sentinode watch: Cannot .*bogus.*fanotify, inotify/,
      ],
      [["watch", "--recover", "bogus", "/tmp"], /^sentinode watch: Cannot .*bogus.*diff, signal/],
      [["watch", "--format", "%p %y", "/tmp"], /^sentinode watch: Cannot .*: %y is none of .*%p/],
      [["watch", "--format", "100%", "/tmp"], /^sentinode watch: Cannot .*: % is none of .*%%/],
      [["watch", "--time-format", "%Q", "/tmp"], /^sentinode watch: Cannot .*: %Q is none of .*%F/],
      [
        ["trace", "--events", "RZ"],
        /^sentinode trace: Cannot trace for RZ: neither letters .* nor a kind/,
      ],
    ] as const
  ) {
    const { status, stdout, stderr } = await runToEnd(args);
    assert.equal(status, 1);
    assert.equal(stdout, "");
    const [first, second, ...rest] = stderr.split("\n");
    assert.match(first!, complaint);
    assert.equal(second, `Try 'sentinode ${args[0]} --help'`);
    assert.deepEqual(rest, [""]);
  }
});

test("commands of a later version say so", async () => {
  for (const name of ["audit", "mounts", "errors", "keys"]) {
    const { status, stdout, stderr } = await runToEnd([name, "/tmp"]);
    assert.equal(status, 1);
    assert.equal(stdout, "");
    assert.match(stderr, new RegExp(`^sentinode: Cannot run ${name}: not yet\n`));
  }
});

test("what the system refuses is told with its hint, and cannot drive the terminal", async () => {
  const { status, stdout, stderr } = await runToEnd(["watch", "/no/such\x1b[2J\npath"]);
  assert.equal(status, 1);
  assert.equal(stdout, "");
  assert.match(
    stderr,
    /^sentinode watch: Cannot watch \/no\/such\\x1b\[2J\\npath: no such file .*\(ENOENT\)\nHint: .+\n$/,
  );
});

// --- watch ---

for (const user of USERS) {
  const owner = ownerOf(user);
  const directory = () => new TemporaryDirectory(owner);
  const watch = (args: readonly string[], init: RunInit = {}) =>
    new Run(["watch", ...args], { user, ...init });

  test(`watch as ${user}: a line for people, and how it is watched`, async () => {
    using at = directory();
    await using run = await watch(["--count", "2", at.path]).armed();
    assert.match(
      run.stderr,
      new RegExp(`^Watching ${at.path} \\((fanotify|inotify), [\\w ]+\\)\n`),
    );
    mkdirSync(join(at.path, "a"));
    renameSync(join(at.path, "a"), join(at.path, "b"));
    assert.equal(await run.status(), 0);
    const [created, renamed, ...rest] = run.lines;
    assert.match(
      created!,
      new RegExp(`^\\d\\d:\\d\\d:\\d\\d\\.\\d{3} create\\.directory +${at.path}/a$`),
    );
    assert.match(renamed!, new RegExp(`^[\\d:.]+ rename +${at.path}/a -> ${at.path}/b$`));
    assert.deepEqual(rest, []);
    assert.ok(!run.stdout.includes("\x1b"), "no colours but on a terminal");
  });

  test(`watch as ${user}: --once, --json, --raw`, async () => {
    using at = directory();
    const before = Date.now();
    await using run = await watch(["--once", "--json", "--raw", at.path]).armed();
    mkdirSync(join(at.path, "a"));
    mkdirSync(join(at.path, "b"));
    assert.equal(await run.status(), 0);
    assert.equal(run.lines.length, 1);
    const { time, raw, backend, ...event } = JSON.parse(run.lines[0]!);
    assert.deepEqual(event, {
      kind: "create.directory",
      path: join(at.path, "a"),
      isDirectory: true,
      attributes: {},
    });
    assert.ok(time >= before && time <= Date.now());
    assert.ok(["fanotify", "inotify"].includes(backend));
    assert.equal(typeof raw, "object");
    assert.notEqual(raw.mask, undefined);
  });

  test(`watch as ${user}: --json without --raw has none`, async () => {
    using at = directory();
    await using run = await watch(["--once", "--json", at.path]).armed();
    mkdirSync(join(at.path, "a"));
    assert.equal(await run.status(), 0);
    assert.ok(!("raw" in JSON.parse(run.lines[0]!)));
  });

  test(`watch as ${user}: --format, --time-format`, async () => {
    using at = directory();
    const format = "%k|%p|%f|%e|%c|%P|%u|%l|%b|%%|%t|%n%j";
    await using run = await watch([
      "--count=2",
      "--backend=inotify",
      "--format",
      format,
      "--time-format=%Y-%m-%d=%F %H:%M:%S=%T %f %s%%",
      at.path,
    ]).armed();
    mkdirSync(join(at.path, "a"));
    renameSync(join(at.path, "a"), join(at.path, "b"));
    assert.equal(await run.status(), 0);
    const [created, createdJson, renamed, renamedJson] = run.lines;
    const time = /\|(\d{4}-\d\d-\d\d)=\1 (\d\d:\d\d:\d\d)=\2 (\d{3}) (\d+)%\|$/;
    const { time: ms, ...event } = JSON.parse(createdJson!);
    const [, , , f, s] = time.exec(created!)!;
    assert.equal(Number(s) * 1000 + Number(f), ms);
    assert.equal(created!.replace(time, ""), `create.directory|${at.path}/a|-|-|-|-|-|+|inotify|%`);
    assert.equal(event.kind, "create.directory");
    assert.equal(
      renamed!.replace(time, ""),
      `rename|${at.path}/b|${at.path}/a|-|-|-|-|<>|inotify|%`,
    );
    assert.equal(JSON.parse(renamedJson!).from, join(at.path, "a"));
  });

  test(`watch as ${user}: --events, --ignore`, async () => {
    using at = directory();
    await using run = await watch([
      "--events=remove,rename",
      "--ignore=*.tmp",
      "--ignore",
      "left-out",
      "--format=%k %p",
      "--count=2",
      at.path,
    ]).armed();
    for (const name of ["a", "x.tmp", "left-out", "b"]) {
      mkdirSync(join(at.path, name));
      renameSync(join(at.path, name), join(at.path, `${name}-2`));
      renameSync(join(at.path, `${name}-2`), join(at.path, name));
    }
    assert.equal(await run.status(), 0);
    assert.deepEqual(run.lines, [`rename ${at.path}/a-2`, `rename ${at.path}/a`]);
  });

  test(`watch as ${user}: what is ignored is not told`, async () => {
    using at = directory();
    await using run = await watch(["--ignore=*.tmp", "--format=%k %p", "--once", at.path]).armed();
    mkdirSync(join(at.path, "x.tmp"));
    mkdirSync(join(at.path, "y"));
    assert.equal(await run.status(), 0);
    assert.deepEqual(run.lines, [`create.directory ${at.path}/y`]);
  });

  test(`watch as ${user}: --no-recursive, and several paths`, async () => {
    using at = directory();
    for (const name of ["a", "a/inner", "b"]) {
      mkdirSync(join(at.path, name));
      if (owner !== undefined) chownSync(join(at.path, name), owner, owner);
    }
    const paths = [join(at.path, "a"), join(at.path, "b")];
    await using run = watch(["--no-recursive", "--format=%p", "--count=2", ...paths]);
    await run.until("both", () => run.stderr.split("\n").length === 3);
    mkdirSync(join(at.path, "a/inner/not-told"));
    mkdirSync(join(at.path, "a/told"));
    await run.printed("a/told");
    mkdirSync(join(at.path, "b/told"));
    assert.equal(await run.status(), 0);
    assert.deepEqual(run.lines, [join(at.path, "a/told"), join(at.path, "b/told")]);
  });

  test(`watch as ${user}: --timeout without an event is 2, with one 0`, async () => {
    using at = directory();
    const began = performance.now();
    await using nothing = watch(["--timeout", "0.3", at.path]);
    assert.equal(await nothing.status(), 2);
    assert.ok(performance.now() - began >= 300);
    assert.equal(nothing.stdout.length, 0);
    await using something = await watch(["--timeout=2", at.path]).armed();
    mkdirSync(join(at.path, "a"));
    assert.equal(await something.status(), 0);
    assert.equal(something.lines.length, 1);
  });

  for (const [signal, number] of [["SIGINT", 2], ["SIGTERM", 15]] as const) {
    test(`watch as ${user}: ${signal} ends it with a summary`, async () => {
      using at = directory();
      await using nothing = await watch([at.path]).armed();
      nothing.kill(signal);
      assert.equal(await nothing.status(), 128 + number);
      assert.match(nothing.stderr, /\n0 events, 0 lost\n$/);
      await using something = await watch([at.path]).armed();
      mkdirSync(join(at.path, "a"));
      await something.printed("create.directory");
      something.kill(signal);
      assert.equal(await something.status(), 0);
      assert.match(something.stderr, /\n1 event, 0 lost\n$/);
    });
  }

  test(`watch as ${user}: a reader that leaves ends it quietly`, async () => {
    using at = directory();
    await using run = await watch([at.path]).armed();
    mkdirSync(join(at.path, "a"));
    await run.printed("create.directory");
    const { stderr } = run;
    run.child.stdout!.destroy();
    // The pipe breaks at a write after the descriptor is closed, which is not at once.
    let made = 0;
    const timer = setInterval(() => mkdirSync(join(at.path, `more-${made++}`)), 20);
    try {
      assert.equal(await run.status(), 0);
    } finally {
      clearInterval(timer);
    }
    assert.equal(run.stderr, stderr);
  });

  test(`watch as ${user}: a reader that does not read does not hold up the end`, async () => {
    using at = directory();
    await using run = watch(["--json", at.path]);
    run.child.stdout!.pause();
    await run.armed();
    // More than the pipe and the streams on both sides hold.
    const name = "x".repeat(200);
    for (let i = 0; i < 1500; i++) mkdirSync(join(at.path, `${name}${i}`));
    run.kill("SIGTERM");
    run.child.stdout!.once("end", () => {}); // the pipe is read again after the exit only
    const exited = new Promise<number | null>((resolve) => run.child.on("exit", resolve));
    assert.equal(await within(exited, "the exit", DEADLINE), 0);
    run.child.stdout!.resume();
    assert.match(run.stderr, /\n\d+ events, .* lost\n$/);
  });

  test(`watch as ${user}: its own output is not told`, async () => {
    using at = directory();
    const log = join(at.path, "log");
    const out = openSync(log, "w");
    try {
      await using run = watch(["--format=%p", at.path], { stdio: ["ignore", out, "pipe"] });
      await run.armed();
      for (const name of ["a", "b"]) {
        mkdirSync(join(at.path, name));
        const end = performance.now() + DEADLINE;
        while (!readFileSync(log, "utf8").includes(`/${name}\n`)) {
          assert.ok(performance.now() < end, `${name} is not told`);
          await new Promise(setImmediate);
        }
      }
      run.kill("SIGINT");
      assert.equal(await run.status(), 0);
    } finally {
      closeSync(out);
    }
    assert.deepEqual(readFileSync(log, "utf8"), `${at.path}/a\n${at.path}/b\n`);
  });

  test(`watch as ${user}: --quiet says nothing`, async () => {
    using at = directory();
    const { status, stdout, stderr } = await runToEnd(["watch", "-q", "--timeout=0.1", at.path], {
      user,
    });
    assert.deepEqual({ status, stdout, stderr }, { status: 2, stdout: "", stderr: "" });
  });

  test(`watch as ${user}: names cannot drive a terminal or forge a line`, async () => {
    using at = directory();
    const names: readonly (readonly [name: string, escaped: string])[] = [
      ["new\nline", "new\\nline"],
      ["esc\x1b[31m", "esc\\x1b[31m"],
      ["back\\nslash", "back\\\\nslash"],
      ["\x7f\x80\x9b", "\\x7f\\u0080\\u009b"],
      ["\u2028\u2029", "\\u2028\\u2029"],
      ["\u202egpj\u2066", "\\u202egpj\\u2066"],
      ["ordinary ü 文 🦀", "ordinary ü 文 🦀"],
    ];
    const count = `--count=${names.length}`;
    await using text = await watch([count, "--format=%p", at.path]).armed();
    await using json = await watch([count, "--json", at.path]).armed();
    await using nul = await watch([count, "--null", "--format=%p", at.path]).armed();
    for (const [name] of names) mkdirSync(join(at.path, name));
    for (const run of [text, json, nul]) assert.equal(await run.status(), 0);
    assert.deepEqual(text.lines, names.map(([, escaped]) => `${at.path}/${escaped}`));
    assert.deepEqual(
      nul.stdout.toString(),
      names.map(([name]) => `${at.path}/${name}\0`).join(""),
    );
    assert.deepEqual(
      json.lines.map((line) => JSON.parse(line).path),
      names.map(([name]) => join(at.path, name)),
    );
    assert.doesNotMatch(
      json.stdout.toString(),
      // deno-lint-ignore no-control-regex
      /[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e\u2066]/,
    );
  });

  test(`watch as ${user}: names that are no UTF-8`, async () => {
    using at = directory();
    await using text = await watch(["--once", "--format=%p", at.path]).armed();
    await using json = await watch(["--once", "--json", at.path]).armed();
    await using nul = await watch(["--once", "-0", "--format=%p", at.path]).armed();
    const bytes = Buffer.concat([
      Buffer.from(`${at.path}/`),
      Buffer.from([0x61, 0xff, 0xc3, 0x28, 0xc3, 0xa9]),
    ]);
    // Neither runtime's own mkdir takes such a name.
    assert.equal(
      spawnSync("sh", ["-c", `mkdir "${at.path}/$(printf 'a\\377\\303(\\303\\251')"`]).status,
      0,
    );
    for (const run of [text, json, nul]) assert.equal(await run.status(), 0);
    assert.deepEqual(text.lines, [`${at.path}/a\\xff\\xc3(é`]);
    assert.deepEqual(nul.stdout, Buffer.concat([bytes, Buffer.of(0)]));
    const event = JSON.parse(json.lines[0]!);
    assert.equal(event.path, `${at.path}/a\ufffd\ufffd(é`);
    assert.deepEqual(Buffer.from(event.pathBytes, "base64"), bytes);
    spawnSync("rm", ["-r", at.path]);
    mkdirSync(at.path); // for the end of the block
  });
}

test("watch: options that are not there yet", async () => {
  for (const args of [["--metadata"]]) {
    const { status, stderr } = await runToEnd(["watch", "--timeout=0", ...args, "/tmp"]);
    assert.equal(status, 1);
    assert.match(stderr, /^sentinode watch: Cannot watch with .*: not yet\nHint: .*\n$/);
  }
});

test("watch: --atomic-save tells a save as one event", async () => {
  using at = new TemporaryDirectory();
  writeFileSync(join(at.path, "file"), "old");
  const wanted = ["--atomic-save", "--events=create,modify.data,rename,remove", "--json", "--once"];
  await using run = await new Run(["watch", ...wanted, at.path]).armed();
  writeFileSync(join(at.path, "new"), "new");
  renameSync(join(at.path, "new"), join(at.path, "file"));
  assert.equal(await run.status(), 0);
  const [event] = run.lines.map((line) => JSON.parse(line));
  assert.deepEqual([event.kind, event.path], ["modify.data", join(at.path, "file")]);
  const coalesced = event.attributes.coalesced as { kind: string; path: string }[];
  assert.deepEqual(coalesced.map(({ kind }) => kind.split(".")[0]), ["create", "modify", "rename"]);
});

test("watch: --write-finish waits for the close", async () => {
  using at = new TemporaryDirectory();
  const format = ["--format=%k %p", "--events=create,modify.data"];
  await using run = await new Run(["watch", "--write-finish", "--count=3", ...format, at.path])
    .armed();
  const file = openSync(join(at.path, "file"), "w");
  writeSync(file, "one");
  mkdirSync(join(at.path, "directory"));
  await run.printed("directory");
  writeSync(file, "two");
  closeSync(file);
  assert.equal(await run.status(), 0);
  const told = ["create.directory directory", "create.file file", "modify.data file"];
  assert.deepEqual(run.lines, told.map((line) => line.replace(" ", ` ${at.path}/`)));
});

test("watch: --wait-for-path waits for a path that is not there", async () => {
  using at = new TemporaryDirectory();
  const path = join(at.path, "a", "b");
  await using run = await new Run(["watch", "--wait-for-path", "--count=2", path]).armed();
  await run.until("the gap", () => run.stderr.includes(`Not covered: ${path}: it is not there`));
  mkdirSync(join(path, "c"), { recursive: true });
  assert.equal(await run.status(), 0);
  const told = run.lines.map((line) => line.split(" ").slice(-1)[0]);
  assert.deepEqual(told, [path, join(path, "c")]);
});

test("watch: --follow-symlinks tells what is behind a symlink", async () => {
  using at = new TemporaryDirectory();
  for (const name of ["watched", "behind"]) mkdirSync(join(at.path, name));
  const path = join(at.path, "watched");
  symlinkSync("../behind", join(path, "link"));
  await using run = await new Run(["watch", "--follow-symlinks", "--once", path]).armed();
  await run.until("followed", () => run.stderr.includes(`\nWatching ${path}/link (`));
  mkdirSync(join(at.path, "behind/new"));
  assert.equal(await run.status(), 0);
  assert.equal(run.lines[0]!.split(" ").at(-1), join(path, "link/new"));
});

test("watch: --backend inotify cannot watch a filesystem, and says what can", async () => {
  const { status, stderr } = await runToEnd([
    "watch",
    "--backend=inotify",
    "--scope=filesystem",
    "/tmp",
  ]);
  assert.equal(status, 1);
  assert.match(
    stderr,
    /^sentinode watch: Cannot watch a whole filesystem with inotify: .*\nHint: .*fanotify.*\n$/,
  );
});

test(
  "watch: --actor, --scope filesystem, --backend fanotify, --recover signal",
  NEEDS_ROOT,
  async () => {
    using at = new Tmpfs();
    mkdirSync(join(at.path, "inner"));
    await using run = await new Run([
      "watch",
      "--actor",
      "--scope=filesystem",
      "--backend=fanotify",
      "--recover=signal",
      "--once",
      join(at.path, "inner"),
    ]).armed();
    assert.match(run.stderr, /\(fanotify, filesystem mark\)/);
    await using child = new Held(`printf 'x\\033y' > /proc/self/comm; : > ${at.path}/above`);
    assert.equal(await run.status(), 0);
    assert.match(
      run.lines[0]!,
      new RegExp(` create\\.file +${at.path}/above {2}x\\\\x1by\\(${child.pid}\\)$`),
    );
  },
);

test("watch: without privileges --actor says that it has no effect", NEEDS_ROOT, async () => {
  using at = new TemporaryDirectory(NOBODY);
  await using run = await new Run(["watch", "--actor", "--once", at.path], { user: "nobody" })
    .armed();
  await run.until("the gap", () => /^Not covered: .*: actor has no effect: .*$/m.test(run.stderr));
  mkdirSync(join(at.path, "a"));
  assert.equal(await run.status(), 0);
});

const HAS_SCRIPT = spawnSync("script", ["--version"]).status === 0;

test(
  "watch: colours on a terminal, unless NO_COLOR",
  { skip: HAS_SCRIPT ? false : "no script(1)" },
  async () => {
    for (const refused of [false, true]) {
      using at = new TemporaryDirectory();
      const quoted = command(["watch", "--once", at.path]).map((word) => `'${word}'`).join(" ");
      const { NO_COLOR: _, ...environment } = process.env;
      const child = spawn("script", ["-qec", quoted, "/dev/null"], {
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...environment, TERM: "xterm", ...(refused ? { NO_COLOR: "1" } : {}) },
      });
      let shown = "";
      const { promise: armed, resolve: arm } = Promise.withResolvers<void>();
      const closed = new Promise<number | null>((resolve) => child.on("close", resolve));
      child.stdout.on("data", (data: Buffer) => {
        shown += data.toString();
        if (shown.includes("Watching")) arm();
      });
      try {
        await within(armed, "Watching", DEADLINE);
        mkdirSync(join(at.path, "a"));
        assert.equal(await within(closed, "its end", DEADLINE), 0);
      } finally {
        child.kill("SIGKILL");
      }
      assert.equal(shown.includes("\x1b[32mcreate.directory"), !refused, JSON.stringify(shown));
    }
  },
);

// --- trace ---

/** The letters that were told of a path, whatever the kernel merged. */
function lettersFor(lines: readonly string[], who: string, path: string): string {
  const heads = lines.filter((line) => line.startsWith(`${who}: `) && line.endsWith(` ${path}`));
  const all = heads.map((line) => line.slice(who.length + 2, line.length - path.length - 1)).join(
    "",
  );
  return [..."RCWOX+D<>"].filter((letter) => all.includes(letter)).join("");
}

test("trace: who did what, in fatrace's letters", NEEDS_ROOT, async () => {
  using at = new Tmpfs();
  await using run = await new Run(["trace", at.path]).armed();
  assert.match(run.stderr, new RegExp(`^Tracing ${at.path} \\(fanotify, filesystem mark\\)\n$`));
  await using child = new Held(
    `cd ${at.path}; echo one > a; read -r line < a; : > last`,
  );
  const who = `sh(${child.pid})`;
  await run.until(
    "the last one closed",
    () => lettersFor(run.lines, who, `${at.path}/last`).includes("C"),
  );
  assert.equal(lettersFor(run.lines, who, `${at.path}/a`), "RCWO+");
  assert.equal(lettersFor(run.lines, who, `${at.path}/last`), "CWO+");
  renameSync(join(at.path, "a"), join(at.path, "b"));
  unlinkSync(join(at.path, "b"));
  await run.printed(`: D ${at.path}/b (deleted)`);
  const renamed = run.lines.find((line) => line.includes(": <> "));
  assert.match(
    renamed!,
    new RegExp(`^.+\\(${process.pid}\\): <> ${at.path}/a -> ${at.path}/b( \\(deleted\\))?$`),
  );
  run.kill("SIGINT");
  assert.equal(await run.status(), 0);
  assert.match(run.stderr, /\n\d+ events, 0 lost\n$/);
});

test("trace: several kinds of one record are one line", NEEDS_ROOT, async () => {
  using at = new Tmpfs();
  await using run = await new Run([
    "trace",
    "--json",
    "--events=create,access",
    "--count=1",
    at.path,
  ]).armed();
  await pause(run);
  // Merged, for nobody reads in between.
  assert.equal(spawnSync("sh", ["-c", `: > ${at.path}/a`]).status, 0);
  run.kill("SIGCONT");
  assert.equal(await run.status(), 0);
  const { kind, kinds, letters, path, deleted, actor } = JSON.parse(run.lines[0]!);
  assert.deepEqual(kinds, ["create.file", "access.open", "access.close.write"]);
  assert.equal(kind, kinds[0]);
  assert.equal(letters, "CWO+");
  assert.equal(path, join(at.path, "a"));
  assert.equal(deleted, undefined);
  assert.equal(actor.gone, true);
});

test("trace: a process that has gone, a path that is not there any more", NEEDS_ROOT, async () => {
  using at = new Tmpfs();
  await using text = await new Run(["trace", at.path]).armed();
  await using rfanotify = await new Run(["trace", "--format", "rfanotify", at.path]).armed();
  await pause(text);
  await pause(rfanotify);
  const { pid, status } = spawnSync("sh", ["-c", `: > ${at.path}/a; exec rm ${at.path}/a`]);
  assert.equal(status, 0);
  text.kill("SIGCONT");
  rfanotify.kill("SIGCONT");
  const path = `${at.path}/a (deleted)`;
  await text.until(
    "the removal",
    () => lettersFor(text.lines, `?(${pid}) gone`, path).includes("D"),
  );
  assert.equal(lettersFor(text.lines, `?(${pid}) gone`, path), "CWO+D");
  await rfanotify.printed("FAN_CLOSE_WRITE");
  assert.deepEqual(rfanotify.lines, [
    `FAN_OPEN: File ${path} Pid ${pid} (gone)`,
    `FAN_CLOSE_WRITE: File ${path} Pid ${pid} (gone)`,
  ]);
});

test("trace: rfanotify's lines of a process that is there", NEEDS_ROOT, async () => {
  using at = new Tmpfs();
  await using run = await new Run(["trace", "--format=rfanotify", "--count=2", at.path]).armed();
  await using child = new Held(`: > '${at.path}/a\nb'`);
  assert.equal(await run.status(), 0);
  const exe = spawnSync("readlink", [`/proc/${child.pid}/exe`]).stdout.toString().trim();
  assert.deepEqual(run.lines, [
    `FAN_OPEN: File ${at.path}/a\\nb Exe ${exe}`,
    `FAN_CLOSE_WRITE: File ${at.path}/a\\nb Exe ${exe}`,
  ]);
});

test("trace: a filesystem without file handles", NEEDS_ROOT, async () => {
  using overlay = new Filesystem("overlay");
  await using run = await new Run(["trace", "--events=RWOC", "--count=1", overlay.path]).armed();
  await using held = new Held(`exec 3< ${overlay.path}/below`);
  assert.equal(await run.status(), 0);
  assert.match(run.lines[0]!, new RegExp(`^sh\\(${held.pid}\\): O ${overlay.path}/below$`));
  assert.match(run.stderr, /no file handles, so only this mount of it is watched/);
});

test("trace: --comm, --pid, --user choose processes", NEEDS_ROOT, async () => {
  using at = new Tmpfs();
  const filters = [["--comm=second"], ["--user=nobody"], [
    "--user",
    String(NOBODY),
    "--comm=second",
  ]];
  const args = ["--events=create", "--format=%c|%P|%u|%p", "--count=1", at.path];
  const runs = filters.map((filter) => new Run(["trace", ...filter, ...args]));
  try {
    for (const run of runs) await run.armed();
    await using all = await new Run(["trace", "--events=create", at.path]).armed();
    await using first = new Held(`printf first > /proc/self/comm; : > ${at.path}/a`);
    await all.printed(`first(${first.pid}): `);
    await using second = new Held(`printf second > /proc/self/comm; : > ${at.path}/b`, NOBODY);
    for (const run of runs) {
      assert.equal(await run.status(), 0);
      assert.deepEqual(run.lines, [`second|${second.pid}|${NOBODY}|${at.path}/b`]);
    }
  } finally {
    for (const run of runs) await run[Symbol.asyncDispose]();
  }
});

test("trace: --events takes letters or kinds", NEEDS_ROOT, async () => {
  using at = new Tmpfs();
  for (const events of ["D", "remove", "remove,mount"]) {
    await using run = await new Run([
      "trace",
      "--events",
      events,
      "--count=1",
      "--format=%k",
      at.path,
    ]).armed();
    writeFileSync(join(at.path, "a"), "");
    unlinkSync(join(at.path, "a"));
    assert.equal(await run.status(), 0);
    assert.deepEqual(run.lines, ["remove"]);
  }
});

test("trace: everything that is mounted, one process of it", NEEDS_ROOT, async () => {
  using at = new Tmpfs();
  await using child = new Held(`read -r line; : > ${at.path}/a`);
  await using run = new Run([
    "trace",
    `--pid=${child.pid}`,
    "--events=+",
    "--count=1",
    "--timeout=15",
  ]);
  await run.until("all marks", () => run.stderr.includes(`Tracing ${at.path} (`));
  await run.armed();
  assert.doesNotMatch(run.stderr, /(Tracing|Not traced:).* \/proc( |:)/);
  child.say("go");
  assert.equal(await run.status(), 0);
  assert.equal(lettersFor(run.lines, `sh(${child.pid})`, `${at.path}/a`).includes("+"), true);
});

test("trace: --timeout with nothing seen is 2", NEEDS_ROOT, async () => {
  using at = new Tmpfs();
  const { status, stdout } = await runToEnd(["trace", "--timeout=0.2", at.path]);
  assert.deepEqual({ status, stdout }, { status: 2, stdout: "" });
});

test("trace: what it does itself is not told", NEEDS_ROOT, async () => {
  using at = new Tmpfs();
  const log = openSync(join(at.path, "log"), "w");
  try {
    await using run = new Run(["trace", "--events=W", at.path], { stdio: ["ignore", log, "pipe"] });
    await run.armed();
    writeFileSync(join(at.path, "a"), "x");
    const end = performance.now() + DEADLINE;
    while (!readFileSync(join(at.path, "log"), "utf8").includes(`/a\n`)) {
      assert.ok(performance.now() < end, "a is not told");
      await new Promise(setImmediate);
    }
    run.kill("SIGTERM");
    assert.equal(await run.status(), 0);
    assert.doesNotMatch(readFileSync(join(at.path, "log"), "utf8"), /\/log$/m);
  } finally {
    closeSync(log);
  }
});

for (const args of [["/tmp"], []]) {
  test(`trace ${args}: without privileges it says what is missing`, NEEDS_ROOT, async () => {
    const { status, stdout, stderr } = await runToEnd(["trace", ...args], { user: "nobody" });
    assert.equal(status, 1);
    assert.equal(stdout, "");
    assert.match(
      stderr,
      /^sentinode trace: Cannot mark the filesystem of \/.*: not permitted \(EPERM\)\nHint: .*CAP_SYS_ADMIN.*\n$/,
    );
  });
}

test("trace: a path that is not there", async () => {
  const { status, stderr } = await runToEnd(["trace", "/no/such/path"]);
  assert.equal(status, 1);
  assert.match(stderr, /^sentinode trace: Cannot watch \/no\/such\/path: .*\(ENOENT\)\n/);
});

// --- doctor ---

for (const user of USERS) {
  test(`doctor as ${user}: text and JSON agree`, async () => {
    using at = new TemporaryDirectory(ownerOf(user));
    const text = await runToEnd(["doctor", at.path], { user });
    assert.equal(text.stderr, "");
    assert.equal(text.status, 0);
    const json = await runToEnd(["doctor", "--json", at.path], { user });
    assert.equal(json.status, 0);
    assert.equal(json.stdout.split("\n").length, 2);
    const found = JSON.parse(json.stdout);
    assert.equal(found.version, VERSION);
    assert.equal(found.runtime.name, isDeno ? "Deno" : "Bun");
    assert.equal(found.path, at.path);
    const names = found.backends.map(({ name }: { name: string }) => name);
    assert.deepEqual(names, ["fanotify, filesystem mark", "fanotify, inode marks", "inotify"]);
    for (const { name, available, reason, remedy } of [...found.backends, ...found.probes]) {
      const head = `  ${name} `;
      const line = text.stdout.split("\n").find((line) => line.startsWith(head));
      assert.ok(line !== undefined, name);
      assert.match(line.slice(head.length).trim(), available ? /^yes/ : /^no /);
      assert.equal(reason !== undefined, !available, name);
      assert.equal(remedy !== undefined, !available, name);
    }
    for (const { name } of found.limits) assert.match(text.stdout, new RegExp(`^  ${name} `, "m"));
    const { available } = found.backends[0];
    assert.equal(available, user === "root");
    if (!available) assert.match(found.backends[0].remedy, /CAP_SYS_ADMIN/);
  });
}

test("doctor: the working directory if there is no path", async () => {
  const { status, stdout } = await runToEnd(["doctor", "--json"]);
  assert.equal(status, 0);
  assert.equal(JSON.parse(stdout).path, process.cwd());
});

test("doctor: a path that is not there", async () => {
  const { status, stdout, stderr } = await runToEnd(["doctor", "/no/such/path"]);
  assert.equal(status, 1);
  assert.equal(stdout, "");
  assert.match(stderr, /^sentinode doctor: Cannot examine \/no\/such\/path: .*\(ENOENT\)\n/);
});

test("doctor: a path that no backend may watch is 1", NEEDS_ROOT, async () => {
  using at = new TemporaryDirectory();
  chmodSync(at.path, 0o711);
  const { status, stdout, stderr } = await runToEnd(["doctor", "--json", at.path], {
    user: "nobody",
  });
  assert.equal(stderr, "");
  const { backends } = JSON.parse(stdout);
  for (const { name, available } of backends) assert.equal(available, false, name);
  assert.equal(status, 1);
});

test("doctor: leaves the directory as it is", async () => {
  using at = new TemporaryDirectory();
  await runToEnd(["doctor", at.path]);
  assert.deepEqual(readdirSync(at.path), []);
});

// --- compiled ---

// Bun's alone: `deno compile` downloads the runtime that it puts into the executable.
if (!isDeno) {
  test("bun build --compile: one file does all of it, without a runtime", async () => {
    using at = new TemporaryDirectory();
    const executable = join(at.path, "sentinode");
    const built = spawnSync(process.execPath, [
      "build",
      "--compile",
      moduleFile("cli.ts"),
      "--outfile",
      executable,
    ]);
    assert.equal(built.status, 0, String(built.stderr));
    const version = await runToEnd(["--version"], { executable });
    assert.deepEqual(version, { status: 0, stdout: `sentinode ${VERSION}\n`, stderr: "" });
    assert.equal((await runToEnd(["doctor", at.path], { executable })).status, 0);
    for (const backend of ["fanotify", "inotify"]) {
      const args = ["watch", "--once", `--backend=${backend}`, "--format=%k %p", at.path];
      await using run = await new Run(args, { executable }).armed();
      writeFileSync(join(at.path, backend), "");
      assert.equal(await run.status(), 0);
      assert.equal(run.stdout.toString(), `create.file ${at.path}/${backend}\n`);
    }
    if (!isRoot) return;
    await using run = await new Run(["trace", "--count=1", at.path], { executable }).armed();
    spawnSync("touch", [join(at.path, "traced")]);
    assert.equal(await run.status(), 0);
    // It may have left before it could be looked at.
    assert.match(run.stdout.toString(), /^(touch\(\d+\)|\?\(\d+\) gone): /);
  });
}

// --- the pure parts ---

test("escapeText leaves ordinary text alone and is unambiguous", () => {
  assert.equal(escapeText("a b-ü文🦀'\"$"), "a b-ü文🦀'\"$");
  assert.equal(escapeText("\t\r\n\\\0\x1b\x7f"), "\\t\\r\\n\\\\\\x00\\x1b\\x7f");
  assert.equal(escapeText("\u061c\u200f\u202a\u2069\ufeff"), "\\u061c\\u200f\\u202a\\u2069\ufeff");
  const seen = new Set<string>();
  for (let code = 0; code < 0x3000; code++) {
    if (code >= 0xd800 && code < 0xe000) continue;
    seen.add(escapeText(String.fromCharCode(code)));
  }
  assert.equal(seen.size, 0x3000);
});

test("escapeBytes escapes each byte that is no UTF-8", () => {
  const cases: readonly (readonly [bytes: readonly number[], text: string])[] = [
    [[0x61, 0xff, 0x62], "a\\xffb"],
    [[0xc3], "\\xc3"],
    [[0xe2, 0x82], "\\xe2\\x82"],
    [[0xe2, 0x82, 0xac, 0xe2], "€\\xe2"],
    [[0xed, 0xa0, 0x80], "\\xed\\xa0\\x80"], // a surrogate
    [[0xc0, 0x8a], "\\xc0\\x8a"], // newline, overlong
    [[0xf0, 0x9f, 0xa6, 0x80, 0x80], "🦀\\x80"],
    [[0xef, 0xbb, 0xbf, 0x0a], "\ufeff\\n"],
    [[0xc2, 0x9b], "\\u009b"],
  ];
  for (const [bytes, text] of cases) assert.equal(escapeBytes(Uint8Array.from(bytes)), text);
});

test("safeJson is JSON on one safe line", () => {
  const value = { "\u202e": ["\x7f\x9b\u2028\n", 2n ** 64n, Uint8Array.of(1, 2)], "\\": null };
  const json = safeJson(value);
  assert.match(json, /^[ -~]*$/);
  assert.deepEqual(JSON.parse(json), {
    "\u202e": ["\x7f\x9b\u2028\n", "18446744073709551616", "AQI="],
    "\\": null,
  });
});

test("letters", () => {
  assert.equal(
    lettersOf(["access.open", "modify.data", "access.close.write", "create.file"]),
    "CWO+",
  );
  assert.equal(lettersOf(["rename"]), "<>");
  assert.equal(lettersOf(["rename.out"]), "<");
  assert.equal(lettersOf(["rename.in"]), ">");
  assert.equal(lettersOf(["modify.metadata"]), "");
  assert.deepEqual(kindsOfLetters("R"), ["access.read"]);
  assert.deepEqual(kindsOfLetters("W"), ["access.close.write", "modify.data"]);
  assert.deepEqual(kindsOfLetters("XD"), ["access.exec", "remove"]);
  assert.equal(kindsOfLetters("read"), undefined);
  assert.equal(kindsOfLetters(""), undefined);
});

test("time formats", () => {
  const time = new Date(2024, 0, 2, 3, 4, 5, 6).getTime();
  assert.equal(timeFormatter("watch", "%F %T.%f")(time), "2024-01-02 03:04:05.006");
  assert.equal(timeFormatter("watch", "%Y%m%d-%H%M%S%%")(time), "20240102-030405%");
  assert.equal(timeFormatter("watch", "%s")(1_700_000_000_999), "1700000000");
  assert.match(timeFormatter("watch", "%z")(time), /^[+-]\d{4}$/);
});

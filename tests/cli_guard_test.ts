/**
 * `sentinode guard`, as a process of its own, which is killed after a time whatever happens. All that it guards is on
 * filesystems of their own, and used by other processes.
 */

import assert from "node:assert/strict";
import { spawnSync, type StdioOptions } from "node:child_process";
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from "node:fs";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import { PermissionGroup } from "../backends/fanotify/permission_group.ts";
import { openLibc } from "../ffi/libc.ts";
import { type Ended, Held, Run, type RunInit } from "./command_line.ts";
import { Filesystem, unmountBelow, whyNot } from "./filesystem.ts";
import { whyBefore } from "./kernel.ts";
import { NotifySocket } from "./notify_socket.ts";
import {
  AS_NOBODY,
  finish,
  type Finished,
  isDeno,
  isRoot,
  moduleFile,
  NOBODY,
  TemporaryDirectory,
  until,
} from "./runtime.ts";

/** Longer than any test takes, in s. */
const KILLED_AFTER = 60;

/** Runs a command that is killed then, also when this process is not there any more. */
const MORTAL = [
  "sh",
  "-c",
  `(for i in $(seq ${KILLED_AFTER}); do kill -0 $$ || exit; sleep 1; done; kill -KILL $$) \\
    < /dev/null > /dev/null 2>&1 & exec "$@"`,
  "sh",
];

/** How long somebody who opens may take, in ms. */
const DEADLINE = 20_000;

function start(args: readonly string[], init: RunInit = {}): Run {
  return new Run(["guard", ...args], { under: MORTAL, ...init });
}

async function runToEnd(args: readonly string[], init: RunInit = {}): Promise<Ended> {
  await using run = start(args, init);
  const status = await run.status();
  return { status, stdout: run.stdout.toString(), stderr: run.stderr };
}

/** A tmpfs of its own with `a.txt`, `b.exe` and the program `prog`. */
class Guarded extends Filesystem {
  readonly a: string = join(this.path, "a.txt");
  readonly b: string = join(this.path, "b.exe");
  readonly prog: string = join(this.path, "prog");

  constructor() {
    super("tmpfs");
    writeFileSync(this.a, "a");
    writeFileSync(this.b, "b");
    copyFileSync("/bin/true", this.prog);
  }

  /** Has a shell do it; what became of it. */
  sh(script: string, user: readonly string[] = []): Promise<Finished> {
    return finish([...user, "sh", "-c", script], this.base, DEADLINE);
  }

  /** Whether a process may read the file. */
  async reads(path: string, user: readonly string[] = []): Promise<boolean> {
    const { status, stderr } = await this.sh(`cat '${path}'`, user);
    if (status !== 0) assert.match(stderr, /Operation not permitted/);
    return status === 0;
  }

  /** Whether a process may execute the program. */
  async executes(path: string): Promise<boolean> {
    const { status, stderr } = await this.sh(`exec '${path}'`);
    if (status !== 0) assert.match(stderr, /Operation not permitted|Permission denied/);
    return status === 0;
  }
}

/** The summary, which is the last that is said. */
function summaryOf({ stderr }: { readonly stderr: string }): string {
  return stderr.trimEnd().split("\n").at(-1)!;
}

/** Ends it as a user does; what it said last. */
async function endOf(run: Run, signal: NodeJS.Signals = "SIGTERM"): Promise<string> {
  run.kill(signal);
  assert.equal(await run.status(), 0, run.stderr);
  return summaryOf(run);
}

const SKIP = { skip: whyNot("tmpfs") };

// --- help and wrong arguments ---

test("guard --help names every option", async () => {
  const { status, stdout, stderr } = await runToEnd(["--help"]);
  assert.equal(status, 0);
  assert.equal(stderr, "");
  assert.match(stdout, /^Usage: sentinode guard \[OPTIONS\] PATH…\n/);
  const options = "deny allow deny-exec rules cache on scope ignore ignore-pid ignore-fs timeout " +
    "on-timeout priority audit dry-run log count json format time-format null quiet help";
  for (const option of options.split(" ")) assert.match(stdout, new RegExp(` --${option}\\b`));
  for (const line of stdout.split("\n")) assert.ok(line.length <= 110, line);
});

/** Arguments, and what is wrong with them. */
const WRONG: readonly (readonly [args: readonly string[], complaint: string])[] = [
  [[], "Cannot guard nothing: give PATH…"],
  [["--deny", "[a", "/x"], 'Cannot guard with --deny [a: Cannot use [a as a glob: "[" has no "]"'],
  [["--allow=", "/x"], 'Cannot guard with --allow : path "" is no glob'],
  [["--cache=always", "/x"], "Cannot guard with --cache: it is for --allow"],
  [
    ["--cache=never", "--allow=x", "/x"],
    'Cannot guard with --allow x: cache "never" is neither until-modified nor always',
  ],
  [["--on=open,write", "/x"], 'Cannot guard on "write": it is one of open, exec, read, access'],
  [
    ["--on=open", "--on=read", "--deny-exec=*.sh", "/x"],
    "Cannot guard on open,read: --deny-exec *.sh is for exec",
  ],
  [
    ["--scope=world", "/x"],
    'Cannot guard with scope "world": it is one of tree, mount, filesystem',
  ],
  [["--timeout=soon", "/x"], "Cannot guard with --timeout soon: not a number"],
  [["--timeout=0", "/x"], "Cannot guard with timeout 0: it is from 1 to 2147483647 ms"],
  [
    ["--on-timeout=maybe", "/x"],
    'Cannot guard with onTimeout "maybe": it is one of allow, deny',
  ],
  [
    ["--priority=high", "/x"],
    'Cannot guard with priority "high": it is one of content, pre-content',
  ],
  [["--ignore-pid=me", "/x"], "Cannot guard with --ignore-pid me: not a process id"],
  [["--count=0", "/x"], "Cannot guard with --count 0: not a whole number of at least 1"],
  [["--json", "--format=%p", "/x"], "Cannot guard with --json and --format: give one of them"],
];

for (const [args, complaint] of WRONG) {
  test(`refuses ${["sentinode guard", ...args].join(" ")}`, async () => {
    assert.deepEqual(await runToEnd(args), {
      status: 1,
      stdout: "",
      stderr: `sentinode guard: ${complaint}\nTry 'sentinode guard --help'\n`,
    });
  });
}

/** A file of rules, and what is wrong with it; `FILE` stands for it. */
const WRONG_FILES: readonly (readonly [content: string | Uint8Array, complaint: string])[] = [
  [
    "# rules\n\nallow\npermit x\n",
    'Cannot read rules FILE: line 4: "permit" is neither allow nor deny',
  ],
  [
    "\ndeny errno=EIO",
    "Cannot guard by FILE line 2: its errno needs --priority pre-content",
  ],
  [Uint8Array.of(0x61, 0xff), "Cannot read rules FILE: it is no UTF-8"],
];

for (const [content, complaint] of WRONG_FILES) {
  test(`refuses a file of rules: ${complaint}`, async () => {
    using directory = new TemporaryDirectory(isRoot ? NOBODY : undefined);
    const file = join(directory.path, "rules");
    writeFileSync(file, content);
    const { status, stderr } = await runToEnd(["--rules", file, "/x"]);
    assert.equal(
      stderr,
      `sentinode guard: ${complaint.replace("FILE", file)}\nTry 'sentinode guard --help'\n`,
    );
    assert.equal(status, 1);
  });
}

test("refuses a file of rules that is not there, a path that is not there", async () => {
  assert.deepEqual(await runToEnd(["--rules=/no/rules", "/x"]), {
    status: 1,
    stdout: "",
    stderr: "sentinode guard: Cannot read rules /no/rules: no such file or directory (ENOENT)\n",
  });
  const { status, stderr } = await runToEnd(["/no/such/path"]);
  assert.match(
    stderr,
    /^sentinode guard: Cannot guard \/no\/such\/path: no such file .*\(ENOENT\)\n/,
  );
  assert.equal(status, 1);
});

test("without privileges it says what is missing", async () => {
  using at = new TemporaryDirectory(isRoot ? NOBODY : undefined);
  const { status, stdout, stderr } = await runToEnd([at.path], isRoot ? { user: "nobody" } : {});
  assert.match(
    stderr,
    /^sentinode guard: Cannot guard: not permitted \(EPERM\)\nHint: .*CAP_SYS_ADMIN.*\n$/,
  );
  assert.equal(stdout, "");
  assert.equal(status, 1);
});

// --- rules ---

test("the first rule decides, in the order of the command line", SKIP, async () => {
  using at = new Guarded();
  for (
    const [args, a, b] of [
      [["--deny=*.exe"], true, false],
      [["--deny", at.path + "/**"], false, false],
      [["--allow=a*", "--deny=*"], true, false],
      [["--deny=*", "--allow=a*"], false, false],
      [["--deny=a*", "--allow=*", "--deny=*"], false, true],
      [[], true, true],
    ] as const
  ) {
    await using run = await start([...args, at.path]).armed();
    assert.deepEqual([await at.reads(at.a), await at.reads(at.b)], [a, b], args.join(" "));
    const denied = [a, b].filter((isAllowed) => !isAllowed).length;
    assert.equal(await endOf(run), `2 requests: ${2 - denied} allowed, ${denied} denied`);
    assert.equal(run.stdout.toString(), "");
    assert.equal(await at.reads(at.b), true, "the end allows everything");
  }
});

test("--deny-exec guards executions, and nothing else", SKIP, async () => {
  using at = new Guarded();
  await using run = await start(["--deny-exec=prog", at.path]).armed();
  assert.match(run.stderr, new RegExp(`^Guarding ${at.path} \\(exec\\)\n`));
  assert.equal(await at.executes(at.prog), false);
  assert.equal(await at.reads(at.prog), true);
  assert.match(await endOf(run), / 0 allowed, [12] denied$/); // some shells try twice
});

test("a file of rules stands where --rules stands", SKIP, async () => {
  using at = new Guarded();
  const file = join(at.base, "my rules");
  writeFileSync(
    file,
    `# who may read what
     deny uid=${NOBODY} path=a.txt   # not nobody
     allow "exe=cat"
     deny
    `,
  );
  const format = "--format=%v %o %p %r";
  await using run = await start([`--deny=b.exe`, "--rules", file, "--allow=*", format, at.path])
    .armed();
  assert.equal(await at.reads(at.a), true);
  assert.equal(await at.reads(at.a, AS_NOBODY), false);
  assert.equal(await at.reads(at.b), false);
  assert.equal((await at.sh(`: < ${at.a}`)).status === 0, false);
  await run.until("four decisions", () => run.lines.length === 4);
  assert.deepEqual(run.lines, [
    `allow open ${at.a} ${file} line 3`,
    `deny open ${at.a} ${file} line 2`,
    `deny open ${at.b} --deny b.exe`,
    `deny open ${at.a} ${file} line 4`,
  ]);
  assert.equal(await endOf(run), "4 requests: 1 allowed, 3 denied");
});

test("an empty file of rules has none", SKIP, async () => {
  using at = new Guarded();
  const file = join(at.base, "rules");
  writeFileSync(file, "");
  await using run = await start(["--rules", file, "--log", "--count=1", at.path]).armed();
  assert.equal(await at.reads(at.a), true);
  assert.equal(await run.status(), 0);
  assert.match(run.lines[0]!, /^[\d:.]+ allow open {3}\S+\/a\.txt {2}.+\(\d+\).* {2}no rule$/);
});

test("--cache: what is allowed is not asked about again", SKIP, async () => {
  using at = new Guarded();
  for (const cache of [[], ["--cache=until-modified"], ["--cache=always"]]) {
    await using run = await start(["--allow=*", ...cache, at.path]).armed();
    assert.equal(
      (await at.sh("i=0; while [ $i -lt 50 ]; do cat root/a.txt; i=$((i + 1)); done")).status,
      0,
    );
    const summary = await endOf(run);
    const [, asked, remembered] = /^(\d+) .* denied(?:, (\d+) remembered by the kernel)?$/
      .exec(summary)!.map(Number);
    if (cache.length === 0) assert.equal(summary, "50 requests: 50 allowed, 0 denied");
    else assert(asked! < 25 && remembered === asked, summary); // a few come before the kernel knows
  }
});

test("errno= of a rule, with --priority pre-content", {
  skip: SKIP.skip || whyBefore([6, 14]),
}, async () => {
  using at = new Guarded();
  const file = join(at.base, "rules");
  writeFileSync(file, "deny path=a.txt errno=EBUSY");
  await using run = await start(["--rules", file, "--priority=pre-content", "--json", at.path])
    .armed();
  assert.match((await at.sh(`cat ${at.a}`)).stderr, /Device or resource busy/);
  await run.until("the decision", () => run.lines.length === 1);
  assert.equal(JSON.parse(run.lines[0]!).attributes.errno, "EBUSY");
  await endOf(run);
});

const libc = isRoot ? await openLibc() : undefined;
const isAudited = libc !== undefined && (() => {
  try {
    PermissionGroup.open(libc, "content", true).close();
    return true;
  } catch {
    return false;
  }
})();

test("--audit: decisions are audited, and are the same", {
  skip: SKIP.skip || (!isAudited && "the kernel does not audit"),
}, async () => {
  using at = new Guarded();
  await using run = await start(["--audit", "--deny=*.exe", at.path]).armed();
  assert.deepEqual([await at.reads(at.a), await at.reads(at.b)], [true, false]);
  await endOf(run);
});

// --- what is guarded ---

test("--on: opens, executions and reads, as rfanotify writes them", SKIP, async () => {
  using at = new Guarded();
  const strange = join(at.path, "c\nd");
  writeFileSync(strange, "c\n");
  const args = ["--on=open,exec", "--on", "read", "--deny-exec=prog", "--format=rfanotify"];
  await using run = await start([...args, at.path]).armed();
  // Who is allowed is looked at afterwards, so it stays.
  await using held = new Held(`exec 3< '${strange}'; read -r line <&3`);
  await run.until("the read", () => run.lines.length >= 2);
  assert.equal(await at.executes(at.prog), false);
  await run.until("the execution", () => run.stdout.includes("EXEC"));
  const exe = spawnSync("readlink", [`/proc/${held.pid}/exe`]).stdout.toString().trim();
  assert.deepEqual([...new Set(run.lines)].slice(0, 3), [ // some shells read byte by byte
    `FAN_OPEN_PERM: File ${at.path}/c\\nd Exe ${exe}`,
    `FAN_ACCESS_PERM: File ${at.path}/c\\nd Exe ${exe}`,
    `FAN_OPEN_EXEC_PERM: File ${at.prog} Exe ${exe}`,
  ]);
  await endOf(run);
});

for (const scope of ["mount", "filesystem"]) {
  test(`--scope ${scope}: beside the path too`, SKIP, async () => {
    using at = new Guarded();
    mkdirSync(join(at.path, "directory"));
    const inner = join(at.path, "directory");
    await using run = await start([`--scope=${scope}`, "--deny=*.exe", inner]).armed();
    assert.match(run.stderr, new RegExp(`^Guarding the ${scope} of ${inner} \\(open\\)\n`));
    assert.equal(await at.reads(at.b), false);
    assert.equal(await endOf(run), "1 request: 0 allowed, 1 denied");
  });
}

test("--ignore, --ignore-pid, --ignore-fs", SKIP, async () => {
  using at = new Guarded();
  const other = join(at.path, "other");
  mkdirSync(other);
  const { status, stderr } = spawnSync("mount", ["-t", "ramfs", "sentinode-test", other]);
  assert.equal(status, 0, String(stderr));
  try {
    const inner = join(other, "inner");
    writeFileSync(inner, "inner");
    await using held = new Held(`read -r line; : < ${at.a}; echo $? > ${at.base}/status`);
    const args = ["--deny=*", `--ignore=${at.b}`, `--ignore-pid=${held.pid}`, "--ignore-fs=ramfs"];
    await using run = await start([...args, at.path]).armed();
    const allowed = [await at.reads(at.a), await at.reads(at.b), await at.reads(inner)];
    assert.deepEqual(allowed, [false, true, true]);
    held.say("go");
    await until(() => existsSync(`${at.base}/status`) && readText(`${at.base}/status`) !== "");
    assert.equal(readText(`${at.base}/status`), "0\n");
    assert.equal(await endOf(run), "2 requests: 1 allowed, 1 denied");
  } finally {
    unmountBelow(other);
  }
});

test("what cannot be guarded is told", SKIP, async () => {
  using at = new Guarded();
  const other = join(at.path, "other");
  mkdirSync(other);
  // Of which the kernel asks nobody.
  const { status, stderr } = spawnSync("mount", ["-t", "proc", "sentinode-test", other]);
  assert.equal(status, 0, String(stderr));
  try {
    for (
      const [args, line] of [
        [[], /^Not guarded: \d director(y|ies); --log tells which$/m],
        [["--log"], new RegExp(`^Not guarded: ${other}: Cannot guard .* \\(EINVAL\\)$`, "m")],
      ] as const
    ) {
      await using run = await start([...args, "--deny=*", at.path]).armed();
      await run.until("what is not guarded", () => line.test(run.stderr));
      assert.equal(await at.reads(at.a), false);
      assert.equal(await at.reads(join(other, "version")), true);
      assert.match(
        await endOf(run),
        /^1 request: 0 allowed, 1 denied, \d director(y|ies) not guarded$/,
      );
    }
  } finally {
    unmountBelow(other);
  }
});

// --- what is printed ---

test("--log: a line for people", SKIP, async () => {
  using at = new Guarded();
  await using run = await start(["--log", "--deny=*.exe", "--allow=a*", at.path]).armed();
  await using held = new Held(`exec 3< ${at.a}`);
  await run.until("the first", () => run.lines.length === 1);
  assert.equal(await at.reads(at.b), false);
  await run.until("both", () => run.lines.length === 2);
  const [allowed, denied] = run.lines as [string, string];
  const time = "\\d\\d:\\d\\d:\\d\\d\\.\\d{3}";
  assert.match(
    allowed,
    new RegExp(`^${time} allow open   ${at.a}  sh\\(${held.pid}\\)  --allow a\\*$`),
  );
  assert.match(
    denied,
    new RegExp(`^${time} deny  open   ${at.b}  cat\\(\\d+\\)  --deny \\*\\.exe$`),
  );
  assert.equal(await endOf(run), "2 requests: 1 allowed, 1 denied");
  assert.equal(run.stderr, `Guarding ${at.path} (open)\n2 requests: 1 allowed, 1 denied\n`);
});

test("--json: the event, and the rule by its name", SKIP, async () => {
  using at = new Guarded();
  await using run = await start(["--json", "--allow=x", "--deny=*", at.path]).armed();
  assert.equal(await at.reads(at.a), false);
  await run.until("the decision", () => run.lines.length === 1);
  const { kind, path, backend, actor, attributes, rule, raw } = JSON.parse(run.lines[0]!);
  assert.deepEqual({ kind, path, backend, rule, raw }, {
    kind: "access.open",
    path: at.a,
    backend: "guard",
    rule: "--deny *",
    raw: undefined,
  });
  assert.equal(actor.comm, "cat");
  assert.equal(actor.confidence, "exact");
  const { verdict, by, waited } = attributes;
  assert.deepEqual({ verdict, by, waited: typeof waited }, {
    verdict: "deny",
    by: "rule",
    waited: "number",
  });
  await endOf(run);
});

test("names are escaped, with --null they are as they are", SKIP, async () => {
  using at = new Guarded();
  const bytes = Buffer.concat([Buffer.from(`${at.path}/`), Buffer.from("\x1b[2J\n\xff", "latin1")]);
  assert.equal((await at.sh(`: > "$(printf '${at.path}/\\033[2J\\n\\377')"`)).status, 0);
  await using text = await start(["--format=%p", at.path]).armed();
  await using raw = await start(["--format=%p", "--null", at.path]).armed();
  assert.equal((await at.sh(`: < "$(printf '${at.path}/\\033[2J\\n\\377')"`)).status, 0);
  await text.until("the line", () => text.lines.length > 0);
  assert.deepEqual(text.lines, [`${at.path}/\\x1b[2J\\n\\xff`]);
  await raw.until("the name", () => raw.stdout.includes(0));
  assert.deepEqual(raw.stdout, Buffer.concat([bytes, Buffer.of(0)]));
  await endOf(text);
  await endOf(raw);
});

test("--dry-run: all is allowed, what would be denied is told", SKIP, async () => {
  using at = new Guarded();
  const args = ["--dry-run", "--deny=*.exe", "--allow=*", "--cache=always", at.path];
  await using run = await start(args).armed();
  assert.match(run.stderr, /^Guarding \S+ \(open; dry run, all is allowed\)\n/);
  assert.deepEqual([await at.reads(at.a), await at.reads(at.b), await at.reads(at.a)], [
    true,
    true,
    true,
  ]);
  await run.until("the line", () => run.lines.length > 0);
  assert.equal(
    await endOf(run),
    "3 requests: 3 allowed, 0 denied, 1 would have been denied",
  );
  assert.equal(run.lines.length, 1);
  assert.match(run.lines[0]!, / would deny open {3}\S+\/b\.exe {2}.* {2}--deny \*\.exe$/);
});

test("--dry-run --log: both are told", SKIP, async () => {
  using at = new Guarded();
  const args = ["--dry-run", "--log", "--format=%v %p", "--deny=*.exe", at.path];
  await using run = await start(args).armed();
  assert.deepEqual([await at.reads(at.a), await at.reads(at.b)], [true, true]);
  await run.until("both", () => run.lines.length === 2);
  assert.deepEqual(run.lines, [`allow ${at.a}`, `would deny ${at.b}`]);
  await endOf(run);
});

test("--count ends it, whether it prints or not", SKIP, async () => {
  using at = new Guarded();
  for (const [args, lines] of [[["--count=2"], 0], [["--count=2", "--log"], 2]] as const) {
    await using run = await start([...args, at.path]).armed();
    for (let i = 0; i < 2; i++) assert.equal(await at.reads(at.a), true);
    assert.equal(await run.status(), 0);
    assert.equal(run.lines.length, lines);
    assert.equal(summaryOf(run), "2 requests: 2 allowed, 0 denied");
  }
});

// --- the end ---

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  test(`${signal} ends it, and all is allowed`, SKIP, async () => {
    using at = new Guarded();
    await using run = await start(["--deny=*", at.path]).armed();
    assert.equal(await at.reads(at.a), false);
    assert.equal(await endOf(run, signal), "1 request: 0 allowed, 1 denied");
    assert.equal(await at.reads(at.a), true);
  });
}

test("SIGTERM before everything is guarded", SKIP, async () => {
  using at = new Guarded();
  assert.equal((await at.sh("cd root && seq 30000 | xargs mkdir")).status, 0);
  await using run = start(["--deny=*", at.path]);
  const fds = `/proc/${run.child.pid}/fd`;
  const isGroup = (fd: string) => {
    try {
      return readlinkSync(join(fds, fd)).includes("[fanotify]");
    } catch {
      return false; // closed meanwhile
    }
  };
  await until(() => readdirSync(fds).some(isGroup));
  run.kill("SIGTERM");
  assert.equal(await run.status(), 143, run.stderr);
  assert.equal(run.stderr, "");
  assert.equal(await at.reads(at.a), true);
});

test("when nobody reads the log it ends, and says so by its status", SKIP, async () => {
  using at = new Guarded();
  await using run = await start(["--log", at.path]).armed();
  run.child.stdout!.destroy();
  // The first line may still be written to the closing pipe.
  await until(() => spawnSync("cat", [at.a]).status === 0 && run.child.exitCode !== null);
  assert.equal(await run.status(), 1);
});

test("a log that is not read holds up nobody, nor the end", SKIP, async () => {
  using at = new Guarded();
  const pipe = join(at.base, "pipe");
  assert.equal(spawnSync("mkfifo", [pipe]).status, 0);
  const fd = openSync(pipe, constants.O_RDWR); // which nobody reads
  try {
    const stdio: StdioOptions = ["ignore", fd, "pipe"];
    await using run = await start(["--log", "--deny=*.exe", at.path], { stdio }).armed();
    const { status } = await at.sh(
      `i=0; while [ $i -lt 1500 ]; do read -r line < ${at.a}; i=$((i + 1)); done; exit 0`,
    );
    assert.equal(status, 0);
    assert.equal(await at.reads(at.b), false);
    assert.match(await endOf(run), /^1501 requests: 1500 allowed, 1 denied/);
  } finally {
    closeSync(fd);
  }
});

test("systemd: ready when all is guarded, a sign of life, the end", SKIP, async () => {
  using at = new Guarded();
  const name = `@${at.base}`;
  using socket = await NotifySocket.bind(name);
  const env = { NOTIFY_SOCKET: name, WATCHDOG_USEC: "100000" };
  await using run = start(["--deny=*", "--quiet", at.path], { env });
  const told: string[] = [];
  await until(() => told.push(...socket.receive()) >= 1);
  assert.equal(await at.reads(at.a), false);
  await until(() => told.push(...socket.receive()) >= 3);
  assert.deepEqual(told.slice(0, 3), ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
  assert.equal(await endOf(run), "1 request: 0 allowed, 1 denied");
  assert.equal(run.stderr, "1 request: 0 allowed, 1 denied\n");
  told.push(...socket.receive());
  assert.deepEqual(told.filter((state) => state !== "WATCHDOG=1"), ["READY=1", "STOPPING=1"]);
  assert.equal(told.at(-1), "STOPPING=1");
});

test("systemd: it guards though nobody listens, and says so", SKIP, async () => {
  using at = new Guarded();
  const env = { NOTIFY_SOCKET: "/no/such/socket" };
  await using run = start(["--deny=*", at.path], { env });
  const line = "Cannot notify /no/such/socket: no such file or directory (ENOENT)\n";
  await run.until("the complaint", () => run.stderr.includes(line));
  assert.equal(await at.reads(at.a), false);
  await endOf(run);
});

// Bun's alone: `deno compile` downloads the runtime that it puts into the executable.
if (!isDeno) {
  test("bun build --compile: one file guards, without a runtime", SKIP, async () => {
    using at = new Guarded();
    const executable = join(at.base, "sentinode");
    const args = ["build", "--compile", moduleFile("cli.ts"), "--outfile", executable];
    const built = spawnSync(process.execPath, args);
    assert.equal(built.status, 0, String(built.stderr));
    await using run = await start(["--deny=*.exe", at.path], { executable }).armed();
    assert.deepEqual([await at.reads(at.a), await at.reads(at.b)], [true, false]);
    assert.equal(await endOf(run), "2 requests: 1 allowed, 1 denied");
  });
}

function readText(path: string): string {
  return readFileSync(path, "utf8");
}

/** `sentinode watch`, as a process of its own: what it prints, what it says, how it ends. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import {
  command,
  DEADLINE,
  Held,
  NEEDS_ROOT,
  ownerOf,
  Run,
  type RunInit,
  runToEnd,
  Tmpfs,
  USERS,
} from "./command_line.ts";
import { Audited, whyUnaudited } from "./audited.ts";
import { AS_NOBODY, aWhile, NOBODY, TemporaryDirectory, within } from "./runtime.ts";

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
          await aWhile();
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

test("watch: --metadata says what changed, and from what to what", async () => {
  using at = new TemporaryDirectory();
  const file = join(at.path, "file");
  writeFileSync(file, "");
  chmodSync(file, 0o644);
  const wanted = ["--metadata", "--events=modify.metadata", "--once"];
  await using text = await new Run(["watch", ...wanted, at.path]).armed();
  await using json = await new Run(["watch", ...wanted, "--json", at.path]).armed();
  await using own = await new Run(["watch", ...wanted, "--format=%m %k", at.path]).armed();
  chmodSync(file, 0o600);
  for (const run of [text, json, own]) assert.equal(await run.status(), 0);
  assert.match(text.lines[0]!, / modify\.metadata\.permissions \/.*\/file 0644 -> 0600$/);
  const { kind, attributes } = JSON.parse(json.lines[0]!);
  assert.equal(kind, "modify.metadata.permissions");
  assert.deepEqual(attributes, { before: { mode: 0o644 }, after: { mode: 0o600 } });
  assert.deepEqual(own.lines, ["0644 -> 0600 modify.metadata.permissions"]);
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

test("watch: --audit", { skip: whyUnaudited }, async () => {
  await using audited = await Audited.open();
  chmodSync(audited.path, 0o755);
  await using run = await new Run(["watch", "--audit", "--backend=inotify", audited.path]).armed();
  await using child = new Held(`: > ${audited.path}/a; read -r line`);
  await run.printed("create.file");
  const remove = ["rm", "-f", join(audited.path, "a")];
  const { pid: refused } = spawnSync(AS_NOBODY[0]!, [...AS_NOBODY.slice(1), ...remove]);
  await run.printed("access.failed");
  child.say("");
  run.kill("SIGINT");
  await run.status();
  const at = (name: string) => `${audited.path}/${name}`;
  const told = run.lines.map((line) => line.replace(/^\S+ (\S+) +/, "$1 "));
  assert.deepEqual(told, [
    `create.file ${at("a")}  sh(${child.pid}) root openat`,
    `access.failed ${at("a")}  rm(${refused}) nobody unlinkat EACCES`,
  ]);
});

test("watch: without the privilege --audit says that it has no effect", NEEDS_ROOT, async () => {
  using at = new TemporaryDirectory(NOBODY);
  await using run = await new Run(["watch", "--audit", "--once", at.path], { user: "nobody" })
    .armed();
  const gap = /^Not covered: .*: actor: "audit" has no effect: .*CAP_AUDIT_CONTROL.*$/m;
  await run.until("the gap", () => gap.test(run.stderr));
  mkdirSync(join(at.path, "a"));
  assert.equal(await run.status(), 0);
});

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

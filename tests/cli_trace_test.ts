/** `sentinode trace`, as a process of its own: what it prints, what it says, how it ends. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import { DEADLINE, Held, NEEDS_ROOT, pause, Run, runToEnd, Tmpfs } from "./command_line.ts";
import { Filesystem } from "./filesystem.ts";
import { isSince, isUserMode } from "./kernel.ts";
import { aWhile, NOBODY } from "./runtime.ts";

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
  const args = ["--events=create", "--format=%c|%P|%u|%U|%p", "--count=1", at.path];
  const runs = filters.map((filter) => new Run(["trace", ...filter, ...args]));
  try {
    for (const run of runs) await run.armed();
    await using all = await new Run(["trace", "--events=create", at.path]).armed();
    await using first = new Held(`printf first > /proc/self/comm; : > ${at.path}/a`);
    await all.printed(`first(${first.pid}): `);
    await using second = new Held(`printf second > /proc/self/comm; : > ${at.path}/b`, NOBODY);
    for (const run of runs) {
      assert.equal(await run.status(), 0);
      assert.deepEqual(run.lines, [`second|${second.pid}|${NOBODY}|nobody|${at.path}/b`]);
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
      await aWhile();
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
    // A process of another Linux has the host's files as its root, and no handles of them before 6.5.
    const hasHandles = args.length > 0 || !isUserMode || isSince([6, 5]);
    assert.match(
      stderr,
      hasHandles
        ? /^sentinode trace: Cannot mark the filesystem of \/.*: not permitted \(EPERM\)\nHint: .*CAP_SYS_ADMIN.*\n$/
        : /^sentinode trace: Cannot open fanotify: not permitted \(EPERM\)\nHint: .*CAP_SYS_ADMIN.*\n$/,
    );
  });
}

test("trace: a path that is not there", async () => {
  const { status, stderr } = await runToEnd(["trace", "/no/such/path"]);
  assert.equal(status, 1);
  assert.match(stderr, /^sentinode trace: Cannot watch \/no\/such\/path: .*\(ENOENT\)\n/);
});

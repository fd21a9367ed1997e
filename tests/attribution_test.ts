/** `actor: "audit"`: who did it, where the kernel's own word is none, and what asking for it does to the events. */

import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import { HOLD } from "../classify/correlation.ts";
import { watch, type Watcher, type WatchEvent, type WatchOptions } from "../mod.ts";
import { isInstalled } from "../scripts/real_work/process.ts";
import { Audited, whyUnaudited } from "./audited.ts";
import { Held } from "./command_line.ts";
import { isUserMode } from "./kernel.ts";
import {
  isDeno,
  moduleFile,
  NOBODY,
  runScript,
  TemporaryDirectory,
  until,
  within,
} from "./runtime.ts";

const NEEDS = {
  skip: whyUnaudited || (!isInstalled("cc") && "needs a C compiler") ||
    (!isInstalled("setpriv") && "setpriv is not installed"),
  timeout: 60_000,
};

const BY_AUDIT: WatchOptions = { backend: "inotify", actor: "audit", recover: "signal" };

/** The compiled `churn.c`. */
function compiled(directory: string): string {
  const program = join(directory, "churn");
  execFileSync("cc", ["-O2", "-o", program, moduleFile("tests/churn.c")]);
  return program;
}

/** Runs it so many times at once; the pids. */
async function run(count: number, program: string, ...args: readonly string[]): Promise<number[]> {
  const children = Array.from({ length: count }, () => spawn(program, args, { stdio: "inherit" }));
  const ends = children.map((child) => new Promise((resolve) => child.on("close", resolve)));
  assert.deepEqual(await Promise.all(ends), children.map(() => 0));
  return children.map(({ pid }) => pid!);
}

/** All that a watcher tells until a file called `end` is made. */
async function untilEnd(watcher: Watcher): Promise<WatchEvent[]> {
  const seen: WatchEvent[] = [];
  for await (const event of watcher) {
    if (event.path.endsWith("/end")) return seen;
    seen.push(event);
  }
  throw new Error("the watcher has ended");
}

/** What was done, without by whom. */
function deedOf({ kind, path, from }: WatchEvent): string {
  return [kind.split(".")[0], from, path].join(" ");
}

/** How many have an actor; each one has to be who the name says. */
function countRight(events: readonly WatchEvent[]): number {
  const known = events.filter(({ actor }) => actor !== undefined);
  for (const { kind, path, actor } of known) {
    const [, pid] = /\/(\d+)-\d+(?:-moved)?$/.exec(path)!;
    assert.equal(actor!.pid, Number(pid), `${kind} ${path}`);
    assert.equal(actor!.confidence, "likely");
  }
  return known.length;
}

test("several writers: events have the order that they have without audit", NEEDS, async () => {
  await using audited = await Audited.open();
  const at = join(audited.path, "tree");
  mkdirSync(at);
  const program = compiled(audited.path);
  await using by = watch(at, BY_AUDIT);
  await using plain = watch(at, { backend: "inotify", recover: "signal" });
  const [withAudit, without] = [untilEnd(by), untilEnd(plain)];
  await Promise.all([by.ready, plain.ready]);
  await run(8, program, at, "40");
  writeFileSync(join(at, "end"), "");
  const events = await within(withAudit, "the end");
  assert.deepEqual(events.map(deedOf), (await within(without, "the end")).map(deedOf));
  assert.equal(events.length, 8 * 40 * 3);
  const count = countRight(events);
  assert.ok(count > 0 || isUserMode, "slow audit comes too late for all");
});

// Fewer than the kernel queues, for what is lost is lost, whoever runs first.
test("a burst of 15,000: each is told once, and no actor is wrong", NEEDS, async (t) => {
  await using audited = await Audited.open();
  const at = join(audited.path, "tree");
  mkdirSync(at);
  const program = compiled(audited.path);
  await using watcher = watch(at, { ...BY_AUDIT, queue: "unlimited" });
  const told = untilEnd(watcher);
  await watcher.ready;
  const [pid] = await run(1, program, at, "5000");
  writeFileSync(join(at, "end"), "");
  const events = (await within(told, "the end", 40_000)).filter(({ kind }) => kind !== "lost");
  const name = (index: number) => join(at, `${pid}-${index}`);
  const expected = Array.from({ length: 5000 }, (_, index) => [
    `create  ${name(index)}`,
    `rename ${name(index)} ${name(index)}-moved`,
    `remove  ${name(index)}-moved`,
  ]).flat();
  assert.deepEqual(events.map(deedOf), expected);
  const count = countRight(events);
  t.diagnostic(`${(count / events.length * 100).toFixed(1)} % have an actor`);
  assert.ok(count > 0);
});

test("what the kernel merges is of whoever did all of it", NEEDS, async () => {
  await using audited = await Audited.open();
  const file = join(audited.path, "file");
  writeFileSync(file, "");
  chmodSync(file, 0o644);
  const program = compiled(audited.path);
  const churn = join(audited.path, "churn");
  await using watcher = watch(audited.path, { ...BY_AUDIT, ignore: [churn] });
  const told = untilEnd(watcher);
  await watcher.ready;
  // Nothing is read meanwhile, so that the kernel merges.
  const { pid, status } = spawnSync(program, [file, "50", "600", "640"]);
  assert.equal(status, 0);
  writeFileSync(join(audited.path, "end"), "");
  const events = await within(told, "the end");
  assert.deepEqual(
    events.map(({ kind, actor }) => [kind, actor?.pid, actor?.confidence]),
    [["modify.metadata", pid, "likely"]],
  );
});

test("of two who change one file it is the right one, or ambiguous", NEEDS, async () => {
  await using audited = await Audited.open();
  const file = join(audited.path, "file");
  writeFileSync(file, "");
  const program = compiled(audited.path);
  await using watcher = watch(file, { ...BY_AUDIT, metadata: { sweep: 0 } });
  const seen: WatchEvent[] = [];
  const reading = (async () => {
    for await (const event of watcher) seen.push(event);
  })();
  await watcher.ready;
  const both = await Promise.all([
    run(1, program, file, "2000", "600", "640"),
    run(1, program, file, "2000", "604", "644"),
  ]);
  const [one, other] = both.flat();
  await using last = new Held(`chmod 755 ${file}`);
  await until(() => seen.some(({ attributes }) => attributes.after?.mode === 0o755));
  await watcher.close();
  await reading;
  const ofBoth = seen.filter(({ attributes }) => attributes.after?.mode !== 0o755);
  assert.ok(ofBoth.length > 0 && last.pid > 0);
  for (const { attributes: { after }, actor } of ofBoth) {
    if (after?.mode === undefined || actor === undefined) continue;
    if (actor.confidence === "ambiguous") continue;
    assert.equal(actor.confidence, "likely");
    assert.equal(actor.pid, (after.mode & 0o004) === 0 ? one : other, JSON.stringify(after));
  }
});

test("a change by another process is told in time, our own too", NEEDS, async () => {
  await using audited = await Audited.open();
  await using watcher = watch(audited.path, BY_AUDIT);
  const events = watcher[Symbol.asyncIterator]();
  await watcher.ready;
  const delays: number[] = [];
  await using other = new Held(`while read -r name; do : > ${audited.path}/$name; done`);
  for (let index = 0; index < 5; index++) {
    const start = performance.now();
    other.say(`${index}`);
    const { value } = await within(events.next(), "an event");
    delays.push(performance.now() - start);
    assert.deepEqual([value.kind, value.actor?.pid], ["create.file", other.pid]);
    assert.deepEqual(value.actor?.user, "root");
  }
  assert.ok(Math.min(...delays) < HOLD + 50, `${delays}`);
  mkdirSync(join(audited.path, "own"));
  const { value } = await within(events.next(), "our own");
  assert.equal(value.path, join(audited.path, "own"));
  assert.ok(value.actor === undefined || value.actor.self);
});

test("ignoreProcesses is for inotify as well", NEEDS, async () => {
  await using audited = await Audited.open();
  const script = `while read -r name; do : > ${audited.path}/$name; done`;
  await using ignored = new Held(script);
  await using other = new Held(script);
  await using watcher = watch(audited.path, { ...BY_AUDIT, ignoreProcesses: [ignored.pid] });
  const events = watcher[Symbol.asyncIterator]();
  await watcher.ready;
  ignored.say("a");
  await until(() => existsSync(join(audited.path, "a")));
  other.say("b");
  const { value } = await within(events.next(), "an event");
  assert.deepEqual([value.path, value.actor?.pid], [join(audited.path, "b"), other.pid]);
});

test(
  "what is mounted in a watched tree later is audited, too, and what it hid, again",
  NEEDS,
  async () => {
    await using audited = await Audited.open();
    const at = join(audited.path, "tree");
    mkdirSync(join(at, "m"), { recursive: true });
    await using watcher = watch(at, { backend: "inotify", actor: "audit" });
    await watcher.ready;
    const seen: WatchEvent[] = [];
    void (async () => {
      for await (const event of watcher) seen.push(event);
    })();
    const recoveries = () => seen.filter(({ kind }) => kind === "recovered").length;
    /** The kernel drops what it audited of a filesystem that was unmounted in its own time. */
    const isBy = async (path: string) => {
      const actors: unknown[] = [];
      for (let i = 0; i < 20 && !actors.includes("touch"); i++) {
        const file = join(at, `${path}-${i}`);
        execFileSync("touch", [file]);
        const event = () => seen.find((one) => one.path === file);
        await until(() => event() !== undefined);
        actors.push(event()!.actor?.comm);
      }
      assert.equal(actors.at(-1), "touch", path);
    };
    for (let round = 0; round < 2; round++) {
      execFileSync("mount", ["-t", "tmpfs", "sentinode-test", join(at, "m")]);
      try {
        await until(() => recoveries() === 2 * round + 1);
        await isBy(`m/mounted-${round}`);
      } finally {
        execFileSync("umount", ["--lazy", join(at, "m")]);
      }
      await until(() => recoveries() === 2 * round + 2);
      await isBy(`m/below-${round}`);
    }
  },
);

/** Watches the directory of its first argument, has a shell make a file in it, and prints what it is told. */
const SCRIPT = `
import { watch } from ${JSON.stringify(moduleFile("mod.ts"))};
import { spawn } from "node:child_process";
const at = process.argv.at(-1);
const watcher = watch(at, { backend: "inotify", actor: "audit" });
await watcher.ready;
const [{ gaps }] = watcher.coverage();
const child = spawn("sh", ["-c", ': > "$1/file"', "sh", at]);
for await (const { kind, time, actor } of watcher) {
  const held = Date.now() - time;
  const isRight = actor && actor.pid === child.pid;
  console.log(JSON.stringify({ kind, isRight, actor, gaps, held }));
  break;
}
`;

const IMPORT_PROCESS = 'import process from "node:process";';

test("nobody with CAP_AUDIT_CONTROL alone is told by inotify who it was", NEEDS, async () => {
  await using _audited = await Audited.open();
  using at = new TemporaryDirectory(NOBODY);
  const { status, stdout, stderr } = await runScript(IMPORT_PROCESS + SCRIPT, {
    asNobody: true,
    capability: "audit_control",
    args: [at.path],
  });
  assert.equal(status, 0, stdout + stderr);
  const { kind, isRight, actor, gaps } = JSON.parse(stdout);
  assert.deepEqual([kind, isRight, gaps], ["create.file", true, []]);
  const { uid, user, comm, syscall, confidence } = actor;
  assert.deepEqual({ uid, user, comm, syscall, confidence }, {
    uid: NOBODY,
    user: "nobody",
    comm: "sh",
    syscall: "openat",
    confidence: "likely",
  });
});

test("nobody without it is told what happens at once, and what is missing", NEEDS, async () => {
  using at = new TemporaryDirectory(NOBODY);
  const { status, stdout, stderr } = await runScript(IMPORT_PROCESS + SCRIPT, {
    asNobody: true,
    args: [at.path],
  });
  assert.equal(status, 0, stdout + stderr);
  const { kind, actor, gaps: [gap], held } = JSON.parse(stdout);
  assert.deepEqual([kind, actor, gap.path], ["create.file", undefined, at.path]);
  assert.match(gap.reason, /^actor: "audit" has no effect: .*CAP_AUDIT_CONTROL.*setcap/);
  assert.ok(held < HOLD, `held for ${held} ms`);
});

const ENDS: Readonly<Record<string, (at: string) => Promise<void>>> = {
  async "close()"(at) {
    const watcher = watch(at, BY_AUDIT);
    await watcher.ready;
    await watcher.close();
  },
  async "break"(at) {
    const watcher = watch(at, BY_AUDIT);
    await watcher.ready;
    mkdirSync(join(at, "directory"));
    for await (const _event of watcher) break;
  },
  async "a signal"(at) {
    const abort = new AbortController();
    const watcher = watch(at, { ...BY_AUDIT, signal: abort.signal });
    await watcher.ready;
    abort.abort();
    for await (const _event of watcher);
  },
};

for (const [how, end] of Object.entries(ENDS)) {
  test(`${how} leaves audit as it was`, NEEDS, async () => {
    await using audited = await Audited.open();
    await end(audited.path);
    await audited.isAsBefore();
  });
}

test("SIGKILL leaves audit as it was", NEEDS, async () => {
  await using audited = await Audited.open();
  const script = join(audited.path, "script.ts");
  writeFileSync(
    script,
    `${IMPORT_PROCESS}
    import { watch } from ${JSON.stringify(moduleFile("mod.ts"))};
    const watcher = watch(${JSON.stringify(audited.path)}, ${JSON.stringify(BY_AUDIT)});
    await watcher.ready;
    process.kill(process.pid, "SIGKILL");`,
  );
  const flags = isDeno ? ["--quiet", "-A", "--no-check"] : [];
  const { signal, stderr } = spawnSync(process.execPath, ["run", ...flags, script]);
  assert.equal(signal, "SIGKILL", String(stderr));
  await audited.isAsBefore();
});

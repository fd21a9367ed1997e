/** A process's hold on audit: what it sees, and that all of it is undone however the process ends. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import { AuditHold, holdAudit } from "../backends/audit/lifecycle.ts";
import { BACKLOG_LIMIT, BACKLOG_WAIT, ownerOf, ruleOwner } from "../backends/audit/ownership.ts";
import { RecordStream } from "../backends/audit/record_stream.ts";
import { keysOf, listRules } from "../backends/audit/rules.ts";
import { ENOSYS } from "../ffi/abi/errno.ts";
import { AT_FDCWD, O_CLOEXEC, O_RDONLY, O_TRUNC } from "../ffi/abi/open.ts";
import { openLibc } from "../ffi/libc.ts";
import type { Libc } from "../ffi/port.ts";
import { reactor } from "../ffi/reactor.ts";
import { cString } from "../ffi/text.ts";
import { isInstalled } from "../scripts/real_work/process.ts";
import { Audited, Records, SYSCALL, whyUnaudited } from "./audited.ts";
import { Running } from "./running.ts";
import { isDeno, moduleFile, touch, until } from "./runtime.ts";

const settings = { skip: whyUnaudited, timeout: 60_000 };

test("a hold is shared, and undone with its last share", settings, async () => {
  await using audited = await Audited.open();
  const { control, libc, path } = audited;
  const [one, two] = [holdAudit(libc), holdAudit(libc)];
  assert.equal(one.hold, two.hold);
  assert.equal(one.hold.unkept, undefined);
  assert.equal(control.status().enabled, 1);
  const first = one.hold.addTree(path, true);
  const count = listRules(control).length;
  const second = two.hold.addTree(path, true);
  assert.equal(second.key, first.key);
  assert.equal(listRules(control).length, count, "they are the same rules");
  const other = two.hold.addTree("/etc/passwd", false);
  assert.notEqual(other.key, first.key);
  const flags = () =>
    listRules(control).filter((rule) => keysOf(rule).some((key) => key.endsWith(":flags"))).length;
  const global = flags();
  first.remove();
  first.remove();
  other.remove();
  assert.equal(listRules(control).length, count);
  assert.equal(flags(), global);
  second.remove();
  assert.equal(flags(), 0);
  const removeRule = one.hold.addRule({
    list: "exit",
    action: "always",
    syscalls: "all",
    fields: [{ field: "dir", value: path }, { field: "key", value: "mine" }],
  });
  const mine = listRules(control).find((rule) => keysOf(rule)[0] === "mine")!;
  assert.deepEqual(ruleOwner(mine), ownerOf(libc, process.pid));
  removeRule();
  one.release();
  one.release();
  assert.equal(control.status().enabled, 1);
  two.hold.addTree(path, true); // not removed by its user
  two.release();
  await audited.isAsBefore();
});

test("the backlog is a daemon's only while this process is one", settings, async () => {
  await using audited = await Audited.open();
  const { control, libc } = audited;
  const before = control.status();
  const { hold, release } = holdAudit(libc);
  hold.tune("unicast");
  assert.equal(control.status().backlogLimit, BACKLOG_LIMIT);
  assert.equal(control.status().backlogWaitTime, BACKLOG_WAIT);
  hold.tune("multicast");
  assert.equal(control.status().backlogLimit, before.backlogLimit);
  assert.equal(control.status().backlogWaitTime, before.backlogWaitTime);
  hold.tune("unicast");
  control.set({ backlogLimit: 9000 }); // somebody else's
  release();
  assert.equal(control.status().backlogLimit, 9000);
  control.set({ backlogLimit: before.backlogLimit });
  await audited.isAsBefore();
});

test("the rules of a tree see what is done in it, each with its class", {
  skip: whyUnaudited || (isInstalled("chattr") ? false : "chattr is not installed"),
  timeout: 60_000,
}, async () => {
  await using audited = await Audited.open();
  const { libc, path } = audited;
  const shared = await reactor();
  const { hold, release } = holdAudit(libc);
  const records = new Records();
  const stream = new RecordStream(libc, shared, records, { way: "multicast" });
  try {
    const tree = hold.addTree(path, true);
    assert.deepEqual(tree.refused, []);
    const file = join(path, "file");
    const acts: readonly (readonly [kind: string, act: () => void])[] = [
      ["change", () => writeFileSync(file, "")],
      ["change", () => execFileSync("chmod", ["600", file])],
      ["open", () => libc.close(libc.open(cString(file), O_RDONLY | O_TRUNC | O_CLOEXEC, 0))],
      ["times", () => execFileSync("touch", ["-h", "-d", "@1", file])],
      ["flags", () => execFileSync("chattr", ["+d", file])],
    ];
    for (const [kind, act] of acts) {
      records.all.length = 0;
      act();
      const key = kind === "flags" ? `${hold.key}:all:flags` : `${tree.key}:${kind}`;
      const event = await records.event(`key="${key}"`, SYSCALL);
      const isNamed = event.some(({ text }) => text.includes(`name="${file}"`));
      assert.equal(isNamed, kind !== "flags", `${key}: only an ioctl has no path`);
    }
  } finally {
    stream.close();
    await shared.idle();
    release();
  }
});

/** `file_setattr` (`<sys/syscall.h>`, 6.17) of no flags; the errno, 0 where it went well. */
function setAttributes(libc: Libc, path: string): number {
  const [name, attributes] = [cString(path), new Uint8Array(new ArrayBuffer(24))];
  const [at, from] = [libc.address(name), libc.address(attributes)];
  return libc.syscall(469, AT_FDCWD, at, from, attributes.length, 0) < 0 ? libc.errno() : 0;
}

const hasSetAttributes = setAttributes(await openLibc(), "/no/such/file") !== ENOSYS;

test("the rules of a tree see file_setattr", {
  skip: whyUnaudited || (hasSetAttributes ? false : "needs Linux 6.17"),
  timeout: 60_000,
}, async () => {
  await using audited = await Audited.open();
  const { libc, path } = audited;
  const shared = await reactor();
  const { hold, release } = holdAudit(libc);
  const records = new Records();
  const stream = new RecordStream(libc, shared, records, { way: "multicast" });
  try {
    const tree = hold.addTree(path, true);
    const file = join(path, "file");
    touch(file);
    setAttributes(libc, file); // a filesystem that has no such flags refuses it, which is told as well
    const event = await records.event(`key="${tree.key}:attributes"`, SYSCALL);
    assert(event.some(({ text }) => text.includes(`name="${file}"`)));
  } finally {
    stream.close();
    await shared.idle();
    release();
  }
});

test(
  "a hold without a stream registers nobody",
  settings,
  async () => {
    await using audited = await Audited.open();
    const { libc, control } = audited;
    const hold = new AuditHold(libc);
    assert.equal(hold.swept, 0);
    hold.release();
    hold.release();
    assert.equal(control.status().pid, 0);
    await audited.isAsBefore();
  },
);

/** Holds audit, and then does what the test says, once there is a file. */
function program(libc: string, end: string, file: string): string {
  return `
import process from "node:process";
import { holdAudit } from ${JSON.stringify(moduleFile("backends/audit/lifecycle.ts"))};
import { RecordStream } from ${JSON.stringify(moduleFile("backends/audit/record_stream.ts"))};
import { readText } from ${JSON.stringify(moduleFile("ffi/file.ts"))};
import { openLibc } from ${JSON.stringify(moduleFile("ffi/libc.ts"))};
import { reactor } from ${JSON.stringify(moduleFile("ffi/reactor.ts"))};
const libc = ${libc};
const { hold, release } = holdAudit(libc);
hold.addTree("/usr/lib", true);
const sink = { full: false, message() {}, flush() {}, lost() {}, way: (way) => hold.tune(way), fail(error) { throw error; } };
const stream = new RecordStream(libc, await reactor(), sink);
console.log("holds", process.pid, stream.way, "swept", hold.swept, "unkept", hold.unkept);
let isTold = false;
const wait = setInterval(() => {
  if (isTold || readText(libc, ${JSON.stringify(file)}) === undefined) return;
  isTold = true;
  ${end}
}, 10);
`;
}

/** A process that holds audit. */
async function holder(
  directory: string,
  end = "",
  libc = "await openLibc()",
): Promise<{ running: Running; pid: number; said: string; end(): void }> {
  const script = join(directory, `holder${Math.random()}.ts`);
  const file = `${script}.end`;
  writeFileSync(script, program(libc, end, file));
  // Nothing but FFI is permitted.
  const flags = isDeno ? ["--quiet", "--no-prompt", "--no-check", "--allow-ffi"] : [];
  const running = new Running([process.execPath, "run", ...flags, script]);
  const said = await running.until(/holds .*\n/);
  const pid = Number(/holds (\d+)/.exec(said)![1]);
  return { running, pid, said, end: () => writeFileSync(file, "") };
}

/** Its keeper. */
function keeperOf(pid: number): number | undefined {
  const children = readdirSync(`/proc/${pid}/task`)
    .flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" "));
  return children.map(Number).find((child) =>
    child > 0 && readFileSync(`/proc/${child}/cmdline`, "utf8").includes("sentinode-keeper")
  );
}

function isRunning(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** How a process ends, and its exit code; timeout(1) says 128 and the signal. */
const ENDS: readonly (readonly [how: string, end: string, code: number])[] = [
  ["releases", "stream.close(); release(); clearInterval(wait);", 0],
  ["forgets to release", "stream.close(); clearInterval(wait);", 0],
  ["calls exit()", "process.exit(3);", 3],
  ["throws", "throw new Error('as it should');", 1],
  ["rejects", "Promise.reject(new Error('as it should'));", 1],
];

for (const [how, end, code] of ENDS) {
  test(`audit is as before once a process ${how}`, settings, async () => {
    await using audited = await Audited.open();
    const { running, pid, said, end: tell } = await holder(audited.path, end);
    await using _ended = running;
    assert.match(said, /unicast swept 0 unkept undefined/);
    const keeper = keeperOf(pid)!;
    assert.deepEqual(readdirSync(`/proc/${keeper}/fd`), ["0", "1", "2"]);
    assert.equal(audited.control.status().pid, pid);
    tell();
    assert.equal(await running.ended(), code);
    await audited.isAsBefore();
    await until(() => !isRunning(keeper));
  });
}

for (const signal of ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"] as const) {
  test(`audit is as before once a process is ended by ${signal}`, settings, async () => {
    await using audited = await Audited.open();
    const { running, pid } = await holder(audited.path);
    await using _ended = running;
    const keeper = keeperOf(pid)!;
    process.kill(pid, signal);
    await running.ended();
    await audited.isAsBefore();
    await until(() => !isRunning(keeper));
  });
}

test("without a keeper the next start cleans up", settings, async () => {
  await using audited = await Audited.open();
  const { running, pid } = await holder(audited.path);
  await using _ended = running;
  process.kill(keeperOf(pid)!, "SIGKILL");
  process.kill(pid, "SIGKILL");
  await running.ended();
  assert.equal(audited.control.status().enabled, 1, "it is left behind");
  const { hold, release } = holdAudit(audited.libc);
  assert(hold.swept > 0);
  release();
  await audited.isAsBefore();
});

test("of two processes the last one restores", settings, async () => {
  await using audited = await Audited.open();
  const end = "stream.close(); release(); clearInterval(wait);";
  const first = await holder(audited.path, end);
  await using _first = first.running;
  const second = await holder(audited.path, end);
  await using _second = second.running;
  assert.match(second.said, /multicast swept 0/);
  first.end();
  assert.equal(await first.running.ended(), 0);
  assert.equal(audited.control.status().enabled, 1);
  assert(listRules(audited.control).every((rule) => ruleOwner(rule)?.pid !== first.pid));
  second.end();
  assert.equal(await second.running.ended(), 0);
  await audited.isAsBefore();
});

test(
  "of two processes the last one restores, also after the first was killed",
  settings,
  async () => {
    await using audited = await Audited.open();
    const end = "stream.close(); release(); clearInterval(wait);";
    const first = await holder(audited.path, end);
    await using _first = first.running;
    const second = await holder(audited.path, end);
    await using _second = second.running;
    process.kill(first.pid, "SIGKILL");
    await first.running.ended();
    await until(() =>
      listRules(audited.control).every((rule) => ruleOwner(rule)?.pid !== first.pid)
    );
    assert.equal(audited.control.status().enabled, 1);
    second.end();
    assert.equal(await second.running.ended(), 0);
    await audited.isAsBefore();
  },
);

const COMPILED = "({ ...await openLibc(), evaluation: undefined })";

test(
  "a signal that ends a process without a keeper waits until audit is as before",
  settings,
  async () => {
    await using audited = await Audited.open();
    const { running, pid, said } = await holder(audited.path, "", COMPILED);
    await using _ended = running;
    assert.match(said, /unkept this program is no runtime/);
    assert.equal(keeperOf(pid), undefined);
    process.kill(pid, "SIGTERM");
    assert.equal(await running.ended(), null, "by the signal");
    await audited.isAsBefore();
  },
);

test("a signal that the program handles itself is left to it", settings, async () => {
  await using audited = await Audited.open();
  const end = `process.on("SIGTERM", () => { console.log("handled"); });
    process.on("SIGHUP", () => { stream.close(); release(); clearInterval(wait); });
    console.log("listens");`;
  const { running, pid, end: tell } = await holder(audited.path, end, COMPILED);
  await using _ended = running;
  tell();
  await running.until(/listens/);
  process.kill(pid, "SIGTERM");
  await running.until(/handled/);
  assert.equal(audited.control.status().enabled, 1);
  assert.equal(audited.control.status().pid, pid);
  process.kill(pid, "SIGHUP");
  assert.equal(await running.ended(), 0);
  await audited.isAsBefore();
});

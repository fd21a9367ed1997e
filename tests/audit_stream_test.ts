/** The records of audit, both ways, and from one to the other while auditd comes and goes. */

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import type { AuditWay } from "../backends/audit/data_socket.ts";
import { RecordStream, type RecordStreamInit } from "../backends/audit/record_stream.ts";
import { addRule, type AuditRule, deleteRule, keyField } from "../backends/audit/rules.ts";
import { reactor } from "../ffi/reactor.ts";
import { isInstalled } from "../scripts/real_work/process.ts";
import { Auditd } from "./auditd.ts";
import { Audited, EOE, Records, whyUnaudited } from "./audited.ts";
import { touch, until } from "./runtime.ts";

const settings = { skip: whyUnaudited, timeout: 60_000 };
const shared = await reactor();

/** Everything that is done in a directory. */
function ruleFor(path: string): AuditRule {
  const fields = [{ field: "dir", value: path }, { field: "perm", value: "wa" }];
  return {
    list: "exit",
    action: "always",
    syscalls: "all",
    fields: [...fields, keyField("sentinode-test")],
  };
}

/** Its records, while audit is on. */
class Stream extends Records implements AsyncDisposable {
  readonly stream: RecordStream;
  readonly #audited: Audited;
  readonly #rule: AuditRule;

  constructor(audited: Audited, init: RecordStreamInit = {}) {
    super();
    this.#audited = audited;
    this.#rule = ruleFor(audited.path);
    addRule(audited.control, this.#rule);
    audited.control.set({ enabled: 1 });
    this.stream = new RecordStream(audited.libc, shared, this, init);
  }

  /** Makes files, by another process, which goes on meanwhile; resolves at its end. */
  make(names: string, count: number, pause = ""): Promise<void> {
    const script = `i=0; while [ $i -lt ${count} ]; do : > ${names}$i; i=$((i+1)); ${pause} done`;
    const child = spawn("sh", ["-c", script], { cwd: this.#audited.path, stdio: "ignore" });
    return new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (status) => status === 0 ? resolve() : reject(new Error(`${status}`)));
    });
  }

  /** How often each file's creation was told. */
  made(names: string, count: number): number[] {
    const texts = this.all.filter(({ text }) => text.includes("nametype=CREATE"))
      .map(({ text }) => /name="([^"]*)"/.exec(text)?.[1]);
    return Array.from(
      { length: count },
      (_, i) => texts.filter((name) => name === `${names}${i}`).length,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stream.close();
    await shared.idle();
    deleteRule(this.#audited.control, this.#rule);
    this.#audited.control.set({ enabled: 0 });
  }
}

for (const way of ["unicast", "multicast"] satisfies AuditWay[]) {
  test(`records by ${way}`, settings, async () => {
    await using audited = await Audited.open();
    await using stream = new Stream(audited, { way });
    assert.equal(stream.stream.way, way);
    assert.equal(audited.control.status().pid, way === "unicast" ? process.pid : 0);
    execFileSync("touch", [join(audited.path, "one")]);
    const event = await stream.event("/one");
    assert.equal(event.filter(({ text }) => text.includes("nametype=CREATE")).length, 1);
    assert.equal(event.at(-1)!.type, EOE);
    assert(event.every(({ text }) => /^audit\(\d+\.\d{3}:\d+\): /.test(text)));
    assert.deepEqual(stream.losses, []);
    assert.deepEqual(stream.ways, [way]);
    assert(stream.stream.bytesRead > 0);
  });
}

test("what the socket is too small for is counted", settings, async () => {
  await using audited = await Audited.open();
  await using stream = new Stream(audited, { way: "multicast", receiveBuffer: 64 * 1024 });
  execFileSync("sh", ["-c", "for i in $(seq 500); do : > f$i; done"], { cwd: audited.path });
  await stream.until(() => stream.losses.length > 0);
  // The kernel goes on to drop until the socket is empty.
  await until(() => {
    touch(join(audited.path, "last"));
    return stream.all.some(({ text }) => text.includes("/last"));
  });
  const [loss] = stream.losses;
  assert.equal(loss!.reason, "socket");
  assert(loss!.count! > 0);
  const { socket } = stream.stream.losses;
  assert.equal(socket, stream.losses.reduce((sum, { count }) => sum + (count ?? 0), 0));
  assert(stream.made("f", 501).filter((count) => count > 0).length < 500);
});

test("a full sink leaves the records to the kernel, until it has room", settings, async () => {
  await using audited = await Audited.open();
  await using stream = new Stream(audited, { way: "multicast" });
  Object.assign(stream, { full: true });
  await stream.make("f", 20);
  assert.equal(stream.all.filter(({ type }) => type === EOE).length, 0);
  Object.assign(stream, { full: false });
  stream.stream.resume();
  await stream.until(() => stream.made("f", 20).every((count) => count === 1));
});

test("two streams of a process: the second takes over from the first", settings, async () => {
  await using audited = await Audited.open();
  await using first = new Stream(audited, { lookEvery: 10, patience: 0 });
  assert.equal(first.stream.way, "unicast");
  const second = new Records();
  const stream = new RecordStream(audited.libc, shared, second, { lookEvery: 10, patience: 0 });
  try {
    assert.equal(stream.way, "multicast");
    first.stream.close();
    await second.until(() => stream.way === "unicast");
    assert.equal(audited.control.status().pid, process.pid);
    assert.deepEqual(second.losses, []);
  } finally {
    stream.close();
  }
});

test("auditd comes, stays and goes: every record is told once", {
  skip: whyUnaudited || (isInstalled("auditd") ? false : "auditd is not installed"),
  timeout: 60_000,
}, async () => {
  await using audited = await Audited.open();
  await using auditd = new Auditd();
  await using stream = new Stream(audited, { lookEvery: 20, patience: 500 });
  const COUNT = 800;
  const making = stream.make("f", COUNT, "sleep 0.004;");
  assert.equal(stream.stream.way, "unicast");
  await stream.until(() => stream.made("f", 20).every((count) => count > 0));
  // The first try is told of, and gives it room; the second one succeeds.
  assert.notEqual(await auditd.start().ended(), 0);
  await stream.until(() => stream.stream.way === "multicast");
  const running = auditd.start();
  const isRegistered = () => ![0, process.pid].includes(audited.control.status().pid);
  await stream.until(isRegistered);
  const beside = stream.all.length;
  await stream.until(() => stream.all.length > beside + 300);
  assert.equal(stream.stream.way, "multicast");
  assert(isRegistered());
  running.signal("SIGTERM");
  await running.ended();
  await stream.until(() => stream.stream.way === "unicast");
  await making;
  await stream.until(() => stream.made("f", COUNT).at(-1)! > 0);
  assert.deepEqual(stream.made("f", COUNT), Array(COUNT).fill(1));
  assert.deepEqual(stream.ways, ["unicast", "multicast", "unicast"]);
  assert.deepEqual(stream.losses, []);
  const { serials } = stream;
  assert.equal(serials.at(-1)! - serials[0]! + 1, serials.length, "no serial number is missing");
  assert(auditd.log.includes("sentinode-test"), "auditd has its records");
});

test("beside auditd nothing of it is changed", {
  skip: whyUnaudited || (isInstalled("auditd") ? false : "auditd is not installed"),
  timeout: 60_000,
}, async () => {
  await using audited = await Audited.open();
  await using auditd = new Auditd();
  const running = auditd.start();
  const { control } = audited;
  await until(() => control.status().pid !== 0);
  const { pid } = control.status();
  {
    await using stream = new Stream(audited);
    assert.equal(stream.stream.way, "multicast");
    execFileSync("touch", [join(audited.path, "one")]);
    await stream.event("/one");
    assert.equal(control.status().pid, pid);
    await stream.until(() => auditd.log.includes("/one"));
  }
  running.signal("SIGTERM");
  await running.ended();
});

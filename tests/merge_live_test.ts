/** `merge()` of what this machine tells: watches, audit, a guard. */

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import test from "node:test";
import { audit, guard, merge, SystemError, type Tagged, watch } from "../mod.ts";
import { Audited, whyUnaudited } from "./audited.ts";
import { Guarded, whyUnguarded } from "./guarded.ts";
import {
  isDeno,
  isRoot,
  moduleFile,
  openFiles,
  runScript,
  TemporaryDirectory,
  testAsNobody,
  touch,
  until,
  within,
} from "./runtime.ts";

const RECORD = "type=USER_LOGIN msg=audit(1700000000.123:42): pid=1 uid=0 auid=1000 ses=3 " +
  `msg='op=login acct="ada" exe="/usr/sbin/sshd" hostname=? addr=? terminal=ssh res=success'\n`;

/** What a merge has told so far. */
class Told<Item extends Tagged> {
  readonly all: Item[] = [];
  readonly end: Promise<void>;

  constructor(merged: AsyncIterable<Item>) {
    this.end = this.#follow(merged);
    this.end.catch(() => {});
  }

  async #follow(merged: AsyncIterable<Item>): Promise<void> {
    for await (const item of merged) this.all.push(item);
  }

  /** Until there is one like that. */
  async until(is: (item: Item) => boolean): Promise<Item> {
    await until(() => this.all.some(is));
    return this.all.find(is)!;
  }
}

test("a watch, audit records from a stream, and what the program says", async () => {
  using at = new TemporaryDirectory();
  const before = openFiles();
  const records = new TransformStream<Uint8Array, Uint8Array>();
  const writer = records.writable.getWriter();
  const files = watch(at.path, { backend: "inotify" });
  const merged = merge({ files, logins: audit({ source: records.readable }) });
  await within(merged.ready, "ready");
  const told = new Told(merged);
  touch(join(at.path, "one"));
  await told.until(({ tag, event }) => tag === "files" && event.path.endsWith("/one"));
  await writer.write(new TextEncoder().encode(RECORD));
  files.inject({ kind: "user.mark", path: "/" });
  await told.until(({ event }) => event.kind === "user.mark");
  await writer.close(); // which completes the record, and ends that stream alone
  await told.until((item) => item.tag === "logins" && item.event.attributes.type === "USER_LOGIN");
  await until(() => merged.stats().logins.isOver);
  touch(join(at.path, "two"));
  await told.until(({ tag, event }) => tag === "files" && event.path.endsWith("/two"));
  const { files: ofFiles, logins } = merged.stats();
  assert.equal(ofFiles.events, told.all.filter(({ tag }) => tag === "files").length);
  assert.equal(ofFiles.stats.events, ofFiles.events);
  assert.deepEqual([logins.events, logins.stats.records], [1, 1]);
  await merged.close();
  await within(told.end, "the end");
  assert.equal(files.coverage().length, 0, "the watcher is closed");
  await until(() => openFiles() <= before);
});

test("what is refused is told; the rest goes on", async () => {
  using at = new TemporaryDirectory();
  const merged = merge({ gone: watch("/no/such/path"), here: watch(at.path) });
  await within(merged.ready, "ready");
  const told = new Told(merged);
  const { event } = await told.until(({ tag }) => tag === "gone");
  assert.deepEqual([event.kind, event.path], ["lost", "/no/such/path"]);
  assert(event.attributes.cause instanceof SystemError);
  assert.equal(event.attributes.cause.code, "ENOENT");
  assert.equal(event.attributes.reason, event.attributes.cause.message);
  touch(join(at.path, "file"));
  await told.until(({ tag, event }) => tag === "here" && event.path.endsWith("/file"));
  await merged.close();
  await within(told.end, "the end");
});

test("where all is refused that is thrown", async () => {
  const merged = merge({ one: watch("/no/such/one"), two: watch("/no/such/two") });
  await assert.rejects(within(merged.ready, "ready"), { path: "/no/such/one" });
  const told = new Told(merged);
  await assert.rejects(within(told.end, "the end"), { code: "ENOENT" });
  assert.deepEqual(told.all.map(({ event }) => event.kind), ["lost"], "of the other one");
});

test(
  "audit is refused to nobody, who has the rest",
  { skip: !isRoot && "needs root" },
  async () => {
    const script = `
import { audit, merge, watch } from ${JSON.stringify(moduleFile("mod.ts"))};
const files = watch(".");
const merged = merge({ files, audit: audit() });
await merged.ready;
files.inject({ kind: "user.mark", path: "/" });
const told = [];
for await (const { tag, event } of merged) {
  told.push([tag, event.kind, event.attributes.cause?.constructor.name].join(" "));
  if (told.length === 2) break;
}
console.log(told.sort().join("\\n"));`;
    const flags = isDeno ? ["--allow-ffi", "--allow-read"] : [];
    const { stdout, stderr, status } = await runScript(script, { asNobody: true, flags });
    assert.equal(status, 0, stderr);
    assert.equal(stdout, "audit lost CapabilityError\nfiles user.mark \n");
  },
);

test("a busy tree keeps a quiet one from nothing, and no name from being told", async () => {
  using busy = new TemporaryDirectory();
  using quiet = new TemporaryDirectory();
  const count = 3000;
  await using merged = merge({
    busy: watch(busy.path, { backend: "inotify", events: ["create"] }),
    quiet: watch(quiet.path, { backend: "inotify", events: ["create"] }),
  });
  await within(merged.ready, "ready");
  const script = `i=0; while [ $i -lt ${count} ]; do : > $i; i=$((i+1)); done`;
  const maker = spawn("sh", ["-c", script], { cwd: busy.path, stdio: "ignore" });
  const made = new Promise((resolve) => maker.on("close", resolve));
  const seen = { busy: new Set<string>(), quiet: 0 };
  let isTouched = false;
  const read = async () => {
    for await (const batch of merged.batches()) {
      if (batch[0]!.tag === "busy") {
        for (const { event } of batch) seen.busy.add(event.path);
        if (!isTouched) touch(join(quiet.path, `${seen.quiet}`));
        isTouched = true;
        await setImmediate(); // a consumer that takes its time
      } else {
        assert.equal(batch.length, 1);
        seen.quiet++;
        isTouched = false;
      }
      if (seen.busy.size === count && !isTouched) break;
    }
  };
  await within(read(), "all of it", 30_000);
  await made;
  assert(seen.quiet > 1);
});

test("a guard's decisions beside what was changed", {
  skip: whyUnguarded("tmpfs"),
  timeout: 60_000,
}, async () => {
  using files = new Guarded();
  const secret = files.file("secret");
  const gate = guard(files.path, { rules: [{ path: "secret", verdict: "deny" }] });
  const merged = merge({ gate, changes: watch(files.path) });
  await within(merged.ready, "ready");
  const told = new Told(merged);
  assert.equal(await files.try("open", secret), "EPERM");
  await told.until(({ tag, event }) => tag === "gate" && event.attributes.verdict === "deny");
  writeFileSync(join(files.path, "new"), "");
  await told.until(({ tag, event }) => tag === "changes" && event.kind === "create.file");
  assert.equal(merged.stats().gate.stats.denied, 1);
  await merged.close();
  await within(gate.closed, "the guard's end");
  await within(told.end, "the end");
  assert.equal(await files.try("open", secret), "0");
});

test("audit and a watch of the same tree", { skip: whyUnaudited, timeout: 60_000 }, async () => {
  await using audited = await Audited.open();
  const { path } = audited;
  const merged = merge({
    files: watch(path, { backend: "inotify", events: ["create"] }),
    audit: audit({ paths: path }),
  }, { events: { audit: ["create"] } });
  await within(merged.ready, "ready");
  execFileSync("touch", ["a", "b", "c"], { cwd: path });
  const names = new Map<string, string[]>();
  for await (const { tag, event } of merged) {
    assert(event.kind.startsWith("create"), event.kind);
    names.set(tag, [...names.get(tag) ?? [], event.path.slice(path.length + 1)]);
    if ([...names.values()].flat().length === 6) break;
  }
  assert.deepEqual(Object.fromEntries(names), { files: ["a", "b", "c"], audit: ["a", "b", "c"] });
  await audited.isAsBefore();
});

for (const end of ["break", "throw", "signal", "using"] as const) {
  test(`the end by ${end} gives back what all have taken`, async () => {
    using at = new TemporaryDirectory();
    writeFileSync(join(at.path, "log"), RECORD.repeat(10));
    const before = openFiles();
    const controller = new AbortController();
    const run = async () => {
      await using merged = merge({
        files: watch(at.path, { backend: "inotify" }),
        polled: watch(at.path, { backend: "poll" }),
        log: audit({ source: { log: join(at.path, "log") } }),
        socket: new ReadableStream(), // which never has anything
      }, { signal: controller.signal });
      await within(merged.ready, "ready");
      if (end === "using") return;
      appendFileSync(join(at.path, "log"), "\n");
      for await (const { tag } of merged) {
        if (tag !== "files") continue;
        if (end === "break") break;
        if (end === "throw") throw new Error("thrown");
        controller.abort();
      }
      await merged.close();
    };
    const running = run();
    if (end === "throw") await assert.rejects(within(running, "the end"), /^Error: thrown$/);
    else await within(running, "the end");
    await until(() => openFiles() <= before);
  });
}

test("as nobody", {
  skip: !isRoot && "needs root",
  timeout: 120_000,
}, async () => {
  assert.notEqual(process.getuid!(), 65534);
  await testAsNobody("tests/merge_live_test.ts", 8);
});

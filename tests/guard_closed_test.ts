/** `Guard.closed`: those who do not iterate learn that nothing is guarded any more, and why. */

import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { guard, SystemError } from "../mod.ts";
import { Filesystem, whyNot } from "./filesystem.ts";
import { until, within } from "./runtime.ts";

/** How many fanotify groups this process has. */
function groups(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === "anon_inode:[fanotify]";
    } catch {
      return false; // that of the directory itself
    }
  }).length;
}

/** So many has a guard: one is asked, one knows who writes. */
const OF_A_GUARD = 2;

const SKIP = { skip: whyNot("tmpfs") };

test("closed: what kept a guard from beginning", async () => {
  const gate = guard("/no/such/path");
  const error = await within(gate.closed, "the end").catch((error) => error);
  assert(error instanceof SystemError);
  assert.equal(error.code, "ENOENT");
  await assert.rejects(gate.ready, error);
});

test("closed: told to end before it began", async () => {
  const gate = guard("/no/such/path", { signal: AbortSignal.abort() });
  await within(gate.closed, "the end");
  await assert.rejects(gate.ready, { name: "AbortError" });
});

test("closed while directories are marked", SKIP, async () => {
  using at = new Filesystem("tmpfs");
  for (let i = 0; i < 5000; i++) mkdirSync(join(at.path, String(i)));
  const gate = guard(at.path);
  const next = gate[Symbol.asyncIterator]().next();
  await until(() => groups() === OF_A_GUARD);
  assert(gate.stats().marks < 5000);
  void gate.close();
  await within(gate.closed, "the end");
  await within(assert.rejects(gate.ready, { name: "AbortError" }), "ready");
  assert.deepEqual(await within(next, "the iterator"), { value: undefined, done: true });
  assert.equal(groups(), 0);
});

for (const end of ["close", "signal"] as const) {
  test(`closed: told to end by ${end}, nothing is left`, SKIP, async () => {
    using at = new Filesystem("tmpfs");
    const controller = new AbortController();
    const gate = guard(at.path, { signal: controller.signal });
    await gate.ready;
    assert.equal(groups(), OF_A_GUARD);
    const left = gate.closed.then(groups);
    if (end === "close") void gate.close();
    else controller.abort();
    assert.equal(await within(left, "the end"), 0);
  });
}

test("closed: the responder has failed", SKIP, async () => {
  using at = new Filesystem("tmpfs");
  const { Worker } = globalThis;
  const workers: Worker[] = [];
  globalThis.Worker = class extends Worker {
    constructor(...init: ConstructorParameters<typeof Worker>) {
      super(...init);
      workers.push(this);
    }
  };
  try {
    const gate = guard(at.path);
    await gate.ready;
    workers[0]!.dispatchEvent(new ErrorEvent("error", { message: "out of memory" }));
    const message = "Cannot guard: the responder failed: out of memory";
    await assert.rejects(within(gate.closed, "the end"), { message });
    assert.equal(groups(), 0);
  } finally {
    globalThis.Worker = Worker;
  }
});

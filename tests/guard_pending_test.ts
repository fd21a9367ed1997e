/** Requests that wait, in memory that two threads see: who takes one answers it, and its file is closed once. */

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { pathToFileURL } from "node:url";
import { Clock, msUntil, PendingRequests, SLOTS } from "../guard/pending.ts";
import { type Ask, SharedMemory } from "../guard/protocol.ts";
import { GuardRequest } from "../guard/request.ts";
import { OpenFiles } from "../backends/fanotify/open_files.ts";
import type { PermissionGroup } from "../backends/fanotify/permission_group.ts";
import type { Libc } from "../ffi/port.ts";
import { AccountNames } from "../watch/account_names.ts";
import { moduleFile, TemporaryDirectory, within } from "./runtime.ts";

/** The two threads' views of the same memory. */
function two(): [PendingRequests, PendingRequests] {
  const memory = new SharedArrayBuffer(PendingRequests.BYTES);
  return [new PendingRequests(memory, 0), new PendingRequests(memory, 0)];
}

test("a request waits until one takes it", () => {
  const [responder, main] = two();
  assert(main.isFree(0));
  const ticket = responder.add(0, 1000);
  assert(main.isWaiting(ticket));
  assert(!responder.isFree(0));
  assert.equal(main.deadline(0), 1000);
  main.extend(ticket, 2000);
  assert.equal(responder.deadline(0), 2000);
  assert(main.take(ticket));
  assert(!responder.take(ticket));
  assert(!main.take(ticket));
  assert(!responder.isWaiting(ticket));
  assert(!responder.isFree(0), "its file is open");
  assert(main.mayClose(ticket));
  assert(!responder.mayClose(ticket), "it is closed once");
  assert(responder.isFree(0));
});

test("a file that is used is closed by who uses it", () => {
  const [responder, main] = two();
  const ticket = responder.add(5, 0);
  assert(main.hold(ticket));
  assert(!main.hold(ticket), "one use at a time");
  assert(responder.take(ticket));
  assert(!responder.mayClose(ticket));
  assert(!responder.isFree(5));
  main.letGo(ticket);
  assert(main.mayClose(ticket));
  assert(!main.hold(ticket));
  assert(responder.isFree(5));
});

test("a ticket is no good for the next request in its slot", () => {
  const [responder, main] = two();
  const old = responder.add(7, 0);
  const group = {} as PermissionGroup;
  const libc = { statx: () => -1, close: () => 0 } as unknown as Libc;
  const ask: Ask = {
    type: "ask",
    ticket: old,
    fd: 9,
    pid: 1,
    bits: 0,
    operation: "open",
    range: undefined,
    since: 0,
  };
  const request = new GuardRequest(ask, {
    libc,
    group,
    files: new OpenFiles(libc, -1),
    pending: main,
    clock: new Clock(),
    names: new AccountNames(libc),
  });
  assert(request.extend(60_000));
  assert.notEqual(responder.deadline(7), 0);
  assert(responder.take(old) && responder.mayClose(old));
  const next = responder.add(7, 9_000);
  assert(!main.isWaiting(old));
  assert(!main.take(old));
  assert(!main.hold(old));
  assert(!main.mayClose(old));
  main.letGo(old);
  assert(!request.extend(1));
  assert.equal(responder.deadline(7), 9_000, "a late extend() is none of its");
  assert(main.isWaiting(next));
  assert(main.hold(next));
});

test("slots are independent, and their states come round", () => {
  const memory = new SharedArrayBuffer(PendingRequests.BYTES);
  const pending = new PendingRequests(memory, 0);
  const tickets = Array.from({ length: SLOTS }, (_, slot) => pending.add(slot, slot));
  for (const ticket of tickets) assert(pending.isWaiting(ticket));
  for (const ticket of tickets) if (ticket.slot % 2 === 0) assert(pending.take(ticket));
  for (const ticket of tickets) assert.equal(pending.isWaiting(ticket), ticket.slot % 2 === 1);

  // The state is 32 bits, and goes on behind the largest number.
  new Int32Array(memory)[0] = 2 ** 31 - 2;
  const last = pending.add(0, 0);
  assert.equal(last.state, 2 ** 31 - 1);
  assert(pending.take(last) && pending.mayClose(last) && pending.isFree(0));
  const first = pending.add(0, 0);
  assert.equal(first.state, -(2 ** 31) + 1);
  assert(pending.isWaiting(first) && pending.hold(first));
  pending.letGo(first);
  assert(pending.take(first) && pending.mayClose(first) && pending.isFree(0));
});

test("clocks of two threads agree, and go round", () => {
  const main = new Clock();
  const other = new Clock(main.now());
  assert(Math.abs(msUntil(main.now(), other.now())) <= 2);
  assert.equal(msUntil(5, 3), 2);
  assert.equal(msUntil(3, 5), -2);
  assert.equal(msUntil((2 ** 31) | 0, 2 ** 31 - 1), 1);
  assert.equal(msUntil(2 ** 31 - 1, (2 ** 31) | 0), -1);
});

test("ignored processes: those that stay are ignored all the time", () => {
  const memory = new SharedMemory();
  const other = new SharedMemory(memory.buffer);
  assert(!other.ignores(0) && !other.ignores(-1 >>> 0));
  memory.ignore(new Set([1, 2, 3]));
  assert.deepEqual([1, 2, 3, 4].map((pid) => other.ignores(pid)), [true, true, true, false]);
  memory.ignore(new Set([3, 4]));
  assert.deepEqual([1, 2, 3, 4].map((pid) => other.ignores(pid)), [false, false, true, true]);
  memory.ignore(new Set());
  assert.deepEqual([0, 1, 2, 3, 4].filter((pid) => other.ignores(pid)), []);
  const many = new Set(Array.from({ length: 1024 }, (_, i) => i + 10));
  memory.ignore(many);
  assert([...many].every((pid) => other.ignores(pid)));
  memory.ignore(new Set([...many].map((pid) => pid + 5)));
  assert(other.ignores(1038) && !other.ignores(14));
});

/** Adds requests in every slot, again and again; takes each against the other thread, and closes its file. */
const RIVAL = `
  import { PendingRequests } from ${JSON.stringify(moduleFile("guard/pending.ts"))};
  onmessage = ({ data: { memory, words, slots } }) => {
    const pending = new PendingRequests(memory, 0);
    const shared = new Int32Array(words);
    for (let round = 1; Atomics.load(shared, 6) === 0; round++) {
      const tickets = [];
      for (let slot = 0; slot < slots; slot++) tickets.push(pending.add(slot, 0));
      postMessage(tickets);
      // Both begin at once.
      while (Atomics.load(shared, 1) !== round) continue;
      Atomics.store(shared, 0, round);
      let taken = 0;
      let closed = 0;
      for (const ticket of tickets) {
        if (pending.take(ticket)) taken++;
        if (pending.mayClose(ticket)) closed++;
      }
      Atomics.add(shared, 2, taken);
      Atomics.add(shared, 3, closed);
      while (Atomics.load(shared, 4) !== round) continue;
      for (let slot = 0; slot < slots; slot++) if (!pending.isFree(slot)) Atomics.add(shared, 5, 1);
    }
    postMessage("end");
  };
`;

test("two threads that race: each request is answered once, each file closed once", {
  skip: availableParallelism() < 2 && "needs two processors",
  timeout: 60_000,
}, async () => {
  const slots = 256;
  const memory = new SharedArrayBuffer(PendingRequests.BYTES);
  const words = new SharedArrayBuffer(7 * 4);
  const shared = new Int32Array(words);
  const pending = new PendingRequests(memory, 0);
  using directory = new TemporaryDirectory();
  const script = join(directory.path, "rival.ts");
  writeFileSync(script, RIVAL);
  const worker = new Worker(pathToFileURL(script).href, { type: "module" });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let [round, taken, closed] = [0, 0, 0];
  worker.onerror = ({ message }) => reject(new Error(message));
  worker.onmessage = ({ data }) => {
    if (data === "end") return resolve();
    const tickets = data as readonly { slot: number; state: number }[];
    Atomics.store(shared, 1, ++round);
    while (Atomics.load(shared, 0) !== round) continue;
    // From the other end, so that both meet.
    for (const ticket of tickets.toReversed()) {
      const holds = pending.hold(ticket);
      if (holds) pending.letGo(ticket);
      if (pending.take(ticket)) taken++;
      if (pending.mayClose(ticket)) closed++;
    }
    // Until each of them was first at some time, on however busy a machine.
    if (round >= 200 && taken > 0 && Atomics.load(shared, 2) > 0) Atomics.store(shared, 6, 1);
    Atomics.store(shared, 4, round);
  };
  worker.postMessage({ memory, words, slots });
  try {
    await within(promise, "the race", 50_000);
  } finally {
    worker.terminate();
  }
  const [, , othersTaken, othersClosed, , notFree] = shared;
  assert.equal(taken + othersTaken!, slots * round);
  assert.equal(closed + othersClosed!, slots * round);
  assert.equal(notFree, 0);
});

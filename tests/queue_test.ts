/** The queue between the backends and the consumer. */

import assert from "node:assert/strict";
import test from "node:test";
import { FileEvent, type WatchEvent } from "../classify/event.ts";
import { CAPACITY, EventQueue } from "../watch/queue.ts";
import { within } from "./runtime.ts";

/** `count` events named `name0`, `name1` … */
function events(name: string, count: number): FileEvent[] {
  return Array.from(
    { length: count },
    (_, i) => FileEvent.from({ kind: "user.x", path: `${name}${i}` }, 0, "test"),
  );
}

/** All that waits now. */
function drain(queue: EventQueue): WatchEvent[] {
  const all: WatchEvent[] = [];
  for (let batch = queue.takeNow(); batch; batch = queue.takeNow()) all.push(...batch);
  return all;
}

test("first in, first out, batch by batch", async () => {
  const queue = new EventQueue(true);
  const [a, b] = [events("a", 2), events("b", 1)];
  queue.push(a, "/");
  queue.push([], "/");
  queue.push(b, "/");
  assert.equal(await queue.take(), a);
  assert.equal(queue.takeNow(), b);
  assert.equal(queue.takeNow(), undefined);
  assert.deepEqual(queue.stats, { events: 3, dropped: 0, highWater: 3 });
});

test("take waits for what is pushed", async () => {
  const queue = new EventQueue(true);
  const taken = queue.take();
  const late = events("late", 1);
  queue.push(late, "/");
  assert.equal(await within(taken, "the batch"), late);
});

test("several takes that wait are answered in order, none is forgotten", async () => {
  const queue = new EventQueue(true);
  const taken = [queue.take(), queue.take(), queue.take(), queue.take()];
  const [a, b] = [events("a", 1), events("b", 1)];
  queue.push(a, "/");
  assert.equal(await within(taken[0]!, "the first"), a);
  queue.push(b, "/");
  assert.equal(await within(taken[1]!, "the second"), b);
  queue.end();
  assert.deepEqual(await within(Promise.all(taken.slice(2)), "the end"), [undefined, undefined]);
});

test("end: after what is queued, and for good", async () => {
  const queue = new EventQueue(true);
  const last = events("last", 1);
  queue.push(last, "/");
  queue.end();
  queue.push(events("too late", 1), "/");
  assert.equal(await queue.take(), last);
  for (let again = 0; again < 3; again++) assert.equal(await queue.take(), undefined);
  assert.equal(queue.stats.events, 1);
});

test("end with an error: once, after what is queued; the first end counts", async () => {
  const queue = new EventQueue(true);
  const last = events("last", 1);
  const error = new Error("the end");
  queue.push(last, "/");
  queue.end({ error });
  queue.end({ error: new Error("another") });
  queue.end();
  assert.equal(await queue.take(), last);
  await assert.rejects(queue.take(), error);
  assert.equal(await queue.take(), undefined);
});

test("an error may be undefined, and still is one", async () => {
  const queue = new EventQueue(true);
  queue.end({ error: undefined });
  await assert.rejects(
    queue.take().then(() => {}, () => Promise.reject(new Error("thrown"))),
    /thrown/,
  );
});

test("an error wakes who waits", async () => {
  const queue = new EventQueue(true);
  const taken = queue.take();
  queue.end({ error: new Error("the end") });
  await assert.rejects(within(taken, "the error"), /the end/);
});

test("full: one lost event counts what was dropped, and stands in its place", () => {
  const queue = new EventQueue(true);
  queue.push(events("kept", CAPACITY), "/kept");
  assert(queue.isFull);
  queue.push(events("dropped", 3), "/dropped");
  queue.push(events("dropped", 2), "/dropped");
  assert.deepEqual(queue.stats, { events: CAPACITY + 1, dropped: 5, highWater: CAPACITY + 1 });
  const kept = queue.takeNow()!;
  assert.equal(kept.length, CAPACITY);
  queue.push(events("after", 1), "/after");
  const [lost, after, ...more] = drain(queue);
  assert.equal(lost!.kind, "lost");
  assert.equal(lost!.path, "/dropped");
  assert.deepEqual(lost!.attributes, { count: 5, reason: "the consumer was too slow" });
  assert.equal(after!.path, "after0");
  assert.deepEqual(more, []);
});

test("a second loss is another event, between what came before and after", () => {
  const queue = new EventQueue(true);
  const all: string[] = [];
  const note = (batch: readonly WatchEvent[]) => {
    all.push(
      batch.length > 1
        ? "batch"
        : batch[0]!.kind === "lost"
        ? `lost${batch[0]!.attributes.count}`
        : "one",
    );
  };
  queue.push(events("a", CAPACITY), "/");
  queue.push(events("x", 1), "/");
  note(queue.takeNow()!);
  queue.push(events("b", CAPACITY), "/");
  queue.push(events("y", 2), "/");
  for (let batch = queue.takeNow(); batch; batch = queue.takeNow()) note(batch);
  assert.deepEqual(all, ["batch", "lost1", "batch", "lost2"]);
});

test("the sum of what was taken and what was lost is what was pushed", () => {
  const queue = new EventQueue(true);
  let [state, pushed, taken, lost] = [7, 0, 0, 0];
  const count = (batch: readonly WatchEvent[]) => {
    for (const { kind, attributes } of batch) kind === "lost" ? lost += attributes.count! : taken++;
  };
  for (let step = 0; step < 2000; step++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const size = (state >>> 8) % 100;
    queue.push(events("e", size), "/");
    pushed += size;
    if (step % 3 === 0 && step > 900) count(queue.takeNow() ?? []);
  }
  count(drain(queue));
  assert(lost > 0, "some were lost");
  assert.equal(taken + lost, pushed);
  assert.equal(queue.stats.dropped, lost);
});

test("room is announced when a full queue is full no more, and only then", () => {
  const queue = new EventQueue(true);
  let rooms = 0;
  queue.onRoom = () => {
    assert(!queue.isFull);
    rooms++;
  };
  for (let i = 0; i < 4; i++) queue.push(events("e", CAPACITY / 2 - 1), "/");
  queue.push(events("e", 1), "/"); // dropped: full since the third
  const waiting = 3; // batches beyond the one in hand
  queue.takeNow();
  assert.equal(rooms, 1);
  for (let i = 0; i < waiting; i++) queue.takeNow();
  assert.equal(rooms, 1);
});

test("unbounded: grows, drops nothing", () => {
  const queue = new EventQueue(false);
  queue.push(events("a", CAPACITY), "/");
  queue.push(events("b", CAPACITY), "/");
  assert(queue.isFull, "it says how far behind the consumer is");
  assert.deepEqual(queue.stats, { events: 2 * CAPACITY, dropped: 0, highWater: 2 * CAPACITY });
  assert.equal(drain(queue).filter(({ kind }) => kind === "lost").length, 0);
});

test("clear forgets what waits", async () => {
  const queue = new EventQueue(true);
  queue.push(events("a", CAPACITY), "/");
  queue.clear();
  assert(!queue.isFull);
  assert.equal(queue.takeNow(), undefined);
  queue.end();
  assert.equal(await queue.take(), undefined);
});

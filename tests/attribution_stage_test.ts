/**
 * What waits for audit keeps to the queue's limits, and the hubs to those of what waits.
 *
 * @module
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FileEvent } from "../classify/event.ts";
import { HOLD } from "../classify/correlation.ts";
import { Attribution } from "../watch/attribution.ts";
import { Filter } from "../watch/filter.ts";
import { CAPACITY, EventQueue } from "../watch/queue.ts";

const SOURCE = { path: "/" };

function created(count: number): FileEvent[] {
  return Array.from(
    { length: count },
    (_, at) => FileEvent.from({ kind: "create.file", path: `/${at}` }, Date.now(), "inotify"),
  );
}

function stage(isBounded: boolean) {
  const queue = new EventQueue(isBounded);
  const filter = new Filter(["create"], [], new Set());
  const attribution = new Attribution(queue, filter, () => undefined, () => {});
  return { queue, attribution };
}

test("hubs stop reading while too much waits, and read on once it does not", async () => {
  const { queue, attribution } = stage(true);
  const room = Promise.withResolvers<void>();
  queue.onRoom = room.resolve;
  const start = performance.now();
  attribution.push(created(CAPACITY), Date.now(), SOURCE);
  assert(attribution.isFull);
  // The queue is full now, for it holds as many: the consumer makes room.
  for (let left = CAPACITY; left > 0;) left -= (await queue.take())!.length;
  await room.promise;
  assert(performance.now() - start >= HOLD - 2);
  assert(!attribution.isFull);
  assert.equal(queue.stats.dropped, 0);
});

test("what waited longer than it had to is not dropped", async () => {
  const { queue, attribution } = stage(true);
  queue.onRoom = () => attribution.resume();
  queue.push(created(CAPACITY), "/");
  attribution.push(created(3), Date.now(), SOURCE);
  await new Promise((resolve) => setTimeout(resolve, HOLD + 20));
  assert.equal(queue.stats.events, CAPACITY, "the queue has no room");
  assert.equal((await queue.take())!.length, CAPACITY);
  assert.equal((await queue.take())!.length, 3);
  assert.equal(queue.stats.dropped, 0);
});

test("a queue without bound takes what waited, however full", async () => {
  const { queue, attribution } = stage(false);
  queue.push(created(CAPACITY), "/");
  attribution.push(created(3), Date.now(), SOURCE);
  while (queue.stats.events < CAPACITY + 3) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(queue.stats.dropped, 0);
});

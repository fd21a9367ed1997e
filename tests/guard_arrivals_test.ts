/** When requests came at the earliest, by how many were queued at which time. */

import assert from "node:assert/strict";
import test from "node:test";
import { Arrivals } from "../guard/arrivals.ts";

test("what comes while nothing is queued came after the last look", () => {
  const arrivals = new Arrivals(0);
  arrivals.waited(250);
  assert.equal(arrivals.since, 250);
  arrivals.read(1);
  assert.equal(arrivals.since, 250);
  arrivals.empty(300);
  assert.equal(arrivals.since, 300);
});

test("what is read came after the last time at which it was not queued yet", () => {
  const arrivals = new Arrivals(0);
  arrivals.queued(100, 5); // five came until 100,
  arrivals.read(2);
  arrivals.queued(200, 7); // four more until 200,
  arrivals.waited(250); // and waiting says nothing, for they are there
  assert.equal(arrivals.since, 0);
  arrivals.read(3);
  assert.equal(arrivals.since, 100);
  arrivals.read(3);
  assert.equal(arrivals.since, 100);
  arrivals.read(1);
  assert.equal(arrivals.since, 200);
  arrivals.queued(300, 2);
  arrivals.queued(310, 4);
  arrivals.read(9);
  assert.equal(arrivals.since, 310);
  arrivals.queued(400, 1);
  arrivals.queued(500, 0);
  assert.equal(arrivals.since, 500);
});

test("times are noted some way apart, also where the clock goes round", () => {
  const last = 2 ** 31 - 1;
  const arrivals = new Arrivals(last);
  assert(arrivals.isDue(last));
  arrivals.queued(last, 3);
  assert(!arrivals.isDue(last));
  assert(!arrivals.isDue((last + 9) | 0));
  assert(arrivals.isDue((last + 10) | 0));
  arrivals.read(3);
  assert.equal(arrivals.since, last);
  assert(arrivals.isDue(last));
});

/** For how long a file may change without its time of change showing it. */

import assert from "node:assert/strict";
import test from "node:test";
import { isRecent, tickOf } from "../ffi/file_time.ts";

const SECOND = 1_000_000_000n;
const MS = 1_000_000n;

test("times without a fraction of a second are of filesystems with long ticks", () => {
  assert.equal(tickOf(1_700_000_000n * SECOND), 2n * SECOND);
  assert.equal(tickOf(1_700_000_000n * SECOND + 1n), 20n * MS);
});

test("a change is recent for a tick, and while it lies ahead", () => {
  for (const [time, tick] of [[4n * SECOND, 2n * SECOND], [4n * SECOND + MS, 20n * MS]] as const) {
    assert.equal(isRecent(time, time), true);
    assert.equal(isRecent(time, time + tick - 1n), true);
    assert.equal(isRecent(time, time + tick), false);
    assert.equal(isRecent(time, time - SECOND), true);
  }
});

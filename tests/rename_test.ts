/** Pairing the halves of inotify's renames; the clock is the test's. */

import assert from "node:assert/strict";
import test from "node:test";
import { GRACE, RenamePairing } from "../classify/mod.ts";
import { IN_CREATE, IN_MOVED_FROM, IN_MOVED_TO } from "../ffi/abi/inotify.ts";

interface Record {
  readonly mask: number;
  readonly cookie: number;
  readonly name: string;
}

const from = (cookie: number): Record => ({ mask: IN_MOVED_FROM, cookie, name: `from${cookie}` });
const to = (cookie: number): Record => ({ mask: IN_MOVED_TO, cookie, name: `to${cookie}` });
const other = (name: string): Record => ({ mask: IN_CREATE, cookie: 0, name });

/** What comes out at `now`, as text: `from1>to1`, `create`. */
function told(pairing: RenamePairing<Record>, now: number): string {
  return [...pairing.take(now)].map(({ record, to }) =>
    to ? `${record.name}>${to.name}` : record.name
  )
    .join(" ");
}

/** A pairing that was pushed `records` at 0. */
function pushed(...records: Record[]): RenamePairing<Record> {
  const pairing = new RenamePairing<Record>();
  pairing.push(records, 0);
  return pairing;
}

test("both halves in one read", () => {
  const pairing = pushed(from(1), to(1));
  assert.equal(told(pairing, 0), "from1>to1");
  assert.equal(pairing.isWaiting, false);
  assert.equal(told(pairing, 0), "");
});

test("a read that falls between the halves", () => {
  const pairing = pushed(other("a"), from(1));
  assert.equal(told(pairing, 0), "a");
  assert.equal(pairing.isWaiting, true);
  assert.equal(told(pairing, GRACE - 1), "");
  pairing.push([to(1), other("b")], GRACE - 1);
  assert.equal(told(pairing, GRACE - 1), "from1>to1 b");
  assert.equal(pairing.isWaiting, false);
});

test("other records between the halves: the rename stands where its first half stood", () => {
  const pairing = pushed(other("a"), from(1), other("b"), other("c"), to(1), other("d"));
  assert.equal(told(pairing, 0), "a from1>to1 b c d");
});

test("interleaved renames", () => {
  assert.equal(told(pushed(from(1), from(2), to(1), to(2)), 0), "from1>to1 from2>to2");
  assert.equal(told(pushed(from(1), from(2), to(2), to(1)), 0), "from1>to1 from2>to2");
});

test("a lone first half leaves when the grace is over, and holds up what is behind it", () => {
  const pairing = pushed(from(1), other("a"), from(2), to(2));
  assert.equal(told(pairing, GRACE - 1), "");
  assert.equal(pairing.isWaiting, true);
  assert.equal(told(pairing, GRACE), "from1 a from2>to2");
  assert.equal(pairing.isWaiting, false);
});

test("each half has its own grace", () => {
  const pairing = pushed(from(1));
  pairing.push([from(2)], 5);
  assert.equal(told(pairing, GRACE), "from1");
  assert.equal(told(pairing, GRACE + 4), "");
  assert.equal(told(pairing, GRACE + 5), "from2");
});

test("a lone second half came from outside, at once", () => {
  const pairing = pushed(to(1), other("a"));
  assert.equal(told(pairing, 0), "to1 a");
  assert.equal(pairing.isWaiting, false);
});

test("a second half that comes after the grace is a lone one", () => {
  const pairing = pushed(from(1));
  assert.equal(told(pairing, GRACE), "from1");
  pairing.push([to(1), from(2), to(2)], GRACE + 1);
  assert.equal(told(pairing, GRACE + 1), "to1 from2>to2");
});

// The kernel counts cookies in 32 bits (fsnotify_get_cookie), so none comes again before the first was told.
test("a cookie that comes again later is another rename", () => {
  const pairing = pushed(from(1), to(1));
  assert.equal(told(pairing, 0), "from1>to1");
  pairing.push([from(1), to(1)], 1);
  assert.equal(told(pairing, 1), "from1>to1");
  pairing.push([to(1), from(1)], 1);
  assert.equal(told(pairing, 1), "to1");
  assert.equal(told(pairing, 1 + GRACE), "from1");
});

test("a reader that stops half-way finds the rest", () => {
  const pairing = pushed(other("a"), other("b"), from(1), to(1));
  for (const { record } of pairing.take(0)) {
    assert.equal(record.name, "a");
    break;
  }
  assert.equal(told(pairing, 0), "b from1>to1");
});

test("what waits behind a record, but for halves that were given out", () => {
  const pairing = pushed(from(1), other("a"), to(1), from(2), to(2), other("b"));
  const names = (last?: Record) => [...pairing.behind(last)].map(({ name }) => name).join(" ");
  assert.equal(names(), "from1 a to1 from2 to2 b");
  const given: string[] = [];
  for (const { record } of pairing.take(0)) {
    given.push(names());
    if (record.name !== "from1") continue;
    const [, second] = [...pairing.behind()];
    assert.equal(pairing.partner(second!)?.name, "to2");
    assert.equal(names(second), "to2 b");
    pairing.push([other("c")], 0);
  }
  assert.deepEqual(given, ["a from2 to2 b", "from2 to2 b c", "b c", "c", ""]);
  assert.equal(names(), "");
});

test("random reads: nothing lost, nothing twice, the order kept", () => {
  let state = 1;
  const random = (below: number) => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % below;
  for (let round = 0; round < 200; round++) {
    const records: Record[] = [];
    const open: number[] = [];
    for (let i = 1; i <= 40; i++) {
      const what = random(5);
      if (what === 0) records.push(other(`o${i}`));
      else if (what === 1) records.push(to(1000 + i));
      else if (what === 2) records.push(from(2000 + i));
      else if (what === 3 || open.length === 0) {
        open.push(i);
        records.push(from(i));
      } else records.push(to(open.splice(random(open.length), 1)[0]!));
    }
    const pairing = new RenamePairing<Record>();
    const out: { record: Record; to?: Record }[] = [];
    for (let at = 0, now = 0; at < records.length; now++) {
      const size = 1 + random(6);
      pairing.push(records.slice(at, at += size), now);
      out.push(...pairing.take(now));
    }
    out.push(...pairing.take(1e6));
    assert.equal(pairing.isWaiting, false);
    const all = out.flatMap(({ record, to }) => to ? [record, to] : [record]);
    assert.equal(all.length, records.length);
    assert.deepEqual(new Set(all), new Set(records));
    const places = out.map(({ record }) => records.indexOf(record));
    assert.deepEqual(places, places.toSorted((a, b) => a - b));
    for (const { record, to } of out) {
      if (to) assert.equal(to.cookie, record.cookie);
    }
  }
});

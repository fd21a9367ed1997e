/** File handles as keys: compared and found where they stand, whatever stands behind them. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import test from "node:test";
import {
  copyKey,
  type HandleKey,
  HandleTable,
  hash,
  isKey,
  isSubvolumeOf,
  onFilesystemOf,
} from "../backends/fanotify/handle.ts";
import { FILEID_BTRFS_WITHOUT_PARENT } from "../ffi/abi/handle.ts";

/** The words of fsid and `struct file_handle`; `spare` fills what is left of the last word, and two more. */
function key(
  bytes: readonly number[],
  spare = 0,
  fsid: readonly [number, number] = [1, 2],
): Int32Array {
  const length = (bytes.length + 3) & ~3;
  const handle = Buffer.alloc(length + 8, spare);
  handle.set(bytes);
  const words = [...fsid, bytes.length, 1];
  for (let at = 0; at < handle.length; at += 4) words.push(handle.readInt32LE(at));
  return Int32Array.from(words);
}

const LENGTHS = [1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 32, 127, 128];

for (const length of LENGTHS) {
  test(`a handle of ${length} bytes is compared to its last byte and no further`, () => {
    const bytes = Array.from({ length }, (_, i) => (i * 7 + 200) & 0xff);
    const copy = copyKey(key(bytes, 0xaa), 0);
    assert.equal(copy.length, 4 + Math.ceil(length / 4));
    assert.deepEqual(copyKey(key(bytes, 0x55), 0), copy, "the spare bytes are zero");
    assert.deepEqual([...new Uint8Array(copy.buffer, 16, length)], bytes);
    assert(isKey(key(bytes, 0x55), 0, copy));
    assert.equal(hash(key(bytes, 0x55), 0), hash(copy, 0));
    for (let i = 0; i < length; i++) {
      const other = bytes.with(i, bytes[i]! ^ 0x80);
      assert(!isKey(key(other), 0, copy), `byte ${i}`);
    }
    assert(!isKey(key([...bytes, 0]), 0, copy), "a longer handle");
    assert(!isKey(key(bytes, 0, [1, 3]), 0, copy), "another filesystem");
    const otherType = key(bytes);
    otherType[3] = 2;
    assert(!isKey(otherType, 0, copy), "another type");
  });
}

test("a key is found where it stands in a batch", () => {
  const bytes = [1, 2, 3, 4, 5];
  const batch = Int32Array.from([9, 9, 9, ...key(bytes, 0xff), 9]);
  const table = new HandleTable<string>();
  table.set(copyKey(batch, 3), "here");
  assert.equal(table.get(batch, 3), "here");
  assert.equal(table.get(key(bytes), 0), "here");
  assert.equal(table.get(key([1, 2, 3, 4, 6]), 0), undefined);
});

/** `count` different keys with one hash: its last step is an exclusive or with the last word. */
function colliding(count: number): HandleKey[] {
  const keys = Array.from({ length: count }, (_, i) => copyKey(key([i, 0, 0, 0, 0, 0, 0, 0]), 0));
  const sum = hash(keys[0]!, 0);
  for (const one of keys) one[5] = hash(one, 0) ^ one[5]! ^ sum;
  return keys;
}

test("keys with one hash are kept apart", () => {
  const keys = colliding(5);
  assert.equal(new Set(keys.map((one) => hash(one, 0))).size, 1, "they do collide");
  assert.equal(new Set(keys.map((one) => one.join(" "))).size, 5, "and are different");
  // Each is deleted and set again, with every other still there: first, middle and last of the chain.
  for (const [i, one] of keys.entries()) {
    const table = new HandleTable<number>();
    for (const [j, other] of keys.entries()) table.set(other, j);
    assert.equal(table.size, 5);
    assert.equal(table.delete(one, 0), true);
    assert.equal(table.delete(one, 0), false, "it is gone");
    assert.equal(table.size, 4);
    const got = keys.map((other) => table.get(other, 0));
    assert.deepEqual(got, [0, 1, 2, 3, 4].map((j) => j === i ? undefined : j));
    table.set(one, 10 + i);
    assert.equal(table.get(one, 0), 10 + i);
    assert.deepEqual([...table.values()].sort((a, b) => a - b), [
      ...[0, 1, 2, 3, 4].filter((j) => j !== i),
      10 + i,
    ]);
  }
});

test("set replaces, clear forgets", () => {
  const table = new HandleTable<string>();
  const [a, b] = colliding(2) as [HandleKey, HandleKey];
  table.set(a, "a");
  table.set(b, "b");
  table.set(a, "A");
  assert.equal(table.size, 2);
  assert.deepEqual([table.get(a, 0), table.get(b, 0)], ["A", "b"]);
  table.clear();
  assert.equal(table.size, 0);
  assert.deepEqual([table.get(a, 0), [...table.values()]], [undefined, []]);
  assert.equal(table.delete(a, 0), false);
});

test("it agrees with a Map over many operations", () => {
  const table = new HandleTable<number>();
  const model = new Map<string, number>();
  const pool = Array.from({ length: 200 }, (_, i) => {
    const bytes = Array.from({ length: 1 + i % 13 }, (_, j) => (i * 31 + j) & 0xff);
    return copyKey(key(bytes), 0);
  }).concat(colliding(50));
  let state = 12345;
  for (let step = 0; step < 20_000; step++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const one = pool[(state >>> 8) % pool.length]!;
    const name = one.join(" ");
    if ((state & 0x80) === 0) {
      table.set(one, step);
      model.set(name, step);
    } else assert.equal(table.delete(one, 0), model.delete(name));
    assert.equal(table.size, model.size);
  }
  for (const one of pool) assert.equal(table.get(one, 0), model.get(one.join(" ")));
  assert.deepEqual([...table.values()].sort(), [...model.values()].sort());
});

test("btrfs: a directory of another subvolume, by its handle; the fsid of the mark, whose it is", () => {
  /** `struct btrfs_fid`: objectid, root_objectid, gen. */
  const of = (object: number, subvolume: number, fsid: readonly [number, number] = [1, 2]) => {
    const bytes = Buffer.alloc(20);
    bytes.writeBigUInt64LE(BigInt(object), 0);
    bytes.writeBigUInt64LE(BigInt(subvolume), 8);
    const words = key([...bytes], 0, fsid);
    words[3] = FILEID_BTRFS_WITHOUT_PARENT;
    return copyKey(words, 0);
  };
  const isSubvolume = (one: HandleKey, other: HandleKey) =>
    isSubvolumeOf(Int32Array.from([...one, ...other]), 0, one.length);
  assert(isSubvolume(of(256, 257), of(256, 5)));
  assert(isSubvolume(of(256, 2 ** 40), of(256, 5)));
  assert(!isSubvolume(of(300, 257), of(256, 257)));
  assert(!isSubvolume(copyKey(key([1, 2, 3, 4]), 0), copyKey(key([5, 6, 7, 8]), 0)));
  const [mark, inner] = [of(256, 5), of(256, 257, [1, 3])];
  assert.deepEqual(onFilesystemOf(mark, inner), of(256, 257));
  assert.deepEqual(inner, of(256, 257, [1, 3]));
});

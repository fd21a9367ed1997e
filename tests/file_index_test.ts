/** The index of names against a plain map, and what it takes of memory. */

import assert from "node:assert/strict";
import test from "node:test";
import { FileIndex, NONE, ROOT } from "../backends/poll/file_index.ts";
import { decodeText, encodeText } from "../ffi/text.ts";
import { random, seed } from "./random.ts";

function paths(index: FileIndex): string[] {
  return [...index.entries()].map((entry) => decodeText(index.path(entry))).sort();
}

function find(index: FileIndex, path: string): number {
  let at = ROOT;
  for (const name of path.split("/")) {
    const bytes = encodeText(name);
    at = at === NONE ? NONE : index.child(at, bytes, 0, bytes.length);
  }
  return at;
}

test("what was added twice while the index was filled is there once", () => {
  const index = new FileIndex(false);
  const add = (parent: number, name: string) => {
    const bytes = encodeText(name);
    return index.add(parent, bytes, 0, bytes.length, "directory", 0);
  };
  for (const top of ["a", "b", "a"]) add(add(ROOT, top), "below");
  assert.equal(index.size, 6);
  assert.notEqual(find(index, "a/below"), NONE);
  assert.deepEqual(paths(index), ["a", "a/below", "b", "b/below"]);
  assert.equal(index.size, 4);
});

test(`random changes, seed ${seed}`, () => {
  const next = random(seed);
  const pick = (most: number) => Math.floor(next() * most);
  const index = new FileIndex(true);
  const model = new Set<string>();
  const names = ["a", "b", "é", "\n", "x".repeat(255), "ф".repeat(255)];
  const below = (path: string) => [...model].filter((one) => one.startsWith(`${path}/`));
  for (let step = 0; step < 5000; step++) {
    const parents = ["", ...model];
    const parent = parents[pick(parents.length)]!;
    const name = names[pick(names.length)]!;
    const path = parent === "" ? name : `${parent}/${name}`;
    const bytes = encodeText(name);
    const directory = parent === "" ? ROOT : find(index, parent);
    if (model.has(path)) {
      assert(index.child(directory, bytes, 0, bytes.length) !== NONE);
      if (next() < 0.6) {
        index.remove(find(index, path));
        for (const one of [path, ...below(path)]) model.delete(one);
      }
      continue;
    }
    assert.equal(index.child(directory, bytes, 0, bytes.length), NONE);
    const others = [...model];
    const from = others[pick(others.length)];
    if (from !== undefined && next() < 0.3 && !`${path}/`.startsWith(`${from}/`)) {
      index.move(find(index, from), directory, bytes, 0, bytes.length);
      const moved = [from, ...below(from)];
      for (const one of moved) model.delete(one);
      for (const one of moved) model.add(path + one.slice(from.length));
    } else if (path.split("/").length < 6) {
      const entry = index.add(directory, bytes, 0, bytes.length, "directory", step + 1);
      index.setStatus(entry, { modified: step, changed: 1, born: 2, size: 3 });
      assert.equal(index.status(entry).modified, step);
      model.add(path);
    }
    if (step % 100 === 0) assert.deepEqual(paths(index), [...model].sort());
  }
  assert.deepEqual(paths(index), [...model].sort());
  assert.equal(index.size, model.size);
});

for (const [withStatus, most] of [[false, 75], [true, 110]] as const) {
  test(`a file takes less than ${most} bytes${withStatus ? " with its status" : ""}`, () => {
    const index = new FileIndex(withStatus);
    for (let d = 0; d < 500; d++) {
      const name = encodeText(`directory-${d}`);
      const directory = index.add(ROOT, name, 0, name.length, "directory", 0);
      for (let f = 0; f < 200; f++) {
        const file = encodeText(`some-file-${f}.ts`);
        index.add(directory, file, 0, file.length, "file", 0);
      }
    }
    assert(index.bytes / index.size < most, `${index.bytes / index.size} bytes`);
  });
}

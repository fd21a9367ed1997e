/** What a consumer knows, and which events cannot follow it. */

import assert from "node:assert/strict";
import test from "node:test";
import { FileEvent } from "../classify/event.ts";
import type { Kind } from "../classify/kinds.ts";
import { decodeText } from "../ffi/text.ts";
import { ROOT } from "../backends/poll/file_index.ts";
import { Picture } from "../watch/picture.ts";

function event(kind: Kind, path: string, from?: string): FileEvent {
  const isDirectory = path.endsWith("/");
  const name = isDirectory ? path.slice(0, -1) : path;
  const old = from === undefined ? {} : { from: `/top/${from}` };
  return FileEvent.from({ kind, path: `/top/${name}`, isDirectory, ...old }, 0, "test");
}

/** A picture of which all is known: the directories `a/b`, `c` and the file `f`. */
function known(): Picture {
  const picture = new Picture("/top");
  picture.index.setListed(ROOT);
  for (const path of ["a/", "a/b/", "c/"]) picture.apply(event("create.directory", path));
  picture.apply(event("create.file", "f"));
  return picture;
}

const CONTRADICTIONS: readonly [Kind, path: string, from?: string][] = [
  ["create.file", "gone/x"],
  ["create.file", "f/x"],
  ["create.file", "c"],
  ["create.directory", "f/"],
  ["rename.in", "gone/x"],
  ["remove.directory", "a/"],
  ["rename", "new", "gone"],
  ["rename", "gone/x", "f"],
  ["rename", "a/", "c"],
  ["rename", "a/b/c/", "a"],
  ["rename", "new/", "f"],
];

const CONSISTENT: readonly [Kind, path: string, from?: string][] = [
  ["create.file", "a/x"],
  ["create.file", "f"], // known, as a comparison told it
  ["remove", "gone/x"],
  ["remove", "f"],
  ["rename.out", "a/"],
  ["rename", "f", "gone"],
  ["rename", "c/x", "f"],
  ["rename", "c/", "a"],
  ["rename", "new/", "a"],
  ["modify.data", "gone"],
];

for (const [kind, path, from] of CONTRADICTIONS) {
  test(`${kind} ${from === undefined ? "" : `${from} -> `}${path} contradicts`, () => {
    assert.equal(known().contradicts(event(kind, path, from)), true);
  });
}

for (const [kind, path, from] of CONSISTENT) {
  test(`${kind} ${from === undefined ? "" : `${from} -> `}${path} may follow`, () => {
    assert.equal(known().contradicts(event(kind, path, from)), false);
  });
}

test("where nothing is known nothing contradicts", () => {
  const picture = new Picture("/top");
  assert.equal(picture.contradicts(event("create.file", "gone/x")), false);
  assert.equal(picture.contradicts(event("rename", "new", "gone")), false);
});

test("what was known of a directory that has gone is known no more", () => {
  const picture = known();
  assert.equal(picture.apply(event("remove", "gone/x")), false);
  assert.equal(picture.apply(event("remove", "a/b/x")), false);
  const paths = [...picture.index.entries()].map((entry) => decodeText(picture.index.path(entry)));
  assert.deepEqual(paths.sort(), ["a", "a/b", "c", "f"]);
});

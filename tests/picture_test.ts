/** The picture that repairs losses: what it has after events, after they are taken back, and which cannot follow it. */

import assert from "node:assert/strict";
import test from "node:test";
import { FileEvent } from "../classify/event.ts";
import type { Kind } from "../classify/kinds.ts";
import { decodeText } from "../ffi/text.ts";
import { ROOT } from "../backends/poll/file_index.ts";
import { Picture } from "../watch/picture.ts";

/** `rename a/ -> b/`: of a directory. */
function event(line: string): FileEvent {
  const [, kind, left, name] = /^(\S+) (?:(\S+) -> )?(\S+)$/.exec(line)!;
  const path = (name: string) => `/r/${name.replace(/\/$/, "")}`;
  const isDirectory = name!.endsWith("/");
  const init = { kind: kind as Kind, path: path(name!), isDirectory };
  return FileEvent.from(left === undefined ? init : { ...init, from: path(left) }, 0, "test");
}

/** A picture of which all is known, after events. */
function after(events: readonly FileEvent[]): Picture {
  const picture = new Picture("/r");
  picture.index.setListed(ROOT);
  for (const event of events) picture.apply(event);
  return picture;
}

function namesIn({ index }: Picture): string[] {
  return [...index.entries()].map((entry) => decodeText(index.path(entry))).sort();
}

/** The names after events, and after the last of them, as many as are given, are taken back. */
function names(lines: readonly string[], undone: number = 0): string[] {
  const events = lines.map(event);
  const picture = after(events);
  for (const event of events.slice(events.length - undone).reverse()) picture.undo(event);
  return namesIn(picture);
}

const MADE = ["create.directory a/", "create.file a/f", "create.directory b/", "create.file b/g"];
const EXCHANGED = [...MADE, "rename a/ -> b/", "rename.in a/", "create.file a/g"];

test("an exchange", () => {
  assert.deepEqual(names(EXCHANGED), ["a", "a/g", "b", "b/f"]);
});

test("an exchange taken back: the consumer has both names still", () => {
  assert.deepEqual(names(EXCHANGED, 3), ["a", "a/f", "b"]);
});

test("a rename over a name taken back", () => {
  assert.deepEqual(names(["create.file a", "create.file b", "rename a -> b"], 1), ["a", "b"]);
  assert.deepEqual(names(["create.file a", "rename a -> b"], 1), ["a"]);
  assert.deepEqual(names(["create.file a", "rename.in a"], 1), ["a"]);
  assert.deepEqual(names(["rename.in a"], 1), []);
});

test("a directory in the place of the one that it was in", () => {
  const lines = ["create.directory a/", "create.directory a/b/", "create.file a/b/f"];
  assert.deepEqual(names([...lines, "rename a/b/ -> a/"]), ["a", "a/f"]);
});

test("a directory that comes in the place of another one", () => {
  assert.deepEqual(names([...MADE, "rename.in a/"]), ["a", "b", "b/g"]);
});

/** The directories `a/b`, `c` and the file `f`. */
const KNOWN = [
  "create.directory a/",
  "create.directory a/b/",
  "create.directory c/",
  "create.file f",
].map(event);

const CONTRADICTIONS = [
  "create.file gone/x",
  "create.file f/x",
  "create.file c",
  "create.directory f/",
  "rename.in gone/x",
  "remove.directory a/",
  "rename gone -> new",
  "rename f -> gone/x",
  "rename c -> a/",
  "rename a -> a/b/c/",
  "rename f -> new/",
];

const CONSISTENT = [
  "create.file a/x",
  "create.file f", // known, as a comparison told it
  "remove gone/x",
  "remove f",
  "rename.out a/",
  "rename gone -> f",
  "rename f -> c/x",
  "rename a -> c/",
  "rename a -> new/",
  "modify.data gone",
];

for (const line of CONTRADICTIONS) {
  test(`${line} contradicts`, () => assert.equal(after(KNOWN).contradicts(event(line)), true));
}

for (const line of CONSISTENT) {
  test(`${line} may follow`, () => assert.equal(after(KNOWN).contradicts(event(line)), false));
}

test("where nothing is known nothing contradicts", () => {
  const picture = new Picture("/r");
  assert.equal(picture.contradicts(event("create.file gone/x")), false);
  assert.equal(picture.contradicts(event("rename gone -> new")), false);
});

test("what was known of a directory that has gone is known no more", () => {
  const picture = after(KNOWN);
  assert.equal(picture.apply(event("remove gone/x")), false);
  assert.equal(picture.apply(event("remove a/b/x")), false);
  assert.deepEqual(namesIn(picture), ["a", "a/b", "c", "f"]);
});

/** The picture that repairs losses: what it has after events, and after they are taken back. */

import assert from "node:assert/strict";
import test from "node:test";
import { FileEvent } from "../classify/event.ts";
import type { Kind } from "../classify/kinds.ts";
import { decodeText } from "../ffi/text.ts";
import { Picture } from "../watch/picture.ts";

/** `rename a/ -> b/`: of a directory. */
function event(line: string): FileEvent {
  const [, kind, left, name] = /^(\S+) (?:(\S+) -> )?(\S+)$/.exec(line)!;
  const path = (name: string) => `/r/${name.replace(/\/$/, "")}`;
  const isDirectory = name!.endsWith("/");
  const init = { kind: kind as Kind, path: path(name!), isDirectory };
  return FileEvent.from(left === undefined ? init : { ...init, from: path(left) }, 0, "test");
}

/** The names after events, and after the last of them, as many as are given, are taken back. */
function names(lines: readonly string[], undone: number = 0): string[] {
  const picture = new Picture("/r");
  picture.index.setListed(0);
  const events = lines.map(event);
  for (const one of events) picture.apply(one);
  for (const one of events.slice(events.length - undone).reverse()) picture.undo(one);
  const { index } = picture;
  return [...index.entries()].map((entry) => decodeText(index.path(entry))).sort();
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

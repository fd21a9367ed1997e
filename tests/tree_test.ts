/** The tree of directories: a rename re-links one node, and every path follows. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import test from "node:test";
import { type DirectoryNode, DirectoryTree, nameKey } from "../backends/tree.ts";

const RAW = Uint8Array.of(0x72, 0xff);
const OTHER_RAW = Uint8Array.of(0x72, 0xfe);
const TEXT = "r\uFFFD";

test("paths of the root, of a topmost directory and of what is below", () => {
  const tree = new DirectoryTree<null>();
  const root = tree.add(null, "/", null);
  const top = tree.add(null, "/srv/data", null);
  const inner = tree.add(tree.add(top, "a", null), "b", null);
  const below = tree.add(root, "usr", null);
  const paths = [root, top, inner, below].map((node) => [tree.path(node), tree.prefix(node)]);
  assert.deepEqual(paths, [
    ["/", "/"],
    ["/srv/data", "/srv/data/"],
    ["/srv/data/a/b", "/srv/data/a/b/"],
    ["/usr", "/usr/"],
  ]);
});

test("a rename moves everything below with it, cached paths too", () => {
  const tree = new DirectoryTree<null>();
  const top = tree.add(null, "/top", null);
  const a = tree.add(top, "a", null);
  const b = tree.add(a, "b", null);
  const c = tree.add(b, "c", null);
  const other = tree.add(top, "other", null);
  assert.equal(tree.path(c), "/top/a/b/c");
  tree.move(b, other, "B");
  assert.deepEqual([b, c].map((node) => tree.path(node)), ["/top/other/B", "/top/other/B/c"]);
  assert.equal(tree.child(a, "b"), undefined);
  assert.equal(tree.child(other, "B"), b);
  assert.equal(tree.child(b, "c"), c);
  tree.move(top, null, "/elsewhere");
  assert.equal(tree.path(c), "/elsewhere/other/B/c");
  tree.move(b, null, "/out");
  assert.equal(tree.path(c), "/out/c");
  assert.equal(tree.child(other, "B"), undefined);
});

test("a rename touches one node, however much is below", () => {
  const tree = new DirectoryTree<null>();
  const top = tree.add(null, "/top", null);
  const moved = tree.add(top, "moved", null);
  const below: DirectoryNode<null>[] = [];
  for (let i = 0; i < 1000; i++) below.push(tree.add(moved, `${i}`, null));
  for (const node of below) tree.path(node);
  const touched = () => below.filter((node) => node.epoch === tree.epoch).length;
  assert.equal(touched(), 1000);
  const links = below.map((node) => node.parent);
  tree.move(moved, top, "again");
  assert.equal(touched(), 0, "no path is built before it is asked for");
  assert.deepEqual(below.map((node) => node.parent === links[0]), Array(1000).fill(true));
  assert.equal(tree.path(below[500]!), "/top/again/500");
  assert.equal(touched(), 1);
});

test("a rename onto a name that is taken", () => {
  const tree = new DirectoryTree<null>();
  const top = tree.add(null, "/top", null);
  const a = tree.add(top, "a", null);
  const b = tree.add(top, "b", null);
  tree.move(a, top, "b");
  assert.equal(tree.child(top, "b"), a);
  tree.remove(b); // its removal is told later, and must not take the newcomer
  assert.equal(tree.child(top, "b"), a);
  assert.equal(tree.path(b), "/top/b", "what the kernel still says of it has a path");
});

test("what was removed keeps its path while others move", () => {
  const tree = new DirectoryTree<null>();
  const top = tree.add(null, "/top", null);
  const a = tree.add(top, "a", null);
  const b = tree.add(a, "b", null);
  assert.equal(tree.path(b), "/top/a/b");
  tree.remove(a);
  assert.equal(tree.child(top, "a"), undefined);
  assert.equal(tree.path(b), "/top/a/b");
  const again = tree.add(top, "a", null);
  assert.equal(tree.child(top, "a"), again);
  assert.equal(tree.path(a), tree.path(again));
});

test("subtree: parents first, all of it, nothing else", () => {
  const tree = new DirectoryTree<string>();
  const top = tree.add(null, "/top", "top");
  const a = tree.add(top, "a", "a");
  tree.add(tree.add(a, "b", "b"), "c", "c");
  tree.add(top, "other", "other");
  assert.deepEqual([...tree.subtree(a)].map(({ tag }) => tag), ["a", "b", "c"]);
  assert.deepEqual([...tree.subtree(top)].map(({ tag }) => tag), ["top", "a", "b", "c", "other"]);
});

test("names that look the same and are not", () => {
  assert.equal(nameKey("a", undefined), "a");
  assert.equal(
    new Set([nameKey(TEXT, undefined), nameKey(TEXT, RAW), nameKey(TEXT, OTHER_RAW)]).size,
    3,
  );
  const tree = new DirectoryTree<number>();
  const top = tree.add(null, "/top", 0);
  tree.add(top, TEXT, 1);
  tree.add(top, TEXT, 2, RAW);
  tree.add(top, TEXT, 3, OTHER_RAW);
  assert.deepEqual(
    [tree.child(top, TEXT), tree.child(top, TEXT, RAW), tree.child(top, TEXT, OTHER_RAW)]
      .map((node) => node?.tag),
    [1, 2, 3],
  );
});

test("bytes: what system calls take, the raw names as they are", () => {
  const tree = new DirectoryTree<null>();
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");
  const root = tree.add(null, "/", null);
  const top = tree.add(null, "/tøp", null);
  const raw = tree.add(top, TEXT, null, RAW);
  const below = tree.add(raw, "below", null);
  assert.equal(text(tree.bytes(root)), "/");
  assert.equal(text(tree.bytes(root, "x")), "/x");
  assert.equal(text(tree.bytes(tree.add(root, "usr", null), "x")), "/usr/x");
  assert.equal(text(tree.bytes(top)), "/t\xc3\xb8p");
  assert.equal(text(tree.bytes(raw)), "/t\xc3\xb8p/r\xff");
  assert.equal(text(tree.bytes(below, "x")), "/t\xc3\xb8p/r\xff/below/x");
  assert.equal(text(tree.bytes(below, TEXT, OTHER_RAW)), "/t\xc3\xb8p/r\xff/below/r\xfe");
  assert.equal(tree.path(below), `/tøp/${TEXT}/below`);
  assert.deepEqual([top, raw, below].map((node) => node.isText), [true, false, false]);
});

test("a directory that is to be below itself is taken out", () => {
  const tree = new DirectoryTree<null>();
  const top = tree.add(null, "/top", null);
  const a = tree.add(top, "a", null);
  const b = tree.add(a, "b", null);
  tree.move(a, b, "c");
  assert.equal(tree.child(top, "a"), undefined);
  assert.equal(tree.child(b, "c"), undefined);
  assert.equal(tree.path(b), "/top/a/b");
});

test("whether a path is text follows a rename", () => {
  const tree = new DirectoryTree<null>();
  const top = tree.add(null, "/top", null);
  const raw = tree.add(top, TEXT, null, RAW);
  const below = tree.add(raw, "below", null);
  tree.path(below);
  assert.equal(below.isText, false);
  tree.move(raw, top, "text");
  assert.equal(tree.path(below), "/top/text/below");
  assert.equal(below.isText, true);
  tree.move(raw, top, TEXT, RAW);
  tree.path(below);
  assert.equal(below.isText, false);
});

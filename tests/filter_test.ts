/** What is wanted: kinds, paths, processes. */

import assert from "node:assert/strict";
import process from "node:process";
import test from "node:test";
import { Filter, type Ignore } from "../watch/filter.ts";

function ignoring(...ignore: Ignore[]): Filter {
  return new Filter(["create"], ignore, new Set());
}

function dropping(processes: ReadonlySet<number | "self">): Filter {
  return new Filter(["create"], [], processes);
}

test("kinds: what was asked for, and loss always", () => {
  const filter = new Filter(["create", "modify.metadata.xattr", "user.a"], [], new Set());
  for (
    const kind of ["create", "create.file", "modify.metadata", "modify.metadata.xattr", "user.a.b"]
  ) {
    assert(filter.wants(kind), kind);
  }
  for (
    const kind of ["remove", "modify.data", "modify.metadata.times", "user.b", "other", "rename"]
  ) {
    assert(!filter.wants(kind), kind);
  }
  for (let again = 0; again < 2; again++) assert(filter.wants("lost") && filter.wants("recovered"));
});

test("a function is asked once for a path, with what it needs to know", () => {
  const asked: [string, boolean][] = [];
  const filter = ignoring((path, isDirectory) => {
    asked.push([path, isDirectory]);
    return path === "/root/b";
  });
  for (let again = 0; again < 3; again++) {
    assert.equal(filter.ignores("/root/a", false, "/root"), false);
    assert.equal(filter.ignores("/root/b", true, "/root"), true);
  }
  assert.deepEqual(asked, [["/root/a", false], ["/root/b", true]]);
});

test("any one of several ignores; what follows is not asked", () => {
  const asked: string[] = [];
  const filter = ignoring("*.o", /\/tmp\//, (path) => (asked.push(path), path.endsWith("x")));
  assert(filter.ignores("/root/a.o", false, "/root"));
  assert(filter.ignores("/root/tmp/a", false, "/root"));
  assert(filter.ignores("/root/x", false, "/root"));
  assert(!filter.ignores("/root/y", false, "/root"));
  assert.deepEqual(asked, ["/root/x", "/root/y"]);
  assert(filter.asksPaths && !ignoring().asksPaths);
});

test("an expression is tested on the absolute path, with its flags", () => {
  const filter = ignoring(/^\/ROOT\/a$/i, /^\/root\/.$/su);
  assert(filter.ignores("/root/A", false, "/root"));
  assert(filter.ignores("/root/😀", false, "/root"));
  assert(filter.ignores("/root/\n", false, "/root"));
  assert(!filter.ignores("/root/ab", false, "/root"));
});

test("a glob is about the path below the root that is asked for, whoever asked before", () => {
  const filter = ignoring("b/c");
  assert(filter.ignores("/a/b/c", true, "/a"));
  assert(!filter.ignores("/a/b/c", true, "/a/b"));
  assert(filter.ignores("/a/b/b/c", true, "/a/b"));
  assert(!filter.ignores("/a/b/b/c", true, "/a"));
  assert(filter.ignores("/a/b/c", true, "/a"));
});

test("answers are forgotten before they fill the memory", () => {
  let asked = 0;
  const filter = ignoring(() => (asked++, false));
  for (let i = 0; i < 70_000; i++) filter.ignores(`/root/${i}`, false, "/root");
  assert.equal(asked, 70_000);
  filter.ignores("/root/69999", false, "/root");
  assert.equal(asked, 70_000, "the newest is known");
  filter.ignores("/root/0", false, "/root");
  assert.equal(asked, 70_001, "the oldest is not");
});

test("processes: pids, self, and a set that changes while watching", () => {
  const processes = new Set<number | "self">([4242]);
  const filter = dropping(processes);
  assert(filter.ignoresProcess(4242) && !filter.ignoresProcess(4243));
  assert(!filter.ignoresProcess(process.pid));
  processes.add("self").add(4243).delete(4242);
  assert(filter.ignoresProcess(process.pid) && filter.ignoresProcess(4243));
  assert(!filter.ignoresProcess(4242));
  assert(!filter.ignoresProcess(0), "0 stands for who is hidden from us");
  processes.clear();
  assert(!filter.ignoresProcess(process.pid) && !filter.asksProcesses);
  processes.add(1);
  assert(filter.asksProcesses);
});

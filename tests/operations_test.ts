/** Each way to change a file does what its line in operations.ts says, on each filesystem, as root and as nobody. */

import assert from "node:assert/strict";
import { chownSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { isInstalled } from "../scripts/real_work/process.ts";
import { Filesystem, whyNot } from "./filesystem.ts";
import {
  ANY,
  FILESYSTEMS,
  isPossible,
  type Look,
  type Looks,
  makeBefore,
  NOW,
  type Operation,
  OPERATIONS,
  Operations,
  type OperationsFilesystem,
} from "./operations.ts";
import { AS_NOBODY, moduleFile, NOBODY, TemporaryDirectory } from "./runtime.ts";

/** What is there, with what may be anything, or is of the operation's time, as it is expected. */
function settled(actual: Look | null, expected: Look | null, start: number, owner: number) {
  if (actual === null || expected === null) return [actual, expected];
  const wanted: Record<string, unknown> = { ...expected };
  const type = actual.type;
  if (type === "fifo" || type === "symlink") {
    for (const name of ["flags", "project"]) delete wanted[name];
  }
  if (type !== "file") { for (const name of ["size", "content"]) delete wanted[name]; }
  for (const [name, value] of Object.entries(expected)) {
    const found = actual[name as keyof Look];
    if (name === "uid" || name === "gid") wanted[name] = value === ANY ? owner : value;
    else if (value === ANY || (value === NOW && (found as number) >= start)) wanted[name] = found;
    else if (type === "symlink" && name === "atime" && (value as number) >= start) {
      // To look at a link is to read it, which may be in the next second.
      wanted[name] = Math.max(value as number, found as number);
    }
  }
  return [actual, wanted];
}

function asUser(owner: number): readonly string[] {
  return owner === 0 ? [] : AS_NOBODY;
}

/** Does an operation, and compares what is there with what should be. */
function check(
  operations: Operations,
  operation: Operation,
  type: OperationsFilesystem,
  directory: string,
  owner: number,
  hasRings: boolean,
): void {
  const { name, needsRoot, first, after } = operation;
  const at = join(directory, name);
  mkdirSync(at);
  chownSync(at, owner, owner);
  const [path, other] = [join(at, "path"), join(at, "other")];
  makeBefore(path, operation.path, "path", owner);
  makeBefore(other, operation.other ?? "absent", "other", owner);
  if (first !== undefined && isPossible(operation, type)) {
    assert.equal(operations.run(first, [path]), "done");
  }
  const look = (): Looks => {
    const [one = null, two = null] = operations.look(path, other);
    return { path: one, other: two };
  };
  const before = look();
  // Whole seconds, of the last tick: in the first moment of a second that is the one before.
  const start = Math.floor(Date.now() / 1000) - 1;
  const paths = operation.other === undefined ? [path] : [path, other];
  const outcome = operations.run(name, paths, asUser(owner));
  const now = look();
  // What remains immutable cannot be removed.
  for (const flag of ["setflags-i", "setflags-a"]) {
    if (now.path?.flags?.match(/[ia]/)) operations.run(flag, [path]);
  }
  const refused = needsRoot && owner !== 0;
  const isThere = isPossible(operation, type) && (hasRings || !name.startsWith("io_uring-"));
  if (!isThere) assert.match(outcome, /^lacking /, name);
  else if (refused) assert.match(outcome, /^refused (?:EPERM|EACCES)$/, name);
  else assert.equal(outcome, "done", name);
  const expected = outcome === "done" ? after(before) : before;
  for (const which of ["path", "other"] as const) {
    const [actual, wanted] = settled(now[which], expected[which], start, owner);
    assert.deepEqual(actual, wanted, `${name}: ${which}`);
  }
}

const noCompiler = !isInstalled("cc") && "needs a C compiler";

for (const type of FILESYSTEMS) {
  for (const [who, owner] of [["root", 0], ["nobody", NOBODY]] as const) {
    test(`${type}: what each operation does, as ${who}`, {
      skip: noCompiler || whyNot(type) || (!isInstalled("setpriv") && "setpriv is not installed"),
      timeout: 60_000,
    }, () => {
      using programs = new TemporaryDirectory(owner);
      using filesystem = new Filesystem(type);
      const operations = new Operations(join(programs.path, "operations"));
      const failures: string[] = [];
      const hasRings = operations.hasRings(asUser(owner));
      for (const operation of OPERATIONS) {
        try {
          check(operations, operation, type, filesystem.path, owner, hasRings);
        } catch (error) {
          failures.push(String((error as Error).message));
        }
      }
      assert.equal(failures.join("\n"), "");
    });
  }
}

test("operations.c has no other operations than the table", () => {
  const source = readFileSync(moduleFile("tests/operations.c"), "utf8");
  const table = /WAYS\[\] = \{\n([^]*?)\n\};/.exec(source)?.[1] ?? "";
  const names = [...table.matchAll(/\{ "([^"]+)"/g)].map(([, name]) => name);
  assert.deepEqual(names.toSorted(), OPERATIONS.map(({ name }) => name).toSorted());
});

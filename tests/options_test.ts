/** Wrong arguments are told at once, in the caller's own stack. */

import assert from "node:assert/strict";
import test from "node:test";
import { watch, type WatchOptions } from "../mod.ts";
import { settle } from "../watch/options.ts";

/** Calls `watch` with what its types forbid. */
function wrong(paths: unknown, options?: unknown): () => void {
  return () => watch(paths as string, options as WatchOptions);
}

function refusal(type: new (...args: never[]) => Error, names: RegExp): (error: unknown) => true {
  return (error) => {
    assert(error instanceof type, `${error}`);
    assert.match(error.message, /^Cannot \S+ .+: .*[^.]$/s);
    assert.match(error.message, names);
    return true;
  };
}

const WRONG_OPTIONS: readonly (readonly [options: unknown, names: RegExp])[] = [
  [null, /null/],
  [5, /5/],
  ["recursive", /options/],
  [{ recusive: true }, /recusive/],
  [{ scope: "subtree" }, /scope "subtree"/],
  [{ scope: null }, /scope null/],
  [{ backend: "kqueue" }, /backend "kqueue"/],
  [{ backend: {} }, /backend/],
  [{ backend: { name: "x" } }, /backend/],
  [{ backend: { open() {} } }, /backend/],
  [{ backend: { name: 5, open() {} } }, /backend/],
  [{ backend: null }, /backend/],
  [{ queue: "infinite" }, /queue "infinite"/],
  [{ recover: "maybe" }, /recover "maybe"/],
  [{ missing: "ignore" }, /missing "ignore"/],
  [{ missing: "wait", scope: "mount" }, /missing "wait": scope is "mount"/],
  [{ missing: "wait", backend: { name: "x", open() {} } }, /missing "wait": the backend/],
  [{ followSymlinks: 1 }, /followSymlinks 1: it is true or false/],
  [{ followSymlinks: true, scope: "filesystem" }, /followSymlinks: scope is "filesystem"/],
  [{ followSymlinks: true, backend: { name: "x", open() {} } }, /followSymlinks: the backend/],
  [{ recursive: 1 }, /recursive 1/],
  [{ actor: "yes" }, /actor "yes"/],
  [{ metadata: 0 }, /metadata 0: it is true, false or \{ sweep, values \}/],
  [{ metadata: null }, /metadata null/],
  [{ metadata: { sweeps: 5 } }, /metadata.sweeps: no such option/],
  [{ metadata: true, backend: { name: "x", open() {} } }, /metadata: the backend/],
  [{ atomicSave: null }, /atomicSave null/],
  [{ writeFinish: {} }, /writeFinish/],
  [{ events: "create" }, /"create"/],
  [{ events: [] }, /\[\]/],
  [{ events: ["create", "creat"] }, /"creat"/],
  [{ events: ["modify.contents"] }, /"modify.contents"/],
  [{ events: ["user."] }, /"user."/],
  [{ events: [5] }, /5/],
  [{ events: new Set(["create"]) }, /events/],
  [{ ignore: "" }, /ignore/],
  [{ ignore: [""] }, /ignore/],
  [{ ignore: [5] }, /5/],
  [{ ignore: [null] }, /null/],
  [{ ignore: /x/g }, /\/x\/g.*flags/],
  [{ ignore: ["a", /x/y] }, /\/x\/y.*flags/],
  [{ ignore: /x/gi }, /\/x\/gi/],
  [{ ignore: "[a" }, /\[a/],
  [{ ignore: "{a,b" }, /\{a,b/],
  [{ ignore: "[z-a]" }, /\[z-a\]/],
  [{ ignoreProcesses: [-1] }, /-1/],
  [{ ignoreProcesses: [0] }, /0/],
  [{ ignoreProcesses: [1.5] }, /1.5/],
  [{ ignoreProcesses: [NaN] }, /NaN/],
  [{ ignoreProcesses: ["1"] }, /"1"/],
  [{ ignoreProcesses: new Set(["other"]) }, /"other"/],
  [{ ignoreProcesses: "self" }, /self/],
  [{ ignoreProcesses: 5 }, /5/],
  [{ ignoreFilesystems: "tmpfs" }, /"tmpfs"/],
  [{ ignoreFilesystems: [5] }, /5/],
  [{ signal: {} }, /signal/],
  [{ signal: new AbortController() }, /signal/],
];

for (const [options, names] of WRONG_OPTIONS) {
  const shown = options instanceof Object
    ? Object.entries(options).map(([name, value]) => `${name}: ${String(value)}`).join()
    : String(options);
  test(`TypeError at once for options ${shown}, ${names}`, () => {
    assert.throws(wrong("/tmp", options), refusal(TypeError, names));
  });
}

for (const value of [-1, 0.5, NaN, Infinity, 2 ** 31, "1s"]) {
  test(`RangeError at once for metadata.sweep and metadata.values ${value}`, () => {
    for (const name of ["sweep", "values"]) {
      const names = new RegExp(`metadata.${name} .*: it is an integer`);
      assert.throws(wrong("/tmp", { metadata: { [name]: value } }), refusal(RangeError, names));
    }
  });
}

test("metadata asks for what it is made of, and only where somebody wants it", () => {
  const on = settle({ metadata: { values: 5 }, events: ["modify.metadata.flags"] });
  assert.deepEqual(on.metadata, { sweep: 60_000, values: 5 });
  assert(on.filter.wants("access.close.nowrite") && on.filter.wants("create"));
  assert(!on.filter.tells("access.close.nowrite") && !on.filter.tells("create"));
  assert(!settle({}).filter.wants("access.close.nowrite"));
  const idle = settle({ metadata: true, events: ["create", "access.open"] });
  assert.equal(idle.metadata, undefined);
  assert(!idle.filter.wants("access.close.nowrite"));
});

const WRONG_PATHS: readonly (readonly [paths: unknown, names: RegExp])[] = [
  [[], /no path/],
  [new Set(), /no path/],
  ["", /""/],
  [["/tmp", ""], /""/],
  ["/tmp/\0", /NUL/],
  [["/tmp", "/a\0b"], /NUL/],
  [new URL("file:///tmp/%00"), /NUL|tmp/],
  [new URL("https://example.com/"), /https:\/\/example.com\//],
  [new URL("file://host/tmp"), /host/],
  [["/tmp", 5], /5/],
  [[null], /null/],
  [[["/tmp"]], /tmp/],
  [undefined, /undefined/],
  [null, /null/],
  [5, /5/],
  [{}, /./],
];

for (const [paths, names] of WRONG_PATHS) {
  const shown = paths instanceof Set ? "an empty Set" : JSON.stringify(paths);
  test(`TypeError at once for path ${shown}`, () => {
    assert.throws(wrong(paths), refusal(TypeError, names));
  });
}

test("the defaults", () => {
  const { filter, ignoreFilesystems, ...rest } = settle({});
  assert.deepEqual(rest, {
    recursive: true,
    scope: "tree",
    backend: "auto",
    actor: false,
    audit: false,
    missing: "error",
    followSymlinks: false,
    recover: "diff",
    queue: "kernel",
    saves: undefined,
    metadata: undefined,
    signal: undefined,
  });
  assert.deepEqual(filter.patterns, ["create", "modify", "rename", "remove"]);
  assert.equal(ignoreFilesystems.size, 0);
  assert.equal(filter.asksPaths, false);
  assert.equal(filter.asksProcesses, false);
});

test("undefined is the default, and false is fine", () => {
  const names = ["recursive", "scope", "backend", "events", "ignore", "ignoreProcesses", "signal"];
  names.push(
    "ignoreFilesystems",
    "actor",
    "metadata",
    "recover",
    "queue",
    "atomicSave",
    "writeFinish",
  );
  const options = Object.fromEntries(names.map((name) => [name, undefined])) as WatchOptions;
  assert.equal(settle(options).recursive, true);
  settle({ metadata: false, recover: "signal", atomicSave: false, writeFinish: false });
});

test("one of each kind of ignore need not stand in a list", () => {
  assert(settle({ ignore: "*.o" }).filter.ignores("/a/b.o", false, "/a"));
  assert(settle({ ignore: /b/ }).filter.ignores("/a/b", false, "/a"));
  assert(settle({ ignore: (path) => path === "/a/b" }).filter.ignores("/a/b", false, "/a"));
});

test("a list that is changed afterwards changes nothing, a Set of processes does", () => {
  const events = ["create"];
  const processes = new Set<number | "self">([1]);
  const { filter } = settle({ events, ignoreProcesses: processes });
  events[0] = "remove";
  assert(filter.wants("create") && !filter.wants("remove"));
  assert.deepEqual(filter.patterns, ["create"]);
  processes.add(2);
  assert(filter.ignoresProcess(2));
  const pids = [1];
  const fixed = settle({ ignoreProcesses: pids }).filter;
  pids.push(2);
  assert(!fixed.ignoresProcess(2));
});

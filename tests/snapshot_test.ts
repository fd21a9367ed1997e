/** Snapshots: what changed while nobody watched, and what is refused. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { changesSince, snapshot, type SnapshotOptions, SystemError } from "../mod.ts";
import { TemporaryDirectory } from "./runtime.ts";

/** A directory with a tree in it. */
class Tree implements Disposable {
  readonly #directory = new TemporaryDirectory();
  readonly at = (name: string): string => join(this.#directory.path, "tree", name);

  constructor() {
    mkdirSync(this.at("a/b"), { recursive: true });
    for (const name of ["a/f", "a/b/g", "gone", "mode"]) writeFileSync(this.at(name), name);
  }

  async told(since: Uint8Array, options: SnapshotOptions = {}): Promise<string[]> {
    const lines: string[] = [];
    for await (const { kind, from, path, synthetic, backend } of changesSince(since, options)) {
      assert.deepEqual([synthetic, backend], [true, "snapshot"]);
      const short = (path: string) => path.slice(this.at("x").length - 1);
      lines.push(`${kind} ${from === undefined ? "" : `${short(from)} -> `}${short(path)}`);
    }
    return lines;
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }
}

test("what changed since a snapshot", async () => {
  using tree = new Tree();
  const { at } = tree;
  const before = await snapshot(at(""));
  assert.deepEqual(await tree.told(before), []);
  renameSync(at("a/b"), at("moved"));
  truncateSync(at("moved/g"), 1);
  rmSync(at("gone"));
  chmodSync(at("mode"), 0o600);
  symlinkSync("nowhere", at("a/link"));
  mkdirSync(at("new/deep"), { recursive: true });
  const told = await tree.told(before);
  assert.deepEqual([...told].sort(), [
    "create.directory new",
    "create.directory new/deep",
    "create.symlink a/link",
    "modify.data moved/g",
    "modify.metadata mode",
    "remove.file gone",
    "rename a/b -> moved",
  ]);
  assert(told.indexOf("create.directory new") < told.indexOf("create.directory new/deep"));
  assert.deepEqual(await tree.told(before), told, "the snapshot is as it was");
  assert.deepEqual(await tree.told(await snapshot(at(""))), []);
});

test("names that are no UTF-8", async () => {
  using tree = new Tree();
  const { at } = tree;
  const before = await snapshot(at(""));
  // Neither runtime takes such a name as it is.
  execFileSync("sh", ["-c", `: > "$(printf 'f\\377')"`], { cwd: at("") });
  const events = await Array.fromAsync(changesSince(before));
  assert.equal(events.length, 1);
  assert.equal(events[0]!.path, at("f\uFFFD"));
  assert.deepEqual(events[0]!.pathBytes!.slice(-2), Uint8Array.of(0x66, 0xff));
});

test("what is ignored is in neither", async () => {
  using tree = new Tree();
  const { at } = tree;
  const ignore = ["b", "*.log"];
  const before = await snapshot(at(""), { ignore });
  for (const name of ["a/b/new", "a/x.log", "y"]) writeFileSync(at(name), "");
  assert.deepEqual(await tree.told(before, { ignore }), ["create.file y"]);
});

test("a snapshot that is damaged, of another version, or none", async () => {
  using tree = new Tree();
  const good = await snapshot(tree.at(""));
  const damaged = (change: (bytes: Uint8Array) => Uint8Array) =>
    Array.fromAsync(changesSince(change(good.slice())));
  for (let at = 0; at < good.length; at++) {
    await assert.rejects(
      damaged((bytes) => (bytes[at]! ^= 0x10, bytes)),
      /^TypeError: Cannot read the snapshot: /,
      `byte ${at}`,
    );
  }
  for (let length = 0; length < good.length; length += 7) {
    await assert.rejects(
      damaged((bytes) => bytes.subarray(0, length)),
      TypeError,
      `${length} bytes`,
    );
  }
  await assert.rejects(damaged((bytes) => (bytes[8] = 9, bytes)), /version 9/);
});

test("another directory, or none", async () => {
  using tree = new Tree();
  const before = await snapshot(tree.at(""));
  rmSync(tree.at(""), { recursive: true });
  await assert.rejects(Array.fromAsync(changesSince(before)), (error) => {
    assert(error instanceof SystemError);
    assert.equal(error.code, "ENOENT");
    return true;
  });
  mkdirSync(tree.at("../other"));
  mkdirSync(tree.at(""));
  await assert.rejects(
    Array.fromAsync(changesSince(before)),
    /^SystemError: Cannot compare .* with the snapshot: it is another directory now$/,
  );
  await assert.rejects(snapshot(tree.at("none")), /Cannot take a snapshot of .*ENOENT/);
  writeFileSync(tree.at("file"), "");
  await assert.rejects(snapshot(tree.at("file")), /ENOTDIR/);
});

test("an aborted one", async () => {
  using tree = new Tree();
  const signal = AbortSignal.abort();
  await assert.rejects(snapshot(tree.at(""), { signal }), { name: "AbortError" });
});

/** Polling: what changed between two looks, for root and for everybody. */

import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { watch, type Watcher, type WatchEvent, type WatchOptions } from "../mod.ts";
import { TemporaryDirectory, within } from "./runtime.ts";

/** A polled directory. */
class Polled implements AsyncDisposable {
  readonly #directory = new TemporaryDirectory();
  readonly watcher: Watcher;
  readonly #batches: AsyncIterator<readonly WatchEvent[]>;

  constructor(
    prepare: (at: (name: string) => string) => void,
    options: WatchOptions = {},
    path = "",
  ) {
    prepare(this.at);
    this.watcher = watch(this.at(path), { backend: "poll", ...options });
    this.#batches = this.watcher.batches()[Symbol.asyncIterator]();
  }

  readonly at = (name: string): string => join(this.#directory.path, name);

  /** What is told until as many events have come. */
  async told(count: number): Promise<string[]> {
    const lines: string[] = [];
    while (lines.length < count) {
      const { value } = await within(this.#batches.next(), `${count} events after ${lines}`);
      for (const { kind, from, path, synthetic, backend } of value as readonly WatchEvent[]) {
        assert.deepEqual([synthetic, backend], [true, "poll"]);
        const short = (path: string) => path.replace(`${this.#directory.path}/`, "");
        lines.push(`${kind} ${from === undefined ? "" : `${short(from)} -> `}${short(path)}`);
      }
    }
    return lines.sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.watcher.close();
    this.#directory[Symbol.dispose]();
  }
}

test("poll: names and contents", { timeout: 60_000 }, async () => {
  await using polled = new Polled((at) => {
    mkdirSync(at("d/e"), { recursive: true });
    writeFileSync(at("d/e/f"), "");
    for (const name of ["gone", "data", "mode"]) writeFileSync(at(name), "");
  });
  const { at } = polled;
  await polled.watcher.ready;
  assert.deepEqual(
    polled.watcher.coverage().map(({ backend, by, watches, gaps }) => [
      backend,
      by,
      watches,
      gaps,
    ]),
    [["poll", "poll", 0, []]],
  );
  rmSync(at("gone"));
  appendFileSync(at("data"), "x");
  chmodSync(at("mode"), 0o600);
  renameSync(at("d/e"), at("moved"));
  mkdirSync(at("new/deep"), { recursive: true });
  symlinkSync("nowhere", at("new/deep/link"));
  assert.deepEqual(await polled.told(7), [
    "create.directory new",
    "create.directory new/deep",
    "create.symlink new/deep/link",
    "modify.data data",
    "modify.metadata mode",
    "remove.file gone",
    "rename d/e -> moved",
  ]);
  writeFileSync(at("moved/f"), "more");
  assert.deepEqual(await polled.told(1), ["modify.data moved/f"]);
  rmSync(at("new"), { recursive: true });
  assert.deepEqual(await polled.told(3), [
    "remove.directory new",
    "remove.directory new/deep",
    "remove.symlink new/deep/link",
  ]);
});

test("poll: a single file, and what is ignored", { timeout: 60_000 }, async () => {
  await using single = new Polled(
    (at) => {
      writeFileSync(at("f"), "");
      writeFileSync(at("other"), "");
    },
    {},
    "f",
  );
  await using some = new Polled(() => {}, { ignore: "*.log", events: ["create"] });
  await Promise.all([single.watcher.ready, some.watcher.ready]);
  writeFileSync(single.at("other"), "x");
  rmSync(single.at("f"));
  assert.deepEqual(await single.told(1), ["remove.file f"]);
  writeFileSync(single.at("f"), "x");
  assert.deepEqual(await single.told(1), ["create.file f"]);
  writeFileSync(some.at("a.log"), "");
  writeFileSync(some.at("b"), "");
  assert.deepEqual(await some.told(1), ["create.file b"]);
});

test("poll: a target that is removed ends it", { timeout: 60_000 }, async () => {
  await using polled = new Polled(
    (at) => {
      mkdirSync(at("root/d"), { recursive: true });
    },
    {},
    "root",
  );
  await polled.watcher.ready;
  rmSync(polled.at("root"), { recursive: true });
  assert.deepEqual(await polled.told(2), ["remove.directory root", "remove.directory root/d"]);
  assert.equal(polled.watcher.coverage()[0]!.gaps[0]!.reason, "it was removed");
});

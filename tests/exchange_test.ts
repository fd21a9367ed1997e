/** Exchanges of two names, as several watchers see them, and those who wait for saves to be complete. */

import assert from "node:assert/strict";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import type { WatchEvent, WatchOptions } from "../mod.ts";
import { exchange } from "./exchange.ts";
import { Ground, Seen } from "./ground.ts";
import { isRoot } from "./runtime.ts";

const NAMES: WatchOptions = { events: ["create", "rename", "remove"] };

/** An event with what an exchange adds to it. */
function show(root: string, { kind, path, from, synthetic, attributes }: WatchEvent): string {
  const below = (path: string) => path.slice(root.length + 1);
  const left = from === undefined ? "" : `${below(from)} -> `;
  const { exchange, exchangedWith } = attributes;
  const other = exchangedWith === undefined ? "" : ` ${below(exchangedWith)}`;
  return `${synthetic ? "+" : ""}${kind} ${left}${below(path)}${exchange ? ` <->${other}` : ""}`;
}

/** The events of a watcher before that of `path`. */
async function before(seen: Seen, root: string, path: string): Promise<string[]> {
  const told: string[] = [];
  for (;;) {
    const event = await seen.next(`${path} after ${told}`);
    if (event.path === join(root, path)) return told;
    told.push(show(root, event));
  }
}

for (const backend of ["inotify", "fanotify"] as const) {
  const options: WatchOptions = { ...NAMES, backend };
  const settings = { skip: backend === "fanotify" && !isRoot && "needs root", timeout: 60_000 };

  test(`${backend}: each watcher sees what is its own of an exchange`, settings, async () => {
    using ground = new Ground();
    const root = ground.path;
    const at = (path: string) => join(root, path);
    for (const name of ["x", "y"]) mkdirSync(at(name));
    mkdirSync(at("y/d"));
    for (const name of ["x/f", "y/g", "y/d/h"]) writeFileSync(at(name), "");
    await using all = new Seen(root, root, options);
    await using one = new Seen(root, at("x"), options);
    await using other = new Seen(root, at("y"), options);
    await using file = new Seen(root, at("x/f"), options);
    for (const { watcher } of [all, one, other, file]) await watcher.ready;
    exchange(at("x/f"), at("y/g"));
    exchange(at("y/d"), at("x/f"));
    for (const name of ["x/end", "y/end"]) writeFileSync(at(name), "");
    assert.deepEqual(await before(all, root, "x/end"), [
      "rename x/f -> y/g <->",
      "rename.in x/f <-> y/g",
      "rename y/d -> x/f <->",
      "rename.in y/d <-> x/f",
    ]);
    assert.deepEqual(await before(one, root, "x/end"), [
      "rename.out x/f",
      "rename.in x/f",
      "rename.out x/f",
      "rename.in x/f",
      "+create.file x/f/h",
    ]);
    assert.deepEqual(await before(other, root, "y/end"), [
      "rename.out y/g",
      "rename.in y/g",
      "rename.out y/d",
      "rename.in y/d",
    ]);
    rmSync(at("x/f"), { recursive: true });
    const told: string[] = [];
    while (told.at(-1) !== "remove.directory x/f") told.push(show(root, await file.next()));
    assert.deepEqual(told, [
      "rename.out x/f",
      "rename.in x/f",
      "rename.out x/f",
      "rename.in x/f",
      "remove.directory x/f",
    ]);
  });

  test(`${backend}: exchanged with what nobody watches, and again at once`, settings, async () => {
    using ground = new Ground();
    const root = join(ground.path, "in");
    const at = (path: string) => join(root, path);
    const outside = join(ground.path, "out");
    mkdirSync(root);
    for (const name of [at("a"), at("b"), outside]) writeFileSync(name, "");
    await using all = new Seen(root, root, options);
    await all.watcher.ready;
    // inotify's queue has one record of the two that say that something left `a`.
    exchange(outside, at("a"));
    exchange(at("a"), at("b"));
    writeFileSync(at("end"), "");
    assert.deepEqual(await before(all, root, "end"), [
      "rename.out a",
      "rename.in a",
      "rename a -> b <->",
      "rename.in a <-> b",
    ]);
  });

  test(`${backend}: a watched directory exchanged is moved away`, settings, async () => {
    using ground = new Ground();
    const root = ground.path;
    const at = (path: string) => join(root, path);
    for (const name of ["x/sub", "y"]) mkdirSync(at(name), { recursive: true });
    await using all = new Seen(root, root, options);
    await using one = new Seen(root, at("x"), options);
    for (const { watcher } of [all, one]) await watcher.ready;
    exchange(at("y"), at("x"));
    assert.equal(show(root, await one.next()), "rename.out x");
    assert.match(one.watcher.coverage()[0]!.gaps[0]!.reason, /moved away/);
    mkdirSync(at("y/sub/new"));
    writeFileSync(at("end"), "");
    assert.deepEqual(
      await before(all, root, "end"),
      [
        "rename y -> x <->",
        "rename.in y <-> x",
        "+create.directory y/sub",
        "create.directory y/sub/new",
      ],
    );
  });

  for (const wait of [{ atomicSave: true }, { writeFinish: true }]) {
    test(`${backend}: an exchange is no save, ${Object.keys(wait)}`, settings, async () => {
      using ground = new Ground();
      const root = ground.path;
      const at = (path: string) => join(root, path);
      writeFileSync(at("a"), "old");
      await using seen = new Seen(root, root, { ...options, ...wait });
      await seen.watcher.ready;
      writeFileSync(at("t"), "new");
      exchange(at("t"), at("a"));
      rmSync(at("t"));
      // Two renames to and fro are no exchange, and the name between stays free.
      renameSync(at("a"), at("b"));
      renameSync(at("b"), at("a"));
      mkdirSync(at("end"));
      assert.deepEqual(await before(seen, root, "end"), [
        "create t",
        "rename t -> a <->",
        "rename.in t <-> a",
        "remove t",
        "rename a -> b",
        "rename b -> a",
      ]);
    });
  }
}

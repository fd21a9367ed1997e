/** `watcher.inject()`: what the program itself has to say, among what the kernel says. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { type EventInit, merge, watch, type WatchEvent, type WatchOptions } from "../mod.ts";
import { CAPACITY } from "../watch/queue.ts";
import { Audited, whyUnaudited } from "./audited.ts";
import { Ground } from "./ground.ts";
import { TemporaryDirectory, touch, within } from "./runtime.ts";

/** The next one. */
async function next(iterator: AsyncIterator<WatchEvent>, what = "an event"): Promise<WatchEvent> {
  const { done, value } = await within(iterator.next(), what);
  assert(!done, `it ended before ${what}`);
  return value;
}

const WAYS: readonly (WatchOptions & { readonly backend: "inotify" | "fanotify" | "poll" })[] = [
  { backend: "inotify" },
  { backend: "fanotify" },
  { backend: "poll" },
  { backend: "inotify", metadata: true },
  { backend: "inotify", followSymlinks: true },
];

for (const way of WAYS) {
  test(`behind what was read, before what happens then: ${JSON.stringify(way)}`, async () => {
    using ground = new Ground();
    await using watcher = watch(ground.path, way);
    await within(watcher.ready, "ready");
    const events = watcher[Symbol.asyncIterator]();
    const rounds = way.backend === "poll" ? 1 : 5; // two looks each
    for (let i = 0; i < rounds; i++) {
      touch(join(ground.path, `a${i}`));
      while (!(await next(events)).path.endsWith(`/a${i}`));
      watcher.inject({ kind: "user.mark", path: `/mark${i}` });
      watcher.inject({ kind: "user.mark", path: `/mark${i}` });
      touch(join(ground.path, `b${i}`));
      for (let n = 0; n < 2;) {
        const { kind, path } = await next(events, `mark ${i}`);
        assert(!path.endsWith(`/b${i}`), "it is told before what came later");
        if (kind === "user.mark") n++;
      }
      while (!(await next(events, "what came later")).path.endsWith(`/b${i}`));
    }
  });
}

test(
  "with actor audit, which events wait for",
  { skip: whyUnaudited, timeout: 60_000 },
  async () => {
    await using audited = await Audited.open();
    {
      await using watcher = watch(audited.path, { actor: "audit", backend: "inotify" });
      await within(watcher.ready, "ready");
      const events = watcher[Symbol.asyncIterator]();
      watcher.inject({ kind: "user.first", path: "/" });
      assert.equal((await next(events)).kind, "user.first");
      touch(join(audited.path, "file"));
      assert.equal((await next(events, "the file")).kind, "create.file");
      watcher.inject({ kind: "user.last", path: "/" });
      assert.equal((await next(events)).kind, "user.last");
    }
    await audited.isAsBefore();
  },
);

test("what is held back may be told after it", async () => {
  using ground = new Ground();
  await using watcher = watch(ground.path, { backend: "inotify", writeFinish: true });
  await within(watcher.ready, "ready");
  const events = watcher[Symbol.asyncIterator]();
  const path = join(ground.path, "file");
  appendFileSync(path, "text");
  watcher.inject({ kind: "user.now", path: "/" });
  assert.equal((await next(events)).kind, "user.now");
  assert.equal((await next(events, "the file")).path, path);
});

test("before ready, whatever is ignored, in batches, and until the end", async () => {
  using at = new TemporaryDirectory();
  const watcher = watch(at.path, { ignore: "*", events: ["remove"], ignoreProcesses: ["self"] });
  watcher.inject({ kind: "user.early", path: join(at.path, "ignored") });
  watcher.inject({ kind: "modify.data", path: "/somewhere/else" });
  await within(watcher.ready, "ready");
  const told: string[] = [];
  for await (const batch of watcher.batches()) {
    told.push(...batch.map(({ kind }) => kind));
    if (told.length === 2) watcher.inject({ kind: "user.last", path: "/" });
    if (told.length === 3) {
      void watcher.close(); // and not break: what was queued before is told
      watcher.inject({ kind: "user.late", path: "/" });
    }
  }
  assert.deepEqual(told, ["user.early", "modify.data", "user.last"]);
  watcher.inject({ kind: "user.later", path: "/" });
  assert.equal(watcher.stats().events, 3);
});

test("all that was said of it, and the rest filled in; JSON without raw", async () => {
  using at = new TemporaryDirectory();
  await using watcher = watch(at.path);
  const events = watcher[Symbol.asyncIterator]();
  const before = Date.now();
  watcher.inject({ kind: "user.plain", path: "/plain" });
  const plain = await next(events);
  assert(plain.time >= before && plain.time <= Date.now());
  assert.deepEqual(
    [plain.backend, plain.attributes, plain.raw, plain.actor],
    ["user", {}, undefined, undefined],
  );
  const actor = { pid: 4711, self: false, confidence: "ambiguous" } as const;
  const init: EventInit = {
    kind: "rename",
    path: "/to\u{fffd}",
    pathBytes: Uint8Array.of(47, 116, 111, 255),
    from: "/from",
    isDirectory: true,
    time: 5,
    backend: "mine",
    synthetic: true,
    actor,
    attributes: { n: 1 },
    raw: { any: "thing" },
  };
  watcher.inject(init);
  const full = await next(events);
  for (const [name, value] of Object.entries(init)) {
    assert.deepEqual(full[name as keyof WatchEvent], value, name);
  }
  const { raw: _, pathBytes, ...rest } = init;
  assert.deepEqual(JSON.parse(JSON.stringify(full)), {
    ...rest,
    pathBytes: Buffer.from(pathBytes!).toString("base64"),
  });
  // An event of somewhere else is one, too.
  watcher.inject(full);
  const again = await next(events);
  assert.notEqual(again, full);
  assert.deepEqual(JSON.stringify(again), JSON.stringify(full));
  assert.deepEqual(again.raw, init.raw);
});

test("what is none is refused, and nothing of it is told", async () => {
  using at = new TemporaryDirectory();
  await using watcher = watch(at.path);
  const path = "/";
  const wrong: readonly unknown[] = [
    { kind: "nonsense", path },
    { kind: "user", path },
    { kind: "user.", path },
    { kind: "user..x", path },
    { kind: "modify", path },
    { kind: 1, path },
    { path },
    { kind: "user.x" },
    { kind: "user.x", path: 5 },
    { kind: "user.x", path: new URL("file:///") },
    undefined,
    null,
  ];
  for (const event of wrong) {
    assert.throws(() => watcher.inject(event as EventInit), TypeError, JSON.stringify(event));
  }
  assert.throws(() => watcher.inject({ kind: "user.x" } as unknown as EventInit), {
    message: "Cannot inject user.x at undefined: no path",
  });
  assert.equal(watcher.stats().events, 0);
});

test("into a full queue: lost, and counted", async () => {
  using at = new TemporaryDirectory();
  const watcher = watch(at.path);
  await within(watcher.ready, "ready");
  for (let i = 0; i < CAPACITY + 3; i++) watcher.inject({ kind: "user.n", path: `/${i}` });
  assert.equal(watcher.stats().dropped, 3);
  const events = watcher[Symbol.asyncIterator]();
  for (let i = 0; i < CAPACITY; i++) assert.equal((await next(events)).path, `/${i}`);
  const { kind, attributes } = await next(events, "the loss");
  assert.deepEqual([kind, attributes.count], ["lost", 3]);
  watcher.inject({ kind: "user.n", path: "/again" });
  assert.equal((await next(events)).path, "/again");
  await watcher.close();

  await using unlimited = watch(at.path, { queue: "unlimited" });
  for (let i = 0; i < CAPACITY + 3; i++) unlimited.inject({ kind: "user.n", path: `/${i}` });
  const { dropped, events: queued } = unlimited.stats();
  assert.deepEqual([dropped, queued], [0, CAPACITY + 3]);
});

test("through a merge: with the watcher's tag, as its filter says", async () => {
  using at = new TemporaryDirectory();
  const [files, other] = [watch(at.path), watch(at.path)];
  await using merged = merge({ files, other }, { events: { files: ["user.yes"] } });
  await within(merged.ready, "ready");
  const events = merged[Symbol.asyncIterator]();
  files.inject({ kind: "user.no", path: "/" });
  files.inject({ kind: "user.yes", path: "/" });
  const first = await within(events.next(), "the first");
  assert.deepEqual([first.value.tag, first.value.event.kind], ["files", "user.yes"]);
  other.inject({ kind: "user.no", path: "/" });
  const second = await within(events.next(), "the second");
  assert.deepEqual([second.value.tag, second.value.event.kind], ["other", "user.no"]);
  await merged.close();
  files.inject({ kind: "user.yes", path: "/" });
  assert.deepEqual(await within(events.next(), "the end"), { done: true, value: undefined });
});

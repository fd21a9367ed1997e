/** A backend of one's own, and what the watcher owes to it and to the consumer. */

import assert from "node:assert/strict";
import { realpathSync } from "node:fs";
import test from "node:test";
import {
  type Backend,
  type BackendRequest,
  type BackendSink,
  type EventInit,
  watch,
  type Watcher,
  type WatchEvent,
  type WatchOptions,
} from "../mod.ts";
import { CAPACITY } from "../watch/queue.ts";
import { aWhile, moduleFile, runScript, within } from "./runtime.ts";

/** A backend that does what the test says, and notes what it is asked. */
class Script implements Backend {
  readonly name = "script";
  readonly requests: BackendRequest[] = [];
  readonly sinks: BackendSink[] = [];
  readonly closed: string[] = [];
  resumed = 0;
  /** What opening waits for. */
  opening: Promise<void> = Promise.resolve();
  closing: (path: string) => void | Promise<void> = () => {};

  async open(request: BackendRequest, sink: BackendSink) {
    this.requests.push(request);
    this.sinks.push(sink);
    await this.opening;
    return {
      coverage: () => ({ by: "script", watches: 2, gaps: [] }),
      resume: () => void this.resumed++,
      close: () => {
        this.closed.push(request.path);
        return this.closing(request.path);
      },
    };
  }

  deliver(...events: EventInit[]): void {
    this.sinks[0]!.deliver(events);
  }
}

interface Opened {
  readonly script: Script;
  readonly watcher: Watcher;
  [Symbol.asyncDispose](): Promise<void>;
}

/** An armed watcher of `/a` on a script. */
async function opened(options: WatchOptions = {}): Promise<Opened> {
  const script = new Script();
  const watcher = watch("/a", { backend: script, ...options });
  await within(watcher.ready, "ready");
  return { script, watcher, [Symbol.asyncDispose]: () => watcher.close() };
}

/** The next `count` events. */
async function next(iterator: AsyncIterator<WatchEvent>, count: number): Promise<WatchEvent[]> {
  const events: WatchEvent[] = [];
  while (events.length < count) {
    const { done, value } = await within(iterator.next(), `event ${events.length + 1} of ${count}`);
    assert(!done, `the stream ended after ${events.length} events`);
    events.push(value);
  }
  return events;
}

const event = (kind: EventInit["kind"], path = "/a/x"): EventInit => ({ kind, path });

test("what is asked of a backend", async () => {
  await using one = await opened({
    recursive: false,
    scope: "mount",
    actor: true,
    queue: "unlimited",
    events: ["create", "user.tick"],
    ignore: ["*.o", "b/c"],
  });
  const [request, ...more] = one.script.requests;
  assert.deepEqual(more, []);
  const { wants, ignores, ...plain } = request!;
  assert.deepEqual(plain, {
    path: "/a",
    recursive: false,
    scope: "mount",
    actor: true,
    queue: "unlimited",
  });
  assert(wants("create.file") && wants("user.tick") && wants("lost") && !wants("remove"));
  assert(ignores("/a/x.o", false) && ignores("/a/b/c", true) && !ignores("/a/c", false));
});

test("a path is made absolute; a final slash goes", async () => {
  const script = new Script();
  await using watcher = watch(["/a/b/../c/", new URL("file:///a/%20d"), "e"], { backend: script });
  await within(watcher.ready, "ready");
  assert.deepEqual(script.requests.map(({ path }) => path), [
    "/a/c",
    "/a/ d",
    `${realpathSync(".")}/e`,
  ]);
});

test("events of the standard and of its own kinds, completed and in order", async () => {
  await using one = await opened({ events: ["create", "remove.file", "user"] });
  const before = Date.now();
  one.script.deliver(
    event("create.file"),
    event("modify.data"),
    event("remove"),
    event("remove.directory"),
    { ...event("user.tick"), attributes: { n: 1 }, raw: { any: "thing" }, isDirectory: true },
  );
  one.script.deliver(event("modify.data"));
  one.script.deliver();
  one.script.deliver({ ...event("user.other"), time: 5, backend: "else", synthetic: true });
  const events = await next(one.watcher[Symbol.asyncIterator](), 4);
  assert.deepEqual(events.map(({ kind }) => kind), [
    "create.file",
    "remove",
    "user.tick",
    "user.other",
  ]);
  const [created, , tick, other] = events;
  assert.equal(created!.backend, "script");
  assert.equal(created!.path, "/a/x");
  assert.deepEqual(created!.attributes, {});
  assert(created!.time >= before && created!.time <= Date.now());
  assert.deepEqual([tick!.attributes, tick!.raw, tick!.isDirectory], [
    { n: 1 },
    { any: "thing" },
    true,
  ]);
  assert.deepEqual([other!.time, other!.backend, other!.synthetic], [5, "else", true]);
  const json = JSON.parse(JSON.stringify(tick));
  assert.equal(json.kind, "user.tick");
  assert(!("raw" in json));
});

test("bytes of a path are base64 in JSON", async () => {
  await using one = await opened();
  one.script.deliver({
    ...event("create"),
    path: "/a/\uFFFD",
    pathBytes: Uint8Array.of(47, 97, 47, 255),
  });
  const [got] = await next(one.watcher[Symbol.asyncIterator](), 1);
  assert.deepEqual(got!.pathBytes, Uint8Array.of(47, 97, 47, 255));
  assert.equal(JSON.parse(JSON.stringify(got)).pathBytes, "L2Ev/w==");
});

test("batches are what was delivered in one call", async () => {
  await using one = await opened();
  one.script.deliver(event("create"), event("remove"));
  one.script.deliver(event("create"));
  const batches = one.watcher.batches();
  for (const size of [2, 1]) {
    const { value } = await within(batches.next(), "a batch");
    assert.equal(value?.length, size);
  }
});

test("two iterators are a TypeError, in any mix", async () => {
  for (const [first, second] of [[0, 0], [0, 1], [1, 0], [1, 1]] as const) {
    await using one = await opened();
    const ways = [() => one.watcher[Symbol.asyncIterator](), () => one.watcher.batches()];
    ways[first]!();
    assert.throws(ways[second]!, (error) => {
      assert(error instanceof TypeError);
      assert.match(error.message, /^Cannot iterate /);
      return true;
    });
  }
});

test("calls of next() that overlap are all answered, in order", async () => {
  await using one = await opened();
  const iterator = one.watcher[Symbol.asyncIterator]();
  const results = [1, 2, 3, 4, 5].map(() => iterator.next());
  one.script.deliver(event("create", "/a/1"), event("create", "/a/2"), event("create", "/a/3"));
  one.script.deliver(event("create", "/a/4"));
  const four = await within(Promise.all(results.slice(0, 4)), "four events");
  assert.deepEqual(four.map(({ value }) => value?.path), ["/a/1", "/a/2", "/a/3", "/a/4"]);
  await one.watcher.close();
  assert.deepEqual(await within(results[4]!, "the end"), { done: true, value: undefined });
});

test("open fails: ready and the iterator tell the same", async () => {
  const error = new Error("no such thing");
  for (
    const open of [() => Promise.reject(error), () => {
      throw error;
    }]
  ) {
    const watcher = watch("/a", { backend: { name: "broken", open } });
    await assert.rejects(within(watcher.ready, "ready"), error);
    await assert.rejects(within(watcher[Symbol.asyncIterator]().next(), "the iterator"), error);
    await watcher.close();
    assert.deepEqual(watcher.coverage(), []);
  }
});

test("open fails for the second path: the first is given back", async () => {
  const script = new Script();
  const open = script.open.bind(script);
  script.open = (request, sink) => {
    if (request.path === "/b") throw new Error("not /b");
    return open(request, sink);
  };
  const watcher = watch(["/a", "/b", "/c"], { backend: script });
  await assert.rejects(within(watcher.ready, "ready"), /not \/b/);
  assert.deepEqual(script.closed, ["/a"]);
  assert.deepEqual(script.requests.map(({ path }) => path), ["/a"], "no path after it is opened");
});

test("fail: after what was delivered, once; everything is given back", async () => {
  await using one = await opened();
  const error = new Error("the source is gone");
  one.script.deliver(event("create"));
  one.script.sinks[0]!.fail(error);
  one.script.sinks[0]!.fail(new Error("again"));
  one.script.deliver(event("remove"));
  const iterator = one.watcher[Symbol.asyncIterator]();
  assert.equal((await next(iterator, 1))[0]!.kind, "create");
  await assert.rejects(within(iterator.next(), "the error"), error);
  assert.deepEqual(await iterator.next(), { done: true, value: undefined });
  await within(one.watcher.close(), "close");
  assert.deepEqual(one.script.closed, ["/a"]);
});

test("lost is delivered whatever was asked for, and counted", async () => {
  await using one = await opened({ events: ["user.x"] });
  one.script.sinks[0]!.lost("/a/b", "the wire broke", 7);
  one.script.sinks[0]!.lost("/a", "again");
  const [counted, uncounted] = await next(one.watcher[Symbol.asyncIterator](), 2);
  assert.deepEqual([counted!.kind, counted!.path, counted!.backend], ["lost", "/a/b", "script"]);
  assert.deepEqual(counted!.attributes, { reason: "the wire broke", count: 7 });
  assert.deepEqual(uncounted!.attributes, { reason: "again" });
  assert.equal(one.watcher.stats().losses, 2);
});

test("full, until the consumer has made room", async () => {
  await using one = await opened();
  const [sink] = one.script.sinks;
  assert.equal(sink!.full, false);
  const half = Array.from({ length: CAPACITY / 2 }, () => event("create"));
  sink!.deliver(half);
  assert.equal(sink!.full, false);
  sink!.deliver(half);
  assert.equal(sink!.full, true);
  sink!.deliver([event("create"), event("remove")]); // who delivers all the same is told what it costs
  assert.equal(one.script.resumed, 0);
  const batches = one.watcher.batches();
  await within(batches.next(), "the first half");
  assert.equal(one.script.resumed, 1);
  assert.equal(sink!.full, false);
  sink!.deliver([event("remove")]);
  await within(batches.next(), "the second half");
  const { value: lost } = await within(batches.next(), "the loss");
  assert.deepEqual([lost?.[0]?.kind, lost?.[0]?.attributes.count], ["lost", 2]);
  const { value: after } = await within(batches.next(), "what followed");
  assert.equal(after?.[0]?.kind, "remove");
  assert.equal(one.script.resumed, 1);
  const { dropped, losses, queueHighWater } = one.watcher.stats();
  assert.deepEqual([dropped, losses, queueHighWater], [2, 1, CAPACITY + 1]);
});

test("unlimited: never full, nothing dropped", async () => {
  await using one = await opened({ queue: "unlimited" });
  const [sink] = one.script.sinks;
  const many = Array.from({ length: CAPACITY }, () => event("create"));
  sink!.deliver(many);
  assert.equal(sink!.full, false);
  sink!.deliver(many);
  assert.equal(one.watcher.stats().events, 2 * CAPACITY);
  assert.equal(one.watcher.stats().dropped, 0);
});

test("inject: in order with the others, whatever was asked for", async () => {
  await using one = await opened({ events: ["create"] });
  one.script.deliver(event("create"));
  one.watcher.inject({ kind: "user.hello", path: "/anywhere", attributes: { n: 1 } });
  one.script.deliver(event("create"));
  const events = await next(one.watcher[Symbol.asyncIterator](), 3);
  assert.deepEqual(events.map(({ kind }) => kind), ["create", "user.hello", "create"]);
  const { backend, path, attributes } = events[1]!;
  assert.deepEqual([backend, path, attributes], ["user", "/anywhere", { n: 1 }]);
  for (const kind of ["nonsense", "user", "user.", "modify", ""]) {
    assert.throws(() => one.watcher.inject({ kind, path: "/" } as EventInit), TypeError, kind);
  }
  await one.watcher.close();
  one.watcher.inject({ kind: "user.late", path: "/" });
  assert.equal(one.watcher.stats().events, 3);
});

test("add and remove", async () => {
  await using one = await opened();
  const { script, watcher } = one;
  await within(watcher.add("/b"), "add");
  assert.deepEqual(watcher.coverage().map(({ path }) => path), ["/a", "/b"]);
  assert.equal(watcher.stats().watches, 4);
  script.sinks[1]!.deliver([event("create", "/b/x")]);
  await within(watcher.remove("/b"), "remove");
  assert.deepEqual(script.closed, ["/b"]);
  const [got] = await next(watcher[Symbol.asyncIterator](), 1);
  assert.equal(got!.path, "/b/x", "what was delivered before still comes");
  await assert.rejects(watcher.remove("/b"), TypeError);
  await assert.rejects(watcher.remove("/never"), /^TypeError: Cannot remove \/never: /);
  for (const path of ["", "/\0", new URL("https://example.com")]) {
    await assert.rejects(watcher.add(path), TypeError);
  }
  script.open = () => Promise.reject(new Error("not now"));
  await assert.rejects(watcher.add("/c"), /not now/);
  assert.deepEqual(watcher.coverage().map(({ path }) => path), ["/a"], "it goes on without");
  await watcher.close();
  await assert.rejects(watcher.add("/d"), /^TypeError: Cannot add \/d: /);
});

test("coverage and stats", async () => {
  await using one = await opened();
  assert.deepEqual(one.watcher.coverage(), [{
    path: "/a",
    backend: "script",
    mount: { point: "/a", type: "unknown" },
    by: "script",
    watches: 2,
    gaps: [],
  }]);
  one.script.deliver(event("create"), event("access.open"));
  assert.deepEqual(one.watcher.stats(), {
    events: 1,
    bytesRead: 0,
    losses: 0,
    names: 0,
    dropped: 0,
    queueHighWater: 1,
    watches: 2,
  });
});

test("close: one promise, one close a session, an end for who waits", async () => {
  const script = new Script();
  const watcher = watch(["/a", "/b"], { backend: script });
  await within(watcher.ready, "ready");
  const waiting = watcher[Symbol.asyncIterator]().next();
  const closing = watcher.close();
  assert.equal(watcher.close(), closing);
  assert.equal(watcher[Symbol.asyncDispose](), closing);
  await within(closing, "close");
  assert.deepEqual(await within(waiting, "the end"), { done: true, value: undefined });
  assert.deepEqual(script.closed, ["/a", "/b"]);
  script.deliver(event("create"));
  assert.equal(watcher.stats().events, 0);
  assert.deepEqual(watcher.coverage(), []);
});

test("what was delivered before close still comes, what comes by break does not matter", async () => {
  const one = await opened();
  one.script.deliver(event("create", "/a/1"));
  one.script.deliver(event("create", "/a/2"));
  await one.watcher.close();
  const paths: string[] = [];
  for await (const { path } of one.watcher) paths.push(path);
  assert.deepEqual(paths, ["/a/1", "/a/2"]);
});

test("break, return and an exception in the loop give everything back", async () => {
  const ends: readonly ((watcher: Watcher) => Promise<void>)[] = [
    async (watcher) => {
      for await (const _ of watcher) break;
    },
    async (watcher) => {
      for await (const _ of watcher) return;
    },
    async (watcher) => {
      for await (const _ of watcher) throw new Error("mine");
    },
    async (watcher) => {
      for await (const _ of watcher.batches()) break;
    },
  ];
  for (const [i, end] of ends.entries()) {
    const one = await opened();
    one.script.deliver(event("create"), event("create"));
    const ended = within(end(one.watcher), "the loop");
    if (i === 2) await assert.rejects(ended, /mine/);
    else await ended;
    assert.deepEqual(one.script.closed, ["/a"]);
  }
});

test("throw() on the iterator ends the watch and throws", async () => {
  const one = await opened();
  const iterator = one.watcher[Symbol.asyncIterator]();
  await assert.rejects(within(iterator.throw!(new Error("mine")), "throw"), /mine/);
  assert.deepEqual(one.script.closed, ["/a"]);
  assert.deepEqual(await iterator.next(), { done: true, value: undefined });
});

test("close before it is armed: ready is an AbortError, and nothing stays open", async () => {
  const script = new Script();
  const gate = Promise.withResolvers<void>();
  script.opening = gate.promise;
  const watcher = watch(["/a", "/b"], { backend: script });
  const rejected = assert.rejects(within(watcher.ready, "ready"), { name: "AbortError" });
  while (script.requests.length === 0) await aWhile();
  let isClosed = false;
  const closing = watcher.close().then(() => isClosed = true);
  await new Promise(setImmediate);
  assert.equal(isClosed, false, "it waits for what is being opened");
  gate.resolve();
  await within(closing, "close");
  assert.deepEqual(
    script.closed,
    ["/a"],
    "what was opened meanwhile is closed when close() resolves",
  );
  await rejected;
  assert.deepEqual(script.requests.map(({ path }) => path), ["/a"]);
});

test("close before anything is opened", async () => {
  const script = new Script();
  const watcher = watch("/a", { backend: script });
  await within(watcher.close(), "close");
  await assert.rejects(within(watcher.ready, "ready"), { name: "AbortError" });
  assert.deepEqual(script.requests, []);
  for await (const _ of watcher) assert.fail("no event");
});

test("a signal that is aborted already, and one that aborts", async () => {
  const script = new Script();
  const early = watch("/a", { backend: script, signal: AbortSignal.abort() });
  await assert.rejects(within(early.ready, "ready"), { name: "AbortError" });
  for await (const _ of early) assert.fail("no event");
  assert.deepEqual(script.requests, []);

  const controller = new AbortController();
  const one = await opened({ signal: controller.signal });
  const waiting = one.watcher[Symbol.asyncIterator]().next();
  controller.abort();
  assert.deepEqual(await within(waiting, "the end"), { done: true, value: undefined });
  await within(one.watcher.close(), "close");
  assert.deepEqual(one.script.closed, ["/a"]);
});

test("a session that fails to close: the others are closed, and close() tells", async () => {
  const script = new Script();
  script.closing = (path) => {
    if (path === "/a") throw new Error("stuck");
  };
  const watcher = watch(["/a", "/b"], { backend: script });
  await within(watcher.ready, "ready");
  await assert.rejects(within(watcher.close(), "close"), /stuck/);
  assert.deepEqual(script.closed, ["/a", "/b"]);
});

test("an error that nobody asks for ends no process", async () => {
  const { status, stdout, stderr } = await runScript(`
    import { watch } from ${JSON.stringify(moduleFile("mod.ts"))};
    const gone = Promise.withResolvers();
    const session = { coverage: () => ({}), close() { gone.resolve(); throw new Error("stuck"); } };
    const controller = new AbortController();
    watch("/a", { backend: { name: "x", open: () => { throw new Error("not opened"); } } });
    watch("/a", { signal: controller.signal, backend: { name: "x", open: (_, sink) => {
      setImmediate(() => sink.fail(new Error("failed")));
      return session;
    } } });
    const last = watch("/a", { signal: controller.signal, backend: { name: "x", open: () => session } });
    await last.ready;
    await gone.promise;
    controller.abort();
    await last.close().catch(() => {});
    await new Promise((resolve) => setImmediate(resolve));
    console.log("alive");
  `);
  assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: "alive\n", stderr: "" });
});

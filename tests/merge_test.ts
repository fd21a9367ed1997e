/** `merge()` of streams that do what the test says: order, turns, limits, failures, the end. */

import assert from "node:assert/strict";
import test from "node:test";
import { matches, merge, type MergeOptions, type MergeSources, type WatchEvent } from "../mod.ts";
import { FileEvent } from "../classify/event.ts";
import { SystemError } from "../ffi/errno.ts";
import { TURN } from "../streams/round_robin.ts";
import type { Tagged } from "../streams/tagged.ts";
import type { EventStream } from "../watch/event_stream.ts";
import { CAPACITY } from "../watch/queue.ts";
import { event, events, Fake, Iterated, settled } from "./merging.ts";
import { random, seed, wholeNumbers } from "./random.ts";
import { until, within } from "./runtime.ts";

/** `tag path` of each. */
function spelled(batch: readonly Tagged[]): string[] {
  return batch.map(({ tag, event }) =>
    `${tag} ${event.kind === "lost" ? `lost: ${event.attributes.reason}` : event.path}`
  );
}

/** The next `count` events. */
async function next(iterator: AsyncIterator<Tagged>, count: number): Promise<Tagged[]> {
  const all: Tagged[] = [];
  while (all.length < count) {
    const { done, value } = await within(iterator.next(), `event ${all.length + 1} of ${count}`);
    assert(!done, `it ended after ${all.length} events`);
    all.push(value);
  }
  return all;
}

/** All to the end. */
async function rest(merged: AsyncIterable<Tagged>): Promise<Tagged[]> {
  const all: Tagged[] = [];
  const read = async () => {
    for await (const one of merged) all.push(one);
  };
  await within(read(), "the end");
  return all;
}

test("each event comes with its tag, and is the one that the stream gave", async () => {
  const [files, audit] = [new Fake(), new Fake()];
  const [one, two] = [event("/one"), event("/two")];
  files.push(one);
  audit.push(two);
  await using merged = merge({ files, audit });
  const all = await next(merged[Symbol.asyncIterator](), 2);
  assert.deepEqual(spelled(all), ["files /one", "audit /two"]);
  assert.equal(all[0]!.event, one);
  assert.equal(all[1]!.event, two);
  assert.deepEqual(Object.keys(one), Object.keys(event("/one")), "nothing was added to it");
  const json = JSON.parse(JSON.stringify(all[0]));
  assert.deepEqual(json, { tag: "files", event: JSON.parse(JSON.stringify(one)) });
});

test("an array's tags are its places", async () => {
  const all = [new Fake(), new Fake()];
  all[0]!.push(event("/a"));
  all[1]!.push(event("/b"));
  await using merged = merge(all);
  assert.deepEqual(spelled(await next(merged[Symbol.asyncIterator](), 2)), ["0 /a", "1 /b"]);
});

test("in turn, a batch each; a batch is of one stream", async () => {
  const [a, b, c] = [new Fake(), new Fake(), new Fake()];
  for (let i = 0; i < 3; i++) {
    a.push(...events("a", 2, 2 * i));
    b.push(...events("b", 1, i));
  }
  await using merged = merge({ a, b, c });
  const batches = merged.batches();
  const told: string[] = [];
  for (let i = 0; i < 6; i++) {
    const { value } = await within(batches.next(), `batch ${i}`);
    told.push(spelled(value!).join());
  }
  assert.deepEqual(told, [
    "a a0,a a1",
    "b b0",
    "a a2,a a3",
    "b b1",
    "a a4,a a5",
    "b b2",
  ]);
});

test("a flood has others wait for no more than a turn of it", async () => {
  const [flood, other] = [new Fake(false), new Fake()];
  flood.push(...events("f", 10 * TURN));
  await using merged = merge({ flood, other });
  const batches = merged.batches();
  let seen = 0;
  for (let i = 0; i < 5; i++) {
    const { value } = await within(batches.next(), "a turn of the flood");
    assert.equal(value!.length, TURN);
    seen += value!.length;
    other.push(event(`o${i}`));
    await settled();
    assert.deepEqual(spelled((await within(batches.next(), "the other")).value!), [`other o${i}`]);
  }
  const { value } = await batches.next();
  assert.equal(value![0]!.event.path, `f${seen}`, "and its own order is kept");
});

test("a stream that always has something leaves the event loop its turn", async () => {
  const isOver = { value: false };
  async function* flood(): AsyncGenerator<WatchEvent> {
    for (let i = 0; !isOver.value; i++) yield event(`f${i}`);
  }
  const timed = new Fake();
  const timer = setTimeout(() => timed.push(event("timed")), 20);
  await using merged = merge({ flood: flood(), timed });
  const deadline = performance.now() + 10_000;
  for await (const { tag } of merged) {
    if (tag === "timed") break;
    if (performance.now() > deadline) isOver.value = true; // else the test's own deadline has no turn either
  }
  clearTimeout(timer);
  assert(!isOver.value, "the timer never had its turn");
});

test("nothing is read ahead but a batch of each: the rest stays, and is lost there", async () => {
  const [a, b] = [new Fake(), new Fake()];
  const slow = new Iterated();
  for (let i = 0; i < 5; i++) {
    a.push(...events("a", 3, 3 * i));
    slow.push(event(`s${i}`));
  }
  await using merged = merge({ a, b, slow });
  await settled();
  assert.deepEqual([a.queue.taken, slow.asked], [0, 0], "nobody has asked yet");
  const iterator = merged[Symbol.asyncIterator]();
  await next(iterator, 1);
  await settled();
  assert.deepEqual([a.queue.taken, b.queue.taken, slow.asked], [1, 1, 1]);
  await next(iterator, 3); // the rest of the batch, and one of the iterator
  await settled();
  assert.deepEqual([a.queue.taken, slow.asked], [2, 1]);
  // While nobody takes, what does not fit is lost in the stream, which counts it.
  b.push(...events("b", 1));
  await settled();
  for (let i = 0; i < CAPACITY / 1024; i++) b.push(...events("full", 1024));
  b.push(...events("dropped", 7));
  assert.deepEqual(merged.stats().b.stats.dropped, 7);
  let lost: WatchEvent | undefined;
  for await (const item of { [Symbol.asyncIterator]: () => iterator }) {
    if (item.event.kind !== "lost") continue;
    assert.equal(item.tag, "b");
    lost = item.event;
    break;
  }
  assert.deepEqual(lost!.attributes, { count: 7, reason: "the consumer was too slow" });
  assert.deepEqual([merged.stats().b.losses, merged.stats().a.losses], [1, 0]);
});

test("kinds for all, or by tag; losses always come through", async () => {
  const kinds = ["create.file", "remove", "user.hello", "lost", "recovered"] as const;
  const told = async (options: MergeOptions<"a" | "b">) => {
    const [a, b] = [new Fake(), new Fake()];
    const merged = merge({ a, b }, options);
    for (const kind of kinds) {
      for (const one of [a, b]) one.push(FileEvent.from({ kind, path: "/" }, 0, "test"));
    }
    for (const one of [a, b]) one.queue.end();
    const all = await rest(merged);
    const counts = { a: merged.stats().a.events, b: merged.stats().b.events };
    const kindsOf = (name: string) =>
      all.filter(({ tag }) => tag === name).map(({ event }) => event.kind);
    assert.deepEqual(counts, { a: kindsOf("a").length, b: kindsOf("b").length });
    return { a: kindsOf("a"), b: kindsOf("b") };
  };
  assert.deepEqual(await told({}), { a: [...kinds], b: [...kinds] });
  const few = ["create.file", "lost", "recovered"];
  assert.deepEqual(await told({ events: ["create"] }), { a: few, b: few });
  assert.deepEqual(await told({ events: { b: ["create"] } }), { a: [...kinds], b: few });
  assert.deepEqual(await told({ events: { a: ["user"], b: ["modify"] } }), {
    a: ["user.hello", "lost", "recovered"],
    b: ["lost", "recovered"],
  });
});

test("one that nothing is wanted of is read all the same, so that others have their turn", async () => {
  const [a, b] = [new Fake(false), new Fake()];
  for (let i = 0; i < 100; i++) a.push(event(`a${i}`));
  await using merged = merge({ a, b }, { events: { a: ["remove"] } });
  const item = next(merged[Symbol.asyncIterator](), 1);
  await until(() => a.queue.taken === 101); // all, and the wait for more
  b.push(event("b"));
  assert.deepEqual(spelled(await item), ["b b"]);
  assert.deepEqual(merged.stats().a.events, 0);
});

test("the end of one is not the others'; after the last one it ends, and closes", async () => {
  const [a, b] = [new Fake(), new Iterated()];
  a.push(event("a"));
  a.queue.end();
  b.push(event("b"));
  const controller = new AbortController();
  const merged = merge({ a, b }, { signal: controller.signal });
  const iterator = merged[Symbol.asyncIterator]();
  assert.deepEqual(spelled(await next(iterator, 2)), ["a a", "b b"]);
  const last = iterator.next();
  await settled();
  assert.deepEqual([merged.stats().a.isOver, merged.stats().b.isOver], [true, false]);
  b.end();
  assert.deepEqual(await within(last, "the end"), { done: true, value: undefined });
  await merged.close();
  assert.equal(a.closed, 1);
  assert.equal(b.returned, 0, "who has ended is not told to");
});

test("what one fails with is told as a loss, after what it told", async () => {
  const [a, b] = [new Fake(), new Fake()];
  const error = new SystemError("Cannot watch /gone: it is gone", {
    errno: 2,
    syscall: "open",
    path: "/gone",
    hint: "",
  });
  a.push(event("a"));
  a.queue.end({ error });
  await using merged = merge({ a, b });
  const iterator = merged[Symbol.asyncIterator]();
  const [first, second] = await next(iterator, 2);
  assert.equal(first!.event.path, "a");
  const { tag, event: { kind, path, backend, attributes } } = second!;
  assert.deepEqual([tag, kind, path, backend], ["a", "lost", "/gone", "sentinode"]);
  assert.deepEqual(attributes, { reason: error.message, cause: error });
  b.push(event("b"));
  assert.deepEqual(spelled(await next(iterator, 1)), ["b b"]);
  const { events, losses, isOver, error: told } = merged.stats().a;
  assert.deepEqual([events, losses, isOver, told], [2, 1, true, error]);
  assert.equal(a.closed, 1, "it is closed at once");
});

test("what the last one fails with is thrown, after all that was told", async () => {
  const [a, b] = [new Fake(), new Iterated()];
  a.push(...events("a", 3));
  a.queue.end({ error: new Error("first") });
  b.push(event("b"));
  b.end({ error: new Error("last") });
  const merged = merge({ a, b });
  const told: string[] = [];
  const read = async () => {
    for await (const one of merged) told.push(...spelled([one]));
  };
  await assert.rejects(within(read(), "the end"), /^Error: last$/);
  assert.deepEqual(told.toSorted(), ["a a0", "a a1", "a a2", "a lost: first", "b b"]);
  await merged.close();
  assert.equal(a.closed, 1);
  assert.equal(b.returned, 0, "who threw is not told to end");
});

test("what is no error can be failed with, too", async () => {
  const [a, b] = [new Iterated(), new Iterated()];
  a.end({ error: undefined });
  const merged = merge({ a, b });
  const iterator = merged[Symbol.asyncIterator]();
  assert.deepEqual(spelled(await next(iterator, 1)), ["a lost: undefined"]);
  b.end({ error: "b" });
  await assert.rejects(within(iterator.next(), "the end"), (thrown) => thrown === "b");
});

test("what gives no event fails, and is let go of", async () => {
  const bad = new Iterated();
  bad.push("nothing" as unknown as FileEvent);
  const good = new Fake();
  await using merged = merge({ bad, good });
  const iterator = merged[Symbol.asyncIterator]();
  assert.deepEqual(spelled(await next(iterator, 1)), [
    "bad lost: Cannot merge bad: it gave what is no event",
  ]);
  await until(() => bad.returned === 1);
  good.push(event("good"));
  assert.deepEqual(spelled(await next(iterator, 1)), ["good good"]);
});

test("ready: when all are, or were refused; rejects where all were", async () => {
  const [a, b] = [new Fake(), new Fake()];
  await using merged = merge({ a, b, c: new Iterated() });
  let isReady = false;
  const ready = merged.ready.then(() => isReady = true);
  a.arming.resolve();
  await settled();
  assert(!isReady);
  b.arming.reject(new Error("refused"));
  await within(ready, "ready");
  const [c, d] = [new Fake(), new Fake()];
  await using none = merge({ c, d });
  d.arming.reject(new Error("d"));
  c.arming.reject(new Error("c"));
  await assert.rejects(within(none.ready, "ready"), /^Error: c$/);
});

/** Ways in which a merge is ended while somebody waits for what comes next. */
const ENDS = ["close", "signal", "break", "return", "dispose"] as const;

for (const end of ENDS) {
  test(`the end by ${end} closes each once, and waits`, async () => {
    const [a, b, iterated] = [new Fake(), new Fake(), new Iterated()];
    const left = Promise.withResolvers<void>();
    a.closing = () => left.promise;
    b.closing = () => {
      throw new Error("b does not close");
    };
    a.push(event("a"));
    const controller = new AbortController();
    const { signal } = controller;
    let listeners = 0;
    Object.assign(signal, {
      addEventListener: (...rest: Parameters<AbortSignal["addEventListener"]>) => {
        listeners++;
        EventTarget.prototype.addEventListener.call(signal, ...rest);
      },
      removeEventListener: (...rest: Parameters<AbortSignal["addEventListener"]>) => {
        listeners--;
        EventTarget.prototype.removeEventListener.call(signal, ...rest);
      },
    });
    const merged = merge({ b, a, iterated }, { signal });
    assert.equal(listeners, 1);
    const iterator = merged[Symbol.asyncIterator]();
    await next(iterator, 1);
    const waiting = end === "break" ? undefined : iterator.next();
    let closing: Promise<unknown>;
    if (end === "close") closing = merged.close();
    else if (end === "dispose") closing = merged[Symbol.asyncDispose]();
    else if (end === "return") closing = iterator.return!();
    else if (end === "signal") {
      controller.abort();
      closing = merged.close();
    } else {
      a.push(event("b"));
      closing = (async () => {
        for await (const _ of { [Symbol.asyncIterator]: () => iterator }) break;
      })();
    }
    let isClosed = false;
    closing.then(() => {}, () => {}).finally(() => isClosed = true);
    await settled();
    assert(!isClosed, "it waits for a");
    left.resolve();
    await assert.rejects(within(closing, "the end"), /^Error: b does not close$/);
    assert.deepEqual([a.closed, b.closed, iterated.returned], [1, 1, 1]);
    assert.deepEqual(await within(iterator.next(), "done"), { done: true, value: undefined });
    if (waiting !== undefined) {
      assert.deepEqual(await within(waiting, "what waited"), { done: true, value: undefined });
    }
    assert.equal(listeners, 0);
    assert.equal(merged.close(), merged.close());
    await assert.rejects(merged.close());
    assert.deepEqual([a.closed, b.closed, iterated.returned], [1, 1, 1]);
  });
}

test("after close() our own streams tell what they had read", async () => {
  const [a, b] = [new Fake(), new Fake()];
  a.push(...events("a", 2));
  a.push(event("a2"));
  b.push(event("b"));
  const merged = merge({ a, b });
  const closing = merged.close();
  assert.deepEqual(spelled(await rest(merged)), ["a a0", "a a1", "b b", "a a2"]);
  await closing;
});

test("after break nothing is kept: what was queued is forgotten", async () => {
  const a = new Fake();
  a.push(event("a0"));
  a.push(...events("a", CAPACITY, 1));
  const merged = merge({ a });
  for await (const _ of merged) break;
  assert.equal(a.queue.takeNow(), undefined);
  assert.equal(a.closed, 1);
});

test("a signal that is aborted already closes at once", async () => {
  const a = new Fake();
  const merged = merge({ a }, { signal: AbortSignal.abort() });
  assert.deepEqual(await rest(merged), []);
  assert.equal(a.closed, 1);
});

test("a generator that waits for something else is not waited for", async () => {
  const never = Promise.withResolvers<void>();
  let isEnded = false;
  async function* waits(): AsyncGenerator<WatchEvent> {
    try {
      yield event("one");
      await never.promise;
    } finally {
      isEnded = true;
    }
  }
  const merged = merge({ waits: waits(), a: new Fake() });
  const iterator = merged[Symbol.asyncIterator]();
  await next(iterator, 1);
  const waiting = iterator.next();
  await settled();
  await within(merged.close(), "the end");
  assert.equal((await within(waiting, "what waited")).done, true);
  assert(!isEnded);
  never.resolve();
  await until(() => isEnded);
});

test("a generator that waits for nothing ends with the merge, and is waited for", async () => {
  const ends: string[] = [];
  async function* one(): AsyncGenerator<WatchEvent> {
    try {
      yield event("one");
      yield event("two");
    } finally {
      await settled();
      ends.push("generator");
    }
  }
  const merged = merge({ one: one() });
  for await (const _ of merged) break;
  assert.deepEqual(ends, ["generator"]);
});

test("a web stream is cancelled, also while it is read", async () => {
  let reason: unknown = "not cancelled";
  const stream = new ReadableStream<WatchEvent>({
    start: (controller) => controller.enqueue(event("one")),
    cancel: (given) => void (reason = given),
  });
  const merged = merge({ stream });
  const iterator = merged[Symbol.asyncIterator]();
  await next(iterator, 1);
  const waiting = iterator.next();
  await settled();
  await within(merged.close(), "the end");
  assert.equal(reason, undefined);
  assert.equal((await waiting).done, true);
});

test("merges can be merged: the tags are a way", async () => {
  const [files, audit, keys] = [new Fake(), new Fake(), new Fake()];
  const inner = merge({ files, audit });
  await using outer = merge({ host: inner, keys }, { events: { host: ["user.x"] } });
  files.push(FileEvent.from({ kind: "create", path: "/no" }, 0, "test"), event("f"));
  audit.push(event("a"));
  keys.push(event("k"));
  const iterator = outer[Symbol.asyncIterator]();
  const all = await next(iterator, 3);
  assert.deepEqual(spelled(all).toSorted(), ["host.audit a", "host.files f", "keys k"]);
  assert.equal(all.filter(({ tag }) => matches(tag, "host")).length, 2);
  audit.queue.end({ error: new Error("no more") });
  assert.deepEqual(spelled(await next(iterator, 1)), ["host.audit lost: no more"]);
  assert.equal(outer.stats().host.stats.files.stats.events, 2);
  files.queue.end({ error: new Error("none left") });
  assert.deepEqual(spelled(await next(iterator, 1)), ["host lost: none left"]);
  await outer.close();
  assert.deepEqual([files.closed, audit.closed, keys.closed], [1, 1, 1]);
});

test("once: by events or by batches, and nobody else iterates the streams", async () => {
  const a = new Fake();
  await using merged = merge({ a });
  merged[Symbol.asyncIterator]();
  const again = /^TypeError: Cannot iterate the merge: it is already iterated$/;
  assert.throws(() => merged[Symbol.asyncIterator](), again);
  assert.throws(() => merged.batches(), again);
  const taken = /^TypeError: Cannot iterate the fake: it is already iterated$/;
  assert.throws(() => a.batches(), taken);
  assert.throws(() => merge({ other: a }), taken);
});

test("next() may be called again before it has answered", async () => {
  const [a, b] = [new Fake(), new Fake()];
  await using merged = merge({ a, b });
  const iterator = merged[Symbol.asyncIterator]();
  const asked = Array.from({ length: 6 }, () => iterator.next());
  a.push(...events("a", 2));
  await settled();
  b.push(...events("b", 2));
  await settled();
  a.push(...events("a", 2, 2));
  const all = await within(Promise.all(asked), "all six");
  assert.deepEqual(all.map(({ value }) => value!.event.path), ["a0", "a1", "b0", "b1", "a2", "a3"]);
});

test("what is wrong is said at once", () => {
  const cases: readonly (readonly [sources: unknown, options: unknown, message: RegExp])[] = [
    [undefined, {}, /no object of streams by tag/],
    [new Fake(), {}, /no object of streams by tag/],
    ["/srv", {}, /no object of streams by tag/],
    [{}, {}, /^TypeError: Cannot merge no stream: give at least one$/],
    [[], {}, /no stream/],
    [new Map([["a", new Fake()]]), {}, /no stream/],
    [{ a: 1 }, {}, /^TypeError: Cannot merge a: it is no stream of events$/],
    [{ a: null }, {}, /Cannot merge a: /],
    [{ a: [event("a")] }, {}, /Cannot merge a: /],
    [{ a: new Fake() }, null, /options null/],
    [{ a: new Fake() }, { order: "time" }, /option order/],
    [{ a: new Fake() }, { signal: {} }, /signal/],
    [{ a: new Fake() }, { events: "create" }, /events "create": not a list/],
    [{ a: new Fake() }, { events: [] }, /not a list/],
    [{ a: new Fake() }, { events: ["creation"] }, /no such kind/],
    [
      { a: new Fake() },
      { events: { b: ["create"] } },
      /^TypeError: Cannot merge events of b: no s/,
    ],
    [{ a: new Fake() }, { events: { a: ["creation"] } }, /no such kind/],
  ];
  for (const [sources, options, message] of cases) {
    const wrong = () => merge(sources as MergeSources, options as MergeOptions);
    assert.throws(wrong, TypeError, String(message));
    assert.throws(wrong, message);
  }
  const fine = new Fake();
  assert.throws(() => merge({ fine, wrong: 1 as unknown as Fake }));
  fine.batches(); // it was not touched
});

// --- any order of things ---

/** How many schedules are tried. */
const ROUNDS = 400;

/** A stream, and what it has been made to tell. */
interface Scripted {
  readonly tag: string;
  readonly stream: Fake | Iterated;
  /** What of it should be told, in this order. */
  readonly expected: string[];
  isOver: boolean;
}

/** One schedule: streams tell, end and fail at random, a consumer takes at random, and somebody may close. */
async function schedule(number: number): Promise<void> {
  const below = wholeNumbers(number);
  const chance = random(number + 1);
  const all: Scripted[] = Array.from({ length: 1 + below(4) }, (_, i) => ({
    tag: `s${i}`,
    stream: chance() < 0.6 ? new Fake(false) : new Iterated(),
    expected: [],
    isOver: false,
  }));
  const [inner, outer] = [all.slice(0, below(all.length)), all];
  const isNested = inner.length > 0 && inner.length < all.length && chance() < 0.3;
  const record = (some: readonly Scripted[]) =>
    Object.fromEntries(some.map(({ tag, stream }) => [tag, stream]));
  const merged: EventStream<Tagged> = isNested
    ? merge({ in: merge(record(inner)), ...record(outer.slice(inner.length)) })
    : merge(record(all));
  const tagOf = (one: Scripted) => isNested && inner.includes(one) ? `in.${one.tag}` : one.tag;
  const told = new Map<string, string[]>();
  const batches: AsyncIterator<readonly Tagged[], undefined> = merged.batches();
  let [isDone, isClosed, failure, made] = [false, false, undefined as unknown, 0];
  let waiting: Promise<void> | undefined;
  const take = () => {
    waiting ??= batches.next().then(({ done, value }) => {
      isDone = done === true;
      for (const { tag, event } of value ?? []) {
        const path = event.kind === "lost" ? `lost ${event.attributes.reason}` : event.path;
        told.set(tag, [...told.get(tag) ?? [], path]);
      }
      assert(new Set(value?.map(({ tag }) => tag)).size <= 1, "a batch is of one stream");
      assert(value === undefined || value.length > 0 && value.length <= TURN);
    }, (error) => {
      isDone = true;
      failure = error;
    }).finally(() => waiting = undefined);
    return waiting;
  };
  const finish = (one: Scripted, error?: Error) => {
    one.isOver = true;
    const end = error && { error };
    if (error !== undefined) one.expected.push(`lost ${error.message}`);
    if (one.stream instanceof Fake) one.stream.queue.end(end);
    else one.stream.end(end);
  };
  for (let step = 0; step < 40; step++) {
    const one = all[below(all.length)]!;
    const what = chance();
    if (what < 0.45 && !one.isOver) {
      const some = events(`${one.tag}-`, 1 + below(3), made);
      made += some.length;
      one.stream.push(...some);
      one.expected.push(...some.map(({ path }) => path));
    } else if (what < 0.75) void take();
    else if (what < 0.9) await settled();
    else if (what < 0.93 && !one.isOver) finish(one);
    else if (what < 0.96 && !one.isOver) finish(one, new Error(`${one.tag} fails`));
    else if (what > 0.995) {
      isClosed = true;
      void merged.close();
      break;
    }
  }
  if (isClosed) {
    while (!isDone) await within(take(), "the end after close");
  } else {
    for (const one of all) if (!one.isOver) finish(one);
    while (!isDone) await within(take(), "the end");
  }
  for (const one of all) {
    const [got, expected] = [told.get(tagOf(one)) ?? [], one.expected];
    const lost = expected.at(-1)?.startsWith("lost") ? expected.at(-1) : undefined;
    const isThrown = lost !== undefined &&
      ((failure as Error | undefined)?.message === lost.slice(5) ||
        told.get("in")?.includes(lost) === true); // the last of the inner ones
    const whole = isThrown ? expected.slice(0, -1) : expected;
    if (isClosed && one.stream instanceof Iterated) {
      assert.deepEqual(got, whole.slice(0, got.length), "in order, up to the end");
    } else assert.deepEqual(got, whole, `all of ${one.tag}, in order`);
    if (one.stream instanceof Fake) assert.equal(one.stream.closed, 1);
    else assert(one.stream.returned <= 1);
  }
  assert.deepEqual((await batches.next()).done, true);
}

test(`${ROUNDS} schedules: each tells all, in its order, and is closed once`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const number = (seed + round) >>> 0;
    try {
      await schedule(number);
    } catch (error) {
      throw new Error(`SENTINODE_SEED=${number}`, { cause: error });
    }
  }
});

test("whoever has something is told before another one is told again", async () => {
  const below = wholeNumbers(seed);
  const all = Array.from({ length: 5 }, () => below(2) === 0 ? new Fake(false) : new Iterated());
  await using merged = merge(all);
  const batches = merged.batches();
  let first = batches.next();
  for (let round = 0; round < 200; round++) {
    const busy = new Set(all.flatMap((_, i) => below(2) === 0 ? [i] : []));
    busy.add(below(all.length));
    for (const i of busy) {
      for (let n = 1 + below(3); n > 0; n--) all[i]!.push(event(`${round}`));
    }
    await settled();
    // All of them have been read by now, and the first of them was told.
    const told = [await within(first, "the first")];
    for (let n = 1; n < busy.size; n++) told.push(await within(batches.next(), "another"));
    const tags = told.map(({ value }) => Number(value![0]!.tag));
    assert.deepEqual(new Set(tags), busy, `round ${round} of SENTINODE_SEED=${seed}`);
    // The rest, so that nothing is left for the next round.
    for (;;) {
      first = batches.next();
      const more = await Promise.race([first.then(() => true), settled().then(() => false)]);
      if (!more) break;
    }
  }
});

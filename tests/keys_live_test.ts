/** Keys of this kernel, where it tells of them: as any user. */

import assert from "node:assert/strict";
import process from "node:process";
import test from "node:test";
import { describeKey, keyringId } from "../backends/keys/keyctl.ts";
import { openLibc } from "../ffi/libc.ts";
import { type KeyEvent, keys, type KeysOptions, type KeyStream, SystemError } from "../mod.ts";
import { act, addKey, OwnKeyring, whyNoKeys } from "./keyed.ts";
import {
  aWhile,
  isRoot,
  moduleFile,
  openLinks,
  runScript,
  testAsNobody,
  until,
  within,
} from "./runtime.ts";

const libc = await openLibc();
/** A virtual machine may be ten times slower, and a runtime takes half a minute there to start. */
const settings = { skip: whyNoKeys, timeout: 120_000 };

/** How many tests any user can run. */
const FOR_ALL = 21;

/** A stream that is listened to, until the end of the block. */
class Heard implements AsyncDisposable {
  readonly events: KeyEvent[] = [];
  readonly stream: KeyStream;
  readonly ended: Promise<void>;
  #wake = Promise.withResolvers<void>();

  private constructor(stream: KeyStream) {
    this.stream = stream;
    this.ended = this.#listen();
    this.ended.catch(() => {});
  }

  static async of(keyring: Parameters<typeof keys>[0], options: KeysOptions = {}): Promise<Heard> {
    const stream = keys(keyring, options);
    await stream.ready;
    return new Heard(stream);
  }

  async #listen(): Promise<void> {
    for await (const event of this.stream) {
      this.events.push(event);
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    }
  }

  /** Until so many were told. */
  async count(count: number): Promise<KeyEvent[]> {
    await this.until(() => this.events.length >= count);
    return this.events;
  }

  async until(condition: () => boolean): Promise<void> {
    const what = () => `${condition} in ${this.events.slice(-20).map(short)}`;
    const end = performance.now() + 20_000;
    while (!condition()) await within(this.#wake.promise, what(), end - performance.now());
  }

  /** Until all that happened before is told, which a key that nobody else knows proves. */
  async all(keyring: number): Promise<string[]> {
    const last = addKey("user", "the last", `${this.events.length}`, keyring);
    await this.until(() => this.events.some(({ attributes }) => attributes.key?.id === last));
    return this.events.filter(({ attributes }) => attributes.key?.id !== last).map(short);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stream.close();
    await this.ended.catch(() => {});
  }
}

/** `key.link one` */
function short({ kind, synthetic, attributes: { key, keyring } }: KeyEvent): string {
  const name = (key ?? keyring)?.description ?? (key ?? keyring)?.id ?? "";
  return `${kind} ${name}${synthetic ? " (synthetic)" : ""}`;
}

test("each operation has its kind", settings, async () => {
  using ring = new OwnKeyring();
  using other = new OwnKeyring();
  const there = addKey("user", "there", "0", ring.id);
  await using heard = await Heard.of(ring.id);
  const one = addKey("user", "one", "1", ring.id);
  await heard.count(1);
  addKey("user", "one", "2", ring.id);
  act("update", one, "3");
  act("setPermissions", one, 0x3f3f0000);
  act("setTimeout", one, 1000);
  const linked = addKey("user", "linked", "1", other.id);
  act("link", linked, ring.id);
  act("unlink", linked, ring.id);
  act("move", linked, other.id, ring.id);
  await heard.count(8);
  act("revoke", one);
  act("invalidate", there);
  act("clear", ring.id);
  const kinds = (await heard.all(ring.id)).filter((one) => !one.startsWith("key.remove"));
  assert.deepEqual(kinds, [
    "key.link one",
    "key.update one",
    "key.update one",
    "key.setattr one",
    "key.setattr one",
    "key.link linked",
    "key.unlink linked",
    "key.link linked",
    "key.revoke one",
    "key.invalidate there",
    `key.clear ${ring.description}`,
  ]);
});

test(
  "an event has the key, the keyring, the tag, and every bit of the note",
  settings,
  async () => {
    using ring = new OwnKeyring();
    await using heard = await Heard.of([{ keyring: ring.id, tag: 200 }]);
    const before = Date.now();
    const id = addKey("user", "mail;x", "secret", ring.id);
    await heard.count(1);
    act("update", id, "other");
    const [linked, updated] = await heard.count(2);
    const key = linked!.attributes.key!;
    assert.deepEqual(key, describeKey(libc, id));
    assert.deepEqual([key.type, key.description, key.uid, key.gid], [
      "user",
      "mail;x",
      process.geteuid!(),
      process.getegid!(),
    ]);
    assert.equal(typeof key.permissions, "number");
    const { keyring, tag } = linked!.attributes;
    assert.deepEqual([keyring!.id, keyring!.description, tag], [ring.id, ring.description, 200]);
    assert.deepEqual(updated!.attributes, { keyring, key, tag: 200 });
    assert.deepEqual(linked!.raw, {
      type: 1,
      subtype: 2,
      info: 16 | 200 << 8,
      tag: 200,
      keyId: ring.id,
      aux: id,
    });
    assert.deepEqual([linked!.path, linked!.backend, linked!.isDirectory], ["", "keys", undefined]);
    assert(linked!.time >= before - 1 && linked!.time <= Date.now());
  },
);

test("the keyrings of this process, by what they are and by name", settings, async () => {
  using ring = new OwnKeyring();
  for (
    const keyring of ["session", "user", "user-session", "process", "thread", ring.description]
  ) {
    await using heard = await Heard.of(keyring);
    const id = keyringId(libc, keyring);
    assert.equal(heard.stream.coverage()[0]!.key.id, id, keyring);
    const key = addKey("user", `sentinode-test-${keyring}`, "1", id);
    await heard.until(() => heard.events.some(({ attributes }) => attributes.key?.id === key));
    act("unlink", key, id);
    await heard.until(() => heard.events.some(({ kind }) => kind === "key.unlink"));
    assert.equal(heard.events.at(-1)!.attributes.keyring!.id, id);
  }
});

test("a key by its number", settings, async () => {
  using ring = new OwnKeyring();
  const id = addKey("user", "one", "1", ring.id);
  await using heard = await Heard.of(id);
  act("update", id, "2");
  const [event] = await heard.count(1);
  assert.equal(event!.kind, "key.update");
  assert.equal(event!.attributes.keyring, undefined);
});

test("what is in keyrings that are in it, now or later", settings, async () => {
  using ring = new OwnKeyring();
  using other = new OwnKeyring();
  const inner = addKey("keyring", "inner", "", ring.id);
  await using heard = await Heard.of(ring.id);
  const one = addKey("user", "one", "1", inner);
  await heard.count(1);
  act("update", one, "2");
  const later = addKey("keyring", "later", "", inner);
  await heard.count(3);
  const two = addKey("user", "two", "1", later);
  await heard.count(4);
  act("revoke", two);
  await heard.count(5);
  act("link", later, other.id); // or it is destroyed, which is told as well
  act("unlink", later, inner);
  await heard.count(6);
  assert.deepEqual(heard.events.map(short), [
    "key.link one",
    "key.update one",
    "key.link later",
    "key.link two",
    "key.revoke two",
    "key.unlink later",
  ]);
  assert.equal(heard.events[4]!.attributes.keyring!.description, "later");
  assert.equal(heard.stream.coverage()[0]!.watches, 3);
});

test(
  "what is unlinked is not watched any more, what is linked elsewhere too is",
  settings,
  async () => {
    using ring = new OwnKeyring();
    using other = new OwnKeyring();
    const [one, two] = [addKey("user", "one", "1", other.id), addKey("user", "two", "1", other.id)];
    const inner = addKey("keyring", "inner", "", ring.id);
    act("link", one, ring.id);
    act("link", two, ring.id);
    act("link", two, inner);
    await using heard = await Heard.of(ring.id);
    assert.equal(heard.stream.stats().watches, 4);
    act("unlink", one, ring.id);
    act("unlink", two, ring.id);
    await heard.count(2);
    act("update", one, "2");
    act("update", two, "2");
    assert.deepEqual(await heard.all(ring.id), [
      "key.unlink one",
      "key.unlink two",
      "key.update two",
    ]);
  },
);

test("unlinked and linked again, again and again", settings, async () => {
  using ring = new OwnKeyring();
  using other = new OwnKeyring();
  const one = addKey("user", "one", "1", other.id);
  await using heard = await Heard.of(ring.id);
  for (let round = 1; round <= 20; round++) {
    act("link", one, ring.id);
    await heard.until(() => heard.stream.stats().watches === 2);
    act("update", one, `${round}`);
    act("unlink", one, ring.id);
    await heard.count(3 * round);
    await heard.until(() => heard.stream.stats().watches === 1);
  }
  // At once, too: what is seen last is watched.
  for (let round = 0; round < 20; round++) {
    act("link", one, ring.id);
    act("unlink", one, ring.id);
  }
  act("link", one, ring.id);
  await heard.count(101);
  act("update", one, "last");
  await heard.count(102);
  const kinds = Map.groupBy(heard.events, ({ kind }) => kind);
  assert.deepEqual([...kinds].map(([kind, { length }]) => `${kind} ${length}`).sort(), [
    "key.link 41",
    "key.unlink 40",
    "key.update 21",
  ]);
});

test("what is in a keyring that comes full is told", settings, async () => {
  using ring = new OwnKeyring();
  using full = new OwnKeyring();
  addKey("user", "one", "1", full.id);
  await using heard = await Heard.of(ring.id);
  act("link", full.id, ring.id);
  await heard.count(2);
  assert.deepEqual(heard.events.map(short), [
    `key.link ${full.description}`,
    "key.link one (synthetic)",
  ]);
  const [, found] = heard.events;
  assert.deepEqual([found!.attributes.keyring!.id, found!.raw], [full.id, undefined]);
});

test("a key that another displaces is unlinked", settings, async () => {
  using ring = new OwnKeyring();
  using other = new OwnKeyring();
  using third = new OwnKeyring();
  const old = addKey("user", "same", "1", ring.id);
  act("link", old, third.id); // or it is destroyed, which is told instead
  const young = addKey("user", "same", "2", other.id);
  await using heard = await Heard.of(ring.id);
  act("link", young, ring.id);
  await heard.until(() => heard.events.length === 2);
  assert.deepEqual(heard.events.map(short), ["key.link same", "key.unlink same (synthetic)"]);
});

test("kinds that are not asked for", settings, async () => {
  using ring = new OwnKeyring();
  await using heard = await Heard.of(ring.id, { events: ["key.update", "key.revoke"] });
  const one = addKey("user", "one", "1", ring.id);
  await until(() => heard.stream.stats().watches === 2);
  act("update", one, "2");
  act("setPermissions", one, 0x3f3f0000); // the kernel leaves that out
  act("revoke", one);
  await heard.count(2);
  assert.deepEqual(heard.events.map(short), ["key.update one", "key.revoke one"]);
  assert.equal(heard.stream.stats().notes, 3);
});

test("a filter by subtype, and one by tag", settings, async () => {
  using ring = new OwnKeyring();
  using other = new OwnKeyring();
  const [one, two] = [addKey("user", "one", "1", ring.id), addKey("user", "two", "1", other.id)];
  const roots = [{ keyring: ring.id, tag: 3 }, { keyring: other.id, tag: 4 }];
  {
    await using heard = await Heard.of(roots, { filter: { subtypes: [1] } });
    act("setPermissions", one, 0x3f3f0000);
    act("update", one, "2");
    act("update", two, "2");
    await heard.count(2);
    assert.deepEqual(heard.events.map(short), ["key.update one", "key.update two"]);
    assert.equal(heard.stream.stats().notes, 2);
  }
  await using heard = await Heard.of(roots, { filter: [{ info: 0x400, infoMask: 0xff00 }] });
  act("update", one, "3");
  act("update", two, "3");
  const inner = addKey("keyring", "inner", "", other.id);
  await heard.count(2);
  assert.deepEqual(heard.events.map(short), ["key.update two", "key.link inner"]);
  assert.equal(heard.stream.stats().notes, 2);
  const three = addKey("user", "three", "1", inner);
  await heard.count(3);
  assert.equal(heard.events[2]!.attributes.key!.id, three);
  assert.equal(heard.events[2]!.attributes.tag, 4);
});

test("losses and removals pass a filter", settings, async () => {
  using ring = new OwnKeyring();
  const [one, two] = [addKey("user", "one", "1", ring.id), addKey("user", "two", "1", ring.id)];
  await using heard = await Heard.of(ring.id, { filter: { subtypes: [1] } });
  act("invalidate", two); // the kernel leaves that out
  await heard.count(1);
  assert.deepEqual(heard.events.map(short), ["key.remove two"]);
  const { capacity } = heard.stream.stats();
  for (let i = 0; i <= capacity; i++) act("update", one, `${i}`);
  await heard.count(capacity + 2);
  assert.equal(heard.events.at(-1)!.kind, "lost");
});

test("more than the kernel holds: lost, and then what is different", settings, async () => {
  using ring = new OwnKeyring();
  using other = new OwnKeyring();
  const [one, gone] = [addKey("user", "one", "1", ring.id), addKey("user", "gone", "1", other.id)];
  act("link", gone, ring.id);
  await using heard = await Heard.of(ring.id);
  const { capacity } = heard.stream.stats();
  for (let i = 0; i < capacity + 100; i++) act("update", one, `${i}`);
  const came = addKey("user", "came", "1", ring.id);
  act("unlink", gone, ring.id);
  await heard.until(() => heard.events.filter(({ synthetic }) => synthetic).length === 2);
  const updates = heard.events.findIndex(({ kind }) => kind !== "key.update");
  assert(updates > 0 && updates <= capacity, `${updates} of ${capacity}`);
  assert.deepEqual(heard.events.slice(updates).map(short), [
    "lost ",
    "key.link came (synthetic)",
    "key.unlink gone (synthetic)",
  ]);
  const lost = heard.events[updates]!;
  assert.deepEqual(lost.attributes, { reason: "the kernel's queue was full" });
  assert.equal(heard.stream.stats().losses, 1);
  const { length } = heard.events;
  act("update", came, "2");
  await heard.count(length + 1);
  assert.equal(short(heard.events.at(-1)!), "key.update came");
});

test("a key that is destroyed, in a keyring that is not", settings, async () => {
  using ring = new OwnKeyring();
  const one = addKey("user", "one", "1", ring.id);
  await using heard = await Heard.of(ring.id);
  act("invalidate", one);
  await heard.until(() => heard.events.some(({ kind }) => kind === "key.remove"));
  assert.deepEqual(heard.events.map(short), ["key.invalidate one", "key.remove one"]);
  const { keyring, key } = heard.events[1]!.attributes;
  assert.deepEqual([key!.type, key!.uid, keyring!.id], ["user", process.geteuid!(), ring.id]);
  assert.deepEqual(await heard.all(ring.id), ["key.invalidate one", "key.remove one"]);
});

test("the stream ends with the last of what was asked for", settings, async () => {
  const ring = new OwnKeyring();
  await using heard = await Heard.of(ring.id);
  ring[Symbol.dispose]();
  await within(heard.ended, "the end");
  assert.deepEqual(heard.events.map(short), [`key.remove ${ring.description}`]);
});

test("what may not be seen is told by its number, and is a gap", settings, async () => {
  using ring = new OwnKeyring();
  using other = new OwnKeyring();
  const hidden = addKey("user", "hidden", "1", other.id);
  act("setPermissions", hidden, 0x00300000); // the owner: link, set attributes
  await using heard = await Heard.of(ring.id);
  act("link", hidden, ring.id);
  await heard.count(1);
  assert.deepEqual(heard.events[0]!.attributes.key, { id: hidden });
  assert.deepEqual(heard.stream.coverage()[0]!.gaps, [{
    key: { id: hidden },
    reason: "permission denied (EACCES)",
  }]);
});

test("what cannot be watched is refused", settings, async () => {
  using ring = new OwnKeyring();
  const [hidden, revoked] = [
    addKey("user", "hidden", "1", ring.id),
    addKey("user", "revoked", "1", ring.id),
  ];
  act("setPermissions", hidden, 0x00300000);
  act("revoke", revoked);
  for (
    const [keyring, code, hint] of [
      [hidden, "EACCES", /View/],
      [revoked, "EKEYREVOKED", /valid/],
      [0x7ffffffe, "ENOKEY", /keys/],
      ["no such keyring", "ENOKEY", /number/],
    ] as const
  ) {
    const stream = keys(keyring);
    await assert.rejects(stream.ready, (error) => {
      assert(error instanceof SystemError);
      assert.equal(error.code, code);
      assert.match(error.hint, hint);
      return true;
    });
    await assert.rejects(stream[Symbol.asyncIterator]().next(), SystemError);
  }
});

test("every end gives all back", settings, async () => {
  using ring = new OwnKeyring();
  const open = () => openLinks().filter((link) => /pipe|eventpoll|eventfd/.test(link)).length;
  const before = open();
  for (const end of ["close", "break", "abort", "abort at once", "dispose", "throw"]) {
    const controller = new AbortController();
    const stream = keys(ring.id, { signal: controller.signal });
    if (end === "abort at once") controller.abort();
    await stream.ready;
    const one = addKey("user", end, "1", ring.id);
    if (end === "close") await stream.close();
    else if (end === "dispose") await stream[Symbol.asyncDispose]();
    else if (end === "break") { for await (const _ of stream) break; }
    else if (end === "throw") {
      await assert.rejects(async () => {
        for await (const _ of stream) throw new Error("mine");
      }, /mine/);
    } else {
      controller.abort();
      for await (const _ of stream);
    }
    await stream.close();
    assert.equal(open(), before, end);
    act("update", one, "2"); // nobody listens
  }
});

test("a slow consumer, whose notes the kernel holds", settings, async () => {
  using ring = new OwnKeyring();
  const one = addKey("user", "one", "1", ring.id);
  const stream = keys(ring.id);
  await stream.ready;
  const { capacity } = stream.stats();
  let told = 0;
  // More than the queue of events has room for, a part of the kernel's at a time.
  while (stream.stats().notes < 16_384) {
    const { notes } = stream.stats();
    for (let i = 0; i < capacity / 2; i++) act("update", one, `${i}`);
    const end = performance.now() + 20_000;
    while (stream.stats().notes < notes + capacity / 2) {
      assert(performance.now() < end);
      await aWhile();
    }
  }
  const { notes } = stream.stats();
  for (let i = 0; i < 2 * capacity; i++) act("update", one, `${i}`);
  for await (const batch of stream.batches()) {
    told += batch.length;
    if (batch.some(({ kind }) => kind === "lost")) break;
  }
  assert(told >= notes + capacity, `${told} after ${notes}`);
  assert.equal(stream.stats().dropped, 0);
});

test(
  "more keys than may be watched: a gap, lost, and watched once there is room",
  settings,
  async () => {
    const script = `
    import { keys } from ${JSON.stringify(moduleFile("mod.ts"))};
    import { act, addKey, OwnKeyring } from ${JSON.stringify(moduleFile("tests/keyed.ts"))};
    using ring = new OwnKeyring();
    const add = (name, count) =>
      Array.from({ length: count }, (_, i) => addKey("user", name + i, "1", ring.id));
    const first = add("first", 80);
    {
      await using stream = keys(ring.id);
      await stream.ready;
      const [{ watches, gaps }] = stream.coverage();
      console.log(watches + gaps.length, ...new Set(gaps.map((gap) => gap.reason)));
    }
    act("clear", ring.id);
    // The kernel counts watches until some time after their end.
    const again = async () => {
      const stream = keys(ring.id);
      return await stream.ready.then(() => stream, again);
    };
    await using stream = await again();
    console.log(stream.coverage()[0].gaps.length);
    const second = add("second", 80);
    for await (const { kind, attributes } of stream) {
      if (kind !== "lost") continue;
      console.log(attributes.reason, stream.coverage()[0].gaps.length > 0);
      await keys(ring.id).ready.catch((error) => console.log(error.name, error.code));
      break;
    }
    for (const key of second.slice(1)) act("unlink", key, ring.id);
    await using last = await again();
    while (last.coverage()[0].gaps.length > 0) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    console.log(last.stats().watches);
  `;
    const ended = await runScript(script, {
      under: ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"],
      deadline: 100_000,
    });
    const lines = [
      "81 the limit of watches is used up (EAGAIN)",
      "0",
      "the limit of watches is used up (RLIMIT_NOFILE) true",
      "WatchLimitError EAGAIN",
      "2",
      "",
    ];
    assert.deepEqual(ended, { status: 0, stdout: lines.join("\n"), stderr: "" });
  },
);

test("the process ends by itself when the stream is closed", settings, async () => {
  const ended = await runScript(
    `
    import { keys } from ${JSON.stringify(moduleFile("mod.ts"))};
    const stream = keys("process");
    await stream.ready;
    console.log(stream.coverage().length);
    await stream.close();
  `,
    { deadline: 100_000 },
  );
  assert.deepEqual(ended, { status: 0, stdout: "1\n", stderr: "" });
});

const asRoot = { ...settings, skip: whyNoKeys || (isRoot ? false : "needs root") };

test("as nobody", { ...asRoot, timeout: 600_000 }, async () => {
  await testAsNobody("tests/keys_live_test.ts", FOR_ALL, 500_000);
});

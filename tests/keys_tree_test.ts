/** Which keys are watched, and what is told that the kernel does not: real keyrings, and watches that are made up. */

import assert from "node:assert/strict";
import test from "node:test";
import type { KeyNote } from "../backends/keys/decode.ts";
import { describeKey, keyringId, keysIn } from "../backends/keys/keyctl.ts";
import { KeyTree, type Watches } from "../backends/keys/tree.ts";
import { EAGAIN, EBUSY, ENOKEY } from "../ffi/abi/errno.ts";
import { SystemError, WatchLimitError } from "../ffi/errno.ts";
import { openLibc } from "../ffi/libc.ts";
import { act, addKey, OwnKeyring, whyNoKeyrings } from "./keyed.ts";
import { seed, wholeNumbers } from "./random.ts";
import { until } from "./runtime.ts";

const libc = await openLibc();
const settings = { skip: whyNoKeyrings };

/** Watches that are kept here, with the notes that the kernel makes of their end. */
class MadeUp implements Watches {
  readonly watched = new Map<number, number>();
  /** What is to be read. */
  queue: KeyNote[] = [];
  limit = Infinity;

  watch(key: number, tag: number): number {
    if (this.watched.has(key)) return EBUSY;
    if (describeKey(libc, key) === undefined) return libc.errno();
    if (this.watched.size >= this.limit) return EAGAIN;
    this.watched.set(key, tag);
    return 0;
  }

  unwatch(key: number): void {
    if (!this.watched.delete(key)) return;
    this.queue.push({ type: 0, subtype: 0, info: 16, tag: 0, id: key });
  }
}

/** What the kernel says of a link. */
const link = (subtype: number) => (keyId: number, aux: number): KeyNote => ({
  type: 1,
  subtype,
  info: 16,
  tag: 0,
  keyId,
  aux,
});
const [linked, unlinked, cleared] = [link(2), link(3), link(4)];

function treeOf(...roots: number[]): { readonly tree: KeyTree; readonly pipe: MadeUp } {
  const pipe = new MadeUp();
  const tree = new KeyTree(libc, pipe, roots.map((id, tag) => ({ keyring: id, id, tag })));
  tree.begin();
  return { tree, pipe };
}

/** What it looked, in short. */
function seen(notes: readonly KeyNote[]): string[] {
  return notes.map(({ subtype, keyId, aux, id }) =>
    id === undefined ? `${subtype === 2 ? "link" : "unlink"} ${aux} ${keyId}` : `remove ${id}`
  );
}

const numbers = (keys: Iterable<number>) => [...keys].sort((a, b) => a - b);

test("what is below is watched, and what was there is no news", settings, () => {
  using ring = new OwnKeyring();
  const one = addKey("user", "one", "1", ring.id);
  const inner = addKey("keyring", "inner", "", ring.id);
  const deep = addKey("user", "deep", "2", inner);
  const { tree, pipe } = treeOf(ring.id);
  assert.deepEqual(numbers(pipe.watched.keys()), numbers([ring.id, one, inner, deep]));
  assert.deepEqual([tree.keyringOf(ring.id), tree.keyringOf(one), tree.keyringOf(deep)], [
    undefined,
    ring.id,
    inner,
  ]);
  assert.deepEqual(tree.look(), []);
  assert.deepEqual(tree.coverage(), [
    { keyring: ring.id, key: describeKey(libc, ring.id), tag: 0, watches: 4, gaps: [] },
  ]);
  assert.equal(tree.see(deep).description, "deep");
});

test("what comes is watched; what the kernel told is not told again", settings, () => {
  using ring = new OwnKeyring();
  const { tree, pipe } = treeOf(ring.id);
  const one = addKey("user", "one", "1", ring.id);
  assert(tree.follow(linked(ring.id, one)));
  tree.settle();
  assert.deepEqual(seen(tree.look()), []);
  assert(pipe.watched.has(one));
  act("unlink", one, ring.id);
  assert(tree.follow(unlinked(ring.id, one)));
  tree.settle();
  assert.deepEqual(seen(tree.look()), []);
  assert(!pipe.watched.has(one));
  assert.equal(tree.see(one).description, "one", "it is known until the end of its watch is read");
  assert.equal(tree.removed(one), false, "that was ended here");
  assert.deepEqual(Object.keys(tree.known(one)), ["id"]);
});

test("what is in a keyring that comes is told, once", settings, () => {
  using ring = new OwnKeyring();
  using other = new OwnKeyring();
  const one = addKey("user", "one", "1", other.id);
  const { tree, pipe } = treeOf(ring.id);
  act("link", other.id, ring.id);
  assert(tree.follow(linked(ring.id, other.id)));
  const two = addKey("user", "two", "2", other.id);
  tree.settle();
  assert.deepEqual(
    seen(tree.look()).sort(),
    [`link ${one} ${other.id}`, `link ${two} ${other.id}`].sort(),
  );
  assert.deepEqual(numbers(pipe.watched.keys()), numbers([ring.id, other.id, one, two]));
  // Its note was queued behind the watch on the keyring.
  assert.equal(tree.follow(linked(other.id, two)), false);
  assert.equal(tree.follow(linked(other.id, two)), true, "again, by whoever links it again");
});

test("a key in two keyrings is watched until both have lost it", settings, () => {
  using ring = new OwnKeyring();
  const [a, b] = [addKey("keyring", "a", "", ring.id), addKey("keyring", "b", "", ring.id)];
  const one = addKey("user", "one", "1", a);
  act("link", one, b);
  const { tree, pipe } = treeOf(ring.id);
  act("unlink", one, a);
  tree.follow(unlinked(a, one));
  tree.look();
  assert(pipe.watched.has(one));
  assert.equal(tree.keyringOf(one), b);
  act("clear", b);
  tree.follow(cleared(b, 0));
  assert.deepEqual(seen(tree.look()), []);
  assert(!pipe.watched.has(one));
});

test("left and back again before the end of the watch is read", settings, () => {
  using ring = new OwnKeyring();
  using other = new OwnKeyring();
  const one = addKey("user", "one", "1", other.id);
  act("link", one, ring.id);
  const { tree, pipe } = treeOf(ring.id);
  act("unlink", one, ring.id);
  tree.follow(unlinked(ring.id, one));
  tree.look();
  act("link", one, ring.id);
  tree.follow(linked(ring.id, one));
  tree.look();
  assert(pipe.watched.has(one));
  assert.deepEqual(pipe.queue.map(({ id }) => id), [one]);
  assert.equal(tree.removed(one), false, "the key is there, and watched");
  assert(pipe.watched.has(one));
});

test("a key that is displaced by another of its name is unlinked", settings, () => {
  using ring = new OwnKeyring();
  using other = new OwnKeyring();
  const [old, young] = [addKey("user", "x", "1", ring.id), addKey("user", "x", "2", other.id)];
  const { tree } = treeOf(ring.id);
  act("link", young, ring.id);
  assert.deepEqual(keysIn(libc, ring.id), [young]);
  tree.follow(linked(ring.id, young));
  assert.deepEqual(seen(tree.look()), [`unlink ${old} ${ring.id}`]);
});

test("a destroyed key, and the last of what was asked for", settings, async () => {
  const ring = new OwnKeyring();
  const one = addKey("user", "one", "1", ring.id);
  const { tree, pipe } = treeOf(ring.id);
  act("invalidate", one);
  await until(() => keysIn(libc, ring.id)!.length === 0); // the kernel tells of the end of the watch after that
  pipe.watched.delete(one);
  assert.equal(tree.removed(one), true);
  assert.equal(tree.removed(one), false, "once");
  assert.deepEqual(seen(tree.look()), [], "no other word of it");
  assert(!tree.isEmpty);
  act("invalidate", ring.id);
  pipe.watched.delete(ring.id);
  assert.equal(tree.removed(ring.id), true);
  assert(tree.isEmpty);
  ring[Symbol.dispose]();
});

test("after a loss: what came, what went, what is watched", settings, () => {
  using ring = new OwnKeyring();
  using gone = new OwnKeyring();
  const [one, two] = [addKey("user", "one", "1", ring.id), addKey("user", "two", "1", ring.id)];
  const { tree, pipe } = treeOf(ring.id, gone.id);
  act("unlink", two, ring.id);
  const three = addKey("user", "three", "1", ring.id);
  act("invalidate", gone.id);
  pipe.watched.delete(gone.id);
  tree.doubt();
  assert.deepEqual(seen(tree.look()), [
    `link ${three} ${ring.id}`,
    `unlink ${two} ${ring.id}`,
    `remove ${gone.id}`,
  ]);
  assert.deepEqual(numbers(pipe.watched.keys()), numbers([ring.id, one, three]));
  assert.equal(tree.watches, 3);
  assert.deepEqual(tree.coverage().map(({ tag }) => tag), [0]);
});

test("a revoked keyring is empty, a revoked key known from before", settings, () => {
  using ring = new OwnKeyring();
  const inner = addKey("keyring", "inner", "", ring.id);
  const one = addKey("user", "one", "1", inner);
  const { tree, pipe } = treeOf(ring.id);
  act("revoke", inner);
  assert(tree.follow(link(5)(inner, 0)));
  assert.deepEqual(seen(tree.look()), []);
  assert(!pipe.watched.has(one));
  assert.equal(tree.see(inner).description, "inner");
  assert.match(
    tree.coverage()[0]!.gaps[0]!.reason,
    /cannot be read: it is revoked \(EKEYREVOKED\)/,
  );
});

test("what may not be seen, or not be read, is a gap", settings, () => {
  using ring = new OwnKeyring();
  const hidden = addKey("user", "hidden", "1", ring.id);
  const closed = addKey("keyring", "closed", "", ring.id);
  addKey("user", "inside", "1", closed);
  act("setPermissions", hidden, 0x00220000); // the owner: read, set attributes
  act("setPermissions", closed, 0x00210000); // the owner: view, set attributes
  const secret = addKey("keyring", "secret", "", ring.id);
  const deep = addKey("user", "deep", "1", secret);
  act("setPermissions", secret, 0x00220000);
  const { tree, pipe } = treeOf(ring.id);
  assert.deepEqual(numbers(pipe.watched.keys()), numbers([ring.id, closed]));
  const gaps = tree.coverage()[0]!.gaps.map(({ key, reason }) => [key.id, reason] as const);
  assert.deepEqual(
    new Map(gaps),
    new Map([
      [hidden, "permission denied (EACCES)"],
      [secret, "permission denied (EACCES)"],
      [closed, "what is in it cannot be read: permission denied (EACCES)"],
    ]),
  );
  assert.deepEqual(tree.see(hidden), { id: hidden });
  act("setPermissions", hidden, 0x3f000000);
  act("setPermissions", closed, 0x3f000000);
  act("setPermissions", secret, 0x3f000000);
  assert.deepEqual(seen(tree.look()), [], "it was there, as far as is known");
  assert.deepEqual(tree.coverage()[0]!.gaps, []);
  assert.equal(pipe.watched.size, 6);
  assert.equal(tree.keyringOf(deep), secret);
});

test("the limit of watches", settings, () => {
  using ring = new OwnKeyring();
  const { tree, pipe } = treeOf(ring.id);
  assert.equal(tree.isLimited, false);
  pipe.limit = 1;
  const one = addKey("user", "one", "1", ring.id);
  tree.follow(linked(ring.id, one));
  tree.look();
  assert.equal(tree.isLimited, true);
  assert.match(tree.coverage()[0]!.gaps[0]!.reason, /limit of watches is used up \(EAGAIN\)/);
  pipe.limit = 2;
  tree.look();
  assert.equal(tree.isLimited, false);
  assert(pipe.watched.has(one));
  pipe.limit = 0;
  const again = new KeyTree(
    libc,
    new (class extends MadeUp {
      override limit = 0;
    })(),
    [{ keyring: ring.id, id: ring.id, tag: 0 }],
  );
  assert.throws(() => again.begin(), (error) => {
    assert(error instanceof WatchLimitError);
    assert.match(error.hint, /RLIMIT_NOFILE/);
    return true;
  });
});

test("keyrings by what they are, and by name", settings, () => {
  using ring = new OwnKeyring();
  for (const name of ["process", "thread", "session", "user", "user-session"]) {
    const key = describeKey(libc, keyringId(libc, name))!;
    assert.equal(key.type, "keyring", name);
  }
  assert.equal(describeKey(libc, keyringId(libc, "process"))!.description, "_pid");
  for (const name of [ring.description, `%:${ring.description}`, `%keyring:${ring.description}`]) {
    assert.equal(keyringId(libc, name), ring.id, name);
  }
  assert.equal(keyringId(libc, ring.id), ring.id);
  assert.throws(() => keyringId(libc, "no such keyring"), (error) => {
    assert(error instanceof SystemError);
    assert.equal(error.errno, ENOKEY);
    assert.equal(error.syscall, "request_key");
    assert.match(error.message, /^Cannot find keyring "no such keyring": there is no such key/);
    assert.match(error.hint, /number/);
    return true;
  });
});

/** What a consumer believes to be where, by what it was told. */
class Picture {
  readonly #rings = new Map<number, Set<number>>();
  readonly #root: number;

  constructor(root: number) {
    this.#root = root;
    for (const ring of [root, ...keysIn(libc, root)!]) this.of(ring);
  }

  of(ring: number): Set<number> {
    let links = this.#rings.get(ring);
    if (links === undefined) this.#rings.set(ring, links = new Set());
    return links;
  }

  apply({ subtype, keyId = 0, aux = 0 }: KeyNote): void {
    const links = this.of(keyId);
    const gone = subtype === 3 ? [aux] : subtype === 4 ? [...links] : [];
    if (subtype === 2) links.add(aux);
    for (const id of gone) links.delete(id);
    for (const id of gone) this.#forget(id);
  }

  /** What is in a keyring that is nowhere any more. */
  #forget(id: number): void {
    if (id === this.#root || [...this.#rings.values()].some((links) => links.has(id))) return;
    const links = [...this.of(id)];
    this.of(id).clear();
    for (const link of links) this.#forget(link);
  }

  /** Each keyring that is there, and what is in it. */
  seen(of: (ring: number) => Iterable<number>, rings: readonly number[]): string[] {
    const found = new Set([this.#root]);
    for (const ring of found) {
      if (rings.includes(ring)) { for (const id of of(ring)) found.add(id); }
    }
    return rings.filter((ring) => found.has(ring)).map((ring) => `${ring}: ${numbers(of(ring))}`);
  }
}

test("what is told leads to what is there, whatever is done, queued or lost", settings, () => {
  const below = wholeNumbers(seed);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
  using store = new OwnKeyring();
  using twins = new OwnKeyring();
  const names = ["a", "b", "c", "d"];
  const ids = names.flatMap((name) =>
    [store, twins].map(({ id }) => addKey("user", name, "1", id))
  );
  using ring = new OwnKeyring();
  const inner = ["x", "y", "z"].map((name) => addKey("keyring", name, "", store.id));
  const rings = [ring.id, ...inner];
  for (let round = 0; round < 60; round++) {
    for (const id of rings) act("clear", id);
    const { tree, pipe } = treeOf(ring.id);
    const picture = new Picture(ring.id);
    /** Does it, where the kernel lets it be done, and queues what it would tell. */
    const attempt = (note: KeyNote, work: () => void) => {
      try {
        work();
      } catch (error) {
        assert.match(String(error), /EDEADLK|ENOENT/); // a cycle; it is not there
        return;
      }
      if (pipe.watched.has(note.keyId!)) pipe.queue.push(note);
    };
    const drain = (isLost: boolean) => {
      const read = pipe.queue.splice(0);
      if (isLost) read.splice(below(read.length + 1));
      for (const note of read) {
        if (note.id !== undefined) assert.equal(tree.removed(note.id), false);
        else if (tree.follow(note)) picture.apply(note);
      }
      tree.settle();
      if (isLost) tree.doubt();
      // What is done meanwhile is seen, and its notes come later.
      for (let i = below(3); i > 0; i--) step();
      for (const note of tree.look()) picture.apply(note);
    };
    const step = () => {
      const [where, key] = [pick(rings), pick([...ids, ...inner])];
      const what = below(20);
      if (what === 0) attempt(cleared(where, 0), () => act("clear", where));
      else if (what < 8) attempt(unlinked(where, key), () => act("unlink", key, where));
      else attempt(linked(where, key), () => act("link", key, where));
    };
    for (let i = 0; i < 100; i++) {
      step();
      if (below(4) === 0) drain(below(10) === 0);
    }
    while (pipe.queue.length > 0) drain(false);
    const message = `seed ${seed}, round ${round}`;
    const there = picture.seen((id) => keysIn(libc, id)!, rings);
    assert.deepEqual(picture.seen((id) => picture.of(id), rings), there, message);
    const watched = there.flatMap((line) => line.match(/\d+/g)!.map(Number));
    assert.deepEqual(numbers(pipe.watched.keys()), numbers(new Set(watched)), message);
  }
});

test("a large keyring is read as a whole", settings, () => {
  using ring = new OwnKeyring();
  // More than the buffer has room for at first, where the quota of keys allows it: 1024 serial numbers.
  const made: number[] = [];
  try {
    while (made.length < 1500) made.push(addKey("user", `k${made.length}`, "x", ring.id));
  } catch (error) {
    assert.match(String(error), /EDQUOT/); // nobody has 200 keys
  }
  assert(made.length > 100);
  assert.deepEqual(numbers(keysIn(libc, ring.id)!), numbers(made));
  act("clear", ring.id);
});

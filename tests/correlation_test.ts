/**
 * Events find the audited deeds that raised them, in their order, and none finds another's.
 *
 * @module
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Correlation, HOLD, HOLD_BEHIND } from "../classify/correlation.ts";
import type { Deed } from "../classify/deed.ts";
import { type Actor, FileEvent } from "../classify/event.ts";
import type { Kind } from "../classify/kinds.ts";

/** When things happen that are not about time, in ms since the epoch. */
const NOW = 1_000_000;

function actor(pid: number, more: Partial<Actor> = {}): Actor {
  return { pid, self: false, confidence: "exact", ...more };
}

function event(kind: Kind, path: string, more: Partial<FileEvent> = {}): FileEvent {
  return FileEvent.from({ kind, path, ...more }, NOW, "inotify");
}

function deed(kind: Kind, path: string, pid: number, more: Partial<Deed> = {}): Deed {
  return {
    kind,
    path,
    time: NOW,
    actor: actor(pid, { loginUid: 1000, syscall: "call" }),
    attributes: {},
    ...more,
  };
}

const WRITES: Partial<Deed> = { attributes: { flags: ["O_WRONLY", "O_TRUNC"] } };

/** What is told in the end of events that are read at the same time, and of deeds that come `later` or came before. */
function told(
  events: readonly FileEvent[],
  deeds: readonly Deed[],
  later: boolean,
): (readonly [string, string, number | undefined, string | undefined])[] {
  const join = new Correlation<FileEvent>(({ path }) => `inode of ${path}`);
  if (!later) { for (const one of deeds) join.add(one, 0); }
  join.push(events, NOW - 5, 0);
  if (later) { for (const one of deeds) join.add(one, 0); }
  return join.flush().map(({ kind, path, actor }) => [kind, path, actor?.pid, actor?.confidence]);
}

interface Case {
  readonly title: string;
  readonly events: readonly FileEvent[];
  readonly deeds: readonly Deed[];
  readonly pids: readonly (number | undefined)[];
  readonly confidence?: readonly (string | undefined)[];
}

const CASES: readonly Case[] = [
  {
    title: "names that come and go are of one deed each, in their order",
    events: [event("create.file", "/a"), event("remove.file", "/a"), event("create", "/a")],
    deeds: [
      deed("create.file", "/a", 1),
      deed("remove.file", "/a", 2),
      deed("create.file", "/a", 3),
    ],
    pids: [1, 2, 3],
  },
  {
    title: "a rename has both names",
    events: [event("rename", "/b", { from: "/a" })],
    deeds: [deed("rename", "/b", 1, { from: "/c" }), deed("rename", "/b", 2, { from: "/a" })],
    pids: [2],
  },
  {
    title: "what comes in and what goes out have one name",
    events: [event("rename.in", "/w/b"), event("rename.out", "/w/c")],
    deeds: [
      deed("rename", "/w/b", 1, { from: "/b" }),
      deed("rename", "/c", 2, { from: "/w/c" }),
    ],
    pids: [1, 2],
  },
  {
    title: "an exchange is one deed and two events",
    events: [event("rename", "/b", { from: "/a" }), event("rename.in", "/a")],
    deeds: [deed("rename", "/b", 1, { from: "/a", attributes: { exchange: true } })],
    pids: [1, 1],
  },
  {
    title: "what goes out was not moved from there before",
    events: [event("rename", "/w/b", { from: "/w/a" }), event("rename.out", "/w/a")],
    deeds: [
      deed("rename", "/w/b", 1, { from: "/w/a" }),
      deed("rename", "/x", 2, { from: "/w/a" }),
    ],
    pids: [1, 2],
  },
  {
    title: "merged changes by one process are its own",
    events: [event("modify.metadata", "/a")],
    deeds: [
      deed("modify.metadata.permissions", "/a", 7),
      deed("modify.metadata.ownership", "/a", 7),
    ],
    pids: [7],
    confidence: ["likely"],
  },
  {
    title: "merged changes by several processes are by one of them",
    events: [event("modify.metadata", "/a")],
    deeds: [
      deed("modify.metadata.permissions", "/a", 7),
      deed("modify.metadata.permissions", "/a", 8),
    ],
    pids: [8],
    confidence: ["ambiguous"],
  },
  {
    title: "the values tell by whom",
    events: [
      event("modify.metadata.permissions", "/a", { attributes: { after: { mode: 0o600 } } }),
    ],
    deeds: [
      deed("modify.metadata.permissions", "/a", 7, { attributes: { after: { mode: 0o600 } } }),
      deed("modify.metadata.permissions", "/a", 8, { attributes: { after: { mode: 0o640 } } }),
    ],
    pids: [7],
    confidence: ["likely"],
  },
  {
    title: "who left other values did not do it alone",
    events: [
      event("modify.metadata.permissions", "/a", { attributes: { after: { mode: 0o600 } } }),
    ],
    deeds: [
      deed("modify.metadata.permissions", "/a", 8, { attributes: { after: { mode: 0o640 } } }),
    ],
    pids: [8],
    confidence: ["ambiguous"],
  },
  {
    title: "of two kinds of changes each has its own deed",
    events: [
      event("modify.metadata.permissions", "/a"),
      event("modify.metadata.ownership", "/a"),
    ],
    deeds: [
      deed("modify.metadata.ownership", "/a", 7),
      deed("modify.metadata.permissions", "/a", 8),
    ],
    pids: [8, 7],
  },
  {
    title: "flags are changed by whoever changed some of a file that nobody names",
    events: [event("modify.metadata.flags", "/a")],
    deeds: [deed("modify.metadata.flags", "", 9)],
    pids: [9],
  },
  {
    title: "flags that one call changed were not changed by it in another file",
    events: [event("modify.metadata.flags", "/a"), event("modify.metadata.flags", "/b")],
    deeds: [deed("modify.metadata.flags", "", 9)],
    pids: [9, undefined],
    confidence: ["likely", undefined],
  },
  {
    title: "flags of two files by two processes may be of either",
    events: [event("modify.metadata.flags", "/a"), event("modify.metadata.flags", "/b")],
    deeds: [deed("modify.metadata.flags", "", 8), deed("modify.metadata.flags", "", 9)],
    pids: [9, 9],
    confidence: ["ambiguous", "ambiguous"],
  },
  {
    title: "flags are changed by whoever named the file, if anybody did",
    events: [event("modify.metadata.flags", "/a")],
    deeds: [deed("modify.metadata.flags", "/a", 8), deed("modify.metadata.flags", "", 9)],
    pids: [8],
  },
  {
    title: "without a name the inode tells which file it is",
    events: [
      event("modify.metadata.permissions", "/a"),
      event("create.file", "/b"),
      event("rename", "/d", { from: "/c" }),
    ],
    deeds: [
      deed("modify.metadata.permissions", "", 1, { file: "inode of /a" }),
      deed("create.file", "", 2, { file: "inode of /b" }),
      deed("rename", "", 3, { file: "inode of /d" }),
    ],
    pids: [1, 2, 3],
  },
  {
    title: "another inode is another file",
    events: [event("modify.metadata.permissions", "/a")],
    deeds: [deed("modify.metadata.permissions", "", 1, { file: "inode of /b" })],
    pids: [undefined],
    confidence: [undefined],
  },
  {
    title: "who closed a file and changed flags changed those",
    events: [event("modify.metadata.flags", "/a", { actor: actor(9, { confidence: "likely" }) })],
    deeds: [deed("modify.metadata.flags", "", 8), deed("modify.metadata.flags", "", 9)],
    pids: [9],
    confidence: ["exact"],
  },
  {
    title: "who closed a file and changed no flags did not change those",
    events: [event("modify.metadata.flags", "/a", { actor: actor(7, { confidence: "likely" }) })],
    deeds: [deed("modify.metadata.flags", "", 8)],
    pids: [8],
  },
  {
    title: "who opens for writing just before is likely to write",
    events: [event("create.file", "/a"), event("modify.data", "/a")],
    deeds: [deed("create.file", "/a", 1, WRITES)],
    pids: [1, 1],
    confidence: ["likely", "likely"],
  },
  {
    title: "of two who can write it is one",
    events: [event("modify.data", "/a")],
    deeds: [
      deed("access.open", "/a", 1, WRITES),
      deed("access.open", "/a", 2, WRITES),
    ],
    pids: [2],
    confidence: ["ambiguous"],
  },
  {
    title: "who opened it long ago may have closed it",
    events: [event("modify.data", "/a")],
    deeds: [deed("access.open", "/a", 1, { ...WRITES, time: NOW - 60_000 })],
    pids: [1],
    confidence: ["ambiguous"],
  },
  {
    title: "a writer goes on when the file is renamed",
    events: [event("modify.data", "/b")],
    deeds: [
      deed("access.open", "/a", 1, WRITES),
      deed("rename", "/b", 2, { from: "/a" }),
    ],
    pids: [1],
  },
  {
    title: "who opened it under its old name wrote to it there",
    events: [event("modify.data", "/a")],
    deeds: [deed("create.file", "/a", 1, WRITES), deed("rename", "/b", 2, { from: "/a" })],
    pids: [1],
  },
  {
    title: "no call on owners sets times",
    events: [event("modify.metadata.times", "/a")],
    deeds: [deed("modify.metadata.ownership", "/a", 1)],
    pids: [undefined],
    confidence: [undefined],
  },
  {
    title: "what a look finds that was for another's record is whose it is",
    events: [
      event("modify.metadata.times", "/a", { actor: actor(1) }),
      event("modify.metadata.ownership", "/a", { actor: actor(1) }),
    ],
    deeds: [deed("modify.metadata.ownership", "/a", 2)],
    pids: [1, 2],
    confidence: ["exact", "likely"],
  },
  {
    title: "links change with the name",
    events: [event("remove.file", "/a"), event("modify.metadata.links", "/b")],
    deeds: [deed("remove.file", "/a", 4)],
    pids: [4, 4],
  },
  {
    title: "a deed before the time of the event is another's",
    events: [event("create.file", "/a"), event("modify.metadata", "/a")],
    deeds: [
      deed("create.file", "/a", 1, { time: NOW - 1000 }),
      deed("modify.metadata.times", "/a", 1, { time: NOW - 1000 }),
    ],
    pids: [undefined, undefined],
    confidence: [undefined, undefined],
  },
  {
    title: "neither another name nor another act",
    events: [event("create.file", "/a"), event("remove.file", "/b")],
    deeds: [deed("create.file", "/b", 1), deed("remove.file", "/a", 1)],
    pids: [undefined, undefined],
    confidence: [undefined, undefined],
  },
];

for (const { title, events, deeds, pids, confidence } of CASES) {
  for (const later of [false, true]) {
    test(`${title}${later ? ", deeds last" : ""}`, () => {
      const fresh = events.map((one) => FileEvent.from(one, NOW, "inotify"));
      const expected = events.map(({ kind, path }, at) => [
        kind,
        path,
        pids[at],
        confidence === undefined ? "likely" : confidence[at],
      ]);
      assert.deepEqual(told(fresh, deeds, later), expected);
    });
  }
}

test("the kernel's word on who it was is completed, and not replaced", () => {
  const join = new Correlation<FileEvent>();
  const known = actor(5, { exe: "/bin/x" });
  join.push([event("create.file", "/a", { actor: known })], NOW - 5, 0);
  join.add(deed("create.file", "/a", 6), 0);
  assert.deepEqual(join.take(0), [], "another process's deed is not this one's");
  join.add(deed("create.file", "/a", 5), 0);
  const [one] = join.take(0);
  assert.deepEqual({ ...one!.actor }, { ...known, loginUid: 1000, syscall: "call" });
});

test("of the number of links too", () => {
  const join = new Correlation<FileEvent>();
  const links = event("modify.metadata.links", "/a", { actor: actor(5) });
  const others = event("modify.metadata.links", "/c", { actor: actor(6) });
  join.push([event("create.link", "/b", { actor: actor(5) }), links, others], NOW - 5, 0);
  join.add(deed("create.link", "/b", 5), 0);
  assert.deepEqual(join.take(0).map(({ actor }) => actor?.syscall), ["call", "call", undefined]);
});

test("what waits holds up what is behind it, for HOLD ms", () => {
  const join = new Correlation<FileEvent>();
  join.push([event("create.file", "/a")], NOW, 50);
  join.push([event("create.file", "/b"), event("lost", "/")], NOW, 60);
  join.add(deed("create.file", "/b", 2), 60);
  join.add(deed("create.file", "/c", 3, { time: NOW + HOLD }), 60);
  assert.equal(join.due, 50 + HOLD);
  assert.deepEqual(join.take(50 + HOLD - 1), []);
  const last = join.take(50 + HOLD).map(({ path, actor }) => [path, actor?.pid]);
  assert.deepEqual(last, [["/a", undefined], ["/b", 2], ["/", undefined]]);
  assert.deepEqual([join.size, join.due], [0, Infinity]);
});

test("while audit is behind, what waits goes on to wait, but not for ever", () => {
  const join = new Correlation<FileEvent>();
  join.push([event("create.file", "/a")], NOW - 5, 0);
  for (let now = 90; now < HOLD_BEHIND - HOLD; now += 90) {
    join.add(deed("create.file", `/${now}`, 1, { time: NOW - 1 }), now);
    assert.deepEqual(join.take(now + 20), [], `${now}`);
  }
  assert.equal(join.take(HOLD_BEHIND).length, 1);
  join.push([event("create.file", "/b")], NOW - 5, 2000);
  join.add(deed("create.file", "/c", 1, { time: NOW + HOLD }), 2090);
  assert.equal(join.take(2000 + HOLD).length, 1, "audit has told of all before");
  join.push([event("create.file", "/b", { time: NOW + 1000 })], NOW - 5, 3000);
  assert.equal(join.take(3000 + HOLD).length, 1, "audit has nothing more to tell");
});

test("what may be merged waits for more deeds, but not as long", () => {
  const join = new Correlation<FileEvent>();
  join.push([event("modify.metadata", "/a")], NOW, 50);
  join.add(deed("modify.metadata.times", "/a", 3), 55);
  assert.equal(join.due, 75);
  const [one] = join.take(75);
  assert.equal(one!.actor?.pid, 3);
});

test("what nobody audits does not wait", () => {
  const join = new Correlation<FileEvent>();
  const synthetic = event("create.file", "/a");
  synthetic.synthetic = true;
  join.push([synthetic, event("user.hello", "/"), event("access.read", "/a")], NOW, 0);
  assert.equal(join.take(0).length, 3);
});

test("flags that polling finds are of whoever changed some since the last look", () => {
  const found = () =>
    FileEvent.from({ kind: "modify.metadata.flags", path: "/a", synthetic: true }, NOW, "poll");
  const join = new Correlation<FileEvent>();
  join.add(deed("modify.metadata.flags", "", 1, { time: NOW - 5000 }), 0);
  join.add(deed("modify.metadata.flags", "", 2, { time: NOW - 500 }), 0);
  join.push([found()], NOW - 1000, 0);
  const [one] = join.flush();
  assert.deepEqual([one!.actor?.pid, one!.actor?.confidence], [2, "likely"]);
});

test("deeds that nobody asks for are forgotten", () => {
  const join = new Correlation<FileEvent>();
  for (let at = 0; at < 300_000; at++) {
    join.add(deed("create.file", `/f${at}`, at + 1), 0);
  }
  for (let at = 0; at < 100_000; at++) {
    join.add(deed("modify.metadata.times", "/one", at + 1), 0);
  }
  join.push([event("create.file", "/f0")], NOW, 0);
  join.push([event("modify.metadata.times", "/one")], NOW, 0);
  const [first, second] = join.flush();
  assert.equal(first!.actor, undefined);
  assert.deepEqual([second!.actor?.pid, second!.actor?.confidence], [100_000, "ambiguous"]);
});

/** Saves and unfinished files, by scripted events and a clock of the script's own. */

import assert from "node:assert/strict";
import test from "node:test";
import { FileEvent } from "../classify/event.ts";
import type { Kind } from "../classify/kinds.ts";
import { Filter } from "../watch/filter.ts";
import {
  EXCHANGE,
  LONGEST,
  QUIET,
  type SaveOptions,
  Saves,
  SEEN,
  UNKNOWN,
  UNOPENED,
} from "../watch/saves.ts";

/** What a file is when it is looked at: open for writing, or nobody knows; others are closed. */
interface Looks {
  readonly open?: Set<string>;
  readonly unknown?: boolean;
  readonly events?: readonly string[];
}

/**
 * Says `MS KIND PATH`, `MS rename FROM -> PATH` with `!` behind it where another file had the name and `?` where that is not
 * known, a slash after a directory; gives what was told in the same words. An end without words is the end of the clock.
 */
function play(options: Partial<SaveOptions>, script: string, looks: Looks = {}): string[] {
  const filter = new Filter(
    looks.events ?? ["create", "modify", "rename", "remove"],
    [],
    new Set(),
    SEEN,
  );
  const replaced = new Map<FileEvent, boolean>();
  const saves = new Saves(
    { atomicSave: false, writeFinish: false, ...options },
    (kind) => filter.tells(kind),
    ({ path }) => looks.unknown ? undefined : looks.open?.has(path.slice(1)) ?? false,
    replaced,
  );
  const told: string[] = [];
  const note = (at: number, events: readonly FileEvent[]) => {
    for (const { kind, path, from, attributes, isDirectory } of events) {
      const left = from === undefined ? "" : `${from.slice(1)} -> `;
      const extra = attributes.unfinished ? " unfinished" : attributes.coalesced ? " saved" : "";
      told.push(`${at} ${kind} ${left}${path.slice(1)}${isDirectory ? "/" : ""}${extra}`);
    }
  };
  const until = (end: number) => {
    for (let { due } = saves; due <= end && due < Infinity; { due } = saves) {
      note(due, saves.take(due));
    }
  };
  for (const line of script.trim().split("\n")) {
    const [, ms, kind, left, rest = "", mark] = /^\s*(\d+) (\S+) (?:(\S+) -> )?([^\s!?]*)([!?])?$/
      .exec(line)!;
    const now = Number(ms);
    until(now - 0.5);
    if (kind === "close") {
      note(now, saves.flush());
      continue;
    }
    if (kind === "opened") looks.open!.add(rest);
    else if (kind === "closed") looks.open!.delete(rest);
    else {
      const isDirectory = rest.endsWith("/");
      const path = `/${isDirectory ? rest.slice(0, -1) : rest}`;
      const event = new FileEvent(kind as Kind, path, isDirectory, now, "test");
      if (left !== undefined) event.from = `/${isDirectory ? left.slice(0, -1) : left}`;
      if (/^rename(\.in)?$/.test(kind!) && mark !== "?") replaced.set(event, mark === "!");
      note(now, saves.push([event], now));
    }
  }
  until(1e6);
  assert.equal(saves.due, Infinity);
  note(1e6, saves.flush());
  return told;
}

interface Case {
  readonly name: string;
  readonly options: Partial<SaveOptions>;
  readonly script: string;
  readonly told: readonly string[];
  readonly looks?: Looks;
}

const ATOMIC = { atomicSave: true };
const FINISH = { writeFinish: true };
const BOTH = { atomicSave: true, writeFinish: true };

const CASES: Case[] = [
  {
    name: "a temporary file renamed over the old one",
    options: ATOMIC,
    script: `
      0 create.file d/t
      1 modify.data d/t
      2 modify.metadata d/t
      3 access.close.write d/t
      4 rename d/t -> d/a!`,
    told: [`${4 + EXCHANGE} modify.data d/a saved`],
  },
  {
    name: "the next event of the name ends the wait for an exchange",
    options: ATOMIC,
    script: `
      0 create.file d/t
      1 access.close.write d/t
      2 rename d/t -> d/a!
      3 modify.metadata d/a
      4 create.file d/t
      5 access.close.write d/t
      6 rename d/t -> d/a!
      7 remove d/a`,
    told: [
      "3 modify.data d/a saved",
      "3 modify.metadata d/a",
      "7 modify.data d/a saved",
      "7 remove d/a",
    ],
  },
  {
    name: "an exchange is no save",
    options: ATOMIC,
    script: `
      0 create.file d/t
      1 access.close.write d/t
      2 rename d/t -> d/a!
      2 rename d/a -> d/t!`,
    told: ["2 create.file d/t", "2 rename d/t -> d/a", "2 rename d/a -> d/t"],
  },
  {
    name: "a rename to a free name, or to one of which nothing is known",
    options: ATOMIC,
    script: `
      0 create.file d/t
      1 access.close.write d/t
      2 rename d/t -> d/a
      10 create.file d/t
      11 access.close.write d/t
      12 rename d/t -> d/b?`,
    told: [
      "2 create.file d/t",
      "2 rename d/t -> d/a",
      "12 create.file d/t",
      "12 rename d/t -> d/b",
    ],
  },
  {
    name: "a known file moved over another one is a rename",
    options: ATOMIC,
    script: "0 rename d/b -> d/a!",
    told: ["0 rename d/b -> d/a"],
  },
  {
    name: "a new file that is no temporary one",
    options: ATOMIC,
    script: `
      0 create.file d/a
      1 modify.data d/a
      2 access.close.write d/a
      3 modify.metadata d/a`,
    told: ["create.file", "modify.data", "modify.metadata"].map((kind) =>
      `${3 + QUIET} ${kind} d/a`
    ),
  },
  {
    name: "a rename that comes too late",
    options: ATOMIC,
    script: `
      0 create.file d/t
      1 access.close.write d/t
      ${1 + QUIET + 1} rename d/t -> d/a!`,
    told: [`${1 + QUIET} create.file d/t`, `${1 + QUIET + 1} rename d/t -> d/a`],
  },
  {
    name: "a long save is told as it happens",
    options: ATOMIC,
    script: `
      0 create.file d/t
      900 modify.data d/t
      2000 access.close.write d/t
      2001 rename d/t -> d/a!`,
    told: [
      `${LONGEST} create.file d/t`,
      `${LONGEST} modify.data d/t`,
      "2001 rename d/t -> d/a",
    ],
    looks: { open: new Set(["d/t"]) },
  },
  {
    name: "a long save, with writeFinish",
    options: BOTH,
    script: `
      0 create.file d/t
      900 modify.data d/t
      2000 closed d/t
      2000 access.close.write d/t
      2001 rename d/t -> d/a!`,
    told: [`${2001 + EXCHANGE} modify.data d/a saved`],
    looks: { open: new Set(["d/t"]) },
  },
  {
    name: "renamed over before it was closed",
    options: ATOMIC,
    script: `
      0 create.file d/t
      1 modify.data d/t
      2 rename d/t -> d/a!
      300 modify.data d/a
      301 access.close.write d/a`,
    told: [`${2 + EXCHANGE} modify.data d/a saved`, "300 modify.data d/a"],
  },
  {
    name: "renamed over before it was closed, with writeFinish",
    options: BOTH,
    script: `
      0 create.file d/t
      1 modify.data d/t
      2 rename d/t -> d/a!
      300 closed d/a
      301 access.close.write d/a`,
    told: ["301 modify.data d/a saved"],
    looks: { open: new Set(["d/t", "d/a"]) },
  },
  {
    name: "vim: moved aside, written anew, the backup removed",
    options: ATOMIC,
    script: `
      0 create.file d/4913
      0 access.close.write d/4913
      0 remove d/4913
      1 rename d/a -> d/a~
      2 create.file d/a
      3 modify.data d/a
      4 access.close.write d/a
      5 modify.metadata d/a
      6 remove d/a~`,
    told: ["6 modify.data d/a saved"],
  },
  {
    name: "vim, as merged records tell it",
    options: ATOMIC,
    script: `
      0 rename d/a -> d/a~
      0 remove d/a~
      0 create.file d/a
      0 modify.data d/a
      0 access.close.write d/a`,
    told: ["0 modify.data d/a saved"],
  },
  {
    name: "vim keeps the backup",
    options: ATOMIC,
    script: `
      0 create d/4913
      0 remove d/4913
      1 rename d/a -> d/a~
      2 create.file d/a
      3 modify.data d/a
      4 access.close.write d/a`,
    told: [
      "create d/4913",
      "remove d/4913",
      "rename d/a -> d/a~",
      "create.file d/a",
      "modify.data d/a",
    ].map((event) => `${4 + QUIET} ${event}`),
  },
  {
    name: "the backup took its name from another file",
    options: ATOMIC,
    script: `
      0 rename d/a -> d/a~!
      1 create.file d/a
      2 access.close.write d/a
      3 remove d/a~`,
    told: ["0 rename d/a -> d/a~", "3 remove d/a~", `${2 + QUIET} create.file d/a`],
  },
  {
    name: "vim: copied aside, written in place",
    options: ATOMIC,
    script: `
      0 create.file d/a~
      1 modify.data d/a~
      2 access.close.write d/a~
      3 modify.data d/a
      4 modify.data d/a
      5 access.close.write d/a
      6 remove d/a~`,
    told: ["6 modify.data d/a saved"],
  },
  {
    name: "vim in place, as merged records tell it, with either option",
    options: BOTH,
    script: `
      0 create d/a~
      0 modify.data d/a~
      0 access.close.write d/a~
      0 remove d/a~
      0 modify.data d/a
      0 access.close.write d/a`,
    told: ["0 modify.data d/a saved"],
  },
  {
    name: "a backup that comes and goes alone",
    options: ATOMIC,
    script: `
      0 create d/a~
      1 access.close.write d/a~
      2 remove d/a~`,
    told: [`${2 + QUIET} create d/a~`, `${2 + QUIET} remove d/a~`],
  },
  {
    name: "4913 alone, and names that vim does not try",
    options: ATOMIC,
    script: `
      0 create d/5036
      1 remove d/5036
      2 create d/5037
      3 remove d/5037`,
    told: [
      "3 create d/5037",
      "3 remove d/5037",
      `${1 + QUIET} create d/5036`,
      `${1 + QUIET} remove d/5036`,
    ],
  },
  {
    name: "JetBrains: a new file takes the name of one that was moved aside",
    options: ATOMIC,
    script: `
      0 create.file d/a___jb_tmp___
      1 modify.data d/a___jb_tmp___
      2 access.close.write d/a___jb_tmp___
      3 rename d/a -> d/a___jb_old___
      4 rename d/a___jb_tmp___ -> d/a
      5 remove d/a___jb_old___`,
    told: ["5 modify.data d/a saved"],
  },
  {
    name: "GNOME: a link as backup is told",
    options: ATOMIC,
    script: `
      0 create.file d/.goutputstream-1
      1 modify.data d/.goutputstream-1
      2 create.link d/a~
      3 access.close.write d/.goutputstream-1
      4 rename d/.goutputstream-1 -> d/a!`,
    told: ["2 create.link d/a~", `${4 + EXCHANGE} modify.data d/a saved`],
  },
  {
    name: "a rename within a directory waits, one elsewhere does not",
    options: ATOMIC,
    script: `
      0 rename d/a -> d/b
      1 rename d/c -> e/c`,
    told: ["1 rename d/c -> e/c", `${QUIET} rename d/a -> d/b`],
  },
  {
    name: "a file that comes from outside over another one",
    options: ATOMIC,
    script: `
      0 rename.in d/a!
      1 rename.in d/b`,
    told: ["1 rename.in d/b", `${EXCHANGE} modify.data d/a saved`],
  },
  {
    name: "what is only modified is wanted",
    options: ATOMIC,
    script: `
      0 create.file d/t
      1 access.close.write d/t
      2 rename d/t -> d/a!`,
    told: [`${2 + EXCHANGE} modify.data d/a`],
    looks: { events: ["modify.data"] },
  },
  {
    name: "accesses of the saved file are told",
    options: ATOMIC,
    script: `
      0 rename d/a -> d/a~
      1 create.file d/a
      2 access.close.write d/a
      3 remove d/a~`,
    told: ["3 modify.data d/a saved", "3 access.close.write d/a"],
    looks: { events: ["create", "modify", "rename", "remove", "access"] },
  },
  {
    name: "a directory that is renamed takes nothing untold with it",
    options: BOTH,
    script: `
      0 create.file d/a
      1 modify.data d/a
      2 rename d/ -> e/
      3 modify.data e/a
      4 closed e/a
      4 access.close.write e/a`,
    told: [
      "2 create.file d/a unfinished",
      "2 modify.data d/a unfinished",
      "2 rename d -> e/",
      "4 modify.data e/a",
    ],
    looks: { open: new Set(["d/a", "e/a"]) },
  },
  {
    name: "a new file is told once it is closed",
    options: FINISH,
    script: `
      0 create.file a
      1 modify.data a
      500 modify.data a
      600 modify.metadata a
      5000 closed a
      5000 access.close.write a`,
    told: ["5000 create.file a", "5000 modify.data a", "5000 modify.metadata a"],
    looks: { open: new Set(["a"]) },
  },
  {
    name: "a changed file is told once it is closed; its metadata at once",
    options: FINISH,
    script: `
      0 modify.data a
      1 modify.data a
      2 modify.metadata a
      3 access.close.write a
      4 access.close.write a`,
    told: ["2 modify.metadata a", "3 modify.data a"],
  },
  {
    name: "several writers: the last one",
    options: FINISH,
    script: `
      0 modify.data a
      1 access.close.write a
      2 modify.data a
      30 closed a
      30 access.close.write a`,
    told: ["30 modify.data a"],
    looks: { open: new Set(["a"]) },
  },
  {
    name: "several writers where no look tells: each",
    options: FINISH,
    script: `
      0 modify.data a
      1 access.close.write a
      2 modify.data a
      30 access.close.write a`,
    told: ["1 modify.data a", "30 modify.data a"],
    looks: { unknown: true },
  },
  {
    name: "truncate(2), mknod(2): no close comes",
    options: FINISH,
    script: `
      0 modify.data a
      5 create.file b`,
    told: [`${UNOPENED} modify.data a`, `${5 + UNOPENED} create.file b`],
  },
  {
    name: "the same where no look tells",
    options: FINISH,
    script: `
      0 modify.data a
      ${UNKNOWN - 1} modify.data a`,
    told: [`${UNKNOWN - 1 + UNKNOWN} modify.data a`],
    looks: { unknown: true },
  },
  {
    name: "links and what is no file are told at once",
    options: BOTH,
    script: `
      0 create.symlink a
      0 create.link b
      0 create.other c
      0 create.directory d/
      0 rename.in e`,
    told: [
      "0 create.symlink a",
      "0 create.link b",
      "0 create.other c",
      "0 create.directory d/",
      "0 rename.in e",
    ],
  },
  {
    name: "removed before it was closed",
    options: FINISH,
    script: `
      0 create.file a
      1 modify.data a
      2 remove a`,
    told: ["2 create.file a unfinished", "2 modify.data a unfinished", "2 remove a"],
    looks: { open: new Set(["a"]) },
  },
  {
    name: "renamed before it was closed",
    options: FINISH,
    script: `
      0 create.file a
      1 modify.data a
      2 rename a -> b?
      3 modify.data b
      9 closed b
      9 access.close.write b`,
    told: ["2 create.file a unfinished", "2 rename a -> b", "9 modify.data b"],
    looks: { open: new Set(["a", "b"]) },
  },
  {
    name: "one that never closes is unfinished at the end",
    options: FINISH,
    script: `
      0 create.file log
      1 modify.data log
      50000 modify.data log
      100000 close /`,
    told: ["100000 create.file log unfinished", "100000 modify.data log unfinished"],
    looks: { open: new Set(["log"]) },
  },
  {
    name: "a loss ends all waiting",
    options: BOTH,
    script: `
      0 create.file a
      1 rename b -> c
      2 lost /`,
    told: ["2 create.file a unfinished", "2 rename b -> c", "2 lost /"],
    looks: { open: new Set(["a"]) },
  },
  {
    name: "moved aside, and written for long",
    options: BOTH,
    script: `
      0 rename a -> b
      1 create.file a
      2 modify.data a
      5000 closed a
      5000 access.close.write a`,
    told: [
      `${LONGEST} rename a -> b`,
      `${5000 + QUIET} create.file a`,
      `${5000 + QUIET} modify.data a`,
    ],
    looks: { open: new Set(["a"]) },
  },
];

for (const { name, options, script, told, looks } of CASES) {
  const on = Object.keys(options).join(", ");
  test(`${on}: ${name}`, () => assert.deepEqual(play(options, script, looks), told));
}

test("names that are no text", () => {
  const bytes = (text: string) => new Uint8Array([...text].map((char) => char.charCodeAt(0)));
  const saves = new Saves(
    { atomicSave: true, writeFinish: false },
    () => true,
    () => false,
    { get: () => true },
  );
  const event = (kind: Kind, name: string, from?: string) => {
    const event = new FileEvent(kind, `/d/${name.replace(/[^ -~]/g, "\ufffd")}`, false, 0, "test");
    event.pathBytes = bytes(`/d/${name}`);
    if (from !== undefined) {
      event.from = `/d/${from.replace(/[^ -~]/g, "\ufffd")}`;
      event.fromBytes = bytes(`/d/${from}`);
    }
    return event;
  };
  const create = event("create.file", "\xfe");
  assert.deepEqual(saves.push([create, event("create.file", "\xfd")], 0), []);
  assert.deepEqual(saves.push([event("rename", "\xff", "\xfe")], 1), []);
  const [saved, ...rest] = saves.take(1 + EXCHANGE);
  assert.deepEqual(rest, []);
  assert.equal(saved?.kind, "modify.data");
  assert.equal(saved?.path, "/d/\ufffd");
  assert.deepEqual(saved?.pathBytes, bytes("/d/\xff"));
  assert.equal(saved?.attributes.coalesced?.[0], create);
});

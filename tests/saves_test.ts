/** Saves and unfinished files, by scripted events and a clock of the script's own. */

import assert from "node:assert/strict";
import test from "node:test";
import { FileEvent } from "../classify/event.ts";
import type { Kind } from "../classify/kinds.ts";
import { Filter } from "../watch/filter.ts";
import {
  AGAIN,
  EXCHANGE,
  LONGEST,
  QUIET,
  type SaveOptions,
  Saves,
  SEEN,
  UNKNOWN,
  UNOPENED,
} from "../watch/saves.ts";

/** What the script does not say. */
interface Circumstances {
  /** Whether nobody knows what is open for writing. */
  readonly unknown?: boolean;
  /** What is wanted. */
  readonly events?: readonly string[];
}

/**
 * Says `MS KIND PATH`, `~` before the kind of what was found by looking, `MS rename FROM -> PATH` with `!` behind it where
 * another file had the name and `?` where that is not known, a slash after a directory; `MS opened PATH` and
 * `MS closed PATH` say what looking at a file finds, open for writing or closed. Gives what was told in the same words. An
 * end without words is the end of the clock.
 */
function play(
  options: Partial<SaveOptions>,
  script: string,
  { unknown = false, events = ["create", "modify", "rename", "remove"] }: Circumstances = {},
): string[] {
  const filter = new Filter(events, [], new Set(), SEEN);
  const open = new Set<string>();
  const replaced = new Map<FileEvent, boolean>();
  const saves = new Saves(
    { atomicSave: false, writeFinish: false, ...options },
    (kind) => filter.tells(kind),
    ({ path }) => unknown ? undefined : open.has(path.slice(1)),
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
    const [, ms, found, kind, left, rest = "", mark] =
      /^\s*(\d+) (~)?(\S+) (?:(\S+) -> )?([^\s!?]*)([!?])?$/
        .exec(line)!;
    const now = Number(ms);
    until(now - 0.5);
    if (kind === "close") {
      note(now, saves.flush());
      continue;
    }
    if (kind === "opened") open.add(rest);
    else if (kind === "closed") open.delete(rest);
    else {
      const isDirectory = rest.endsWith("/");
      const path = `/${isDirectory ? rest.slice(0, -1) : rest}`;
      const event = new FileEvent(kind as Kind, path, isDirectory, now, "test");
      if (found !== undefined) event.synthetic = true;
      if (left !== undefined) event.from = `/${isDirectory ? left.slice(0, -1) : left}`;
      if (/^rename(\.in)?$/.test(kind!) && mark !== "?") replaced.set(event, mark === "!");
      note(now, saves.push([event], now));
    }
  }
  until(1e6);
  note(1e6, saves.flush());
  assert.equal(saves.due, Infinity);
  return told;
}

interface Case {
  readonly name: string;
  readonly options: Partial<SaveOptions>;
  readonly script: string;
  readonly told: readonly string[];
  readonly about?: Circumstances;
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
      0 opened d/t
      0 create.file d/t
      900 modify.data d/t
      2000 access.close.write d/t
      2001 rename d/t -> d/a!`,
    told: [
      `${LONGEST} create.file d/t`,
      `${LONGEST} modify.data d/t`,
      "2001 rename d/t -> d/a",
    ],
  },
  {
    name: "a long save, with writeFinish",
    options: BOTH,
    script: `
      0 opened d/t
      0 create.file d/t
      900 modify.data d/t
      2000 closed d/t
      2000 access.close.write d/t
      2001 rename d/t -> d/a!`,
    told: [`${2001 + EXCHANGE} modify.data d/a saved`],
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
      0 opened d/t
      0 opened d/a
      0 create.file d/t
      1 modify.data d/t
      2 rename d/t -> d/a!
      300 closed d/a
      301 access.close.write d/a`,
    told: ["301 modify.data d/a saved"],
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
    about: { events: ["modify.data"] },
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
    about: { events: ["create", "modify", "rename", "remove", "access"] },
  },
  {
    name: "a directory that is renamed takes nothing untold with it",
    options: BOTH,
    script: `
      0 opened d/a
      0 opened e/a
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
  },
  {
    name: "a new file is told once it is closed",
    options: FINISH,
    script: `
      0 opened a
      0 create.file a
      1 modify.data a
      500 modify.data a
      600 modify.metadata a
      5000 closed a
      5000 access.close.write a`,
    told: ["5000 create.file a", "5000 modify.data a", "5000 modify.metadata a"],
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
      0 opened a
      0 modify.data a
      1 access.close.write a
      2 modify.data a
      30 closed a
      30 access.close.write a`,
    told: ["30 modify.data a"],
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
    about: { unknown: true },
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
    about: { unknown: true },
  },
  {
    name: "what is found by looking is told at once, unless it is open",
    options: FINISH,
    script: `
      0 opened c
      0 ~create.file a
      0 ~modify.data b
      0 ~create.file c
      9 closed c
      9 access.close.write c`,
    told: ["0 create.file a", "0 modify.data b", "9 create.file c"],
  },
  {
    name: "where no close is told, a look tells it",
    options: FINISH,
    script: `
      0 opened a
      0 create.file a
      1000 closed a`,
    told: [`${UNOPENED + AGAIN} create.file a`],
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
      0 opened a
      0 create.file a
      1 modify.data a
      2 remove a`,
    told: ["2 create.file a unfinished", "2 modify.data a unfinished", "2 remove a"],
  },
  {
    name: "renamed before it was closed",
    options: FINISH,
    script: `
      0 opened a
      0 opened b
      0 create.file a
      1 modify.data a
      2 rename a -> b?
      3 modify.data b
      9 closed b
      9 access.close.write b`,
    told: ["2 create.file a unfinished", "2 rename a -> b", "9 modify.data b"],
  },
  {
    name: "one that never closes is unfinished at the end",
    options: FINISH,
    script: `
      0 opened log
      0 create.file log
      1 modify.data log
      50000 modify.data log
      100000 close /`,
    told: ["100000 create.file log unfinished", "100000 modify.data log unfinished"],
  },
  {
    name: "a loss ends all waiting",
    options: BOTH,
    script: `
      0 opened a
      0 create.file a
      1 rename b -> c
      2 lost /`,
    told: ["2 create.file a unfinished", "2 rename b -> c", "2 lost /"],
  },
  {
    name: "moved aside, and written for long",
    options: BOTH,
    script: `
      0 opened a
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
  },
];

for (const { name, options, script, told, about } of CASES) {
  const on = Object.keys(options).join(", ");
  test(`${on}: ${name}`, () => assert.deepEqual(play(options, script, about), told));
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

// --- random work: whatever is held back, the picture that the events give is true ---

/** Numbers from a seed (mulberry32). */
function randomness(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** The version of a file that is not where it was said to be. */
const GONE = -1;

interface File {
  version: number;
  writers: number;
}

/** Files that programs make, write, rename and remove, and what one believes who knows the events alone. */
class World {
  readonly disk = new Map<string, File>();
  readonly believed = new Map<string, number>();
  readonly wrong: string[] = [];
  readonly replaced = new Map<FileEvent, boolean>();
  readonly log: string[] = [];
  /** What an event is about, wherever that is when it is told. */
  readonly #files = new WeakMap<FileEvent, File>();
  readonly #saves: Saves;
  readonly #open: File[] = [];
  now = 0;
  saved = 0;

  constructor(options: SaveOptions) {
    this.#saves = new Saves(
      options,
      (kind) => kind !== "access.close.write",
      ({ path }) => (this.disk.get(path)?.writers ?? 0) > 0,
      this.replaced,
    );
  }

  #say(file: File, kind: Kind, path: string, from?: string, replaced?: boolean): void {
    const event = new FileEvent(kind, path, false, this.now, "test");
    if (from !== undefined) event.from = from;
    if (replaced !== undefined) this.replaced.set(event, replaced);
    this.#files.set(event, file);
    this.log.push(`${this.now} ${kind} ${from ?? ""} ${path}`);
    this.#told(this.#saves.push([event], this.now));
  }

  #told(events: readonly FileEvent[]): void {
    for (const event of events) {
      const { kind, path, from } = event;
      if (event.attributes.coalesced !== undefined) this.saved++;
      this.log.push(`    ${this.now} ${kind} ${from ?? ""} ${path}`);
      const isThere = this.believed.has(path);
      // Who hears of a file looks at it.
      const seen = (this.#files.get(event) ?? this.disk.get(path))?.version ?? GONE;
      if (kind === "create.file") {
        if (isThere) this.wrong.push(`${kind} ${path}, which is there`);
        this.believed.set(path, seen);
      } else if (kind === "modify.data") {
        if (!isThere) this.wrong.push(`${kind} ${path}, which is not there`);
        this.believed.set(path, seen);
      } else if (kind === "remove") {
        if (!this.believed.delete(path)) this.wrong.push(`${kind} ${path}, which is not there`);
      } else {
        const moved = this.believed.get(from!);
        if (moved === undefined) this.wrong.push(`${kind} ${from} -> ${path}, which is not there`);
        this.believed.delete(from!);
        // Who came too late for it under the old name finds it now.
        this.believed.set(path, moved === undefined || moved === GONE ? seen : moved);
      }
    }
  }

  #nameOf(file: File): string | undefined {
    return [...this.disk].find(([, other]) => other === file)?.[0];
  }

  /** Some time passes. */
  wait(ms: number): void {
    const end = this.now + ms;
    for (let { due } = this.#saves; due <= end; { due } = this.#saves) {
      this.now = Math.max(this.now, due);
      this.#told(this.#saves.take(this.now));
    }
    this.now = end;
  }

  open(path: string): void {
    let file = this.disk.get(path);
    if (file === undefined) {
      this.disk.set(path, file = { version: 0, writers: 0 });
      file.writers++;
      this.#say(file, "create.file", path);
    } else file.writers++;
    this.#open.push(file);
  }

  write(which: number): void {
    const file = this.#open[which % this.#open.length];
    if (file === undefined) return;
    file.version++;
    const path = this.#nameOf(file);
    if (path !== undefined) this.#say(file, "modify.data", path);
  }

  close(which: number): void {
    const [file] = this.#open.splice(which % this.#open.length, 1);
    if (file === undefined) return;
    file.writers--;
    const path = this.#nameOf(file);
    if (path !== undefined) this.#say(file, "access.close.write", path);
  }

  truncate(path: string): void {
    const file = this.disk.get(path);
    if (file === undefined) return;
    file.version++;
    this.#say(file, "modify.data", path);
  }

  rename(from: string, path: string, isKnown: boolean): void {
    const file = this.disk.get(from);
    if (file === undefined || from === path) return;
    const replaced = this.disk.has(path);
    this.disk.delete(from);
    this.disk.set(path, file);
    this.#say(file, "rename", path, from, isKnown ? replaced : undefined);
  }

  remove(path: string): void {
    const file = this.disk.get(path);
    if (file === undefined) return;
    this.disk.delete(path);
    this.#say(file, "remove", path);
  }

  lose(): void {
    this.#told(this.#saves.flush());
  }

  /** What is wrong with what one believes when all is closed, or else when no more is told. */
  end(isClosed: boolean): string[] {
    while (isClosed && this.#open.length > 0) this.close(0);
    this.wait(10_000);
    this.lose();
    for (const [path, { version }] of this.disk) {
      const believed = this.believed.get(path);
      if (believed !== version) this.wrong.push(`${path} is ${version}, believed ${believed}`);
    }
    for (const path of this.believed.keys()) {
      if (!this.disk.has(path)) this.wrong.push(`${path} is not there`);
    }
    return this.wrong;
  }
}

const NAMES = ["/d/a", "/d/a~", "/d/b", "/d/t", "/d/4913", "/e/a"];

for (const options of [FINISH, ATOMIC, BOTH]) {
  const on = Object.keys(options).join(", ");
  test(`${on}: random work leaves a true picture`, () => {
    let saved = 0;
    for (let seed = 0; seed < 3000; seed++) {
      const random = randomness(seed);
      const name = () => NAMES[random(NAMES.length)]!;
      const world = new World({ atomicSave: false, writeFinish: false, ...options });
      const isSlow = seed % 3 === 0;
      for (let step = 0; step < 40; step++) {
        if (random(4) === 0) world.wait(random(isSlow ? 700 : 60));
        switch (random(10)) {
          case 0:
          case 1:
            world.open(name());
            break;
          case 2:
          case 3:
            world.write(random(100));
            break;
          case 4:
          case 5:
            world.close(random(100));
            break;
          case 6:
          case 7:
            world.rename(name(), name(), random(5) > 0);
            break;
          case 8:
            world.remove(name());
            break;
          case 9:
            if (random(2) === 0) world.truncate(name());
            else if (random(5) === 0) world.lose();
        }
      }
      const wrong = world.end(random(2) === 0);
      assert.deepEqual(wrong, [], `seed ${seed}\n${world.log.join("\n")}`);
      saved += world.saved;
    }
    assert.equal(saved > 100, "atomicSave" in options, `${saved} saves`);
  });
}

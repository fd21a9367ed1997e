/**
 * Files that are being written, and saves that replace one file by another: holds events back until it is clear what they
 * come to. Pure: the clock and the look at a file are the caller's.
 *
 * @module
 */

import { nameKey } from "../backends/tree.ts";
import { type Attributes, FileEvent } from "../classify/event.ts";
import { type Kind, matches } from "../classify/kinds.ts";

/** What of this module is wanted: see the options of `watch()`. */
export interface SaveOptions {
  readonly atomicSave: boolean;
  readonly writeFinish: boolean;
}

/** The kinds that have to be seen, whatever is wanted of them. */
export const SEEN: readonly string[] = [
  "create",
  "modify.data",
  "rename",
  "remove",
  "access.close.write",
];

/**
 * How long after the last word on a file that was not closed the file is looked at, in ms: one that was made without
 * being opened (mknod(2), link(2)) and truncate(2) of a path are followed by no close.
 */
export const UNOPENED = 50;

/**
 * How long a file counts as written after the last word on it where no look tells, in ms. As long as others wait for any
 * file (chokidar's `awaitWriteFinish`).
 */
export const UNKNOWN = 2000;

/** How often a file that is open is looked at again, in ms: not everyone who tells of files tells of a close (polling). */
export const AGAIN = 2000;

/**
 * How long after the last word on a closed file the rest of a save may come, in ms: the rename over the old file, the
 * removal of its backup. Nothing but a name stands between, but a program may set times, owners and attributes first.
 */
export const QUIET = 100;

/** How long a save may take in all, in ms: it includes an fsync(2). What takes longer is told as it happens. */
export const LONGEST = 1000;

/**
 * How long the second half of an exchange (renameat2(2)) may be late, in ms: the kernel tells of two renames, and where
 * they were not known to be one (see exchanges.ts), nothing tells of the first that the other name is still there. As for
 * the halves of a rename.
 */
export const EXCHANGE = 10;

/** A name, as text and where that is not enough as bytes. */
export interface Name {
  readonly path: string;
  readonly pathBytes?: Uint8Array | undefined;
}

/** An event that is held back, at its place among all events. */
interface Held {
  readonly event: FileEvent;
  readonly key: string;
  readonly order: number;
}

/** A file moved or copied aside, so that another one, or other contents, can take its name. */
interface Aside {
  readonly target: string;
  readonly spare: string;
  /** The name of the file stands for a file again, and that has its new contents or is about to. */
  isReborn: boolean;
  isSpareGone: boolean;
}

/** Events of one file, or of the files of one save, that are not told yet. */
interface Hold {
  held: Held[];
  /** What they are about, by key. */
  readonly names: Map<string, Name>;
  /** The keys of files that were made or written, and not closed since. */
  readonly open: Set<string>;
  readonly since: number;
  /** When the last word came. */
  last: number;
  /** Begins with the creation of a file, which nobody was told of. */
  readonly isNew: boolean;
  /** Whether one of `open` is still open, as a look told. */
  isWritten: boolean | "unasked" | "unknown";
  /** When that was. */
  lookedAt: number;
  /** A new file that was removed already. */
  isGone: boolean;
  aside: Aside | undefined;
  /** It took this name from another file. */
  saved: { readonly target: string; readonly source: string | undefined } | undefined;
}

/** The stage between a feed and the queue. */
export class Saves {
  readonly #options: SaveOptions;
  readonly #wants: (kind: string) => boolean;
  readonly #isWritten: (name: Name) => boolean | undefined;
  readonly #replaced: { get(event: FileEvent): boolean | undefined };
  readonly #holds = new Set<Hold>();
  readonly #byName = new Map<string, Hold>();
  #out: FileEvent[] = [];
  #order = 0;

  /**
   * @param wants whether events of a kind are told
   * @param isWritten whether somebody has the file open for writing now, where that can be known
   * @param replaced whether a rename took its name from another file, where that is known
   */
  constructor(
    options: SaveOptions,
    wants: (kind: string) => boolean,
    isWritten: (name: Name) => boolean | undefined,
    replaced: { get(event: FileEvent): boolean | undefined },
  ) {
    this.#options = options;
    this.#wants = wants;
    this.#isWritten = isWritten;
    this.#replaced = replaced;
  }

  /** Takes what happened up to `now`; what can be told. */
  push(events: readonly FileEvent[], now: number): FileEvent[] {
    for (const event of events) this.#see(event, now);
    return this.#told();
  }

  /** What can be told at `now` because nothing more came. */
  take(now: number): FileEvent[] {
    for (const hold of [...this.#holds]) {
      if (dueOf(hold, this.#options) <= now) this.#late(hold, now);
    }
    return this.#told();
  }

  /** When to {@linkcode take} next; `Infinity` where that is for the kernel to say. */
  get due(): number {
    let due = Infinity;
    for (const hold of this.#holds) due = Math.min(due, dueOf(hold, this.#options));
    return due;
  }

  /** Everything that is held back, finished or not. */
  flush(): FileEvent[] {
    for (const hold of [...this.#holds]) this.#letGo(hold);
    return this.#told();
  }

  #told(): FileEvent[] {
    const out = this.#out.filter(({ kind }) => this.#wants(kind));
    this.#out = [];
    return out;
  }

  // --- what happened ---

  #see(event: FileEvent, now: number): void {
    const { kind, path, from } = event;
    const key = nameKey(path, event.pathBytes);
    const fromKey = from === undefined ? undefined : nameKey(from, event.fromBytes);
    this.#settle(kind, key, fromKey, now);
    if (kind === "lost") {
      for (const hold of [...this.#holds]) this.#letGo(hold);
      this.#out.push(event);
    } else if (event.isDirectory) {
      if (matches(kind, "rename") || matches(kind, "remove")) {
        this.#releaseBelow(path);
        if (from !== undefined) this.#releaseBelow(from);
      }
      if (!matches(kind, "access") && !matches(kind, "modify")) this.#releaseName(key);
      this.#out.push(event);
    } else if (matches(kind, "create")) this.#created(event, key, now);
    else if (kind === "modify.data") this.#modified(event, key, now);
    else if (kind === "access.close.write") this.#closed(event, key, now);
    else if (fromKey !== undefined) this.#renamed(event, key, fromKey, now);
    else if (kind === "rename.in") this.#came(event, key, now);
    else if (kind === "rename.out" || matches(kind, "remove")) this.#left(event, key, now);
    else {
      const hold = this.#byName.get(key);
      // What happens to a file that was told of has no order with its contents.
      if (hold === undefined || isPlain(hold)) this.#out.push(event);
      else this.#add(hold, event, key, now);
    }
  }

  /** A file came over another one, and something else happens to either name: it was no exchange, or the rest of it. */
  #settle(kind: Kind, key: string, from: string | undefined, now: number): void {
    for (const name of from === undefined ? [key] : [from, key]) {
      const hold = this.#byName.get(name);
      if (hold?.saved === undefined) continue;
      const { target, source } = hold.saved;
      const isBack = source === undefined
        ? kind === "rename.out" && key === target
        : from === target && key === source;
      if (isBack) this.#release(hold);
      else this.#finish(hold, now);
    }
  }

  #created(event: FileEvent, key: string, now: number): void {
    const { linkOf } = event.attributes;
    if (linkOf !== undefined) this.#releaseName(nameKey(linkOf, undefined));
    // The bare kind: it has gone, or was not looked at.
    const isFile = event.kind === "create" || event.kind === "create.file";
    const known = this.#byName.get(key);
    if (isFile && isVacated(known, key)) {
      known.aside.isReborn = true;
      known.open.add(key);
      return this.#add(known, event, key, now);
    }
    if (known !== undefined) this.#release(known);
    if (!isFile) return void this.#out.push(event);
    const hold = this.#hold(event, key, now, true);
    if (this.#mayClose(event)) hold.open.add(key);
    else this.#check(hold, now);
  }

  /** Whether a close may come: of what was found by looking it may have come before. */
  #mayClose(event: FileEvent): boolean {
    return event.synthetic === undefined || this.#isWritten(event) === true;
  }

  #modified(event: FileEvent, key: string, now: number): void {
    const known = this.#byName.get(key) ?? this.#copiedAside(key, event);
    if (known !== undefined) {
      known.open.add(key);
      this.#add(known, event, key, now);
    } else if (this.#options.writeFinish && this.#mayClose(event)) {
      this.#hold(event, key, now, false).open.add(key);
    } else this.#out.push(event);
  }

  /** A file is written in place that was copied to its backup just now. */
  #copiedAside(key: string, event: FileEvent): Hold | undefined {
    const spare = `${key}~`;
    const copy = this.#byName.get(spare);
    if (copy === undefined || !this.#isCandidate(copy)) return undefined;
    copy.aside = { target: key, spare, isReborn: true, isSpareGone: copy.isGone };
    this.#name(copy, key, event);
    this.#takeTrials(copy);
    return copy;
  }

  #closed(event: FileEvent, key: string, now: number): void {
    const hold = this.#byName.get(key);
    if (hold === undefined) return void this.#out.push(event);
    this.#add(hold, event, key, now);
    // Another writer has it open still, and its close will be told.
    if (this.#options.writeFinish && this.#isWritten(hold.names.get(key)!) === true) {
      hold.isWritten = true;
      hold.lookedAt = now;
      return;
    }
    hold.open.delete(key);
    hold.isWritten = "unasked";
    this.#check(hold, now);
  }

  #renamed(event: FileEvent, key: string, from: string, now: number): void {
    const replaced = this.#replaced.get(event);
    const source = this.#byName.get(from);
    const target = this.#byName.get(key);
    if (source !== undefined && this.#isCandidate(source) && !source.isGone) {
      if (isVacated(target, key)) {
        this.#absorb(target, source);
        target.aside.isReborn = true;
        renameOpen(target, from, key);
        this.#add(target, event, key, now);
        return this.#check(target, now);
      }
      if (replaced === true) {
        if (target !== undefined && isPlain(target)) this.#absorb(source, target);
        else if (target !== undefined) this.#release(target);
        this.#add(source, event, key, now);
        renameOpen(source, from, key);
        source.saved = { target: key, source: from };
        return;
      }
    }
    if (target !== undefined && target !== source) this.#release(target);
    if (source !== undefined) return this.#renameHeld(source, event, key, from, now);
    const isAside = this.#options.atomicSave && replaced === false &&
      directoryOf(key) === directoryOf(from);
    if (!isAside) return void this.#out.push(event);
    const hold = this.#hold(event, key, now, false);
    hold.aside = { target: from, spare: key, isReborn: false, isSpareGone: false };
    this.#name(hold, from, { path: event.from!, pathBytes: event.fromBytes });
    this.#takeTrials(hold);
  }

  /** A file that is held gets another name. What was written so far is told under that one once it is closed. */
  #renameHeld(hold: Hold, event: FileEvent, key: string, from: string, now: number): void {
    const isWritten = this.#options.writeFinish && hold.open.has(from);
    const written = isWritten
      ? hold.held.find(({ key, event }) => key === from && event.kind === "modify.data")
      : undefined;
    if (written !== undefined) hold.held.splice(hold.held.indexOf(written), 1);
    this.#release(hold);
    this.#out.push(event);
    if (written === undefined) return;
    const { event: contents } = written;
    this.#hold(modified(contents, event, contents.attributes), key, now, false).open.add(key);
  }

  /** A file came from where nobody watches, or is ignored. */
  #came(event: FileEvent, key: string, now: number): void {
    this.#releaseName(key);
    if (!this.#options.atomicSave || this.#replaced.get(event) !== true) {
      return void this.#out.push(event);
    }
    this.#hold(event, key, now, false).saved = { target: key, source: undefined };
  }

  #left(event: FileEvent, key: string, now: number): void {
    const hold = this.#byName.get(key);
    if (hold?.aside?.spare === key && matches(event.kind, "remove")) {
      hold.aside.isSpareGone = true;
      hold.open.delete(key);
      this.#add(hold, event, key, now);
      return this.#check(hold, now);
    }
    if (
      hold !== undefined && this.#isCandidate(hold) && !hold.isGone &&
      matches(event.kind, "remove") &&
      (isTrial(key) || key.endsWith("~"))
    ) {
      hold.isGone = true;
      hold.open.delete(key);
      return this.#add(hold, event, key, now);
    }
    if (hold !== undefined) this.#release(hold);
    this.#out.push(event);
  }

  // --- holding back ---

  #hold(event: FileEvent, key: string, now: number, isNew: boolean): Hold {
    const hold: Hold = {
      held: [],
      names: new Map(),
      open: new Set(),
      since: now,
      last: now,
      isNew,
      isWritten: "unasked",
      lookedAt: now,
      isGone: false,
      aside: undefined,
      saved: undefined,
    };
    this.#holds.add(hold);
    this.#add(hold, event, key, now);
    return hold;
  }

  /** Holds an event back; of equal ones the last, as the kernel merges them. */
  #add(hold: Hold, event: FileEvent, key: string, now: number): void {
    const { kind, actor } = event;
    if (matches(kind, "modify") || matches(kind, "access")) {
      hold.held = hold.held.filter(({ key: other, event }) =>
        other !== key || event.kind !== kind || event.actor?.pid !== actor?.pid
      );
    }
    hold.held.push({ event, key, order: this.#order++ });
    hold.last = now;
    if (hold.isWritten === "unknown") hold.isWritten = "unasked";
    this.#name(hold, key, event);
  }

  #name(
    hold: Hold,
    key: string,
    { path, pathBytes }: Name,
  ): void {
    if (this.#byName.get(key) === hold) return;
    hold.names.set(key, { path, pathBytes });
    this.#byName.set(key, hold);
  }

  /** Takes over all that another one holds. */
  #absorb(hold: Hold, other: Hold): void {
    this.#drop(other);
    hold.held = [...hold.held, ...other.held].sort((a, b) => a.order - b.order);
    for (const [key, name] of other.names) this.#name(hold, key, name);
    for (const key of other.open) hold.open.add(key);
  }

  /** Before a save vim tries whether it may make files in the directory. */
  #takeTrials(hold: Hold): void {
    const directory = directoryOf(hold.aside!.target);
    for (const other of this.#holds) {
      const [key] = other.names.keys();
      if (other === hold || !other.isGone || !isTrial(key!)) continue;
      if (directoryOf(key!) === directory) this.#absorb(hold, other);
    }
  }

  /** Whether a new file may turn out to be the temporary one of a save. */
  #isCandidate(hold: Hold): boolean {
    return this.#options.atomicSave && hold.isNew && hold.aside === undefined &&
      hold.saved === undefined;
  }

  #drop(hold: Hold): void {
    this.#holds.delete(hold);
    for (const key of hold.names.keys()) {
      if (this.#byName.get(key) === hold) this.#byName.delete(key);
    }
  }

  // --- letting go ---

  /** Tells what is complete. */
  #check(hold: Hold, now: number): void {
    if (hold.open.size > 0) return;
    if (hold.aside !== undefined) {
      if (hold.aside.isReborn && hold.aside.isSpareGone) this.#finish(hold, now);
    } else if (!this.#isCandidate(hold)) this.#release(hold);
  }

  /** Nothing more came in time. */
  #late(hold: Hold, now: number): void {
    if (hold.saved !== undefined) return this.#finish(hold, now);
    if (hold.open.size > 0) this.#look(hold, now);
    const isOver = now - hold.since >= LONGEST;
    if (hold.open.size === 0) {
      this.#check(hold, now);
      if (this.#holds.has(hold) && now - hold.last >= QUIET) this.#release(hold);
    } else if (!this.#options.writeFinish) {
      if (isOver) this.#release(hold);
    } else if (isOver && hold.aside !== undefined) this.#part(hold);
  }

  /** Asks whether the files that were not closed are open at all. */
  #look(hold: Hold, now: number): void {
    hold.isWritten = "unknown";
    hold.lookedAt = now;
    for (const key of [...hold.open]) {
      const isWritten = this.#isWritten(hold.names.get(key)!);
      if (isWritten === true) hold.isWritten = true;
      if (isWritten === false || (isWritten === undefined && now - hold.last >= UNKNOWN)) {
        hold.open.delete(key);
      }
    }
  }

  /** Tells one event for all of a save; of one that is still written, once it is closed. */
  #finish(hold: Hold, now: number): void {
    const { target } = hold.saved ?? hold.aside!;
    const { held, names, open } = hold;
    this.#drop(hold);
    const coalesced = held.map(({ event }) => event).filter(({ kind }) => this.#wants(kind));
    const attributes = coalesced.length === 0 ? {} : { coalesced };
    const event = modified(held.at(-1)!.event, names.get(target)!, attributes);
    if (this.#options.writeFinish && open.has(target)) {
      this.#hold(event, target, now, false).open.add(target);
      return;
    }
    // Who wants accesses wants those of the file itself.
    const accesses = held.filter(({ key, event }) =>
      key === target && matches(event.kind, "access")
    );
    this.#out.push(event, ...accesses.map(({ event }) => event));
  }

  /** Tells what is held, as it happened. */
  #release(hold: Hold): void {
    this.#drop(hold);
    for (const { event, key } of hold.held) {
      const isContents = event.kind === "modify.data" || matches(event.kind, "create");
      if (this.#options.writeFinish && isContents && hold.open.has(key)) {
        event.attributes = { ...event.attributes, unfinished: true };
      }
      this.#out.push(event);
    }
  }

  /** There is no more to wait for. */
  #letGo(hold: Hold): void {
    if (hold.saved !== undefined) this.#finish(hold, hold.last);
    // What was saved and is still written is held on.
    const rest = hold.saved === undefined ? hold : this.#byName.get(hold.saved.target);
    if (rest !== undefined) this.#release(rest);
  }

  #releaseName(key: string): void {
    const hold = this.#byName.get(key);
    if (hold !== undefined) this.#release(hold);
  }

  #releaseBelow(directory: string): void {
    for (const hold of [...this.#holds]) {
      for (const { path } of hold.names.values()) {
        if (!path.startsWith(directory) || path[directory.length] !== "/") continue;
        this.#letGo(hold);
        break;
      }
    }
  }

  /** It is no save: tells what is held, but for the files that are still written. */
  #part(hold: Hold): void {
    const isWritten = ({ event, key }: Held) => hold.open.has(key) && event.from === undefined;
    const written = hold.held.filter(isWritten);
    hold.held = hold.held.filter((held) => !isWritten(held));
    this.#release(hold);
    for (const { event, key } of written) {
      const known = this.#byName.get(key);
      if (known !== undefined) this.#add(known, event, key, hold.last);
      else {
        const isNew = matches(event.kind, "create");
        this.#hold(event, key, hold.last, isNew).open.add(key);
      }
    }
  }
}

/** New contents of a file, as `last` told them. */
function modified(last: FileEvent, { path, pathBytes }: Name, attributes: Attributes): FileEvent {
  const { actor, raw, time, backend } = last;
  const init = { kind: "modify.data", path, isDirectory: false, raw, attributes } as const;
  return FileEvent.from(
    {
      ...init,
      ...(pathBytes === undefined ? {} : { pathBytes }),
      ...(actor === undefined ? {} : { actor }),
    },
    time,
    backend,
  );
}

/** When nothing more is to be expected. */
function dueOf(hold: Hold, { writeFinish }: SaveOptions): number {
  const { since, last, open, isWritten, lookedAt, saved, aside } = hold;
  if (saved !== undefined) return last + EXCHANGE;
  if (open.size === 0) return last + QUIET;
  const asks = isWritten === "unasked"
    ? last + UNOPENED
    : isWritten === "unknown"
    ? last + UNKNOWN
    : lookedAt + AGAIN;
  return writeFinish && aside === undefined ? asks : Math.min(asks, since + LONGEST);
}

/** A known file, with new contents only. */
function isPlain({ isNew, aside, saved }: Hold): boolean {
  return !isNew && aside === undefined && saved === undefined;
}

/** Whether the name was given up by a file that was moved aside. */
function isVacated(hold: Hold | undefined, key: string): hold is Hold & { aside: Aside } {
  return hold?.aside?.target === key && !hold.aside.isReborn;
}

function renameOpen({ open }: Hold, from: string, to: string): void {
  if (open.delete(from)) open.add(to);
}

function directoryOf(key: string): string {
  return key.slice(0, key.lastIndexOf("/"));
}

/** Whether the name is one that vim tries (`buf_write_make_backup`): 4913, and each time 123 more where there is one. */
function isTrial(key: string): boolean {
  const name = key.slice(key.lastIndexOf("/") + 1);
  return /^\d{4,6}$/.test(name) && Number(name) >= 4913 && (Number(name) - 4913) % 123 === 0;
}

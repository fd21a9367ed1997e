/**
 * What metadata changed, on the way of one target's events to the queue.
 *
 * Each event of a file is the occasion to look at it, and what differs from what was last told is told with that event,
 * each change once: a record may stand for a change that an earlier look has told already, which the time of change shows.
 * An event tells of what it stands for, for another record may be queued that stands for the rest:
 *
 * - `modify.metadata`: everything;
 * - the close of a file: flags, for chattr(1) must open and close it, and nothing else tells of them;
 * - `modify.data`: a time of modification that was set without that of access, which the kernel announces as a write
 *   (`fsnotify_change()` in include/linux/fsnotify.h);
 * - a name that comes or goes: the number of links;
 * - what was found by looking: everything, for no record tells of it.
 *
 * @module
 */

import { posix } from "node:path";
import type { FlagCoverage } from "../backends/backend.ts";
import { Baseline, NONE } from "../backends/metadata/baseline.ts";
import {
  type FileIdentity,
  type FileMetadata,
  MetadataReader,
} from "../backends/metadata/state.ts";
import { FileEvent } from "../classify/event.ts";
import { matches } from "../classify/kinds.ts";
import { type MetadataChange, metadataChanges } from "../classify/metadata.ts";
import { S_IFDIR, S_IFLNK, S_IFMT } from "../ffi/abi/stat.ts";
import type { Libc } from "../ffi/port.ts";
import { bytesUnlessText, decodeText, encodeText, latin1Bytes, latin1Text } from "../ffi/text.ts";
import { Filter } from "./filter.ts";
import { LinkNames } from "./link_names.ts";
import { isComing, isGoing } from "./picture.ts";
import type { Settings } from "./options.ts";
import { SEEN } from "./saves.ts";
import type { Target } from "./targets.ts";
import { walk } from "./walk.ts";

/** Patterns of what has to be seen. */
export const SEEN_FOR_METADATA: readonly string[] = [
  "create",
  "rename",
  "remove",
  "modify.data",
  "modify.metadata",
  "access.close",
];

/** How many times as long as a sweep the pause after it is at least: sweeps take a hundredth of the time. */
const PAUSE = 99;

/** Without sweeps, what has gone is forgotten when there are twice as many files as after the last walk, and this many. */
const GROWTH = 10_000;

/** While the consumer has no room a sweep waits this long before it looks again, in ms. */
const WAIT = 20;

/** Where what is found goes. */
export interface MetadataOutlet {
  /** Whether the queue has no room. */
  readonly full: boolean;
  /** Takes what is told now. */
  tell(events: readonly FileEvent[]): void;
  /** The name of what watches. */
  readonly backend: string;
  /** Ends the watcher: what makes it impossible to go on. */
  fail(error: unknown): void;
}

/** Makes `modify.metadata` exact. */
export class MetadataStage {
  readonly #libc: Libc;
  /** The path of the target as events have it; a symlink there is followed, as the kernel does. */
  readonly #root: string;
  readonly #target: Target;
  readonly #settings: Settings;
  readonly #outlet: MetadataOutlet;
  readonly #sweep: number;
  readonly #showsValues: boolean;
  readonly #reader: MetadataReader;
  readonly #baseline = new Baseline();
  readonly #names = new LinkNames();
  /** What is asked for behind this stage. */
  readonly #asked: Filter;
  /** What was known before an event was told, in case that nobody gets it. */
  readonly #before = new WeakMap<FileEvent, FileMetadata>();
  #walking: Promise<unknown> = Promise.resolve();
  #isWalking = false;
  /** With that many files a sweep is due in any case. */
  #limit = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #endWait: (() => void) | undefined;
  #isStopped = false;

  constructor(libc: Libc, target: Target, settings: Settings, outlet: MetadataOutlet) {
    const { sweep, values } = settings.metadata!;
    this.#libc = libc;
    const { path, directory, only } = target;
    this.#root = only === undefined ? path : posix.join(directory, only);
    this.#target = target;
    this.#settings = settings;
    this.#outlet = outlet;
    this.#sweep = sweep;
    this.#showsValues = values > 0;
    this.#reader = new MetadataReader(libc, values);
    this.#asked = new Filter(
      settings.filter.asked,
      [],
      new Set(),
      settings.saves === undefined ? [] : SEEN,
    );
  }

  /** How flags are noticed. */
  coverage(): FlagCoverage {
    const now = this.#outlet.backend === "poll" ? "polling" : "closes";
    const files = this.#baseline.size;
    if (this.#sweep === 0) return { flags: [now], files };
    return { flags: [now, "sweep"], sweep: this.#sweep, files };
  }

  /** Learns what is there, and from then on sweeps. */
  async begin(): Promise<void> {
    const start = performance.now();
    await this.#walk(this.#root, false);
    this.#later(start);
  }

  /** Tells of everything that differs from what was told, after a loss; whether it came to the end. */
  recover(): Promise<boolean> {
    return this.#walk(this.#root, true);
  }

  /** Ends walks. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#endWait?.();
  }

  /** The consumer did not get these: what they told is to be found anew. */
  dropped(events: readonly FileEvent[]): void {
    for (const event of events.toReversed()) {
      const before = this.#before.get(event);
      if (before !== undefined) this.#note(before, true);
    }
  }

  /** What is to be told in place of events. */
  pass(events: readonly FileEvent[]): FileEvent[] {
    const told: FileEvent[] = [];
    for (const event of events) this.#see(event, told);
    return told.filter(({ kind }) => this.#asked.wants(kind));
  }

  #see(event: FileEvent, told: FileEvent[]): void {
    const { kind } = event;
    if (kind === "modify.metadata") return this.#metadata(event, told);
    told.push(event);
    if (matches(kind, "access.close")) this.#closed(event, told);
    else if (kind === "modify.data") this.#written(event, told);
    else if (kind === "rename") this.#renamed(event, told);
    else if (isComing(kind)) this.#appeared(event, told);
    else if (isGoing(kind)) this.#left(event, told);
  }

  // --- what events stand for ---

  #metadata(event: FileEvent, told: FileEvent[]): void {
    const file = this.#look(event);
    if (file === undefined) return void told.push(event); // gone, renamed, or not to be reached
    const row = this.#baseline.find(file);
    if (row === NONE) {
      this.#learn(file, bytesOf(event), true);
      return void told.push(event);
    }
    if (this.#isAnother(row, file, bytesOf(event))) return void told.push(event);
    const before = this.#baseline.get(row);
    const changes = this.#changes(before, file, !event.synthetic);
    const isKnown = file.changed === before.changed && this.#baseline.isTold(row);
    if (changes.length === 0 && !isKnown) told.push(event);
    this.#tell(event, changes, before, told);
    this.#note(withKnown(file, before), true);
  }

  #closed(event: FileEvent, told: FileEvent[]): void {
    const found = this.#differing(event);
    if (found === undefined) return;
    const { before, file } = found;
    const changes = this.#changes(before, file);
    if (changes.some(({ kind }) => kind !== FLAGS)) { // a record that tells of the others is on its way
      const { attributes, attributesMask, xflags, projectId } = withKnown(file, before);
      this.#note(
        { ...before, attributes, attributesMask, xflags, projectId },
        this.#isTold(before),
      );
    } else this.#note(withKnown(file, before), false);
    const flags = changes.filter(({ kind }) => kind === FLAGS);
    if (flags.length === 0) return;
    const { actor } = event;
    if (actor === undefined) return this.#tell(event, flags, before, told);
    // Who closed the file may not be who changed its flags.
    const likely = event.as(event.kind, event.attributes);
    likely.actor = { ...actor, confidence: "likely" };
    this.#tell(likely, flags, before, told);
  }

  #written(event: FileEvent, told: FileEvent[]): void {
    const found = this.#differing(event);
    if (found === undefined) return;
    const { before, file } = found;
    if (event.synthetic) return this.#found(event, file, told);
    // Where that of access changed as well, a `modify.metadata` follows.
    if (before.accessed !== file.accessed) return;
    const times = this.#changes(before, file).filter(({ kind }) => kind === TIMES);
    if (times.length === 0) return;
    this.#note({ ...before, modified: file.modified }, this.#isTold(before));
    this.#tell(event, times, before, told);
  }

  #appeared(event: FileEvent, told: FileEvent[]): void {
    const bytes = bytesOf(event);
    const file = this.#look(event);
    if (file === undefined) return;
    const row = this.#baseline.find(file);
    if (row === NONE) {
      this.#learn(file, bytes, false);
      // What is in a directory that appears is announced, but for one that was moved in.
      const comesFull = event.isDirectory && event.kind === "rename.in";
      if (comesFull && this.#target.recursive) void this.#walk(event.path, false);
      return;
    }
    this.#baseline.setName(row, nameOf(file, bytes));
    const { linkOf } = event.attributes;
    if (linkOf !== undefined && file.links > 1) {
      this.#names.add(textOf(encodeText(linkOf)), keyOf(file));
    }
    this.#meet(file, bytes);
    this.#linked(event, file, textOf(bytes), told);
  }

  #left(event: FileEvent, told: FileEvent[]): void {
    for (const name of this.#names.below(textOf(bytesOf(event)))) this.#unlinked(event, name, told);
  }

  #renamed(event: FileEvent, told: FileEvent[]): void {
    const { from, fromBytes } = event;
    if (from === undefined) return;
    const bytes = bytesOf(event);
    const [old, name] = [textOf(fromBytes ?? encodeText(from)), textOf(bytes)];
    const moved = this.#names.fileOf(old);
    const replaced = this.#names.fileOf(name);
    if (replaced !== undefined && replaced !== moved) this.#unlinked(event, name, told);
    this.#names.rename(old, name);
    const file = this.#look(event);
    if (file === undefined) return;
    const row = this.#baseline.find(file);
    if (row === NONE) return this.#learn(file, bytes, false);
    this.#baseline.setName(row, nameOf(file, bytes));
    if (event.synthetic) this.#found(event, file, told);
  }

  // --- links ---

  /** A file has another name. */
  #linked(event: FileEvent, file: FileMetadata, name: string, told: FileEvent[]): void {
    const before = this.#known(file);
    const links = this.#changes(before, file).filter(({ kind }) => kind === LINKS);
    if (links.length === 0) return;
    const other = this.#names.otherName(keyOf(file), name) ?? name;
    this.#noteLinks(before, file);
    this.#tell(named(event, other), links, before, told);
  }

  /** A file has lost a name. */
  #unlinked(event: FileEvent, name: string, told: FileEvent[]): void {
    const key = this.#names.fileOf(name);
    this.#names.remove(name);
    const other = key && this.#names.otherName(key, name);
    const file = other && this.#reader.read(latin1Bytes(other));
    if (!other || !file || keyOf(file) !== key) return;
    const before = this.#known(file);
    const links = this.#changes(before, file).filter(({ kind }) => kind === LINKS);
    if (file.links === 1) this.#names.forget(key);
    if (links.length === 0) return;
    this.#noteLinks(before, file);
    this.#tell(named(event, other), links, before, told);
  }

  #known(file: FileMetadata): FileMetadata {
    const row = this.#baseline.find(file);
    return row === NONE ? file : this.#baseline.get(row);
  }

  /** Tells of all that differs from what is known. */
  #found(event: FileEvent, file: FileMetadata, told: FileEvent[]): void {
    const before = this.#known(file);
    const changes = this.#changes(before, file);
    this.#note(withKnown(file, before), changes.length > 0);
    this.#tell(event, changes, before, told);
  }

  /** Notes the number of links, and all of it where nothing else changed. */
  #noteLinks(before: FileMetadata, file: FileMetadata): void {
    const isAll = this.#changes(before, file).length === 1;
    if (isAll) this.#note(withKnown(file, before), true);
    else this.#note({ ...before, links: file.links }, this.#isTold(before));
  }

  // --- looking ---

  /** What is at the path of an event; where symlinks are followed, what one leads to if that has changed. */
  #look({ path, pathBytes }: FileEvent): FileMetadata | undefined {
    const bytes = pathBytes ?? encodeText(path);
    const file = this.#reader.read(bytes, path === this.#root);
    const isLink = file !== undefined && (file.mode & S_IFMT) === S_IFLNK;
    if (!isLink || !this.#settings.followSymlinks) return file;
    const row = this.#baseline.find(file);
    if (row !== NONE && this.#baseline.changed(row) !== file.changed) return file;
    return this.#reader.read(bytes, true) ?? file;
  }

  /** What is at the path of an event and differs from what is known of it. */
  #differing(
    event: FileEvent,
  ): { readonly before: FileMetadata; readonly file: FileMetadata } | undefined {
    const bytes = bytesOf(event);
    if (!this.#settings.followSymlinks && this.#isSame(bytes, event.path === this.#root)) {
      return undefined;
    }
    const file = this.#look(event);
    if (file === undefined) return undefined;
    const row = this.#baseline.find(file);
    if (row === NONE) {
      this.#learn(file, bytes, false);
      return undefined;
    }
    if (this.#isAnother(row, file, bytes)) return undefined;
    const before = this.#baseline.get(row);
    return { before, file };
  }

  /** Whether nothing has changed at a path, by the time of change and those flags that statx tells with it. */
  #isSame(bytes: Uint8Array, follows = false): boolean {
    const file = this.#reader.identify(bytes, follows);
    if (file === undefined) return true;
    const row = this.#baseline.find(file);
    if (row === NONE || this.#baseline.changed(row) !== file.changed) return false;
    if (this.#baseline.attributes(row) !== file.attributes) return false;
    this.#baseline.setSeen(row);
    this.#meet(file, bytes);
    return true;
  }

  /** Whether a file came to a name by a rename that was not told yet. Through symlinks it has other names as well. */
  #isAnother(row: number, file: FileMetadata, bytes: Uint8Array): boolean {
    if (this.#settings.followSymlinks) return false;
    const name = nameOf(file, bytes);
    const known = this.#baseline.name(row);
    if (known === ANY || name === ANY) this.#baseline.setName(row, name);
    else return known !== name;
    return false;
  }

  #changes(before: FileMetadata, file: FileMetadata, isAnnounced = false): MetadataChange[] {
    return metadataChanges(before, file, { isAnnounced, values: this.#showsValues });
  }

  #isTold(file: FileMetadata): boolean {
    const row = this.#baseline.find(file);
    return row !== NONE && this.#baseline.isTold(row);
  }

  #note(file: FileMetadata, isTold: boolean): number {
    const row = this.#baseline.set(file);
    this.#baseline.setTold(row, isTold);
    return row;
  }

  /** A file is like that, and that was not told. `isTold`: all the same, what led to it was. */
  #learn(file: FileMetadata, bytes: Uint8Array, isTold: boolean): void {
    this.#baseline.setName(this.#note(file, isTold), nameOf(file, bytes));
    this.#meet(file, bytes);
    if (this.#baseline.size > this.#limit) this.#sweepNow();
  }

  /** A file has that name: it is noted if it has several. */
  #meet(file: FileIdentity, bytes: Uint8Array): void {
    if (file.links < 2 || (file.mode & S_IFMT) === S_IFDIR) return;
    this.#names.add(textOf(bytes), keyOf(file));
  }

  #tell(
    event: FileEvent,
    changes: readonly MetadataChange[],
    before: FileMetadata,
    told: FileEvent[],
  ): void {
    for (const { kind, attributes } of changes) {
      const one = event.as(kind, attributes);
      this.#before.set(one, before);
      told.push(one);
    }
  }

  // --- walks ---

  #later(start: number): void {
    this.#limit = this.#baseline.size * 2 + GROWTH;
    if (this.#isStopped || this.#sweep === 0) return;
    const pause = Math.max(this.#sweep, (performance.now() - start) * PAUSE);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#sweepNow(), Math.min(pause, LONGEST));
  }

  #sweepNow(): void {
    if (this.#isStopped || this.#isWalking) return;
    const start = performance.now();
    void this.#walk(this.#root, true).then(() => this.#later(start));
  }

  /** Learns of what is at a path and below, and tells what of it differs, one walk after the other; whether it ended. */
  #walk(root: string, tells: boolean): Promise<boolean> {
    const walking = this.#walking.then(() => this.#walkNow(root, tells)).catch((error) => {
      this.#outlet.fail(error);
      return false;
    });
    this.#walking = walking;
    return walking;
  }

  async #walkNow(root: string, tells: boolean): Promise<boolean> {
    if (this.#isStopped) return false;
    this.#isWalking = true;
    const { filter, followSymlinks } = this.#settings;
    const { root: above, only, isLasting, excluded, mounts } = this.#target;
    const isWhole = root === this.#root && tells;
    if (isWhole) this.#baseline.beginWalk();
    let told: FileEvent[] = [];
    const isOver = await walk(this.#libc, {
      root,
      recursive: this.#target.recursive && (only === undefined || isLasting),
      followsSymlinks: followSymlinks,
      leavesOut: (path, isDirectory) =>
        (isDirectory && (excluded?.has(path) === true || mounts.has(path))) ||
        (filter.asksPaths && filter.ignores(path, isDirectory, above)),
      each: (path, follows) => this.#visit(path, follows, tells, told),
      goesOn: async () => {
        if (told.length > 0) this.#outlet.tell(told);
        told = [];
        while (this.#outlet.full && !this.#isStopped) await this.#wait();
        return !this.#isStopped;
      },
    });
    if (isWhole && isOver) this.#baseline.forgetUnseen();
    this.#isWalking = false;
    return isOver;
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, WAIT);
      this.#endWait = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** A walk has come to a path. */
  #visit(bytes: Uint8Array, follows: boolean, tells: boolean, told: FileEvent[]): void {
    if (this.#isSame(bytes, follows)) return;
    const file = this.#reader.read(bytes, follows);
    if (file === undefined) return;
    const row = this.#baseline.find(file);
    if (row === NONE) return this.#learn(file, bytes, false);
    this.#baseline.setSeen(row);
    this.#meet(file, bytes);
    if (!tells || this.#isAnother(row, file, bytes)) return;
    const path = decodeText(bytes);
    const isDirectory = (file.mode & S_IFMT) === S_IFDIR;
    const { backend } = this.#outlet;
    const event = new FileEvent("modify.metadata", path, isDirectory, Date.now(), backend);
    event.synthetic = true;
    const pathBytes = bytesUnlessText(bytes, 0, bytes.length, path);
    if (pathBytes !== undefined) event.pathBytes = pathBytes;
    const all: FileEvent[] = [];
    this.#found(event, file, all);
    told.push(...all.filter(({ kind }) => this.#asked.wants(kind)));
  }
}

const FLAGS = "modify.metadata.flags";
const TIMES = "modify.metadata.times";
const LINKS = "modify.metadata.links";

/** The longest time that a timer takes, in ms. */
const LONGEST = 2 ** 31 - 1;

/** What could not be read this time is as it was. */
function withKnown(file: FileMetadata, before: FileMetadata): FileMetadata {
  const xattrs = file.xattrs ?? before.xattrs;
  if (file.xflags !== undefined) return { ...file, xattrs };
  const { xflags, projectId } = before;
  return { ...file, xattrs, xflags, projectId };
}

function bytesOf({ path, pathBytes }: FileEvent): Uint8Array {
  return pathBytes ?? encodeText(path);
}

function textOf(bytes: Uint8Array): string {
  return latin1Text(bytes.slice(), bytes.length);
}

/** The event, as one of a file's other name. */
function named(event: FileEvent, name: string): FileEvent {
  const bytes = latin1Bytes(name);
  const path = decodeText(bytes);
  const one = event.at(path);
  const pathBytes = bytesUnlessText(bytes, 0, bytes.length, path);
  if (pathBytes !== undefined) one.pathBytes = pathBytes;
  return one;
}

/** Which file that is; its number may be another one's later. */
function keyOf({ device, inode, born }: FileIdentity): string {
  return `${device}/${inode}/${born}`;
}

/** The name of a file that has several. */
const ANY = 0;

/** A hash of the last name in a path: that stays when a directory above is renamed. */
function nameOf({ links }: FileMetadata, bytes: Uint8Array): number {
  if (links > 1) return ANY;
  let hash = 0x811c9dc5;
  for (let at = bytes.lastIndexOf(SLASH) + 1; at < bytes.length; at++) {
    hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  }
  return (hash >>> 0) || 1;
}

const SLASH = 0x2f;

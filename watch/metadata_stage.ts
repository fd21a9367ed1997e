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
import type { FileMetadata } from "../backends/metadata/state.ts";
import { FileEvent } from "../classify/event.ts";
import { matches } from "../classify/kinds.ts";
import { type MetadataChange, metadataChanges } from "../classify/metadata.ts";
import { S_IFDIR, S_IFMT } from "../ffi/abi/stat.ts";
import type { Libc } from "../ffi/port.ts";
import { bytesUnlessText, decodeText, encodeText, latin1Bytes } from "../ffi/text.ts";
import { Filter } from "./filter.ts";
import { keyOf, KnownFiles, type SeenFile, textOf } from "./known_files.ts";
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
  readonly #files: KnownFiles;
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
    this.#files = new KnownFiles(libc, {
      kept: values,
      root: encodeText(this.#root),
      followsSymlinks: settings.followSymlinks,
    });
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
    const files = this.#files.size;
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

  /** Audit tells that flags were changed at a path, which nobody else may tell. */
  look(path: string): void {
    const told: FileEvent[] = [];
    const file = this.#files.look(encodeText(path));
    if (file === undefined) return;
    const isDirectory = (file.mode & S_IFMT) === S_IFDIR;
    this.#closed(new FileEvent("modify.metadata", path, isDirectory, Date.now(), "audit"), told);
    const wanted = told.filter(({ kind }) => this.#asked.wants(kind));
    if (wanted.length > 0) this.#outlet.tell(wanted);
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
      if (before !== undefined) this.#files.revert(before);
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
    const bytes = bytesOf(event);
    const file = this.#files.look(bytes);
    if (file === undefined) return void told.push(event); // gone, renamed, or not to be reached
    const seen = this.#files.seen(file, bytes);
    if (seen === undefined) {
      if (this.#files.known(file) === undefined) this.#learn(file, bytes, true);
      return void told.push(event);
    }
    const { before, isTold } = seen;
    const changes = this.#changes(before, file, !event.synthetic);
    const isKnown = isTold && file.changed === before.changed;
    if (changes.length === 0 && !isKnown) told.push(event);
    this.#files.note(file, true);
    this.#tell(event, changes, before, told);
  }

  #closed(event: FileEvent, told: FileEvent[]): void {
    const seen = this.#differing(event);
    if (seen === undefined) return;
    const { before, file } = seen;
    const changes = this.#changes(before, file);
    const flags = changes.filter(({ kind }) => kind === FLAGS);
    // Else a record that tells of the others is on its way.
    if (flags.length === changes.length) this.#files.note(file, false);
    else if (flags.length > 0) {
      const { attributes, attributesMask, xflags, projectId } = file;
      this.#files.notePart(file, { attributes, attributesMask, xflags, projectId });
    }
    const { actor } = event;
    if (actor === undefined || flags.length === 0) return this.#tell(event, flags, before, told);
    // Who closed the file may not be who changed its flags.
    const likely = event.as(event.kind, event.attributes);
    likely.actor = { ...actor, confidence: "likely" };
    this.#tell(likely, flags, before, told);
  }

  #written(event: FileEvent, told: FileEvent[]): void {
    const seen = this.#differing(event);
    if (seen === undefined) return;
    const { before, file } = seen;
    if (event.synthetic) return this.#found(event, seen, told);
    // Where that of access changed as well, a `modify.metadata` follows.
    if (before.accessed !== file.accessed) return;
    const times = this.#changes(before, file).filter(({ kind }) => kind === TIMES);
    if (times.length === 0) return;
    this.#files.notePart(file, { modified: file.modified });
    this.#tell(event, times, before, told);
  }

  #appeared(event: FileEvent, told: FileEvent[]): void {
    const bytes = bytesOf(event);
    const file = this.#files.look(bytes);
    if (file === undefined) return;
    const before = this.#files.known(file);
    if (before === undefined) {
      this.#learn(file, bytes, false);
      // What is in a directory that appears is announced, but for one that was moved in.
      const comesFull = event.isDirectory && event.kind === "rename.in";
      if (comesFull && this.#target.recursive) void this.#walk(event.path, false);
      return;
    }
    const { names } = this.#files;
    const { linkOf } = event.attributes;
    if (linkOf !== undefined && file.links > 1) names.add(textOf(encodeText(linkOf)), keyOf(file));
    this.#files.named(file, bytes);
    const name = textOf(bytes);
    this.#tellLinks(event, before, file, names.otherName(keyOf(file), name) ?? name, told);
  }

  #left(event: FileEvent, told: FileEvent[]): void {
    for (const name of this.#files.names.below(textOf(bytesOf(event)))) {
      this.#unlinked(event, name, told);
    }
  }

  #renamed(event: FileEvent, told: FileEvent[]): void {
    const { from, fromBytes } = event;
    if (from === undefined) return;
    const bytes = bytesOf(event);
    const { names } = this.#files;
    const [old, name] = [textOf(fromBytes ?? encodeText(from)), textOf(bytes)];
    const moved = names.fileOf(old);
    const replaced = names.fileOf(name);
    if (replaced !== undefined && replaced !== moved) this.#unlinked(event, name, told);
    names.rename(old, name);
    const file = this.#files.look(bytes);
    if (file === undefined) return;
    const before = this.#files.known(file);
    if (before === undefined) return this.#learn(file, bytes, false);
    this.#files.named(file, bytes);
    if (event.synthetic) this.#found(event, { before, file }, told);
  }

  /** A file has lost a name. */
  #unlinked(event: FileEvent, name: string, told: FileEvent[]): void {
    const { names } = this.#files;
    const key = names.fileOf(name);
    names.remove(name);
    const other = key && names.otherName(key, name);
    const file = other ? this.#files.readName(other) : undefined;
    if (!key || !other || file === undefined) return;
    if (file.links === 1) names.forget(key);
    const before = this.#files.known(file);
    if (before !== undefined) this.#tellLinks(event, before, file, other, told);
  }

  /** Tells of the number of links; other changes have records of their own. */
  #tellLinks(
    event: FileEvent,
    before: FileMetadata,
    file: FileMetadata,
    name: string,
    told: FileEvent[],
  ): void {
    const changes = this.#changes(before, file);
    const links = changes.filter(({ kind }) => kind === LINKS);
    if (links.length === 0) return;
    if (changes.length === 1) this.#files.note(file, true);
    else this.#files.notePart(file, { links: file.links });
    this.#tell(named(event, name), links, before, told);
  }

  /** Tells of all that differs from what is known. */
  #found(
    event: FileEvent,
    { before, file }: Pick<SeenFile, "before" | "file">,
    told: FileEvent[],
  ): void {
    const changes = this.#changes(before, file);
    this.#files.note(file, changes.length > 0);
    this.#tell(event, changes, before, told);
  }

  // --- looking ---

  /** What is at the path of an event and differs from what is known of it. */
  #differing(event: FileEvent): SeenFile | undefined {
    const bytes = bytesOf(event);
    if (!this.#settings.followSymlinks && this.#files.isSame(bytes, false)) return undefined;
    const file = this.#files.look(bytes);
    if (file === undefined) return undefined;
    if (this.#files.known(file) === undefined) this.#learn(file, bytes, false);
    else return this.#files.seen(file, bytes);
    return undefined;
  }

  #changes(before: FileMetadata, file: FileMetadata, isAnnounced = false): MetadataChange[] {
    return metadataChanges(before, file, { isAnnounced, values: this.#showsValues });
  }

  #learn(file: FileMetadata, bytes: Uint8Array, isTold: boolean): void {
    this.#files.learn(file, bytes, isTold);
    if (this.#files.size > this.#limit) this.#sweepNow();
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
    this.#limit = this.#files.size * 2 + GROWTH;
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
    if (isWhole) this.#files.beginWalk();
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
    if (isWhole && isOver) this.#files.forgetUnseen();
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
    if (this.#files.isSame(bytes, follows)) return;
    const file = this.#files.read(bytes, follows);
    if (file === undefined) return;
    if (this.#files.known(file) === undefined) return this.#learn(file, bytes, false);
    this.#files.meet(file, bytes);
    const seen = tells ? this.#files.seen(file, bytes) : undefined;
    if (seen === undefined) return;
    const path = decodeText(bytes);
    const isDirectory = (file.mode & S_IFMT) === S_IFDIR;
    const { backend } = this.#outlet;
    const event = new FileEvent("modify.metadata", path, isDirectory, Date.now(), backend);
    event.synthetic = true;
    const pathBytes = bytesUnlessText(bytes, 0, bytes.length, path);
    if (pathBytes !== undefined) event.pathBytes = pathBytes;
    const all: FileEvent[] = [];
    this.#found(event, seen, all);
    told.push(...all.filter(({ kind }) => this.#asked.wants(kind)));
  }
}

const FLAGS = "modify.metadata.flags";
const TIMES = "modify.metadata.times";
const LINKS = "modify.metadata.links";

/** The longest time that a timer takes, in ms. */
const LONGEST = 2 ** 31 - 1;

function bytesOf({ path, pathBytes }: FileEvent): Uint8Array {
  return pathBytes ?? encodeText(path);
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

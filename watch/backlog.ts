/**
 * What was read from an fanotify group and is not processed yet, with those who did it.
 *
 * @module
 */

import {
  decodeFanotify,
  type FanotifyBatch,
  FanotifyRecord,
  pidfdOf,
} from "../backends/fanotify/decode.ts";
import type { FanotifyGroup } from "../backends/fanotify/group.ts";
import type { HandleKey } from "../backends/fanotify/handle.ts";
import { FormerPlaces, type Place } from "../backends/fanotify/place.ts";
import process from "node:process";
import { nameKey } from "../backends/tree.ts";
import type { Actor } from "../classify/event.ts";
import type { Libc } from "../ffi/port.ts";
import { Actors } from "./actor.ts";

/** How far the queue is read ahead to find out where a directory was, in bytes: all of a queue of the default length. */
const AHEAD = 8 * 1024 * 1024;

/** What one read gave. */
export interface Pending {
  readonly batch: FanotifyBatch;
  /** By pid; undefined where the kernel names others to nobody. */
  readonly actors: ReadonlyMap<number, Actor> | undefined;
  /** How many bytes were read before. */
  readonly first: number;
  /** The offset of the first record that is not processed yet. */
  next: number;
}

/** The batches between the kernel's queue and the hub. */
export class Backlog {
  readonly #libc: Libc;
  readonly #group: FanotifyGroup;
  readonly #actors: Actors;
  readonly #pending: Pending[] = [];
  readonly #formerPlaces = new FormerPlaces();

  constructor(libc: Libc, group: FanotifyGroup) {
    this.#libc = libc;
    this.#group = group;
    this.#actors = new Actors(libc);
  }

  /** The oldest batch, read if none waits; undefined when nothing is queued. */
  first(): Pending | undefined {
    this.#actors.refresh();
    if (this.#pending.length === 0) this.#read();
    return this.#pending[0];
  }

  /** The records behind byte `end` of the oldest batch, as far as they are read. One object, which moves. */
  *behind(end: number): Generator<FanotifyRecord> {
    let at = end;
    for (const { batch } of this.#pending) {
      const record = new FanotifyRecord(batch);
      while (at < batch.length) {
        at = record.read(at, batch.length);
        yield record;
      }
      at = 0;
    }
  }

  /** The oldest batch is processed. */
  drop(): void {
    this.#group.recycle(this.#pending.shift()!.batch);
  }

  clear(): void {
    this.#pending.length = 0;
  }

  /** Passes over all that is queued behind the oldest batch. */
  skip(): void {
    this.#pending.length = 1;
    while (this.#read()) this.#group.recycle(this.#pending.pop()!.batch);
    this.#formerPlaces.clear();
  }

  /** What is queued was processed. */
  caughtUp(): void {
    this.#formerPlaces.clear();
  }

  /** This process, where an unprivileged group names it; the kernel names no other to it. */
  actorOf(pid: number, { actors }: Pending): Actor | undefined {
    if (actors !== undefined) return actors.get(pid);
    return pid === OURS ? this.#actors.resolve(pid, -1) : undefined;
  }

  /**
   * Where a directory was at byte `at` of the stream, from the first record behind that moves or removes it, for which
   * the queue is read ahead; undefined where it stays.
   */
  placeBeforeMove(key: HandleKey, at: number): Place | undefined {
    this.readAhead();
    return this.#formerPlaces.at(key, at);
  }

  /** Where a directory that is gone was at byte `at` of the stream, if another one was renamed over it since. */
  placeUntilReplaced(key: HandleKey, at: number): Place | undefined {
    return this.#formerPlaces.untilReplaced(key, at);
  }

  /** Whether records behind byte `at` of the stream were lost, as far as it was read ahead. */
  isLossBehind(at: number): boolean {
    return this.#formerPlaces.isLossBehind(at);
  }

  /** Whether a record behind byte `at` of the stream gives the name of a directory to another one, or to none. */
  isGivenUp(
    parent: HandleKey,
    name: string,
    nameBytes: Uint8Array | undefined,
    at: number,
  ): boolean {
    return this.#formerPlaces.isGivenUp(parent, nameKey(name, nameBytes), at);
  }

  /** Whether a record behind byte `at` of the stream is of a directory that comes into `parent`, or leaves it. */
  isInFlux(parent: HandleKey, at: number): boolean {
    return this.#formerPlaces.isInFlux(parent, at);
  }

  /** Reads what is queued, and notes what it says of directories; false where there was nothing new. */
  readAhead(): boolean {
    const before = this.#group.bytesRead;
    let ahead = this.#pending.reduce((bytes, { batch }) => bytes + batch.length, 0);
    while (ahead < AHEAD && this.#read()) ahead += this.#pending.at(-1)!.batch.length;
    for (const { batch, first } of this.#pending) this.#formerPlaces.note(batch, first);
    return this.#group.bytesRead > before;
  }

  /** Reads once; false when nothing was queued. */
  #read(): boolean {
    const first = this.#group.bytesRead;
    const batch = this.#group.read();
    if (batch === undefined) return false;
    this.#pending.push({ batch, actors: this.#whoDid(batch), first, next: 0 });
    return true;
  }

  /** Those who did what was read, looked up now that most are still there; their pidfds are closed. */
  #whoDid(batch: FanotifyBatch): ReadonlyMap<number, Actor> | undefined {
    if (!this.#group.hasPidfd) return undefined;
    const actors = new Map<number, Actor>();
    for (const record of decodeFanotify(batch)) {
      const { pid } = record;
      const pidfd = pidfdOf(record);
      const actor = actors.get(pid) ?? this.#actors.resolve(pid, pidfd);
      if (actor !== undefined) actors.set(pid, actor);
      if (pidfd >= 0) this.#libc.close(pidfd);
    }
    return actors;
  }
}

/** Asked for once: `process.pid` is a getter that costs more than the rest of a record. */
const OURS = process.pid;

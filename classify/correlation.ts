/**
 * Finds out which audited deed a file event tells of; pure, the clock is the caller's.
 *
 * inotify, and fanotify without privilege, tell what happened to which name, and not who did it; audit tells who did what
 * to which name, later (measured on 6.18: 81 µs in the median, at most 13 ms), and nothing of a write to a file that is
 * open. So an event waits for its deed, a deed for its event, and what does not come in time is done without. The events
 * keep their order: one that waits holds up what is behind it.
 *
 * @module
 */

import {
  ACTS,
  canBe,
  contradicts,
  type Deed,
  FLAGS,
  hasValues,
  isAbout,
  isExactly,
  isOfOneAct,
  opensForWriting,
  pathsOf,
} from "./deed.ts";
import type { Actor, WatchEvent } from "./event.ts";
import { matches } from "./kinds.ts";

/** How long an event waits for its deed, in ms. */
export const HOLD = 100;

/** How long while audit is behind, as in a burst: it still tells of what happened before the event. In ms. */
export const HOLD_BEHIND = 1000;

/** With that many events held none waits longer than {@linkcode HOLD}: the kernel's queue is bounded. */
const CROWD = 8_192;

/** How long an event that the kernel may have merged waits for more deeds once it has one, in ms. */
const SETTLE = 20;

/** How many deeds are remembered, the latest ones. */
const REMEMBERED = 65_536;

/** How many of them at one path. */
const AT_ONE_PATH = 64;

/** How many files are remembered that somebody opened for writing, the latest ones. */
const WRITTEN = 16_384;

/** Audit stamps with a clock that ticks every 1 to 10 ms (CONFIG_HZ), the beginning of a system call. */
const TICK = 10;

/** An event whose actor may be filled in. */
export type Attributable = WatchEvent & { actor?: Actor };

/** An event on its way. */
interface Held<Event> {
  readonly event: Event;
  /** What stands for the file, as in {@linkcode Deed}; undefined where nobody has asked yet. */
  file: string | undefined;
  /** Since when it may have happened, in ms since the epoch. */
  readonly since: number;
  /** Until when it waits; 0 where it does not. */
  until: number;
  /** Until when it waits in any case. */
  latest: number;
}

/** A deed at one of its paths. */
interface Trace {
  readonly deed: Deed;
  readonly actor: Actor;
  /** Whether an event was told to be of it. */
  isTaken: boolean;
}

/** Who opened a file for writing, and when. */
interface Writer {
  readonly actor: Actor;
  readonly time: number;
}

/** Joins events with deeds. */
export class Correlation<Event extends Attributable> {
  #held: Held<Event>[] = [];
  readonly #waiting = new Map<string, Held<Event>[]>();
  readonly #traces = new Map<string, Trace[]>();
  /** The traces in their order, and where each is. */
  #order: (readonly [path: string, trace: Trace])[] = [];
  /** By path, then by pid; the latest path last. */
  readonly #writers = new Map<string, Map<number, Writer>>();
  /** What was told last. */
  #last: Event | undefined;
  readonly #fileOf: (event: Event) => string | undefined;
  /** When the latest deed happened that named no path, in ms since the epoch: files are looked at for those alone. */
  #unnamed = -Infinity;
  /** When the latest deed happened, in ms since the epoch. */
  #heardTo = -Infinity;
  /** When it was heard of, on the clock of {@linkcode due}. */
  #heardAt = -Infinity;

  /** `fileOf` says which file an event is about, by its device and inode: some calls are told by these alone. */
  constructor(fileOf: (event: Event) => string | undefined = () => undefined) {
    this.#fileOf = fileOf;
  }

  /** How many events are held. */
  get size(): number {
    return this.#held.length;
  }

  /** Until when the first of them waits; Infinity where nothing is held. */
  get due(): number {
    return this.#held[0]?.until ?? Infinity;
  }

  /** Events that happened after `since` (ms since the epoch), read at `now` (ms on the clock of {@linkcode due}). */
  push(events: readonly Event[], since: number, now: number): void {
    for (const event of events) {
      const file = this.#unnamed >= since - TICK ? this.#fileOf(event) : undefined;
      const [until, latest] = [now + HOLD, now + HOLD_BEHIND];
      const held: Held<Event> = { event, file, since, until, latest };
      this.#held.push(held);
      this.#look(held, now);
      if (held.until === 0) continue;
      for (const place of placesOf(held)) append(this.#waiting, place, held);
    }
  }

  /** What somebody did, heard of at `now`. */
  add(deed: Deed, now: number): void {
    const { actor, path, from } = deed;
    this.#heardTo = Math.max(this.#heardTo, deed.time);
    this.#heardAt = now;
    if (actor === undefined || (path === "" && deed.file === undefined && deed.kind !== FLAGS)) {
      return;
    }
    if (from !== undefined) this.#moved(path, from, deed.attributes.exchange === true);
    if (opensForWriting(deed)) {
      this.#opened(path, { actor, time: deed.time });
    }
    const trace = { deed, actor, isTaken: false };
    const places = path === "" ? [deed.file ?? ""] : pathsOf(deed);
    if (path === "" && deed.file !== undefined) this.#findFiles(deed);
    for (const path of places) {
      const traces = append(this.#traces, path, trace);
      if (traces.length > AT_ONE_PATH) traces.shift();
      this.#order.push([path, trace]);
    }
    for (const path of places) {
      for (const held of this.#waiting.get(path)?.slice() ?? []) {
        this.#look(held, now);
        if (held.until === 0) this.#waitNoMore(held);
      }
    }
    if (this.#order.length > 2 * REMEMBERED) this.#forget();
  }

  /** What is to be told at `now`, in the order in which it came. */
  take(now: number): Event[] {
    const end = this.#held.findIndex((held) => held.until > now || this.#mayCome(held, now));
    const first = this.#held[end];
    if (first !== undefined && first.until <= now) {
      first.until = Math.min(now + SETTLE, first.latest);
    }
    const told = this.#held.splice(0, end < 0 ? this.#held.length : end);
    for (const held of told) {
      if (held.until !== 0) {
        this.#waitNoMore(held);
        this.#settle(held);
      }
      const { event } = held;
      if (event.kind === "modify.metadata.links") this.#tellLinks(event);
      this.#last = event;
    }
    return told.map(({ event }) => event);
  }

  /** Whether an event's deed may be on its way yet: audit goes on to tell, and of what happened before. */
  #mayCome({ event, until, latest }: Held<Event>, now: number): boolean {
    // Records come when calls end, and have the time when they began: those of one moment are not next to each other.
    const isBehind = this.#heardTo < event.time + HOLD && now - this.#heardAt < HOLD;
    return until !== 0 && now < latest && isBehind && this.#held.length < CROWD;
  }

  /** Which files the events are about that wait, for a deed that names no path. */
  #findFiles(deed: Deed): void {
    this.#unnamed = Math.max(this.#unnamed, deed.time);
    for (const held of this.#held) {
      if (held.until === 0 || held.file !== undefined || !isOfOneAct(held.event, deed)) continue;
      held.file = this.#fileOf(held.event);
      if (held.file !== undefined) append(this.#waiting, held.file, held);
    }
  }

  /** The number of links changes with the name that came or went, which was told just before. */
  #tellLinks(event: Event): void {
    const { actor } = this.#last ?? {};
    const isOther = event.actor !== undefined && event.actor.pid !== actor?.pid;
    if (actor !== undefined && !isOther) event.actor = actor;
  }

  /** All that is held. */
  flush(): Event[] {
    return this.take(Infinity);
  }

  /** Says who did it where that is clear by now, and how long there is more to wait for where it is not. */
  #look(held: Held<Event>, now: number): void {
    const { event } = held;
    const act = ACTS.find(([kind]) => matches(event, kind));
    // What is found by looking is of no known time; but nothing else finds flags where polling does, a look later.
    const isPolled = event.backend === "poll" && event.kind === FLAGS;
    const isFound = event.synthetic === true && !isPolled;
    if (act === undefined || isFound || event.kind === "modify.metadata.links") {
      held.until = 0;
      return;
    }
    const [kind, isOwn] = act;
    const traces = this.#tracesOf(held, kind);
    if (event.actor !== undefined) {
      if (this.#complete(event, event.actor, traces, kind)) held.until = 0;
      else if (traces.some(({ deed }) => isExactly(deed, event))) this.#soon(held, now);
    } else if (isOwn) {
      const trace = traces.find(({ isTaken }) => !isTaken);
      if (trace === undefined) return;
      event.actor = { ...trace.actor, confidence: "likely" };
      // An exchange is told as two renames.
      trace.isTaken = trace.deed.attributes.exchange !== true;
      held.until = 0;
    } else if (traces.length > 0 || (kind === "modify.data" && this.#writers.has(event.path))) {
      this.#soon(held, now);
    }
  }

  #soon(held: Held<Event>, now: number): void {
    held.until = held.latest = Math.min(held.until, now + SETTLE);
  }

  /** The deeds that an event may be of: of a write to an open file, what opened it meanwhile. */
  #tracesOf(held: Held<Event>, kind: string): Trace[] {
    const { event, file, since } = held;
    const traces = (places: readonly string[]) =>
      places.flatMap((place) => this.#traces.get(place) ?? []).filter(({ deed }) =>
        (matches(deed, kind) || (kind === "modify.data" && opensForWriting(deed))) &&
        isAbout(deed, event, file) && canBe(event, deed) &&
        deed.time >= since - TICK && deed.time <= event.time + TICK
      );
    const own = traces([event.path, ...file === undefined ? [] : [file]]);
    if (event.kind !== FLAGS || own.some(({ deed }) => deed.kind === FLAGS)) return own;
    return [...own, ...traces([""]).filter(({ isTaken }) => !isTaken)];
  }

  /** The kernel said who it was: adds what audit knows beyond. */
  #complete(event: Event, actor: Actor, traces: readonly Trace[], kind: string): boolean {
    const deed = traces.find((trace) => trace.actor.pid === actor.pid);
    if (deed?.deed.path === "") deed.isTaken = true;
    const writer = kind === "modify.data"
      ? this.#writers.get(event.path)?.get(actor.pid)
      : undefined;
    const known = deed ?? writer;
    if (known === undefined) return false;
    // Both name the process; what audit tells of it is of the time of the call.
    const confidence = deed === undefined ? actor.confidence : "exact";
    event.actor = { ...actor, ...known.actor, confidence };
    return true;
  }

  /** All deeds are known that an event may tell of, which the kernel merges: whose it is. */
  #settle(held: Held<Event>): void {
    const { event, since } = held;
    const [kind, isOwn] = ACTS.find(([kind]) => matches(event, kind))!;
    if (isOwn) return;
    const traces = this.#tracesOf(held, kind);
    const exact = traces.filter(({ deed }) => isExactly(deed, event));
    if (event.actor !== undefined && exact.length === 0) return;
    if (traces.length === 0) {
      if (kind === "modify.data") this.#attributeWriter(event, since);
      return;
    }
    // A look at the file for one record may find what another is about: who did that was not who is known.
    const among = exact.length > 0 ? exact : traces;
    const fitting = among.filter(({ deed }) => hasValues(event, deed));
    const last = (fitting.length > 0 ? fitting : among).at(-1)!;
    const isOne = fitting.length === 1 ||
      (among.every(({ actor }) => actor.pid === last.actor.pid) && !contradicts(event, last.deed));
    event.actor = { ...last.actor, confidence: isOne ? "likely" : "ambiguous" };
    if (isOne && last.deed.path === "") last.isTaken = true; // it named no file, and this was the one
  }

  /** Nobody tells who writes to an open file: one of those who opened it for writing, as far as that was seen. */
  #attributeWriter(event: Event, since: number): void {
    const writers = [...this.#writers.get(event.path)?.values() ?? []];
    const last = writers.at(-1);
    if (last === undefined) return;
    // Who opened it before may have closed it, and somebody else have it open since before audit told.
    const isOne = writers.length === 1 && last.time >= since - TICK;
    event.actor = { ...last.actor, confidence: isOne ? "likely" : "ambiguous" };
  }

  #opened(path: string, writer: Writer): void {
    const writers = this.#writers.get(path) ?? new Map<number, Writer>();
    this.#writers.delete(path);
    if (this.#writers.size >= WRITTEN) this.#writers.delete(this.#writers.keys().next().value!);
    this.#writers.set(path, writers);
    writers.delete(writer.actor.pid);
    writers.set(writer.actor.pid, writer);
  }

  /** Who writes to a file goes on to, under its other name. */
  #moved(path: string, from: string, isExchange: boolean): void {
    const there = this.#writers.get(path);
    const moved = this.#writers.get(from);
    this.#writers.delete(path);
    this.#writers.delete(from);
    if (moved !== undefined) this.#writers.set(path, moved);
    if (isExchange && there !== undefined) this.#writers.set(from, there);
  }

  #waitNoMore(held: Held<Event>): void {
    held.until = 0;
    for (const path of placesOf(held)) {
      const others = this.#waiting.get(path)?.filter((other) => other !== held) ?? [];
      if (others.length > 0) this.#waiting.set(path, others);
      else this.#waiting.delete(path);
    }
  }

  /** Forgets the older half of the deeds. */
  #forget(): void {
    for (const [path, trace] of this.#order.splice(0, REMEMBERED)) {
      const traces = this.#traces.get(path);
      if (traces?.[0] === trace) traces.shift();
      if (traces?.length === 0) this.#traces.delete(path);
    }
  }
}

/** Where the deed of an event may be. */
function placesOf({ event, file }: Pick<Held<WatchEvent>, "event" | "file">): string[] {
  const places = pathsOf(event);
  if (file !== undefined) places.push(file);
  if (event.kind === FLAGS) places.push("");
  return places;
}

function append<Value>(map: Map<string, Value[]>, path: string, value: Value): Value[] {
  let values = map.get(path);
  if (values === undefined) map.set(path, values = []);
  values.push(value);
  return values;
}

/**
 * What one watcher wants of one directory, and the way there: the last filter before the queue.
 *
 * @module
 */

import type { BackendSink } from "../backends/backend.ts";
import { type Actor, FileEvent, type RawSource } from "../classify/event.ts";
import type { Kind } from "../classify/kinds.ts";
import { encodeText } from "../ffi/text.ts";
import type { Filter } from "./filter.ts";
import { isStructural } from "./picture.ts";
import type { Recovery } from "./recovery.ts";

/** Where a feed delivers. */
export interface FeedSink extends BackendSink {
  /** Called with events that the consumer does not get, because it is too slow. */
  onDropped?: (events: readonly FileEvent[]) => void;
  /** Says that what was lost has been told. */
  recovered(path: string): void;
  /** Takes of renames whether the name was another file's before; undefined where nobody asks. */
  readonly replaced: WeakMap<FileEvent, boolean> | undefined;
  /** The order among all that deliver to the consumer. */
  readonly order: Order;
}

/** The order of events of several feeds: what one has gathered is delivered before another gathers more. */
export interface Order {
  last: Feed | undefined;
}

/** What a feed is opened for. */
export interface FeedInit {
  /** The watched path as the user spelled it, absolute. */
  readonly path: string;
  /** The directory that is anchored: `path` itself, or the parent of a watched file. */
  readonly directory: string;
  /** What globs are relative to. */
  readonly root: string;
  /** The name that is watched within `directory`, and nothing else of it. */
  readonly only?: string;
  /** Whether what is in a directory of the name `only` is watched too, whenever there is one. */
  readonly isLasting?: boolean;
  /** Whether what is there is announced: the target appeared while it was waited for. */
  readonly isLate?: boolean;
  /** Whether what is there is told after a comparison with nothing: it was mounted, or came to light. */
  readonly isShown?: boolean;
  /** Called once its directory has gone, and whether that was told; not to change the hub at once. */
  readonly onGone?: (isTold: boolean) => void;
  readonly recursive: boolean;
  readonly backend: string;
  readonly filter: Filter;
  readonly sink: FeedSink;
  readonly actor: boolean;
  /**
   * Mount points below `path`, as the user spells them: other targets, or left out. The set changes with what is mounted.
   */
  readonly mounts?: ReadonlySet<string>;
  /** Directories below `directory` that do not count, with all that is below them. */
  readonly excluded?: ReadonlySet<string>;
}

/** What a record says beyond its kind and place; a hub moves one of these from record to record. */
export interface Circumstances {
  time: number;
  /** Where the decoded record is; undefined for what was found by looking. */
  source: RawSource | undefined;
  offset: number;
  pid: number;
  actor: Actor | undefined;
  /** A rename: whether the new name was another file's before, where the kernel tells. */
  replaced: boolean | undefined;
  /** A rename: half of which exchange it is. */
  exchange: ExchangeHalf | undefined;
}

/** One of the two renames as which the kernel announces an exchange: from `a` to `b`, and then from `b` to `a`. */
export interface ExchangeHalf {
  readonly isFirst: boolean;
  /** Whether what goes the other way is a directory. */
  readonly isOtherDirectory: boolean;
}

/** What is known of every record of a source before one is looked at. */
export function circumstances(source?: RawSource, time: number = Date.now()): Circumstances {
  return {
    time,
    source,
    offset: 0,
    pid: 0,
    actor: undefined,
    replaced: undefined,
    exchange: undefined,
  };
}

/** Something that is not covered, and why. */
export interface Gap {
  readonly path: string;
  readonly reason: string;
}

/** A target of a watcher, anchored at a directory of a hub's tree. */
export class Feed {
  path: string;
  directory: string;
  readonly root: string;
  readonly only: string | undefined;
  readonly isLasting: boolean;
  readonly isLate: boolean;
  readonly isShown: boolean;
  readonly recursive: boolean;
  readonly backend: string;
  readonly filter: Filter;
  readonly sink: FeedSink;
  readonly actor: boolean;
  readonly mounts: ReadonlySet<string> | undefined;
  excluded: ReadonlySet<string> | undefined;
  /** When it was armed, in ms since the epoch. */
  readonly since: number = Date.now();
  /** The path of the anchor in the hub's tree, where that differs from the user's spelling (symlinks, bind mounts). */
  canonical: string | undefined;
  /** What the way that it is watched cannot tell. */
  readonly gaps: Gap[] = [];
  /** Why the target is not covered any more. */
  gone: string | undefined;
  /** What repairs losses, where that was asked for. */
  recovery: Recovery | undefined;
  readonly #onGone: FeedInit["onGone"];
  #events: FileEvent[] = [];
  /** Events that nobody asked for, but that change the names that are there. */
  readonly #unasked = new Set<FileEvent>();

  constructor(init: FeedInit) {
    this.path = init.path;
    this.directory = init.directory;
    this.root = init.root;
    this.only = init.only;
    this.isLasting = init.isLasting ?? false;
    this.isLate = init.isLate ?? false;
    this.isShown = init.isShown ?? false;
    this.#onGone = init.onGone;
    this.recursive = init.recursive;
    this.backend = init.backend;
    this.filter = init.filter;
    this.sink = init.sink;
    this.actor = init.actor;
    this.mounts = init.mounts;
    this.excluded = init.excluded;
  }

  /** Whether somebody has to look into the directories that it is fed from. */
  get looksInto(): boolean {
    return this.recursive || this.isLasting;
  }

  /** The target is not covered any more; `isTold`: as events say. */
  end(reason: string, isTold = true): void {
    if (this.gone !== undefined) return;
    this.gone = reason;
    this.#onGone?.(isTold);
  }

  /** The target has another path, as the user spells it. */
  renamed(from: string, to: string): void {
    this.path = to + this.path.slice(from.length);
    if (this.only !== undefined) return; // a file, which is where it was
    this.directory = to + this.directory.slice(from.length);
    const respelled = (path: string) =>
      path.startsWith(`${from}/`) ? to + path.slice(from.length) : path;
    this.excluded = this.excluded && new Set([...this.excluded].map(respelled));
    this.recovery?.renamed(this.directory);
  }

  /** A path of the hub's tree in the user's spelling. */
  spell(path: string): string {
    const { canonical, directory } = this;
    if (canonical === undefined) return path;
    const below = path.slice(canonical === "/" ? 0 : canonical.length);
    return directory === "/" ? below || "/" : directory + below;
  }

  /** {@linkcode spell} for bytes. */
  spellBytes(path: Uint8Array): Uint8Array {
    if (this.canonical === undefined) return path;
    const below = path.subarray(this.canonical === "/" ? 0 : encodeText(this.canonical).length);
    const above = encodeText(this.directory === "/" ? "" : this.directory);
    const spelled = new Uint8Array(above.length + below.length);
    spelled.set(above);
    spelled.set(below, above.length);
    return spelled;
  }

  /** Whether any path is left out. */
  get leavesOut(): boolean {
    return this.filter.asksPaths || (this.excluded?.size ?? 0) > 0;
  }

  /** Whether `path` is left out, being in the spelling of the hub's tree. */
  leftOut(path: string, isDirectory: boolean): boolean {
    const { filter } = this;
    if (isDirectory && this.excluded?.has(path)) return true;
    return filter.asksPaths && filter.ignores(this.spell(path), isDirectory, this.root);
  }

  /** Whether there are directories whose contents are hidden. */
  get hidesAny(): boolean {
    return (this.mounts?.size ?? 0) > 0;
  }

  /** Whether what is in a directory is hidden by what is mounted on it. */
  hides(path: string): boolean {
    return this.hidesAny && this.mounts!.has(this.spell(path));
  }

  /** Whether what is at `path`, in the spelling of the hub's tree, is nobody's business: left out, or hidden. */
  ignores(path: string, isDirectory: boolean): boolean {
    return isDirectory && this.hides(path) || this.leftOut(path, isDirectory);
  }

  /** A new event if it is wanted; the caller completes it before the next {@linkcode flush}. */
  event(
    kind: Kind,
    path: string,
    isDirectory: boolean,
    about: Circumstances,
  ): FileEvent | undefined {
    const { filter } = this;
    const isWanted = filter.wants(kind) && !filter.ignoresProcess(about.pid);
    if (!isWanted && (this.recovery === undefined || !isStructural(kind))) return undefined;
    if (isDirectory && this.excluded?.has(path)) return undefined;
    const { order } = this.sink; // first, for what was gathered may change how paths are spelled
    if (order.last !== this) {
      order.last?.flush();
      order.last = this;
    }
    const spelled = this.canonical === undefined ? path : this.spell(path);
    if (filter.asksPaths && filter.ignores(spelled, isDirectory, this.root)) return undefined;
    const event = new FileEvent(
      kind,
      spelled,
      isDirectory,
      about.time,
      this.backend,
      about.source,
      about.offset,
    );
    if (about.source === undefined) event.synthetic = true; // no record: found by looking
    this.#events.push(event);
    if (!isWanted) this.#unasked.add(event);
    return event;
  }

  /** Events were lost. */
  lost(reason: string): void {
    this.flush();
    this.sink.lost(this.path, reason);
  }

  /** What was lost has been told. */
  recovered(): void {
    this.flush();
    this.sink.recovered(this.path);
  }

  /** Attaches the actor where it was asked for. */
  attribute(event: FileEvent, actor: Actor | undefined): void {
    if (this.actor && actor !== undefined) event.actor = actor;
  }

  /** Delivers what has gathered. */
  flush(): void {
    if (this.#events.length === 0) return;
    let events = this.#events;
    this.#events = [];
    if (this.recovery !== undefined) events = this.recovery.note(events);
    if (this.#unasked.size > 0) {
      events = events.filter((event) => !this.#unasked.has(event));
      this.#unasked.clear();
    }
    if (events.length > 0) this.sink.deliver(events);
  }
}

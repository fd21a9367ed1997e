/**
 * The watcher: targets and backends on one side, one consumer on the other.
 *
 * @module
 */

import { posix } from "node:path";
import type { Backend, BackendSession, Coverage, FlagCoverage } from "../backends/backend.ts";
import { type EventInit, FileEvent } from "../classify/event.ts";
import { deferred } from "../ffi/deferred.ts";
import { SystemError, WatchLimitError } from "../ffi/errno.ts";
import { openLibc } from "../ffi/libc.ts";
import type { Libc } from "../ffi/port.ts";
import { reactor } from "../ffi/reactor.ts";
import { isWithin } from "../backends/mounts/mountinfo.ts";
import type { Mount } from "../backends/mounts/mount.ts";
import type { MountNotice } from "../backends/mounts/monitor.ts";
import { isKind, KINDS, matches } from "../classify/kinds.ts";
import { type MountEvent, mountEvent } from "../classify/mounts.ts";
import type { FeedSink, Order } from "./feed.ts";
import type { Settings } from "./options.ts";
import { openFollowing } from "./links.ts";
import { openLasting } from "./missing.ts";
import { type HubSession, openTarget } from "./open_target.ts";
import type { Attribution, Source } from "./attribution.ts";
import { Auditing } from "./auditing.ts";
import { EventStream } from "./event_stream.ts";
import { EventQueue } from "./queue.ts";
import { concerns, type MountListener, onMountChanges } from "./mount_changes.ts";
import { remountOf } from "./remount.ts";
import { type MetadataOutlet, MetadataStage } from "./metadata_stage.ts";
import { type SaveOutlet, SaveStage } from "./save_stage.ts";
import {
  absolutePath,
  type LeftOut,
  type Resolved,
  resolveTargets,
  respelled,
  type Target,
} from "./targets.ts";
import { Writers } from "./writers.ts";

/** What a watcher did so far. */
export interface WatcherStats {
  /** Events delivered to the queue. */
  readonly events: number;
  /** Bytes read from the kernel's queues that this watcher uses; others may use them too. */
  readonly bytesRead: number;
  /** `lost` events, whatever they counted. */
  readonly losses: number;
  /** Events that were dropped because the consumer was too slow. */
  readonly dropped: number;
  /** The most events that waited for the consumer at once. */
  readonly queueHighWater: number;
  /** Watches and marks of the kernel that it takes. */
  readonly watches: number;
  /** Names that are remembered for `recover: "diff"`, about 60 bytes each and those of the name. */
  readonly names: number;
}

/** After how long changes of the mount table are looked at again that could not be looked at, in ms. */
const RETRY = 2000;

/** What is known of a path that was asked for. */
interface Asked {
  /** The kernel's path of it, and the mount that it is on, as it was found last. */
  readonly real: string;
  readonly mount: Target["mount"];
  /** What is not watched below. */
  readonly leftOut: readonly LeftOut[];
  /** Whether it cannot be reached, until something is unmounted. */
  readonly isAway: boolean;
}

/** A path that was added, and what serves it. */
interface Place {
  readonly path: string;
  readonly target: Target | undefined;
  readonly backend: string;
  readonly session: BackendSession | HubSession;
  readonly sink: Sink;
  /** Whether it is over, and that was told. */
  readonly end: { isToldOf: boolean };
}

/** A place that is served by our own backends. */
type Covered = Place & { readonly target: Target; readonly session: HubSession };

/**
 * A running watch.
 *
 * - **One consumer.** Iterating twice is a `TypeError`.
 * - **Nothing is lost silently.** A slow consumer leaves the backlog in the kernel; where that is full, or shared with
 *   others who are faster, a `lost` event says so.
 * - **Every end gives back everything.** `break`, `return`, an exception in the loop, `close()`, the signal.
 */
export class Watcher extends EventStream {
  /**
   * Settles once: resolves when every change from now on is reported, rejects with the `SystemError` that prevented it, or
   * with an `AbortError` when the watcher was closed before.
   */
  readonly ready: Promise<void>;
  readonly #queue: EventQueue;
  readonly #settings: Settings;
  readonly #asked = new Map<string, Asked>();
  #places: Place[] = [];
  readonly #order: Order = { last: undefined };
  readonly #arming = new Set<Promise<void>>();
  #writers: Writers | undefined;
  /** What audit tells, where that was asked for. */
  #auditing: Auditing | undefined;
  /** Ends the waiting for changes of the mount table. */
  #mountChanges: Promise<() => void> | undefined;
  #isRemounted = false;
  #remounting: Promise<void> | undefined;
  #endPause: (() => void) | undefined;
  readonly #closed = deferred();
  #losses = 0;
  #closing: Promise<void> | undefined;
  readonly #abort = (): void => void this.close();

  /** Begins to arm at once. Use {@linkcode watch}. */
  constructor(paths: readonly (string | URL)[], settings: Settings) {
    const queue = new EventQueue(settings.queue === "kernel");
    super(queue, "watcher");
    this.#queue = queue;
    this.#settings = settings;
    this.#queue.onRoom = () => {
      this.#auditing?.attribution.resume();
      for (const { session } of this.#places) session.resume?.();
    };
    const { signal } = settings;
    if (signal?.aborted) void this.close();
    else signal?.addEventListener("abort", this.#abort);
    this.ready = this.#armAll(paths);
    this.ready.catch(() => {}); // the iterator throws the same; whoever uses neither has chosen not to know
  }

  async #armAll(paths: readonly (string | URL)[]): Promise<void> {
    try {
      for (const path of paths) await this.#arm(path);
    } catch (error) {
      this.#end({ error });
      await this.close().catch(() => {}); // what went wrong first is what is told
      throw error;
    }
    if (this.#closing !== undefined) {
      throw new DOMException("Cannot watch: it was closed before it was armed", "AbortError");
    }
  }

  get #isOpen(): boolean {
    return this.#closing === undefined;
  }

  /** Arms one path; {@linkcode close} waits for it. */
  #arm(path: string | URL): Promise<void> {
    const arming = this.#armNow(path).finally(() => this.#arming.delete(arming));
    this.#arming.add(arming);
    return arming;
  }

  async #armNow(path: string | URL): Promise<void> {
    const settings = this.#settings;
    const libc = await openLibc();
    if (!this.#isOpen) return;
    const absolute = absolutePath(libc, path);
    const { backend } = settings;
    if (settings.saves !== undefined) this.#writers ??= new Writers(libc);
    if (settings.audit && this.#auditing === undefined) await this.#audit(libc);
    if (!this.#isOpen) return;
    if (typeof backend === "object") return await this.#armCustom(withoutSlash(absolute), backend);
    const { targets, leftOut } = resolveTargets(libc, absolute, settings);
    for (const target of targets) await this.#cover(libc, absolute, target, leftOut);
    if (!this.#isOpen) return;
    const [{ real, mount }] = targets;
    this.#asked.set(withoutSlash(absolute), { real, mount, leftOut, isAway: false });
    if (settings.scope !== "tree" && !this.#tellsOfMounts) return;
    if (this.#mountChanges !== undefined) return;
    this.#mountChanges = onMountChanges(this.#mountsChanged);
    const isHeard = this.#mountChanges.catch(() => {}); // then what is mounted later is not noticed
    if (this.#tellsOfMounts) await isHeard;
  }

  /** Begins to hear what audit tells; what that refuses is a gap. */
  async #audit(libc: Libc): Promise<void> {
    const onLost = (reason: string, count: number | undefined) => {
      this.#sink(this.#places[0]?.target?.path ?? "/").lost("/", reason, count);
    };
    this.#auditing = new Auditing(libc, this.#queue, this.#settings.filter, onLost);
    await this.#auditing.open();
  }

  /**
   * Covers a target of the path, unless another one does; `isShown`: what is there is news. A mount that refuses is left
   * out, and does not take down the rest.
   */
  async #cover(
    libc: Libc,
    path: string,
    target: Target,
    leftOut: LeftOut[],
    isShown = false,
  ): Promise<void> {
    const settings = this.#settings;
    if (!this.#isOpen || this.#places.some((place) => covers(place.target, target))) return;
    const covered = this.#places.filter((place) => covers(target, place.target));
    const sink = this.#sink(target.path);
    if (settings.metadata !== undefined) {
      sink.metadata = new MetadataStage(libc, target, settings, sink);
    }
    this.#auditing?.cover(target, (path) => sink.metadata?.look(path));
    const isWanted = () => this.#isOpen;
    const end = { isToldOf: false };
    const onGone = (isTold: boolean) => {
      end.isToldOf = isTold;
    };
    let session: HubSession;
    try {
      const open = (sink: FeedSink): Promise<HubSession> =>
        isName(target)
          ? openLasting(libc, target, settings, sink, isWanted)
          : openTarget(target, settings, sink, isWanted, { onGone, isShown });
      const follows = settings.followSymlinks && (!isName(target) || target.isLasting);
      session = follows
        ? await openFollowing(libc, target, settings, sink, isWanted, open)
        : await open(sink);
    } catch (error) {
      sink.close();
      this.#auditing?.uncover(target);
      if (!target.isInner && !isShown) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      leftOut.push({ path: target.path, mount: target.mount, reason });
      return;
    }
    sink.session = session;
    if (!this.#isOpen) return await closeUnused(session, sink);
    this.#places.push({ path, target, backend: session.backend, session, sink, end });
    for (const one of covered) await this.#drop(one);
    await sink.metadata?.begin();
  }

  /** Something was mounted or unmounted, perhaps on a path, above or below: `close()` waits until that is dealt with. */
  readonly #mountsChanged: MountListener = (notices) => {
    if (notices !== undefined && this.#tellsOfMounts) this.#tellMounts(notices);
    if (this.#settings.scope !== "tree") return;
    const isConcerned = ([path, { real }]: [string, Asked]) =>
      notices === undefined ||
      notices.some((notice) => concerns(notice, path) || concerns(notice, real));
    if (!this.#asked.entries().some(isConcerned)) return;
    this.#isRemounted = true;
    this.#remounting ??= this.#coverMounts();
  };

  get #tellsOfMounts(): boolean {
    return KINDS.some((kind) => matches(kind, "mount") && this.#settings.filter.tells(kind));
  }

  /** Tells of mounts at and below the paths, in the spelling of the first that has them. */
  #tellMounts(notices: readonly MountNotice[]): void {
    const { filter, recursive } = this.#settings;
    const time = Date.now();
    for (const notice of notices) {
      for (const [path, { real }] of this.#asked) {
        const has = (mount: Mount | undefined) =>
          mount !== undefined && isWithin(mount.point, real) &&
          (recursive || mount.point === real || posix.dirname(mount.point) === real) &&
          !filter.ignores(respelled(mount.point, real, path), true, path);
        if (!has(notice.mount) && !has(notice.before)) continue;
        const spell = (point: string) =>
          isWithin(point, real) ? respelled(point, real, path) : point;
        const event = mountEvent(notice, time, undefined, spell) as MountEvent & FileEvent;
        if (filter.tells(event.kind)) this.#sink(path).put([event]);
        break;
      }
    }
  }

  /** Covers what is mounted on the paths and below them now, and lets go of what was. */
  async #coverMounts(): Promise<void> {
    const libc = await openLibc();
    try {
      while (this.#isRemounted && this.#isOpen) {
        this.#isRemounted = false;
        try {
          for (const path of this.#asked.keys()) await this.#coverMountsOf(libc, path);
        } catch (error) {
          if (!(error instanceof WatchLimitError)) throw error;
          // There is no file descriptor left to look with; nobody tells when there is one.
          this.#isRemounted = true;
          await this.#pause(RETRY);
        }
      }
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#remounting = undefined; // at once: what changes now is looked at anew
    }
  }

  /** Waits that many ms, or until the watcher is closed. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /**
   * What is at a path, and below it, may be on other mounts now. Tells a loss at each point where it is, then what is hidden
   * to be removed, the innermost first, and what is to be seen to be created, and that all is told. Where losses are not
   * repaired, the loss is told at the end.
   */
  async #coverMountsOf(libc: Libc, path: string): Promise<void> {
    const ours = this.#places.filter(isCovered)
      .filter((place) => withoutSlash(place.path) === path);
    const whole = ours.find(({ target }) => !target.isInner);
    if (whole === undefined && this.#asked.get(path)?.isAway !== true) return;
    const resolved = this.#resolve(libc, path);
    if (resolved === undefined && whole !== undefined && isName(whole.target)) {
      return; // its own watch tells
    }
    if (resolved === undefined && whole === undefined) return;
    const { targets: now, leftOut } = resolved ?? { targets: [], leftOut: [] };
    const { isOwnKept, gone, kept, came, points } = remountOf(path, ours, now);
    if (points.length === 0) return this.#note(path, resolved);
    for (const place of ours) await this.#unlessClosed(place.session.settled());
    if (!this.#isOpen || whole?.end.isToldOf) return;
    const isThere = resolved !== undefined;
    const reasonAt = (point: string) => {
      if (!isThere) return "it cannot be reached any more";
      if (whole === undefined) return "it can be reached again";
      if (!isOwnKept) return "its filesystem was unmounted, or is hidden by another one";
      return now.some(({ mounts }) => mounts.has(point))
        ? "a filesystem was mounted here"
        : "what was mounted here is not any more";
    };
    const sink = whole?.sink ?? this.#sink(path);
    const { recover, filter } = this.#settings;
    const isRepaired = recover === "diff" && filter.tellsOfTree;
    const tellLost = () => points.forEach((point) => sink.lost(point, reasonAt(point)));
    if (isRepaired) tellLost();
    for (const place of gone) {
      this.#places = this.#places.filter((other) => other !== place);
      if (!place.end.isToldOf) await this.#unlessClosed(place.session.hidden());
      await this.#closePlace(place);
    }
    for (const { place: { session }, mounts, points } of kept) {
      await this.#unlessClosed(session.remounted(points, mounts));
    }
    if (!isOwnKept && isThere === (whole === undefined)) this.#tellRoot(path, isThere);
    for (const target of came) {
      await this.#cover(libc, path, target, leftOut, true);
      const place = this.#places.find((one) => one.target === target);
      if (place !== undefined && isCovered(place)) await this.#unlessClosed(place.session.shown());
    }
    if (!this.#isOpen) return;
    this.#note(path, resolved);
    if (!isRepaired) return tellLost(); // who looks now misses nothing that happens from now on
    for (const point of points) {
      const place = this.#places.findLast(({ target }) => target?.path === point);
      (place?.sink ?? sink).recovered(point);
    }
  }

  /** Notes what is not watched below a path, unless that was removed meanwhile. */
  #note(path: string, resolved: Resolved | undefined): void {
    const asked = this.#asked.get(path);
    if (asked === undefined || !this.#isOpen) return;
    const { real, mount } = asked;
    if (resolved !== undefined) {
      const { targets: [{ real, mount }], leftOut } = resolved;
      this.#asked.set(path, { real, mount, leftOut, isAway: false });
      return;
    }
    const leftOut = [{ path, mount, reason: "it cannot be reached: something is mounted above" }];
    this.#asked.set(path, { real, mount, leftOut, isAway: true });
  }

  /** A path that was asked for is hidden by what is mounted above it, or is there again. */
  #tellRoot(path: string, isThere: boolean): void {
    const { recover, filter } = this.#settings;
    const kind = isThere ? "create.directory" : "remove.directory";
    if (recover !== "diff" || !filter.wants(kind)) return;
    const event = { kind, path, isDirectory: true, synthetic: true } as const;
    this.#sink(path).deliver([event]);
  }

  /** Waits for what may take as long as the consumer takes. */
  async #unlessClosed(work: Promise<void>): Promise<void> {
    await Promise.race([work, this.#closed.promise]);
  }

  #resolve(libc: Libc, path: string): Resolved | undefined {
    try {
      return resolveTargets(libc, path, this.#settings);
    } catch (error) {
      if (error instanceof SystemError && !(error instanceof WatchLimitError)) return undefined;
      throw error;
    }
  }

  async #armCustom(path: string, backend: Backend): Promise<void> {
    const { filter, recursive, scope, actor, queue } = this.#settings;
    const sink = this.#sink(path, backend.name);
    const session = await backend.open({
      path,
      recursive,
      scope,
      actor,
      queue,
      wants: (kind) => filter.wants(kind),
      ignores: (below, isDirectory) => filter.ignores(below, isDirectory, path),
    }, sink);
    if (!this.#isOpen) return await closeUnused(session, sink);
    const end = { isToldOf: false };
    this.#places.push({ path, target: undefined, backend: backend.name, session, sink, end });
  }

  #sink(path: string, name?: string): Sink {
    return new Sink(
      this.#queue,
      path,
      this.#settings,
      this.#failed,
      this.#onLoss,
      this.#writers,
      this.#order,
      this.#auditing?.isOpen ? this.#auditing.attribution : undefined,
      name,
    );
  }

  /** Ends the stream after all that was read. */
  #end(failure?: { readonly error: unknown }): void {
    for (const { sink } of this.#places) sink.close();
    this.#auditing?.attribution.flush();
    this.#queue.end(failure);
  }

  readonly #failed = (error: unknown): void => {
    this.#end({ error });
    void this.close();
  };

  readonly #onLoss = (): void => void this.#losses++;

  /** Watches one more path with the same options; resolves when it is armed, rejects with why it cannot be. */
  async add(path: string | URL): Promise<void> {
    if (!this.#isOpen) throw new TypeError(`Cannot add ${String(path)}: the watcher is closed`);
    await this.#arm(path);
  }

  /** Watches a path no more. Events that were read before are still delivered. */
  async remove(path: string | URL): Promise<void> {
    const absolute = withoutSlash(absolutePath(await openLibc(), path));
    const places = this.#places.filter((place) => withoutSlash(place.path) === absolute);
    if (places.length === 0) throw new TypeError(`Cannot remove ${absolute}: it is not watched`);
    for (const place of places) await this.#drop(place);
  }

  async #drop(place: Place): Promise<void> {
    this.#places = this.#places.filter((other) => other !== place);
    this.#asked.delete(withoutSlash(place.path));
    await this.#closePlace(place);
  }

  async #closePlace({ session, sink, target }: Place): Promise<void> {
    await session.close();
    sink.close();
    if (target !== undefined) this.#auditing?.uncover(target);
  }

  /**
   * Delivers an event of the program's own: behind what was read before, whatever `events` and `ignore` are about. It is
   * lost, and counted, where the queue is full, and nothing once the watcher is closed. Throws `TypeError` for an unknown
   * kind, and where there is no path.
   */
  inject(event: EventInit): void {
    const { kind, path } = event;
    if (!isKind(kind)) throw new TypeError(`Cannot inject ${JSON.stringify(kind)}: no such kind`);
    if (typeof path !== "string") {
      throw new TypeError(`Cannot inject ${kind} at ${String(path)}: no path`);
    }
    if (this.#isOpen) this.#sink(path).put([FileEvent.from(event, Date.now(), "user")]);
  }

  /** Ends the watch and gives back every watch, mark, file descriptor and thread. Always the same promise. */
  override close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = this.#close();
      this.#closing.catch(() => {}); // told to whoever awaits it
    }
    return this.#closing;
  }

  async #close(): Promise<void> {
    await null; // so that `#closing` is set before anything asks for it
    this.#settings.signal?.removeEventListener("abort", this.#abort);
    this.#end();
    this.#endPause?.();
    this.#closed.resolve();
    await Promise.allSettled([...this.#arming, this.#remounting]);
    (await this.#mountChanges?.catch(() => {}))?.();
    const places = this.#places;
    this.#places = [];
    const ends = await Promise.allSettled(places.map(async ({ session }) => await session.close()));
    for (const { sink } of places) sink.close();
    this.#auditing?.close(); // first, for it waits in the reactor as well
    // Where libc cannot be opened there is no reactor to wait for.
    if (typeof this.#settings.backend !== "object") {
      await reactor().then((loop) => loop.idle(), () => {});
    }
    this.#writers?.close();
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }

  /** What is covered by what, and what is not. */
  coverage(): Coverage[] {
    const covered = this.#places.map(({ path, target, backend, session, sink }): Coverage => ({
      path: target?.path ?? path,
      backend: "backend" in session ? session.backend : backend,
      mount: target?.mount ?? { point: path, type: "unknown" },
      ...this.#completed(session.coverage(), target),
      ...sink.metadata && { metadata: this.#flagCoverage(sink.metadata, target) },
    }));
    const not = [...this.#asked.values()].flatMap(({ leftOut }) => leftOut).map((
      { path, mount, reason },
    ): Coverage => ({
      path,
      backend: "none",
      mount: { point: mount.point, type: mount.type },
      by: "none",
      watches: 0,
      gaps: [{ path, reason }],
    }));
    const followed = this.#places.flatMap(({ session }) =>
      "followed" in session ? session.followed?.() ?? [] : []
    );
    return [...covered, ...followed, ...not];
  }

  /** What audit adds to it, or leaves out of it. */
  #completed<Part extends Pick<Coverage, "gaps">>(
    coverage: Part,
    target: Target | undefined,
  ): Part {
    if (this.#auditing === undefined || target === undefined) return coverage;
    return { ...coverage, gaps: [...coverage.gaps, ...this.#auditing.gaps(target)] };
  }

  #flagCoverage(metadata: MetadataStage, target: Target | undefined): FlagCoverage {
    const coverage = metadata.coverage();
    const isAudited = target !== undefined && this.#auditing?.covers(target) === true;
    return isAudited ? { ...coverage, flags: ["audit", ...coverage.flags] } : coverage;
  }

  /** Counters since the watcher was made. */
  stats(): WatcherStats {
    const { events, dropped, highWater } = this.#queue.stats;
    const sessions = this.#places.map(({ session }) => session);
    const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
    return {
      events,
      bytesRead: sum(sessions.map((session) => "bytesRead" in session ? session.bytesRead() : 0)),
      losses: this.#losses + (dropped > 0 ? 1 : 0),
      dropped,
      queueHighWater: highWater,
      watches: sum(this.coverage().map(({ watches }) => watches)),
      names: sum(sessions.map((session) => "names" in session ? session.names() : 0)),
    };
  }
}

/** The watcher was closed while the session was opened. */
async function closeUnused(session: BackendSession, sink: Sink): Promise<void> {
  await session.close();
  sink.close();
}

function isCovered(place: Place): place is Covered {
  return place.target !== undefined && "settled" in place.session;
}

function withoutSlash(path: string): string {
  return path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
}

function isName(target: Target): target is Target & { readonly only: string } {
  return target.only !== undefined;
}

/** Whether what happens at `inner` is reported by `outer` as well, in the same way of spelling paths. */
function covers(outer: Target | undefined, inner: Target | undefined): boolean {
  if (outer === undefined || inner === undefined || outer.mount.point !== inner.mount.point) {
    return false;
  }
  if (outer.only !== undefined && !outer.isLasting) {
    return outer.only === inner.only && outer.directory === inner.directory;
  }
  const at = inner.only === undefined ? inner.path : posix.join(inner.directory, inner.only);
  const isReached = outer.recursive
    ? isWithin(at, outer.path)
    : inner.directory === outer.directory && !inner.recursive;
  // A symlink on the way leads elsewhere.
  return isReached && posix.join(outer.real, posix.relative(outer.path, at)) === inner.real;
}

/** Where the backends of one target deliver. */
class Sink implements FeedSink, SaveOutlet, MetadataOutlet, Source {
  onDropped?: (events: readonly FileEvent[]) => void;
  /** What delivers, once it is open. */
  session: HubSession | undefined;
  /** What tells which metadata changed, where that was asked for. */
  metadata: MetadataStage | undefined;

  readonly fail: (error: unknown) => void;
  readonly order: Order;
  readonly #queue: EventQueue;
  /** The watched path. */
  readonly path: string;
  readonly #attribution: Attribution | undefined;
  /** When it was made, in ms since the epoch. */
  readonly #since = Date.now();
  readonly #settings: Settings;
  readonly #onLoss: () => void;
  readonly #name: string;
  readonly #saves: SaveStage | undefined;
  /** How many losses were told. */
  #losses = 0;

  constructor(
    queue: EventQueue,
    path: string,
    settings: Settings,
    fail: (error: unknown) => void,
    onLoss: () => void,
    writers: Writers | undefined,
    order: Order,
    attribution: Attribution | undefined,
    name = "sentinode",
  ) {
    this.#queue = queue;
    this.#attribution = attribution;
    this.path = path;
    this.#settings = settings;
    this.fail = fail;
    this.#onLoss = onLoss;
    this.order = order;
    this.#name = name;
    if (settings.saves === undefined || writers === undefined) return;
    this.#saves = new SaveStage(settings.saves, settings.filter, writers, this);
  }

  get replaced(): WeakMap<FileEvent, boolean> | undefined {
    return this.#saves?.replaced;
  }

  /** A backlog stays where it is: with a bounded queue of the kernel, or one that the kernel does not bound. */
  get full(): boolean {
    if (!(this.#attribution ?? this.#queue).isFull) return false;
    return this.#settings.queue === "kernel" || this.session?.kernelHoldsAll === true;
  }

  deliver(events: readonly EventInit[]): void {
    // The hubs filter before they build an event; what others deliver is completed and filtered here.
    const first = events[0];
    if (first instanceof FileEvent) {
      return this.#push(events as readonly FileEvent[]);
    }
    const time = Date.now();
    const wanted = events.filter((event) => this.#settings.filter.wants(event.kind));
    this.#push(wanted.map((event) => FileEvent.from(event, time, this.#name)));
  }

  #push(events: readonly FileEvent[]): void {
    const told = this.metadata === undefined ? events : this.metadata.pass(events);
    this.tell(this.#saves === undefined ? told : this.#saves.pass(told));
  }

  /** Takes what is told now. */
  tell(events: readonly FileEvent[]): void {
    if (!this.put(events)) this.onNotTold(events);
  }

  /** The consumer did not get these. */
  onNotTold(events: readonly FileEvent[]): void {
    this.metadata?.dropped(events);
    this.onDropped?.(events);
  }

  /** Puts them into the queue, or where they wait for who did it; false where there is no room. */
  put(events: readonly FileEvent[]): boolean {
    if (this.#attribution === undefined) return this.#queue.push(events, this.path);
    this.#attribution.push(events, this.session?.caughtUpAt() ?? this.#since, this);
    return true;
  }

  /** {@linkcode flush}, and nothing more is looked for. */
  close(): void {
    this.flush();
    this.metadata?.stop();
  }

  get backend(): string {
    return this.session?.backend ?? this.#name;
  }

  /** Hands on what is held back: nothing that could complete it will come. */
  flush(): void {
    if (this.#saves !== undefined) this.tell(this.#saves.flush());
  }

  recovered(path: string): void {
    if (this.metadata === undefined) return this.#tellRecovered(path);
    const losses = this.#losses;
    void this.metadata.recover().then((isWhole) => {
      if (isWhole && losses === this.#losses) this.#tellRecovered(path);
    });
  }

  #tellRecovered(path: string): void {
    this.flush();
    const event = FileEvent.from({ kind: "recovered", path }, Date.now(), this.#name);
    this.put([event]);
  }

  lost(path: string, reason: string, count?: number): void {
    this.#onLoss();
    this.#losses++;
    this.flush();
    const attributes = count === undefined ? { reason } : { reason, count };
    this.put([FileEvent.from({ kind: "lost", path, attributes }, Date.now(), this.#name)]);
  }
}

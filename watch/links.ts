/**
 * Follows the symlinks below a target: those that are there, and those that come, each a target of its own.
 *
 * @module
 */

import { posix } from "node:path";
import type { Coverage } from "../backends/backend.ts";
import { isWithin } from "../backends/mounts/mountinfo.ts";
import { FileEvent } from "../classify/event.ts";
import { deferred } from "../ffi/deferred.ts";
import { fileStatus } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { cString } from "../ffi/text.ts";
import { CompositeSession } from "./composite_session.ts";
import type { FeedSink } from "./feed.ts";
import { findLinks } from "./find_links.ts";
import { FollowedLink, type Follower } from "./followed_link.ts";
import { onMountChanges } from "./mount_changes.ts";
import type { HubSession } from "./open_target.ts";
import type { Settings } from "./options.ts";
import { isComing, isGoing, isStructural } from "./picture.ts";
import { INTERVAL, pauseAfter } from "./poller.ts";
import type { Target } from "./targets.ts";

/** Links that lead to each other have more paths than anybody can watch; a package manager makes some thousand. */
const MOST = 20_000;

/** Opens a target with `open`, and follows the symlinks below it; resolves when those that are there are covered. */
export async function openFollowing(
  libc: Libc,
  target: Target,
  settings: Settings,
  sink: FeedSink,
  isWanted: () => boolean,
  open: (sink: FeedSink) => Promise<HubSession>,
): Promise<HubSession> {
  const links = new Links(libc, target, settings, sink, isWanted);
  try {
    await links.open(open);
    return links;
  } catch (error) {
    await links.close();
    throw error;
  }
}

/** A session, and the links below its target. */
class Links extends CompositeSession implements HubSession, Follower {
  readonly libc: Libc;
  readonly target: Target;
  readonly settings: Settings;
  readonly sink: FeedSink;
  readonly closed: Promise<void>;
  readonly #close: () => void;
  readonly #isWanted: () => boolean;
  /** Whether what nobody asked for is sorted out here; else those who asked for it do. */
  readonly #sortsOut: boolean;
  /** Whose events they are. */
  readonly #owners = new WeakMap<FileEvent, FeedSink>();
  /** What they were made of, where that is another event. */
  readonly #origins = new WeakMap<FileEvent, FileEvent>();
  /** The target's own. */
  readonly #session = deferred<HubSession>();
  #root: HubSession | undefined;
  readonly #links = new Map<string, FollowedLink>();
  /** How many links are below each directory that has some. */
  readonly #counts = new Map<string, number>();
  /** Links to look at, and whether something was said to have changed; else it is to be sure. */
  readonly #changed = new Map<FollowedLink, boolean>();
  /** The one of them that is being looked at. */
  #lookedAt: FollowedLink | undefined;
  /** Paths below which something was lost. */
  readonly #lost = new Set<string>();
  #looking: Promise<void> | undefined;
  readonly #closing = new Set<Promise<void>>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #mountChanges = () => {};
  #isFull = false;
  #isClosed = false;

  constructor(
    libc: Libc,
    target: Target,
    settings: Settings,
    sink: FeedSink,
    isWanted: () => boolean,
  ) {
    super();
    this.libc = libc;
    this.target = target;
    this.settings = { ...settings, missing: "error" };
    this.sink = sink;
    this.#isWanted = isWanted;
    this.#sortsOut = settings.saves === undefined && settings.metadata === undefined;
    ({ promise: this.closed, resolve: this.#close } = deferred());
    sink.onDropped = (events) => this.#dropped(events);
  }

  get isOpen(): boolean {
    return !this.#isClosed && this.#isWanted();
  }

  async open(open: (sink: FeedSink) => Promise<HubSession>): Promise<void> {
    this.#root = await open(this.#sinkOf(undefined, (event) => [event]));
    this.#session.resolve(this.#root);
    this.#mountChanges = await onMountChanges(() => {
      for (const link of this.#links.values()) this.#lookAgain(link, false);
    });
    await this.find(this.target);
    this.#lookLater();
  }

  // --- what is told ---

  sinkOf(link: FollowedLink, pass: (event: FileEvent) => readonly FileEvent[]): FeedSink {
    return this.#sinkOf(link, pass);
  }

  /** A sink for the target, or for what is watched through a link. */
  #sinkOf(
    link: FollowedLink | undefined,
    pass: (event: FileEvent) => readonly FileEvent[],
  ): FeedSink {
    const { sink } = this;
    const isOver = () => link?.isOpen === false;
    const lost = (path: string) => {
      this.#lost.add(path);
      this.#lookSoon();
    };
    const own: FeedSink = {
      get full() {
        return sink.full;
      },
      order: sink.order,
      replaced: sink.replaced,
      deliver: (events) => {
        if (isOver()) return;
        this.tell(events.flatMap((init) => {
          const event = asEvent(init);
          const told = pass(event);
          for (const one of told) {
            this.#owners.set(one, own);
            if (one !== event) this.#origins.set(one, event);
            this.#note(one, link);
          }
          return told;
        }));
      },
      lost(path, reason, count) {
        if (isOver()) return;
        sink.lost(path, reason, count);
        lost(path);
      },
      recovered: (path) => isOver() || sink.recovered(path),
      fail: (error) => sink.fail(error),
    };
    return own;
  }

  tell(events: readonly FileEvent[]): void {
    const { filter } = this.settings;
    const told = this.#sortsOut ? events.filter(({ kind }) => filter.tells(kind)) : events;
    if (told.length > 0) this.sink.deliver(told);
  }

  /** The consumer did not get these: each is for those to repair who told it. */
  #dropped(events: readonly FileEvent[]): void {
    const owners = Map.groupBy(events, (event) => this.#owners.get(event));
    for (const [owner, own] of owners) {
      owner?.onDropped?.(own.map((event) => this.#origins.get(event) ?? event));
    }
  }

  // --- which links there are ---

  /** Follows an event of the target, or of what is watched through a link. */
  #note(event: FileEvent, through: FollowedLink | undefined): void {
    const { kind, path, from, isDirectory } = event;
    if (!isStructural(kind)) return;
    if (path === (through?.path ?? this.target.path)) { // it is not below itself
      if (isComing(kind) || isGoing(kind)) this.#forgetBelow(path);
      return;
    }
    this.#forget(path);
    if (kind === "rename") this.#move(from!, path);
    if (isGoing(kind) || isDirectory || this.#links.has(path)) return;
    if (kind !== "create.symlink" && !this.#isLink(event)) return;
    const link = this.#add(path, event.pathBytes === undefined, true);
    if (link !== undefined) this.changed(link);
  }

  /** Whether a name that came is a symlink, where the kind does not say it. */
  #isLink({ kind, path, pathBytes }: FileEvent): boolean {
    if (kind === "create.file" || kind === "create.other") return false;
    return fileStatus(this.libc, cString(pathBytes ?? path))?.type === "symlink";
  }

  #add(path: string, isText: boolean, isNew: boolean): FollowedLink | undefined {
    if (this.#links.size >= MOST) {
      if (!this.#isFull) this.sink.lost(this.target.path, TOO_MANY);
      this.#isFull = true;
      return undefined;
    }
    const link = new FollowedLink(this, path, isText, isNew);
    this.#links.set(path, link);
    this.#count(path, 1);
    return link;
  }

  #count(path: string, change: number): void {
    const { root } = this.target;
    for (let at = path; isWithin(at, root); at = posix.dirname(at)) {
      const now = (this.#counts.get(at) ?? 0) + change;
      if (now === 0) this.#counts.delete(at);
      else this.#counts.set(at, now);
      if (at === root) break;
    }
  }

  /** The links at a path and below it. */
  #linksAt(path: string): FollowedLink[] {
    const count = this.#counts.get(path) ?? 0;
    if (count === 0) return [];
    const link = this.#links.get(path);
    if (link !== undefined && count === 1) return [link];
    return this.#links.values().filter((link) => isWithin(link.path, path)).toArray();
  }

  /** The links at a path and below it are not there any more. */
  #forget(path: string): void {
    for (const link of this.#linksAt(path)) this.#letGo(link);
  }

  #forgetBelow(path: string): void {
    for (const link of this.#linksAt(path)) if (link.path !== path) this.#letGo(link);
  }

  left(link: FollowedLink): void {
    this.#forgetBelow(link.path);
  }

  #letGo(link: FollowedLink): void {
    this.#links.delete(link.path);
    this.#count(link.path, -1);
    this.#changed.delete(link);
    const closing = link.close().catch((error) => this.sink.fail(error))
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  /** The links at a path and below it have another one now; where they lead may be another place. */
  #move(from: string, to: string): void {
    const { filter } = this.settings;
    for (const link of this.#linksAt(from)) {
      const path = to + link.path.slice(from.length);
      if (filter.ignores(path, false, this.target.root)) {
        this.#letGo(link);
        continue;
      }
      this.#links.delete(link.path);
      this.#count(link.path, -1);
      link.renamed(link.path, path);
      this.#links.set(path, link);
      this.#count(path, 1);
      this.changed(link);
    }
  }

  async find(target: Target, through?: FollowedLink): Promise<void> {
    const { path, recursive, root, mounts, excluded } = target;
    const { filter } = this.settings;
    const isOpen = () => through?.isOpen ?? this.isOpen;
    const leavesOut = (path: string, isDirectory: boolean) =>
      isDirectory && (mounts.has(path) || excluded?.has(path) === true) ||
      filter.ignores(path, isDirectory, root);
    const found = findLinks(this.libc, path, recursive, leavesOut);
    for await (const { path, pathBytes } of found) {
      if (!isOpen()) return;
      const known = this.#links.get(path);
      if (known?.isStill()) continue;
      this.#forget(path);
      await this.#add(path, pathBytes === undefined, false)?.look();
    }
  }

  // --- looking ---

  changed(link: FollowedLink): void {
    this.#lookAgain(link, true);
  }

  #lookAgain(link: FollowedLink, hasChanged: boolean): void {
    if (this.#links.get(link.path) !== link) return;
    this.#changed.set(link, hasChanged || this.#changed.get(link) === true);
    this.#lookSoon();
  }

  #lookSoon(): void {
    this.#looking ??= this.#lookUntilUnchanged();
  }

  async #lookUntilUnchanged(): Promise<void> {
    try {
      await Promise.race([this.#session.promise, this.closed]);
      while (this.isOpen && this.#changed.size + this.#lost.size > 0) await this.#look();
    } catch (error) {
      this.sink.fail(error);
    } finally {
      this.#looking = undefined; // at once: what changes now is looked at anew
    }
  }

  async #look(): Promise<void> {
    const start = performance.now();
    // What is queued may change them again.
    const settled = this.#sessionsAbove(this.#changed.keys()).map((session) => session.settled());
    await Promise.race([Promise.all(settled), this.closed]);
    for (const [link, hasChanged] of [...this.#changed]) {
      this.#changed.delete(link);
      this.#lookedAt = hasChanged ? link : undefined;
      await link.look();
      this.#lookedAt = undefined;
    }
    for (const path of [...this.#lost]) {
      this.#lost.delete(path);
      await this.#lookBelow(path);
    }
    this.#lookLater(pauseAfter(start));
  }

  /** The sessions that tell of the links. */
  #sessionsAbove(links: Iterable<FollowedLink>): HubSession[] {
    const sessions = new Set<HubSession>([this.#root!]);
    for (const { path } of links) {
      const through = this.#linkAbove(path);
      if (through !== undefined) { for (const session of through.sessions) sessions.add(session); }
    }
    return [...sessions];
  }

  /** The link through which a path leads, the innermost of several. */
  #linkAbove(path: string): FollowedLink | undefined {
    const { root } = this.target;
    for (let at = posix.dirname(path); at !== root && isWithin(at, root); at = posix.dirname(at)) {
      const link = this.#links.get(at);
      if (link !== undefined) return link;
    }
    return undefined;
  }

  /** Events were lost: links may have come and gone. */
  async #lookBelow(path: string): Promise<void> {
    for (const link of this.#linksAt(path)) {
      if (link.path !== path && !link.isStill()) this.#forget(link.path);
    }
    const through = this.#links.get(path) ?? this.#linkAbove(path);
    await this.find({ ...this.target, path, mounts: new Set() }, through);
  }

  /** Looks at those again of whose changes nobody tells. */
  #lookLater(delay: number = INTERVAL): void {
    clearTimeout(this.#timer);
    const isPolled = this.#root?.backend === "poll";
    const asking = () => this.#links.values().filter((link) => isPolled || link.asksForLooks);
    if (!this.isOpen || asking().next().done) return;
    this.#timer = setTimeout(() => asking().forEach((link) => this.#lookAgain(link, false)), delay);
  }

  // --- what a session is ---

  protected override get sessions(): HubSession[] {
    const own = this.#root === undefined ? [] : [this.#root];
    return [...own, ...this.#links.values().flatMap(({ sessions }) => sessions)];
  }

  get backend(): string {
    return this.#root!.backend;
  }

  coverage(): Pick<Coverage, "by" | "watches" | "gaps"> {
    const covered = this.#root!.coverage();
    if (!this.#isFull) return covered;
    return { ...covered, gaps: [...covered.gaps, { path: this.target.path, reason: TOO_MANY }] };
  }

  remounted(points: readonly string[], mounts: ReadonlySet<string>): Promise<void> {
    return this.#root!.remounted(points, mounts);
  }

  shown(): Promise<void> {
    return this.#root!.shown();
  }

  hidden(): Promise<void> {
    return this.#root!.hidden();
  }

  followed(): readonly Coverage[] {
    return this.#links.values().flatMap((link) => {
      const isDue = this.#changed.get(link) === true || this.#lookedAt === link;
      return link.coverage(isDue ? ["it has yet to be looked at where it leads"] : []);
    }).toArray();
  }

  resume(): void {
    this.#root?.resume?.();
    for (const link of this.#links.values()) link.resume();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#close();
    clearTimeout(this.#timer);
    this.#mountChanges();
    await this.#looking;
    for (const link of this.#links.values()) await link.close();
    await Promise.all(this.#closing);
    await this.#root?.close();
  }
}

const TOO_MANY = `there are more than ${MOST} symlinks; the others are not followed`;

function asEvent(event: Parameters<FeedSink["deliver"]>[0][number]): FileEvent {
  return event instanceof FileEvent
    ? event
    : FileEvent.from(event, Date.now(), event.backend ?? "sentinode");
}

/**
 * A path that comes and goes: it is watched by its name in its directory, and while that is missing, waited for.
 *
 * @module
 */

import { posix } from "node:path";
import type { Coverage } from "../backends/backend.ts";
import type { EventInit, FileEvent } from "../classify/event.ts";
import { deferred } from "../ffi/deferred.ts";
import { SystemError } from "../ffi/errno.ts";
import { fileStatus, statusBehind } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { cString } from "../ffi/text.ts";
import { CompositeSession } from "./composite_session.ts";
import type { FeedSink } from "./feed.ts";
import { onMountChanges } from "./mount_changes.ts";
import { type HubSession, openTarget, remount } from "./open_target.ts";
import type { Settings } from "./options.ts";
import { isComing, isGoing, STRUCTURAL } from "./picture.ts";
import { resolveTargets, type Target } from "./targets.ts";
import { identityOf, isMissing, type Walker, Way } from "./way.ts";

/** Opens a target that is a name in a directory, and stays with it whatever becomes of the directory. */
export async function openLasting(
  libc: Libc,
  target: Target & { readonly only: string },
  settings: Settings,
  sink: FeedSink,
  isWanted: () => boolean,
): Promise<HubSession> {
  const session = new LastingSession(libc, target, settings, sink, isWanted);
  try {
    await session.open();
    return session;
  } catch (error) {
    await session.close();
    throw error;
  }
}

/** What the path leads to where it is a symlink. */
interface Through {
  readonly identity: string;
  readonly sessions: readonly HubSession[];
  isGone: boolean;
}

class LastingSession extends CompositeSession implements HubSession, Walker {
  readonly #libc: Libc;
  readonly #target: Target & { readonly only: string };
  /** The path of the name. */
  readonly #path: string;
  readonly #settings: Settings;
  readonly sink: FeedSink;
  /** The sink of what watches the name. */
  readonly #ownSink: FeedSink;
  /** Whether all that was told of the name tells whether it is there; else the way does, which may be ahead. */
  readonly #isAllTold: boolean;
  readonly #isWanted: () => boolean;
  readonly #way: Way;
  /** What watches the name in its directory, while there is one. */
  #session: HubSession | undefined;
  /** Which directory it is. */
  #identity: string | undefined;
  #isGone = false;
  #through: Through | undefined;
  /** Whether the name is there, as far as has been told. */
  #isThere = false;
  #isDirectory: boolean | undefined;
  /** Whether the whole way is watched, and not only the name in its directory. */
  #isWholeWay: boolean;
  #failure: string | undefined;
  #isChanged = false;
  #looking: Promise<void> | undefined;
  /** Ends the waiting for changes of the mount table, which may hide the path or a directory on the way to it. */
  #mountChanges = () => {};
  readonly #closed = deferred();
  #isClosed = false;

  constructor(
    libc: Libc,
    target: Target & { readonly only: string },
    settings: Settings,
    sink: FeedSink,
    isWanted: () => boolean,
  ) {
    super();
    this.#libc = libc;
    this.#target = target;
    this.#path = posix.join(target.directory, target.only);
    this.#settings = settings;
    this.sink = sink;
    this.#isAllTold = STRUCTURAL.every((kind) => settings.filter.wants(kind));
    this.#ownSink = this.#isAllTold
      ? before(sink, (events) => {
        for (const event of events) if (event.path === this.#path) this.#note(event);
      })
      : sink;
    this.#isWanted = isWanted;
    this.#isWholeWay = settings.missing === "wait";
    this.#way = new Way(libc, target, settings, this);
  }

  async open(): Promise<void> {
    await this.#look(true);
    this.#mountChanges = await onMountChanges(() => this.changed());
    if (this.#isChanged) this.changed();
  }

  /** Something on the way has changed. */
  changed(): void {
    this.#isChanged = true;
    this.#looking ??= this.#lookUntilUnchanged();
  }

  /** A refusal is believed when it comes twice: the first may be of a moment in between, or an errno that was misread. */
  async #lookUntilUnchanged(): Promise<void> {
    let doubted: string | undefined;
    while (this.#isChanged && this.isOpen) {
      this.#isChanged = false;
      try {
        await this.#look(false);
        this.#failure = undefined;
      } catch (error) {
        if (!(error instanceof SystemError)) return this.sink.fail(error);
        if (this.#failure === error.message || !this.isOpen) continue;
        if (doubted !== error.message) {
          doubted = error.message;
          this.#isChanged = true;
          continue;
        }
        this.#failure = error.message;
        this.sink.lost(this.#path, error.message);
      }
    }
    this.#looking = undefined; // at once: what changes now is looked at anew
  }

  get isOpen(): boolean {
    return !this.#isClosed && this.#isWanted();
  }

  async #look(isFirst: boolean): Promise<void> {
    const { directory } = this.#target;
    const before = identityOf(this.#libc, directory);
    if (this.#session !== undefined && (this.#isGone || this.#identity !== before)) {
      await this.#leave();
    }
    if (before === undefined) this.#isWholeWay = true;
    if (this.#isWholeWay) await this.#way.walk(this.#path);
    else await this.#way.watch(0, directory, this.#target.only, before!, true);
    // Taken after the way to it is watched: whatever changes it from now on is told.
    const identity = identityOf(this.#libc, directory);
    if (!this.isOpen) return;
    if (this.#session === undefined && identity !== undefined) {
      await this.#arrive(identity, isFirst);
    }
    if (this.#settings.missing === "wait" && this.isOpen) await this.#followLink(isFirst);
  }

  /** Watches the name in its directory, which is there now. */
  async #arrive(identity: string, isFirst: boolean): Promise<void> {
    this.#isGone = false;
    const onGone = () => {
      this.#isGone = true;
      this.changed();
    };
    const init = { isLate: !isFirst, onGone };
    try {
      this.#session = await openTarget(
        this.#target,
        this.#settings,
        this.#ownSink,
        this.#isWanted,
        init,
      );
    } catch (error) {
      if (!isMissing(error) || this.#settings.missing === "error" && isFirst) throw error;
      return; // it has gone again, and those who watch the way tell so
    }
    this.#identity = identity;
    if (!isFirst && this.#isAllTold) return; // it is announced
    const status = fileStatus(this.#libc, cString(this.#path));
    this.#isThere = status !== undefined;
    this.#isDirectory = status?.type === "directory";
  }

  /** The directory of the name is another one now, or none. What happened in it before is told first. */
  async #leave(): Promise<void> {
    const settled = Promise.all([this.#session?.settled(), this.#way.settled()]);
    await Promise.race([settled, this.#closed.promise]);
    if (!this.isOpen) return;
    await this.#session!.close();
    this.#session = undefined;
    await this.#dropThrough();
    if (!this.#isThere) return;
    this.#isThere = false;
    // Nobody saw the name being removed: it went with a directory above it, or is hidden by what is there now.
    this.#tell("rename.out", this.#isDirectory);
  }

  #tell(kind: "rename.out" | "create.directory", isDirectory: boolean | undefined): void {
    const { filter } = this.#settings;
    if (filter.ignores(this.#path, isDirectory === true, this.#target.root)) return;
    const event: EventInit = { kind, path: this.#path, isDirectory, synthetic: true };
    this.sink.deliver([{ ...event, backend: this.backend }]);
  }

  // --- the way ---

  happened(events: readonly EventInit[], isLast: boolean): void {
    if (isLast && !this.#isAllTold) events.forEach((event) => this.#note(event));
    // What comes under the name itself is told by its watch; only a symlink leads on.
    const isTold = isLast && this.#through === undefined;
    if (!isTold || events.some(({ kind }) => isComing(kind))) this.changed();
  }

  /** Something happened to the path's own name. */
  #note({ kind, isDirectory }: EventInit): void {
    const comes = isComing(kind);
    if (!comes && !isGoing(kind)) return;
    this.#isThere = comes;
    this.#isDirectory = isDirectory;
  }

  // --- a symlink ---

  /** Watches what the path leads to, where it is a symlink. */
  async #followLink(isFirst: boolean): Promise<void> {
    const libc = this.#libc;
    const own = fileStatus(libc, cString(this.#path));
    const led = own?.type === "symlink" ? statusBehind(libc, cString(this.#path)) : undefined;
    const identity = led && `${own!.inode} ${led.device} ${led.inode}`;
    const known = this.#through;
    if (known !== undefined && (known.isGone || known.identity !== identity)) {
      await this.#dropThrough();
      // Where the link is the same nobody tells that it leads elsewhere.
      const isSame = identity?.split(" ")[0] === known.identity.split(" ")[0];
      if (isSame && !known.isGone) this.sink.lost(this.#path, "it leads elsewhere now");
    }
    if (identity === undefined || this.#through !== undefined) return;
    const sessions: HubSession[] = [];
    const through: Through = { identity, sessions, isGone: false };
    this.#through = through;
    const onGone = () => {
      through.isGone = true;
      this.changed();
    };
    try {
      const settings = { ...this.#settings, missing: "error" } as const;
      for (const target of resolveTargets(libc, this.#path, settings).targets) {
        const init = { isLate: !isFirst, onGone };
        sessions.push(await openTarget(target, settings, this.sink, this.#isWanted, init));
      }
    } catch (error) {
      await this.#dropThrough();
      if (!isMissing(error)) throw error;
    }
  }

  async #dropThrough(): Promise<void> {
    const sessions = this.#through?.sessions ?? [];
    this.#through = undefined;
    await Promise.race([Promise.all(sessions.map((one) => one.settled())), this.#closed.promise]);
    for (const session of sessions) await session.close();
  }

  // --- what a session is ---

  protected override get sessions(): HubSession[] {
    const own = [this.#session, ...this.#through?.sessions ?? []];
    return own.filter((session) => session !== undefined);
  }

  get backend(): string {
    return this.sessions[0]?.backend ?? "inotify";
  }

  coverage(): Pick<Coverage, "by" | "watches" | "gaps"> {
    const parts = this.sessions.map((session) => session.coverage());
    const gaps = parts.flatMap((part) => part.gaps);
    if (this.#session === undefined) {
      const reason = `it is not there; ${this.#way.end} is watched for it`;
      gaps.push({ path: this.#path, reason });
    }
    if (this.#failure !== undefined) gaps.push({ path: this.#path, reason: this.#failure });
    gaps.push(...this.#way.gaps());
    // The name itself is watched through the same watch as the target, where that is one of inotify's.
    const isShared = this.#session?.backend === "inotify" ? 1 : 0;
    const names = Math.max(this.#way.watches - isShared, 0);
    const watches = parts.reduce((sum, part) => sum + part.watches, names);
    return { by: parts[0]?.by ?? "watch", watches, gaps };
  }

  async remounted(points: readonly string[], mounts: ReadonlySet<string>): Promise<void> {
    if (this.#session === undefined) remount(this.#target, mounts);
    else await this.#session.remounted(points, mounts);
  }

  async shown(): Promise<void> {
    await this.#session?.shown();
  }

  async hidden(): Promise<void> {
    await this.#session?.hidden();
  }

  resume(): void {
    for (const session of this.sessions) session.resume?.();
    this.#way.resume();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#closed.resolve();
    this.#mountChanges();
    await this.#looking;
    for (const session of this.sessions) await session.close();
    await this.#way.close();
  }
}

/** A sink that tells someone else first. */
function before(sink: FeedSink, tell: (events: readonly EventInit[]) => void): FeedSink {
  return {
    get full() {
      return sink.full;
    },
    set onDropped(dropped: (events: readonly FileEvent[]) => void) {
      sink.onDropped = dropped;
    },
    deliver: (events) => {
      tell(events);
      sink.deliver(events);
    },
    lost: (path, reason, count) => sink.lost(path, reason, count),
    recovered: (path) => sink.recovered(path),
    replaced: sink.replaced,
    order: sink.order,
    fail: (error) => sink.fail(error),
  };
}

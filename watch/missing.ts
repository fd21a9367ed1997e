/**
 * A path that comes and goes: it is watched by its name in its directory, and while that is missing, waited for.
 *
 * The way to the path is walked name by name, as the kernel does, and each name is watched in its directory before it is
 * looked at, so that nothing on the way changes unseen.
 *
 * @module
 */

import { posix } from "node:path";
import type { Coverage } from "../backends/backend.ts";
import type { EventInit, FileEvent } from "../classify/event.ts";
import { type Kind, matches } from "../classify/kinds.ts";
import { ENOENT, ENOTDIR } from "../ffi/abi/errno.ts";
import { O_CLOEXEC, O_DIRECTORY, O_PATH } from "../ffi/abi/open.ts";
import { SystemError, systemError } from "../ffi/errno.ts";
import { fileStatus, readLink } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { cString, decodeText } from "../ffi/text.ts";
import type { FeedSink } from "./feed.ts";
import { Filter } from "./filter.ts";
import { onMountChanges } from "./mount_changes.ts";
import { type HubSession, openTarget } from "./open_target.ts";
import type { Settings } from "./options.ts";
import { resolveTargets, type Target } from "./targets.ts";

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

/** A name on the way to the path, and who tells that it changes. */
interface Link {
  readonly directory: string;
  readonly name: string;
  /** Which directory it is. */
  readonly identity: string;
  /** Undefined where the directory may not be watched. */
  readonly session: HubSession | undefined;
  readonly refusal?: SystemError;
  isGone: boolean;
}

/** What the path leads to where it is a symlink. */
interface Through {
  readonly identity: string;
  readonly sessions: readonly HubSession[];
  isGone: boolean;
}

/** What the names on the way are watched for. */
const COMINGS = ["create", "rename", "remove"] as const;

/** How many symlinks are followed, as by the kernel (path_resolution(7)). */
const MOST_LINKS = 40;

class LastingSession implements HubSession {
  readonly #libc: Libc;
  readonly #target: Target & { readonly only: string };
  /** The path of the name. */
  readonly #path: string;
  readonly #settings: Settings;
  readonly #sink: FeedSink;
  /** The sink of what watches the name. */
  readonly #ownSink: FeedSink;
  /** Whether all that was told of the name tells whether it is there; else the way does, which may be ahead. */
  readonly #isAllTold: boolean;
  readonly #isWanted: () => boolean;
  /** How the names on the way are watched: by inotify, which everybody may use everywhere. */
  readonly #linkSettings: Settings;
  #links: Link[] = [];
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
  readonly #closed = Promise.withResolvers<void>();
  #isClosed = false;

  constructor(
    libc: Libc,
    target: Target & { readonly only: string },
    settings: Settings,
    sink: FeedSink,
    isWanted: () => boolean,
  ) {
    this.#libc = libc;
    this.#target = target;
    this.#path = posix.join(target.directory, target.only);
    this.#settings = settings;
    this.#sink = sink;
    this.#isAllTold = COMINGS.every((kind) => settings.filter.wants(kind));
    this.#ownSink = this.#isAllTold
      ? before(sink, (events) => {
        for (const event of events) if (event.path === this.#path) this.#note(event);
      })
      : sink;
    this.#isWanted = isWanted;
    this.#isWholeWay = settings.missing === "wait";
    this.#linkSettings = {
      ...settings,
      backend: "inotify",
      filter: new Filter(COMINGS, [], new Set()),
      actor: false,
      recover: "signal",
    };
  }

  async open(): Promise<void> {
    await this.#look(true);
    this.#mountChanges = await onMountChanges(() => this.#lookAgain());
    if (this.#isChanged) this.#lookAgain();
  }

  /** Something on the way has changed. */
  #lookAgain(): void {
    this.#isChanged = true;
    this.#looking ??= this.#lookUntilUnchanged().finally(() => this.#looking = undefined);
  }

  async #lookUntilUnchanged(): Promise<void> {
    while (this.#isChanged && this.#isOpen) {
      this.#isChanged = false;
      try {
        await this.#look(false);
        this.#failure = undefined;
      } catch (error) {
        if (!(error instanceof SystemError)) return this.#sink.fail(error);
        if (this.#failure === error.message || !this.#isOpen) continue;
        this.#failure = error.message;
        this.#sink.lost(this.#path, error.message);
      }
    }
  }

  get #isOpen(): boolean {
    return !this.#isClosed && this.#isWanted();
  }

  async #look(isFirst: boolean): Promise<void> {
    const { directory } = this.#target;
    const before = identityOf(this.#libc, directory);
    if (this.#session !== undefined && (this.#isGone || this.#identity !== before)) {
      await this.#leave();
    }
    if (before === undefined) this.#isWholeWay = true;
    if (this.#isWholeWay) await this.#walk();
    else await this.#watchName(0, directory, this.#target.only, before!, true);
    // Taken after the way to it is watched: whatever changes it from now on is told.
    const identity = identityOf(this.#libc, directory);
    if (!this.#isOpen) return;
    if (this.#session === undefined && identity !== undefined) {
      await this.#arrive(identity, isFirst);
    }
    if (this.#settings.missing === "wait" && this.#isOpen) await this.#followLink(isFirst);
  }

  /** Watches the name in its directory, which is there now. */
  async #arrive(identity: string, isFirst: boolean): Promise<void> {
    this.#isGone = false;
    const onGone = () => {
      this.#isGone = true;
      this.#lookAgain();
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
    const sessions = [this.#session, ...this.#links.map(({ session }) => session)];
    const settled = sessions.map((session) => session?.settled());
    await Promise.race([Promise.all(settled), this.#closed.promise]);
    if (!this.#isOpen) return;
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
    this.#sink.deliver([{ ...event, backend: this.backend }]);
  }

  // --- the way ---

  /** Watches each name on the way in its directory, as far as there is one. */
  async #walk(): Promise<void> {
    const libc = this.#libc;
    const rest = namesOf(this.#path);
    let at = "/";
    let count = 0;
    let hops = 0;
    let isBehind = false;
    let refusal: SystemError | undefined;
    while (rest.length > 0 && this.#isOpen) {
      const name = rest.shift()!;
      if (name === "..") {
        at = posix.dirname(at);
        continue;
      }
      const identity = identityOf(libc, at);
      if (identity === undefined) break;
      const link = await this.#watchName(
        count++,
        at,
        name,
        identity,
        rest.length === 0 && !isBehind,
      );
      refusal = link?.refusal;
      const path = posix.join(at, name);
      const type = fileStatus(libc, cString(path))?.type;
      if (type === "symlink") {
        const to = readLink(libc, path);
        if (to === undefined || ++hops > MOST_LINKS) break;
        isBehind ||= rest.length === 0;
        const target = decodeText(to);
        if (target.startsWith("/")) at = "/";
        rest.unshift(...namesOf(target));
        continue;
      }
      if (type === undefined || (rest.length > 0 && type !== "directory")) {
        if (refusal !== undefined) throw refusal; // nobody would tell that it appears
        break;
      }
      at = path;
    }
    await this.#dropLinks(count);
  }

  /** Watches one name on the way, unless that is done already. */
  async #watchName(
    index: number,
    directory: string,
    name: string,
    identity: string,
    isOurs: boolean,
  ): Promise<Link | undefined> {
    const known = this.#links[index];
    if (
      known !== undefined && !known.isGone && known.identity === identity &&
      known.directory === directory && known.name === name
    ) return known;
    await this.#dropLinks(index);
    const path = posix.join(directory, name);
    const target: Target = {
      ...this.#target,
      path,
      directory,
      root: directory,
      only: name,
      isLasting: false,
      isInner: false,
      recursive: false,
      mounts: new Set(),
    };
    const ours = this.#sink;
    const sink: FeedSink = {
      // Nothing is read ahead of the consumer for the sake of the way.
      get full() {
        return ours.full;
      },
      deliver: (events) => {
        if (isOurs && !this.#isAllTold) events.forEach((event) => this.#note(event));
        // What comes under the name itself is told by its watch; only a symlink leads on.
        const isTold = isOurs && this.#through === undefined;
        if (!isTold || events.some(({ kind }) => isComing(kind))) this.#lookAgain();
      },
      lost: () => this.#lookAgain(),
      recovered: () => {},
      replaced: undefined,
      fail: (error) => ours.fail(error),
    };
    const base = { directory, name, identity, isGone: false };
    let link: Link | undefined;
    const onGone = () => {
      if (link !== undefined) link.isGone = true;
      this.#lookAgain();
    };
    try {
      const session = await openTarget(target, this.#linkSettings, sink, this.#isWanted, {
        onGone,
      });
      link = { ...base, session };
    } catch (error) {
      if (isMissing(error)) return undefined;
      if (!(error instanceof SystemError)) throw error;
      link = { ...base, session: undefined, refusal: error };
    }
    this.#links[index] = link;
    return link;
  }

  async #dropLinks(from: number): Promise<void> {
    for (const link of this.#links.splice(from)) await link?.session?.close();
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
    const led = own?.type === "symlink" ? statusBehind(libc, this.#path) : undefined;
    const identity = led && `${own!.inode} ${led.device} ${led.inode}`;
    const known = this.#through;
    if (known !== undefined && (known.isGone || known.identity !== identity)) {
      await this.#dropThrough();
      // Where the link is the same nobody tells that it leads elsewhere.
      const isSame = identity?.split(" ")[0] === known.identity.split(" ")[0];
      if (isSame && !known.isGone) this.#sink.lost(this.#path, "it leads elsewhere now");
    }
    if (identity === undefined || this.#through !== undefined) return;
    const sessions: HubSession[] = [];
    const through: Through = { identity, sessions, isGone: false };
    this.#through = through;
    const onGone = () => {
      through.isGone = true;
      this.#lookAgain();
    };
    try {
      const settings = { ...this.#settings, missing: "error" } as const;
      for (const target of resolveTargets(libc, this.#path, settings).targets) {
        const init = { isLate: !isFirst, onGone };
        sessions.push(await openTarget(target, settings, this.#sink, this.#isWanted, init));
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

  get #sessions(): HubSession[] {
    const own = [this.#session, ...this.#through?.sessions ?? []];
    return own.filter((session) => session !== undefined);
  }

  get backend(): string {
    return this.#sessions[0]?.backend ?? "inotify";
  }

  get kernelHoldsAll(): boolean {
    return this.#sessions.every((session) => session.kernelHoldsAll) && this.#sessions.length > 0;
  }

  coverage(): Pick<Coverage, "by" | "watches" | "gaps"> {
    const parts = this.#sessions.map((session) => session.coverage());
    const gaps = parts.flatMap((part) => part.gaps);
    if (this.#session === undefined) {
      const { directory = "/" } = this.#links.at(-1) ?? {};
      gaps.push({ path: this.#path, reason: `it is not there; ${directory} is watched for it` });
    }
    if (this.#failure !== undefined) gaps.push({ path: this.#path, reason: this.#failure });
    for (const { directory, refusal } of this.#links) {
      if (refusal !== undefined) gaps.push({ path: directory, reason: refusal.message });
    }
    // The name itself is watched through the same watch as the target, where that is one of inotify's.
    const isShared = this.#session?.backend === "inotify" ? 1 : 0;
    const links = this.#links.filter(({ session }) => session !== undefined).length - isShared;
    const watches = parts.reduce((sum, part) => sum + part.watches, Math.max(links, 0));
    return { by: parts[0]?.by ?? "watch", watches, gaps };
  }

  bytesRead(): number {
    return Math.max(0, ...this.#sessions.map((session) => session.bytesRead()));
  }

  names(): number {
    return this.#sessions.reduce((sum, session) => sum + session.names(), 0);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#sessions.map((session) => session.settled()));
  }

  resume(): void {
    for (const session of this.#sessions) session.resume?.();
    for (const { session } of this.#links) session?.resume?.();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#closed.resolve();
    this.#mountChanges();
    await this.#looking;
    for (const session of this.#sessions) await session.close();
    await this.#dropLinks(0);
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
    fail: (error) => sink.fail(error),
  };
}

function isComing(kind: Kind): boolean {
  return matches(kind, "create") || kind === "rename.in";
}

function isGoing(kind: Kind): boolean {
  return matches(kind, "remove") || kind === "rename.out";
}

function namesOf(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}

function isMissing(error: unknown): boolean {
  return error instanceof SystemError && (error.errno === ENOENT || error.errno === ENOTDIR);
}

/** Which directory a path leads to; undefined where there is none. Throws where that cannot be told. */
function identityOf(libc: Libc, directory: string): string | undefined {
  const fd = libc.open(cString(directory), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) {
    const error = systemError(libc, `watch ${directory}`, { syscall: "open", path: directory });
    if (isMissing(error)) return undefined;
    throw error;
  }
  const status = fileStatus(libc, cString(""), fd);
  libc.close(fd);
  return status && `${status.device} ${status.inode}`;
}

/** The status of what a symlink leads to; undefined where that is nothing. */
function statusBehind(libc: Libc, path: string): ReturnType<typeof fileStatus> {
  const fd = libc.open(cString(path), O_PATH | O_CLOEXEC, 0);
  if (fd < 0) return undefined;
  const status = fileStatus(libc, cString(""), fd);
  libc.close(fd);
  return status;
}

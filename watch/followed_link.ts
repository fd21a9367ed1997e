/**
 * A symlink that is followed: what it leads to is watched, and told under the link's path.
 *
 * The way behind the link is watched name by name, so that what it leads to is found again whenever that changes.
 *
 * @module
 */

import { posix } from "node:path";
import type { Coverage } from "../backends/backend.ts";
import { isWithin } from "../backends/mounts/mountinfo.ts";
import { FileEvent } from "../classify/event.ts";
import type { Kind } from "../classify/kinds.ts";
import { ELOOP } from "../ffi/abi/errno.ts";
import { O_CLOEXEC, O_DIRECTORY, O_PATH } from "../ffi/abi/open.ts";
import { SystemError, systemError, WatchLimitError } from "../ffi/errno.ts";
import { type FileStatus, fileStatus, pathOfFd, readLink } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { cString, decodeText } from "../ffi/text.ts";
import type { FeedSink, Gap } from "./feed.ts";
import { openTarget, type TargetSession } from "./open_target.ts";
import type { Settings } from "./options.ts";
import { isComing, isGoing } from "./picture.ts";
import { type LeftOut, resolveTargets, type Target, whyNotWatched } from "./targets.ts";
import { identityOf, inodeKey, isMissing, type Walker, Way } from "./way.ts";

/** Who follows links below a target. */
export interface Follower {
  readonly libc: Libc;
  /** How what links lead to is watched. */
  readonly settings: Settings;
  /** The target that the links are below. */
  readonly target: Target;
  readonly isOpen: boolean;
  /** Settles when it is closed. */
  readonly closed: Promise<void>;
  readonly sink: FeedSink;
  /** A sink for what is watched through a link; `pass` makes of each event what is told. */
  sinkOf(link: FollowedLink, pass: (event: FileEvent) => readonly FileEvent[]): FeedSink;
  /** Tells what was found by looking. */
  tell(events: readonly FileEvent[]): void;
  /** Looks at the link soon. */
  changed(link: FollowedLink): void;
  /** What was below that link is not any more. */
  left(link: FollowedLink): void;
  /** Follows the links that are there in what a link leads to. */
  find(target: Target, through: FollowedLink): Promise<void>;
}

/** Where a link leads. */
interface End {
  /** Which file or directory that is, what is mounted below it, and what of it is above the link. */
  readonly identity: string;
  readonly isDirectory: boolean;
  readonly targets: readonly Target[];
  readonly gaps: readonly Gap[];
  readonly leftOut: readonly LeftOut[];
}

/** What is watched through a link. */
interface Through extends End {
  readonly leftOut: LeftOut[];
  readonly sessions: { readonly target: Target; readonly session: TargetSession }[];
  /** Whether it is over. */
  isGone: boolean;
  /** Whether there is anything, as far as has been told. */
  isThere: boolean;
}

/** A directory above a link. */
interface Above {
  readonly path: string;
  /** The kernel's path, where that is valid UTF-8. */
  readonly real: string | undefined;
  readonly key: string;
}

/** A symlink below a watched directory. */
export class FollowedLink implements Walker {
  /** As the user sees it. */
  path: string;
  readonly #follower: Follower;
  readonly #isText: boolean;
  /** Whether the link is news, and so what is below it. */
  readonly #isNew: boolean;
  readonly #way: Way;
  /** Which link it is. */
  #key: string | undefined;
  #through: Through | undefined;
  /** Why it is not followed. */
  #reason: string | undefined;
  #failure: SystemError | undefined;
  #hasLooked = false;
  #isClosed = false;
  #looks: Promise<void> = Promise.resolve();

  constructor(follower: Follower, path: string, isText: boolean, isNew: boolean) {
    this.path = path;
    this.#follower = follower;
    this.#isText = isText;
    this.#isNew = isNew;
    this.#way = new Way(follower.libc, follower.target, follower.settings, this);
  }

  get isOpen(): boolean {
    return !this.#isClosed && this.#follower.isOpen;
  }

  get sink(): FeedSink {
    return this.#follower.sink;
  }

  happened(): void {
    this.changed();
  }

  changed(): void {
    if (this.isOpen) this.#follower.changed(this);
  }

  /** Whether nobody tells when it has to be looked at again. */
  get asksForLooks(): boolean {
    return this.#failure instanceof WatchLimitError ||
      this.sessions.some(({ backend }) => backend === "poll");
  }

  get sessions(): readonly TargetSession[] {
    return this.#through?.sessions.map(({ session }) => session) ?? [];
  }

  /** Whether the path is that link's still. */
  isStill(): boolean {
    return !this.#isText || this.#key === undefined || this.#ownKey() === this.#key;
  }

  #ownKey(): string | undefined {
    const status = fileStatus(this.#follower.libc, cString(this.path));
    return status?.type === "symlink" ? `${inodeKey(status)} ${status.birthTime}` : undefined;
  }

  /** A directory above the link, or the link itself, was renamed. */
  renamed(from: string, to: string): void {
    const { path } = this;
    this.path = to + path.slice(from.length);
    for (const session of this.sessions) session.renamed(path, this.path);
  }

  /** Looks where it leads, and watches that; one look after the other. */
  look(): Promise<void> {
    const look = this.#looks.then(() => this.#lookOnce());
    this.#looks = look.catch(() => {});
    return look;
  }

  async #lookOnce(): Promise<void> {
    if (!this.isOpen) return;
    try {
      await this.#look();
      this.#failure = undefined;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      const isKnown = this.#failure?.message === error.message;
      this.#failure = error;
      // A limit hides what happens from now on, until there is room.
      const isLoss = error instanceof WatchLimitError && !isKnown && this.isOpen;
      if (isLoss) this.sink.lost(this.path, `${error.message}; ${error.hint}`);
    }
  }

  async #look(): Promise<void> {
    const { libc } = this.#follower;
    if (!this.#isText) {
      this.#reason = "its path is not valid UTF-8";
      return;
    }
    const key = this.#ownKey();
    // Another link, or none: an event says so.
    if (key === undefined || key !== (this.#key ??= key)) return;
    const { path } = this;
    const text = readLink(libc, path);
    if (text === undefined) return;
    const to = decodeText(text);
    const directory = realPath(libc, posix.dirname(path));
    if (directory === undefined) return;
    await this.#way.walk(to, directory);
    if (!this.isOpen) return;
    const end = this.#end();
    const through = this.#through;
    if (through !== undefined && (through.isGone || through.identity !== end?.identity)) {
      await this.#leave(through);
      if (!this.isOpen) return;
    }
    if (end !== undefined && this.#through === undefined) await this.#enter(end, path);
    this.#hasLooked = true;
  }

  /** Where it leads now; undefined where that is nothing to watch. Throws where it cannot be told. */
  #end(): End | undefined {
    const { libc, settings, target: { root, recursive } } = this.#follower;
    const { path } = this;
    this.#reason = undefined;
    const fd = libc.open(cString(path), O_PATH | O_CLOEXEC, 0);
    if (fd < 0) {
      const error = systemError(libc, `follow ${path}`, { syscall: "open", path });
      if (isMissing(error)) return undefined;
      if (error.errno !== ELOOP) throw error;
      this.#reason = "it leads to itself";
      return undefined;
    }
    const status = fileStatus(libc, cString(""), fd);
    const real = pathOfFd(libc, fd);
    libc.close(fd);
    if (status?.type !== "file" && (status?.type !== "directory" || !recursive)) return undefined;
    if (real === undefined) {
      this.#reason = "it leads to a path that is not valid UTF-8";
      return undefined;
    }
    const { targets, leftOut } = resolveTargets(libc, path, settings);
    const isDirectory = status.type === "directory";
    this.#reason = whyNotWatched(targets[0]!.mount.type, settings) ??
      (isDirectory ? this.#cycle(status) : undefined);
    if (this.#reason !== undefined) return undefined;
    if (!isDirectory) {
      const { directory, only } = targets[0]!;
      const identity = `${identityOf(libc, directory)} ${only}`;
      return { identity, isDirectory, targets, leftOut, gaps: [] };
    }
    // What is above the link is not told once more where it is below the target, too.
    const above = this.#above().flatMap(({ real: at }) =>
      at !== undefined && isWithin(at, real)
        ? { real: at, path: path + at.slice(real === "/" ? 0 : real.length) }
        : []
    );
    const excluded = new Set(above.flatMap(({ real, path }) => [real, path]));
    const gaps = above.map(({ path }) => ({ path, reason: "it is above the symlink" }));
    const whole = targets.map((target) => ({ ...target, root, excluded }));
    const keys = targets.map((one) => `${one.path.slice(path.length)} ${one.mountKey}`);
    const tails = above.map(({ path: at }) => at.slice(path.length));
    const identity = [inodeKey(status), ...keys, ...tails].join("\n");
    return { identity, isDirectory, targets: whole, leftOut, gaps };
  }

  /** The directories above the link on its own path, up to the one that was asked for. */
  #above(): Above[] {
    const { libc, target: { root } } = this.#follower;
    const above: Above[] = [];
    for (let at = posix.dirname(this.path); isWithin(at, root); at = posix.dirname(at)) {
      const [real, key] = [realPath(libc, at), identityOf(libc, at)];
      if (key !== undefined) above.push({ path: at, real, key });
      if (at === root) break;
    }
    return above;
  }

  /** Why a directory is not entered: it is above the link. */
  #cycle(status: FileStatus): string | undefined {
    const same = this.#above().find(({ key }) => key === inodeKey(status));
    return same && `it leads to ${same.path}, which it is in`;
  }

  /** Watches what it leads to; announces that, unless it was there before. */
  async #enter(end: End, path: string): Promise<void> {
    const { settings } = this.#follower;
    const { isDirectory, targets } = end;
    const isNews = this.#isNew || this.#hasLooked;
    const leftOut = [...end.leftOut];
    const through: Through = { ...end, leftOut, sessions: [], isGone: false, isThere: true };
    this.#through = through;
    const onGone = () => {
      through.isGone = true;
      this.changed();
    };
    const pass = (event: FileEvent) =>
      isDirectory ? this.#passTree(event, through) : this.#passFile(event, through);
    // What is ignored is the link, wherever it leads.
    const how = isDirectory ? settings : { ...settings, filter: settings.filter.everywhere() };
    const init = { isLate: isNews && isDirectory, onGone };
    for (const target of targets) {
      const sink = this.#follower.sinkOf(this, pass);
      try {
        const session = await openTarget(target, how, sink, () => this.isOpen, init);
        if (path !== this.path) session.renamed(path, this.path); // meanwhile
        through.sessions.push({ target, session });
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        if (target.isInner) {
          leftOut.push({ path: target.path, mount: target.mount, reason: error.message });
          continue;
        }
        await this.#drop();
        if (!isMissing(error)) throw error; // else it has gone again, and the way tells so
        return;
      }
    }
    if (!this.isOpen) return await this.#drop();
    if (!isDirectory) {
      if (this.#hasLooked) this.#follower.tell([this.#event("modify.data", false)]);
    } else if (!isNews) {
      for (const { target } of through.sessions) await this.#follower.find(target, this);
    }
  }

  /** It leads elsewhere now, or nowhere. What happened there before is told first. */
  async #leave(through: Through): Promise<void> {
    const settled = Promise.all(this.sessions.map((session) => session.settled()));
    await Promise.race([settled, this.#follower.closed]);
    if (!this.isOpen) return;
    if (through.isThere) this.#follower.tell(this.#gone(through, "rename.out"));
    await this.#drop();
  }

  async #drop(): Promise<void> {
    const { sessions } = this;
    this.#through = undefined;
    for (const session of sessions) await session.close();
  }

  // --- what is told ---

  #event(kind: Kind, isDirectory: boolean): FileEvent {
    const init = { kind, path: this.path, isDirectory, synthetic: true } as const;
    return FileEvent.from(init, Date.now(), this.#backend);
  }

  get #backend(): string {
    return this.sessions[0]?.backend ?? "inotify";
  }

  /** What it led to has gone, and the link is there. */
  #gone(through: Through, kind: Kind | FileEvent): FileEvent[] {
    through.isThere = false;
    this.#follower.left(this);
    const going = typeof kind === "string" ? this.#event(kind, through.isDirectory) : kind;
    return [going, this.#event("create.symlink", false)];
  }

  #passTree(event: FileEvent, through: Through): readonly FileEvent[] {
    if (!through.isThere) return [];
    const isOver = event.path === this.path && isGoing(event.kind);
    return isOver ? this.#gone(through, event) : [event];
  }

  /** Whatever gives the file's name to another file changes what is read through the link. */
  #passFile(event: FileEvent, through: Through): readonly FileEvent[] {
    const { kind } = event;
    if (isGoing(kind)) return through.isThere ? this.#gone(through, event.at(this.path)) : [];
    if (!isComing(kind) && kind !== "rename") return [event.at(this.path)];
    through.isThere = true;
    return [this.#event("modify.data", false)];
  }

  // --- what is covered ---

  /** What is covered through the link, and what is not for those reasons and others. */
  coverage(reasons: readonly string[]): Coverage[] {
    const { path } = this;
    const mount = this.#follower.target.mount;
    const gaps = this.#way.gaps();
    for (const reason of [...reasons, this.#reason, this.#failure?.message]) {
      if (reason !== undefined) gaps.push({ path, reason });
    }
    const through = this.#through;
    if (through === undefined || through.sessions.length === 0) {
      const backend = gaps.length === 0 ? "inotify" : "none";
      const by = gaps.length === 0 ? "watch" : "none";
      return [{ path, backend, mount, by, watches: this.#way.watches, gaps }];
    }
    gaps.push(...through.gaps);
    const left = through.leftOut.map(({ path, reason }) => ({ path, reason }));
    gaps.push(...left);
    return through.sessions.map(({ target, session }, index): Coverage => {
      const covered = session.coverage();
      const isMain = index === 0;
      return {
        path: path + target.path.slice(through.targets[0]!.path.length),
        backend: session.backend,
        mount: target.mount,
        by: covered.by,
        watches: covered.watches + (isMain ? this.#way.watches : 0),
        gaps: isMain ? [...covered.gaps, ...gaps] : covered.gaps,
      };
    });
  }

  resume(): void {
    for (const session of this.sessions) session.resume?.();
    this.#way.resume();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#looks;
    await this.#drop();
    await this.#way.close();
  }
}

/** The path that the kernel gives a directory; undefined where there is none, or it is not valid UTF-8. */
function realPath(libc: Libc, directory: string): string | undefined {
  const fd = libc.open(cString(directory), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) {
    const error = systemError(libc, `follow ${directory}`, { syscall: "open", path: directory });
    if (isMissing(error)) return undefined;
    throw error;
  }
  const path = pathOfFd(libc, fd);
  libc.close(fd);
  return path;
}

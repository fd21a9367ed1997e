/**
 * The way to a path, name by name, as the kernel walks it: each name is watched in its directory before it is looked at, so
 * that nothing on the way changes unseen.
 *
 * @module
 */

import { posix } from "node:path";
import type { EventInit } from "../classify/event.ts";
import { ENOENT, ENOTDIR } from "../ffi/abi/errno.ts";
import { O_CLOEXEC, O_DIRECTORY, O_PATH } from "../ffi/abi/open.ts";
import { SystemError, systemError } from "../ffi/errno.ts";
import { type FileStatus, fileStatus, readLink } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { cString, decodeText } from "../ffi/text.ts";
import type { FeedSink, Gap } from "./feed.ts";
import { Filter } from "./filter.ts";
import { type HubSession, openTarget } from "./open_target.ts";
import type { Settings } from "./options.ts";
import { STRUCTURAL } from "./picture.ts";
import type { Target } from "./targets.ts";

/** Who walks. */
export interface Walker {
  /** Whether it goes on. */
  readonly isOpen: boolean;
  /** Nothing is read ahead of that consumer for the sake of the way; it is told what makes it impossible to go on. */
  readonly sink: FeedSink;
  /** Something happened to a name on the way; `isLast`: to the last one of the path that was walked. */
  happened(events: readonly EventInit[], isLast: boolean): void;
  /** The way may be another one now. */
  changed(): void;
}

/** A name on the way, and who tells that it changes. */
interface Step {
  readonly directory: string;
  readonly name: string;
  /** Which directory it is. */
  readonly identity: string;
  /** Undefined where the directory may not be watched. */
  readonly session: HubSession | undefined;
  readonly refusal?: SystemError;
  isGone: boolean;
}

/** How many symlinks are followed, as by the kernel (path_resolution(7)). */
const MOST_LINKS = 40;

/** The names on the way to a path, as far as there are any. */
export class Way {
  readonly #libc: Libc;
  /** What has the mount and the root of what is at the end. */
  readonly #target: Target;
  /** How the names are watched: by inotify, which everybody may use everywhere. */
  readonly #settings: Settings;
  readonly #walker: Walker;
  #steps: Step[] = [];

  constructor(libc: Libc, target: Target, settings: Settings, walker: Walker) {
    this.#libc = libc;
    this.#target = target;
    this.#walker = walker;
    this.#settings = {
      ...settings,
      backend: "inotify",
      filter: new Filter(STRUCTURAL, [], new Set()),
      actor: false,
      recover: "signal",
    };
  }

  /** Watches each name on the way to `path`, which is absolute or begins in the real directory `from`. */
  async walk(path: string, from = "/"): Promise<void> {
    const libc = this.#libc;
    const rest = namesOf(path);
    let at = path.startsWith("/") ? "/" : from;
    let count = 0;
    let hops = 0;
    let isBehind = false;
    let refusal: SystemError | undefined;
    while (rest.length > 0 && this.#walker.isOpen) {
      const name = rest.shift()!;
      if (name === "..") {
        at = posix.dirname(at);
        continue;
      }
      const identity = identityOf(libc, at);
      if (identity === undefined) break;
      const step = await this.watch(count++, at, name, identity, rest.length === 0 && !isBehind);
      refusal = step?.refusal;
      const next = posix.join(at, name);
      const type = fileStatus(libc, cString(next))?.type;
      if (type === "symlink") {
        const to = readLink(libc, next);
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
      at = next;
    }
    await this.#drop(count);
  }

  /** Watches one name on the way, unless that is done already. */
  async watch(
    index: number,
    directory: string,
    name: string,
    identity: string,
    isLast: boolean,
  ): Promise<Step | undefined> {
    const known = this.#steps[index];
    if (
      known !== undefined && !known.isGone && known.identity === identity &&
      known.directory === directory && known.name === name
    ) return known;
    await this.#drop(index);
    const target: Target = {
      ...this.#target,
      path: posix.join(directory, name),
      directory,
      root: directory,
      only: name,
      isLasting: false,
      isInner: false,
      recursive: false,
      mounts: new Set(),
    };
    const walker = this.#walker;
    const sink: FeedSink = {
      get full() {
        return walker.sink.full;
      },
      deliver: (events) => walker.happened(events, isLast),
      lost: () => walker.changed(),
      recovered: () => {},
      replaced: undefined,
      order: { last: undefined },
      fail: (error) => walker.sink.fail(error),
    };
    const base = { directory, name, identity, isGone: false };
    let step: Step | undefined;
    const onGone = () => {
      if (step !== undefined) step.isGone = true;
      walker.changed();
    };
    try {
      const isWanted = () => walker.isOpen;
      const session = await openTarget(target, this.#settings, sink, isWanted, { onGone });
      step = { ...base, session };
    } catch (error) {
      if (isMissing(error)) return undefined;
      if (!(error instanceof SystemError)) throw error;
      step = { ...base, session: undefined, refusal: error };
    }
    this.#steps[index] = step;
    return step;
  }

  async #drop(from: number): Promise<void> {
    for (const step of this.#steps.splice(from)) await step?.session?.close();
  }

  get #sessions(): HubSession[] {
    return this.#steps.map((step) => step?.session).filter((session) => session !== undefined);
  }

  /** How many names are watched. */
  get watches(): number {
    return this.#sessions.length;
  }

  /** The last directory that is watched for a name. */
  get end(): string {
    return this.#steps.at(-1)?.directory ?? "/";
  }

  /** The directories that may not be watched. */
  gaps(): Gap[] {
    return this.#steps.filter((step) => step?.refusal !== undefined)
      .map(({ directory, refusal }) => ({ path: directory, reason: refusal!.message }));
  }

  async settled(): Promise<void> {
    await Promise.all(this.#sessions.map((session) => session.settled()));
  }

  resume(): void {
    for (const session of this.#sessions) session.resume?.();
  }

  close(): Promise<void> {
    return this.#drop(0);
  }
}

function namesOf(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}

/** Whether there is no such path. */
export function isMissing(error: unknown): boolean {
  return error instanceof SystemError && (error.errno === ENOENT || error.errno === ENOTDIR);
}

/** Which directory a path leads to; undefined where there is none. Throws where that cannot be told. */
export function identityOf(libc: Libc, directory: string): string | undefined {
  const fd = libc.open(cString(directory), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) {
    const errno = libc.errno(); // at once
    const init = { errno, syscall: "open", path: directory };
    const error = systemError(libc, `watch ${directory}`, init);
    if (isMissing(error)) return undefined;
    throw error;
  }
  const status = fileStatus(libc, cString(""), fd);
  libc.close(fd);
  return status && inodeKey(status);
}

/** Which file a status is of. */
export function inodeKey({ device, inode }: FileStatus): string {
  return `${device} ${inode}`;
}

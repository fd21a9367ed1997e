/**
 * Marks on whole filesystems and mounts, each shared by the watchers on it.
 *
 * @module
 */

import type { FanotifyGroup } from "../backends/fanotify/group.ts";
import { type HandleKey, openHandle } from "../backends/fanotify/handle.ts";
import { locate, type Place } from "../backends/fanotify/place.ts";
import { fanotifyMask } from "../classify/fanotify.ts";
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from "../ffi/abi/open.ts";
import { systemError } from "../ffi/errno.ts";
import type { Libc } from "../ffi/port.ts";
import { cString } from "../ffi/text.ts";
import type { Feed } from "./feed.ts";

/** What is marked as a whole. */
export type WholeTarget = "filesystem" | "mount";

/** A filesystem or mount that is marked. */
interface Whole {
  readonly target: WholeTarget;
  /** A key of its filesystem. */
  readonly key: HandleKey;
  /** An open directory on it, through which handles are opened, and a path to that. */
  readonly fd: number;
  readonly path: Uint8Array<ArrayBuffer>;
  readonly feeds: Set<Feed>;
  mask: number;
}

/** What is marked as a whole by one group. */
export class Wholes {
  readonly #libc: Libc;
  readonly #group: FanotifyGroup;
  /** What a filesystem's mark asks for, whoever wants what. */
  readonly #structure: number;
  readonly #wholes: Whole[] = [];

  constructor(libc: Libc, group: FanotifyGroup, structure: number) {
    this.#libc = libc;
    this.#group = group;
    this.#structure = structure;
  }

  get isEmpty(): boolean {
    return this.#wholes.length === 0;
  }

  /** Whether `feed` is fed by one of these marks. */
  has(feed: Feed): boolean {
    return this.#wholes.some(({ feeds }) => feeds.has(feed));
  }

  /** Whether the filesystem of the key is marked. */
  hasFilesystem(key: HandleKey): boolean {
    return this.#find("filesystem", key) !== undefined;
  }

  /** Covers `feed` with the mark on what holds its directory, which is open as `fd` and has this key. */
  add(feed: Feed, target: WholeTarget, fd: number, key: HandleKey): void {
    const known = this.#find(target, key);
    const whole = known ?? this.#open(feed, target, fd, key);
    try {
      const mask = whole.mask | this.#maskOf(whole, [feed]);
      this.#group.mark(target, mask, whole.path, feed.path);
      whole.mask = mask;
      const reachable = openHandle(this.#libc, whole.fd, key);
      if (reachable < 0) {
        throw systemError(this.#libc, `watch the ${target} of ${feed.path}`, {
          syscall: "open_by_handle_at",
          path: feed.path,
          hint: "finding the path of a handle needs CAP_DAC_READ_SEARCH",
        });
      }
      this.#libc.close(reachable);
    } catch (error) {
      if (known === undefined) this.#close(whole);
      throw error;
    }
    whole.feeds.add(feed);
    if (known === undefined) this.#wholes.push(whole);
  }

  /** Takes back what only `feed` asked for. */
  remove(feed: Feed): void {
    const whole = this.#wholes.find(({ feeds }) => feeds.has(feed));
    if (whole === undefined) return;
    whole.feeds.delete(feed);
    if (whole.feeds.size === 0) {
      this.#wholes.splice(this.#wholes.indexOf(whole), 1);
      this.#close(whole);
    } else {
      const mask = this.#maskOf(whole, whole.feeds);
      this.#group.unmark(whole.target, whole.mask & ~mask, whole.path);
      whole.mask = mask;
    }
  }

  /** The directory of the key, opened with O_PATH, wherever it has gone; -1 where its filesystem is not marked. */
  openDirectory(key: HandleKey): number {
    for (const whole of this.#wholes) {
      if (!isSame(whole, "filesystem", key)) continue;
      const fd = openHandle(this.#libc, whole.fd, key);
      if (fd >= 0) return fd;
    }
    return -1;
  }

  /** Where a directory is now, seen through whatever reaches it; `"gone"`, or undefined where nothing does. */
  locate(key: HandleKey): Place | "gone" | undefined {
    let found: Place | "gone" | undefined;
    for (const whole of this.#wholes) {
      const place = locate(this.#libc, whole.fd, key);
      if (place !== undefined && place !== "gone") return place;
      found ??= place;
    }
    return found;
  }

  #find(target: WholeTarget, key: HandleKey): Whole | undefined {
    return this.#wholes.find((whole) => isSame(whole, target, key));
  }

  #open(feed: Feed, target: WholeTarget, fd: number, key: HandleKey): Whole {
    // open_by_handle_at refuses the caller's O_PATH descriptor (EBADF, measured on 6.18).
    const own = this.#libc.open(
      cString(`/proc/self/fd/${fd}/.`),
      O_RDONLY | O_DIRECTORY | O_CLOEXEC,
      0,
    );
    if (own < 0) {
      throw systemError(this.#libc, `watch ${feed.path}`, { syscall: "open", path: feed.path });
    }
    const path = cString(`/proc/self/fd/${own}`);
    return { target, key, fd: own, path, feeds: new Set(), mask: 0 };
  }

  #close({ target, mask, path, fd }: Whole): void {
    this.#group.unmark(target, mask, path);
    this.#libc.close(fd);
  }

  #maskOf({ target }: Whole, feeds: Iterable<Feed>): number {
    let mask = target === "mount" ? 0 : this.#structure;
    for (const { filter } of feeds) mask |= fanotifyMask(filter.patterns);
    return mask;
  }
}

function isSame(whole: Whole, target: WholeTarget, key: HandleKey): boolean {
  return whole.target === target && whole.key[0] === key[0] && whole.key[1] === key[1];
}

/**
 * Marks on whole filesystems, each shared by the watchers on it.
 *
 * @module
 */

import type { FanotifyGroup } from "../backends/fanotify/group.ts";
import {
  type HandleKey,
  onFilesystemOf,
  type OpenDirectory,
  openHandle,
} from "../backends/fanotify/handle.ts";
import { locate, type Place } from "../backends/fanotify/place.ts";
import { fanotifyMask } from "../classify/fanotify.ts";
import { FAN_ATTRIB, FAN_MOVE_SELF } from "../ffi/abi/fanotify.ts";
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from "../ffi/abi/open.ts";
import { systemError } from "../ffi/errno.ts";
import type { Libc } from "../ffi/port.ts";
import { cString } from "../ffi/text.ts";
import type { Feed } from "./feed.ts";

/**
 * What tells of a rename whether another file lost the name: the kernel reports that file's link count behind the rename,
 * and behind that the move of the renamed file itself (`fsnotify_move` in include/linux/fsnotify.h).
 */
const REPLACED = FAN_ATTRIB | FAN_MOVE_SELF;

/** A filesystem that is marked. */
interface Whole {
  /** A key of it. */
  readonly key: HandleKey;
  /** By mount an open directory on it, through which handles are opened; the first is also the way to the mark. */
  readonly fds: Map<number, number>;
  readonly feeds: Set<Feed>;
  mask: number;
}

/** The filesystems that one group marks as a whole. */
export class Wholes {
  readonly #libc: Libc;
  readonly #group: FanotifyGroup;
  /** What a mark asks for, whoever wants what. */
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

  /** Whether the marks tell what a rename replaces. */
  get tellReplaced(): boolean {
    return this.#wholes.some(({ mask }) => (mask & REPLACED) === REPLACED);
  }

  /** Whether `feed` is fed by one of these marks. */
  has(feed: Feed): boolean {
    return this.#wholes.some(({ feeds }) => feeds.has(feed));
  }

  /** Whether the filesystem of the key is marked. */
  covers(key: HandleKey): boolean {
    return this.#find(key) !== undefined;
  }

  /** An identity as records of the marks have it: with the mark's fsid, while statfs(2) gives each subvolume of btrfs its own. */
  asReported(directory: OpenDirectory): OpenDirectory {
    const whole = this.#wholes.find(({ fds }) => fds.has(directory.mountId));
    return whole === undefined
      ? directory
      : { ...directory, key: onFilesystemOf(whole.key, directory.key) };
  }

  /** Covers `feed`, whose directory is open, with the mark on its filesystem. */
  add(feed: Feed, { fd, key, mountId }: OpenDirectory): void {
    const known = this.#find(key);
    const whole = known ?? { key, fds: new Map(), feeds: new Set(), mask: 0 };
    try {
      if (!whole.fds.has(mountId)) whole.fds.set(mountId, this.#open(feed, fd));
      const mask = whole.mask | this.#maskOf([feed]);
      this.#group.mark("filesystem", mask, pathOf(whole), feed.path);
      whole.mask = mask;
      const reachable = openHandle(this.#libc, whole.fds.get(mountId)!, key);
      if (reachable < 0) {
        throw systemError(this.#libc, `watch the filesystem of ${feed.path}`, {
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
      const mask = this.#maskOf(whole.feeds);
      this.#group.unmark("filesystem", whole.mask & ~mask, pathOf(whole));
      whole.mask = mask;
    }
  }

  /** The directory of the key, opened with O_PATH, wherever it has gone; -1 where its filesystem is not marked. */
  openDirectory(key: HandleKey): number {
    for (const mountFd of this.#find(key)?.fds.values() ?? []) {
      const fd = openHandle(this.#libc, mountFd, key);
      if (fd >= 0) return fd;
    }
    return -1;
  }

  /**
   * Where a directory is now: below its parent where one of the mounts shows it, else a path of its own. `"gone"` where
   * it was removed; undefined where nothing reaches it.
   */
  locate(key: HandleKey): Place | "gone" | undefined {
    let found: Place | "gone" | undefined;
    for (const mountFd of this.#find(key)?.fds.values() ?? []) {
      const place = locate(this.#libc, mountFd, key);
      if (place === undefined) continue;
      if (place !== "gone" && place.parent !== undefined) return place;
      found ??= place;
    }
    return found;
  }

  #find(key: HandleKey): Whole | undefined {
    return this.#wholes.find((whole) => whole.key[0] === key[0] && whole.key[1] === key[1]);
  }

  #open(feed: Feed, fd: number): number {
    // open_by_handle_at refuses the caller's O_PATH descriptor (EBADF, measured on 6.18).
    const path = cString(`/proc/self/fd/${fd}/.`);
    const own = this.#libc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (own >= 0) return own;
    throw systemError(this.#libc, `watch ${feed.path}`, { syscall: "open", path: feed.path });
  }

  #close(whole: Whole): void {
    if (whole.mask !== 0) this.#group.unmark("filesystem", whole.mask, pathOf(whole));
    for (const fd of whole.fds.values()) this.#libc.close(fd);
  }

  #maskOf(feeds: Iterable<Feed>): number {
    let mask = this.#structure;
    for (const { filter, sink } of feeds) {
      mask |= fanotifyMask(filter.patterns);
      if (sink.replaced !== undefined) mask |= REPLACED;
    }
    return mask;
  }
}

function pathOf({ fds }: Whole): Uint8Array<ArrayBuffer> {
  const [first] = fds.values();
  return cString(`/proc/self/fd/${first}`);
}

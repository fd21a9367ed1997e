/**
 * Errors of filesystems as fanotify tells them (FAN_FS_ERROR).
 *
 * @module
 */

import { ErrorGroup, type ErrorRecord } from "../../backends/fanotify/error_group.ts";
import { inodeOf } from "../../backends/fanotify/handle.ts";
import { errnoName } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/port.ts";
import type { Reactor } from "../../ffi/reactor.ts";
import { ErrorPaths, type FoundPath, isEcho } from "./error_path.ts";
import {
  type ErrorInit,
  type ErrorSink,
  type ErrorSource,
  type Filesystem,
  reasonOf,
  refused,
  type SourceState,
} from "./source.ts";

/** The types that ext4's driver mounts, which told its errors from the beginning. */
const SINCE_5_16: ReadonlySet<string> = new Set(["ext4", "ext3", "ext2"]);

/** A filesystem that is marked. */
interface Marked {
  readonly group: ErrorGroup;
  readonly paths: ErrorPaths;
  isClosed: boolean;
}

/** A group for each filesystem. */
export class FanotifyErrors implements ErrorSource {
  readonly name = "fanotify";
  readonly #libc: Libc;
  readonly #loop: Reactor;
  readonly #sink: ErrorSink;
  readonly #marked = new Map<Filesystem, Marked>();
  readonly #ending = new Set<Promise<void>>();
  #isClosed = false;

  constructor(libc: Libc, loop: Reactor, sink: ErrorSink) {
    this.#libc = libc;
    this.#loop = loop;
    this.#sink = sink;
  }

  cover(filesystem: Filesystem): SourceState {
    const known = this.#marked.get(filesystem);
    const wasGone = known !== undefined && !known.group.isMarked;
    try {
      if (wasGone) this.uncover(filesystem);
      if (known === undefined || wasGone) this.#mark(filesystem);
    } catch (error) {
      this.uncover(filesystem);
      return refused(error);
    }
    const { type } = filesystem.mount;
    const reason = `before Linux 7.0 ext4 alone tells its errors, and ${type} may never`;
    return {
      isActive: true,
      ...(SINCE_5_16.has(type) ? {} : { reason }),
      ...(wasGone ? { wasGone } : {}),
    };
  }

  #mark(filesystem: Filesystem): void {
    const group = new ErrorGroup(this.#libc);
    const marked = { group, paths: new ErrorPaths(this.#libc), isClosed: false };
    try {
      group.mark(filesystem.top.point);
      this.#loop.add(group.fd, () => this.#ready(filesystem, marked));
    } catch (error) {
      group.close();
      throw error;
    }
    this.#marked.set(filesystem, marked);
  }

  #ready(filesystem: Filesystem, marked: Marked): void {
    const serving = this.#serve(filesystem, marked).then(
      () => {
        if (!marked.isClosed) this.#loop.arm(marked.group.fd);
      },
      (error) => {
        this.#close(filesystem, marked);
        this.#sink.ended(this.name, filesystem, reasonOf(error));
      },
    ).finally(() => this.#ending.delete(serving));
    this.#ending.add(serving);
  }

  async #serve(filesystem: Filesystem, marked: Marked): Promise<void> {
    while (!marked.isClosed) {
      const tried = marked.paths.takeTried();
      const { errors, overflows } = marked.group.read();
      if (errors.length === 0 && overflows === 0) return;
      if (overflows > 0) this.#sink.lost(filesystem, "the kernel's queue of errors was full");
      for (const error of errors) {
        if (isEcho(error, tried)) continue;
        const { key } = error;
        const found = key && await marked.paths.find(filesystem, key, () => !marked.isClosed);
        if (!this.#isClosed) this.#sink.tell(this.name, filesystem, [told(error, found)]);
      }
    }
  }

  uncover(filesystem: Filesystem): void {
    const marked = this.#marked.get(filesystem);
    if (marked === undefined) return;
    // What was queued before the filesystem went; where its files were cannot be told any more.
    if (!this.#isClosed) {
      const tried = marked.paths.takeTried();
      const errors = marked.group.read().errors.filter((error) => !isEcho(error, tried));
      this.#sink.tell(this.name, filesystem, errors.map((error) => told(error, undefined)));
    }
    this.#close(filesystem, marked);
  }

  #close(filesystem: Filesystem, marked: Marked): void {
    if (marked.isClosed) return;
    this.#marked.delete(filesystem);
    marked.isClosed = true;
    this.#loop.remove(marked.group.fd);
    marked.group.close();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const filesystem of [...this.#marked.keys()]) this.uncover(filesystem);
    await Promise.all(this.#ending);
  }
}

function told({ errno, count, key, raw }: ErrorRecord, found: FoundPath | undefined): ErrorInit {
  const inode = key && inodeOf(key);
  return {
    kind: "error.filesystem",
    ...found,
    attributes: {
      errno,
      code: errnoName(errno),
      count,
      ...(inode === undefined ? {} : { inode }),
    },
    raw: raw.length === 1 ? raw[0] : raw,
  };
}

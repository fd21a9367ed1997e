/**
 * Errors of ext4 as its counters in sysfs tell them, to everybody.
 *
 * @module
 */

import { ErrorCounter, type NewErrors } from "../../backends/ext4/error_counter.ts";
import { errnoName } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/port.ts";
import type { Reactor } from "../../ffi/reactor.ts";
import { InodeFinder } from "./error_path.ts";
import {
  type ErrorInit,
  type ErrorSink,
  type ErrorSource,
  type Filesystem,
  refused,
  type SourceState,
} from "./source.ts";

/** The counter of each filesystem. */
export class Ext4Errors implements ErrorSource {
  readonly name = "ext4";
  readonly insteadOf = "fanotify";
  readonly #libc: Libc;
  readonly #finder: InodeFinder;
  readonly #loop: Reactor;
  readonly #sink: ErrorSink;
  readonly #counters = new Map<Filesystem, ErrorCounter>();
  /** What is told one after the other. */
  #telling: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(libc: Libc, loop: Reactor, sink: ErrorSink) {
    this.#libc = libc;
    this.#finder = new InodeFinder(libc);
    this.#loop = loop;
    this.#sink = sink;
  }

  cover(filesystem: Filesystem): SourceState {
    const wasKnown = this.#counters.has(filesystem);
    if (wasKnown && this.#look(filesystem)) return { isActive: true };
    this.uncover(filesystem);
    try {
      const counter = new ErrorCounter(this.#libc, filesystem.device);
      this.#counters.set(filesystem, counter);
      this.#loop.add(counter.fd, () => this.#look(filesystem), "wake");
      return { isActive: true, ...(wasKnown ? { wasGone: true } : {}) };
    } catch (error) {
      this.uncover(filesystem);
      return refused(error);
    }
  }

  /** Whether the counter is still there. */
  #look(filesystem: Filesystem): boolean {
    const counter = this.#counters.get(filesystem);
    const found = counter?.look();
    if (found === undefined) return false;
    if (found.count > 0) {
      this.#telling = this.#telling.then(() => this.#tell(filesystem, found));
    }
    return true;
  }

  async #tell(filesystem: Filesystem, { count, last }: NewErrors): Promise<void> {
    const { errno, inode, ...found } = last;
    const isWanted = () => this.#counters.has(filesystem);
    const place = inode && await this.#finder.find(filesystem, inode, isWanted);
    if (this.#isClosed) return;
    const error: ErrorInit = {
      kind: "error.filesystem",
      ...(place || {}),
      attributes: {
        ...(errno === undefined ? {} : { errno, code: errnoName(errno) }),
        count,
        ...(inode === undefined ? {} : { inode }),
        ...(Object.keys(found).length === 0 ? {} : { found }),
      },
      raw: { count, ...last },
    };
    this.#sink.tell(this.name, filesystem, [error]);
  }

  uncover(filesystem: Filesystem): void {
    const counter = this.#counters.get(filesystem);
    if (counter === undefined) return;
    this.#counters.delete(filesystem);
    this.#loop.remove(counter.fd);
    counter.close();
  }

  close(): Promise<void> {
    this.#isClosed = true;
    for (const filesystem of [...this.#counters.keys()]) this.uncover(filesystem);
    return this.#telling;
  }
}

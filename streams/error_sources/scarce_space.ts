/**
 * Filesystems that are full, or nearly so, by looking at them again and again.
 *
 * @module
 */

import { type Amount, isScarce, readSpace, type Space } from "../../backends/statfs/space.ts";
import { ENOSPC } from "../../ffi/abi/errno.ts";
import { errnoName, systemError } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/port.ts";
import {
  type ErrorInit,
  type ErrorSink,
  type ErrorSource,
  type Filesystem,
  refused,
  type SourceState,
} from "./source.ts";

/** When there is too little, and how often that is looked at, in ms. */
export interface SpaceLimits {
  readonly bytes: number;
  readonly inodes: number;
  readonly interval: number;
}

const AMOUNTS = ["bytes", "inodes"] as const;

/** Looks at all filesystems together. */
export class ScarceSpace implements ErrorSource {
  readonly name = "statfs";
  readonly #libc: Libc;
  readonly #sink: ErrorSink;
  readonly #limits: SpaceLimits;
  /** What each has too little of. */
  readonly #scarce = new Map<Filesystem, Set<"bytes" | "inodes">>();
  /** How often all were looked at. */
  looks = 0;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(libc: Libc, sink: ErrorSink, limits: SpaceLimits) {
    this.#libc = libc;
    this.#sink = sink;
    this.#limits = limits;
    this.#timer = setInterval(() => this.#lookAtAll(), limits.interval);
  }

  cover(filesystem: Filesystem): SourceState {
    const { point } = filesystem.mount;
    const space = readSpace(this.#libc, point);
    if (space === undefined) {
      const init = { syscall: "statfs", path: point };
      return refused(systemError(this.#libc, `look at the space of ${point}`, init));
    }
    const reason = space.isReadOnly
      ? "it is read-only"
      : space.bytes === undefined && space.inodes === undefined
      ? "it counts neither bytes nor inodes"
      : undefined;
    if (reason !== undefined) {
      this.uncover(filesystem);
      return { isActive: false, reason };
    }
    if (!this.#scarce.has(filesystem)) this.#scarce.set(filesystem, new Set());
    this.#judge(filesystem, space);
    return { isActive: true };
  }

  #lookAtAll(): void {
    for (const filesystem of this.#scarce.keys()) {
      const space = readSpace(this.#libc, filesystem.mount.point);
      if (space !== undefined && !space.isReadOnly) this.#judge(filesystem, space);
    }
    this.looks++;
  }

  #judge(filesystem: Filesystem, space: Space): void {
    const scarce = this.#scarce.get(filesystem)!;
    for (const of of AMOUNTS) {
      const amount = space[of];
      if (amount === undefined) continue;
      const least = this.#limits[of];
      const was = scarce.has(of);
      if (!isScarce(amount, least, was)) scarce.delete(of);
      else if (!was) {
        scarce.add(of);
        this.#sink.tell(this.name, filesystem, [told(of, amount, least, space)]);
      }
    }
  }

  uncover(filesystem: Filesystem): void {
    this.#scarce.delete(filesystem);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#scarce.clear();
  }
}

function told(of: "bytes" | "inodes", amount: Amount, least: number, raw: Space): ErrorInit {
  return {
    kind: "error.space",
    attributes: {
      // Above 0 nothing has failed yet.
      ...(amount.free > 0 ? {} : { errno: ENOSPC, code: errnoName(ENOSPC) }),
      space: { of, ...amount, least },
    },
    synthetic: true,
    raw,
  };
}

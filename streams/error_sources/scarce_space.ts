/**
 * Filesystems that are full, or nearly so, by looking at them again and again.
 *
 * @module
 */

import { type Amount, isScarce, readSpace, type Space } from "../../backends/statfs/space.ts";
import { ENOSPC } from "../../ffi/abi/errno.ts";
import { errnoName, systemError } from "../../ffi/errno.ts";
import { fileStatus } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { cString } from "../../ffi/text.ts";
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

/** A filesystem that is looked at. */
interface Looked {
  /** What statx(2) says of its mount point: something else is there once it was unmounted. */
  readonly device: string | undefined;
  /** What it has too little of. */
  readonly scarce: Set<"bytes" | "inodes">;
}

/** Looks at all filesystems together. */
export class ScarceSpace implements ErrorSource {
  readonly name = "statfs";
  readonly #libc: Libc;
  readonly #sink: ErrorSink;
  readonly #limits: SpaceLimits;
  readonly #looked = new Map<Filesystem, Looked>();
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
    const device = this.#deviceAt(filesystem);
    const { scarce } = this.#looked.get(filesystem) ?? { scarce: new Set() };
    this.#looked.set(filesystem, { device, scarce });
    this.#judge(filesystem, scarce, space);
    return { isActive: true };
  }

  #lookAtAll(): void {
    for (const [filesystem, { device, scarce }] of this.#looked) {
      const space = readSpace(this.#libc, filesystem.mount.point);
      if (space === undefined || space.isReadOnly) continue;
      if (this.#deviceAt(filesystem) === device) this.#judge(filesystem, scarce, space);
    }
    this.looks++;
  }

  #deviceAt({ mount: { point } }: Filesystem): string | undefined {
    return fileStatus(this.#libc, cString(point))?.device;
  }

  #judge(filesystem: Filesystem, scarce: Set<"bytes" | "inodes">, space: Space): void {
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
    this.#looked.delete(filesystem);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#looked.clear();
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

/**
 * Tells when something is mounted or unmounted: one monitor of the process's namespace, for all watchers.
 *
 * @module
 */

import { isWithin } from "../backends/mounts/mountinfo.ts";
import { MountMonitor, type MountNotice, type MountSink } from "../backends/mounts/monitor.ts";
import { OWN } from "../backends/mounts/namespace.ts";
import { openLibc } from "../ffi/libc.ts";
import { type Reactor, reactor } from "../ffi/reactor.ts";
import type { Libc } from "../ffi/port.ts";

/** Who is told what happened; undefined where it is not known, and anything may have. */
export type MountListener = (notices: readonly MountNotice[] | undefined) => void;

/** The monitor, and who listens to it. */
class MountChanges implements MountSink {
  readonly listeners = new Set<MountListener>();
  readonly isFull = false;
  readonly #monitor: MountMonitor | undefined;

  constructor(libc: Libc, loop: Reactor) {
    try {
      this.#monitor = new MountMonitor(libc, loop, OWN, this);
    } catch {
      // Without /proc nobody tells.
    }
  }

  changed(notices: readonly MountNotice[]): void {
    for (const listener of this.listeners) listener(notices);
  }

  lost(): void {}

  /** What was found by comparing was told; of what came and went meanwhile nothing is left. */
  recovered(): void {}

  passed(): void {
    for (const listener of this.listeners) listener(undefined);
  }

  /** What could not be read now may be read by those who are told, or later. */
  fail(): void {
    this.passed();
  }

  close(): void {
    this.#monitor?.close();
  }
}

let shared: MountChanges | undefined;

/**
 * Calls `listener` soon, with nothing, and with what changes from then on, until the function that it resolves to is called.
 */
export async function onMountChanges(listener: MountListener): Promise<() => void> {
  const [libc, loop] = [await openLibc(), await reactor()];
  // A watcher is ready before: what changes until then is found by the first call.
  await new Promise((resolve) => setTimeout(resolve));
  shared ??= new MountChanges(libc, loop);
  const { listeners } = shared;
  listeners.add(listener);
  queueMicrotask(() => listener(undefined));
  return () => {
    if (!listeners.delete(listener) || listeners.size > 0) return;
    shared?.close();
    shared = undefined;
  };
}

/**
 * Whether what happened may concern a path without symlinks: it was at, above or below it, or nobody knows where. What came
 * and went before it could be looked at may have been seen in the mount table meanwhile.
 */
export function concerns({ what, mount, before }: MountNotice, path: string): boolean {
  if (mount === undefined && before === undefined) return what === "detach";
  return [mount, before].some((one) =>
    one !== undefined && (isWithin(one.point, path) || isWithin(path, one.point))
  );
}

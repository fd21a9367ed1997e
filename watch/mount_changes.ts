/**
 * Tells when something is mounted or unmounted: one look at the mount table of the process, for all watchers.
 *
 * @module
 */

import { O_CLOEXEC, O_RDONLY } from "../ffi/abi/open.ts";
import { openLibc } from "../ffi/libc.ts";
import { type Reactor, reactor } from "../ffi/reactor.ts";
import type { Libc } from "../ffi/port.ts";
import { cString } from "../ffi/text.ts";

const TABLE = cString("/proc/self/mountinfo");

/** The open mount table, which wakes those who wait for it at each change (proc_pid_mountinfo(5)). */
class MountChanges {
  readonly listeners = new Set<() => void>();
  readonly #libc: Libc;
  readonly #reactor: Reactor;
  readonly #fd: number;

  constructor(libc: Libc, loop: Reactor) {
    this.#libc = libc;
    this.#reactor = loop;
    this.#fd = libc.open(TABLE, O_RDONLY | O_CLOEXEC, 0);
    if (this.#fd < 0) return; // without /proc nobody tells
    // It is readable all the time: what counts is that it wakes. POLLPRI would be taken by whoever polls first.
    loop.add(this.#fd, () => this.listeners.forEach((listener) => listener()), "wake");
  }

  close(): void {
    if (this.#fd < 0) return;
    this.#reactor.remove(this.#fd);
    this.#libc.close(this.#fd);
  }
}

let shared: MountChanges | undefined;

/**
 * Calls `listener` soon, and whenever the mount table may have changed, until the function that it resolves to is called.
 */
export async function onMountChanges(listener: () => void): Promise<() => void> {
  const [libc, loop] = [await openLibc(), await reactor()];
  shared ??= new MountChanges(libc, loop);
  const { listeners } = shared;
  listeners.add(listener);
  queueMicrotask(listener);
  return () => {
    if (!listeners.delete(listener) || listeners.size > 0) return;
    shared?.close();
    shared = undefined;
  };
}

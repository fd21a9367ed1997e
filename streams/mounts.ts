/**
 * `mounts()` and `listMounts()`.
 *
 * @module
 */

import {
  type MountCounters,
  MountMonitor,
  type MountNotice,
  type MountWay,
} from "../backends/mounts/monitor.ts";
import type { Mount } from "../backends/mounts/mount.ts";
import { MountReader } from "../backends/mounts/mount_table.ts";
import { type MountNamespace, openNamespace } from "../backends/mounts/namespace.ts";
import { FileEvent } from "../classify/event.ts";
import { isWanted } from "../classify/kinds.ts";
import { type MountEvent, mountEvent } from "../classify/mounts.ts";
import { SYS_pidfd_open } from "../ffi/abi/syscall.ts";
import { systemError } from "../ffi/errno.ts";
import { openLibc } from "../ffi/libc.ts";
import type { Libc } from "../ffi/port.ts";
import { type Reactor, reactor } from "../ffi/reactor.ts";
import { Actors } from "../watch/actor.ts";
import { checkOptions, type OptionTable, show } from "../watch/option_checks.ts";
import { checkEvents } from "../watch/options.ts";
import { absolutePath } from "../watch/targets.ts";
import { SourceStream } from "./source_stream.ts";

/** Options of {@linkcode mounts}. */
export interface MountOptions {
  /**
   * Whose mounts: of the process of that number, or of the namespace that a file is (`/proc/PID/ns/mnt`, or where one is
   * mounted). Default this process's.
   */
  namespace?: number | string | URL;
  /**
   * `"auto"`: told by the kernel (`"fanotify"`, Linux 6.15) where that may be, else by comparing the mount table at each change
   * (`"mountinfo"`). Default `"auto"`.
   */
  backend?: "auto" | MountWay;
  /** Whether to tell who did it; the kernel tells from Linux 6.15 on, to who has CAP_SYS_ADMIN. Default `false`. */
  actor?: boolean;
  /** Kind patterns of the events that are wanted; one matches itself and everything under it. Default all. */
  events?: readonly string[];
  /** Closes the stream. */
  signal?: AbortSignal;
}

/** What a stream of mounts did so far. */
export interface MountStats extends MountCounters {
  /** Events delivered to the queue. */
  readonly events: number;
  /** Events that were dropped because the consumer was too slow. */
  readonly dropped: number;
  /** How often the kernel dropped events; what became of the mounts was found by comparing. */
  readonly losses: number;
  /** What is not told, and why. */
  readonly gap: string | undefined;
}

const OPTIONS: OptionTable = {
  choices: { backend: ["auto", "fanotify", "mountinfo"] },
  flags: ["actor"],
  others: ["namespace", "events"],
};

/** Checks the options. Throws `TypeError` for a wrong one. */
function checked(options: MountOptions): MountOptions {
  checkOptions("watch mounts", options, OPTIONS);
  if (options.events !== undefined) checkEvents(options.events);
  checkNamespace(options.namespace);
  return { ...options };
}

function checkNamespace(namespace: unknown): void {
  const isProcess = typeof namespace === "number" && Number.isSafeInteger(namespace) &&
    namespace > 0;
  const isFile = typeof namespace === "string" && namespace !== "" || namespace instanceof URL;
  if (namespace === undefined || isProcess || isFile) return;
  throw new TypeError(
    `Cannot watch mounts of namespace ${show(namespace)}: it is a pid, or a path`,
  );
}

function open(libc: Libc, which: MountOptions["namespace"]): MountNamespace {
  const isPath = which !== undefined && typeof which !== "number";
  return openNamespace(libc, isPath ? absolutePath(libc, which) : which);
}

/** A running stream of mount events. */
export class MountStream extends SourceStream<MountEvent> {
  readonly #settings: MountOptions;
  #monitor: MountMonitor | undefined;
  #actors: Actors | undefined;
  /** Ends the stream with the process that was named. */
  #release: () => void = () => {};
  #losses = 0;

  /** Begins at once. Use {@linkcode mounts}. */
  constructor(settings: MountOptions) {
    super("mount stream", true, settings.signal);
    this.#settings = settings;
  }

  /** @internal */
  protected override async open(): Promise<void> {
    const [libc, loop] = [await openLibc(), await reactor()];
    if (!this.isOpen) return;
    const { namespace: which, backend, actor } = this.#settings;
    const namespace = open(libc, which);
    if (namespace.pid !== undefined) {
      this.#release = onExit(libc, loop, namespace.pid, this.end);
    }
    if (actor) this.#actors = new Actors(libc);
    const isFull = () => this.queue.isFull;
    const monitor = this.#monitor = new MountMonitor(libc, loop, namespace, {
      get isFull() {
        return isFull();
      },
      changed: (notices) => this.#tell(notices),
      lost: () => {
        this.#losses++;
        this.#signal("lost", { reason: "the kernel's queue of mount events was full" });
      },
      recovered: () => this.#signal("recovered", {}),
      fail: (error) => this.fail(error),
    }, { way: backend === "auto" ? undefined : backend, actor });
    this.queue.onRoom = () => monitor.resume();
  }

  #tell(notices: readonly MountNotice[]): void {
    const { events: patterns } = this.#settings;
    const time = Date.now();
    this.#actors?.refresh();
    const events: MountEvent[] = [];
    for (const notice of notices) {
      const { pid, pidfd } = notice;
      const actor = pid === undefined ? undefined : this.#actors?.resolve(pid, pidfd);
      const event = mountEvent(notice, time, actor);
      if (patterns === undefined || isWanted(event.kind, patterns)) events.push(event);
    }
    this.queue.push(events, "/");
  }

  #signal(kind: "lost" | "recovered", attributes: MountEvent["attributes"]): void {
    const event = FileEvent.from({ kind, path: "/", attributes }, Date.now(), "mounts");
    this.queue.push([event as FileEvent & MountEvent], "/");
  }

  /** @internal */
  protected override giveBack(): void {
    this.#monitor?.close();
    this.#release();
  }

  /** What is mounted, as far as events have told; empty before it is `ready`. */
  list(): Mount[] {
    return [...this.#monitor?.mounts.values() ?? []];
  }

  /** Counters since the stream was opened. */
  stats(): MountStats {
    const { events, dropped } = this.queue.stats;
    const counters = this.#monitor?.counters ??
      { way: "mountinfo", refused: undefined, scans: 0, listings: 0, looks: 0 };
    return { events, dropped, losses: this.#losses, gap: this.#monitor?.gap, ...counters };
  }
}

/** Calls back when a process has ended; what forgets that. Throws `SystemError` where there is none. */
function onExit(libc: Libc, loop: Reactor, pid: number, ended: () => void): () => void {
  const fd = libc.syscall(SYS_pidfd_open, pid, 0, 0, 0, 0);
  if (fd < 0) throw systemError(libc, `watch process ${pid}`, { syscall: "pidfd_open" });
  loop.add(fd, ended);
  return () => {
    loop.remove(fd);
    libc.close(fd);
  };
}

/**
 * Tells what is mounted, unmounted, moved and remounted.
 *
 * From Linux 6.15 on the kernel tells of each mount, and nothing is scanned; before, and without CAP_SYS_ADMIN in the user
 * namespace that owns the mounts, the mount table is compared at each change: what came and went in between is not seen
 * then, and all events are `synthetic`. `stats().way` says which it is. Remounts (`mount.change`) are found by looking, on
 * every kernel. That a mount was made shared or private is told when something else changes.
 *
 * What is mounted below a mount that moves, moves along without an event of its own. Of a mount that is gone the event has
 * all that was known of it.
 *
 * **Errors.** `TypeError` at once for wrong arguments. What the system refuses rejects `ready` and is thrown to the iterator:
 * `CapabilityError` for a namespace that may not be looked at, `SystemError`.
 *
 * @example
 * ```ts
 * import { mounts } from "sentinode";
 *
 * await using stream = mounts({ events: ["mount.attach", "mount.detach"], signal: AbortSignal.timeout(100) });
 * await stream.ready;
 * for await (const event of stream) {
 *   console.log(event.kind, event.path, event.attributes.mount?.type);
 * }
 * ```
 */
export function mounts(options: MountOptions = {}): MountStream {
  return new MountStream(checked(options));
}

/**
 * The mounts of this process, or of another namespace: in the order of `/proc/self/mountinfo` (proc_pid_mountinfo(5)), each
 * with an id that is never given again (Linux 6.8).
 *
 * **Privilege.** None for one's own; another namespace takes CAP_SYS_ADMIN there, or a process of it whose table one may read.
 *
 * @example
 * ```ts
 * import { listMounts } from "sentinode";
 *
 * for (const { point, type, source } of await listMounts()) console.log(point, type, source);
 * ```
 */
export async function listMounts(options: Pick<MountOptions, "namespace"> = {}): Promise<Mount[]> {
  const { namespace } = checked(options);
  const libc = await openLibc();
  return [...new MountReader(libc, open(libc, namespace)).all().values()];
}

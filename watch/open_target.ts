/**
 * Chooses how a target is watched, and opens it: the best that its filesystem, the kernel and our privileges allow.
 *
 * @module
 */

import type { BackendSession, Coverage } from "../backends/backend.ts";
import { isTwoSided, SHARED_FILESYSTEMS } from "../backends/mounts/mountinfo.ts";
import { SystemError, UnsupportedError } from "../ffi/errno.ts";
import { ENOENT, ENOTDIR, EXDEV } from "../ffi/abi/errno.ts";
import { O_CLOEXEC, O_DIRECTORY, O_PATH } from "../ffi/abi/open.ts";
import { fileStatus, filesystemStatus } from "../ffi/file.ts";
import { openLibc } from "../ffi/libc.ts";
import type { Libc } from "../ffi/port.ts";
import { cString } from "../ffi/text.ts";
import { fanotifyMask, ON_MOUNT } from "../classify/fanotify.ts";
import type { FanotifyHub } from "./fanotify_hub.ts";
import { Feed, type FeedInit, type FeedSink } from "./feed.ts";
import type { Hub } from "./hub.ts";
import { descriptorHub, fanotifyHub, inotifyHub } from "./hubs.ts";
import type { Settings } from "./options.ts";
import { Poller } from "./poller.ts";
import { Recovery } from "./recovery.ts";
import { refuseScope, type Target } from "./targets.ts";

/** A session of a built-in backend. */
export interface HubSession extends BackendSession {
  readonly backend: string;
  /** Whether a backlog without bound is held by the kernel. */
  readonly kernelHoldsAll: boolean;
  bytesRead(): number;
  /** How many names are remembered for recovery. */
  names(): number;
  /** Resolves once everything was processed that is queued now. */
  settled(): Promise<void>;
  /** When nothing was queued last, in ms since the epoch. */
  caughtUpAt(): number;
  /**
   * Other filesystems are mounted below it: at `mounts`, which is different at `points`. What that hides or shows is told;
   * resolves once it was.
   */
  remounted(points: readonly string[], mounts: ReadonlySet<string>): Promise<void>;
  /** Of a target that was opened with `isShown`: resolves once what is there was told. */
  shown(): Promise<void>;
  /** It is not to be seen any more: ends it, and tells all that was there to be removed. */
  hidden(): Promise<void>;
  /** What is covered below it as a path of its own. */
  followed?(): readonly Coverage[];
}

/** A session of one target. */
export interface TargetSession extends HubSession {
  /** The target has another path, as the user spells it. */
  renamed(from: string, to: string): void;
}

/** One way to watch a target. */
interface Way {
  readonly by: string;
  readonly backend: "fanotify" | "inotify" | "poll";
  /** Tried only where what was tried before is not supported. */
  readonly isLastResort?: true;
  open(feed: Feed, isWanted: () => boolean): Promise<Source>;
}

/** What feeds a feed: a hub, or what is its alone. */
type Source =
  & Pick<Hub<unknown>, "marks" | "bytesRead" | "caughtUpAt" | "resume" | "settled" | "remove">
  & Partial<Pick<Hub<unknown>, "isBehind">>
  & { remounted?(feed: Feed, points: readonly string[]): Promise<void> }
  & Partial<Pick<Hub<unknown>, "gaps">>;

/** Opens `target` in the first way that works. Throws what made the last one fail, or what no way can mend. */
export async function openTarget(
  target: Target,
  settings: Settings,
  sink: FeedSink,
  isWanted: () => boolean,
  init: Pick<FeedInit, "isLate" | "isShown" | "onGone"> = {},
): Promise<TargetSession> {
  const refusals: string[] = [];
  let failure: unknown;
  for (const way of ways(target, settings)) {
    if (way.isLastResort && !(failure instanceof UnsupportedError)) continue;
    const feed = new Feed(
      {
        ...target,
        ...init,
        backend: way.backend,
        filter: settings.filter,
        sink,
        actor: settings.actor,
        ...(target.only === undefined ? { only: undefined } : { only: target.only }),
      } as ConstructorParameters<typeof Feed>[0],
    );
    let hub: Source | undefined;
    const settled = async () => {
      do await hub?.settled(); while (hub?.isBehind);
    };
    const recovers = RECOVERS.has(way.by) && settings.recover === "diff";
    const recovery = recovers && settings.filter.tellsOfTree
      ? new Recovery(await openLibc(), feed, settled)
      : undefined;
    feed.recovery = recovery;
    try {
      hub = await way.open(feed, isWanted);
      sink.onDropped = (events) => recovery?.dropped(events);
      // What is announced is told once the queue is read: until then records may tell it again.
      if (init.isLate) void hub.settled().then(() => recovery?.begin());
      else if (!init.isShown) recovery?.begin();
      const shown = init.isShown ? recovery?.show() : undefined;
      return session(way, hub, feed, target, settings, refusals, shown);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      // Neither a path that is not there nor one that may not be read is there or readable in another way.
      if (error.errno === ENOENT || error.errno === ENOTDIR) throw error;
      failure = error;
      refusals.push(error.message);
    }
  }
  throw failure;
}

/** The ways that tell of every name. Polling loses nothing. */
const RECOVERS: ReadonlySet<string> = new Set(["filesystem", "inode", "watch"]);

/** The ways to try, the best first. */
function ways(target: Target, settings: Settings): Way[] {
  const { backend, scope, actor, filter } = settings;
  if (backend === "inotify" || backend === "poll") refuseScope(settings, backend);
  if (backend === "poll") return [BY_POLLING];
  const namesProcesses = actor || filter.asksProcesses;
  const whole = target.recursive || scope !== "tree";
  const onMount = (fanotifyMask(filter.asked) & ~ON_MOUNT) === 0;
  const list: Way[] = [];
  // The kernel tells only what this machine does.
  if (backend === "auto" && scope === "tree" && SHARED_FILESYSTEMS.has(target.mount.type)) {
    return [BY_POLLING];
  }
  if (backend !== "inotify") {
    // A mark on the mount alone tells accesses only, and needs no tree for them.
    if (scope === "mount" && onMount) list.push(byDescriptors(settings));
    else if (whole) list.push(byFilesystem(target, settings));
    if (scope !== "tree" && (backend === "fanotify" || onMount)) {
      list.push({ ...byDescriptors(settings), isLastResort: true });
    }
    if (scope === "tree" && (backend === "fanotify" || namesProcesses)) {
      list.push(byMarks(settings));
    }
  }
  if (backend !== "fanotify") list.push(BY_WATCHES);
  return list;
}

function wish({ actor, queue }: Settings): { pidfd: boolean; unlimited: boolean } {
  return { pidfd: actor, unlimited: queue === "unlimited" };
}

function byFilesystem({ mount: { type } }: Target, settings: Settings): Way {
  return {
    by: "filesystem",
    backend: "fanotify",
    open: async (feed) => {
      if (type === "overlay") throw unreliableHandles(feed.path);
      return await withGroup(feed, settings, (hub) => hub.addWhole(feed));
    },
  };
}

function byMarks(settings: Settings): Way {
  return {
    by: "inode",
    backend: "fanotify",
    open: (feed, isWanted) => withGroup(feed, settings, (hub) => hub.addTree(feed, isWanted)),
  };
}

function byDescriptors(settings: Settings): Way {
  return {
    by: "mount",
    backend: "fanotify",
    open: async (feed) => {
      const hub = await withHub(descriptorHub(wish(settings)), (hub) => hub.add(feed));
      if (settings.scope === "filesystem") {
        const reason = "this filesystem gives no file handles, so only this mount of it is watched";
        feed.gaps.push({ path: feed.path, reason });
      }
      return hub;
    },
  };
}

const BY_WATCHES: Way = {
  by: "watch",
  backend: "inotify",
  open: (feed, isWanted) => withHub(inotifyHub(), (hub) => hub.addTree(feed, isWanted)),
};

const BY_POLLING: Way = {
  by: "poll",
  backend: "poll",
  async open(feed) {
    const poller = new Poller(await openLibc(), feed);
    await poller.open();
    return poller;
  },
};

/**
 * Adds to the group of all filesystems. What has no fsid, or (a subvolume of btrfs) another one than its filesystem, has
 * to be alone in a group: the kernel refuses it beside others (EXDEV, Linux 6.8), but for two without an fsid, whose
 * handles would be taken for each other's.
 */
async function withGroup(
  feed: Feed,
  settings: Settings,
  add: (hub: FanotifyHub) => void | Promise<void>,
): Promise<FanotifyHub> {
  const filesystem = filesystemOf(await openLibc(), feed.directory);
  if (filesystem?.hasId !== false) {
    try {
      return await withHub(fanotifyHub(wish(settings)), add);
    } catch (error) {
      if (filesystem === undefined) throw error;
      if (!(error instanceof SystemError) || error.errno !== EXDEV) throw error;
    }
  }
  return await withHub(fanotifyHub(wish(settings), filesystem.device), add);
}

/** The filesystem, or subvolume, that holds a directory; undefined where that cannot be opened. */
function filesystemOf(
  libc: Libc,
  directory: string,
): { readonly device: string; readonly hasId: boolean } | undefined {
  const fd = libc.open(cString(directory), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) return undefined;
  const device = fileStatus(libc, cString(""), fd)?.device;
  const fsid = filesystemStatus(libc, fd)?.fsid;
  libc.close(fd);
  if (device === undefined || fsid === undefined) return undefined;
  return { device, hasId: fsid.some((word) => word !== 0) };
}

/** What is wrong with a mark on an overlay, even where it has handles that can be opened (nfs_export). */
function unreliableHandles(path: string): UnsupportedError {
  return new UnsupportedError(
    `Cannot mark the filesystem of ${path}: overlayfs does not say which directory was removed`,
    { path, hint: "the directories of an overlay can be watched each, and its mount for accesses" },
  );
}

/** Adds to a hub; one that serves nobody afterwards is closed. */
async function withHub<H extends Hub<unknown>>(
  opening: Promise<H>,
  add: (hub: H) => void | Promise<void>,
): Promise<H> {
  const hub = await opening;
  try {
    await add(hub);
    return hub;
  } catch (error) {
    hub.closeIfIdle();
    throw error;
  }
}

function session(
  way: Way,
  hub: Source,
  feed: Feed,
  target: Target,
  settings: Settings,
  refusals: readonly string[],
  shown: Promise<void> | undefined,
): TargetSession {
  const { type } = target.mount;
  const isPrivileged = "group" in hub && (hub as FanotifyHub).group.isPrivileged;
  const gaps = () => {
    const all = [...(hub.gaps?.(feed) ?? feed.gaps)];
    if (feed.gone !== undefined) all.push({ path: feed.path, reason: feed.gone });
    if (way.backend !== "poll" && isTwoSided(type)) {
      const reason =
        `the kernel announces no changes that are made on the other side of ${type}; use backend: "poll"`;
      all.push({ path: feed.path, reason });
    }
    const whom = settings.actor ? "actor" : settings.filter.asksProcesses ? "ignoreProcesses" : "";
    if (whom !== "" && !isPrivileged && !settings.audit) {
      all.push({ path: feed.path, reason: `${whom} has no effect: ${noNames(way, refusals)}` });
    }
    return all;
  };
  return {
    backend: way.backend,
    kernelHoldsAll: settings.queue === "unlimited" && isPrivileged,
    coverage: () => ({ by: way.by, watches: hub.marks(feed), gaps: gaps() }),
    bytesRead: () => hub.bytesRead,
    settled: () => hub.settled(),
    caughtUpAt: () => hub.caughtUpAt,
    names: () => feed.recovery?.names ?? 0,
    renamed: (from, to) => feed.renamed(from, to),
    async remounted(points, mounts) {
      if (points.length === 0) return remount(target, mounts);
      await hub.settled();
      remount(target, mounts);
      await hub.remounted?.(feed, points);
      await feed.recovery?.remounted(points);
    },
    shown: async () => await shown,
    async hidden() {
      const own = [target.path];
      await hub.settled();
      feed.flush();
      remount(target, own);
      if (way.backend === "poll") await hub.remounted?.(feed, own);
      hub.remove(feed); // what happens there from now on is told to nobody
      await feed.recovery?.remounted(own);
    },
    resume() {
      feed.recovery?.resume();
      hub.resume();
    },
    close() {
      feed.recovery?.stop();
      hub.remove(feed);
    },
  };
}

/** Other filesystems are mounted below a target: all who share its set know. */
export function remount({ mounts }: Target, points: Iterable<string>): void {
  mounts.clear();
  for (const point of points) mounts.add(point);
}

function noNames(way: Way, refusals: readonly string[]): string {
  const why = way.backend === "inotify"
    ? "inotify names no process"
    : "the kernel names other processes to CAP_SYS_ADMIN only";
  return [why, ...refusals].join("; ");
}

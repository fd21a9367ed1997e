/**
 * From a path that the user names to what has to be watched: a directory, or a name within one, on each mount.
 *
 * @module
 */

import { isAbsolute, posix } from "node:path";
import { fileURLToPath } from "node:url";
import {
  isWithin,
  KERNEL_FILESYSTEMS,
  type MountInfo,
  mountOf,
  parseMountInfo,
  reachable,
} from "../backends/mounts/mountinfo.ts";
import { mountId } from "../backends/mounts/mount_id.ts";
import { mayOpen } from "../backends/limits.ts";
import { EMFILE } from "../ffi/abi/errno.ts";
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_PATH } from "../ffi/abi/open.ts";
import { STATX_MNT_ID_UNIQUE } from "../ffi/abi/statx.ts";
import { systemError, UnsupportedError } from "../ffi/errno.ts";
import { fileStatus, pathOfFd, readLink, readText } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { cString, decodeText } from "../ffi/text.ts";
import type { Settings } from "./options.ts";

const MOUNT_TABLE = "/proc/self/mountinfo";

/** One thing to watch, on one mount. */
export interface Target {
  /** As the user spelled it, absolute; for a mount below it, the mount point in that spelling. */
  readonly path: string;
  /** The kernel's path of it, when it was resolved: symlinks on the way are followed. */
  readonly real: string;
  /** The directory to watch. */
  readonly directory: string;
  /** What globs are relative to: the path that was asked for, or the directory of a file. */
  readonly root: string;
  /** The name within `directory` that is meant: of a file, or of a path that may come and go. */
  readonly only: string | undefined;
  /** Whether what is in a directory of that name is meant too, whenever there is one. */
  readonly isLasting: boolean;
  readonly recursive: boolean;
  readonly mount: { readonly point: string; readonly type: string };
  /** `major:minor` of the filesystem, as the mount table has it. */
  readonly device: string;
  /** Which mount that is; before Linux 6.8 ids are given anew soon, so what is mounted counts as well. */
  readonly mountKey: string;
  /** Whether it is mounted on the path that was asked for, or below. */
  readonly isInner: boolean;
  /** Mount points below, as the user spells them, which are other targets or left out. It changes with what is mounted. */
  readonly mounts: Set<string>;
  /** Directories below that do not count, with all that is below them. */
  readonly excluded?: ReadonlySet<string>;
}

/** Something below a path that is not watched. */
export interface LeftOut {
  readonly path: string;
  readonly mount: { readonly point: string; readonly type: string };
  readonly reason: string;
}

/** A path or `file:` URL as a path. Throws `TypeError` for what is neither. */
export function pathText(path: string | URL, verb: string = "watch"): string {
  const shown = path instanceof URL ? path.href : JSON.stringify(path);
  if (path instanceof URL && (path.protocol !== "file:" || path.host !== "")) {
    throw new TypeError(`Cannot ${verb} ${shown}: not a file: URL of this machine`);
  }
  const text = path instanceof URL ? fileURLToPath(path.href) : path;
  if (typeof text !== "string" || text === "") {
    throw new TypeError(`Cannot ${verb} ${shown}: not a path`);
  }
  if (text.includes("\0")) throw new TypeError(`Cannot ${verb} ${shown}: it contains NUL`);
  return text;
}

/** One path or several as a list. Throws `TypeError` for none, and for what is no path. */
export function pathList(
  paths: string | URL | Iterable<string | URL>,
  verb: string,
): (string | URL)[] {
  const isOne = typeof paths !== "object" || paths instanceof URL ||
    !(Symbol.iterator in (paths ?? {}));
  const list = isOne ? [paths as string | URL] : [...paths as Iterable<string | URL>];
  if (list.length === 0) throw new TypeError(`Cannot ${verb} no path: give at least one`);
  for (const path of list) pathText(path, verb);
  return list;
}

/** An absolute path without `.` and `..`. A final slash is kept: it asks for a directory. Throws `TypeError`. */
export function absolutePath(libc: Libc, path: string | URL): string {
  const text = pathText(path);
  if (isAbsolute(text)) return posix.normalize(text);
  // The runtimes' own cwd() asks for --allow-read in Deno.
  const cwd = readLink(libc, "/proc/self/cwd");
  if (cwd === undefined) {
    throw systemError(libc, `watch ${text}`, { syscall: "readlink", path: "/proc/self/cwd" });
  }
  return posix.join(decodeText(cwd), text);
}

/** What has to be watched for a path, and what of it is not. */
export interface Resolved {
  /** The path's own, then what is mounted below. */
  readonly targets: [Target, ...Target[]];
  readonly leftOut: LeftOut[];
}

/**
 * What has to be watched for `path`. Throws `SystemError` where there is no such path, unless it is waited for, or it is
 * not reachable.
 */
export function resolveTargets(libc: Libc, path: string, settings: Settings): Resolved {
  if (settings.missing === "wait" && path !== "/") return awaitedTargets(libc, path, settings);
  const fd = libc.open(cString(path), O_PATH | O_CLOEXEC, 0);
  if (fd < 0) {
    throw systemError(libc, `watch ${path}`, { syscall: "open", path });
  }
  const status = fileStatus(libc, cString(""), fd);
  const link = readLink(libc, `/proc/self/fd/${fd}`)?.slice();
  libc.close(fd);
  const table = readText(libc, MOUNT_TABLE);
  if (table === undefined && !mayOpen(libc)) {
    throw systemError(libc, `watch ${path}`, { syscall: "open", path: MOUNT_TABLE, errno: EMFILE });
  }
  const mounts = reachable(parseMountInfo(table ?? ""));
  // Without /proc there is neither a real path nor a mount table; what the user gave must do.
  const real = link === undefined ? path : decodeText(link);
  const mount = mountOf(real, mounts) ?? NO_MOUNT;
  if (settings.scope !== "tree") {
    const top = settings.scope === "mount" ? mount : wholeFilesystem(mount, mounts);
    const point = top.point;
    const leftOut = settings.scope === "filesystem" && top.root !== "/"
      ? [{ path: point, mount: top, reason: `of this filesystem only ${top.root} is mounted here` }]
      : [];
    return { targets: [directoryTarget(libc, point, point, point, top, true, [])], leftOut };
  }
  const spelled = path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
  if (status?.type !== "directory") {
    if (path.endsWith("/")) throw new Error("unreachable: the kernel refuses a slash after a file");
    // A link to a file is followed; then the events have the path of the file itself.
    const file = fileStatus(libc, cString(spelled))?.type === "symlink" ? real : spelled;
    const directory = posix.dirname(file);
    const target: Target = {
      ...directoryTarget(libc, directory, real, directory, mount, false, []),
      path: spelled,
      only: posix.basename(file),
    };
    return { targets: [target], leftOut: [] };
  }
  if (!settings.recursive) {
    return {
      targets: [directoryTarget(libc, spelled, real, spelled, mount, false, [])],
      leftOut: [],
    };
  }
  const below = mounts.filter(({ point }) => point !== real && isWithin(point, real));
  const points = below.map(({ point }) => respelled(point, real, spelled));
  const target = directoryTarget(libc, spelled, real, spelled, mount, true, points);
  return withMounts(libc, target, real, below, settings);
}

/** A path that may come and go: its name, whether or not it is there, and what is mounted on it and below. */
function awaitedTargets(libc: Libc, path: string, settings: Settings): Resolved {
  const spelled = path.endsWith("/") ? path.slice(0, -1) : path;
  const directory = posix.dirname(spelled);
  const only = posix.basename(spelled);
  const mounts = reachable(parseMountInfo(readText(libc, MOUNT_TABLE) ?? ""));
  const realDirectory = realPath(libc, directory);
  const real = posix.join(realDirectory, only);
  const mount = mountOf(realDirectory, mounts) ?? NO_MOUNT;
  const below = mounts.filter(({ point }) =>
    point === real || (settings.recursive && isWithin(point, real))
  );
  const points = below.map(({ point }) => respelled(point, real, spelled));
  const { recursive } = settings;
  const target: Target = {
    ...directoryTarget(
      libc,
      directory,
      realPath(libc, spelled),
      spelled,
      mount,
      recursive,
      points,
    ),
    path: spelled,
    only,
    isLasting: true,
  };
  return withMounts(libc, target, real, below, settings);
}

/** The path that the kernel gives a directory, or as much of it as there is; the given one where it does not tell. */
export function realPath(libc: Libc, directory: string): string {
  const fd = libc.open(cString(directory), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) {
    if (directory === "/") return directory;
    return posix.join(realPath(libc, posix.dirname(directory)), posix.basename(directory));
  }
  const path = pathOfFd(libc, fd);
  libc.close(fd);
  return path ?? directory;
}

/** A target that is `real` for the kernel, with the mounts on it and below. */
function withMounts(
  libc: Libc,
  target: Target,
  real: string,
  below: readonly MountInfo[],
  settings: Settings,
): Resolved {
  const spelled = target.path;
  const points = [...target.mounts];
  const targets: Resolved["targets"] = [target];
  const leftOut: LeftOut[] = [];
  for (const inner of new Map(below.map((mount) => [mount.point, mount])).values()) {
    const innerPath = respelled(inner.point, real, spelled);
    const reason = whyLeftOut(inner, innerPath, spelled, settings);
    if (reason === undefined) {
      const { recursive } = target;
      const innerTarget = directoryTarget(
        libc,
        innerPath,
        inner.point,
        spelled,
        inner,
        recursive,
        points,
      );
      targets.push({ ...innerTarget, isInner: true });
    } else leftOut.push({ path: innerPath, mount: inner, reason });
  }
  return { targets, leftOut };
}

/** A path below `real` as the user spells it, who says `spelled` for that. */
export function respelled(path: string, real: string, spelled: string): string {
  const tail = path.slice(real === "/" ? 0 : real.length);
  return (spelled === "/" ? "" : spelled) + tail || "/";
}

function directoryTarget(
  libc: Libc,
  path: string,
  real: string,
  root: string,
  { id, device, root: mountRoot, point, type }: MountInfo,
  recursive: boolean,
  points: readonly string[],
): Target {
  const mounts = new Set(points.filter((other) => other !== path));
  const mount = { point, type };
  const unique = mountId(libc, AT_FDCWD, point, STATX_MNT_ID_UNIQUE);
  return {
    path,
    real,
    directory: path,
    root,
    only: undefined,
    isLasting: false,
    recursive,
    mount,
    device,
    mountKey: `${unique || id} ${device} ${mountRoot}`,
    isInner: false,
    mounts,
  };
}

function whyLeftOut(
  mount: MountInfo,
  path: string,
  root: string,
  settings: Settings,
): string | undefined {
  const reason = whyNotWatched(mount.type, settings);
  if (reason !== undefined) return reason;
  for (let at = path; isWithin(at, root) && at !== root; at = posix.dirname(at)) {
    if (settings.filter.ignores(at, true, root)) return `${at} is ignored`;
  }
  return undefined;
}

/** Why what is on such a filesystem is not watched unless it was asked for by its path. */
export function whyNotWatched(type: string, settings: Settings): string | undefined {
  if (settings.ignoreFilesystems.has(type)) return `filesystems of type ${type} are ignored`;
  if (KERNEL_FILESYSTEMS.has(type)) return `the kernel announces no changes of ${type}`;
  return undefined;
}

/** The mount of the filesystem's own root if there is one, else the given part of it. */
function wholeFilesystem(mount: MountInfo, mounts: readonly MountInfo[]): MountInfo {
  return mounts.find(({ device, root }) => device === mount.device && root === "/") ?? mount;
}

const NO_MOUNT: MountInfo = {
  id: 0,
  parent: 0,
  device: "0:0",
  root: "/",
  point: "/",
  options: "",
  type: "unknown",
  source: "",
  superOptions: "",
};

/** Whether a target that was asked for explicitly cannot be watched by directory watches. */
export function refuseScope(settings: Settings, backend: string): void {
  if (settings.scope === "tree") return;
  throw new UnsupportedError(
    `Cannot watch a whole ${settings.scope} with ${backend}: it watches directories`,
    { hint: 'use backend: "fanotify", or scope: "tree" on the mount point' },
  );
}

/**
 * Marks on each directory of a tree, as it changes: what opens a file in a marked directory has to ask.
 *
 * A mark on a directory is about its entries; directories below need their own. inotify tells of those that appear, and a
 * file that is opened in one before it is marked is opened unasked. That window is what guarding part of a mount costs:
 * marks on mounts and filesystems have none.
 *
 * @module
 */

import { posix } from "node:path";
import type { PermissionGroup } from "../backends/fanotify/permission_group.ts";
import { InotifyInstance } from "../backends/inotify/instance.ts";
import type { InotifyRecord } from "../backends/inotify/decode.ts";
import { mountId } from "../backends/mounts/mount_id.ts";
import { isWithin, parseMountInfo } from "../backends/mounts/mountinfo.ts";
import { type DirectoryNode, DirectoryTree } from "../backends/tree.ts";
import { EACCES, ENOENT, ENOTDIR, ESTALE } from "../ffi/abi/errno.ts";
import { FAN_EVENT_ON_CHILD } from "../ffi/abi/fanotify.ts";
import {
  IN_CREATE,
  IN_DELETE_SELF,
  IN_DONT_FOLLOW,
  IN_IGNORED,
  IN_ISDIR,
  IN_MASK_ADD,
  IN_MOVE_SELF,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  IN_ONLYDIR,
  IN_Q_OVERFLOW,
} from "../ffi/abi/inotify.ts";
import { AT_FDCWD, O_CLOEXEC, O_RDONLY } from "../ffi/abi/open.ts";
import { STATX_MNT_ID_UNIQUE } from "../ffi/abi/statx.ts";
import { SystemError } from "../ffi/errno.ts";
import { fileStatus, readDirectory, readText } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { cString } from "../ffi/text.ts";
import { Places } from "./places.ts";
import type { TreeOrders } from "./protocol.ts";

const STRUCTURE = IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_MASK_ADD;

/** What ends the guarding of a path that was asked for. */
const END = IN_DELETE_SELF | IN_MOVE_SELF;

/** What a directory above such a path is watched for: it takes the path with it. */
const ABOVE = IN_MOVE_SELF | IN_ONLYDIR | IN_MASK_ADD;

/** What changes no watch that there is: all of them are told of a removal, or do not care. */
const NO_CHANGE = IN_DELETE_SELF | IN_ONLYDIR | IN_MASK_ADD;

/** How a directory that has gone refuses. */
const GONE: readonly number[] = [ENOENT, ENOTDIR, ESTALE];

const MOUNT_TABLE = "/proc/self/mountinfo";

/** How long directories are marked before requests are looked at again, in ms. */
const SLICE = 2;

/** A directory, tagged with its watch descriptor. */
type Node = DirectoryNode<number>;

/**
 * Why something is marked: it was asked for; so it was, and mounts have changed at or above it, or it was moved, or a
 * directory above it; something is mounted there; it is a directory below. The first must be marked, what cannot be marked
 * of the others is told.
 */
type Role = "asked for" | "remounted" | "moved" | "mounted" | "below";

/** What is told where the path of something that was asked for leads nowhere. */
const AWAY: Readonly<Partial<Record<Role, string>>> = {
  "asked for": "it is not there",
  remounted: "another mount hides it",
  moved: "it was moved away",
};

/** The marked directories of a guard, and files that are mounted there. */
export class TreeMarks {
  /** Where the guarded paths lie, by the mounts that are there. */
  places!: Places;
  readonly #libc: Libc;
  readonly #group: PermissionGroup;
  readonly #orders: TreeOrders;
  readonly #unguarded: (path: string, reason: string) => void;
  readonly #inotify: InotifyInstance;
  /** The open mount table, which tells of changes; -1 without /proc. */
  readonly #mounts: number;
  readonly #tree = new DirectoryTree<number>();
  readonly #nodes = new Map<number, Node>();
  /** The paths of directories above those that were asked for, by watch descriptor. */
  readonly #above = new Map<number, string>();
  /** What was asked for, and was moved away; it stays guarded where it is. */
  readonly #away = new Set<string>();
  /** Directories that were moved, and did not come back yet, by the cookie of the move. */
  readonly #moving = new Map<number, Node>();
  /** What has to be marked: directories that were asked for, and those of files. */
  readonly #roots: readonly string[];
  /** The mount points by the mount, once they are known; below, those of which the mount is left out, and those of files. */
  #mounted: ReadonlyMap<string, string> | undefined;
  readonly #leftOut = new Set<string>();
  readonly #files = new Set<string>();
  #waiting: { readonly node: Node; readonly role: Role }[] = [];

  /** Begins with `orders`. `unguarded` is told of what could not be marked. Throws where the user has no inotify left. */
  constructor(
    libc: Libc,
    group: PermissionGroup,
    orders: TreeOrders,
    unguarded: (path: string, reason: string) => void,
  ) {
    this.#libc = libc;
    this.#group = group;
    this.#orders = orders;
    this.#unguarded = unguarded;
    this.#inotify = new InotifyInstance(libc);
    this.#mounts = libc.open(cString(MOUNT_TABLE), O_RDONLY | O_CLOEXEC, 0);
    this.#roots = [...new Set([...orders.directories, ...orders.files.map(posix.dirname)])];
    this.#begin();
  }

  /** The file descriptors to wait for: of directories, readable, and of mounts, of priority. */
  get fds(): { readonly directories: number; readonly mounts: number } {
    return { directories: this.#inotify.fd, mounts: this.#mounts };
  }

  #begin(): void {
    this.#mounted = undefined;
    this.readMounts();
  }

  #add(path: string, role: Role): void {
    this.#waiting.push({ node: this.#tree.add(null, path, -1), role });
  }

  /** How many marks there are. */
  get marks(): number {
    return this.#nodes.size + this.#files.size;
  }

  /** Whether directories wait to be marked. */
  get isArming(): boolean {
    return this.#waiting.length > 0;
  }

  /** Marks for a while. Throws `SystemError` where a directory that was asked for cannot be marked. */
  arm(): void {
    const until = performance.now() + SLICE;
    while (this.#waiting.length > 0 && performance.now() < until) {
      const { node, role } = this.#waiting.pop()!;
      try {
        this.#armOne(node, role);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        const reason = GONE.includes(error.errno) ? AWAY[role] : error.message;
        if (reason === undefined) continue; // what moved it tells where it is
        if (reason === error.message && role === "asked for") throw error;
        this.#unguarded(this.#tree.path(node), reason);
      }
    }
  }

  #armOne(node: Node, role: Role): void {
    const isRoot = AWAY[role] !== undefined;
    const path = this.#tree.path(node);
    if (isRoot) this.#watchAbove(path);
    const bytes = cString(this.#tree.bytes(node));
    const type = role === "below" ? "directory" : fileStatus(this.#libc, bytes)?.type;
    if (type !== undefined && type !== "directory") {
      // The kernel asks for the directory that the file has in its filesystem, not the one that it is mounted in.
      this.#group.mark("inode", this.#orders.mask, bytes, path);
      this.#files.add(path);
      return;
    }
    if (!isRoot && (this.#leftOut.has(path) || !this.#isDeep(path))) return;
    const wd = this.#inotify.add(bytes, path, STRUCTURE | (isRoot ? END : IN_DONT_FOLLOW));
    // Another directory has the path of what was moved away, which is none of the guarded ones then.
    if (role === "moved" && !this.#nodes.has(wd)) this.#forgetAt([path]);
    if (isRoot) this.#away.delete(path);
    node.tag = wd;
    this.#nodes.set(wd, node);
    this.#group.mark("inode", this.#orders.mask | FAN_EVENT_ON_CHILD, bytes, path);
    if (!this.#isDeep(path)) return;
    // Marked first, looked into then: what appears in between is told, or listed, or both.
    for (const { name, nameBytes, isDirectory } of readDirectory(this.#libc, bytes) ?? []) {
      if (isDirectory === false) continue;
      const child = this.#tree.child(node, name, nameBytes) ??
        this.#tree.add(node, name, -1, nameBytes);
      if (
        isDirectory === undefined &&
        fileStatus(this.#libc, cString(this.#tree.bytes(child)))?.type !== "directory"
      ) {
        this.#tree.remove(child);
      } else this.#waiting.push({ node: child, role: "below" });
    }
  }

  /** Watches the directories above what was asked for, but for those of a guarded tree, which is told of their moves. */
  #watchAbove(path: string): void {
    for (let at = posix.dirname(path); at !== "/" && !this.#isDeep(at); at = posix.dirname(at)) {
      try {
        this.#above.set(this.#inotify.add(cString(at), at, ABOVE), at);
      } catch (error) {
        // A directory that is passed need not be readable, which is what inotify asks for.
        const isMissed = error instanceof SystemError && [...GONE, EACCES].includes(error.errno);
        if (!isMissed) throw error;
      }
    }
  }

  /** Whether what is below a directory is guarded, too: not beside a file that is. */
  #isDeep(path: string): boolean {
    return this.#orders.directories.some((root) => isWithin(path, root));
  }

  /** Follows what inotify tells. */
  readDirectories(): void {
    const moved = new Set(this.#moving.keys());
    for (;;) {
      const records = this.#inotify.read();
      if (records.length === 0) break;
      for (const record of records) this.#happened(record);
    }
    // Of those that were still on their way at the time of the last look no second half has come.
    for (const cookie of moved) {
      const node = this.#moving.get(cookie);
      if (node !== undefined) this.#forget(node);
      this.#moving.delete(cookie);
    }
  }

  /** Whether a directory is on its way: then a look is due though nothing is readable. */
  get isMoving(): boolean {
    return this.#moving.size > 0;
  }

  #happened({ wd, mask, cookie, name, nameBytes }: InotifyRecord): void {
    if ((mask & IN_Q_OVERFLOW) !== 0) {
      this.#waiting = [];
      return this.#begin(); // all is looked at again
    }
    const node = this.#nodes.get(wd);
    const path = node === undefined ? this.#above.get(wd) : this.#tree.path(node);
    if (path === undefined) return;
    if ((mask & IN_MOVE_SELF) !== 0) this.#moved(path);
    if ((mask & IN_IGNORED) !== 0) this.#above.delete(wd);
    if (node === undefined) return;
    if ((mask & IN_DELETE_SELF) !== 0) this.#removed(path);
    if ((mask & IN_IGNORED) !== 0) {
      this.#nodes.delete(wd);
      if (node.tag === wd) this.#tree.remove(node); // else it is another directory's by now
      return;
    }
    if ((mask & IN_ISDIR) === 0 || name === "") return;
    const known = this.#tree.child(node, name, nameBytes);
    if ((mask & IN_MOVED_FROM) !== 0) {
      if (known === undefined) return;
      this.#tree.remove(known);
      this.#moving.set(cookie, known);
      return;
    }
    const came = this.#moving.get(cookie);
    let child = known;
    if (came !== undefined) {
      this.#moving.delete(cookie);
      if (known !== undefined) this.#tree.remove(known);
      this.#tree.move(came, node, name, nameBytes);
      child = came;
    }
    child ??= this.#tree.add(node, name, -1, nameBytes);
    this.#waiting.push({ node: child, role: "below" });
  }

  /** A directory that was asked for was moved, or one above: it is looked at again what has the path now. */
  #moved(path: string): void {
    for (const root of this.#roots) {
      if (!isWithin(root, path) || this.#isInside(root)) continue;
      this.#away.add(root);
      this.#add(root, "moved");
    }
  }

  #removed(path: string): void {
    if (this.#isInside(path)) return;
    this.#away.delete(path);
    this.#unguarded(path, "it was removed");
  }

  /** Whether it is below a guarded directory, which is told what becomes of it. */
  #isInside(path: string): boolean {
    return this.#orders.directories.some((root) => root !== path && isWithin(path, root));
  }

  /** A directory has left. Its mark goes when it asks for something that is outside. */
  #forget(node: Node): void {
    for (const below of [...this.#tree.subtree(node)]) {
      if (this.#nodes.get(below.tag) === below) this.#unwatch(below.tag);
    }
  }

  /** What had these paths, and all below, is not there any more. */
  #forgetAt(paths: readonly string[]): void {
    for (const [wd, node] of [...this.#nodes]) {
      const path = this.#tree.path(node);
      if (paths.some((above) => isWithin(path, above))) this.#unwatch(wd);
    }
  }

  #unwatch(wd: number): void {
    this.#inotify.remove(wd);
    this.#nodes.delete(wd);
    this.#above.delete(wd);
  }

  /** Whether something that was asked for has another path now: then not all that is guarded is known by its path. */
  get isAway(): boolean {
    return this.#away.size > 0;
  }

  /** By which path a directory is guarded, whatever path it has by now; undefined where it is not watched any more. */
  guardedPath(path: string): string | undefined {
    let wd: number;
    try {
      wd = this.#inotify.add(cString(path), path, NO_CHANGE);
    } catch (error) {
      if (error instanceof SystemError) return undefined; // it was not watched: what is takes nothing
      throw error;
    }
    const node = this.#nodes.get(wd);
    if (node === undefined && !this.#above.has(wd)) this.#inotify.remove(wd);
    return node?.tag === wd ? this.#tree.path(node) : undefined;
  }

  /** Takes back the mark of a directory that is none of the guarded ones any more. */
  unmark(path: string): void {
    this.#group.unmark("inode", this.#orders.mask | FAN_EVENT_ON_CHILD, cString(path));
  }

  /**
   * What is mounted at or below the guarded paths is guarded; below directories not the types that are left out. Where a
   * mount came or went at or above a path that was asked for, that leads elsewhere.
   */
  readMounts(): void {
    const { directories, files, ignoredTypes } = this.#orders;
    const table = parseMountInfo(readText(this.#libc, MOUNT_TABLE) ?? "");
    // A directory that is moved takes its mount points along, which are no others then.
    if (this.#mounted !== undefined) this.readDirectories();
    const before = this.#mounted;
    const isBelow = (point: string) =>
      directories.some((root) => root !== point && isWithin(point, root));
    const mounted = this.#mounted = new Map<string, string>();
    for (const { id, point } of table) {
      const isAbove = this.#roots.some((root) => isWithin(root, point));
      if (!isAbove && !isBelow(point) && !files.includes(point)) continue;
      // What is unmounted and mounted anew at once has the same id in the table.
      const unique = mountId(this.#libc, AT_FDCWD, point, STATX_MNT_ID_UNIQUE);
      mounted.set(`${id} ${unique} ${point}`, point);
    }
    const came = [...mounted].filter(([key]) => !before?.has(key)).map(([, point]) => point);
    const went = [...before ?? []].filter(([key]) => !mounted.has(key)).map(([, point]) => point);
    this.places = new Places(directories, files, table);
    this.#leftOut.clear();
    for (const { point, type } of table) {
      const isLeftOut = isBelow(point) && !directories.includes(point) && !files.includes(point) &&
        ignoredTypes.includes(type);
      if (isLeftOut) this.#leftOut.add(point);
      else this.#leftOut.delete(point); // mounted on top of one that is left out
    }
    const asked = before === undefined ? "asked for" : "remounted";
    const changed = [...came, ...went];
    for (const root of this.#roots) {
      const isElsewhere = changed.some((point) => isWithin(root, point));
      if (before === undefined || isElsewhere) this.#add(root, asked);
    }
    for (const point of came) {
      if (files.includes(point)) this.#add(point, asked);
      else if (isBelow(point) && !this.#leftOut.has(point)) this.#add(point, "mounted");
    }
    const away = [...this.#away];
    this.#forgetAt(went.filter((point) => !away.some((root) => isWithin(point, root))));
    // What a mount hid may never have been marked.
    for (const point of went) {
      if (!this.#files.delete(point) && isBelow(point)) this.#uncover(point);
    }
  }

  #uncover(point: string): void {
    const [parent, name] = [posix.dirname(point), posix.basename(point)];
    for (const node of this.#nodes.values()) {
      if (this.#tree.path(node) !== parent) continue;
      const child = this.#tree.child(node, name) ?? this.#tree.add(node, name, -1);
      this.#waiting.push({ node: child, role: "below" });
      return;
    }
  }

  /** Closes what tells of changes. The marks go with the group. */
  close(): void {
    this.#inotify.close();
    if (this.#mounts >= 0) this.#libc.close(this.#mounts);
  }
}

/**
 * One fanotify group for many watchers: marks on filesystems, mounts and directories, and the tree of directory handles.
 *
 * @module
 */

import process from "node:process";
import {
  decodeFanotify,
  decodeMoves,
  type FanotifyBatch,
  FanotifyRecord,
  nameAt,
  pidfdOf,
} from "../backends/fanotify/decode.ts";
import { FanotifyGroup, type GroupWish, type MarkTarget } from "../backends/fanotify/group.ts";
import {
  copyKey,
  type HandleKey,
  HandleTable,
  identify,
  isKey,
  openHandle,
  openParent,
} from "../backends/fanotify/handle.ts";
import type { Actor } from "../classify/event.ts";
import { fanotifyKinds, fanotifyMask } from "../classify/fanotify.ts";
import {
  FAN_CREATE,
  FAN_DELETE,
  FAN_DELETE_SELF,
  FAN_EVENT_ON_CHILD,
  FAN_MARK_DONT_FOLLOW,
  FAN_MARK_ONLYDIR,
  FAN_MOVE_SELF,
  FAN_ONDIR,
  FAN_Q_OVERFLOW,
  FAN_RENAME,
} from "../ffi/abi/fanotify.ts";
import { O_CLOEXEC, O_DIRECTORY, O_PATH, O_RDONLY } from "../ffi/abi/open.ts";
import { systemError, UnsupportedError } from "../ffi/errno.ts";
import { fileStatus, readLink } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import type { Reactor } from "../ffi/reactor.ts";
import { bytesUnlessText, cString, decodeText } from "../ffi/text.ts";
import { Actors } from "./actor.ts";
import type { Circumstances, Feed } from "./feed.ts";
import { Hub, type Node } from "./hub.ts";

/** What the tree needs to stay true, whatever the watchers want. */
const STRUCTURE = FAN_CREATE | FAN_DELETE | FAN_RENAME | FAN_ONDIR;

/** The bits that a mark on a mount can have; the others are of directories, not of mounts (fanotify_mark(2)). */
const ON_MOUNT = ["access", "modify.data"];

/** How far the queue is read ahead to find out where a directory was, in bytes. */
const AHEAD = 16 * 1024 * 1024;

/** How many directories outside every target are remembered before they are forgotten together. */
const MOST_OUTSIDE = 65_536;

/** A directory's identity; `isInode` where it has a mark of its own. */
interface Mark {
  readonly key: HandleKey;
  readonly isInode: boolean;
}

/** A filesystem or mount that is marked as a whole. */
interface Whole {
  readonly target: MarkTarget;
  readonly key: HandleKey;
  /** An open directory on it, through which handles are opened. */
  readonly fd: number;
  readonly path: Uint8Array<ArrayBuffer>;
  readonly feeds: Set<Feed>;
  mask: number;
}

/** What one read gave, with those who did it. */
interface Pending {
  readonly batch: FanotifyBatch;
  readonly actors: ReadonlyMap<number, Actor> | undefined;
  /** The sequence number of the first byte: how many were read before. */
  readonly first: number;
}

/** Where a directory is until the record with this number is processed. */
interface Position {
  readonly until: number;
  readonly parent: HandleKey;
  readonly name: string;
  readonly nameBytes: Uint8Array | undefined;
}

/** The hub of an fanotify group. */
export class FanotifyHub extends Hub<Mark> {
  readonly group: FanotifyGroup;
  readonly #actors: Actors;
  readonly #table = new HandleTable<Node<Mark>>();
  readonly #wholes: Whole[] = [];
  readonly #homes = new Map<
    Feed,
    { readonly node: Node<Mark>; readonly whole: Whole | undefined }
  >();
  readonly #pending: Pending[] = [];
  readonly #positions = new HandleTable<Position[]>();
  /** Directories whose removal was announced. */
  readonly #departed: Node<Mark>[] = [];
  /** The place in the stream of bytes of the record in hand. */
  #sequence = 0;
  /** How far `#positions` knows the stream. */
  #indexed = 0;
  #outside = 0;
  #last: Node<Mark> | undefined;

  constructor(libc: Libc, reactor: Reactor, wish: GroupWish) {
    super(libc, reactor);
    this.group = new FanotifyGroup(libc, wish);
    this.#actors = new Actors(libc);
    try {
      this.start();
    } catch (error) {
      this.group.close();
      throw error;
    }
  }

  protected override get fd(): number {
    return this.group.fd;
  }

  override get bytesRead(): number {
    return this.group.bytesRead;
  }

  override marks(feed: Feed): number {
    const home = this.#homes.get(feed);
    if (home === undefined) return 0;
    if (home.whole !== undefined) return 1;
    return [...this.tree.subtree(home.node)]
      .filter((node) => node.tag.mark?.isInode && this.feedsOf(node).includes(feed)).length;
  }

  /** Covers `feed` with one mark on the whole filesystem (or mount) that holds it. */
  addWhole(feed: Feed, target: "filesystem" | "mount"): void {
    const bytes = cString(feed.directory);
    const fd = this.libc.open(bytes, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0) {
      throw systemError(this.libc, `watch ${feed.path}`, { syscall: "open", path: feed.path });
    }
    try {
      const identity = identify(this.libc, fd);
      if (identity === undefined) throw noHandles(this.libc, feed.path);
      const { key } = identity;
      let mask = fanotifyMask(feed.filter.patterns);
      if (target === "filesystem") mask |= STRUCTURE;
      const same = this.#wholes.find((whole) => isSameFilesystem(whole, target, key));
      const path = same?.path ?? cString(`/proc/self/fd/${fd}`);
      this.group.mark(target, (same?.mask ?? 0) | mask, path, feed.path);
      const reachable = openHandle(this.libc, fd, key);
      if (reachable < 0) {
        const error = systemError(this.libc, `watch the ${target} of ${feed.path}`, {
          syscall: "open_by_handle_at",
          path: feed.path,
          hint: "finding the path of a handle needs CAP_DAC_READ_SEARCH",
        });
        if (same === undefined) this.group.unmark(target, mask, path);
        throw error;
      }
      this.libc.close(reachable);
      const whole = same ?? { target, key, fd, path, feeds: new Set(), mask };
      whole.mask |= mask;
      whole.feeds.add(feed);
      if (same === undefined) this.#wholes.push(whole);
      this.#home(feed, this.#anchorNode(fd, key, feed), whole);
      if (same !== undefined) this.libc.close(fd);
    } catch (error) {
      this.libc.close(fd);
      throw error;
    }
  }

  /** Covers `feed` with a mark on each directory. */
  async addTree(feed: Feed, isWanted: () => boolean): Promise<void> {
    const fd = this.libc.open(cString(feed.directory), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0) {
      throw systemError(this.libc, `watch ${feed.path}`, { syscall: "open", path: feed.path });
    }
    const identity = identify(this.libc, fd);
    if (identity === undefined) {
      const error = noHandles(this.libc, feed.path);
      this.libc.close(fd);
      throw error;
    }
    const node = this.#anchorNode(fd, identity.key, feed);
    this.libc.close(fd);
    this.#home(feed, node, undefined);
    try {
      await this.armTree(node, () => isWanted() && !this.isClosed);
    } catch (error) {
      this.remove(feed);
      throw error;
    }
  }

  override remove(feed: Feed): void {
    const home = this.#homes.get(feed);
    if (home === undefined) return;
    this.#homes.delete(feed);
    this.feeds.delete(feed);
    this.release(feed, home.node);
    const { whole } = home;
    if (whole === undefined) {
      if (this.feeds.size > 0) this.disarm(home.node);
    } else {
      whole.feeds.delete(feed);
      let mask = whole.feeds.size === 0 || whole.target === "mount" ? 0 : STRUCTURE;
      for (const other of whole.feeds) mask |= fanotifyMask(other.filter.patterns);
      this.group.unmark(whole.target, whole.mask & ~mask, whole.path);
      whole.mask = mask;
      if (whole.feeds.size === 0) {
        this.#wholes.splice(this.#wholes.indexOf(whole), 1);
        this.libc.close(whole.fd);
      }
    }
    this.closeIfIdle();
  }

  /** Closes the group if nobody is fed from it. */
  override closeIfIdle(): void {
    if (this.isClosed || this.feeds.size > 0) return;
    this.stop();
    this.group.close();
    this.#pending.length = 0;
  }

  #home(feed: Feed, node: Node<Mark>, whole: Whole | undefined): void {
    this.anchor(feed, node);
    this.#homes.set(feed, { node, whole });
  }

  /** The node of an open directory that is a target. Its path in the tree is the kernel's, so that all agree. */
  #anchorNode(fd: number, key: HandleKey, feed: Feed): Node<Mark> {
    const known = this.#table.get(key, 0);
    if (known !== undefined && this.tree.path(known).startsWith("/")) return known;
    const link = readLink(this.libc, `/proc/self/fd/${fd}`);
    const path = link === undefined ? feed.directory : decodeText(link);
    if (known !== undefined) {
      this.tree.move(known, null, path);
      return known;
    }
    return this.#learn(null, path, key);
  }

  #learn(
    parent: Node<Mark> | null,
    name: string,
    key: HandleKey,
    nameBytes?: Uint8Array,
  ): Node<Mark> {
    const node = this.tree.add(parent, name, this.newTag({ key, isInode: false }), nameBytes);
    this.#table.set(key, node);
    return node;
  }

  // --- marks on directories ---

  protected override mark(node: Node<Mark>): "new" | "known" {
    const feeds = this.feedsOf(node);
    let mask = STRUCTURE | FAN_EVENT_ON_CHILD;
    for (const feed of feeds) mask |= fanotifyMask(feed.filter.patterns);
    if (node.tag.anchors.length > 0) mask |= FAN_DELETE_SELF | FAN_MOVE_SELF;
    const path = this.entryBytes(node);
    const shown = this.tree.path(node);
    const fd = this.libc.open(path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0) throw systemError(this.libc, `watch ${shown}`, { syscall: "open", path: shown });
    try {
      const key = identify(this.libc, fd)?.key;
      if (key === undefined) throw noHandles(this.libc, shown);
      const isKnown = node.tag.mark?.isInode === true && isKey(key, 0, node.tag.mark.key);
      const flags = FAN_MARK_ONLYDIR | (node.parent === null ? 0 : FAN_MARK_DONT_FOLLOW);
      this.group.mark("inode", mask, path, shown, flags);
      node.tag.mark = { key, isInode: true };
      this.#table.set(key, node);
      return isKnown ? "known" : "new";
    } finally {
      this.libc.close(fd);
    }
  }

  protected override unmark(node: Node<Mark>): void {
    const { mark } = node.tag;
    if (mark === undefined || !mark.isInode) return;
    // Removing what is not asked for any more, whatever it was: all bits that a mark of ours can have.
    this.group.unmark("inode", EVERY, this.entryBytes(node));
    this.#table.delete(mark.key, 0);
    node.tag.mark = undefined;
  }

  // --- reading ---

  protected override turn(): boolean {
    this.#actors.refresh();
    if (this.#pending.length === 0 && !this.#read()) {
      this.caughtUp();
      return false;
    }
    this.#process(this.#pending[0]!);
    this.#pending.shift();
    return true;
  }

  /** Reads once; false when nothing was queued. */
  #read(): boolean {
    const first = this.group.bytesRead;
    const batch = this.group.read();
    if (batch === undefined) return false;
    this.#pending.push({ batch, actors: this.#whoDid(batch), first });
    return true;
  }

  /** Those who did what was read, looked up now that most are still there; their pidfds are closed. */
  #whoDid(batch: FanotifyBatch): ReadonlyMap<number, Actor> | undefined {
    if (!this.group.hasPidfd) return undefined;
    const actors = new Map<number, Actor>();
    for (const record of decodeFanotify(batch)) {
      const { pid } = record;
      const pidfd = pidfdOf(record);
      const actor = actors.get(pid) ?? this.#actors.resolve(pid, pidfd);
      if (actor !== undefined) actors.set(pid, actor);
      if (pidfd >= 0) this.libc.close(pidfd);
    }
    return actors;
  }

  #process({ batch, actors, first }: Pending): void {
    const record = new FanotifyRecord(batch);
    const about: Mutable<Circumstances> = {
      time: Date.now(),
      source: batch,
      offset: 0,
      pid: 0,
      actor: undefined,
    };
    const { length } = batch;
    for (let at = 0; at < length;) {
      about.offset = at;
      this.#sequence = first + at;
      at = record.read(at, length);
      if ((record.bits & FAN_Q_OVERFLOW) !== 0) {
        this.lostAll("the kernel's queue was full (fs.fanotify.max_queued_events)");
        continue;
      }
      const { pid } = record;
      about.pid = pid;
      about.actor = actors === undefined ? this.#unprivilegedActor(pid) : actors.get(pid);
      this.#happened(record, about);
    }
  }

  /** Without privileges the kernel names nobody but ourselves. */
  #unprivilegedActor(pid: number): Actor | undefined {
    return pid === OURS ? this.#actors.resolve(pid, -1) : undefined;
  }

  #happened(record: FanotifyRecord, about: Circumstances): void {
    const { bits, batch } = record;
    const isDirectory = (bits & FAN_ONDIR) !== 0;
    if ((bits & FAN_RENAME) !== 0) return this.#renamed(record, isDirectory, about);
    // Without a directory the kernel says something of an inode that has no name there: a link count that fell.
    if (record.directory < 0) return;
    const node = this.#nodeAt(batch.words, record.directory);
    if (node === undefined) return;
    if (isDirectory) return this.#happenedToDirectory(node, record, about);
    if (this.feedsOf(node).length === 0) return;
    const { name } = record;
    const nameBytes = record.nameBytes(name);
    let kinds = fanotifyKinds(bits);
    if ((bits & FAN_CREATE) !== 0) {
      if (this.wasAnnounced(node, name, nameBytes)) {
        kinds = kinds.filter((kind) => kind !== "create");
      }
      // Both in one mask: what is there now tells which came last.
      if ((bits & FAN_DELETE) !== 0 && this.looker.exists(this.entryBytes(node, name, nameBytes))) {
        kinds = ["remove", ...kinds.filter((kind) => kind !== "remove")];
      }
    }
    if ((bits & FAN_DELETE) !== 0) this.wasAnnounced(node, name, nameBytes);
    this.entry(node, name, nameBytes, false, kinds, about);
  }

  /** Something happened to a directory: itself, or as an entry of `node`. */
  #happenedToDirectory(node: Node<Mark>, record: FanotifyRecord, about: Circumstances): void {
    const { bits, batch, object, name } = record;
    const kinds = fanotifyKinds(bits);
    const child = object < 0 ? undefined : this.#table.get(batch.words, object);
    if ((bits & (FAN_DELETE_SELF | FAN_MOVE_SELF)) !== 0) {
      this.#selfGone(child ?? node, bits, about);
    }
    if (name === ".") {
      const inherited = node.parent === null ? [] : this.feedsOf(node.parent);
      this.own(node, new Set([...inherited, ...node.tag.anchors]).values().toArray(), kinds, about);
      return;
    }
    const nameBytes = record.nameBytes(name);
    const isNew = (bits & FAN_CREATE) !== 0 && !this.wasAnnounced(node, name, nameBytes);
    const told = isNew ? kinds : kinds.filter((kind) => kind !== "create.directory");
    this.entry(node, name, nameBytes, true, told, about);
    if ((bits & FAN_CREATE) !== 0 && object >= 0 && this.feedsOf(node).length > 0) {
      const known = child !== undefined && child.parent === node;
      const added = known
        ? child
        : this.#learn(node, name, copyKey(batch.words, object), nameBytes);
      if (!this.#isWhole(node) && (bits & FAN_DELETE) === 0) this.armNew(added, about);
    }
    if ((bits & FAN_DELETE) !== 0) {
      this.wasAnnounced(node, name, nameBytes);
      if (object >= 0) this.#forget(object, record, about);
    }
  }

  /** The kernel announces the end of a target that has a mark of its own. */
  #selfGone(node: Node<Mark>, bits: number, about: Circumstances): void {
    for (const feed of [...node.tag.anchors]) {
      if (feed.only !== undefined) continue;
      this.rootGone(
        feed,
        node,
        (bits & FAN_DELETE_SELF) !== 0 ? "remove.directory" : "rename.out",
        about,
      );
    }
  }

  /** The directory whose removal `record` announces is known no more. */
  #forget(object: number, record: FanotifyRecord, about: Circumstances): void {
    const { words } = record.batch;
    const node = this.#table.get(words, object);
    if (node === undefined) return;
    for (const feed of [...node.tag.anchors]) this.rootGone(feed, node, "remove.directory", about);
    this.tree.remove(node);
    this.#departed.push(node);
  }

  /**
   * Forgets the directories that are gone. Not before the queue is read: a removal that the kernel merged into the record
   * of the creation stands before what happened inside in between.
   */
  protected override caughtUp(): void {
    super.caughtUp();
    this.#positions.clear();
    for (const node of this.#departed) {
      const { mark } = node.tag;
      if (mark !== undefined && this.#table.get(mark.key, 0) === node) {
        this.#table.delete(mark.key, 0);
      }
    }
    this.#departed.length = 0;
    this.#last = undefined;
  }

  #renamed(record: FanotifyRecord, isDirectory: boolean, about: Circumstances): void {
    const { words } = record.batch;
    const from = record.directory < 0 ? undefined : this.#nodeAt(words, record.directory);
    const { target } = record;
    const to = target === undefined ? undefined : this.#nodeAt(words, target.directory);
    const sources = from === undefined ? [] : this.feedsOf(from);
    const targets = to === undefined ? [] : this.feedsOf(to);
    const child = isDirectory && record.object >= 0
      ? this.#table.get(words, record.object)
      : undefined;
    if (sources.length === 0 && targets.length === 0 && child === undefined) return;
    const { name } = record;
    const nameBytes = record.nameBytes(name);
    const { name: newName, nameBytes: newNameBytes } = nameAt(record.batch, target);
    const isAnnounced = to !== undefined && this.wasAnnounced(to, newName, newNameBytes);
    if (from !== undefined || !isAnnounced) {
      this.moved(from, name, nameBytes, to, newName, newNameBytes, isDirectory, about);
    }
    if (!isDirectory || record.object < 0) return;
    if (child !== undefined) {
      for (const feed of [...child.tag.anchors]) {
        if (feed.only === undefined) this.rootGone(feed, child, "rename.out", about);
      }
      this.tree.move(child, to ?? null, newName, newNameBytes);
    }
    if (to === undefined) {
      if (child !== undefined) this.disarm(child);
      return;
    }
    const node = child ?? this.#learn(to, newName, copyKey(words, record.object), newNameBytes);
    if (!this.#isWhole(to)) {
      this.disarm(node);
      if (node.tag.mark?.isInode !== true) this.armNew(node, about);
      return;
    }
    const newcomers = this.feedsOf(node).filter((feed) =>
      feed.recursive && !sources.includes(feed)
    );
    if (newcomers.length > 0) this.announceTree(node, newcomers, about);
  }

  /** Whether `node` is on a filesystem that is marked as a whole. */
  #isWhole(node: Node<Mark>): boolean {
    const key = node.tag.mark?.key;
    return key !== undefined &&
      this.#wholes.some((whole) => isSameFilesystem(whole, "filesystem", key));
  }

  // --- from a handle to a directory ---

  /** The directory of the key at word `at`; undefined where it is unknown and cannot be looked up. */
  #nodeAt(words: Int32Array, at: number): Node<Mark> | undefined {
    const last = this.#last;
    if (last?.tag.mark !== undefined && isKey(words, at, last.tag.mark.key)) return last;
    const node = this.#table.get(words, at) ?? this.#resolve(words, at);
    this.#last = node;
    return node;
  }

  #resolve(words: Int32Array, at: number): Node<Mark> | undefined {
    if (this.#wholes.length === 0) return undefined;
    if (this.#outside > MOST_OUTSIDE) this.#forgetOutside();
    return this.#place(copyKey(words, at));
  }

  /**
   * Places a directory that is met for the first time, and its parents up to a known one, as they were when the record
   * in hand was made. The kernel only tells where they are now; what moved or removed them since is still queued, so the
   * queue is read ahead, and the first such record says where the directory was until then.
   */
  #place(key: HandleKey): Node<Mark> {
    const known = this.#table.get(key, 0);
    if (known !== undefined) return known;
    const now = this.#locate(key);
    const then = this.#positionUntilMoved(key);
    const { parent, name, nameBytes } = then ?? now;
    const parentNode = parent === undefined ? null : this.#place(parent);
    if (parentNode === null || this.feedsOf(parentNode).length === 0) this.#outside++;
    return this.#learn(parentNode, name, key, nameBytes);
  }

  /** Where a directory is now: below a parent, or for the root of a mount (or what is gone) a path of its own. */
  #locate(key: HandleKey): {
    parent: HandleKey | undefined;
    name: string;
    nameBytes: Uint8Array | undefined;
  } {
    for (const whole of this.#wholes) {
      const fd = openHandle(this.libc, whole.fd, key);
      if (fd < 0) continue;
      const parentFd = openParent(this.libc, fd);
      const parent = parentFd < 0 ? undefined : identify(this.libc, parentFd);
      const mountId = identify(this.libc, fd)?.mountId;
      const path = readLink(this.libc, `/proc/self/fd/${fd}`)?.slice() ?? cString("?");
      const links = fileStatus(this.libc, cString(""), fd)?.links ?? 0;
      if (parentFd >= 0) this.libc.close(parentFd);
      this.libc.close(fd);
      if (links === 0 || parent === undefined) continue; // removed, or not below this mount
      if (parent.mountId !== mountId || isKey(parent.key, 0, key)) {
        return { parent: undefined, name: decodeText(path), nameBytes: undefined };
      }
      const bytes = path.subarray(path.lastIndexOf(SLASH) + 1);
      const name = decodeText(bytes);
      return { parent: parent.key, name, nameBytes: bytesUnlessText(bytes, 0, bytes.length, name) };
    }
    return { parent: undefined, name: "?", nameBytes: undefined };
  }

  /** Where the queue says the directory is until it moves or goes; undefined where it stays. */
  #positionUntilMoved(key: HandleKey): Position | undefined {
    let ahead = this.#pending.reduce((bytes, { batch }) => bytes + batch.length, 0);
    while (ahead < AHEAD && this.#read()) ahead += this.#pending.at(-1)!.batch.length;
    for (const pending of this.#pending) {
      if (pending.first + pending.batch.length > this.#indexed) this.#index(pending);
    }
    return this.#positions.get(key, 0)?.find((position) => position.until >= this.#sequence);
  }

  /** Notes what the records say of where directories were. */
  #index({ batch, first }: Pending): void {
    for (const { offset, directory, object, name, nameBytes } of decodeMoves(batch)) {
      const position: Position = {
        until: first + offset,
        parent: copyKey(batch.words, directory),
        name,
        nameBytes,
      };
      const positions = this.#positions.get(batch.words, object);
      if (positions === undefined) this.#positions.set(copyKey(batch.words, object), [position]);
      else positions.push(position);
    }
    this.#indexed = first + batch.length;
  }

  /** Forgets the directories that nobody asked for. They are found again when something happens in them. */
  #forgetOutside(): void {
    for (const node of [...this.#table.values()]) {
      if (this.feedsOf(node).length > 0 || node.tag.anchors.length > 0) continue;
      if ([...this.tree.subtree(node)].some((below) => this.feedsOf(below).length > 0)) continue;
      this.tree.remove(node);
      this.#table.delete(node.tag.mark!.key, 0);
    }
    this.#outside = 0;
    this.#last = undefined;
  }
}

type Mutable<T> = { -readonly [name in keyof T]: T[name] };

/** Asked for once: `process.pid` is a getter that costs more than the rest of a record. */
const OURS = process.pid;

const SLASH = 0x2f;

const EVERY = fanotifyMask(["create", "modify", "rename", "remove", "access"]) | STRUCTURE |
  FAN_EVENT_ON_CHILD | FAN_DELETE_SELF | FAN_MOVE_SELF;

function isSameFilesystem(whole: Whole, target: MarkTarget, key: HandleKey): boolean {
  return whole.target === target && whole.key[0] === key[0] && whole.key[1] === key[1];
}

function noHandles(libc: Libc, path: string): UnsupportedError {
  const error = systemError(libc, `identify ${path}`, { syscall: "name_to_handle_at", path });
  return new UnsupportedError(error.message, {
    errno: error.errno,
    syscall: error.syscall,
    path,
    hint: "this filesystem has no file handles; use inotify",
    cause: error,
  });
}

/** Whether marks on a mount can tell everything that is wanted. */
export function mountMarkSuffices(patterns: readonly string[]): boolean {
  return patterns.every((pattern) =>
    ON_MOUNT.some((kind) => pattern === kind || pattern.startsWith(`${kind}.`))
  );
}

/**
 * The tree of directory handles of an fanotify group: which directories are known, with which marks, and where one was that
 * is met for the first time.
 *
 * @module
 */

import { posix } from "node:path";
import { FanotifyGroup, type GroupWish } from "../backends/fanotify/group.ts";
import {
  copyKey,
  type HandleKey,
  HandleTable,
  identify,
  isKey,
  type OpenDirectory,
} from "../backends/fanotify/handle.ts";
import { NOWHERE, type Place } from "../backends/fanotify/place.ts";
import { mayOpen } from "../backends/limits.ts";
import { fanotifyMask } from "../classify/fanotify.ts";
import { EMFILE, ESTALE } from "../ffi/abi/errno.ts";
import {
  FAN_CREATE,
  FAN_DELETE,
  FAN_DELETE_SELF,
  FAN_EVENT_ON_CHILD,
  FAN_MARK_DONT_FOLLOW,
  FAN_MARK_ONLYDIR,
  FAN_MOVE_SELF,
  FAN_ONDIR,
  FAN_RENAME,
} from "../ffi/abi/fanotify.ts";
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH } from "../ffi/abi/open.ts";
import { systemError, UnsupportedError } from "../ffi/errno.ts";
import { awaitChanges, pathOfFd } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import type { Reactor } from "../ffi/reactor.ts";
import { cString, encodeText, joinPath } from "../ffi/text.ts";
import type { Node } from "./audience.ts";
import { Backlog } from "./backlog.ts";
import type { Feed } from "./feed.ts";
import type { Name } from "./merged_records.ts";
import { type Marked, type Reach, TreeHub } from "./tree_hub.ts";
import { Wholes } from "./wholes.ts";

/** What the tree needs to stay true, whatever the watchers want. */
const STRUCTURE = FAN_CREATE | FAN_DELETE | FAN_RENAME | FAN_ONDIR;

/** How many directories outside every target are remembered before they are forgotten together. */
const MOST_OUTSIDE = 65_536;

/** A directory's identity; `isInode` where it has a mark of its own. */
export interface Mark {
  readonly key: HandleKey;
  readonly isInode: boolean;
}

/** How long the record of a removal that has happened may take to be queued, in ms. Measured: microseconds. */
const PATIENCE = 20;

/** The directories that a group knows, by handle. */
export abstract class FanotifyTree extends TreeHub<Mark> {
  readonly group: FanotifyGroup;
  protected readonly backlog: Backlog;
  protected readonly wholes: Wholes;
  protected readonly table: HandleTable<Node<Mark>> = new HandleTable();
  /** The place in the stream of bytes of the record in hand. */
  protected sequence = 0;
  /** Since when a directory that has gone waits for the record of its removal. */
  #waitsSince: number | undefined;
  /** The place in the stream at which a target appeared. */
  readonly #anchoredAt = new Map<Feed, number>();
  /** Directories whose removal was announced. */
  readonly #departed: Node<Mark>[] = [];
  #outside = 0;
  #last: Node<Mark> | undefined;

  constructor(libc: Libc, reactor: Reactor, wish: GroupWish) {
    super(libc, reactor);
    this.group = new FanotifyGroup(libc, wish);
    this.backlog = new Backlog(libc, this.group);
    this.wholes = new Wholes(libc, this.group, STRUCTURE);
  }

  protected override get fd(): number {
    return this.group.fd;
  }

  override get bytesRead(): number {
    return this.group.bytesRead;
  }

  override marks(feed: Feed): number {
    return this.wholes.has(feed) ? 1 : super.marks(feed);
  }

  /** Covers `feed` with one mark on the whole filesystem that holds it. */
  addWhole(feed: Feed): void {
    this.#withDirectory(feed, (directory) => {
      this.wholes.add(feed, directory);
      this.#linkTops();
      const node = this.#targetNode(feed, directory);
      this.anchor(feed, node);
      if (!feed.isLate) return;
      try {
        this.armLate(feed, node);
      } catch (error) {
        this.remove(feed);
        throw error;
      }
    });
  }

  protected override anchorNode(feed: Feed): Node<Mark> {
    return this.#withDirectory(feed, (directory) => this.#targetNode(feed, directory));
  }

  /**
   * What is queued of the directory itself happened before it became a target: it may have a mark from an earlier time, and
   * what brought it here has not to be queued in whole yet.
   */
  protected override anchor(feed: Feed, node: Node<Mark>): void {
    super.anchor(feed, node);
    if (!feed.isLate) return;
    awaitChanges(this.libc, cString(posix.dirname(feed.directory)));
    this.readAhead();
    this.#anchoredAt.set(feed, this.readPosition);
  }

  protected override isBefore(feed: Feed): boolean {
    return this.sequence < (this.#anchoredAt.get(feed) ?? 0);
  }

  protected override withdraw(feed: Feed, home: Node<Mark>): void {
    this.#anchoredAt.delete(feed);
    this.wholes.remove(feed);
    super.withdraw(feed, home);
  }

  protected override closeQueue(): void {
    this.group.close();
    this.backlog.clear();
  }

  /** Opens the directory of `feed` for as long as `use` takes. */
  #withDirectory<T>(feed: Feed, use: (directory: OpenDirectory) => T): T {
    const fd = this.libc.open(cString(feed.directory), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0) {
      throw systemError(this.libc, `watch ${feed.path}`, { syscall: "open", path: feed.path });
    }
    try {
      const directory = this.#identify(fd);
      if (directory === undefined) throw noHandles(this.libc, feed.path);
      return use(directory);
    } finally {
      this.libc.close(fd);
    }
  }

  /** The identity of an open file, as records have it. */
  #identify(fd: number): OpenDirectory | undefined {
    const identity = identify(this.libc, fd);
    return identity === undefined ? undefined : this.wholes.asReported(identity);
  }

  /** The node of an open directory that is a target. Its path in the tree is the kernel's, so that all agree. */
  #targetNode(feed: Feed, { fd, key }: OpenDirectory): Node<Mark> {
    const placed = this.wholes.covers(key) ? this.#place(key) : this.table.get(key, 0);
    if (placed !== undefined && this.tree.path(placed).startsWith("/")) return placed;
    const path = pathOfFd(this.libc, fd) ?? feed.directory;
    if (placed === undefined) return this.learn(null, path, key);
    this.tree.move(placed, null, path);
    return placed;
  }

  /** Links the topmost directories that are known to parents that a mark, or a mount that was not known before, shows. */
  #linkTops(): void {
    const tops = [...this.table.values()].filter(({ parent, name }) =>
      parent === null && name.startsWith("/")
    );
    for (const top of tops) {
      const place = this.wholes.locate(top.tag.mark!.key);
      if (place === undefined || place === "gone" || place.parent === undefined) continue;
      const parent = this.#place(place.parent);
      if (parent !== undefined) this.tree.move(top, parent, place.name, place.nameBytes);
    }
    this.relinked();
  }

  protected learn(
    parent: Node<Mark> | null,
    name: string,
    key: HandleKey,
    nameBytes?: Uint8Array,
  ): Node<Mark> {
    const node = this.tree.add(parent, name, this.newTag({ key, isInode: false }), nameBytes);
    this.table.set(key, node);
    return node;
  }

  /** {@linkcode learn} of a directory whose creation is announced; `target` is its node where somebody watches it already. */
  protected learnNew(
    parent: Node<Mark>,
    name: string,
    key: HandleKey,
    nameBytes: Uint8Array | undefined,
    target: Node<Mark> | undefined,
  ): Node<Mark> {
    const isInode = target?.tag.mark?.isInode === true;
    const node = this.learn(parent, name, key, nameBytes);
    node.tag.mark = { key, isInode };
    if (target !== undefined) this.absorb(target, node);
    return node;
  }

  // --- marks on directories ---

  protected override isMarked(node: Node<Mark>): boolean {
    return node.tag.mark?.isInode === true;
  }

  protected override mark(node: Node<Mark>): Marked {
    const shown = this.tree.path(node);
    const isOurs = this.feedsOf(node).some((feed) => !this.wholes.has(feed));
    if (!isOurs && this.isWhole(node.parent ?? node)) {
      // The filesystem's mark covers it; all that is needed is to know it.
      if (node.parent === null || node.tag.mark !== undefined) return "known";
      const place = this.reach(node.parent);
      const key = place && this.#identifyEntry(place.path, node);
      place?.release();
      if (key === undefined) {
        const errno = mayOpen(this.libc) ? ESTALE : EMFILE;
        throw systemError(this.libc, `find ${shown}`, { syscall: "open", path: shown, errno });
      }
      return this.#identified(node, key, false);
    }
    let mask = STRUCTURE | FAN_EVENT_ON_CHILD;
    for (const feed of this.feedsOf(node)) mask |= fanotifyMask(feed.filter.patterns);
    if (node.tag.anchors.length > 0) mask |= FAN_DELETE_SELF | FAN_MOVE_SELF;
    const path = this.entryBytes(node);
    const fd = this.libc.open(path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0) throw systemError(this.libc, `watch ${shown}`, { syscall: "open", path: shown });
    try {
      const key = this.#identify(fd)?.key;
      if (key === undefined) throw noHandles(this.libc, shown);
      const flags = FAN_MARK_ONLYDIR | (node.parent === null ? 0 : FAN_MARK_DONT_FOLLOW);
      this.group.mark("inode", mask, path, shown, flags);
      return this.#identified(node, key, true);
    } finally {
      this.libc.close(fd);
    }
  }

  protected override forget(node: Node<Mark>): void {
    const { mark } = node.tag;
    if (mark !== undefined && this.table.get(mark.key, 0) === node) {
      this.table.delete(mark.key, 0);
    }
    node.tag.mark = undefined;
  }

  override async remounted(feed: Feed, points: readonly string[]): Promise<void> {
    // A filesystem's mark covers what came to light; where it is, handles tell.
    if (this.wholes.has(feed)) this.tree.epoch++;
    else await super.remounted(feed, points);
  }

  /** The path leads elsewhere, so the mark stays; who has no node is told nothing. */
  protected override conceal(node: Node<Mark>): void {
    this.forget(node);
  }

  protected override readAhead(): void {
    if (this.backlog.readAhead()) this.runLater(0);
  }

  protected override isGivenUp(
    { tag: { mark } }: Node<Mark>,
    name: string,
    nameBytes: Uint8Array | undefined,
  ): boolean {
    return mark !== undefined &&
      this.backlog.isGivenUp(mark.key, name, nameBytes, this.sequence);
  }

  protected override isInFlux({ tag: { mark } }: Node<Mark>): boolean {
    return mark !== undefined && this.backlog.isInFlux(mark.key, this.sequence);
  }

  protected override get isLossAhead(): boolean {
    return this.backlog.isLossBehind(this.sequence);
  }

  protected override get position(): number {
    return this.sequence;
  }

  protected override get readPosition(): number {
    return this.group.bytesRead;
  }

  /** On a filesystem that is marked as a whole handles lead to directories: to `node`, if its handle is known. */
  protected override wayFrom(node: Node<Mark>): Node<Mark> | null {
    if (this.isWhole(node)) return node;
    return node.parent !== null && this.isWhole(node.parent) ? node.parent : null;
  }

  /** The directory of a node was seen to have this key. */
  #identified(node: Node<Mark>, key: HandleKey, isInode: boolean): Marked {
    const known = this.table.get(key, 0);
    const isMarked = isInode || known?.tag.mark?.isInode === true;
    if (known !== undefined && known !== node && this.isMoving(known)) return "moving";
    // Another one has its name by now: what is queued says so, or that it was made.
    const own = node.tag.mark?.key;
    const isAhead = this.position + 1 < this.readPosition;
    if (own !== undefined && isAhead && !isKey(own, 0, key)) return "moving";
    // What is queued may move it without saying where to, from a place that is not known yet.
    if (this.backlog.placeBeforeMove(key, this.sequence + 1) !== undefined) return "moving";
    if (known !== undefined && known !== node) this.absorb(known, node);
    node.tag.mark = { key, isInode: isMarked };
    this.table.set(key, node);
    return known === undefined ? "new" : "known";
  }

  /** The key of a subdirectory of `directory`. */
  #identifyEntry(directory: Uint8Array, { name, nameBytes }: Node<Mark>): HandleKey | undefined {
    const path = cString(joinPath(directory, nameBytes ?? encodeText(name)));
    const fd = this.libc.open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0) return undefined;
    const key = this.#identify(fd)?.key;
    this.libc.close(fd);
    return key;
  }

  /** On a filesystem that is marked as a whole by handle, wherever the directory has gone since. */
  protected override reach(node: Node<Mark>): Reach | undefined {
    if (!this.isWhole(node)) return super.reach(node);
    const fd = this.wholes.openDirectory(node.tag.mark!.key);
    if (fd < 0) return undefined;
    // The dot makes it a directory again where symlinks are not followed.
    const path = encodeText(`/proc/self/fd/${fd}/.`);
    return { path, release: () => void this.libc.close(fd) };
  }

  protected override unmark(node: Node<Mark>): void {
    const { mark } = node.tag;
    if (mark === undefined || !mark.isInode) return;
    // Removing what is not asked for any more, whatever it was: all bits that a mark of ours can have.
    this.group.unmark("inode", EVERY, this.entryBytes(node));
    this.table.delete(mark.key, 0);
    node.tag.mark = undefined;
  }

  /** Whether the name stands for the very file of that key. */
  protected isThere(name: Name<Mark>, key: HandleKey): boolean {
    const there = this.keyAt(name);
    return there !== undefined && isKey(there, 0, key);
  }

  /** The key of what has the name now. */
  protected keyAt({ directory, name, nameBytes }: Name<Mark>): HandleKey | undefined {
    const place = this.reach(directory);
    if (place === undefined) return undefined;
    const path = cString(joinPath(place.path, nameBytes ?? encodeText(name)));
    const fd = this.libc.open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    place.release();
    if (fd < 0) return undefined;
    const identity = this.#identify(fd);
    this.libc.close(fd);
    return identity?.key;
  }

  /** Whether `node` is on a filesystem that is marked as a whole. */
  protected isWhole(node: Node<Mark>): boolean {
    const key = node.tag.mark?.key;
    return key !== undefined && this.wholes.covers(key);
  }

  /** Whether marks on whole filesystems feed all who want what happens in `node`: then it needs none of its own. */
  protected isCovered(node: Node<Mark>): boolean {
    return this.isWhole(node) && this.feedsOf(node).every((feed) => this.wholes.has(feed));
  }

  // --- from a handle to a directory ---

  /** The directory of the key at word `at`; undefined where nothing is known of it. */
  protected nodeAt(words: Int32Array, at: number): Node<Mark> | undefined {
    const last = this.#last;
    if (last?.tag.mark !== undefined && isKey(words, at, last.tag.mark.key)) return last;
    const node = this.table.get(words, at);
    if (node !== undefined) this.#last = node;
    return node;
  }

  /** {@linkcode nodeAt}, or the directory is looked for; undefined where that has to wait. */
  protected find(words: Int32Array, at: number): Node<Mark> | undefined {
    const known = this.nodeAt(words, at);
    if (known !== undefined) return known;
    if (this.#outside > MOST_OUTSIDE) this.#forgetOutside();
    return this.#place(copyKey(words, at));
  }

  /**
   * Places a directory that is met for the first time, and its parents up to a known one, as they were when the record
   * in hand was made. The kernel only tells where they are now; what moved or removed them since is still queued, so the
   * queue is read ahead, and the first such record says where the directory was until then. A directory may be dead a
   * moment before the record of its removal is queued: then there is no place yet.
   */
  #place(key: HandleKey): Node<Mark> | undefined {
    const known = this.table.get(key, 0);
    if (known !== undefined) return known;
    const now = this.wholes.locate(key);
    const isHidden = now === undefined && !mayOpen(this.libc); // until a file descriptor is free
    const place = this.backlog.placeBeforeMove(key, this.sequence) ??
      (this.isLossAhead
        ? NOWHERE // nobody knows: what moved it may be lost
        : now === "gone"
        ? this.#lastPlace(key)
        : isHidden
        ? undefined
        : now ?? NOWHERE);
    if (place === undefined) return undefined;
    const { parent, name, nameBytes } = place;
    const parentNode = parent === undefined ? null : this.#place(parent);
    if (parentNode === undefined) return undefined;
    const isOutside = parentNode === null || this.feedsOf(parentNode).length === 0;
    if (!isOutside && place === now) {
      // Before the record of what brought it there is queued, it is there.
      const reach = this.reach(parentNode);
      if (reach !== undefined) awaitChanges(this.libc, cString(reach.path));
      reach?.release();
      const isMoved = this.backlog.placeBeforeMove(key, this.sequence) !== undefined;
      if (isMoved || this.isLossAhead) return this.#place(key);
    }
    if (isOutside) this.#outside++;
    this.#waitsSince = undefined;
    return this.learn(parentNode, name, key, nameBytes);
  }

  /**
   * Where a directory was that has gone without a record: at a place that another one took, or nowhere, once its record
   * was waited for; then it was lost, or the kernel's word of the replacement was merged or not asked for.
   */
  #lastPlace(key: HandleKey): Place | undefined {
    const replaced = this.backlog.placeUntilReplaced(key, this.sequence);
    if (replaced !== undefined) return replaced;
    this.#waitsSince ??= performance.now();
    return performance.now() - this.#waitsSince < PATIENCE ? undefined : NOWHERE;
  }

  // --- what is known no more ---

  /** Forgets the directories that nobody asked for. They are found again when something happens in them. */
  #forgetOutside(): void {
    for (const node of [...this.table.values()]) {
      if (this.feedsOf(node).length === 0) this.#forgetUnlessAbove(node);
    }
    this.#outside = 0;
    this.#last = undefined;
  }

  /** The removal of a directory was announced. What the kernel still says of it is known until the queue is read. */
  protected depart(node: Node<Mark>): void {
    this.tree.remove(node);
    this.#departed.push(node);
    if (this.isMarked(node)) this.uncovered.freed();
  }

  /** The queue is read: of the directories that are gone nothing more is said. */
  protected forgetDeparted(): void {
    for (const node of this.#departed) {
      const { mark } = node.tag;
      if (mark !== undefined && this.table.get(mark.key, 0) === node) {
        this.table.delete(mark.key, 0);
      }
    }
    this.#departed.length = 0;
    this.#last = undefined;
  }

  /**
   * Forgets a directory that was moved to where nothing is watched, with all below it. Nobody knows its path, so its marks
   * cannot be taken back; what they still tell is of an unknown handle, until the group is closed.
   */
  protected abandon(node: Node<Mark>): void {
    for (const below of [...this.tree.subtree(node)]) {
      const { mark } = below.tag;
      if (mark !== undefined) this.table.delete(mark.key, 0);
      below.tag.mark = undefined;
    }
    this.tree.remove(node);
    this.#last = undefined;
  }

  /** What the filesystem's mark covers is found again by its handle when something happens in it. */
  protected override forgetPlaces(): void {
    for (const node of [...this.table.values()]) {
      if (this.isWhole(node) && !this.isMarked(node)) this.#forgetUnlessAbove(node);
    }
    this.#last = undefined;
  }

  /** Forgets a directory that is no target, and has none below it. */
  #forgetUnlessAbove(node: Node<Mark>): void {
    if (this.holdsTarget(node)) return;
    this.tree.remove(node);
    this.table.delete(node.tag.mark!.key, 0);
  }
}

const EVERY = fanotifyMask(["create", "modify", "rename", "remove", "access"]) | STRUCTURE |
  FAN_EVENT_ON_CHILD | FAN_DELETE_SELF | FAN_MOVE_SELF;

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

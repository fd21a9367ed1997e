/**
 * One fanotify group for many watchers: marks on filesystems, mounts and directories, and the tree of directory handles.
 *
 * @module
 */

import { FanotifyRecord, nameAt } from "../backends/fanotify/decode.ts";
import { FanotifyGroup, type GroupWish } from "../backends/fanotify/group.ts";
import {
  copyKey,
  type HandleKey,
  HandleTable,
  identify,
  isKey,
  isSubvolumeOf,
  type OpenDirectory,
} from "../backends/fanotify/handle.ts";
import type { Place } from "../backends/fanotify/place.ts";
import { mayOpen } from "../backends/limits.ts";
import { nameKey } from "../backends/tree.ts";
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
import { EMFILE, ESTALE } from "../ffi/abi/errno.ts";
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH } from "../ffi/abi/open.ts";
import { systemError, UnsupportedError } from "../ffi/errno.ts";
import { pathOfFd } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import type { Reactor } from "../ffi/reactor.ts";
import { cString, encodeText, joinPath } from "../ffi/text.ts";
import type { Node } from "./audience.ts";
import { Backlog, type Pending } from "./backlog.ts";
import { type Arrival, Arrivals } from "./exchanges.ts";
import { type Exchanged, secondHalf } from "./fanotify_exchange.ts";
import { type Circumstances, circumstances, type ExchangeHalf, type Feed } from "./feed.ts";
import { inOrder, isSameName, keyOfName, MergedRecords, type Name } from "./merged_records.ts";
import { Replacements } from "./replacements.ts";
import { type Marked, type Reach, TreeHub } from "./tree_hub.ts";
import { Wholes } from "./wholes.ts";

/** What the tree needs to stay true, whatever the watchers want. */
const STRUCTURE = FAN_CREATE | FAN_DELETE | FAN_RENAME | FAN_ONDIR;

/** How many directories outside every target are remembered before they are forgotten together. */
const MOST_OUTSIDE = 65_536;

/** A directory's identity; `isInode` where it has a mark of its own. */
interface Mark {
  readonly key: HandleKey;
  readonly isInode: boolean;
}

/** A rename, as one record tells it. */
interface Move {
  readonly isDirectory: boolean;
  /** The old name and the new one; undefined where nothing is known of the directory. */
  readonly from: Name<Mark> | undefined;
  readonly to: Name<Mark> | undefined;
  /** What was renamed, where the kernel says that. */
  readonly key: HandleKey | undefined;
  /** The directory that was renamed, where it is known. */
  readonly child: Node<Mark> | undefined;
}

/** One half of an exchange. */
interface Half extends ExchangeHalf {
  /** What the other half moves. */
  readonly other: HandleKey;
}

/** Below no target. */
const NOWHERE: Place = { parent: undefined, name: "?", nameBytes: undefined };

/** How long the record of a removal that has happened may take to be queued, in ms. Measured: microseconds. */
const PATIENCE = 20;

/** The hub of an fanotify group. */
export class FanotifyHub extends TreeHub<Mark> {
  readonly group: FanotifyGroup;
  readonly #backlog: Backlog;
  readonly #wholes: Wholes;
  readonly #table = new HandleTable<Node<Mark>>();
  /** Since when a directory that has gone waits for the record of its removal. */
  #waitsSince: number | undefined;
  readonly #merged = new MergedRecords<Mark>();
  readonly #arrivals = new Arrivals<Mark, HandleKey>();
  readonly #replacements: Replacements<Mark>;
  /** Directories whose removal was announced. */
  readonly #departed: Node<Mark>[] = [];
  /** The place in the stream of bytes of the record in hand. */
  #sequence = 0;
  #outside = 0;
  #last: Node<Mark> | undefined;

  constructor(libc: Libc, reactor: Reactor, wish: GroupWish) {
    super(libc, reactor);
    this.group = new FanotifyGroup(libc, wish);
    this.#backlog = new Backlog(libc, this.group);
    this.#replacements = new Replacements(this.#backlog);
    this.#wholes = new Wholes(libc, this.group, STRUCTURE);
    this.start();
  }

  protected override get fd(): number {
    return this.group.fd;
  }

  override get bytesRead(): number {
    return this.group.bytesRead;
  }

  override marks(feed: Feed): number {
    return this.#wholes.has(feed) ? 1 : super.marks(feed);
  }

  /** Covers `feed` with one mark on the whole filesystem that holds it. */
  addWhole(feed: Feed): void {
    this.#withDirectory(feed, (directory) => {
      this.#wholes.add(feed, directory);
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

  protected override withdraw(feed: Feed, home: Node<Mark>): void {
    this.#wholes.remove(feed);
    super.withdraw(feed, home);
  }

  protected override closeQueue(): void {
    this.group.close();
    this.#backlog.clear();
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
    return identity === undefined ? undefined : this.#wholes.asReported(identity);
  }

  /** The node of an open directory that is a target. Its path in the tree is the kernel's, so that all agree. */
  #targetNode(feed: Feed, { fd, key }: OpenDirectory): Node<Mark> {
    const placed = this.#wholes.covers(key) ? this.#place(key) : this.#table.get(key, 0);
    if (placed !== undefined && this.tree.path(placed).startsWith("/")) return placed;
    const path = pathOfFd(this.libc, fd) ?? feed.directory;
    if (placed === undefined) return this.#learn(null, path, key);
    this.tree.move(placed, null, path);
    return placed;
  }

  /** Links the topmost directories that are known to parents that a mark, or a mount that was not known before, shows. */
  #linkTops(): void {
    const tops = [...this.#table.values()].filter(({ parent, name }) =>
      parent === null && name.startsWith("/")
    );
    for (const top of tops) {
      const place = this.#wholes.locate(top.tag.mark!.key);
      if (place === undefined || place === "gone" || place.parent === undefined) continue;
      const parent = this.#place(place.parent);
      if (parent !== undefined) this.tree.move(top, parent, place.name, place.nameBytes);
    }
    this.relinked();
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

  /** {@linkcode #learn} of a directory whose creation is announced; `target` is its node where somebody watches it already. */
  #learnNew(
    parent: Node<Mark>,
    name: string,
    key: HandleKey,
    nameBytes: Uint8Array | undefined,
    target: Node<Mark> | undefined,
  ): Node<Mark> {
    const isInode = target?.tag.mark?.isInode === true;
    const node = this.#learn(parent, name, key, nameBytes);
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
    const isOurs = this.feedsOf(node).some((feed) => !this.#wholes.has(feed));
    if (!isOurs && this.#isWhole(node.parent ?? node)) {
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
    if (mark !== undefined && this.#table.get(mark.key, 0) === node) {
      this.#table.delete(mark.key, 0);
    }
    node.tag.mark = undefined;
  }

  protected override readAhead(): void {
    if (this.#backlog.readAhead()) this.runLater(0);
  }

  protected override isGivenUp(
    { tag: { mark } }: Node<Mark>,
    name: string,
    nameBytes: Uint8Array | undefined,
  ): boolean {
    return mark !== undefined &&
      this.#backlog.isGivenUp(mark.key, name, nameBytes, this.#sequence);
  }

  protected override isInFlux({ tag: { mark } }: Node<Mark>): boolean {
    return mark !== undefined && this.#backlog.isInFlux(mark.key, this.#sequence);
  }

  protected override get isLossAhead(): boolean {
    return this.#backlog.isLossBehind(this.#sequence);
  }

  protected override get position(): number {
    return this.#sequence;
  }

  protected override get readPosition(): number {
    return this.group.bytesRead;
  }

  /** On a filesystem that is marked as a whole handles lead to directories: to `node`, if its handle is known. */
  protected override wayFrom(node: Node<Mark>): Node<Mark> | null {
    if (this.#isWhole(node)) return node;
    return node.parent !== null && this.#isWhole(node.parent) ? node.parent : null;
  }

  /** The directory of a node was seen to have this key. */
  #identified(node: Node<Mark>, key: HandleKey, isInode: boolean): Marked {
    const known = this.#table.get(key, 0);
    const isMarked = isInode || known?.tag.mark?.isInode === true;
    if (known !== undefined && known !== node && this.isMoving(known)) return "moving";
    // What is queued may move it without saying where to, from a place that is not known yet.
    if (this.#backlog.placeBeforeMove(key, this.#sequence + 1) !== undefined) return "moving";
    if (known !== undefined && known !== node) this.absorb(known, node);
    node.tag.mark = { key, isInode: isMarked };
    this.#table.set(key, node);
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
    if (!this.#isWhole(node)) return super.reach(node);
    const fd = this.#wholes.openDirectory(node.tag.mark!.key);
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
    this.#table.delete(mark.key, 0);
    node.tag.mark = undefined;
  }

  // --- reading ---

  protected override turn(): boolean {
    const pending = this.#backlog.first();
    if (pending === undefined) {
      this.caughtUp();
      return false;
    }
    if (!this.#process(pending)) {
      this.runLater(1);
      return false;
    }
    this.#backlog.drop();
    return true;
  }

  /** Processes a batch; false where it has to wait for what is not queued yet. */
  #process(pending: Pending): boolean {
    const { batch, first } = pending;
    const { length } = batch;
    const record = new FanotifyRecord(batch);
    const about = circumstances(batch.kept);
    while (pending.next < length) {
      const at = pending.next;
      const end = record.read(at, length);
      about.offset = at;
      this.#sequence = first + at;
      if ((record.bits & FAN_Q_OVERFLOW) !== 0) {
        // While this record is queued more is lost without another one: what is behind it may have gaps.
        this.#backlog.skip();
        this.#sequence = this.group.bytesRead - 1;
        this.lostAll("the kernel's queue was full (fs.fanotify.max_queued_events)");
        return true;
      }
      if (!this.#isPlaced(record)) return false;
      const { pid } = record;
      about.pid = pid;
      about.actor = this.#backlog.actorOf(pid, pending);
      this.#happened(record, about);
      pending.next = end;
      this.#sequence = first + end - 1; // behind this record, before the next
    }
    return true;
  }

  /** Whether the directories of a record are known, or could be found. */
  #isPlaced(record: FanotifyRecord): boolean {
    const { bits, batch, directory } = record;
    if (this.#wholes.isEmpty) return true;
    if (directory >= 0 && this.#find(batch.words, directory) === undefined) return false;
    if ((bits & FAN_RENAME) === 0) return true;
    const { target } = record;
    return target === undefined || this.#find(batch.words, target.directory) !== undefined;
  }

  #happened(record: FanotifyRecord, about: Circumstances): void {
    const { bits, batch } = record;
    const isDirectory = (bits & FAN_ONDIR) !== 0;
    if ((bits & FAN_RENAME) !== 0) return this.#renamed(record, isDirectory, about);
    if (this.#wholes.tellReplaced) this.#replacements.noteLinks(record);
    // Without a directory the kernel says something of an inode that has no name there: a link count that fell.
    if (record.directory < 0) return;
    const node = this.#nodeAt(batch.words, record.directory);
    if (node === undefined) return;
    if (isDirectory) return this.#happenedToDirectory(node, record, about);
    if (this.feedsOf(node).length === 0) return;
    const { name } = record;
    const nameBytes = record.nameBytes(name);
    if ((bits & (FAN_CREATE | FAN_DELETE)) !== 0) this.#arrivals.changed(node);
    if ((bits & FAN_DELETE) !== 0) this.#replacements.left(node, nameKey(name, nameBytes));
    let kinds = fanotifyKinds(bits);
    const told = this.wereTold(node, name, nameBytes);
    if ((bits & (FAN_CREATE | FAN_DELETE)) !== 0 && record.object >= 0) {
      const isBoth = this.#noteNamed(node, record, nameBytes);
      // Both in one mask: whether that very file is there now tells which came last.
      if (
        isBoth &&
        this.#isThere({ directory: node, name, nameBytes }, copyKey(batch.words, record.object))
      ) {
        kinds = ["remove", ...kinds.filter((kind) => kind !== "remove")];
      }
    }
    if (kinds.length === 0 && record.mask > 0xffff_ffffn) kinds = UNKNOWN;
    this.entry(node, name, nameBytes, false, kinds, about, told);
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
      const { parent } = node;
      const inherited = parent === null ? [] : this.takersOf(parent, node.name, node.nameBytes);
      this.own(node, new Set([...inherited, ...node.tag.anchors]).values().toArray(), kinds, about);
      return;
    }
    const nameBytes = record.nameBytes(name);
    const told = this.wereTold(node, name, nameBytes);
    if ((bits & (FAN_CREATE | FAN_DELETE)) !== 0) this.#arrivals.changed(node);
    if ((bits & (FAN_CREATE | FAN_DELETE)) !== 0 && object >= 0) {
      this.#noteNamed(node, record, nameBytes);
    }
    this.entry(node, name, nameBytes, true, kinds, about, told);
    // Of a removal that was merged into the creation nothing is told later: what happened inside comes next.
    const isBrief = (bits & FAN_DELETE) !== 0 && this.#isWhole(node);
    const isKept = isBrief || this.feedsOf(node).length > 0;
    if ((bits & FAN_CREATE) !== 0 && object >= 0 && isKept) {
      const known = child !== undefined && child.parent === node;
      const added = known
        ? child
        : this.#learnNew(node, name, copyKey(batch.words, object), nameBytes, child);
      // A snapshot comes with its contents.
      const isFilled = isSubvolumeOf(batch.words, object, record.directory);
      const isAnew = (isFilled || !this.#isCovered(added)) && (bits & FAN_DELETE) === 0;
      if (isAnew && this.isRecursive(added)) {
        // Whoever watches it for its own sake was armed when it looked.
        const { anchors } = added.tag;
        const feeds = this.feedsOf(added).filter((feed) =>
          !told.includes(feed) && !anchors.includes(feed)
        );
        this.armNew(added, feeds, about);
      }
    }
    if ((bits & FAN_DELETE) !== 0 && object >= 0) this.#forget(object, record, about);
  }

  /** The kernel announces the end of a target that has a mark of its own. */
  #selfGone(node: Node<Mark>, bits: number, about: Circumstances): void {
    const kind = (bits & FAN_DELETE_SELF) !== 0 ? "remove.directory" : "rename.out";
    for (const feed of [...node.tag.anchors]) this.rootGone(feed, node, kind, about);
  }

  /** The directory whose removal `record` announces is known no more. */
  #forget(object: number, record: FanotifyRecord, about: Circumstances): void {
    const { words } = record.batch;
    const node = this.#table.get(words, object);
    if (node === undefined) return;
    for (const feed of [...node.tag.anchors]) this.rootGone(feed, node, "remove.directory", about);
    this.tree.remove(node);
    this.#departed.push(node);
    if (this.isMarked(node)) this.uncovered.freed();
  }

  /**
   * Forgets the directories that are gone. Not before the queue is read: a removal that the kernel merged into the record
   * of the creation stands before what happened inside in between.
   */
  protected override caughtUp(): void {
    this.#backlog.caughtUp(); // first, for what comes next may read ahead
    if (!this.#tellMerged()) return this.runLater(1);
    for (const node of this.#departed) {
      const { mark } = node.tag;
      if (mark !== undefined && this.#table.get(mark.key, 0) === node) {
        this.#table.delete(mark.key, 0);
      }
    }
    this.#departed.length = 0;
    this.#replacements.clear();
    this.#arrivals.clear();
    this.#last = undefined;
    super.caughtUp();
  }

  #renamed(record: FanotifyRecord, isDirectory: boolean, about: Circumstances): void {
    const move = this.#moveOf(record, isDirectory);
    if (move === undefined) return;
    const { from, to, key } = move;
    if (from !== undefined) this.wereTold(from.directory, from.name, from.nameBytes);
    const told = to && this.wereTold(to.directory, to.name, to.nameBytes);
    about.replaced = this.#isReplacing(record, to);
    if (from !== undefined) this.#replacements.left(from.directory, keyOfName(from));
    const exchange = this.#exchangeOf(record, move);
    about.exchange = exchange;
    const isBack = exchange?.isFirst === false;
    const source = this.#sourceOf(move, isBack);
    const knowing = source === undefined
      ? []
      : this.knowing(source.directory, source.name, source.nameBytes, exchange);
    if (to !== undefined) this.#tellOrphans(to);
    this.moved(
      source?.directory,
      source?.name ?? "",
      source?.nameBytes,
      to?.directory,
      to?.name ?? "",
      to?.nameBytes,
      isDirectory,
      about,
      told,
    );
    if (key === undefined) return;
    this.#noteMoved(key, move, isBack);
    if (exchange?.isFirst && exchange.isOtherDirectory && to !== undefined) {
      const other = this.#table.get(exchange.other, 0) ??
        this.#learn(to.directory, to.name, exchange.other, to.nameBytes);
      this.displace(other, isDirectory);
    }
    if (isDirectory) this.#directoryMoved(key, move, knowing, about);
  }

  /** A rename; undefined where it is nobody's business. */
  #moveOf(record: FanotifyRecord, isDirectory: boolean): Move | undefined {
    const { batch, directory, target, object } = record;
    const from = directory < 0 ? undefined : this.#nodeAt(batch.words, directory);
    const to = target === undefined ? undefined : this.#nodeAt(batch.words, target.directory);
    const child = isDirectory && object >= 0 ? this.#table.get(batch.words, object) : undefined;
    const isWanted = from !== undefined && this.feedsOf(from).length > 0 ||
      to !== undefined && this.feedsOf(to).length > 0;
    if (!isWanted && child === undefined) return undefined;
    const { name } = record;
    return {
      isDirectory,
      from: from && { directory: from, name, nameBytes: record.nameBytes(name) },
      to: to && { directory: to, ...nameAt(batch, target) },
      key: object < 0 ? undefined : copyKey(batch.words, object),
      child,
    };
  }

  /** Whether a rename took the name `to` from another file, where somebody asks and the kernel tells. */
  #isReplacing(record: FanotifyRecord, to: Name<Mark> | undefined): boolean | undefined {
    if (to === undefined) return undefined;
    const { directory } = to;
    const asks = this.feedsOf(directory).some(({ sink }) => sink.replaced !== undefined);
    if (!asks || !this.#isWhole(directory)) return undefined;
    // The directory stays locked until all of it is queued.
    const awaitAll = () => this.awaitChangesIn(directory);
    return this.#replacements.replaces(record, directory, keyOfName(to), awaitAll);
  }

  /** Half of which exchange a rename is: the second, as what came before shows, or the first, as what is queued does. */
  #exchangeOf(record: FanotifyRecord, move: Move): Half | undefined {
    const { from, to, key, isDirectory } = move;
    const first = key && this.#firstHalf(key, move);
    const second = to && key && first === undefined
      ? this.#secondHalf(record, key, from, to)
      : undefined;
    for (const name of [from, to]) if (name) this.#arrivals.changed(name.directory);
    if (to !== undefined && key !== undefined && first === undefined) {
      this.#arrivals.came(to.directory, {
        name: keyOfName(to),
        from: from?.directory,
        fromName: from === undefined ? "" : keyOfName(from),
        isDirectory,
        identity: key,
      });
    }
    if (first !== undefined) {
      return { isFirst: false, isOtherDirectory: first.isDirectory, other: first.identity };
    }
    return second && { isFirst: true, isOtherDirectory: second.isDirectory, other: second.key };
  }

  /** What came to the name that `key` leaves, if this rename is the second half of an exchange. */
  #firstHalf(key: HandleKey, { from, to }: Move): Arrival<Mark, HandleKey> | undefined {
    if (from === undefined) return undefined;
    const newKey = to === undefined ? "" : keyOfName(to);
    const arrival = this.#arrivals.reversed(
      from.directory,
      keyOfName(from),
      to?.directory,
      newKey,
    );
    return arrival && !isKey(key, 0, arrival.identity) ? arrival : undefined;
  }

  /**
   * The name that is told to be left by what is renamed; undefined where that was told to be somewhere else, or the name
   * to be another one's, because the kernel merged what came in between. What was told to be there leaves it first.
   */
  #sourceOf({ from, isDirectory, key, child }: Move, isBack: boolean): Name<Mark> | undefined {
    const isTracked = key !== undefined && isDirectory && !isBack;
    const last = isTracked ? this.#merged.left(key) : undefined;
    const isUntold = last !== undefined && (from === undefined || !isSameName(last, from));
    if (isUntold) this.#strayed(key!, last);
    const there = from && this.tree.child(from.directory, from.name, from.nameBytes);
    const isDirectorys = !isDirectory && there?.tag.mark !== undefined &&
      this.#merged.left(there.tag.mark.key) !== undefined;
    if (isDirectorys) this.#detach(there);
    // What was told to be under the old name is another one.
    const isAstray = isTracked && this.#merged.isAstray(key);
    // Unless it was found there by looking, and has no mark until it is looked into.
    const isThere = isDirectory && there !== undefined &&
      (there === child || there.tag.mark === undefined);
    return !isThere && (isUntold || isDirectorys || isAstray) ? undefined : from;
  }

  /** Notes a rename for what the kernel may merge into its record. */
  #noteMoved(key: HandleKey, { from, to, isDirectory }: Move, isBack: boolean): void {
    if (from !== undefined && !isBack) this.#merged.named(key, from);
    if (from !== undefined && to === undefined) this.#merged.movedOut(key, from, isDirectory);
    if (to !== undefined) {
      this.#merged.renamed(key, to, isDirectory, !this.isLinked(to.directory));
    }
  }

  /** The tree follows a directory that was renamed, and who did not know what is in it is told. */
  #directoryMoved(
    key: HandleKey,
    { to, child }: Move,
    knowing: readonly Feed[],
    about: Circumstances,
  ): void {
    const replaced = to && this.tree.child(to.directory, to.name, to.nameBytes);
    // The directory that was there must have been empty; what the kernel still says of it is of no name.
    if (replaced !== undefined && replaced !== child) this.tree.move(replaced, null, "?");
    if (child !== undefined) {
      this.#untangle(child, to?.directory);
      this.targetsMoved(child, about);
      if (to === undefined) this.#abandon(child);
      else {
        this.tree.move(child, to.directory, to.name, to.nameBytes);
        this.disarm(child);
      }
    }
    if (to === undefined) return;
    const node = child ?? this.#learn(to.directory, to.name, key, to.nameBytes);
    const feeds = this.feedsOf(node);
    const isNew = !this.#isCovered(node) && node.tag.mark?.isInode !== true;
    const newcomers = isNew ? feeds : this.newcomers(node, knowing);
    if (newcomers.some((feed) => feed.looksInto)) this.armNew(node, newcomers, about);
  }

  /** A directory is not where the records left it: it is found again once all is read. */
  #strayed(key: HandleKey, { directory, name, nameBytes }: Name<Mark>): void {
    this.#merged.strayed(key);
    this.moved(directory, name, nameBytes, undefined, "", undefined, true, circumstances());
  }

  /** {@linkcode #strayed} of a directory that is known. */
  #detach(node: Node<Mark>): void {
    const { parent, name, nameBytes, tag: { mark } } = node;
    if (parent === null) return;
    if (mark !== undefined) this.#strayed(mark.key, { directory: parent, name, nameBytes });
    this.tree.move(node, null, "?");
  }

  /** Nothing moves below itself: if it seems to, a directory in between has left it, and the kernel merged that away. */
  #untangle(child: Node<Mark>, to: Node<Mark> | undefined): void {
    let strayed: Node<Mark> | undefined;
    for (let at = to; at !== child; at = at.parent ?? undefined) {
      if (at === undefined) return;
      const { mark } = at.tag;
      if (strayed === undefined || (mark && this.#merged.left(mark.key))) strayed = at;
    }
    if (strayed !== undefined) this.#detach(strayed);
  }

  /** What the rename back that follows moves, if this rename is the first half of an exchange. */
  #secondHalf(
    record: FanotifyRecord,
    key: HandleKey,
    from: Name<Mark> | undefined,
    to: Name<Mark>,
  ): Exchanged | undefined {
    const find = () => secondHalf(record, key, this.#backlog.behind(record.offset + record.length));
    let found = find();
    if (found === "unread") {
      this.awaitSecondHalf(from?.directory, from?.name ?? "", from?.nameBytes, to.directory);
      if (!this.#backlog.readAhead()) return undefined;
      found = find();
    }
    return found === "unread" ? undefined : found;
  }

  /**
   * Forgets a directory that was moved to where nothing is watched, with all below it. Nobody knows its path, so its marks
   * cannot be taken back; what they still tell is of an unknown handle, until the group is closed.
   */
  #abandon(node: Node<Mark>): void {
    for (const below of [...this.tree.subtree(node)]) {
      const { mark } = below.tag;
      if (mark !== undefined) this.#table.delete(mark.key, 0);
      below.tag.mark = undefined;
    }
    this.tree.remove(node);
    this.#last = undefined;
  }

  /** What was left in a directory of that name had gone with it. */
  #tellOrphans(place: Name<Mark>): void {
    if (this.#merged.isEmpty) return;
    for (const { last, isDirectory } of this.#merged.takeOrphans(place)) {
      this.gone(last, isDirectory, circumstances());
    }
  }

  /** Notes who was given a name, or lost it; whether the record tells of both. */
  #noteNamed(
    directory: Node<Mark>,
    record: FanotifyRecord,
    nameBytes: Uint8Array | undefined,
  ): boolean {
    const { bits, batch, object, name } = record;
    const isBoth = (bits & FAN_CREATE) !== 0 && (bits & FAN_DELETE) !== 0;
    if (this.#merged.isEmpty && !isBoth) return false;
    const key = copyKey(batch.words, object);
    const isTaken = (bits & FAN_DELETE) !== 0;
    const place = { directory, name, nameBytes };
    this.#tellOrphans(place);
    const untold = this.#merged.named(isTaken ? undefined : key, place);
    // Where something is made, what was told to be there is not there any more, with all that is in it.
    if (untold !== undefined && !isTaken) {
      const now = circumstances();
      if (untold === "removed") this.gone(place, true, now);
      else this.moved(directory, name, nameBytes, undefined, "", undefined, true, now);
      const there = this.tree.child(directory, name, nameBytes);
      if (there !== undefined) this.tree.move(there, null, "?");
    }
    if (isBoth) this.#merged.brief(key, (bits & FAN_ONDIR) !== 0);
    return isBoth;
  }

  /** Tells what the kernel merged into earlier records; false where more is queued that may say it. */
  #tellMerged(): boolean {
    if (!this.#merged.isEmpty) {
      if (!mayOpen(this.libc)) return false;
      const astray = this.#merged.astray(
        (directory) => this.isLinked(directory),
        (name, key) => this.#isThere(name, key),
      );
      for (const { last } of astray) if (last !== undefined) this.awaitChangesIn(last.directory);
      if (astray.length > 0 && this.#backlog.readAhead()) return false;
      const now = circumstances();
      for (const { key, isDirectory, last, actual, hasLeft } of inOrder(astray)) {
        const node = isDirectory ? this.#table.get(key, 0) : undefined;
        if (node !== undefined && actual !== undefined) {
          this.targetsMoved(node, now);
          this.tree.move(node, actual.directory, actual.name, actual.nameBytes);
        }
        if (last === undefined) this.found(actual!, isDirectory, now);
        else if (actual === undefined) {
          const { directory, name, nameBytes } = last;
          if (!hasLeft) this.gone(last, isDirectory, now);
          else {
            this.moved(directory, name, nameBytes, undefined, "", undefined, isDirectory, now);
            if (node !== undefined) this.#abandon(node);
          }
        } else {
          this.moved(
            last.directory,
            last.name,
            last.nameBytes,
            actual.directory,
            actual.name,
            actual.nameBytes,
            isDirectory,
            now,
          );
          if (node !== undefined) {
            const knowing = this.knowingOf(last.directory, last.name, last.nameBytes);
            this.armNew(node, this.newcomers(node, knowing), now);
          }
        }
      }
    }
    this.#merged.clear();
    return true;
  }

  /** Whether the name stands for the very file of that key. */
  #isThere({ directory, name, nameBytes }: Name<Mark>, key: HandleKey): boolean {
    const place = this.reach(directory);
    if (place === undefined) return false;
    const path = cString(joinPath(place.path, nameBytes ?? encodeText(name)));
    const fd = this.libc.open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    place.release();
    if (fd < 0) return false;
    const identity = this.#identify(fd);
    this.libc.close(fd);
    return identity !== undefined && isKey(identity.key, 0, key);
  }

  /** Whether `node` is on a filesystem that is marked as a whole. */
  #isWhole(node: Node<Mark>): boolean {
    const key = node.tag.mark?.key;
    return key !== undefined && this.#wholes.covers(key);
  }

  /** Whether marks on whole filesystems feed all who want what happens in `node`: then it needs none of its own. */
  #isCovered(node: Node<Mark>): boolean {
    return this.#isWhole(node) && this.feedsOf(node).every((feed) => this.#wholes.has(feed));
  }

  // --- from a handle to a directory ---

  /** The directory of the key at word `at`; undefined where nothing is known of it. */
  #nodeAt(words: Int32Array, at: number): Node<Mark> | undefined {
    const last = this.#last;
    if (last?.tag.mark !== undefined && isKey(words, at, last.tag.mark.key)) return last;
    const node = this.#table.get(words, at);
    if (node !== undefined) this.#last = node;
    return node;
  }

  /** {@linkcode #nodeAt}, or the directory is looked for; undefined where that has to wait. */
  #find(words: Int32Array, at: number): Node<Mark> | undefined {
    const known = this.#nodeAt(words, at);
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
    const known = this.#table.get(key, 0);
    if (known !== undefined) return known;
    const now = this.#wholes.locate(key);
    const isHidden = now === undefined && !mayOpen(this.libc); // until a file descriptor is free
    const place = this.#backlog.placeBeforeMove(key, this.#sequence) ??
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
    if (parentNode === null || this.feedsOf(parentNode).length === 0) this.#outside++;
    this.#waitsSince = undefined;
    return this.#learn(parentNode, name, key, nameBytes);
  }

  /**
   * Where a directory was that has gone without a record: at a place that another one took, or nowhere, once its record
   * was waited for; then it was lost, or the kernel's word of the replacement was merged or not asked for.
   */
  #lastPlace(key: HandleKey): Place | undefined {
    const replaced = this.#backlog.placeUntilReplaced(key, this.#sequence);
    if (replaced !== undefined) return replaced;
    this.#waitsSince ??= performance.now();
    return performance.now() - this.#waitsSince < PATIENCE ? undefined : NOWHERE;
  }

  /** Forgets the directories that nobody asked for. They are found again when something happens in them. */
  #forgetOutside(): void {
    for (const node of [...this.#table.values()]) {
      if (this.feedsOf(node).length === 0) this.#forgetUnlessAbove(node);
    }
    this.#outside = 0;
    this.#last = undefined;
  }

  /** What the filesystem's mark covers is found again by its handle when something happens in it. */
  protected override forgetPlaces(): void {
    for (const node of [...this.#table.values()]) {
      if (this.#isWhole(node) && !this.isMarked(node)) this.#forgetUnlessAbove(node);
    }
    this.#last = undefined;
    this.#merged.clear();
    this.#replacements.clear();
  }

  /** Forgets a directory that is no target, and has none below it. */
  #forgetUnlessAbove(node: Node<Mark>): void {
    for (const below of this.tree.subtree(node)) if (below.tag.anchors.length > 0) return;
    this.tree.remove(node);
    this.#table.delete(node.tag.mark!.key, 0);
  }
}

/** Bits that only kernels newer than this version send. */
const UNKNOWN = ["other"] as const;

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

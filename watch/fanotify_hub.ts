/**
 * One fanotify group for many watchers: from its records to what is told. The tree of directory handles is in
 * `fanotify_tree.ts`.
 *
 * @module
 */

import { FanotifyRecord, nameAt } from "../backends/fanotify/decode.ts";
import type { GroupWish } from "../backends/fanotify/group.ts";
import { copyKey, type HandleKey, isKey, isSubvolumeOf } from "../backends/fanotify/handle.ts";
import { mayOpen } from "../backends/limits.ts";
import { nameKey } from "../backends/tree.ts";
import { fanotifyKinds } from "../classify/fanotify.ts";
import {
  FAN_CREATE,
  FAN_DELETE,
  FAN_DELETE_SELF,
  FAN_MOVE_SELF,
  FAN_ONDIR,
  FAN_Q_OVERFLOW,
  FAN_RENAME,
} from "../ffi/abi/fanotify.ts";
import type { Libc } from "../ffi/port.ts";
import type { Reactor } from "../ffi/reactor.ts";
import type { Node } from "./audience.ts";
import type { Pending } from "./backlog.ts";
import { type Arrival, Arrivals } from "./exchanges.ts";
import { type Exchanged, secondHalf } from "./fanotify_exchange.ts";
import { FanotifyTree, type Mark } from "./fanotify_tree.ts";
import { type Circumstances, circumstances, type ExchangeHalf, type Feed } from "./feed.ts";
import {
  type Astray,
  inOrder,
  isSameName,
  keyOfName,
  MergedRecords,
  type Name,
} from "./merged_records.ts";
import { Replacements } from "./replacements.ts";

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

/** The hub of an fanotify group. */
export class FanotifyHub extends FanotifyTree {
  readonly #merged = new MergedRecords<Mark>((directory) => this.isLinked(directory));
  readonly #arrivals = new Arrivals<Mark, HandleKey>();
  readonly #replacements: Replacements<Mark>;

  constructor(libc: Libc, reactor: Reactor, wish: GroupWish) {
    super(libc, reactor, wish);
    this.#replacements = new Replacements(this.backlog);
    this.start();
  }

  // --- reading ---

  protected override turn(): boolean {
    const pending = this.backlog.first();
    if (pending === undefined) {
      this.caughtUp();
      return false;
    }
    if (!this.#process(pending)) {
      this.runLater(1);
      return false;
    }
    this.backlog.drop();
    this.processed();
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
      this.sequence = first + at;
      if ((record.bits & FAN_Q_OVERFLOW) !== 0) {
        // While this record is queued more is lost without another one: what is behind it may have gaps.
        this.backlog.skip();
        this.sequence = this.group.bytesRead - 1;
        this.lostAll("the kernel's queue was full (fs.fanotify.max_queued_events)");
        return true;
      }
      if (!this.#isPlaced(record)) return false;
      const { pid } = record;
      about.pid = pid;
      about.actor = this.backlog.actorOf(pid, pending);
      this.#happened(record, about);
      pending.next = end;
      this.sequence = first + end - 1; // behind this record, before the next
    }
    return true;
  }

  /** Whether the directories of a record are known, or could be found. */
  #isPlaced(record: FanotifyRecord): boolean {
    const { bits, batch, directory } = record;
    if (this.wholes.isEmpty) return true;
    if (directory >= 0 && this.find(batch.words, directory) === undefined) return false;
    if ((bits & FAN_RENAME) === 0) return true;
    const { target } = record;
    return target === undefined || this.find(batch.words, target.directory) !== undefined;
  }

  #happened(record: FanotifyRecord, about: Circumstances): void {
    const { bits, batch } = record;
    const isDirectory = (bits & FAN_ONDIR) !== 0;
    if ((bits & FAN_RENAME) !== 0) return this.#renamed(record, isDirectory, about);
    if (this.wholes.tellReplaced) this.#replacements.noteLinks(record);
    // Without a directory the kernel says something of an inode that has no name there: a link count that fell.
    if (record.directory < 0) return;
    const node = this.nodeAt(batch.words, record.directory);
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
        this.isThere({ directory: node, name, nameBytes }, copyKey(batch.words, record.object))
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
    const child = object < 0 ? undefined : this.table.get(batch.words, object);
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
    const isBrief = (bits & FAN_DELETE) !== 0 && this.isWhole(node);
    const isKept = isBrief || this.feedsOf(node).length > 0;
    if ((bits & FAN_CREATE) !== 0 && object >= 0 && isKept) {
      const known = child !== undefined && child.parent === node;
      const added = known
        ? child
        : this.learnNew(node, name, copyKey(batch.words, object), nameBytes, child);
      // A snapshot comes with its contents.
      const isFilled = isSubvolumeOf(batch.words, object, record.directory);
      const isAnew = (isFilled || !this.isCovered(added)) && (bits & FAN_DELETE) === 0;
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
    const node = this.table.get(words, object);
    if (node === undefined) return;
    for (const feed of [...node.tag.anchors]) this.rootGone(feed, node, "remove.directory", about);
    this.depart(node);
  }

  /**
   * Forgets the directories that are gone. Not before the queue is read: a removal that the kernel merged into the record
   * of the creation stands before what happened inside in between.
   */
  protected override caughtUp(): void {
    this.backlog.caughtUp(); // first, for what comes next may read ahead
    if (!this.#tellMerged()) return this.runLater(1);
    this.forgetDeparted();
    this.#replacements.clear();
    this.#arrivals.clear();
    super.caughtUp();
  }

  protected override forgetPlaces(): void {
    super.forgetPlaces();
    this.#merged.clear();
    this.#replacements.clear();
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
    if (to !== undefined) {
      this.#tellOrphans(to);
      // No directory gives way to a file: what was told to be there has left.
      const there = this.tree.child(to.directory, to.name, to.nameBytes);
      if (!isDirectory && exchange === undefined) this.#detachIfAstray(there);
    }
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
      const other = this.table.get(exchange.other, 0) ??
        this.learn(to.directory, to.name, exchange.other, to.nameBytes);
      this.displace(other, isDirectory);
    }
    if (isDirectory) this.#directoryMoved(key, move, knowing, about);
  }

  /** A rename; undefined where it is nobody's business. */
  #moveOf(record: FanotifyRecord, isDirectory: boolean): Move | undefined {
    const { batch, directory, target, object } = record;
    const from = directory < 0 ? undefined : this.nodeAt(batch.words, directory);
    const to = target === undefined ? undefined : this.nodeAt(batch.words, target.directory);
    const child = isDirectory && object >= 0 ? this.table.get(batch.words, object) : undefined;
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
    if (!asks || !this.isWhole(directory)) return undefined;
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
    const isDirectorys = !isDirectory && this.#detachIfAstray(there);
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
      if (to !== undefined) {
        this.tree.move(child, to.directory, to.name, to.nameBytes);
        this.relinked(child); // to where targets in it were found already
        this.disarm(child);
      } else if (!this.holdsTarget(child)) this.abandon(child);
    }
    if (to === undefined) return;
    const node = child ?? this.learn(to.directory, to.name, key, to.nameBytes);
    const feeds = this.feedsOf(node);
    const isNew = !this.isCovered(node) && node.tag.mark?.isInode !== true;
    const newcomers = isNew ? feeds : this.newcomers(node, knowing);
    if (newcomers.some((feed) => feed.looksInto)) this.armNew(node, newcomers, about);
  }

  /** A directory is not where the records left it: it is found again once all is read. */
  #strayed(key: HandleKey, { directory, name, nameBytes }: Name<Mark>): void {
    this.#merged.strayed(key);
    this.moved(directory, name, nameBytes, undefined, "", undefined, true, circumstances());
  }

  /** {@linkcode #detach} of a directory of which the kernel may have merged a rename; whether it is one. */
  #detachIfAstray(node: Node<Mark> | undefined): boolean {
    const mark = node?.tag.mark;
    if (mark === undefined || this.#merged.left(mark.key) === undefined) return false;
    this.#detach(node!);
    return true;
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
    const find = () => secondHalf(record, key, this.backlog.behind(record.offset + record.length));
    let found = find();
    if (found === "unread") {
      this.awaitSecondHalf(from?.directory, from?.name ?? "", from?.nameBytes, to.directory);
      if (!this.backlog.readAhead()) return undefined;
      found = find();
    }
    return found === "unread" ? undefined : found;
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
      const astray = this.#merged.astray((name, key) => this.isThere(name, key));
      for (const { last } of astray) if (last !== undefined) this.awaitChangesIn(last.directory);
      if (astray.length > 0 && this.backlog.readAhead()) return false;
      const now = circumstances();
      for (const one of inOrder(astray)) this.#tellAstray(one, now);
    }
    this.#merged.clear();
    return true;
  }

  /** A file is not where the records left it: it is told where it is. */
  #tellAstray(
    { key, isDirectory, last, actual, hasLeft }: Astray<Mark>,
    about: Circumstances,
  ): void {
    const node = isDirectory ? this.table.get(key, 0) : undefined;
    if (node !== undefined && actual !== undefined && last !== undefined) {
      const { parent, name, nameBytes } = node;
      // It was found there by looking, and told with what is in it: all that is left to tell is that it left.
      const isFound = parent !== null && isSameName({ directory: parent, name, nameBytes }, actual);
      if (isFound) {
        const { directory, name, nameBytes } = last;
        return this.moved(directory, name, nameBytes, undefined, "", undefined, true, about);
      }
    }
    if (node !== undefined && actual !== undefined) {
      this.targetsMoved(node, about);
      this.tree.move(node, actual.directory, actual.name, actual.nameBytes);
    }
    if (last === undefined) return this.found(actual!, isDirectory, about);
    if (actual === undefined && !hasLeft) {
      // Another file that has its name was found by looking.
      if (!isDirectory && this.keyAt(last) !== undefined) return;
      return this.gone(last, isDirectory, about);
    }
    this.moved(
      last.directory,
      last.name,
      last.nameBytes,
      actual?.directory,
      actual?.name ?? "",
      actual?.nameBytes,
      isDirectory,
      about,
    );
    if (node === undefined) return;
    if (actual === undefined) return this.abandon(node);
    const knowing = this.knowingOf(last.directory, last.name, last.nameBytes);
    this.armNew(node, this.newcomers(node, knowing), about);
  }
}

/** Bits that only kernels newer than this version send. */
const UNKNOWN = ["other"] as const;

/**
 * The inotify instance of the process, for many watchers: a watch a directory, and the tree of watch descriptors.
 *
 * @module
 */

import type { InotifyRecord } from "../backends/inotify/decode.ts";
import { InotifyInstance } from "../backends/inotify/instance.ts";
import { nameKey } from "../backends/tree.ts";
import { inotifyKind, inotifyMask } from "../classify/inotify.ts";
import { GRACE, RenamePairing } from "../classify/rename.ts";
import {
  IN_CREATE,
  IN_DELETE,
  IN_DELETE_SELF,
  IN_DONT_FOLLOW,
  IN_EXCL_UNLINK,
  IN_IGNORED,
  IN_ISDIR,
  IN_MOVE_SELF,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  IN_ONLYDIR,
  IN_Q_OVERFLOW,
  IN_UNMOUNT,
} from "../ffi/abi/inotify.ts";
import { fileStatus, pathOfFd } from "../ffi/file.ts";
import { O_CLOEXEC, O_DIRECTORY, O_PATH } from "../ffi/abi/open.ts";
import type { Libc } from "../ffi/port.ts";
import type { Reactor } from "../ffi/reactor.ts";
import { cString } from "../ffi/text.ts";
import type { Node } from "./audience.ts";
import { type Arrival, Arrivals, NEAR } from "./exchanges.ts";
import { type Circumstances, circumstances, type Feed } from "./feed.ts";
import type { Name } from "./merged_records.ts";
import { type Marked, TreeHub } from "./tree_hub.ts";

/** What the tree needs to stay true, whatever the watchers want. */
const STRUCTURE = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF |
  IN_MOVE_SELF |
  IN_ONLYDIR | IN_EXCL_UNLINK;

/** Bits of records after which a name stands for another directory, or for none. */
const GIVE_UP = IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;

/** Bits of records of a name that comes or goes: while one is made, its directory is locked. */
const NAMED = IN_CREATE | GIVE_UP;

/** What is known of one rename when it may begin an exchange. */
interface Reversible {
  /** The directory that lost its name to what was renamed. */
  readonly displaced: Node<number> | undefined;
  /** The watch of what was renamed. */
  readonly wd: number | undefined;
  /** Whether the rename back that follows is the other half; undefined while that was not found out. */
  readonly isExchange: boolean | undefined;
}

/** The hub of the process's inotify instance. A mark is a watch descriptor. */
export class InotifyHub extends TreeHub<number> {
  readonly #instance: InotifyInstance;
  readonly #watches = new Map<number, Node<number>>();
  readonly #pairing = new RenamePairing<InotifyRecord>();
  /** What each list of patterns asks for. */
  readonly #masks = new WeakMap<readonly string[], number>();
  /** How many queued records give up the name of a directory, by {@linkcode entryKey}. */
  readonly #givenUp = new Map<string, number>();
  /** How many queued records are of directories that come into a directory, or leave it, by its watch. */
  readonly #inFlux = new Map<number, number>();
  readonly #arrivals = new Arrivals<number, Reversible>();
  /**
   * Names that were told to have been left, by {@linkcode entryKey}, where that may have been half of an exchange: the
   * kernel merges a name that came into the one before if both are alike, and behind more renames nothing tells them apart.
   */
  readonly #doubtful = new Map<string, Name<number>>();
  #isLossAhead = false;
  /** The watches that there were before a loss. */
  readonly #former = new Set<number>();

  constructor(libc: Libc, reactor: Reactor) {
    super(libc, reactor);
    this.#instance = new InotifyInstance(libc);
    this.start();
  }

  protected override get fd(): number {
    return this.#instance.fd;
  }

  override get bytesRead(): number {
    return this.#instance.bytesRead;
  }

  protected override closeQueue(): void {
    this.#instance.close();
  }

  /**
   * The node of a target: found by its watch descriptor, for the kernel gives an inode one watch, however it is reached.
   */
  protected override anchorNode(feed: Feed): Node<number> {
    const bytes = cString(feed.directory);
    const wd = this.#instance.add(bytes, feed.path, this.#mask([feed]));
    const known = this.#watches.get(wd);
    if (known !== undefined) return known;
    const node = this.tree.add(null, this.#canonical(bytes) ?? feed.directory, this.newTag(wd));
    this.#watches.set(wd, node);
    return node;
  }

  /** The path that the kernel gives a directory, which symlinks in the user's spelling do not change. */
  #canonical(path: Uint8Array<ArrayBuffer>): string | undefined {
    const fd = this.libc.open(path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0) return undefined;
    const canonical = pathOfFd(this.libc, fd);
    this.libc.close(fd);
    return canonical;
  }

  #mask(feeds: readonly Feed[]): number {
    let mask = STRUCTURE;
    for (const { filter: { patterns } } of feeds) {
      let wanted = this.#masks.get(patterns);
      if (wanted === undefined) this.#masks.set(patterns, wanted = inotifyMask(patterns));
      mask |= wanted;
    }
    return mask >>> 0;
  }

  // --- watches ---

  protected override isMarked(node: Node<number>): boolean {
    return node.tag.mark !== undefined;
  }

  protected override mark(node: Node<number>): Marked {
    const mask = this.#mask(this.feedsOf(node)) | (node.parent === null ? 0 : IN_DONT_FOLLOW);
    const wd = this.#instance.add(this.entryBytes(node), this.tree.path(node), mask >>> 0);
    const known = this.#watches.get(wd);
    const { mark } = node.tag;
    if (known === node) return "known";
    // The kernel knows the inode under another name of ours: it has moved and the records are still queued, or it is
    // a target of its own, or mounted twice. The newest name is the one that was just seen.
    if (known !== undefined) {
      if (this.isMoving(known)) return "moving";
      this.absorb(known, node);
    }
    // A name that had another inode before: that watch goes with its inode.
    if (mark !== undefined && mark !== wd) this.#watches.delete(mark);
    node.tag.mark = wd;
    this.#watches.set(wd, node);
    return known === undefined ? "new" : "known";
  }

  protected override forget(node: Node<number>): void {
    if (node.tag.mark !== undefined) this.#watches.delete(node.tag.mark);
    node.tag.mark = undefined;
  }

  protected override forgetPlaces(): void {
    for (const wd of this.#watches.keys()) this.#former.add(wd);
  }

  /** Takes back the watches of directories that were moved to where nobody asks for them. */
  protected override placesFound(): void {
    for (const wd of this.#former) if (!this.#watches.has(wd)) this.#instance.remove(wd);
    this.#former.clear();
  }

  protected override readAhead(): void {
    while (this.#read() > 0) this.runLater(0);
  }

  protected override caughtUp(): void {
    this.#arrivals.clear();
    this.#tellDoubtful();
    super.caughtUp();
  }

  /** Looks after the names that may be there though no record says so. */
  #tellDoubtful(): void {
    for (const [key, name] of this.#doubtful) {
      const { directory } = name;
      const path = this.entryBytes(directory, name.name, name.nameBytes);
      const status = this.isLinked(directory) ? fileStatus(this.libc, path) : undefined;
      if (status !== undefined) {
        this.awaitChangesIn(directory);
        this.readAhead();
        if (this.#pairing.isWaiting) return; // which may tell of it
      }
      this.#doubtful.delete(key);
      if (status !== undefined) this.found(name, status.type === "directory", circumstances());
    }
  }

  /** An entry of the directory came or went, as a record says. */
  #changed(directory: Node<number>, name: string, nameBytes: Uint8Array | undefined): void {
    this.#arrivals.changed(directory);
    const { mark } = directory.tag;
    if (this.#doubtful.size > 0) this.#doubtful.delete(entryKey(mark!, name, nameBytes));
  }

  protected override isGivenUp(
    { tag: { mark } }: Node<number>,
    name: string,
    nameBytes: Uint8Array | undefined,
  ): boolean {
    if (mark === undefined || this.#givenUp.size === 0) return false;
    return this.#givenUp.has(entryKey(mark, name, nameBytes));
  }

  protected override isInFlux({ tag: { mark } }: Node<number>): boolean {
    return mark !== undefined && this.#inFlux.has(mark);
  }

  protected override get isLossAhead(): boolean {
    return this.#isLossAhead;
  }

  /** Pairing changes the order: what is found by looking may be told by anything, until the queue is read to its end. */
  protected override get position(): number {
    return 0;
  }

  protected override get readPosition(): number {
    return 1;
  }

  protected override unmark(node: Node<number>): void {
    const { mark } = node.tag;
    if (mark === undefined) return;
    this.#instance.remove(mark);
    this.#watches.delete(mark);
    node.tag.mark = undefined;
  }

  // --- reading ---

  protected override turn(): boolean {
    const now = performance.now();
    const count = this.#read();
    this.#told(now);
    // The other half of a rename may never come; then nothing but the clock moves on what waits behind the first.
    if (this.#pairing.isWaiting) {
      this.runLater(GRACE);
    } else if (count === 0) this.caughtUp();
    return count > 0;
  }

  /** Reads once; how many records there were. */
  #read(): number {
    const records = this.#instance.read();
    const loss = records.findIndex(({ mask }) => (mask & IN_Q_OVERFLOW) !== 0);
    if (loss >= 0) {
      // While this record is queued more is lost without another one: what is behind it may have gaps.
      records.length = loss + 1;
      this.#isLossAhead = true;
      while (this.#instance.read().length > 0);
    }
    this.#pairing.push(records, performance.now());
    for (const record of records) this.#noteName(record, 1);
    return records.length;
  }

  /** Counts the queued records that change which directories there are. */
  #noteName({ wd, mask, name, nameBytes }: InotifyRecord, change: number): void {
    if ((mask & IN_ISDIR) === 0 || (mask & (GIVE_UP | IN_CREATE)) === 0) return;
    count(this.#inFlux, wd, change);
    if ((mask & GIVE_UP) !== 0) count(this.#givenUp, entryKey(wd, name, nameBytes), change);
  }

  #told(now: number): void {
    const time = Date.now();
    for (const { record, to } of this.#pairing.take(now)) {
      this.#noteName(record, -1);
      if (to !== undefined) this.#noteName(to, -1);
      const raw = to === undefined ? record : { from: record, to };
      const about = circumstances({ record: () => raw }, time);
      this.#happened(record, to, about);
    }
  }

  #happened(record: InotifyRecord, to: InotifyRecord | undefined, about: Circumstances): void {
    const { wd, mask, name, nameBytes } = record;
    if ((mask & IN_Q_OVERFLOW) !== 0) {
      this.#isLossAhead = false;
      return this.lostAll("the kernel's queue was full (fs.inotify.max_queued_events)");
    }
    const node = this.#watches.get(wd);
    if (node === undefined) {
      // The first half of a rename in a directory that is watched no more; the second half came into one that is.
      if (to !== undefined) this.#happened(to, undefined, about);
      return;
    }
    const isDirectory = (mask & IN_ISDIR) !== 0;
    if ((mask & (IN_MOVED_FROM | IN_MOVED_TO)) !== 0) {
      return this.#moved(node, record, to, isDirectory, about);
    }
    if (name === "") return this.#happenedToItself(node, mask, about);
    const kind = inotifyKind(mask);
    if (kind === undefined) return;
    if ((mask & (IN_CREATE | IN_DELETE)) !== 0) this.#changed(node, name, nameBytes);
    if ((mask & IN_CREATE) !== 0) {
      const told = this.wereTold(node, name, nameBytes);
      this.entry(node, name, nameBytes, isDirectory, [kind], about, told);
      if (isDirectory) this.#armChild(node, name, nameBytes, told, about);
      return;
    }
    this.entry(node, name, nameBytes, isDirectory, [kind], about);
    if ((mask & IN_DELETE) === 0) return;
    this.wereTold(node, name, nameBytes);
    const child = isDirectory ? this.tree.child(node, name, nameBytes) : undefined;
    if (child !== undefined) this.tree.remove(child);
  }

  /** Something happened to the watched directory itself. Its parent's watch says the same, where there is one. */
  #happenedToItself(node: Node<number>, mask: number, about: Circumstances): void {
    if ((mask & IN_UNMOUNT) !== 0) {
      for (const feed of [...node.tag.anchors]) {
        feed.end("the filesystem was unmounted", false); // which is told by who knows of mounts
        this.release(feed, node);
      }
      return;
    }
    if ((mask & (IN_DELETE_SELF | IN_MOVE_SELF)) !== 0) {
      const kind = (mask & IN_MOVE_SELF) !== 0 ? "rename.out" : "remove.directory";
      for (const feed of [...node.tag.anchors]) {
        this.rootGone(feed, node, kind, about);
      }
      if ((mask & IN_MOVE_SELF) !== 0 && node.parent === null) this.disarm(node);
      return;
    }
    if ((mask & IN_IGNORED) !== 0) {
      if (node.tag.mark !== undefined) this.#watches.delete(node.tag.mark);
      node.tag.mark = undefined;
      return this.uncovered.freed();
    }
    const kind = inotifyKind(mask);
    const covered = node.parent === null ? [] : this.feedsOf(node.parent);
    const feeds = node.tag.anchors.filter((feed) => !covered.includes(feed));
    if (kind !== undefined) this.own(node, feeds, [kind], about);
  }

  #moved(
    node: Node<number>,
    record: InotifyRecord,
    to: InotifyRecord | undefined,
    isDirectory: boolean,
    about: Circumstances,
  ): void {
    const isFrom = (record.mask & IN_MOVED_FROM) !== 0;
    const target = to ?? (isFrom ? undefined : record);
    const from = isFrom ? node : undefined;
    const toNode = target === undefined ? undefined : this.#watches.get(target.wd);
    const [name, nameBytes] = [record.name, record.nameBytes];
    const [newName, newNameBytes] = [target?.name ?? "", target?.nameBytes];
    if (from !== undefined) this.wereTold(from, name, nameBytes);
    const told = toNode && this.wereTold(toNode, newName, newNameBytes);
    const displaced = toNode && this.tree.child(toNode, newName, newNameBytes);
    const [key, newKey] = [nameKey(name, nameBytes), nameKey(newName, newNameBytes)];
    const first = from && this.#firstHalf(from, record, key, toNode, newKey);
    const child = first === undefined
      ? from && this.tree.child(from, name, nameBytes)
      : first.identity.displaced;
    about.exchange = first && { isFirst: false, isOtherDirectory: first.isDirectory };
    if (from !== undefined) {
      const isDoubtful = first === undefined && this.#arrivals.isLast(from, key);
      this.#changed(from, name, nameBytes);
      const place = { directory: from, name, nameBytes };
      if (isDoubtful) this.#doubtful.set(entryKey(from.tag.mark!, name, nameBytes), place);
    }
    if (toNode !== undefined) this.#changed(toNode, newName, newNameBytes);
    if (toNode !== undefined) {
      const identity: Reversible = { displaced, wd: child?.tag.mark, isExchange: undefined };
      const arrival = { name: newKey, from, fromName: key, isDirectory, identity };
      const second = first === undefined
        ? this.#secondHalf(from, record, toNode, newKey)
        : undefined;
      const isExchange = first === undefined
        ? second && this.#isExchange(toNode, arrival, second, second)
        : false;
      this.#arrivals.came(toNode, { ...arrival, identity: { ...identity, isExchange } });
      if (isExchange && second !== undefined) {
        about.exchange = { isFirst: true, isOtherDirectory: (second.mask & IN_ISDIR) !== 0 };
      }
    }
    const knowing = this.knowing(from, name, nameBytes, about.exchange);
    this.moved(from, name, nameBytes, toNode, newName, newNameBytes, isDirectory, about, told);
    if (displaced !== undefined && displaced !== child) {
      if (about.exchange?.isFirst) this.displace(displaced, isDirectory);
      else if (isDirectory) this.tree.remove(displaced);
    }
    if (!isDirectory) return;
    if (child !== undefined) {
      this.targetsMoved(child, about);
      const path = this.tree.path(child);
      this.tree.move(child, toNode ?? null, toNode === undefined ? path : newName, newNameBytes);
      this.disarm(child);
    }
    if (toNode !== undefined) this.#armChild(toNode, newName, newNameBytes, knowing, about);
  }

  /** The first half of the exchange of which this rename is the second. */
  #firstHalf(
    from: Node<number>,
    record: InotifyRecord,
    key: string,
    to: Node<number> | undefined,
    newKey: string,
  ): Arrival<number, Reversible> | undefined {
    const first = this.#arrivals.reversed(from, key, to, newKey);
    if (first !== undefined && to === undefined) this.#unmerge(record);
    const isIt = first && (first.identity.isExchange ?? this.#isExchange(from, first, record));
    return isIt ? first : undefined;
  }

  /**
   * The rename back, to where `record` was in `from`, that follows the one in hand to `newKey` in `to`, as that of an
   * exchange does.
   */
  #secondHalf(
    from: Node<number> | undefined,
    { name, nameBytes }: InotifyRecord,
    to: Node<number>,
    newKey: string,
  ): InotifyRecord | undefined {
    const key = nameKey(name, nameBytes);
    for (let isComplete = false;; isComplete = true) {
      let count = 0;
      for (const next of this.#pairing.behind()) {
        if (count++ > NEAR) return undefined;
        const isThere = next.wd === to.tag.mark;
        if ((next.mask & NAMED) === 0 || (!isThere && next.wd !== from?.tag.mark)) continue;
        const isBack = isThere && (next.mask & IN_MOVED_FROM) !== 0 &&
          nameKey(next.name, next.nameBytes) === newKey;
        if (!isBack) return undefined;
        const end = this.#pairing.partner(next);
        if (end === undefined) {
          if (!isComplete) break; // it may not have been read
          this.#unmerge(next);
        }
        const back = end && this.#watches.get(end.wd);
        if (back !== from) return undefined;
        return back === undefined || nameKey(end!.name, end!.nameBytes) === key ? next : undefined;
      }
      if (isComplete) return undefined;
      this.awaitSecondHalf(from, name, nameBytes, to);
      this.readAhead();
    }
  }

  /**
   * Whether a rename to a name in `to`, and the one back, whose first half is `second`, are an exchange. Two renames leave
   * the name free, an exchange does not. What is of another type was not the same; of a directory its own watch tells
   * whether it moved; else what is queued of the name, or what is there now. Undefined where nothing of that tells.
   *
   * @param last behind which the rest is queued; undefined where `second` was given out
   */
  #isExchange(
    to: Node<number>,
    { isDirectory, identity: { displaced, wd } }: Arrival<number, Reversible>,
    second: InotifyRecord,
    last?: InotifyRecord,
  ): boolean | undefined {
    if (isDirectory !== ((second.mask & IN_ISDIR) !== 0)) return true;
    if (isDirectory) {
      const whose = this.#movedNext(to, second, last, displaced?.tag.mark, wd);
      if (whose !== undefined) return whose !== wd;
      // One of them has no watch, and the one that has one did not move.
      if ((wd === undefined) !== (displaced?.tag.mark === undefined)) return wd !== undefined;
    }
    return this.#isThere(to, second, last);
  }

  /**
   * Puts the record back that is missing behind `second`, a move to where nobody watches, if the name was exchanged: the kernel merges a move from a name into the one queued before, whatever moved (inotify's event_compare()
   * asks for mask and name alone). Where the name is exchanged again then, what is left is a lone second half, and the
   * rename back.
   */
  #unmerge(second: InotifyRecord): void {
    let came: InotifyRecord | undefined;
    let count = 0;
    for (const next of this.#pairing.behind(second)) {
      if (count++ > NEAR) return;
      if ((next.mask & NAMED) === 0) continue;
      if (came === undefined) {
        if ((next.mask & IN_MOVED_TO) !== 0 && this.#isLone(next)) came = next;
        else if (next.wd === second.wd) return;
        continue;
      }
      if (next.wd !== second.wd && next.wd !== came.wd) continue;
      const isBack = (next.mask & IN_MOVED_FROM) !== 0 && isSamePlace(next, came) &&
        ((came.mask ^ second.mask) & IN_ISDIR) === 0 &&
        isSamePlace(this.#pairing.partner(next), second);
      const node = this.#watches.get(came.wd);
      if (!isBack || node === undefined || !this.#isThere(node, came, next)) return;
      const merged = { ...second, cookie: came.cookie };
      this.#pairing.insert(merged, second);
      return this.#noteName(merged, 1);
    }
  }

  /** Whether the first half of a rename is not queued; records that interleave may have it ahead. */
  #isLone(to: InotifyRecord): boolean {
    for (const { mask, cookie } of this.#pairing.behind()) {
      if ((mask & IN_MOVED_FROM) !== 0 && cookie === to.cookie) return false;
    }
    return true;
  }

  /** Whether a name is there behind `last`, as what is queued tells, or the filesystem; undefined where none does. */
  #isThere(
    directory: Node<number>,
    { name, nameBytes }: InotifyRecord,
    last: InotifyRecord | undefined,
  ): boolean | undefined {
    const key = nameKey(name, nameBytes);
    const queued = this.#isThereBehind(last, directory, key);
    if (queued !== "untold") return queued;
    if (this.isOutdated(directory)) return undefined;
    const path = this.entryBytes(directory, name, nameBytes);
    const isThere = fileStatus(this.libc, path) !== undefined;
    this.awaitChangesIn(directory);
    this.readAhead();
    const since = this.#isThereBehind(last, directory, key);
    return since === "untold" ? isThere : since;
  }

  /** Which of two watches tells of the move of which `second` tells, being that of its directory. */
  #movedNext(
    from: Node<number>,
    second: InotifyRecord,
    last: InotifyRecord | undefined,
    one: number | undefined,
    other: number | undefined,
  ): number | undefined {
    for (let isComplete = false;; isComplete = true) {
      const end = this.#pairing.partner(second);
      for (const next of this.#pairing.behind(last)) {
        const { mask, wd } = next;
        if ((mask & IN_MOVE_SELF) !== 0 && (wd === one || wd === other)) return wd;
        if ((mask & NAMED) === 0 || next === end) continue;
        if (wd === second.wd || wd === end?.wd) return undefined;
      }
      if (isComplete) return undefined;
      this.awaitChangesIn(from);
      this.readAhead();
    }
  }

  /**
   * What is queued behind a record tells of a name: whether it was there, or undefined where that is open. A rename to the
   * name leaves it open, but for one that begins another exchange: then it was.
   */
  #isThereBehind(
    last: InotifyRecord | undefined,
    { tag: { mark } }: Node<number>,
    key: string,
  ): boolean | undefined | "untold" {
    const left = new Map<number, InotifyRecord>();
    let came: InotifyRecord | undefined;
    let isExchanged = false;
    for (const next of this.#pairing.behind(last)) {
      const { mask, wd, cookie, name, nameBytes } = next;
      if ((mask & NAMED) === 0) continue;
      if ((mask & IN_MOVED_FROM) !== 0) left.set(cookie, next);
      if (wd !== mark || nameKey(name, nameBytes) !== key) continue;
      if (came === undefined && (mask & IN_MOVED_TO) !== 0) {
        came = next;
        continue;
      }
      if (came === undefined) return (mask & IN_CREATE) === 0 || (isExchanged ? undefined : false);
      const isBack = (mask & IN_MOVED_FROM) !== 0 &&
        isSamePlace(left.get(came.cookie), this.#pairing.partner(next));
      if (!isBack) return undefined;
      if (((mask ^ came.mask) & IN_ISDIR) !== 0) return true;
      isExchanged = true; // if it is there behind
      came = undefined;
    }
    return came === undefined ? "untold" : undefined;
  }

  /** Arms a directory that appeared, for all but those who knew it under another name. */
  #armChild(
    node: Node<number>,
    name: string,
    nameBytes: Uint8Array | undefined,
    knowing: readonly Feed[],
    about: Circumstances,
  ): void {
    const known = this.tree.child(node, name, nameBytes);
    const child = known ?? this.tree.add(node, name, this.newTag(), nameBytes);
    const feeds = this.feedsOf(child);
    const newcomers = known?.tag.mark === undefined ? feeds : this.newcomers(known, knowing);
    if (newcomers.some((feed) => feed.looksInto)) this.armNew(child, newcomers, about);
    else if (known === undefined) this.tree.remove(child);
  }
}

function count<K>(counts: Map<K, number>, key: K, change: number): void {
  const now = (counts.get(key) ?? 0) + change;
  if (now === 0) counts.delete(key);
  else counts.set(key, now);
}

function entryKey(wd: number, name: string, nameBytes: Uint8Array | undefined): string {
  return `${wd} ${nameKey(name, nameBytes)}`;
}

function isSamePlace(one: InotifyRecord | undefined, other: InotifyRecord | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return entryKey(one.wd, one.name, one.nameBytes) ===
    entryKey(other.wd, other.name, other.nameBytes);
}

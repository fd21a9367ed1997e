/**
 * A hub with a tree of the directories it knows: arms them one by one, looks into those that appear, and arms all anew
 * after a loss. What is particular to inotify and fanotify is in `inotify_hub.ts` and `fanotify_hub.ts`.
 *
 * @module
 */

import { isWithin, nameKey } from "../backends/tree.ts";
import { ENOENT, ENOTDIR, ESTALE } from "../ffi/abi/errno.ts";
import { SystemError, systemError, WatchLimitError } from "../ffi/errno.ts";
import { awaitChanges, fileStatus, readDirectory } from "../ffi/file.ts";
import { cString, encodeText, joinPath } from "../ffi/text.ts";
import { NOBODY, type Node } from "./audience.ts";
import { DispatchHub, type Entry, type Finding } from "./dispatch.ts";
import { type Circumstances, circumstances, type Feed, type Gap } from "./feed.ts";
import type { Name } from "./merged_records.ts";
import { Turns } from "./turns.ts";
import { Uncovered } from "./uncovered.ts";

/** Where a directory is for system calls, and how that is given back. */
export interface Reach {
  readonly path: Uint8Array;
  readonly release: () => void;
}

/** A directory that is looked into later: what is to be announced then, and which place in the stream is awaited. */
interface Deferred {
  readonly found: Finding | undefined;
  readonly until: number;
}

/**
 * `new`: it had no mark. `known`: it had one, or is known under another name. `moving`: it is known under a name that
 * queued records take from it.
 */
export type Marked = "new" | "known" | "moving";

/** How a directory that has gone refuses. */
const GONE: readonly number[] = [ENOENT, ENOTDIR, ESTALE];

/** The parts that inotify and fanotify share. */
export abstract class TreeHub<Mark> extends DispatchHub<Mark> {
  /** Directories that are looked into once what is queued is processed, and what is to be announced of them then. */
  readonly #deferred = new Map<Node<Mark>, Deferred>();
  /** What could not be armed. */
  protected readonly uncovered: Uncovered<Mark> = new Uncovered(this.libc, this.tree, {
    wanting: (node) => this.isLinked(node) ? this.feedsOf(node) : NOBODY,
    caughtUpAt: () => this.caughtUpAt,
    runLater: (delay) => this.runLater(delay),
  });
  /** Since when events may be missing; undefined while none are. */
  #lostSince: number | undefined;
  /** Whether the tree is being repaired, and whether more was lost meanwhile. */
  #isRepairing = false;
  #repairAgain = false;

  /** Puts a watch or mark on the directory, or changes the one it has. Throws where the kernel refuses. */
  protected abstract mark(node: Node<Mark>): Marked;

  /** Takes the directory's own watch or mark back. */
  protected abstract unmark(node: Node<Mark>): void;

  /** Whether the directory has a watch or mark of its own. */
  protected abstract isMarked(node: Node<Mark>): boolean;

  /** Forgets a watch or mark that may be another directory's than the node's. */
  protected abstract forget(node: Node<Mark>): void;

  /** Reads what is queued, to be processed later. */
  protected abstract readAhead(): void;

  /** Whether a record that was read, and is not processed yet, gives the name of a directory to another one, or to none. */
  protected abstract isGivenUp(
    parent: Node<Mark>,
    name: string,
    nameBytes: Uint8Array | undefined,
  ): boolean;

  /** Whether a record that was read, and is not processed yet, is of a directory that comes into this one, or leaves it. */
  protected abstract isInFlux(node: Node<Mark>): boolean;

  /** Whether a record that was read, and is not processed yet, says that some were lost. */
  protected abstract get isLossAhead(): boolean;

  /** The directory from which on a path leads to `node`, because something else than a path leads there. */
  protected wayFrom(_node: Node<Mark>): Node<Mark> | null {
    return null;
  }

  /** Where system calls find a directory; undefined where it is gone. */
  protected reach(node: Node<Mark>): Reach | undefined {
    return { path: this.tree.bytes(node), release: () => {} };
  }

  // --- targets ---

  /** The node of a target. */
  protected abstract anchorNode(feed: Feed): Node<Mark>;

  /** Covers `feed` with a watch or mark on each directory. */
  async addTree(feed: Feed, isWanted: () => boolean): Promise<void> {
    const node = this.anchorNode(feed);
    this.anchor(feed, node);
    this.uncovered.arming.add(feed);
    try {
      if (feed.isLate) this.armLate(feed, node);
      else if (this.#asksForTree(feed) || this.mark(node) === "moving") {
        await this.#armTree(node, () => isWanted() && !this.isClosed);
        if (this.uncovered.isLimited(feed)) await this.uncovered.pollFromNow(feed);
      }
    } catch (error) {
      this.remove(feed);
      throw error;
    } finally {
      this.uncovered.arming.delete(feed);
    }
  }

  /** Whether more has to be known of a target than that something happens in its directory. */
  #asksForTree({ looksInto, sink }: Feed): boolean {
    return looksInto || sink.replaced !== undefined;
  }

  protected override withdraw(feed: Feed, home: Node<Mark>): void {
    this.release(feed, home);
    this.uncovered.release(feed);
    if (this.homes.size === 0) return; // the queue is closed, and its marks go with it
    this.disarm(home, feed.looksInto ? this.tree.subtree(home) : [home]);
  }

  override marks(feed: Feed): number {
    const home = this.homes.get(feed);
    if (home === undefined) return 0;
    return [...this.tree.subtree(home)]
      .filter((node) => this.isMarked(node) && this.feedsOf(node).includes(feed)).length;
  }

  override gaps(feed: Feed): readonly Gap[] {
    return [...feed.gaps, ...this.uncovered.gaps(feed)];
  }

  /** Takes back every mark in the subtree, or of those nodes of it, that nobody wants any more. */
  protected disarm(
    node: Node<Mark>,
    nodes: Iterable<Node<Mark>> = this.tree.subtree(node),
  ): void {
    for (const below of [...nodes]) {
      if (this.feedsOf(below).length > 0) continue;
      this.uncovered.delete(below);
      if (below.tag.mark === undefined) continue;
      this.unmark(below);
      below.tag.names = undefined;
    }
    this.uncovered.freed();
  }

  /**
   * Both nodes stand for one directory: `known` was learned first, as a target of its own or under a name that queued
   * records are about to change. All that hangs on it goes over to `node`.
   */
  protected absorb(known: Node<Mark>, node: Node<Mark>): void {
    if (isWithin(node, known)) { // what is above it is another directory by now, which a loss hid
      known.tag.mark = undefined;
      this.#defer(known, undefined);
      return;
    }
    for (const child of [...(known.children?.values() ?? [])]) {
      this.tree.move(child, node, child.name, child.nameBytes);
    }
    for (const feed of known.tag.anchors) {
      node.tag.anchors.push(feed);
      this.homes.set(feed, node);
    }
    known.tag.anchors = [];
    known.tag.mark = undefined;
    this.tree.remove(known);
    this.tree.epoch++;
    this.relinked();
  }

  /**
   * Other filesystems are mounted at these paths below the target of `feed`, as the user spells them: takes back what is
   * hidden, and arms what came to light.
   */
  async remounted(feed: Feed, points: readonly string[]): Promise<void> {
    this.tree.epoch++;
    for (const point of points) {
      const home = this.homes.get(feed);
      const node = home && this.#nodeBelow(home, point.slice(feed.directory.length));
      if (node === undefined) continue;
      this.#hidden(node);
      if (!this.feedsOf(node).includes(feed)) continue;
      try {
        await this.#armTree(node, () => this.homes.has(feed), false);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
      }
    }
  }

  /** The node of a path below a target; made where its directory is known. */
  #nodeBelow(home: Node<Mark>, path: string): Node<Mark> | undefined {
    const names = path.split("/").filter((name) => name !== "");
    let node: Node<Mark> | null = home;
    for (const [i, name] of names.entries()) {
      const child: Node<Mark> | undefined = this.tree.child(node, name, undefined);
      if (child === undefined && i < names.length - 1) return undefined;
      node = child ?? this.tree.add(node, name, this.newTag());
    }
    return node;
  }

  /** Forgets what nobody wants any more of a directory that something is mounted on: what becomes of it is told to nobody. */
  #hidden(node: Node<Mark>): void {
    for (const below of [...this.tree.subtree(node)].reverse()) {
      if (this.feedsOf(below).length > 0) continue;
      this.uncovered.delete(below);
      this.conceal(below);
      below.tag.names = undefined;
      if (below !== node && (below.children?.size ?? 0) === 0) this.tree.remove(below);
    }
    this.uncovered.freed();
  }

  /** Takes back the watch or mark of a directory that no path leads to. */
  protected conceal(node: Node<Mark>): void {
    this.unmark(node);
  }

  // --- arming directory by directory ---

  /**
   * Arms a directory that exists since before the watch, with all below it where that is wanted, in slices that leave
   * the event loop free. `isWanted` is asked between slices, so that a closed watcher stops arming.
   */
  async #armTree(
    root: Node<Mark>,
    isWanted: () => boolean,
    isTarget = true,
  ): Promise<void> {
    const waiting = [root];
    const turns = new Turns();
    for (let node = waiting.pop(); node !== undefined && isWanted(); node = waiting.pop()) {
      if (node !== root && !this.isLinked(node)) continue; // forgotten meanwhile
      waiting.push(...this.#armOne(node, isTarget && node === root, undefined));
      if (turns.isOver) await turns.next();
    }
  }

  /**
   * Arms a directory that has just appeared, with all below it. What is found inside was there before the watch, or came
   * with it, and is announced by nobody else, so it is announced here, to those of `feeds` who want it: watch first, look
   * then, and what is told twice is dropped.
   *
   * Where what is queued changes which directories are on the way or inside, what is seen now does not fit the records in
   * between. Then the directory is unseen until those are processed: nothing that happens in it is told, what comes out of
   * it comes from outside, and looking into it finds the result.
   */
  protected armNew(node: Node<Mark>, feeds: readonly Feed[], about: Circumstances): void {
    // Who does not know the parent is told with it.
    const audience = node.parent === null ? feeds : this.audience(node.parent);
    const newcomers = feeds.filter((feed) => audience.includes(feed));
    if (!newcomers.some((feed) => feed.looksInto)) return;
    // No record and no actor: who made a directory need not have filled it.
    this.#armAll(node, { ...circumstances(undefined, about.time), feeds: newcomers });
  }

  /** Arms a target that appeared while it was waited for, and announces what is there. Throws where it cannot. */
  protected armLate(feed: Feed, node: Node<Mark>): void {
    this.#armAll(node, { ...circumstances(), feeds: [feed] }, true);
  }

  #armAll(node: Node<Mark>, found: Finding | undefined, isRoot = false): void {
    const waiting = [node];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      waiting.push(...this.#armOne(next, isRoot && next === node, found));
    }
  }

  /** Arms one directory; the subdirectories to arm next. */
  #armOne(node: Node<Mark>, isRoot: boolean, found: Finding | undefined): Node<Mark>[] {
    // What is seen counts only if the path leads to the directory all the time.
    const from = this.wayFrom(node);
    const isRepair = found === undefined && this.#lostSince !== undefined;
    const isSure = () => {
      if (from === node) return true;
      if (found !== undefined || isRepair) this.#awaitChanges(node, from);
      return isRoot || !this.isOutdated(node, from);
    };
    /** It is not where it was, unless the path is another one's now. */
    const vanished = (): Node<Mark>[] => {
      if (isSure()) {
        if (found !== undefined) this.hide(node, found.feeds);
        if (isRepair) this.forget(node);
        if (from !== node) this.tree.remove(node);
      } else this.#defer(node, found);
      return [];
    };
    if (!isSure()) {
      this.#defer(node, found);
      return [];
    }
    let marked: Marked;
    try {
      marked = this.mark(node);
    } catch (error) {
      // Between its announcement and its mark a directory may vanish, or be replaced by something else.
      const isGone = error instanceof SystemError && GONE.includes(error.errno);
      if (isRoot || !isGone) this.#refused(node, isRoot, error, found);
      return isGone ? vanished() : [];
    }
    if (marked === "moving") {
      this.#defer(node, found);
      return [];
    }
    this.uncovered.delete(node);
    const asksNames = this.isMarked(node) &&
      this.feedsOf(node).some(({ sink }) => sink.replaced !== undefined);
    // Names that are known stay: what is on disk now may be behind what is queued.
    const names = asksNames && (marked === "new" || node.tag.names === undefined)
      ? new Set<string>()
      : undefined;
    const isRecursive = this.isRecursive(node);
    if (found === undefined && !isRecursive && names === undefined) return [];
    const place = this.reach(node);
    const unread = (): Node<Mark>[] => {
      const path = this.tree.path(node);
      const error = systemError(this.libc, `list ${path}`, { syscall: "open", path });
      // inotify and fanotify asked for the permission already: it is gone, or there is no file descriptor left.
      if (!(error instanceof WatchLimitError)) return vanished();
      this.#refused(node, isRoot, error, found);
      return [];
    };
    if (place === undefined) return unread();
    try {
      const entries = readDirectory(this.libc, cString(place.path));
      if (entries === undefined) return unread();
      if (!isSure()) {
        if (marked === "new") this.forget(node);
        this.#defer(node, found);
        return [];
      }
      this.readAhead();
      if (found !== undefined) {
        if (this.isInFlux(node)) {
          this.#defer(node, found);
          return [];
        }
        this.show(node, found.feeds);
      }
      if (names !== undefined) node.tag.names = names;
      const next: Node<Mark>[] = [];
      for (const entry of entries) {
        const { name, nameBytes } = entry;
        names?.add(nameKey(name, nameBytes));
        if (!isRecursive && found === undefined) continue;
        // Who has the name now came to it by what is queued, which tells it.
        if (found === undefined && this.isGivenUp(node, name, nameBytes)) continue;
        const path = cString(joinPath(place.path, nameBytes ?? encodeText(name)));
        const isDirectory = entry.isDirectory ?? fileStatus(this.libc, path)?.type === "directory";
        if (found !== undefined) this.announce(node, entry, path, isDirectory, found);
        if (isDirectory) next.push(...this.#wantedChild(node, entry));
      }
      return next;
    } finally {
      place.release();
    }
  }

  /** A directory that the kernel refuses: an error for the target itself, a gap in the coverage of all else. */
  #refused(node: Node<Mark>, isRoot: boolean, error: unknown, found: Finding | undefined): void {
    if (isRoot || !(error instanceof SystemError)) throw error;
    this.uncovered.add(node, error, this.feedsOf(node), found?.feeds);
    // Polling finds what is in it: nobody is to look into it.
    if (error instanceof WatchLimitError && found !== undefined) this.show(node, found.feeds);
  }

  /** The subdirectory as a node, if somebody wants it; none if it is armed already. */
  #wantedChild(node: Node<Mark>, { name, nameBytes }: Entry): Node<Mark>[] {
    const known = this.tree.child(node, name, nameBytes);
    const child = known ?? this.tree.add(node, name, this.newTag(), nameBytes);
    if (this.feedsOf(child).length > 0) return [child];
    if (known === undefined) this.tree.remove(child);
    return [];
  }

  /** An entry that no record tells of: it is there. */
  protected found(
    { directory, name, nameBytes }: Name<Mark>,
    isDirectory: boolean,
    about: Circumstances,
  ): void {
    if (directory.tag.announced?.names.has(nameKey(name, nameBytes))) return;
    directory.tag.names?.add(nameKey(name, nameBytes));
    const found: Finding = { ...about, feeds: this.audience(directory) };
    const entry = { name, nameBytes };
    this.announce(
      directory,
      entry,
      this.entryBytes(directory, name, nameBytes),
      isDirectory,
      found,
    );
    if (!isDirectory) return;
    for (const child of this.#wantedChild(directory, entry)) {
      if (this.isRecursive(child)) this.#armAll(child, found);
    }
  }

  /** The directory is looked into once what is queued is processed. */
  #defer(node: Node<Mark>, found: Finding | undefined): void {
    if (found !== undefined) this.hide(node, found.feeds);
    this.#deferred.set(node, { found, until: this.readPosition });
  }

  /** Looks into the directories that were deferred, as far as they are still where they were put. */
  #lookInto(deferred: readonly (readonly [Node<Mark>, Deferred])[]): void {
    for (const [node] of deferred) this.#deferred.delete(node);
    for (const [node, { found }] of deferred) {
      if (this.feedsOf(node).length === 0 || !this.isLinked(node)) continue;
      // One that is marked may have been another directory then, if that was lost.
      if (found === undefined) this.#armAll(node, undefined);
      else if (node.tag.unseen !== undefined) {
        this.#armAll(node, { ...found, feeds: node.tag.unseen });
      }
    }
  }

  /**
   * Records were processed, up to {@linkcode position}. Others may be so busy on the same filesystem that the queue is never
   * empty: a directory is looked into once what was queued then is processed. One that is nowhere is between two records.
   */
  protected processed(): void {
    if (this.#deferred.size === 0) return;
    const end = this.position + 1;
    this.#lookInto(
      [...this.#deferred].filter(([node, { until }]) => until <= end && this.isLinked(node)),
    );
    this.#repaired();
  }

  protected override caughtUp(): void {
    for (const feed of this.homes.keys()) feed.recovery?.caughtUp();
    this.allTold();
    this.#lookInto([...this.#deferred]);
    this.#repaired();
    for (const node of this.uncovered.due()) this.#armAll(node, undefined);
    super.caughtUp();
  }

  /** Whether directories wait until more is processed, to be looked into then. */
  override get isBehind(): boolean {
    return this.#deferred.size > 0;
  }

  // --- whether what is seen fits the records ---

  /**
   * Whether what is queued gives a name on the way to the directory to another one: then what its path leads to now need
   * not be what the node stands for.
   */
  protected isOutdated(node: Node<Mark>, from: Node<Mark> | null = null): boolean {
    this.readAhead();
    if (this.isLossAhead) return true; // what gives it to another one may be lost
    for (let at = node; at !== from && at.parent !== null; at = at.parent) {
      if (this.isGivenUp(at.parent, at.name, at.nameBytes)) return true;
    }
    return false;
  }

  /** Whether a directory that was just seen elsewhere has left this place, as what is queued says. */
  protected isMoving(node: Node<Mark>): boolean {
    this.#awaitChanges(node, null);
    return this.isOutdated(node);
  }

  /** Waits for those who are changing a name on the way to the directory: what they do is queued then. */
  #awaitChanges(node: Node<Mark>, from: Node<Mark> | null): void {
    const { parent } = node;
    if (parent === null || node === from) return;
    this.#awaitChanges(parent, from);
    this.awaitChangesIn(parent);
  }

  /** Waits for those who are changing a name in the directory. */
  protected awaitChangesIn(node: Node<Mark>): void {
    awaitChanges(this.libc, this.entryBytes(node));
  }

  /**
   * Waits for the second half of an exchange, if the rename of `name` in `from` to a name in `to` may be the first. Where
   * nothing has the old name, it is none, or both halves are queued, for what took the name since came behind.
   */
  protected awaitSecondHalf(
    from: Node<Mark> | undefined,
    name: string,
    nameBytes: Uint8Array | undefined,
    to: Node<Mark>,
  ): void {
    const path = from && this.entryBytes(from, name, nameBytes);
    if (path !== undefined && fileStatus(this.libc, path) === undefined) return;
    this.awaitChangesIn(to);
  }

  // --- loss and repair ---

  /** After a loss the directories have to be found again before the difference can be told. */
  protected override lostAll(reason: string): void {
    super.lostAll(reason);
    for (const feed of this.homes.keys()) feed.recovery?.lostSome();
    this.#lostSince = Math.min(this.#lostSince ?? Infinity, this.caughtUpAt);
    this.forgetPlaces();
    // What was known is no better than nothing: a name may be another directory's by now, and a directory anywhere.
    for (const home of new Set(this.homes.values())) this.#forgetBelow(home);
    this.#repairAgain = true;
    if (this.#isRepairing) return;
    void this.#repair().catch((error) => {
      for (const feed of this.homes.keys()) feed.sink.fail(error);
    });
  }

  /** Forgets the directories that are no targets and have none below; whether there are any. */
  #forgetBelow(node: Node<Mark>): boolean {
    const children = [...node.children?.values() ?? []];
    const kept = children.filter((child) => this.#forgetBelow(child));
    if (node.tag.anchors.length > 0) return true;
    this.forget(node);
    if (kept.length === 0) this.tree.remove(node);
    return kept.length > 0;
  }

  /** Arms the directories anew, and lets the feeds tell the difference. */
  async #repair(): Promise<void> {
    this.#isRepairing = true;
    while (this.#repairAgain) {
      this.#repairAgain = false;
      for (const home of new Set(this.homes.values())) {
        if (this.wayFrom(home) !== null) continue; // a filesystem's mark covers it
        if (home.tag.anchors.length === 0) continue;
        try {
          await this.#armTree(home, () => !this.isClosed);
        } catch (error) {
          if (!(error instanceof SystemError)) throw error;
          this.#endFeeds(home, error.message);
        }
      }
    }
    this.#isRepairing = false;
    this.#repaired();
  }

  /** Lets the feeds tell the difference, unless directories wait for what is queued to be processed. */
  #repaired(): void {
    const since = this.#lostSince;
    if (since === undefined || this.#isRepairing) return;
    for (const { found } of this.#deferred.values()) if (found === undefined) return;
    this.#lostSince = undefined;
    this.placesFound();
    for (const feed of this.homes.keys()) feed.recovery?.lost(since);
  }

  /** A target is not there any more, and nobody said what became of it. */
  #endFeeds(home: Node<Mark>, reason: string): void {
    for (const [feed, node] of this.homes) {
      if (node !== home || feed.gone !== undefined) continue;
      feed.end(reason);
      this.release(feed, node);
    }
  }

  /** Takes what is known of directories outside of all targets for outdated; called when events were lost. */
  protected forgetPlaces(): void {}

  /** The directories have been found again after a loss. */
  protected placesFound(): void {}
}

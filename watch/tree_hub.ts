/**
 * A hub with a tree of the directories it knows: who wants what of each, and the flow from a record to their feeds. What
 * is particular to inotify and fanotify is in `inotify_hub.ts` and `fanotify_hub.ts`.
 *
 * @module
 */

import { type DirectoryNode, DirectoryTree, nameKey } from "../backends/tree.ts";
import type { FileEvent } from "../classify/event.ts";
import { type Kind, matches } from "../classify/kinds.ts";
import { ENOENT, ENOTDIR, ESTALE } from "../ffi/abi/errno.ts";
import { SystemError, systemError, WatchLimitError } from "../ffi/errno.ts";
import { awaitChanges, fileStatus, readDirectory } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import type { Reactor } from "../ffi/reactor.ts";
import { cString, encodeText, joinPath } from "../ffi/text.ts";
import {
  type Circumstances,
  circumstances,
  type ExchangeHalf,
  type Feed,
  type Gap,
} from "./feed.ts";
import { Hub } from "./hub.ts";
import { Looker } from "./look.ts";
import type { Name } from "./merged_records.ts";
import { Recovery } from "./recovery.ts";
import { Turns } from "./turns.ts";

/** What a hub keeps with each directory. */
export interface Tag<Mark> {
  /** The kernel's watch or mark; undefined where the directory has none of its own. */
  mark: Mark | undefined;
  /** Feeds whose target this directory is. */
  anchors: Feed[];
  /** Feeds that want what happens in this directory, valid while `epoch` is the tree's. */
  feeds: readonly Feed[];
  /** Those of them who are told, for they know what is in it; valid likewise. */
  audience: readonly Feed[];
  epoch: number;
  /** The names in it, where somebody asks whether a rename takes one from another file. */
  names: Set<string> | undefined;
  /** Feeds that do not know what is in this directory, until it is looked into; to them it is like outside. */
  unseen: readonly Feed[] | undefined;
  /** What was found by looking; what was queued by then may announce it again. */
  announced: Announced | undefined;
}

/** Names that were announced by looking, and to whom. */
interface Announced {
  readonly names: Map<string, readonly Feed[]>;
  /** The place in the stream of records up to which records tell what looking found. */
  until: number;
}

/** A directory of a hub's tree. */
export type Node<Mark> = DirectoryNode<Tag<Mark>>;

/** Where a directory is for system calls, and how that is given back. */
export interface Reach {
  readonly path: Uint8Array;
  readonly release: () => void;
}

/** What was found by looking: no record, no actor, told to some feeds only. */
interface Finding extends Circumstances {
  readonly feeds: readonly Feed[];
}

/**
 * `new`: it had no mark. `known`: it had one, or is known under another name. `moving`: it is known under a name that
 * queued records take from it.
 */
export type Marked = "new" | "known" | "moving";

/** An entry of a directory. */
interface Entry {
  readonly name: string;
  readonly nameBytes?: Uint8Array | undefined;
}

/** How a directory that has gone refuses. */
const GONE: readonly number[] = [ENOENT, ENOTDIR, ESTALE];

/**
 * After how long a directory is tried again for which there was no watch, mark or file descriptor left, in ms: others may
 * have given some back.
 */
const RETRY = 2000;

const NOBODY: readonly Feed[] = [];

/** The parts that inotify and fanotify share. A feed's home is the node of its target. */
export abstract class TreeHub<Mark> extends Hub<Node<Mark>> {
  protected readonly tree: DirectoryTree<Tag<Mark>> = new DirectoryTree();
  protected readonly looker: Looker;
  /** Directories with `announced` names. */
  readonly #announcing = new Set<Node<Mark>>();
  /** Directories that are looked into once what is queued is processed, and what is to be announced of them then. */
  readonly #deferred = new Map<Node<Mark>, Finding | undefined>();
  /** Directories that are not covered, with all below them, and why. */
  readonly #uncovered = new Map<Node<Mark>, SystemError>();
  /** Who was told that a limit is used up. */
  readonly #limited = new Set<Feed>();
  /** Whose targets are being armed. */
  readonly #arming = new Set<Feed>();
  /** When those that a limit left out are tried again, on the clock of `performance.now()`. */
  #retryAt = Infinity;

  /** When all that was queued had been read, in ms since the epoch. */
  #caughtUpAt = Date.now();
  /** Since when events may be missing; undefined while none are. */
  #lostSince: number | undefined;
  /** Whether the tree is being repaired, and whether more was lost meanwhile. */
  #isRepairing = false;
  #repairAgain = false;

  constructor(libc: Libc, reactor: Reactor) {
    super(libc, reactor);
    this.looker = new Looker(libc);
  }

  /** Takes what is known of directories outside of all targets for outdated; called when events were lost. */
  protected forgetPlaces(): void {}

  /** The directories have been found again after a loss. */
  protected placesFound(): void {}

  /** After a loss the directories have to be found again before the difference can be told. */
  protected override lostAll(reason: string): void {
    super.lostAll(reason);
    for (const feed of this.homes.keys()) feed.recovery?.lostSome();
    this.#lostSince = Math.min(this.#lostSince ?? Infinity, this.#caughtUpAt);
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
    for (const found of this.#deferred.values()) if (found === undefined) return;
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

  /** Puts a watch or mark on the directory, or changes the one it has. Throws where the kernel refuses. */
  protected abstract mark(node: Node<Mark>): Marked;

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

  /** The place in the stream of the record in hand. */
  protected abstract get position(): number;

  /** The place in the stream up to which it was read. */
  protected abstract get readPosition(): number;

  /** The directory from which on a path leads to `node`, because something else than a path leads there. */
  protected wayFrom(_node: Node<Mark>): Node<Mark> | null {
    return null;
  }

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

  /** Takes the directory's own watch or mark back. */
  protected abstract unmark(node: Node<Mark>): void;

  /** Whether the directory has a watch or mark of its own. */
  protected abstract isMarked(node: Node<Mark>): boolean;

  /** The node of a target. */
  protected abstract anchorNode(feed: Feed): Node<Mark>;

  /** What is queued was read: what was found by looking is not announced again. */
  protected override caughtUp(): void {
    this.#caughtUpAt = Date.now();
    for (const feed of this.homes.keys()) feed.recovery?.caughtUp();
    this.looker.caughtUp();
    for (const node of this.#announcing) node.tag.announced = undefined;
    this.#announcing.clear();
    const deferred = [...this.#deferred];
    this.#deferred.clear();
    for (const [node, found] of deferred) {
      if (this.feedsOf(node).length === 0 || !this.isLinked(node)) continue;
      // One that is marked may have been another directory then, if that was lost.
      if (found === undefined) this.#armAll(node, undefined);
      else if (node.tag.unseen !== undefined) {
        this.#armAll(node, { ...found, feeds: node.tag.unseen });
      }
    }
    this.#repaired();
    this.#retry();
    super.caughtUp();
  }

  /** Whether directories wait until more is processed, to be looked into then. */
  override get isBehind(): boolean {
    return this.#deferred.size > 0;
  }

  // --- who wants what ---

  protected newTag(mark?: Mark): Tag<Mark> {
    return {
      mark,
      anchors: [],
      feeds: NOBODY,
      audience: NOBODY,
      epoch: -1,
      names: undefined,
      unseen: undefined,
      announced: undefined,
    };
  }

  /** The feeds that want what happens in `node`: its own, and the recursive ones of its parent that do not ignore it. */
  protected feedsOf(node: Node<Mark>): readonly Feed[] {
    const { tag } = node;
    if (tag.epoch === this.tree.epoch) return tag.feeds;
    const inherited = node.parent === null ? NOBODY : this.feedsOf(node.parent);
    let feeds = tag.anchors.length === 0 ? NOBODY : tag.anchors;
    if (inherited.length > 0) {
      const path = this.tree.path(node);
      const kept = inherited.filter((feed) =>
        this.#reachesBelow(feed, node.parent!) && !feeds.includes(feed) &&
        this.takes(feed, node.parent!, node.name, node.nameBytes) && !feed.ignores(path, true)
      );
      feeds = feeds.length === 0 && kept.length === inherited.length
        ? inherited
        : [...feeds, ...kept];
    }
    tag.feeds = feeds;
    tag.audience = audienceOf(node);
    tag.epoch = this.tree.epoch;
    return feeds;
  }

  /** Those of {@linkcode feedsOf} who know what is in `node`, and so are told what happens there. */
  protected audience(node: Node<Mark>): readonly Feed[] {
    if (node.tag.epoch !== this.tree.epoch) this.feedsOf(node);
    return node.tag.audience;
  }

  /** Whether `feed`, which wants what happens in `node`, wants what happens in its subdirectories. */
  #reachesBelow(feed: Feed, node: Node<Mark>): boolean {
    return feed.recursive || (feed.isLasting && this.homes.get(feed) === node);
  }

  /** Whether `feed`, which wants what happens in `node`, wants that entry: of a target that is a name, the name alone. */
  protected takes(
    feed: Feed,
    node: Node<Mark>,
    name: string,
    nameBytes: Uint8Array | undefined,
  ): boolean {
    return feed.only === undefined || (feed.only === name && nameBytes === undefined) ||
      this.homes.get(feed) !== node;
  }

  /** The feeds that are told what happens to an entry of `node`. */
  protected takersOf(
    node: Node<Mark>,
    name: string,
    nameBytes: Uint8Array | undefined,
  ): readonly Feed[] {
    return this.audience(node).filter((feed) => this.takes(feed, node, name, nameBytes));
  }

  /** The feeds that know what is in a directory of that name in `node`: those who are told of it, and do not ignore it. */
  protected knowingOf(
    node: Node<Mark>,
    name: string,
    nameBytes: Uint8Array | undefined,
  ): readonly Feed[] {
    const path = this.tree.prefix(node) + name;
    return this.takersOf(node, name, nameBytes).filter((feed) => !feed.ignores(path, true));
  }

  /** Whether somebody wants to know what is in `node`. */
  protected isRecursive(node: Node<Mark>): boolean {
    return this.feedsOf(node).some((feed) => feed.looksInto);
  }

  /** Anchors `feed` at `node`. */
  protected anchor(feed: Feed, node: Node<Mark>): void {
    node.tag.anchors.push(feed);
    this.tree.epoch++;
    this.#respell(feed, node);
    this.settle(feed, node);
  }

  /** Notes how the path of the node differs from the user's spelling. */
  #respell(feed: Feed, node: Node<Mark>): void {
    const path = this.tree.path(node);
    feed.canonical = path === feed.directory ? undefined : path;
  }

  /** Nodes were linked to parents that were not known before. */
  protected relinked(): void {
    for (const [feed, home] of this.homes) this.#respell(feed, home);
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

  /** Takes `feed` off its anchor. */
  protected release(feed: Feed, node: Node<Mark>): void {
    node.tag.anchors = node.tag.anchors.filter((other) => other !== feed);
    this.tree.epoch++;
  }

  /** Covers `feed` with a watch or mark on each directory. */
  async addTree(feed: Feed, isWanted: () => boolean): Promise<void> {
    const node = this.anchorNode(feed);
    this.anchor(feed, node);
    this.#arming.add(feed);
    try {
      if (feed.isLate) this.armLate(feed, node);
      else if (this.#asksForTree(feed) || this.mark(node) === "moving") {
        await this.#armTree(node, () => isWanted() && !this.isClosed);
        if (this.#limited.has(feed)) {
          await this.#recovery(feed)?.pollFromNow(() => this.#limitedPaths(feed));
        }
      }
    } catch (error) {
      this.remove(feed);
      throw error;
    } finally {
      this.#arming.delete(feed);
    }
  }

  /** Whether more has to be known of a target than that something happens in its directory. */
  #asksForTree({ looksInto, sink }: Feed): boolean {
    return looksInto || sink.replaced !== undefined;
  }

  protected override withdraw(feed: Feed, home: Node<Mark>): void {
    this.release(feed, home);
    this.#limited.delete(feed);
    if (this.homes.size === 0) return; // the queue is closed, and its marks go with it
    this.disarm(home, feed.looksInto ? this.tree.subtree(home) : [home]);
  }

  override marks(feed: Feed): number {
    const home = this.homes.get(feed);
    if (home === undefined) return 0;
    return [...this.tree.subtree(home)]
      .filter((node) => this.isMarked(node) && this.feedsOf(node).includes(feed)).length;
  }

  // --- what happened ---

  /** An entry of `node` had these things happen to it. */
  protected entry(
    node: Node<Mark>,
    name: string,
    nameBytes: Uint8Array | undefined,
    isDirectory: boolean,
    kinds: readonly Kind[],
    about: Circumstances,
    told: readonly Feed[] = NOBODY,
  ): void {
    const { names } = node.tag;
    const feeds = this.audience(node);
    if (feeds.length === 0 && names === undefined) return;
    const path = this.tree.prefix(node) + name;
    for (let i = 0; i < kinds.length; i++) {
      let kind = kinds[i]!;
      if (names !== undefined) {
        if (matches(kind, "create")) names.add(nameKey(name, nameBytes));
        else if (matches(kind, "remove")) names.delete(nameKey(name, nameBytes));
      }
      let linkOf: string | undefined;
      if (
        kind === "create" && this.#isCreateWanted(feeds, node, name, nameBytes) &&
        this.looker.isDue()
      ) {
        const look = this.looker.create(
          path,
          this.entryBytes(node, name, nameBytes),
          feeds[0]!.since,
        );
        kind = look.kind;
        linkOf = look.linkOf;
      }
      for (let j = 0; j < feeds.length; j++) {
        const feed = feeds[j]!;
        if (!this.takes(feed, node, name, nameBytes)) continue;
        if (told.length > 0 && told.includes(feed) && matches(kind, "create")) continue;
        const event = feed.event(kind, path, isDirectory, about);
        if (event === undefined) continue;
        this.#complete(feed, event, node, name, nameBytes, about);
        if (linkOf !== undefined) event.attributes = { linkOf: feed.spell(linkOf) };
      }
    }
  }

  #isCreateWanted(
    feeds: readonly Feed[],
    node: Node<Mark>,
    name: string,
    nameBytes: Uint8Array | undefined,
  ): boolean {
    for (const feed of feeds) {
      if (feed.filter.wants("create") && this.takes(feed, node, name, nameBytes)) return true;
    }
    return false;
  }

  /** The directory `node` itself, a target of `feeds`, had these things happen to it. */
  protected own(
    node: Node<Mark>,
    feeds: readonly Feed[],
    kinds: readonly Kind[],
    about: Circumstances,
  ): void {
    const path = this.tree.path(node);
    for (const kind of kinds) {
      for (const feed of feeds) {
        if (feed.only !== undefined && this.homes.get(feed) === node) continue;
        const event = feed.event(kind, path, true, about);
        if (event !== undefined) feed.attribute(event, about.actor);
      }
    }
  }

  /** Whether `feed` is told what happens to that entry of `node`. */
  protected sees(
    feed: Feed,
    node: Node<Mark>,
    name: string,
    nameBytes: Uint8Array | undefined,
    isDirectory: boolean,
  ): boolean {
    return this.audience(node).includes(feed) && this.takes(feed, node, name, nameBytes) &&
      !feed.ignores(this.tree.prefix(node) + name, isDirectory);
  }

  /**
   * An entry moved. Who sees both ends sees a rename, who sees one end sees it leave or come.
   *
   * An exchange is told so that it can be applied event by event: the first half takes the name from what was there, which
   * therefore comes back with the second half as if from outside; to who sees one end only, what was there leaves first.
   */
  protected moved(
    from: Node<Mark> | undefined,
    name: string,
    nameBytes: Uint8Array | undefined,
    to: Node<Mark> | undefined,
    newName: string,
    newNameBytes: Uint8Array | undefined,
    isDirectory: boolean,
    about: Circumstances,
    told: readonly Feed[] = NOBODY,
  ): void {
    const sources = from === undefined ? NOBODY : this.audience(from);
    const targets = to === undefined ? NOBODY : this.audience(to);
    const newKey = nameKey(newName, newNameBytes);
    const { exchange } = about;
    const replaced = exchange === undefined
      ? about.replaced ?? to?.tag.names?.has(newKey)
      : undefined;
    if (exchange?.isFirst !== false) from?.tag.names?.delete(nameKey(name, nameBytes));
    to?.tag.names?.add(newKey);
    const isAtOld = (feed: Feed, isDirectory: boolean) =>
      from !== undefined && this.sees(feed, from, name, nameBytes, isDirectory);
    const isAtNew = (feed: Feed, isDirectory: boolean) =>
      to !== undefined && this.sees(feed, to, newName, newNameBytes, isDirectory);
    for (const feed of new Set([...sources, ...targets])) {
      const isFrom = isAtOld(feed, isDirectory);
      const came = isAtNew(feed, isDirectory);
      let left = isFrom;
      let isExchange = false;
      if (exchange !== undefined) {
        const { isFirst, isOtherDirectory } = exchange;
        const otherLeft = isAtNew(feed, isOtherDirectory);
        const otherCame = isAtOld(feed, isOtherDirectory);
        isExchange = isFrom && came && otherLeft && otherCame;
        if (!isFirst) left &&= !otherCame;
        else if (came && !left && otherLeft) {
          this.#leftEntry(feed, to!, newName, newNameBytes, isOtherDirectory, about);
        }
      }
      if (came && !left && exchange === undefined && told.includes(feed)) continue;
      if (came) {
        const kind = left ? "rename" : "rename.in";
        const newPath = this.tree.prefix(to!) + newName;
        const oldPath = from && this.tree.prefix(from) + name;
        const event = feed.event(kind, newPath, isDirectory, about);
        if (event !== undefined) {
          if (left) this.#completeFrom(feed, event, oldPath!, from!, name, nameBytes);
          this.#complete(feed, event, to!, newName, newNameBytes, about);
          if (replaced !== undefined) feed.sink.replaced?.set(event, replaced);
          if (isExchange) {
            event.attributes = left
              ? { exchange: true }
              : { exchange: true, exchangedWith: feed.spell(oldPath!) };
          }
        }
      } else if (left) this.#leftEntry(feed, from!, name, nameBytes, isDirectory, about);
    }
  }

  /** An entry left to where `feed` does not look. */
  #leftEntry(
    feed: Feed,
    node: Node<Mark>,
    name: string,
    nameBytes: Uint8Array | undefined,
    isDirectory: boolean,
    about: Circumstances,
  ): void {
    const path = this.tree.prefix(node) + name;
    const event = feed.event("rename.out", path, isDirectory, about);
    if (event !== undefined) this.#complete(feed, event, node, name, nameBytes, about);
  }

  /**
   * A directory lost its name in the first half of an exchange. To those who see what has the name now it is like outside
   * until the second half.
   */
  protected displace(node: Node<Mark>, isOtherDirectory: boolean): void {
    const { parent, name, nameBytes } = node;
    const feeds = this.feedsOf(node).filter((feed) =>
      parent !== null && this.sees(feed, parent, name, nameBytes, isOtherDirectory)
    );
    this.tree.remove(node);
    if (feeds.length > 0) this.#hide(node, { ...circumstances(), feeds });
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

  /** Those who knew an entry under its old name when it is moved. */
  protected knowing(
    from: Node<Mark> | undefined,
    name: string,
    nameBytes: Uint8Array | undefined,
    exchange: ExchangeHalf | undefined,
  ): readonly Feed[] {
    const takers = from === undefined ? NOBODY : this.knowingOf(from, name, nameBytes);
    if (exchange === undefined || exchange.isFirst) return takers;
    return takers.filter((feed) =>
      !this.sees(feed, from!, name, nameBytes, exchange.isOtherDirectory)
    );
  }

  /** The directory of a target has gone, and with it what the feed watches. */
  protected rootGone(feed: Feed, node: Node<Mark>, kind: Kind, about: Circumstances): void {
    if (feed.only === undefined) {
      const path = feed.canonical ?? feed.directory;
      const event = feed.event(kind, path, true, about);
      if (event !== undefined) feed.attribute(event, about.actor);
    }
    const what = feed.only === undefined ? "it" : "its directory";
    feed.end(`${what} was ${kind === "rename.out" ? "moved away" : "removed"}`);
    this.release(feed, node);
  }

  /** A directory was moved: targets in it are not where they were asked for. */
  protected targetsMoved(node: Node<Mark>, about: Circumstances): void {
    for (const [feed, home] of this.homes) {
      if (feed.gone === undefined && isWithin(home, node)) {
        this.rootGone(feed, home, "rename.out", about);
      }
    }
  }

  #complete(
    feed: Feed,
    event: FileEvent,
    node: Node<Mark>,
    name: string,
    nameBytes: Uint8Array | undefined,
    about: Circumstances,
  ): void {
    if (feed.actor && about.actor !== undefined) event.actor = about.actor;
    if (nameBytes !== undefined || !node.isText) {
      event.pathBytes = feed.spellBytes(this.tree.bytes(node, name, nameBytes));
    }
  }

  #completeFrom(
    feed: Feed,
    event: FileEvent,
    path: string,
    node: Node<Mark>,
    name: string,
    nameBytes: Uint8Array | undefined,
  ): void {
    event.from = feed.spell(path);
    if (nameBytes === undefined && node.isText) return;
    event.fromBytes = feed.spellBytes(this.tree.bytes(node, name, nameBytes));
  }

  /** The path of an entry as a C string. */
  protected entryBytes(
    node: Node<Mark>,
    name = "",
    nameBytes?: Uint8Array,
  ): Uint8Array<ArrayBuffer> {
    return cString(this.tree.bytes(node, name, nameBytes));
  }

  // --- arming directory by directory ---

  /**
   * Arms a directory that exists since before the watch, with all below it where that is wanted, in slices that leave
   * the event loop free. `isWanted` is asked between slices, so that a closed watcher stops arming.
   */
  async #armTree(
    root: Node<Mark>,
    isWanted: () => boolean,
  ): Promise<void> {
    const waiting = [root];
    const turns = new Turns();
    for (let node = waiting.pop(); node !== undefined && isWanted(); node = waiting.pop()) {
      if (node !== root && !this.isLinked(node)) continue; // forgotten meanwhile
      waiting.push(...this.#armOne(node, node === root, undefined));
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

  /** The feeds of `node` that do not know what is in it, `knowing` being those who knew it where it was. */
  protected newcomers(node: Node<Mark>, knowing: readonly Feed[]): readonly Feed[] {
    const { unseen } = node.tag;
    return this.feedsOf(node).filter((feed) => !knowing.includes(feed) || unseen?.includes(feed));
  }

  /** The directory is looked into once what is queued is processed. */
  #defer(node: Node<Mark>, found: Finding | undefined): void {
    this.#hide(node, found);
    this.#deferred.set(node, found);
  }

  /** What is in the directory is not known to those who were to be told. */
  #hide(node: Node<Mark>, found: Finding | undefined): void {
    if (found === undefined) return;
    node.tag.unseen = [...new Set([...node.tag.unseen ?? [], ...found.feeds])];
    this.tree.epoch++;
  }

  /** What is in the directory was seen, at the end of what was read. */
  #show(node: Node<Mark>, { feeds }: Finding): void {
    const { tag } = node;
    if (tag.unseen !== undefined) {
      const unseen = tag.unseen.filter((feed) => !feeds.includes(feed));
      tag.unseen = unseen.length === 0 ? undefined : unseen;
      this.tree.epoch++;
    }
    this.#lookedAt(node);
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

  /** Whether the tree still has the directory where it was put. */
  protected isLinked(node: Node<Mark>): boolean {
    for (let at = node; at.parent !== null; at = at.parent) {
      if (this.tree.child(at.parent, at.name, at.nameBytes) !== at) return false;
    }
    return true;
  }

  /** Where system calls find a directory; undefined where it is gone. */
  protected reach(node: Node<Mark>): Reach | undefined {
    return { path: this.tree.bytes(node), release: () => {} };
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
        this.#hide(node, found);
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
    this.#uncovered.delete(node);
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
        this.#show(node, found);
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
        if (found !== undefined) this.#announce(node, entry, path, isDirectory, found);
        if (isDirectory) next.push(...this.#wantedChild(node, entry));
      }
      return next;
    } finally {
      place.release();
    }
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

  /** The subdirectory as a node, if somebody wants it; none if it is armed already. */
  #wantedChild(node: Node<Mark>, { name, nameBytes }: Entry): Node<Mark>[] {
    const known = this.tree.child(node, name, nameBytes);
    const child = known ?? this.tree.add(node, name, this.newTag(), nameBytes);
    if (this.feedsOf(child).length > 0) return [child];
    if (known === undefined) this.tree.remove(child);
    return [];
  }

  /** The names that looking into the directory announces; what was read by now may tell them again. */
  #lookedAt(node: Node<Mark>): Announced {
    this.#announcing.add(node);
    const announced = node.tag.announced ??= { names: new Map(), until: 0 };
    announced.until = this.readPosition;
    return announced;
  }

  #announce(
    node: Node<Mark>,
    { name, nameBytes }: Entry,
    pathBytes: Uint8Array<ArrayBuffer>,
    isDirectory: boolean,
    found: Finding,
  ): void {
    const key = nameKey(name, nameBytes);
    const feeds = this.takersOf(node, name, nameBytes).filter((feed) => found.feeds.includes(feed));
    if (feeds.length === 0) return;
    const names = node.tag.announced?.names;
    names?.set(key, [...names.get(key) ?? NOBODY, ...feeds]);
    const path = this.tree.prefix(node) + name;
    const kind = isDirectory
      ? "create.directory"
      : this.looker.create(path, pathBytes, found.time).kind;
    for (const feed of feeds) {
      const event = feed.event(kind, path, isDirectory, found);
      if (event !== undefined) this.#complete(feed, event, node, name, nameBytes, found);
    }
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
    this.#announce(
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

  /** An entry that no record tells of: it is gone. */
  protected gone(
    { directory, name, nameBytes }: Name<Mark>,
    isDirectory: boolean,
    about: Circumstances,
  ): void {
    const kind = isDirectory ? "remove.directory" : "remove";
    this.entry(directory, name, nameBytes, isDirectory, [kind], about);
  }

  /** Those to whom the name was already announced by looking; asked once for each name. */
  protected wereTold(
    node: Node<Mark>,
    name: string,
    nameBytes: Uint8Array | undefined,
  ): readonly Feed[] {
    const { announced } = node.tag;
    if (announced === undefined) return NOBODY;
    if (this.position >= announced.until) {
      node.tag.announced = undefined;
      return NOBODY;
    }
    const key = nameKey(name, nameBytes);
    const told = announced.names.get(key);
    announced.names.delete(key);
    return told ?? NOBODY;
  }

  // --- what is not covered ---

  /** A directory that the kernel refuses: an error for the target itself, a gap in the coverage of all else. */
  #refused(node: Node<Mark>, isRoot: boolean, error: unknown, found: Finding | undefined): void {
    if (isRoot || !(error instanceof SystemError)) throw error;
    this.#uncovered.set(node, error);
    const isLimit = error instanceof WatchLimitError;
    if (isLimit) this.#retryWithin(RETRY);
    for (const feed of this.feedsOf(node)) {
      feed.flush(); // what was told before
      if (!isLimit) {
        feed.sink.lost(feed.spell(this.tree.path(node)), reasonOf(error));
        continue;
      }
      // Polling finds what is in it: nobody is to look into it.
      if (found?.feeds.includes(feed)) this.#recovery(feed)?.appeared(this.#bytesFor(feed, node));
      // Told once, of all that the watcher asked for: what a limit leaves out changes from now on.
      if (!this.#limited.has(feed)) {
        this.#limited.add(feed);
        feed.sink.lost(feed.path, reasonOf(error));
      }
      if (!this.#arming.has(feed) || feed.isLate) this.#poll(feed);
    }
    if (isLimit && found !== undefined) this.#show(node, found);
  }

  /** What compares the names that the feed knows with those that are there; undefined where it asked for neither. */
  #recovery(feed: Feed): Recovery | undefined {
    if (feed.recovery === undefined && feed.filter.tellsOfTree) {
      feed.recovery = new Recovery(this.libc, feed);
    }
    return feed.recovery;
  }

  /** Polls for the feed what a limit leaves uncovered. */
  #poll(feed: Feed): void {
    this.#recovery(feed)?.poll(() => this.#limitedPaths(feed), this.#caughtUpAt);
  }

  /** The directories that a limit leaves uncovered. */
  #limitedPaths(feed: Feed): Uint8Array[] {
    const paths: Uint8Array[] = [];
    for (const [node, error] of this.#uncovered) {
      if (!(error instanceof WatchLimitError) || !this.#isMissed(node, feed)) continue;
      paths.push(this.#bytesFor(feed, node));
    }
    return paths;
  }

  #bytesFor(feed: Feed, node: Node<Mark>): Uint8Array {
    return feed.spellBytes(this.tree.bytes(node));
  }

  /** Whether the feed would want what happens in a directory that is not covered. */
  #isMissed(node: Node<Mark>, feed: Feed): boolean {
    return this.isLinked(node) && this.feedsOf(node).includes(feed);
  }

  override gaps(feed: Feed): readonly Gap[] {
    const gaps = [...feed.gaps];
    for (const [node, error] of this.#uncovered) {
      if (!this.#isMissed(node, feed)) continue;
      const isPolled = error instanceof WatchLimitError && feed.recovery !== undefined;
      const reason = (isPolled ? "it is polled: " : "") + reasonOf(error);
      gaps.push({ path: feed.spell(this.tree.path(node)), reason });
    }
    return gaps;
  }

  #retryWithin(delay: number): void {
    this.#retryAt = Math.min(this.#retryAt, performance.now() + delay);
    this.runLater(delay);
  }

  /** Tries the directories again that a limit left out, until it does so once more. */
  #retry(): void {
    const now = performance.now();
    if (this.#retryAt === Infinity) return;
    if (now < this.#retryAt) return this.runLater(this.#retryAt - now);
    this.#retryAt = Infinity;
    for (const [node, error] of [...this.#uncovered]) {
      const isWanted = this.isLinked(node) && this.feedsOf(node).length > 0;
      if (isWanted && !(error instanceof WatchLimitError)) continue;
      this.#uncovered.delete(node);
      if (isWanted) this.#armAll(node, undefined);
      if (this.#retryAt < Infinity) return;
    }
    // All is covered again.
    for (const feed of this.#limited) this.#poll(feed);
    this.#limited.clear();
  }

  /** Takes back every mark in the subtree, or of those nodes of it, that nobody wants any more. */
  protected disarm(
    node: Node<Mark>,
    nodes: Iterable<Node<Mark>> = this.tree.subtree(node),
  ): void {
    for (const below of [...nodes]) {
      if (this.feedsOf(below).length > 0) continue;
      this.#uncovered.delete(below);
      if (below.tag.mark === undefined) continue;
      this.unmark(below);
      below.tag.names = undefined;
    }
    this.freed();
  }

  /** A watch or mark was given back: somebody may lack it. */
  protected freed(): void {
    if (this.#limited.size > 0) this.#retryWithin(0);
  }
}

function reasonOf(error: SystemError): string {
  return error.hint === "" ? error.message : `${error.message}; ${error.hint}`;
}

function isWithin<Mark>(node: Node<Mark>, above: Node<Mark>): boolean {
  for (let at: Node<Mark> | null = node; at !== null; at = at.parent) if (at === above) return true;
  return false;
}

/** The feeds of `node`, whose parent's are known, that know what is in it. */
function audienceOf<Mark>({ tag, parent }: Node<Mark>): readonly Feed[] {
  const { feeds, unseen, anchors } = tag;
  const above = parent?.tag;
  if (unseen === undefined && above?.audience === above?.feeds) return feeds;
  return feeds.filter((feed) =>
    !unseen?.includes(feed) && (anchors.includes(feed) || above!.audience.includes(feed))
  );
}

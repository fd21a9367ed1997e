/**
 * The tree of the directories that a hub knows, who wants what happens in each, and who of them is told: who knows what
 * is in it.
 *
 * @module
 */

import { type DirectoryNode, DirectoryTree, isWithin } from "../backends/tree.ts";
import { cString } from "../ffi/text.ts";
import type { ExchangeHalf, Feed } from "./feed.ts";
import { Hub } from "./hub.ts";

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

/** The feeds of a directory that nobody wants. */
export const NOBODY: readonly Feed[] = [];

/** A hub that knows who wants what. A feed's home is the node of its target. */
export abstract class AudienceHub<Mark> extends Hub<Node<Mark>> {
  protected readonly tree: DirectoryTree<Tag<Mark>> = new DirectoryTree();

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

  /** Whether the tree still has the directory where it was put. */
  protected isLinked(node: Node<Mark>): boolean {
    for (let at = node; at.parent !== null; at = at.parent) {
      if (this.tree.child(at.parent, at.name, at.nameBytes) !== at) return false;
    }
    return true;
  }

  /** The path of an entry as a C string. */
  protected entryBytes(
    node: Node<Mark>,
    name = "",
    nameBytes?: Uint8Array,
  ): Uint8Array<ArrayBuffer> {
    return cString(this.tree.bytes(node, name, nameBytes));
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

  /** The feeds that know what is in a directory of that name in `node`: those who are told of it, and do not ignore it. */
  protected knowingOf(
    node: Node<Mark>,
    name: string,
    nameBytes: Uint8Array | undefined,
  ): readonly Feed[] {
    const path = this.tree.prefix(node) + name;
    return this.takersOf(node, name, nameBytes).filter((feed) => !feed.ignores(path, true));
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

  /** The feeds of `node` that do not know what is in it, `knowing` being those who knew it where it was. */
  protected newcomers(node: Node<Mark>, knowing: readonly Feed[]): readonly Feed[] {
    const { unseen } = node.tag;
    return this.feedsOf(node).filter((feed) => !knowing.includes(feed) || unseen?.includes(feed));
  }

  /** Whether somebody wants to know what is in `node`. */
  protected isRecursive(node: Node<Mark>): boolean {
    return this.feedsOf(node).some((feed) => feed.looksInto);
  }

  /** What is in the directory is not known to those who were to be told. */
  protected hide(node: Node<Mark>, feeds: readonly Feed[]): void {
    node.tag.unseen = [...new Set([...node.tag.unseen ?? [], ...feeds])];
    this.tree.epoch++;
  }

  /** What is in the directory was seen, at the end of what was read. */
  protected show({ tag }: Node<Mark>, feeds: readonly Feed[]): void {
    if (tag.unseen === undefined) return;
    const unseen = tag.unseen.filter((feed) => !feeds.includes(feed));
    tag.unseen = unseen.length === 0 ? undefined : unseen;
    this.tree.epoch++;
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
    if (feeds.length > 0) this.hide(node, feeds);
  }

  /** Anchors `feed` at `node`. */
  protected anchor(feed: Feed, node: Node<Mark>): void {
    node.tag.anchors.push(feed);
    this.tree.epoch++;
    this.#respell(feed, node);
    this.settle(feed, node);
  }

  /** Takes `feed` off its anchor. */
  protected release(feed: Feed, node: Node<Mark>): void {
    node.tag.anchors = node.tag.anchors.filter((other) => other !== feed);
    this.tree.epoch++;
  }

  /** Whether a directory is a target, or one is below it. */
  protected holdsTarget(node: Node<Mark>): boolean {
    return this.tree.subtree(node).some(({ tag }) => tag.anchors.length > 0);
  }

  /** Notes how the path of the node differs from the user's spelling. */
  #respell(feed: Feed, node: Node<Mark>): void {
    const path = this.tree.path(node);
    feed.canonical = path === feed.directory ? undefined : path;
  }

  /** Nodes, or `top` alone, were linked to other parents, or to some that were not known before. */
  protected relinked(top?: Node<Mark>): void {
    for (const [feed, home] of this.homes) {
      if (top === undefined || isWithin(home, top)) this.#respell(feed, home);
    }
  }
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

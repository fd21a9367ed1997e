/**
 * From what happened to an entry of a directory, or was found by looking, to the events of those who are told.
 *
 * @module
 */

import { isWithin, nameKey } from "../backends/tree.ts";
import type { FileEvent } from "../classify/event.ts";
import { type Kind, matches } from "../classify/kinds.ts";
import { AudienceHub, NOBODY, type Node } from "./audience.ts";
import type { Circumstances, Feed } from "./feed.ts";
import { Looker } from "./look.ts";
import type { Name } from "./merged_records.ts";

/** What was found by looking: no record, no actor, told to some feeds only. */
export interface Finding extends Circumstances {
  readonly feeds: readonly Feed[];
}

/** An entry of a directory. */
export interface Entry {
  readonly name: string;
  readonly nameBytes?: Uint8Array | undefined;
}

/** A hub that tells. */
export abstract class DispatchHub<Mark> extends AudienceHub<Mark> {
  readonly #looker = new Looker(this.libc);
  /** Directories with `announced` names. */
  readonly #announcing = new Set<Node<Mark>>();

  /** The place in the stream of the record in hand. */
  protected abstract get position(): number;

  /** The place in the stream up to which it was read. */
  protected abstract get readPosition(): number;

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
        this.#looker.isDue()
      ) {
        const look = this.#looker.create(
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

  /** Whether the record in hand is of what happened before the target of `feed` was one. */
  protected isBefore(_feed: Feed): boolean {
    return false;
  }

  /** The directory of a target has gone, and with it what the feed watches. */
  protected rootGone(feed: Feed, node: Node<Mark>, kind: Kind, about: Circumstances): void {
    if (this.isBefore(feed)) return;
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

  /** What was read by now may tell the names again that looking into the directory announces. */
  protected override show(node: Node<Mark>, feeds: readonly Feed[]): void {
    super.show(node, feeds);
    this.#announcing.add(node);
    const announced = node.tag.announced ??= { names: new Map(), until: 0 };
    announced.until = this.readPosition;
  }

  protected announce(
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
      : this.#looker.create(path, pathBytes, found.time).kind;
    for (const feed of feeds) {
      const event = feed.event(kind, path, isDirectory, found);
      if (event !== undefined) this.#complete(feed, event, node, name, nameBytes, found);
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

  /** All that was queued is told: what was found by looking is not announced again. */
  protected allTold(): void {
    this.#looker.caughtUp();
    for (const node of this.#announcing) node.tag.announced = undefined;
    this.#announcing.clear();
  }
}

/**
 * Where the directories of some trees are, by device and inode: audit names the directory of a call by them alone where
 * the call was relative to an open directory.
 *
 * @module
 */

import { posix } from "node:path";
import { type DirectoryNode, DirectoryTree } from "../backends/tree.ts";
import { listEntries, mountOfFd, openDirectory } from "../backends/poll/listing.ts";
import type { AuditEvent } from "../classify/audit_event.ts";
import { fileStatus } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { cString, decodeText, encodeText, joinPath } from "../ffi/text.ts";
import { Turns } from "./turns.ts";

/** What is kept with a directory: how records name it. */
type Node = DirectoryNode<string>;

/** The topmost directory of a tree, and for how many it was learned. */
interface Root {
  readonly node: Node;
  users: number;
}

/** Directories by the numbers that records have, which follow what is recorded. */
export class DirectoryTable {
  readonly #libc: Libc;
  readonly #tree = new DirectoryTree<string>();
  readonly #roots = new Map<string, Root>();
  readonly #nodes = new Map<string, Node>();
  /** Numbers that several directories share, as subvolumes of btrfs do. */
  readonly #shared = new Set<string>();

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  /** How many directories are known. */
  get size(): number {
    return this.#nodes.size;
  }

  /** The path of a directory, `device` being `major:minor` of its filesystem. */
  resolve(device: string, inode: number | bigint): string | undefined {
    const key = keyOf(device, inode);
    const node = this.#shared.has(key) ? undefined : this.#nodes.get(key);
    return node && this.#tree.path(node);
  }

  /**
   * Learns the directory `root`, and where it is recursive those below it on the same mount, whose filesystem has `device`; in
   * slices that leave the event loop free, until `isWanted` says no.
   */
  async learn(
    root: string,
    device: string,
    recursive: boolean,
    isWanted: () => boolean,
  ): Promise<void> {
    const waiting: { readonly path: Uint8Array; readonly above: Node | null }[] = [
      { path: encodeText(root), above: null },
    ];
    const turns = new Turns();
    let mount: number | undefined;
    for (let at = waiting.pop(); at !== undefined && isWanted(); at = waiting.pop()) {
      const { path } = at;
      const fd = openDirectory(this.#libc, path);
      if (fd < 0) continue; // gone, or not to be read
      try {
        const here = mountOfFd(this.#libc, fd);
        if (here !== (mount ??= here)) continue;
        const inode = fileStatus(this.#libc, cString(""), fd)?.inode;
        if (inode === undefined) continue;
        const name = decodeText(path.subarray(path.lastIndexOf(SLASH) + 1));
        const node = at.above === null
          ? this.#root(root, keyOf(device, inode))
          : this.#add(at.above, name, keyOf(device, inode));
        if (!recursive) return;
        listEntries(this.#libc, fd, (bytes, start, end, type) => {
          if (type !== "directory") return;
          waiting.push({ path: joinPath(path, bytes.subarray(start, end)), above: node });
        });
      } finally {
        this.#libc.close(fd);
      }
      if (turns.isOver) await turns.next();
    }
  }

  /** Forgets a tree that was learned, as often as it was, but for what another one has. */
  forget(root: string): void {
    const known = this.#roots.get(root);
    if (known === undefined || --known.users > 0) return;
    this.#roots.delete(root);
    const kept = new Set<Node>();
    for (const { node } of this.#roots.values()) {
      for (const one of this.#tree.subtree(node)) kept.add(one);
    }
    for (const one of [...this.#tree.subtree(known.node)]) if (!kept.has(one)) this.#drop(one);
  }

  /** Follows what was done: directories that came, went, or moved. */
  note({ kind, path, from, isDirectory, attributes: { paths } }: AuditEvent): void {
    if (!isDirectory || path === "") return;
    if (kind === "create.directory") {
      const made = paths?.find(({ nametype }) => nametype === "CREATE");
      const above = this.#at(posix.dirname(path));
      if (made?.device === undefined || made.inode === undefined || above === undefined) return;
      this.#add(above, posix.basename(path), keyOf(made.device, made.inode));
    } else if (kind === "remove.directory") {
      const node = this.#at(path);
      if (node !== undefined) this.#drop(node);
    } else if (kind === "rename" && from !== undefined) {
      this.#move(from, path);
    }
  }

  #move(from: string, path: string): void {
    const node = this.#at(from);
    const above = this.#at(posix.dirname(path));
    const replaced = this.#at(path);
    if (replaced !== undefined && replaced !== node) this.#drop(replaced);
    if (node === undefined) return;
    // Out of the tree: what is in it has no path that anybody watches.
    if (above === undefined) { for (const one of [...this.#tree.subtree(node)]) this.#drop(one); }
    else this.#tree.move(node, above, posix.basename(path));
  }

  #root(path: string, key: string): Node {
    const known = this.#roots.get(path);
    if (known !== undefined) {
      known.users++;
      return known.node;
    }
    const node = this.#at(path) ?? this.#tree.add(null, path, key);
    this.#roots.set(path, { node, users: 1 });
    this.#nodes.set(key, node);
    return node;
  }

  #add(above: Node, name: string, key: string): Node {
    const there = this.#tree.child(above, name);
    if (there?.tag === key) return there;
    if (there !== undefined) this.#drop(there);
    const other = this.#nodes.get(key);
    const node = this.#tree.add(above, name, key);
    // The number of a directory that has gone is used again; of two that are there nobody can tell which is meant.
    if (other !== undefined && other !== node && this.#isThere(other)) this.#shared.add(key);
    else this.#shared.delete(key);
    this.#nodes.set(key, node);
    return node;
  }

  #isThere(node: Node): boolean {
    return fileStatus(this.#libc, cString(this.#tree.path(node)))?.type === "directory";
  }

  #drop(node: Node): void {
    this.#tree.remove(node);
    if (this.#nodes.get(node.tag) === node) this.#nodes.delete(node.tag);
  }

  /** The directory of a path, where it is known. */
  #at(path: string): Node | undefined {
    for (const [root, { node }] of this.#roots) {
      if (path === root) return node;
      const prefix = root === "/" ? root : `${root}/`;
      if (!path.startsWith(prefix)) continue;
      let at: Node | undefined = node;
      for (const name of path.slice(prefix.length).split("/")) {
        at = at && this.#tree.child(at, name);
      }
      if (at !== undefined) return at;
    }
    return undefined;
  }
}

const SLASH = 0x2f;

function keyOf(device: string, inode: number | bigint): string {
  return `${device} ${inode}`;
}

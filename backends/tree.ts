/**
 * The tree of directories that a backend knows: a node a directory, linked to its parent. Renaming a directory re-links
 * one node, whatever lies below it; paths are built when asked for.
 *
 * @module
 */

import { encodeText } from "../ffi/text.ts";

/** A directory. `Tag` is what the tree's user keeps with each. */
export class DirectoryNode<Tag> {
  /** `null` for the topmost directory that is known; its `name` is then a whole path. */
  parent: DirectoryNode<Tag> | null;
  name: string;
  /** The bytes of `name` where it is not valid UTF-8. */
  nameBytes: Uint8Array | undefined;
  /** Known subdirectories by {@linkcode nameKey}. */
  children: Map<string, DirectoryNode<Tag>> | undefined;
  tag: Tag;
  /** The path with a final slash, valid while `epoch` is the tree's. */
  prefix = "";
  /** Whether every name of the path is valid UTF-8. */
  isText = true;
  epoch = -1;

  constructor(parent: DirectoryNode<Tag> | null, name: string, tag: Tag, nameBytes?: Uint8Array) {
    this.parent = parent;
    this.name = name;
    this.tag = tag;
    this.nameBytes = nameBytes;
  }
}

/** A key that two different names never share: text has no NUL, so a NUL announces raw bytes. */
export function nameKey(name: string, bytes: Uint8Array | undefined): string {
  return bytes === undefined ? name : "\0" + String.fromCharCode(...bytes);
}

/** Whether `node` is `above`, or below it. */
export function isWithin<Tag>(node: DirectoryNode<Tag>, above: DirectoryNode<Tag>): boolean {
  return node === above || (node.parent !== null && isWithin(node.parent, above));
}

/** The operations on {@linkcode DirectoryNode}s that keep links, children and cached paths together. */
export class DirectoryTree<Tag> {
  /** Rises with every re-link, so that no cached path outlives one. */
  epoch = 0;

  /** A new directory below `parent`, or a topmost one whose `name` is its absolute path. */
  add(
    parent: DirectoryNode<Tag> | null,
    name: string,
    tag: Tag,
    nameBytes?: Uint8Array,
  ): DirectoryNode<Tag> {
    const node = new DirectoryNode(parent, name, tag, nameBytes);
    if (parent !== null) (parent.children ??= new Map()).set(nameKey(name, nameBytes), node);
    return node;
  }

  /** The known subdirectory `name` of `parent`. */
  child(
    parent: DirectoryNode<Tag>,
    name: string,
    nameBytes?: Uint8Array,
  ): DirectoryNode<Tag> | undefined {
    return parent.children?.get(nameKey(name, nameBytes));
  }

  /** Moves `node` with all that is below it; takes it out where that is below itself, for then a loss hid something. */
  move(
    node: DirectoryNode<Tag>,
    parent: DirectoryNode<Tag> | null,
    name: string,
    nameBytes?: Uint8Array,
  ): void {
    this.#unlink(node);
    for (let at = parent; at !== null; at = at.parent) if (at === node) return;
    node.parent = parent;
    node.name = name;
    node.nameBytes = nameBytes;
    if (parent !== null) (parent.children ??= new Map()).set(nameKey(name, nameBytes), node);
    this.epoch++;
  }

  /**
   * Takes `node` out of its parent's children. It keeps its parent link, so that what the kernel still says of it (and
   * of what lies below) has a path; no path of another node changes.
   */
  remove(node: DirectoryNode<Tag>): void {
    this.#unlink(node);
  }

  /** `node` and everything below it, parents first. */
  *subtree(node: DirectoryNode<Tag>): Generator<DirectoryNode<Tag>> {
    yield node;
    if (node.children) { for (const child of node.children.values()) yield* this.subtree(child); }
  }

  /** The path of `node` with a final slash. */
  prefix(node: DirectoryNode<Tag>): string {
    if (node.epoch === this.epoch) return node.prefix;
    const { parent, name } = node;
    if (parent !== null) {
      node.prefix = `${this.prefix(parent)}${name}/`;
      node.isText = parent.isText && node.nameBytes === undefined;
    } else node.prefix = name.endsWith("/") ? name : `${name}/`;
    node.epoch = this.epoch;
    return node.prefix;
  }

  /** The path of `node`. */
  path(node: DirectoryNode<Tag>): string {
    const prefix = this.prefix(node);
    return prefix.length === 1 ? prefix : prefix.slice(0, -1);
  }

  /** The path of an entry of `node` as bytes, which is what system calls take. */
  bytes(node: DirectoryNode<Tag>, name = "", nameBytes?: Uint8Array): Uint8Array {
    const parts: Uint8Array[] = [nameBytes ?? encodeText(name)];
    let at = node;
    for (; at.parent !== null; at = at.parent) {
      parts.push(SLASH, at.nameBytes ?? encodeText(at.name));
    }
    parts.push(SLASH, encodeText(at.name === "/" ? "" : at.name));
    const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
    let end = whole.length;
    for (const part of parts) whole.set(part, end -= part.length);
    return name === "" && whole.length > 1 ? whole.subarray(0, -1) : whole;
  }

  #unlink(node: DirectoryNode<Tag>): void {
    const key = nameKey(node.name, node.nameBytes);
    const siblings = node.parent?.children;
    if (siblings?.get(key) === node) siblings.delete(key);
  }
}

const SLASH = encodeText("/");

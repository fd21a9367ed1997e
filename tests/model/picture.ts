/**
 * A tree as one believes it to be who knows nothing but events.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { matches, type WatchEvent } from "../../mod.ts";
import { showPath } from "./operations.ts";

/** Whether each path is a directory; a path has a character a byte. */
export type Entries = ReadonlyMap<string, boolean>;

/** Applies events in their order. */
export class Picture {
  /** The directory that the paths of entries are relative to, with a final slash. */
  readonly #base: string;
  readonly #entries: Map<string, boolean>;

  constructor(base: string, entries: Entries) {
    this.#base = `${base}/`;
    this.#entries = new Map(entries);
  }

  apply({ kind, path, pathBytes, from = "", fromBytes, isDirectory = false }: WatchEvent): void {
    const name = this.#relative(path, pathBytes);
    if (matches(kind, "create")) this.#entries.set(name, isDirectory);
    else if (matches(kind, "remove") || kind === "rename.out") this.#take(name);
    else if (kind === "rename.in") {
      this.#take(name);
      this.#entries.set(name, isDirectory);
    } else if (kind === "rename") {
      const old = this.#relative(from, fromBytes);
      const moved = this.#take(old);
      this.#take(name);
      this.#entries.set(name, isDirectory);
      for (const [below, is] of moved) this.#entries.set(name + below.slice(old.length), is);
    }
  }

  #relative(path: string, bytes: Uint8Array | undefined): string {
    return Buffer.from(bytes ?? Buffer.from(path)).toString("latin1").slice(this.#base.length);
  }

  /** Takes an entry with all below it out. */
  #take(path: string): [string, boolean][] {
    const taken = [...this.#entries].filter(([other]) =>
      other === path || other.startsWith(`${path}/`)
    );
    for (const [other] of taken) this.#entries.delete(other);
    return taken;
  }

  /** How the picture differs from the tree as it is. */
  differences(actual: Entries): string[] {
    const told: string[] = [];
    for (const [path, isDirectory] of actual) {
      const believed = this.#entries.get(path);
      if (believed === undefined) told.push(`${showPath(path)} was not announced`);
      else if (believed !== isDirectory) told.push(`${showPath(path)} is of another type`);
    }
    for (const path of this.#entries.keys()) {
      if (!actual.has(path)) told.push(`${showPath(path)} is not there`);
    }
    return told;
  }
}

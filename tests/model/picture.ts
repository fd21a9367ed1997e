/**
 * A tree as one believes it to be who knows nothing but events.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { matches, type WatchEvent } from "../../mod.ts";
import { INSIDE, showPath } from "./operations.ts";

/** Whether each path is a directory; a path has a character a byte. */
export type Entries = ReadonlyMap<string, boolean>;

/** Applies events in their order. */
export class Picture {
  /** The directory that the paths of entries are relative to, with a final slash. */
  readonly #base: string;
  readonly #entries: Map<string, boolean>;
  readonly #mayMiss: boolean;
  readonly #isMerged: boolean;

  /**
   * Begins with `entries`.
   *
   * @param mayMiss whether names may come and go unnoticed, in a directory before it is watched
   * @param isMerged whether the removal of a name may be told with its creation, which may have been long before
   */
  constructor(base: string, entries: Entries, mayMiss: boolean, isMerged: boolean) {
    this.#isMerged = isMerged;
    this.#base = `${base}/`;
    this.#entries = new Map(entries);
    this.#mayMiss = mayMiss;
  }

  /** Follows an event; says what is wrong with it. */
  apply(event: WatchEvent): string | undefined {
    const { kind, path, pathBytes, from = "", fromBytes, isDirectory = false } = event;
    const name = this.#relative(path, pathBytes);
    if (matches(kind, "create")) {
      const isKnown = this.#entries.has(name);
      this.#entries.set(name, isDirectory);
      return isKnown && !this.#isMerged ? "its name was there" : this.#astray(name);
    }
    if (matches(kind, "remove")) {
      const taken = this.#take(name).length;
      return taken > 1 ? this.#unlessMissed("it was not empty") : this.#unknown(taken);
    }
    if (kind === "rename.out") return this.#unknown(this.#take(name).length);
    if (kind !== "rename" && kind !== "rename.in") return undefined;
    const old = this.#relative(from, fromBytes);
    const moved = kind === "rename" ? this.#take(old) : [];
    this.#take(name);
    this.#entries.set(name, isDirectory);
    for (const [below, is] of moved) this.#entries.set(name + below.slice(old.length), is);
    return this.#astray(name) ?? (kind === "rename" ? this.#unknown(moved.length) : undefined);
  }

  #astray(name: string): string | undefined {
    const directory = name.slice(0, name.lastIndexOf("/"));
    const isThere = directory === INSIDE || this.#entries.get(directory) === true;
    return isThere ? undefined : this.#unlessMissed("its directory was not there");
  }

  #unknown(count: number): string | undefined {
    return count > 0 ? undefined : this.#unlessMissed("its name was not there");
  }

  #unlessMissed(wrong: string): string | undefined {
    return this.#mayMiss ? undefined : wrong;
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

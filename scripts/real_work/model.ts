/**
 * A tree as one believes it to be who knows nothing but events.
 *
 * @module
 */

import { type Dirent, readdirSync } from "node:fs";
import { join } from "node:path";
import { matches, type WatchEvent } from "../../mod.ts";

interface Entry {
  readonly isDirectory: boolean;
  /** The exact kind of its `create`, as far as it was said. */
  readonly type: "file" | "directory" | "symlink" | "link" | "other" | undefined;
  /** It came while the model was kept. */
  readonly isNew: boolean;
}

/** Applies events in their order. */
export class Model {
  readonly #root: string;
  readonly #entries = new Map<string, Entry>();
  readonly #mayMiss: boolean;

  private constructor(root: string, mayMiss: boolean) {
    this.#root = root;
    this.#mayMiss = mayMiss;
    this.#entries.set(root, { isDirectory: true, type: "directory", isNew: false });
  }

  /**
   * Begins with an empty directory.
   *
   * @param mayMiss whether what comes and goes in a new directory may do so before anybody
   * watches the directory
   */
  static ofNothing(root: string, mayMiss: boolean): Model {
    return new Model(root, mayMiss);
  }

  /** Begins with the tree on disk. */
  static ofDisk(root: string, mayMiss: boolean): Model {
    const model = new Model(root, mayMiss);
    for (const [path, entry] of walk(root)) {
      const isDirectory = entry.isDirectory();
      model.#entries.set(path, { isDirectory, type: undefined, isNew: false });
    }
    return model;
  }

  /** Takes an event in; says what is wrong with it. */
  apply(event: WatchEvent): string | undefined {
    const { kind, path, from } = event;
    if (kind === "lost") return `lost: ${event.attributes.reason}`;
    if (matches(kind, "create") || kind === "rename.in") return this.#come(event);
    if (matches(kind, "remove")) {
      const known = this.#entries.get(path);
      this.#entries.delete(path);
      if (known === undefined) return this.#unknown(path, kind);
      const differs = known.isDirectory !== event.isDirectory;
      return differs ? `${kind} ${path} is of another type than its creation` : undefined;
    }
    if (kind === "rename.out") {
      return this.#take(path).length === 0 ? this.#unknown(path, kind) : undefined;
    }
    if (kind !== "rename") return undefined;
    const moved = this.#take(from!);
    this.#take(path);
    for (const [old, entry] of moved) this.#entries.set(path + old.slice(from!.length), entry);
    if (moved.length > 0) return undefined;
    this.#add(event);
    return this.#unknown(from!, kind);
  }

  #come(event: WatchEvent): string | undefined {
    const { kind, path } = event;
    const known = this.#entries.get(path);
    // One that is moved over another replaces it without a word on the other.
    if (kind === "rename.in") this.#take(path);
    this.#add(event);
    return known !== undefined && kind !== "rename.in" ? `${kind} ${path} twice` : undefined;
  }

  #add({ kind, path, isDirectory = false }: WatchEvent): void {
    const exact = matches(kind, "create") ? kind.split(".")[1] : undefined;
    this.#entries.set(path, { isDirectory, type: exact as Entry["type"], isNew: true });
  }

  /** Takes an entry with all below it out. */
  #take(path: string): [string, Entry][] {
    const entry = this.#entries.get(path);
    if (entry === undefined) return [];
    const taken: [string, Entry][] = [[path, entry]];
    if (entry.isDirectory) {
      const prefix = `${path}/`;
      for (const other of this.#entries) if (other[0].startsWith(prefix)) taken.push(other);
    }
    for (const [old] of taken) this.#entries.delete(old);
    return taken;
  }

  /** An event of a name that was never announced. */
  #unknown(path: string, kind: string): string | undefined {
    const parent = this.#entries.get(path.slice(0, path.lastIndexOf("/")));
    const isExcused = this.#mayMiss && (parent === undefined || parent.isNew);
    return isExcused ? undefined : `${kind} of ${path}, which nothing had announced`;
  }

  /** How the model differs from the tree on disk. */
  differences(): string[] {
    const differences: string[] = [];
    const believed = new Map(this.#entries);
    believed.delete(this.#root);
    for (const [path, entry] of walk(this.#root)) {
      const known = believed.get(path);
      believed.delete(path);
      if (known === undefined) differences.push(`${path} is there and was not announced`);
      else if (known.isDirectory !== entry.isDirectory()) {
        differences.push(`${path} is a directory for one of model and disk only`);
      } else if (known.type !== undefined && !isOfType(entry, known.type)) {
        differences.push(`${path} was announced as create.${known.type}`);
      }
    }
    for (const path of believed.keys()) differences.push(`${path} is gone without a word`);
    return differences;
  }
}

function isOfType(entry: Dirent, type: NonNullable<Entry["type"]>): boolean {
  switch (type) {
    case "file":
      return entry.isFile();
    case "directory":
      return entry.isDirectory();
    case "symlink":
      return entry.isSymbolicLink();
    case "link": // of anything but a directory
      return !entry.isDirectory();
    case "other":
      return !entry.isFile() && !entry.isDirectory() && !entry.isSymbolicLink();
  }
}

/** Everything below a directory. */
function* walk(directory: string): Generator<[path: string, entry: Dirent]> {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    yield [path, entry];
    if (entry.isDirectory()) yield* walk(path);
  }
}

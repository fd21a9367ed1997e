/**
 * The names of files that have several, as far as they were met.
 *
 * @module
 */

/** Names are paths, their bytes as latin1; a file is a key of the caller's. */
export class LinkNames {
  readonly #keys = new Map<string, string>();
  readonly #names = new Map<string, Set<string>>();

  /** How many names there are. */
  get size(): number {
    return this.#keys.size;
  }

  /** The file that has a name. */
  fileOf(name: string): string | undefined {
    return this.#keys.get(name);
  }

  /** A name of the file other than this one. */
  otherName(key: string, name: string): string | undefined {
    return [...this.#names.get(key) ?? []].find((one) => one !== name);
  }

  /** The file has this name as well. */
  add(name: string, key: string): void {
    if (this.#keys.get(name) === key) return;
    this.remove(name);
    this.#keys.set(name, key);
    const names = this.#names.get(key);
    if (names === undefined) this.#names.set(key, new Set([name]));
    else names.add(name);
  }

  /** The name is no more. */
  remove(name: string): void {
    const key = this.#keys.get(name);
    if (key === undefined) return;
    this.#keys.delete(name);
    const names = this.#names.get(key)!;
    names.delete(name);
    if (names.size === 0) this.#names.delete(key);
  }

  /** The file has one name left, or none: names are of no use any more. */
  forget(key: string): void {
    for (const name of this.#names.get(key) ?? []) this.#keys.delete(name);
    this.#names.delete(key);
  }

  /** The name itself, and all names below it as a directory. */
  below(path: string): string[] {
    if (this.#keys.size === 0) return [];
    const above = `${path}/`;
    return [...this.#keys.keys()].filter((name) => name === path || name.startsWith(above));
  }

  /** A name has changed, or that of a directory above. */
  rename(from: string, to: string): void {
    for (const name of this.below(from)) {
      const key = this.#keys.get(name)!;
      this.remove(name);
      this.add(to + name.slice(from.length), key);
    }
  }
}

/**
 * What git ignores, as a function for `ignore`: the `.gitignore` files of a repository, and its `info/exclude`.
 *
 * Our own, for what there is on npm matches the patterns of one file (and not always as git does: `ignore` 7.0 takes `?`
 * for a UTF-16 unit): which files count, and for which paths, is the larger part, and they are read through libc.
 *
 * @module
 */

import { posix } from "node:path";
import { type EntryStatus, statusAt } from "../backends/poll/listing.ts";
import { AT_FDCWD, O_NOFOLLOW, O_NONBLOCK } from "../ffi/abi/open.ts";
import { fileStatus, readFile } from "../ffi/file.ts";
import { openLibc } from "../ffi/libc.ts";
import type { Libc } from "../ffi/port.ts";
import { cString, decodeText, encodeText, latin1Text } from "../ffi/text.ts";
import { realPath } from "./targets.ts";
import { type Bytes, wildmatch } from "./wildmatch.ts";

/** A line of a `.gitignore`. */
export interface Pattern {
  readonly matches: RegExp;
  /** Whether it is about the name alone, else about the path below the file's directory. */
  readonly isName: boolean;
  /** Whether it is about directories alone. */
  readonly isDirectory: boolean;
  readonly isNegative: boolean;
}

/** The patterns of a file that can match anything, the last line first: that is the one that decides. */
export function parsePatterns(text: Bytes): Pattern[] {
  return text.replace(/^\xef\xbb\xbf/, "").split(/\r?\n|\r$/).reverse().flatMap((line) => {
    const [, negation, pattern = "", slash] = /^(!?)([^]*?)(\/?)$/.exec(withoutSpaces(line))!;
    if (line.startsWith("#") || pattern === "") return [];
    const isName = !pattern.includes("/");
    const matches = wildmatch(pattern.replace(/^\//, ""), !isName);
    if (matches === undefined) return [];
    return [{ matches, isName, isDirectory: slash !== "", isNegative: negation !== "" }];
  });
}

/** A line without the spaces at its end, but for one behind a backslash (dir.c, `trim_trailing_spaces`). */
function withoutSpaces(line: Bytes): Bytes {
  let end = line.length;
  while (line[end - 1] === " ") end--;
  let backslashes = 0;
  while (line[end - 1 - backslashes] === "\\") backslashes++;
  return line.slice(0, backslashes % 2 === 1 ? end + 1 : end);
}

/** A file of patterns, which are about a directory, and those that decide where it does not. */
interface Rules {
  /** Where a path below that directory begins in the whole one, as bytes. */
  readonly start: number;
  readonly patterns: readonly Pattern[];
  readonly above: Rules | undefined;
}

/** How many files are remembered. */
const MOST_FILES = 4096;

/** How large a file may be, in bytes: as git has it (dir.c). */
const MOST_BYTES = 100 * 1024 * 1024;

/** How long after a change a file may be changed again without another time in its status, in µs. */
const TICK = 20_000;

/** The files of patterns, read where they are new or have changed. */
class PatternFiles {
  readonly #libc: Libc;
  readonly #read = new Map<string, { status: EntryStatus; patterns: readonly Pattern[] }>();
  /** What was found since others had a turn: directories by the path that was asked for, and what counts in them. */
  readonly #directories = new Map<string, string>();
  readonly #rules = new Map<string, Rules | undefined>();

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  /** A directory by the path that the kernel gives it, and what counts for its entries: nothing outside of repositories. */
  at(path: string): { readonly directory: string; readonly rules: Rules | undefined } {
    if (this.#directories.size === 0) queueMicrotask(() => this.#forget());
    let directory = this.#directories.get(path);
    if (directory === undefined) {
      this.#directories.set(path, directory = realPath(this.#libc, path));
    }
    return { directory, rules: this.#rulesOf(directory) };
  }

  #forget(): void {
    this.#directories.clear();
    this.#rules.clear();
  }

  #rulesOf(directory: string): Rules | undefined {
    if (this.#rules.has(directory)) return this.#rules.get(directory);
    const rules = this.#findRules(directory);
    this.#rules.set(directory, rules);
    return rules;
  }

  #findRules(directory: string): Rules | undefined {
    if (posix.basename(directory) === ".git") return undefined;
    const start = directory === "/" ? 1 : bytesOf(directory).length + 1;
    const exclude = this.#excludeOf(directory);
    let above: Rules | undefined;
    if (exclude !== undefined) above = { start, patterns: this.#patterns(exclude), above };
    else if (directory !== "/") above = this.#rulesOf(posix.dirname(directory));
    if (above === undefined) return undefined;
    const patterns = this.#patterns(posix.join(directory, ".gitignore"));
    return patterns.length === 0 ? above : { start, patterns, above };
  }

  /** The path of `info/exclude`, if the directory is the top of a repository (gitrepository-layout(5)). */
  #excludeOf(directory: string): string | undefined {
    let git = posix.join(directory, ".git");
    const type = fileStatus(this.#libc, cString(git))?.type;
    if (type === "file") { // of a submodule, or of a worktree, which has the file in common with others
      const [, path] = /^gitdir: ([^\n]+)/.exec(this.#text(git)) ?? [];
      if (path === undefined) return undefined;
      git = posix.resolve(directory, path);
      git = posix.resolve(git, this.#text(posix.join(git, "commondir")).trimEnd());
    } else if (type !== "directory") return undefined;
    return posix.join(git, "info/exclude");
  }

  /** A file as text, empty where there is none. */
  #text(path: string): string {
    return this.#statusOf(path) === undefined ? "" : decodeText(this.#content(path));
  }

  /** The patterns of a file; none where there is none. */
  #patterns(path: string): readonly Pattern[] {
    const status = this.#statusOf(path);
    if (status === undefined) return NO_PATTERNS;
    const known = this.#read.get(path);
    if (known !== undefined && isSame(known.status, status)) return known.patterns;
    const content = this.#content(path);
    const patterns = parsePatterns(latin1Text(content, content.length));
    if (this.#read.size >= MOST_FILES) this.#read.clear();
    if (status.changed < Date.now() * 1000 - TICK) this.#read.set(path, { status, patterns });
    return patterns;
  }

  /** The status of what may be read: a file, to which no symlink leads (git 2.32), and that fits in memory (git 2.47). */
  #statusOf(path: string): EntryStatus | undefined {
    const bytes = cString(path);
    const status = statusAt(this.#libc, AT_FDCWD, bytes, 0, bytes.length - 1);
    return status?.type === "file" && status.size <= MOST_BYTES ? status : undefined;
  }

  /** The content of a file, which is not waited for where it has become something else by now. */
  #content(path: string): Uint8Array<ArrayBuffer> {
    return readFile(this.#libc, path, O_NOFOLLOW | O_NONBLOCK) ?? new Uint8Array();
  }
}

const NO_PATTERNS: readonly Pattern[] = [];

function isSame(one: EntryStatus, other: EntryStatus): boolean {
  return one.inode === other.inode && one.changed === other.changed && one.size === other.size;
}

/**
 * A function for `ignore` that leaves out what git ignores: by the `.gitignore` files of the repository that a path is
 * in, from the path's own directory up to the repository's top, and by its `info/exclude`; and everything of the name
 * `.git`, of which git tells nothing either. Outside of repositories nothing else is ignored. A repository within another
 * goes by its own files. The user's `core.excludesFile` is not read, and names are taken as they are
 * (`core.ignoreCase`).
 *
 * The files are read when a path below them is asked for, and again when they have changed. What was decided stays:
 * `watch()` asks once for a path, so that a change counts for what appears after it.
 *
 * What is in an ignored directory is not asked for by `watch()`, and cannot be included again, as in git. A directory that
 * is itself the watched path is not asked for, unless it may be missing: one that git ignores can be watched.
 *
 * **Privilege.** None; a file that may not be read is taken for empty.
 *
 * @example
 * ```ts
 * import { gitignore, watch } from "sentinode";
 *
 * await using watcher = watch("/tmp", { ignore: ["*.tmp", await gitignore()] });
 * await watcher.ready;
 * ```
 */
export async function gitignore(): Promise<(path: string, isDirectory: boolean) => boolean> {
  const files = new PatternFiles(await openLibc());
  return (path, isDirectory) => {
    const name = posix.basename(path);
    if (name === ".git") return true;
    const { directory, rules: nearest } = files.at(posix.dirname(path));
    const [whole, last] = [bytesOf(posix.join(directory, name)), bytesOf(name)];
    for (let rules = nearest; rules !== undefined; rules = rules.above) {
      const below = whole.slice(rules.start);
      const deciding = rules.patterns.find((pattern) =>
        (isDirectory || !pattern.isDirectory) && pattern.matches.test(pattern.isName ? last : below)
      );
      if (deciding !== undefined) return !deciding.isNegative;
    }
    return false;
  };
}

function bytesOf(text: string): Bytes {
  const bytes = encodeText(text);
  return latin1Text(bytes, bytes.length);
}

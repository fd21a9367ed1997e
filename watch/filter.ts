/**
 * What of all that happens is wanted: kinds, paths, processes.
 *
 * @module
 */

import process from "node:process";
import { isWanted, KINDS } from "../classify/kinds.ts";
import { globMatcher } from "./glob.ts";

/** A glob, an expression that is tested on the absolute path, or a function. */
export type Ignore = string | RegExp | ((path: string, isDirectory: boolean) => boolean);

/** How many answers of `ignore` are kept, so that a path is asked for once; beyond it the oldest are forgotten. */
const REMEMBERED = 65_536;

/** The kinds that a comparison of two states of a tree finds. */
const OF_TREE = KINDS.filter((kind) =>
  ["create", "modify", "rename", "remove"].includes(kind.split(".")[0]!)
);

/** The compiled `events`, `ignore` and `ignoreProcesses` of a watcher. */
export class Filter {
  /** What has to be seen: more than was asked for, where that is made of it. */
  readonly patterns: readonly string[];
  /** What was asked for. */
  readonly asked: readonly string[];
  readonly #wanted = new Map<string, boolean>();
  readonly #told: Map<string, boolean>;
  readonly #ignore: readonly ((path: string, isDirectory: boolean, root: string) => boolean)[];
  /** Answers by root, then by path: a glob is about the path below its root. */
  readonly #ignored = new Map<string, Map<string, boolean>>();
  readonly #processes: ReadonlySet<number | "self">;

  constructor(
    patterns: readonly string[],
    ignore: readonly Ignore[],
    processes: ReadonlySet<number | "self">,
    seen: readonly string[] = [],
  ) {
    this.asked = patterns;
    this.patterns = seen.length === 0 ? patterns : [...new Set([...patterns, ...seen])];
    this.#told = seen.length === 0 ? this.#wanted : new Map();
    this.#ignore = ignore.map(compileIgnore);
    this.#processes = processes;
  }

  /** The same for every path. */
  everywhere(): Filter {
    return new Filter(this.asked, [], this.#processes, this.patterns);
  }

  /** Whether an event of `kind` has to be seen. Loss is told to everybody. */
  wants(kind: string): boolean {
    return isAmong(kind, this.patterns, this.#wanted);
  }

  /** Whether an event of `kind` was asked for. */
  tells(kind: string): boolean {
    return isAmong(kind, this.asked, this.#told);
  }

  /** Whether a difference between two states of a tree is of any use. */
  get tellsOfTree(): boolean {
    return OF_TREE.some((kind) => this.tells(kind));
  }

  /** Whether there is anything to ask about paths. */
  get asksPaths(): boolean {
    return this.#ignore.length > 0;
  }

  /** Whether `path`, somewhere below `root`, is left out. */
  ignores(path: string, isDirectory: boolean, root: string): boolean {
    if (this.#ignore.length === 0) return false;
    let answers = this.#ignored.get(root);
    if (answers === undefined) this.#ignored.set(root, answers = new Map());
    let ignored = answers.get(path);
    if (ignored === undefined) {
      ignored = this.#ignore.some((test) => test(path, isDirectory, root));
      if (answers.size >= REMEMBERED) answers.delete(answers.keys().next().value!);
      answers.set(path, ignored);
    }
    return ignored;
  }

  /** Whether events of the process are dropped. The set is asked each time, for it may change. */
  ignoresProcess(pid: number): boolean {
    const processes = this.#processes;
    return processes.size > 0 && pid > 0 &&
      (processes.has(pid) || (pid === process.pid && processes.has("self")));
  }

  /** Whether the filter needs to know who did it. */
  get asksProcesses(): boolean {
    return this.#processes.size > 0;
  }
}

function isAmong(
  kind: string,
  patterns: readonly string[],
  answers: Map<string, boolean>,
): boolean {
  let answer = answers.get(kind);
  if (answer === undefined) {
    answer = kind === "lost" || kind === "recovered" || isWanted(kind, patterns);
    answers.set(kind, answer);
  }
  return answer;
}

function compileIgnore(
  ignore: Ignore,
): (path: string, isDirectory: boolean, root: string) => boolean {
  if (typeof ignore === "function") return ignore;
  if (typeof ignore === "string") {
    const matches = globMatcher(ignore);
    return (path, _, root) => matches(path, root);
  }
  return (path) => ignore.test(path);
}

/**
 * Rules: decisions as data, compiled once and found without asking the program.
 *
 * @module
 */

import type { Operation } from "../backends/fanotify/permission_group.ts";
import { isWithin } from "../backends/mounts/mountinfo.ts";
import { globMatcher } from "../watch/glob.ts";
import { type Decision, type DecisionFields, OPERATIONS, settleDecision } from "./decision.ts";

/**
 * A decision, and which requests it is for: those that all of its conditions hold of. Of several rules the first counts.
 */
export interface Rule extends DecisionFields {
  /** What is asked for. */
  readonly operation?: Operation | readonly Operation[];
  /**
   * A glob: of a name at any depth, of a path below the guarded one, or, with a slash first, of an absolute path. `dir/`
   * and `dir/**` are for all that is below.
   */
  readonly path?: string;
  /** A glob of the executable that asks, by its path or, without a slash, by its name. */
  readonly exe?: string;
  /** The effective user id of the process that asks. */
  readonly uid?: number;
  /** A glob of its path in the cgroup hierarchy, or of a part of that: `/system.slice/*.service`. */
  readonly cgroup?: string;
}

/** What rules ask of a request; each is looked up when it is first asked for. */
export interface Subject {
  readonly operation: Operation;
  readonly path: string;
  readonly exe: string | undefined;
  readonly uid: number | undefined;
  readonly cgroup: string | undefined;
}

const NAMES: ReadonlySet<string> = new Set([
  ...["operation", "path", "exe", "uid", "cgroup"],
  ...["verdict", "errno", "cache", "audit"],
]);

type Test = (subject: Subject) => boolean;

interface Compiled {
  readonly index: number;
  readonly tests: readonly Test[];
  readonly decision: Decision;
}

/** Rules in their order. */
export class RuleSet {
  readonly #rules: readonly Compiled[];
  /** How many there are. */
  readonly length: number;

  /** Compiles rules for what is below `roots`. Throws `TypeError` for one that makes no sense, and says which. */
  constructor(rules: readonly Rule[], roots: readonly string[]) {
    if (!Array.isArray(rules)) throw new TypeError("Cannot guard by rules: they are no list");
    this.#rules = rules.map((rule, index) => ({
      index,
      ...compile(rule, `rule ${index + 1}`, roots),
    }));
    this.length = rules.length;
    checkRemembered(rules);
  }

  /** The first rule that is for the request, by its place, and its decision. */
  match(subject: Subject): { readonly index: number; readonly decision: Decision } | undefined {
    return this.#rules.find(({ tests }) => tests.every((test) => test(subject)));
  }
}

/** What is wrong with a rule; undefined where it makes sense. */
export function faultOf(rule: Rule): string | undefined {
  try {
    new RuleSet([rule], []);
    return undefined;
  } catch (error) {
    const { message } = error as Error;
    return message.slice(message.indexOf(": ") + 2); // behind "Cannot guard by rule 1"
  }
}

/** The kernel remembers what is allowed of a file, whoever asks: then rules about who asks would be gone round. */
function checkRemembered(rules: readonly Rule[]): void {
  for (const [i, rule] of rules.entries()) {
    if (rule.cache === undefined) continue;
    const shown = `Cannot guard by rule ${i + 1}`;
    if (isAboutAsker(rule)) {
      throw new TypeError(
        `${shown}: what it allows some is remembered for all, so it has no cache`,
      );
    }
    const denial = rules.slice(0, i).findIndex((other) =>
      other.verdict === "deny" && isAboutAsker(other) && haveCommonOperation(rule, other)
    );
    if (denial < 0) continue;
    throw new TypeError(
      `${shown}: what it allows is remembered for all, those whom rule ${denial + 1} denies too`,
    );
  }
}

function isAboutAsker({ exe, uid, cgroup }: Rule): boolean {
  return exe !== undefined || uid !== undefined || cgroup !== undefined;
}

function haveCommonOperation(one: Rule, other: Rule): boolean {
  const operationsOf = ({ operation = OPERATIONS }: Rule) => [operation].flat();
  const others = operationsOf(other);
  return operationsOf(one).some((operation) => others.includes(operation));
}

function compile(rule: Rule, shown: string, roots: readonly string[]): Omit<Compiled, "index"> {
  if (typeof rule !== "object" || rule === null) {
    throw new TypeError(`Cannot guard by ${shown}: it is no object`);
  }
  for (const name of Object.keys(rule)) {
    if (!NAMES.has(name)) throw new TypeError(`Cannot guard by ${shown}: it has no ${name}`);
  }
  const { operation, path, exe, uid, cgroup } = rule;
  const tests: Test[] = [];
  if (operation !== undefined) {
    const wanted = new Set(Array.isArray(operation) ? operation : [operation]);
    for (const one of wanted) {
      if (OPERATIONS.includes(one)) continue;
      throw new TypeError(
        `Cannot guard by ${shown}: operation ${show(one)} is none of ${OPERATIONS.join(", ")}`,
      );
    }
    tests.push((subject) => wanted.has(subject.operation));
  }
  if (path !== undefined) {
    const matches = globOf(path, "path", shown);
    // What is true of every path need not be looked up.
    if (path !== "*" && path !== "**") {
      tests.push((subject) => matches(subject.path, rootOf(subject.path, roots)));
    }
  }
  if (uid !== undefined) {
    if (!Number.isInteger(uid) || uid < 0) {
      throw new TypeError(`Cannot guard by ${shown}: uid ${show(uid)} is no user id`);
    }
    tests.push((subject) => subject.uid === uid);
  }
  for (const [name, glob] of [["exe", exe], ["cgroup", cgroup]] as const) {
    if (glob === undefined) continue;
    const matches = globOf(glob, name, shown);
    tests.push((subject) => subject[name] !== undefined && matches(subject[name], "/"));
  }
  return { tests, decision: settleDecision(rule, shown) };
}

function globOf(
  glob: unknown,
  name: string,
  shown: string,
): (path: string, root: string) => boolean {
  if (typeof glob !== "string" || glob === "") {
    throw new TypeError(`Cannot guard by ${shown}: ${name} ${show(glob)} is no glob`);
  }
  try {
    return globMatcher(withAllBelow(glob));
  } catch (cause) {
    throw new TypeError(`Cannot guard by ${shown}: ${(cause as Error).message}`, { cause });
  }
}

/** A glob of a directory, which an ignore list would not look into, as one of all files below it. */
function withAllBelow(glob: string): string {
  const directory = glob.replace(/\/(\*\*)?$/, "");
  if (directory === glob) return glob;
  return directory === "" || directory.includes("/") ? `${directory}/**/*` : `**/${directory}/**/*`; // a name at any depth
}

/** The guarded path that holds `path`; of several the innermost. */
function rootOf(path: string, roots: readonly string[]): string {
  let root = "/";
  for (const one of roots) if (one.length > root.length && isWithin(path, one)) root = one;
  return root;
}

function show(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}

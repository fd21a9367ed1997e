/**
 * The options of `guard()`: their types, and what is wrong with those that are wrong.
 *
 * @module
 */

import type { Operation, Priority } from "../backends/fanotify/permission_group.ts";
import { OPERATIONS, settleDecision, type Verdict } from "./decision.ts";
import type { DecisionFields } from "./decision.ts";
import { checkFilesystems, checkOptions, show } from "../watch/option_checks.ts";
import { pathText } from "../watch/targets.ts";
import { MOST_PIDS } from "./protocol.ts";
import type { GuardRequest } from "./request.ts";
import { type Rule, RuleSet } from "./rules.ts";

/** Decides what no rule does. What it throws, or its promise rejects with, counts as no answer. */
export type Decide = (
  request: GuardRequest,
) => Verdict | DecisionFields | Promise<Verdict | DecisionFields>;

/** Options of {@linkcode guard}. */
export interface GuardOptions {
  /**
   * What is asked about: `"open"` of a file; `"exec"`, its execution (Linux 5.0), which asks for `"open"` as well;
   * `"read"`, each read of it; `"access"`, each read or write of a range of its content, before it happens (Linux 6.14;
   * ext4, xfs, btrfs; `priority: "pre-content"`). Directories are not asked about. Default `"open"`.
   */
  on?: Operation | readonly Operation[];
  /**
   * `"tree"`: at and below the paths. `"mount"`, `"filesystem"`: everything on the mount or the filesystem that holds
   * them. Default `"tree"`.
   */
  scope?: "tree" | "mount" | "filesystem";
  /** Decides what no rule does; without it that is allowed. */
  decide?: Decide;
  /** Decisions as data, found without the main thread. The first rule that is for a request decides it. */
  rules?: readonly Rule[];
  /** How long a process waits at most, in ms. Default 5,000. */
  timeout?: number;
  /** What a process gets for which nobody decided in time, or `decide` threw. Default `"deny"`. */
  onTimeout?: Verdict;
  /**
   * `"pre-content"` is asked before `"content"`, for it may fill in what the other looks at. Default `"content"`, with
   * `on: "access"` `"pre-content"`.
   */
  priority?: Priority;
  /** Let decisions be written to the audit log. Needs CAP_AUDIT_WRITE. Default `false`. */
  audit?: boolean;
  /** Files that are never asked about, by their inode: a later modification changes nothing. */
  ignore?: Iterable<string | URL>;
  /** Pids that are allowed all. A `Set` may be changed while guarding. At most 1,024. */
  ignoreProcesses?: Iterable<number>;
  /** Filesystem types left out where a guarded tree crosses mounts: `["tmpfs"]`. */
  ignoreFilesystems?: readonly string[];
  /** Allow all, and tell what would have been decided. Default `false`. */
  dryRun?: boolean;
  /** Closes the guard. */
  signal?: AbortSignal;
}

/** Options with every question answered. */
export interface GuardSettings {
  readonly on: readonly Operation[];
  readonly scope: "tree" | "mount" | "filesystem";
  readonly decide: Decide | undefined;
  readonly rules: readonly Rule[];
  readonly timeout: number;
  readonly onTimeout: Verdict;
  readonly priority: Priority;
  readonly audit: boolean;
  readonly ignore: readonly (string | URL)[];
  readonly ignoreProcesses: Set<number>;
  readonly ignoreFilesystems: readonly string[];
  readonly dryRun: boolean;
  readonly signal: AbortSignal | undefined;
}

const CHOICES = {
  scope: ["tree", "mount", "filesystem"],
  onTimeout: ["allow", "deny"],
  priority: ["content", "pre-content"],
} as const;

const FLAGS = ["audit", "dryRun"] as const;

const OTHERS = [
  ...["on", "decide", "rules", "timeout"],
  ...["ignore", "ignoreProcesses", "ignoreFilesystems"],
] as const;

/** The longest time that a timer, and the clock of both threads, can tell: 24 days. */
const LONGEST = 2 ** 31 - 1;

/** Checks the options. Throws `TypeError` for a wrong one, `RangeError` for a number out of range. */
export function settleGuard(options: GuardOptions): GuardSettings {
  checkOptions("guard", options, { choices: CHOICES, flags: FLAGS, others: OTHERS });
  const { decide, timeout = 5_000, signal, rules = [], audit = false } = options;
  const { on: operations = "open", ignore = [], ignoreProcesses = [], ignoreFilesystems = [] } =
    options;
  if (decide !== undefined && typeof decide !== "function") {
    throw new TypeError(`Cannot guard with decide ${show(decide)}: not a function`);
  }
  checkTime(timeout, "timeout");
  const on = checkOperations(operations);
  const priority = options.priority ?? (on.includes("access") ? "pre-content" : "content");
  if (priority === "content" && on.includes("access")) {
    throw new TypeError('Cannot guard with priority "content": on "access" needs "pre-content"');
  }
  new RuleSet(rules, []);
  for (const [i, rule] of rules.entries()) {
    const shown = `rule ${i + 1}`;
    const { errno, audit: note } = settleDecision(rule, shown);
    if (errno !== undefined && priority !== "pre-content") {
      throw new TypeError(`Cannot guard by ${shown}: its errno needs priority "pre-content"`);
    }
    if (note !== undefined && !audit) {
      throw new TypeError(`Cannot guard by ${shown}: to be audited it needs the option audit`);
    }
  }
  return {
    on,
    scope: options.scope ?? "tree",
    decide,
    rules: rules.map((rule) => structuredClone(rule)),
    timeout,
    onTimeout: options.onTimeout ?? "deny",
    priority,
    audit,
    ignore: checkPaths(ignore),
    ignoreProcesses: checkProcesses(ignoreProcesses),
    ignoreFilesystems: [...checkFilesystems(ignoreFilesystems)],
    dryRun: options.dryRun ?? false,
    signal,
  };
}

/** Throws for what is no time to wait, in ms. */
export function checkTime(ms: number, name: string): void {
  if (typeof ms !== "number") {
    throw new TypeError(`Cannot guard with ${name} ${show(ms)}: not a number of ms`);
  }
  if (!(ms >= 1 && ms <= LONGEST)) {
    throw new RangeError(`Cannot guard with ${name} ${ms}: it is from 1 to ${LONGEST} ms`);
  }
}

function checkOperations(on: Operation | readonly Operation[]): readonly Operation[] {
  const list = Array.isArray(on) ? on as readonly Operation[] : [on as Operation];
  if (list.length === 0) throw new TypeError("Cannot guard on nothing: name an operation");
  for (const one of list) {
    if (OPERATIONS.includes(one)) continue;
    throw new TypeError(`Cannot guard on ${show(one)}: it is one of ${OPERATIONS.join(", ")}`);
  }
  return list;
}

function checkPaths(paths: Iterable<string | URL>): readonly (string | URL)[] {
  if (typeof paths !== "object" || !(Symbol.iterator in (paths ?? {}))) {
    throw new TypeError(`Cannot guard but for ${show(paths)}: not a list of paths`);
  }
  const list = [...paths];
  for (const path of list) pathText(path, "ignore");
  return list;
}

function checkProcesses(processes: Iterable<number>): Set<number> {
  if (typeof processes !== "object" || !(Symbol.iterator in (processes ?? {}))) {
    throw new TypeError(`Cannot ignore processes ${show(processes)}: not a list of pids`);
  }
  const set = processes instanceof Set ? processes as Set<number> : new Set(processes);
  checkCount(set);
  for (const one of set) {
    if (Number.isInteger(one) && one > 0) continue;
    throw new TypeError(`Cannot ignore process ${show(one)}: not a pid`);
  }
  return set;
}

/** Throws for more processes than the responder can know. */
export function checkCount(processes: ReadonlySet<number>): void {
  if (processes.size <= MOST_PIDS) return;
  throw new RangeError(`Cannot ignore ${processes.size} processes: at most ${MOST_PIDS}`);
}

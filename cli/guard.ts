/**
 * `sentinode guard`.
 *
 * @module
 */

import process from "node:process";
import type { Operation } from "../backends/fanotify/permission_group.ts";
import type { WatchEvent } from "../classify/mod.ts";
import { SystemError, systemError } from "../ffi/errno.ts";
import { readFile } from "../ffi/file.ts";
import { openLibc } from "../ffi/libc.ts";
import type { Libc } from "../ffi/port.ts";
import { bytesUnlessText, decodeText } from "../ffi/text.ts";
import { type Guard, guard, type GuardStats } from "../guard/guard.ts";
import type { GuardOptions } from "../guard/options.ts";
import { readRules } from "../guard/rule_file.ts";
import { faultOf, type Rule } from "../guard/rules.ts";
import { type Arguments, type Given, type Synopsis, UsageError } from "./args.ts";
import { readEnvironment } from "./environment.ts";
import { escapeText, safeJson } from "./escape.ts";
import { endTogether, LINE_OPTIONS, prepare } from "./follow.ts";
import {
  type Directives,
  eventJson,
  FORMAT_HELP,
  lineFormatter,
  name,
  type Piece,
  type Style,
  type Told,
} from "./format.ts";
import type { Terminal } from "./output.ts";
import { RFANOTIFY, rfanotifyLine } from "./rfanotify.ts";
import { Stop } from "./stop.ts";
import { ServiceManager } from "./systemd.ts";
import { DEFAULT_TIME, timeFormatter } from "./time.ts";

/** What `guard --help` says. */
export const GUARD: Synopsis = {
  name: "guard",
  operands: "PATH…",
  about:
    "Decides by rules whether files at and below the paths may be opened, executed and read,\n" +
    "before they are. Needs root.",
  options: [
    { name: "deny", value: "GLOB", repeatable: true, about: "deny all use of these files" },
    { name: "allow", value: "GLOB", repeatable: true, about: "allow all use of them" },
    { name: "deny-exec", value: "GLOB", repeatable: true, about: "deny their execution" },
    { name: "rules", value: "FILE", repeatable: true, about: "the rules in a file" },
    {
      name: "cache",
      value: "HOW",
      about: "what --allow allows the kernel remembers of the file, whoever asks:\n" +
        "until-modified or always",
    },
    {
      name: "on",
      value: "LIST",
      repeatable: true,
      about: "what is guarded: open, exec, read, access, comma separated\n" +
        "(default what the rules are for, which is open where they do not say)",
    },
    { name: "scope", value: "SCOPE", about: "tree (default), mount or filesystem" },
    { name: "ignore", value: "PATH", repeatable: true, about: "never ask about this file" },
    {
      name: "ignore-pid",
      value: "PID",
      repeatable: true,
      about: "allow this process everything",
    },
    {
      name: "ignore-fs",
      value: "TYPE",
      repeatable: true,
      about: "leave out filesystems of that type that are mounted below the paths",
    },
    {
      name: "timeout",
      value: "SECONDS",
      about: "how long anybody waits at most (default 5); rules decide at once",
    },
    {
      name: "on-timeout",
      value: "VERDICT",
      about: "what is decided then: deny (default) or allow",
    },
    {
      name: "priority",
      value: "CLASS",
      about: "content (default) or pre-content: asked first, and errno= works (Linux 6.14)",
    },
    {
      name: "audit",
      about: "have the kernel write to the audit log what a rule decides, by its number from 1",
    },
    { name: "dry-run", about: "allow all, and print what would be denied" },
    { name: "log", about: "print each decision; so do --json and --format" },
    { name: "count", value: "N", about: "end after N decisions" },
    ...LINE_OPTIONS,
    { name: "quiet", short: "q", about: "do not say what is guarded" },
  ],
  notes:
    `The first rule that is for a request decides it: --deny, --allow, --deny-exec and the lines of the files
of --rules, in the order of the command line. What no rule is for is allowed. A GLOB without a slash is for
names at any depth, one that begins with a slash for absolute paths, others for paths below PATH; DIR/ is for
all that is below. The end, however it comes, allows everything.

A file of rules has one a line; quotes keep spaces, # begins a comment:
  VERDICT [operation=LIST] [path=GLOB] [exe=GLOB] [uid=N] [cgroup=GLOB] [errno=NAME] [cache=HOW]
  deny  operation=exec path=/srv/uploads/
  allow exe=/usr/bin/git

In a line of --log "gone" follows a process that had left before it could be looked at; only one that is
denied is looked at first. --json adds the rule, as it was given, to the event.
--format rfanotify prints rfanotify's lines: FAN_OPEN_PERM: File /path Exe /exe
Letters of --format beside the others: %v verdict   %o operation   %r rule
${FORMAT_HELP}

As a service of systemd (Type=notify) it tells READY=1 when everything is guarded, WATCHDOG=1 where
WatchdogSec= asks for it, and STOPPING=1.

Exit status: 0 when it was told to end, or by --count; 1 on an error, or when nobody reads what it prints;
130 or 143 when SIGINT or SIGTERM came before everything was guarded.`,
  least: 1,
  most: Infinity,
};

/** A rule, and what a person calls it. */
interface NamedRule {
  readonly rule: Rule;
  readonly name: string;
}

/** Runs `sentinode guard`; the exit status. */
export async function runGuard(args: Arguments, terminal: Terminal): Promise<number> {
  await prepare(terminal);
  const libc = await openLibc();
  const rules = namedRules(args, libc);
  const log = readLog(args, rules, terminal.out.colors);
  using stop = new Stop();
  const options = guardOptions(args, rules, stop.signal);
  using manager = new ServiceManager(libc, readEnvironment(libc), process.pid);
  await using gate = guard(args.operands, options);
  // Before anything is guarded, so that no decision is missed.
  const decisions = log.isWanted ? gate[Symbol.asyncIterator]() : undefined;
  try {
    await gate.ready;
  } catch (error) {
    if (stop.signalExit !== undefined) return stop.signalExit;
    throw error;
  }
  endTogether(stop, terminal);
  stop.signal.addEventListener("abort", () => void manager.stopping());
  if (!args.has("quiet")) await tellGuarded(args, options, gate, log.isWanted, terminal);
  await manager.ready().catch((error) => tellRefusal(error, terminal));
  let wouldDeny = 0;
  try {
    if (decisions === undefined) await gate.closed;
    else wouldDeny = await follow(decisions, log, terminal);
  } finally {
    await manager.stopping();
    await gate.close();
    await terminal.err.line(summary(gate.stats(), options, wouldDeny));
  }
  return stop.reason === "output" ? 1 : 0;
}

// --- rules ---

/** The options that are rules. */
const RULES: Readonly<Record<string, (path: string, cache: string | undefined) => Rule>> = {
  deny: (path) => ({ verdict: "deny", path }),
  allow: (path, cache) => ({
    verdict: "allow",
    path,
    ...(cache === undefined ? {} : { cache: cache as NonNullable<Rule["cache"]> }),
  }),
  "deny-exec": (path) => ({ verdict: "deny", operation: "exec", path }),
};

/** The rules in the order in which they were given. Throws {@linkcode UsageError}, `TypeError` or `SystemError`. */
function namedRules(args: Arguments, libc: Libc): NamedRule[] {
  const cache = args.last("cache");
  if (cache !== undefined && !args.has("allow")) {
    throw new UsageError("Cannot guard with --cache: it is for --allow");
  }
  const given = args.given(...Object.keys(RULES), "rules");
  return given.flatMap((option) =>
    option.name === "rules" ? fileRules(option.value, libc) : [optionRule(option, cache)]
  );
}

function optionRule({ name: option, value }: Given, cache: string | undefined): NamedRule {
  const name = `--${option} ${value}`;
  const rule = RULES[option]!(value, cache);
  const fault = faultOf(rule);
  if (fault !== undefined) throw new UsageError(`Cannot guard with ${name}: ${fault}`);
  return { rule, name };
}

function fileRules(file: string, libc: Libc): NamedRule[] {
  const bytes = readFile(libc, file);
  if (bytes === undefined) throw systemError(libc, `read rules ${file}`, { syscall: "open" });
  const text = decodeText(bytes);
  if (bytesUnlessText(bytes, 0, bytes.length, text) !== undefined) {
    throw new UsageError(`Cannot read rules ${file}: it is no UTF-8`);
  }
  return readRules(text, file).map(({ rule, line }) => ({ rule, name: `${file} line ${line}` }));
}

/** What a rule is for. */
function operationsOf({ operation = "open" }: Rule): readonly Operation[] {
  return typeof operation === "string" ? [operation] : operation;
}

// --- options ---

/** The options of {@linkcode guard}; the library says what is wrong with most of them. Throws {@linkcode UsageError}. */
function guardOptions(
  args: Arguments,
  rules: readonly NamedRule[],
  signal: AbortSignal,
): GuardOptions & { readonly on: readonly Operation[] } {
  const on = guardedOperations(args, rules);
  const audit = args.has("audit");
  const timeout = args.number("timeout", 0, false);
  const [scope, onTimeout, priority] = [
    args.last("scope"),
    args.last("on-timeout"),
    args.last("priority"),
  ];
  if ((priority ?? "content") === "content" && !on.includes("access")) {
    const needy = rules.find(({ rule }) => rule.errno !== undefined);
    if (needy !== undefined) {
      throw new UsageError(
        `Cannot guard by ${needy.name}: its errno needs --priority pre-content`,
      );
    }
  }
  return {
    signal,
    on,
    rules: rules.map(({ rule }, i) => audit ? { ...rule, audit: { rule: i + 1 } } : rule),
    audit,
    dryRun: args.has("dry-run"),
    ignore: args.all("ignore"),
    ignoreProcesses: args.pids("ignore-pid"),
    ignoreFilesystems: args.all("ignore-fs"),
    ...(timeout === undefined ? {} : { timeout: timeout * 1000 }),
    ...(scope === undefined ? {} : { scope: scope as NonNullable<GuardOptions["scope"]> }),
    ...(onTimeout === undefined
      ? {}
      : { onTimeout: onTimeout as NonNullable<GuardOptions["onTimeout"]> }),
    ...(priority === undefined
      ? {}
      : { priority: priority as NonNullable<GuardOptions["priority"]> }),
  };
}

/** What is guarded: what `--on` says, or what the rules need. A rule for something else would never be for anything. */
function guardedOperations(args: Arguments, rules: readonly NamedRule[]): readonly Operation[] {
  const on = args.all("on").flatMap((list) => list.split(",")) as Operation[];
  if (on.length === 0) {
    const needed = new Set(rules.flatMap(({ rule }) => operationsOf(rule)));
    return needed.size === 0 ? ["open"] : [...needed];
  }
  for (const { rule, name } of rules) {
    if (rule.operation === undefined) continue;
    const missing = operationsOf(rule).find((operation) => !on.includes(operation));
    if (missing === undefined) continue;
    throw new UsageError(`Cannot guard on ${on.join(",")}: ${name} is for ${missing}`);
  }
  return on;
}

// --- decisions ---

/** Which decisions are followed, and how they are written. */
interface Log {
  /** Whether any decision is of interest. */
  readonly isWanted: boolean;
  /** Whether they are printed. */
  readonly isPrinted: boolean;
  /** Whether those that allow are of interest too. */
  readonly isAll: boolean;
  readonly isJson: boolean;
  readonly most: number;
  readonly line: (event: WatchEvent) => readonly Piece[];
  readonly lineEnd: "\n" | "\0";
}

/** Reads {@linkcode Log}, before anything is guarded. Throws {@linkcode UsageError}. */
function readLog(args: Arguments, rules: readonly NamedRule[], colors: boolean): Log {
  args.exclude("json", "format");
  const isPrinted = ["log", "dry-run", "json", "format"].some((name) => args.has(name));
  return {
    isWanted: isPrinted || args.has("count"),
    isPrinted,
    isAll: args.has("log") || !args.has("dry-run"),
    isJson: args.has("json"),
    most: args.number("count", 1, true) ?? Infinity,
    line: lineOf(args, rules, colors),
    lineEnd: args.has("null") ? "\0" : "\n",
  };
}

/** Prints decisions until `--count`, a signal, or the reader's end; how many would have denied, in a dry run. */
async function follow(
  decisions: AsyncIterator<WatchEvent>,
  { isPrinted, isAll, isJson, most, line, lineEnd }: Log,
  { out, err }: Terminal,
): Promise<number> {
  let [seen, denied] = [0, 0];
  for await (const event of { [Symbol.asyncIterator]: () => decisions }) {
    const { verdict } = event.attributes;
    if (verdict === undefined) {
      if (isJson) await out.write([...line(event), lineEnd]);
      else await err.line(lossLine(event));
      continue;
    }
    if (verdict === "deny") denied++;
    else if (!isAll) continue;
    if (isPrinted) await out.write([...line(event), lineEnd]);
    if (++seen === most) break;
  }
  return denied;
}

/** Decisions that were not told, or a directory that could not be guarded. */
function lossLine({ path, attributes: { count, reason } }: WatchEvent): string {
  if (count !== undefined) return `Not logged: ${count} decisions: ${escapeText(reason ?? "")}`;
  return `Not guarded: ${escapeText(path)}: ${escapeText(reason ?? "")}`;
}

// --- lines ---

/** What is asked for, by the kind of the decision, and as fanotify(7) names its bit. */
const OPERATIONS: Readonly<Record<string, readonly [operation: string, fanName: string]>> = {
  "access.open": ["open", "FAN_OPEN_PERM"],
  "access.exec": ["exec", "FAN_OPEN_EXEC_PERM"],
  "access.read": ["read", "FAN_ACCESS_PERM"],
  access: ["access", "FAN_PRE_ACCESS"],
};

function lineOf(
  args: Arguments,
  rules: readonly NamedRule[],
  colors: boolean,
): (event: WatchEvent) => readonly Piece[] {
  const ruleOf = ({ attributes: { rule } }: WatchEvent) =>
    typeof rule === "number" ? rules[rule]?.name : undefined;
  const style: Style = {
    time: timeFormatter("guard", args.last("time-format") ?? DEFAULT_TIME),
    isRaw: args.has("null"),
    json: ({ event }) => {
      const rule = ruleOf(event);
      return safeJson({ ...eventJson(event, false), ...(rule === undefined ? {} : { rule }) });
    },
  };
  const own: Directives = {
    v: ({ event }) => verdictOf(event),
    o: ({ event }) => OPERATIONS[event.kind]?.[0],
    r: ({ event }, style) => {
      const rule = ruleOf(event);
      return rule && name(rule, undefined, style);
    },
  };
  const format = args.last("format");
  const told = (event: WatchEvent): Told => ({ event, kinds: [event.kind] });
  if (args.has("json")) return (event) => [style.json(told(event))];
  if (format === RFANOTIFY) {
    return (event) => {
      const [, fanName = event.kind] = OPERATIONS[event.kind] ?? [];
      return rfanotifyLine(fanName, told(event), style);
    };
  }
  if (format !== undefined) {
    const line = lineFormatter("guard", format, style, own);
    return (event) => line(told(event));
  }
  return (event) => textLine(event, ruleOf(event), style, colors);
}

function verdictOf({ attributes: { verdict, dryRun } }: WatchEvent): string {
  return dryRun === true && verdict === "deny" ? "would deny" : String(verdict);
}

/** SGR codes (ECMA-48): green, red. */
const COLORS: Readonly<Record<string, string>> = { allow: "32", deny: "31", "would deny": "31" };

/** Why it was decided so, where no rule did. */
const REASONS: Readonly<Record<string, string>> = {
  default: "no rule",
  timeout: "not decided in time",
  kernel: "no file descriptor was left",
};

/** The line for people. */
function textLine(
  event: WatchEvent,
  rule: string | undefined,
  style: Style,
  colors: boolean,
): Piece[] {
  const { kind, time, path, pathBytes, actor, attributes: { by, dryRun, range } } = event;
  const verdict = verdictOf(event);
  const shown = verdict.padEnd(dryRun === true ? "would deny".length : "allow".length);
  const pieces: Piece[] = [
    `${style.time(time)} ${colors ? `\x1b[${COLORS[verdict]}m${shown}\x1b[m` : shown} `,
    `${(OPERATIONS[kind]?.[0] ?? kind).padEnd("access".length)} `,
    name(path, pathBytes, style),
  ];
  if (range !== undefined) {
    const { offset, count } = range as { readonly offset: number; readonly count: number };
    pieces.push(` bytes ${offset}+${count}`);
  }
  pieces.push("  ", name(actor?.comm ?? "?", undefined, style), `(${actor?.pid ?? 0})`);
  if (actor?.gone) pieces.push(" gone");
  pieces.push("  ", rule === undefined ? REASONS[String(by)] ?? "" : name(rule, undefined, style));
  return pieces;
}

// --- what is said beside ---

async function tellGuarded(
  args: Arguments,
  { on, scope = "tree", dryRun }: GuardOptions & { readonly on: readonly Operation[] },
  gate: Guard,
  isFollowed: boolean,
  { err }: Terminal,
): Promise<void> {
  const what = `${on.join(", ")}${dryRun === true ? "; dry run, all is allowed" : ""}`;
  const whole = scope === "tree" ? "" : `the ${scope} of `;
  for (const path of args.operands) {
    await err.line(`Guarding ${whole}${escapeText(path)} (${what})`);
  }
  if (isFollowed) return; // then each is told
  const { unguarded } = gate.stats();
  if (unguarded > 0) await err.line(`Not guarded: ${directories(unguarded)}; --log tells which`);
}

/** Guards on though the manager cannot be told so. */
async function tellRefusal(error: unknown, { err }: Terminal): Promise<void> {
  if (!(error instanceof SystemError)) throw error;
  await err.line(escapeText(error.message));
}

function summary(stats: GuardStats, { dryRun }: GuardOptions, wouldDeny: number): string {
  const { requests, allowed, denied, timedOut, refused, cached, unlogged, unguarded } = stats;
  const more: readonly (readonly [count: number, text: string])[] = [
    [timedOut, `${timedOut} not decided in time`],
    [refused, `${refused} denied by the kernel, for no file descriptor was left`],
    [cached, `${cached} remembered by the kernel`],
    [unlogged, `${unlogged} not logged`],
    [unguarded, `${directories(unguarded)} not guarded`],
  ];
  return [
    `${requests} ${requests === 1 ? "request" : "requests"}: ${allowed} allowed`,
    `${denied} denied`,
    ...(dryRun === true ? [`${wouldDeny} would have been denied`] : []),
    ...more.flatMap(([count, text]) => count > 0 ? [text] : []),
  ].join(", ");
}

function directories(count: number): string {
  return count === 1 ? "1 directory" : `${count} directories`;
}

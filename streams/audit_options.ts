/**
 * The options of `audit()`: their types, and what is wrong with those that are wrong.
 *
 * @module
 */

import type { AuditRule } from "../backends/audit/rules.ts";
import { encodeRule } from "../backends/audit/rules.ts";
import { checkOptions, type OptionTable } from "../watch/option_checks.ts";
import { checkEvents } from "../watch/options.ts";
import { pathList } from "../watch/targets.ts";

/** A log file of auditd. */
export interface AuditLog {
  /** The file, `/var/log/audit/audit.log`. */
  readonly log: string | URL;
  /** Whether what it was rotated to (`audit.log.1` …) is read before it. Default `false`. */
  readonly rotated?: boolean;
}

/** The unix socket of auditd's plugin `af_unix`, text or binary. */
export interface AuditSocketPath {
  /** Where it is, `/var/run/audispd_events`. */
  readonly socket: string | URL;
}

/** Where audit records come from. */
export type AuditSource =
  | "netlink"
  | "unicast"
  | "multicast"
  | AuditLog
  | AuditSocketPath
  | AsyncIterable<Uint8Array>;

/** Options of {@linkcode audit}. */
export interface AuditOptions {
  /**
   * `"netlink"`: the kernel, as its daemon where there is none (`"unicast"`), else beside it (`"multicast"`); a log file,
   * a socket of auditd's dispatcher, or any stream of bytes of either (`Deno.stdin.readable`, `Bun.stdin.stream()`). Default
   * `"netlink"`.
   */
  source?: AuditSource;
  /** Files, and directories with all that is below them, whose changes are audited while the stream lives. */
  paths?: string | URL | Iterable<string | URL>;
  /** Rules that are there while the stream lives. */
  rules?: readonly AuditRule[];
  /**
   * Whether audit is switched on and tuned while the stream lives, and the state from before restored. Default `true`; what
   * has `paths` or `rules` needs it. Without CAP_AUDIT_CONTROL others' rules are heard.
   */
  manage?: boolean;
  /** Kind patterns of the events that are wanted; one matches itself and everything under it. Default all. */
  events?: readonly string[];
  /** Closes the stream. */
  signal?: AbortSignal;
}

/** Options with every question answered. */
export interface AuditSettings {
  readonly source: AuditSource;
  readonly paths: readonly (string | URL)[];
  readonly rules: readonly AuditRule[];
  readonly manage: boolean;
  readonly events: readonly string[] | undefined;
  readonly signal: AbortSignal | undefined;
}

const TABLE: OptionTable = {
  flags: ["manage"],
  others: ["source", "paths", "rules", "events"],
};

const KERNEL: readonly unknown[] = ["netlink", "unicast", "multicast"];

/** Whether the records come from the kernel, as they are made. */
export function isKernel(source: AuditSource): source is "netlink" | "unicast" | "multicast" {
  return KERNEL.includes(source);
}

/** Checks the options. Throws `TypeError` for a wrong one, `RangeError` for a rule that cannot be. */
export function settleAudit(options: AuditOptions): AuditSettings {
  checkOptions("audit", options, TABLE);
  const { source = "netlink", rules = [], manage = true, events, signal } = options;
  if (!isSource(source)) {
    throw new TypeError(
      `Cannot audit from source ${
        String(source)
      }: it is "netlink", "unicast", "multicast", { log }, ` +
        "{ socket } or a stream of bytes",
    );
  }
  if (!Array.isArray(rules)) {
    throw new TypeError(`Cannot audit with rules ${String(rules)}: not a list of rules`);
  }
  for (const rule of rules) checkRule(rule);
  const paths = options.paths === undefined ? [] : pathList(options.paths, "audit");
  const isAsked = paths.length > 0 || rules.length > 0;
  if (isAsked && !(isKernel(source) && manage)) {
    const why = isKernel(source) ? "manage is false" : "the source is not the kernel";
    throw new TypeError(`Cannot audit ${paths.length > 0 ? "paths" : "by rules"}: ${why}`);
  }
  return {
    source,
    paths,
    rules,
    manage,
    events: events && checkEvents(events),
    signal,
  };
}

/** {@linkcode encodeRule} says what is wrong with a rule, but for what is none. */
function checkRule(rule: AuditRule): void {
  const { list, action, syscalls, fields } = Object(rule) as Partial<AuditRule>;
  const isNone = list === undefined || action === undefined ||
    !(syscalls === "all" || Array.isArray(syscalls)) ||
    !(Array.isArray(fields) && fields.every((field) => Object(field) === field));
  if (isNone) {
    throw new TypeError(
      `Cannot audit by rule ${String(rule)}: it is { list, action, syscalls, fields }`,
    );
  }
  encodeRule(rule);
}

function isSource(source: unknown): source is AuditSource {
  if (KERNEL.includes(source)) return true;
  if (typeof source !== "object" || source === null) return false;
  if (Symbol.asyncIterator in source) return true;
  const place = "log" in source ? source.log : "socket" in source ? source.socket : undefined;
  return typeof place === "string" || place instanceof URL;
}

/**
 * `sentinode audit`.
 *
 * @module
 */

import process from "node:process";
import type { AuditEvent } from "../classify/audit_event.ts";
import type { WatchEvent } from "../classify/mod.ts";
import { audit, type AuditStream } from "../streams/audit.ts";
import type { AuditOptions, AuditSource } from "../streams/audit_options.ts";
import { type Arguments, type Synopsis, UsageError } from "./args.ts";
import { escapeText } from "./escape.ts";
import { EXIT_STATUS, follow, FOLLOW_OPTIONS, prepare, readLimits } from "./follow.ts";
import { FORMAT_HELP, name, type Piece, type Style } from "./format.ts";
import type { Terminal } from "./output.ts";
import { Stop } from "./stop.ts";
import { DEFAULT_TIME } from "./time.ts";
import { eventLine, textLine } from "./watch.ts";

/** What `audit --help` says. */
export const AUDIT: Synopsis = {
  name: "audit",
  operands: "",
  about:
    "Prints what the audit system records, a line an event: what was done or tried, to which file, by whom.\n" +
    "Needs CAP_AUDIT_CONTROL (or CAP_AUDIT_READ for what others' rules record) but for logs.",
  options: [
    {
      name: "watch",
      value: "PATH",
      repeatable: true,
      about: "have what changes at and below it recorded meanwhile; may be repeated",
    },
    { name: "replay", value: "FILE", about: "a log of any age and machine; - is standard input" },
    { name: "rotated", about: "with --replay: FILE.1, FILE.2 … before it" },
    { name: "socket", value: "PATH", about: "the unix socket of auditd's dispatcher" },
    {
      name: "way",
      value: "WAY",
      about: "unicast: as the daemon; multicast: beside one\n(default what fits)",
    },
    {
      name: "unmanaged",
      about: "leave the state of audit alone: neither switch it on nor tune it",
    },
    {
      name: "events",
      value: "LIST",
      repeatable: true,
      about: "kinds, comma separated: modify.metadata,access.failed … (default all)",
    },
    { name: "count", value: "N", about: "end after N events" },
    ...FOLLOW_OPTIONS,
    { name: "raw", about: "with --json: the records too" },
    { name: "quiet", short: "q", about: "do not say how records come" },
  ],
  notes:
    `A line is an event: its time, its kind, the path (or the record's type), who, and what they called. A failed
call is access.failed, with its errno; what is not about files is other.
The rules that --watch adds, and the state of audit, are put back on every way out.

${FORMAT_HELP}

${EXIT_STATUS}`,
  least: 0,
  most: 0,
};

/** Runs `sentinode audit`; the exit status. */
export async function runAudit(args: Arguments, terminal: Terminal): Promise<number> {
  await prepare(terminal);
  const limits = readLimits(args);
  const defaultTime = args.has("replay") ? `%F ${DEFAULT_TIME}` : DEFAULT_TIME;
  const line = eventLine("audit", args, terminal.out.colors, auditLine, defaultTime);
  function* render(batch: readonly WatchEvent[]): Generator<readonly Piece[]> {
    for (const event of batch) yield line({ event, kinds: [event.kind] });
  }
  using stop = new Stop();
  await using stream = audit(auditOptions(args, stop.signal));
  try {
    await stream.ready;
  } catch (error) {
    if (stop.signalExit !== undefined) return stop.signalExit;
    throw error;
  }
  if (!args.has("quiet")) await tellWay(stream, args, terminal);
  const status = await follow(stream, render, limits, stop, terminal);
  const { rejected } = stream.stats();
  if (rejected > 0 && !args.has("quiet")) {
    await terminal.err.line(`${rejected} ${rejected === 1 ? "line was" : "lines were"} no records`);
  }
  return status;
}

function auditOptions(args: Arguments, signal: AbortSignal): AuditOptions {
  const events = args.all("events").flatMap((list) => list.split(","));
  const paths = args.all("watch");
  return {
    signal,
    source: readSource(args),
    manage: !args.has("unmanaged"),
    ...(paths.length > 0 ? { paths } : {}),
    ...(events.length > 0 ? { events } : {}),
  };
}

function readSource(args: Arguments): AuditSource {
  for (
    const [one, other] of [["replay", "socket"], ["replay", "way"], ["socket", "way"]] as const
  ) {
    args.exclude(one, other);
  }
  for (const own of ["replay", "socket"]) {
    for (const live of ["watch", "unmanaged"]) args.exclude(own, live);
  }
  const log = args.last("replay");
  const socket = args.last("socket");
  const way = args.last("way");
  if (args.has("rotated") && (log === undefined || log === "-")) {
    throw new UsageError("Cannot audit with --rotated: it is for a file of --replay");
  }
  if (log === "-") return process.stdin as AsyncIterable<Uint8Array>;
  if (log !== undefined) return { log, rotated: args.has("rotated") };
  if (socket !== undefined) return { socket };
  if (way === undefined) return "netlink";
  if (way === "unicast" || way === "multicast") return way;
  throw new UsageError(`Cannot audit with --way ${way}: it is unicast or multicast`);
}

async function tellWay(stream: AuditStream, args: Arguments, { err }: Terminal): Promise<void> {
  const { way } = stream.stats();
  if (way === undefined) return;
  const paths = args.all("watch").map(escapeText).join(", ");
  await err.line(`Auditing ${paths === "" ? "what there are rules for" : paths} (${way})`);
  const { unkept } = stream;
  if (unkept !== undefined) await err.line(`After SIGKILL rules stay: ${escapeText(unkept)}`);
}

/** What the actor tells already, or the record's place in the line. */
const TOLD: ReadonlySet<string> = new Set(["pid", "ppid", "uid", "auid", "ses", "tty", "comm"]);

/** What says that there is nothing. */
const NOTHING: ReadonlySet<string> = new Set(["?", "(null)", "(none)", "4294967295", "unset"]);

/** The line for people. */
function auditLine(event: WatchEvent, style: Style, colors: boolean): Piece[] {
  const { type, operation, syscall, failed, unresolved, paths, fields, fanotify } =
    (event as AuditEvent).attributes;
  const about = event.path !== "" || type === undefined
    ? undefined
    : unresolved
    ? pathsText(paths)
    : type;
  const pieces = textLine(event, style, colors, about);
  const call = operation ?? syscall;
  if (call !== undefined) pieces.push(" ", name(call, undefined, style));
  if (failed !== undefined) pieces.push(` ${failed.code ?? `errno ${failed.errno}`}`);
  if (fanotify !== undefined) pieces.push(` ${fanotify.response}`);
  for (const [field, value] of Object.entries(fields ?? {})) {
    if (TOLD.has(field) || NOTHING.has(String(value))) continue;
    pieces.push(` ${escapeText(field)}=`, name(String(value), undefined, style));
  }
  return pieces;
}

/** What is known of files whose paths are not: the names as they were given, else the inodes. */
function pathsText(paths: AuditEvent["attributes"]["paths"]): string {
  const known = (paths ?? []).filter(({ nametype }) => nametype !== "PARENT")
    .map(({ name: given, device, inode }) =>
      given !== undefined && given !== ""
        ? `…/${given}`
        : inode === undefined
        ? undefined
        : `inode ${inode} on ${device}`
    ).filter((one) => one !== undefined);
  return `(path unknown${known.length === 0 ? "" : `: ${known.join(", ")}`})`;
}

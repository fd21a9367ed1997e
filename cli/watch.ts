/**
 * `sentinode watch`.
 *
 * @module
 */

import type { AuditAttributes } from "../classify/audit_event.ts";
import type { WatchEvent } from "../classify/mod.ts";
import { fileStatus, readLink } from "../ffi/file.ts";
import { openLibc } from "../ffi/libc.ts";
import { cString, decodeText } from "../ffi/text.ts";
import type { Ignore } from "../watch/filter.ts";
import { DEFAULT_EVENTS, type WatchOptions } from "../watch/options.ts";
import { watch } from "../watch/watch.ts";
import type { Arguments, Synopsis } from "./args.ts";
import { UsageError } from "./args.ts";
import { escapeText, safeJson } from "./escape.ts";
import {
  EXIT_STATUS,
  follow,
  FOLLOW_OPTIONS,
  prepare,
  readLimits,
  tellCoverage,
} from "./follow.ts";
import {
  eventJson,
  FORMAT_HELP,
  lineFormatter,
  name,
  type Piece,
  type Style,
  type Told,
} from "./format.ts";
import { IGNORE_OPTIONS, readIgnore } from "./ignore.ts";
import { metadataText } from "./metadata.ts";
import type { Terminal } from "./output.ts";
import { Stop } from "./stop.ts";
import { DEFAULT_TIME, timeFormatter } from "./time.ts";

/** What `watch --help` says. */
export const WATCH: Synopsis = {
  name: "watch",
  operands: "PATH…",
  about: "Prints what happens to the files at and below the paths.",
  options: [
    {
      name: "events",
      value: "LIST",
      repeatable: true,
      about: "kinds, comma separated: create,modify.data,access.open …\n" +
        "(default create,modify,rename,remove)",
    },
    ...IGNORE_OPTIONS,
    { name: "no-recursive", about: "not what is below the directories in the paths" },
    {
      name: "wait-for-path",
      about: "wait for a path that is not there, and again when it has gone",
    },
    { name: "follow-symlinks", about: "watch what symlinks below the paths lead to as well" },
    { name: "scope", value: "SCOPE", about: "tree (default), mount or filesystem" },
    { name: "backend", value: "NAME", about: "auto (default), fanotify, inotify or poll" },
    { name: "actor", about: "tell who did it (CAP_SYS_ADMIN)" },
    {
      name: "audit",
      about: "tell who did it by audit as well, with user and system call, and without --events\n" +
        "what was refused, access.failed (CAP_AUDIT_CONTROL)",
    },
    { name: "metadata", about: "tell which metadata changed, and from what to what" },
    {
      name: "atomic-save",
      about: "one modify.data of a file that an editor saves by replacing it",
    },
    { name: "write-finish", about: "tell of a new or changed file once its writer has closed it" },
    { name: "recover", value: "HOW", about: "after a loss: diff or signal" },
    { name: "once", about: "end after the first event" },
    { name: "count", value: "N", about: "end after N events" },
    ...FOLLOW_OPTIONS,
    { name: "raw", about: "with --json: the decoded record too" },
    { name: "quiet", short: "q", about: "do not say what is watched and what is not" },
  ],
  notes: `${FORMAT_HELP}

In names, control characters and backslashes are escaped (\\n, \\x1b, \\u202e, \\\\), and so is each byte
that is no UTF-8 (\\xff). A file that standard output or standard error goes to is not watched.

${EXIT_STATUS}`,
  least: 1,
  most: Infinity,
};

/** Runs `sentinode watch`; the exit status. */
export async function runWatch(args: Arguments, terminal: Terminal): Promise<number> {
  await prepare(terminal);
  const limits = readLimits(args);
  const line = eventLine("watch", args, terminal.out.colors, watchLine);
  function* render(batch: readonly WatchEvent[]): Generator<readonly Piece[]> {
    for (const event of batch) yield line({ event, kinds: [event.kind] });
  }
  using stop = new Stop();
  const options = watchOptions(args, stop.signal, await ignored(args));
  await using watcher = watch(args.operands, options);
  try {
    await watcher.ready;
  } catch (error) {
    if (stop.signalExit !== undefined) return stop.signalExit;
    throw error;
  }
  if (!args.has("quiet")) await tellCoverage("Watching", watcher, terminal);
  return await follow(watcher, render, limits, stop, terminal);
}

/** How a command writes an event, by its options. */
export function eventLine(
  command: string,
  args: Arguments,
  colors: boolean,
  forPeople: (event: WatchEvent, style: Style, colors: boolean) => Piece[] = textLine,
  defaultTime: string = DEFAULT_TIME,
): (told: Told) => readonly Piece[] {
  const style: Style = {
    time: timeFormatter(command, args.last("time-format") ?? defaultTime),
    isRaw: args.has("null"),
    json: ({ event }) => safeJson(eventJson(event, args.has("raw"))),
  };
  const format = args.last("format");
  if (args.has("raw") && !args.has("json")) {
    throw new UsageError(`Cannot ${command} with --raw: it is for --json`);
  }
  if (format !== undefined) return lineFormatter(command, format, style);
  if (args.has("json")) return (told) => [style.json(told)];
  return ({ event }) => forPeople(event, style, colors);
}

function watchOptions(
  args: Arguments,
  signal: AbortSignal,
  ignore: readonly Ignore[],
): WatchOptions {
  const audit = args.has("audit");
  const asked = args.all("events").flatMap((list) => list.split(","));
  const events = asked.length === 0 && audit ? [...DEFAULT_EVENTS, "access.failed"] : asked;
  const recover = args.last("recover");
  const scope = args.last("scope");
  const backend = args.last("backend");
  // Strings as the user wrote them: the library says which there are.
  return {
    signal,
    recursive: !args.has("no-recursive"),
    actor: audit ? "audit" : args.has("actor"),
    metadata: args.has("metadata"),
    atomicSave: args.has("atomic-save"),
    writeFinish: args.has("write-finish"),
    followSymlinks: args.has("follow-symlinks"),
    missing: args.has("wait-for-path") ? "wait" : "error",
    ...(events.length > 0 ? { events } : {}),
    ignore,
    ...(scope === undefined ? {} : { scope: scope as NonNullable<WatchOptions["scope"]> }),
    ...(backend === undefined ? {} : { backend: backend as NonNullable<WatchOptions["backend"]> }),
    ...(recover === undefined ? {} : { recover: recover as NonNullable<WatchOptions["recover"]> }),
  };
}

/** What is left out: what the user says, and our own output. */
async function ignored(args: Arguments): Promise<readonly Ignore[]> {
  const [ignore, output] = [await readIgnore(args), await outputFiles()];
  return output.length === 0 ? ignore : [...ignore, (path) => output.includes(path)];
}

/** The files that our own output goes to: each line written would be another event. */
async function outputFiles(): Promise<string[]> {
  const libc = await openLibc();
  return [1, 2].flatMap((fd) => {
    const link = readLink(libc, `/proc/self/fd/${fd}`);
    const path = link === undefined ? "" : decodeText(link);
    return fileStatus(libc, cString(path))?.type === "file" ? [path] : [];
  });
}

/** The width of most kinds, so that paths stand below each other. */
const KIND_WIDTH = 20;

/** SGR codes by the first part of a kind (ECMA-48): green, yellow, blue, red; bright red for loss and errors. */
const COLORS: Readonly<Record<string, string>> = {
  create: "32",
  modify: "33",
  rename: "34",
  remove: "31",
  lost: "91",
  error: "91",
};

/** The line for people, with what audit knows: as whom it was done, by which call, and why it was refused. */
function watchLine(event: WatchEvent, style: Style, colors: boolean): Piece[] {
  const pieces = textLine(event, style, colors);
  const { syscall, user, loginUser = user } = event.actor ?? {};
  if (syscall === undefined) return pieces;
  const users = [loginUser, user].filter((name, at) =>
    name !== undefined && (at === 0 || name !== loginUser)
  );
  if (users.length > 0) pieces.push(" ", name(users.join(" as "), undefined, style));
  pieces.push(" ", name(syscall, undefined, style));
  const failed = event.attributes["failed"] as AuditAttributes["failed"];
  if (failed !== undefined) pieces.push(` ${failed.code ?? `errno ${failed.errno}`}`);
  return pieces;
}

/** The line for people; `about` stands in the place of a path that there is none of. */
export function textLine(
  event: WatchEvent,
  style: Style,
  colors: boolean,
  about?: string,
): Piece[] {
  const { kind, from, actor } = event;
  const color = colors ? COLORS[kind.split(".")[0]!] : undefined;
  const shown = escapeText(kind).padEnd(KIND_WIDTH);
  const pieces: Piece[] = [
    `${style.time(event.time)} ${color ? `\x1b[${color}m${shown}\x1b[m` : shown} `,
  ];
  if (from !== undefined) pieces.push(name(from, undefined, style), " -> ");
  pieces.push(about === undefined ? name(event.path, event.pathBytes, style) : escapeText(about));
  const { reason } = event.attributes;
  const metadata = metadataText(event);
  if (metadata !== "") pieces.push(` ${metadata}`);
  if (kind === "lost" && reason !== undefined) pieces.push(`: ${escapeText(reason)}`);
  if (actor !== undefined) {
    pieces.push("  ", name(actor.comm ?? baseName(actor.exe), undefined, style), `(${actor.pid})`);
    if (actor.gone) pieces.push(" gone");
  }
  return pieces;
}

function baseName(path = "?"): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

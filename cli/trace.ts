/**
 * `sentinode trace`.
 *
 * @module
 */

import {
  KERNEL_FILESYSTEMS,
  type MountInfo,
  mountOf,
  parseMountInfo,
} from "../backends/mounts/mountinfo.ts";
import { isKindPattern, type Kind, matches, type WatchEvent } from "../classify/mod.ts";
import { ENOENT } from "../ffi/abi/errno.ts";
import { SystemError } from "../ffi/errno.ts";
import { fileStatus, readText } from "../ffi/file.ts";
import { openLibc } from "../ffi/libc.ts";
import type { Libc } from "../ffi/port.ts";
import { cString } from "../ffi/text.ts";
import type { WatchOptions } from "../watch/options.ts";
import { watch } from "../watch/watch.ts";
import type { Watcher } from "../watch/watcher.ts";
import { type Arguments, type Synopsis, UsageError } from "./args.ts";
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
  place,
  type Style,
  type Told,
} from "./format.ts";
import { kindsOfLetters, lettersOf } from "./letters.ts";
import type { Terminal } from "./output.ts";
import { RFANOTIFY, rfanotifyLine } from "./rfanotify.ts";
import { Stop } from "./stop.ts";
import { DEFAULT_TIME, timeFormatter } from "./time.ts";
import { userId } from "./users.ts";

/** What `trace --help` says. */
export const TRACE: Synopsis = {
  name: "trace",
  operands: "[PATH]",
  about:
    "Prints who opens, executes, reads, writes, creates, renames and removes what: on the filesystem\n" +
    "of PATH, or on every mounted filesystem that is not made up by the kernel. Needs root.",
  options: [
    {
      name: "comm",
      value: "NAME",
      repeatable: true,
      about: "only processes of that name; may be repeated",
    },
    { name: "pid", value: "PID", repeatable: true, about: "only that process; may be repeated" },
    {
      name: "user",
      value: "USER",
      repeatable: true,
      about: "only processes of that user name or uid",
    },
    {
      name: "events",
      value: "LIST",
      about: "letters (RW) or kinds, comma separated (access.open,create)\n(default all)",
    },
    { name: "count", value: "N", about: "end after N lines" },
    ...FOLLOW_OPTIONS,
    { name: "quiet", short: "q", about: "do not say what is traced and what is not" },
  ],
  notes: `A line is what the kernel told in one record: comm(pid): LETTERS path
  R read   W written   O opened   C closed (CW after writing)   X opened to be executed
  + created   D removed   < moved from   > moved to (<> old -> new)
"(deleted)" follows a path that is not there any more when it is printed. "gone" follows a process that
had left before it could be looked at: ?(1234) gone, with its name where it was seen before.
--comm and --user only find processes that could be looked at. sentinode's own events are left out.

--json adds kinds, letters and deleted to the event.
--format rfanotify prints rfanotify's lines, of opens and closes after writing unless --events says more:
  FAN_CLOSE_WRITE: File /path Exe /exe      FAN_OPEN: File /path Pid 1234 (gone)
rfanotify itself says FAN_OPEN_PERM for an open, which it decides on; a trace decides nothing, so it says
FAN_OPEN.

${FORMAT_HELP}

${EXIT_STATUS}`,
  least: 0,
  most: 1,
};

const ALL = ["access", "modify.data", "create", "remove", "rename"];

/** What `--format rfanotify` tells of. */
const RFANOTIFY_EVENTS = ["access.open", "access.close.write"];

/** Runs `sentinode trace`; the exit status. */
export async function runTrace(args: Arguments, terminal: Terminal): Promise<number> {
  await prepare(terminal);
  const libc = await openLibc();
  const format = args.last("format");
  const limits = readLimits(args);
  const style: Style = {
    time: timeFormatter("trace", args.last("time-format") ?? DEFAULT_TIME),
    isRaw: args.has("null"),
    json: traceJson,
  };
  const line = lineOf(args, style, format);
  const isWanted = await processFilter(args);
  const groups = format === RFANOTIFY ? eachKind : sameRecord;
  function* render(batch: readonly WatchEvent[]): Generator<readonly Piece[]> {
    for (const events of groups(batch)) {
      const event = events[0]!;
      if (event.kind === "lost" || !isWanted(event)) continue;
      const kinds = events.map(({ kind }) => kind);
      yield line({ event, kinds, isDeleted: isDeleted(libc, event) });
    }
  }
  using stop = new Stop();
  const options: WatchOptions = {
    backend: "fanotify",
    scope: "filesystem",
    actor: true,
    ignoreProcesses: ["self"],
    events: wantedEvents(args, format),
    signal: stop.signal,
  };
  const { operands: [path] } = args;
  try {
    const { watcher, refusals } = path === undefined
      ? await traceEverything(libc, options)
      : { watcher: await opened(path, options), refusals: [] };
    await using _ = watcher;
    if (!args.has("quiet")) {
      await tellCoverage("Tracing", watcher, terminal);
      for (const refusal of refusals) await terminal.err.line(`Not traced: ${escapeText(refusal)}`);
    }
    return await follow(watcher, render, limits, stop, terminal);
  } catch (error) {
    if (error instanceof DOMException && stop.signalExit !== undefined) return stop.signalExit;
    throw error;
  }
}

async function opened(path: string, options: WatchOptions): Promise<Watcher> {
  const watcher = watch(path, options);
  await watcher.ready;
  return watcher;
}

/** Watches each filesystem; what refuses does not keep the others from being watched. */
async function traceEverything(
  libc: Libc,
  options: WatchOptions,
): Promise<{ watcher: Watcher; refusals: string[] }> {
  const refusals: string[] = [];
  let failure: unknown;
  let watcher: Watcher | undefined;
  for (const { point } of realMounts(libc)) {
    try {
      if (watcher === undefined) watcher = await opened(point, options);
      else await watcher.add(point);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      failure ??= error;
      refusals.push(error.message);
    }
  }
  if (watcher === undefined) {
    throw failure ?? new SystemError("Cannot trace everything: no filesystem is mounted");
  }
  return { watcher, refusals };
}

/** One mount of each filesystem that is not made up by the kernel, of those that are not mounted over. */
function realMounts(libc: Libc): MountInfo[] {
  const mounts = parseMountInfo(readText(libc, "/proc/self/mountinfo") ?? "");
  const visible = mounts.filter((mount) =>
    !KERNEL_FILESYSTEMS.has(mount.type) && mountOf(mount.point, mounts) === mount
  );
  return [...new Map(visible.toReversed().map((mount) => [mount.device, mount])).values()]
    .toReversed();
}

function wantedEvents(args: Arguments, format: string | undefined): readonly string[] {
  const list = args.last("events");
  if (list === undefined) return format === RFANOTIFY ? RFANOTIFY_EVENTS : ALL;
  const kinds = kindsOfLetters(list) ?? list.split(",");
  for (const kind of kinds) {
    if (isKindPattern(kind)) continue;
    throw new UsageError(
      `Cannot trace for ${kind}: neither letters of RCWOX+D<> nor a kind; ` +
        `kinds are ${ALL.join(", ")} and what is below them`,
    );
  }
  return kinds;
}

async function processFilter(args: Arguments): Promise<(event: WatchEvent) => boolean> {
  const comms = new Set(args.all("comm"));
  const pids = new Set(args.pids("pid"));
  const uids = new Set<number | undefined>();
  for (const user of args.all("user")) uids.add(await userId("trace", user));
  return ({ actor }) =>
    (comms.size === 0 || comms.has(actor?.comm ?? "")) &&
    (pids.size === 0 || pids.has(actor?.pid ?? 0)) &&
    (uids.size === 0 || (actor?.uid !== undefined && uids.has(actor.uid)));
}

/** The events of each record of the kernel; they follow each other. */
function* sameRecord(batch: readonly WatchEvent[]): Generator<readonly WatchEvent[]> {
  let group: WatchEvent[] = [];
  for (const event of batch) {
    const [first] = group;
    const isSame = first !== undefined && first.raw === event.raw && first.raw !== undefined &&
      first.path === event.path;
    if (!isSame && first !== undefined) {
      yield group;
      group = [];
    }
    group.push(event);
  }
  if (group.length > 0) yield group;
}

function* eachKind(batch: readonly WatchEvent[]): Generator<readonly WatchEvent[]> {
  for (const event of batch) yield [event];
}

/** Whether nothing is there under the path any more. */
function isDeleted(libc: Libc, { path, pathBytes }: WatchEvent): boolean {
  return fileStatus(libc, cString(pathBytes ?? path)) === undefined && libc.errno() === ENOENT;
}

function traceJson({ event, kinds, isDeleted }: Told): string {
  return safeJson({
    ...eventJson(event, false),
    kinds,
    letters: lettersOf(kinds),
    ...(isDeleted ? { deleted: true } : {}),
  });
}

function lineOf(
  args: Arguments,
  style: Style,
  format: string | undefined,
): (told: Told) => readonly Piece[] {
  if (args.has("json")) return (told) => [style.json(told)];
  if (format === undefined) return (told) => traceLine(told, style);
  if (format === RFANOTIFY) return (told) => rfanotifyLine(fanName(told.event), told, style);
  return lineFormatter("trace", format, style);
}

/** `comm(pid): LETTERS path`. */
function traceLine(told: Told, style: Style): Piece[] {
  const { actor, from } = told.event;
  return [
    name(actor?.comm ?? "?", undefined, style),
    `(${actor?.pid ?? 0})${actor?.gone ? " gone" : ""}: `,
    lettersOf(told.kinds) || told.kinds.join(","),
    " ",
    ...(from === undefined ? [] : [name(from, undefined, style), " -> "]),
    ...place(told, style),
  ];
}

/** Kinds as fanotify(7) names their bits. */
const FAN_NAMES: readonly (readonly [pattern: Kind, name: string])[] = [
  ["access.open", "FAN_OPEN"],
  ["access.exec", "FAN_OPEN_EXEC"],
  ["access.read", "FAN_ACCESS"],
  ["access.close.write", "FAN_CLOSE_WRITE"],
  ["access.close.nowrite", "FAN_CLOSE_NOWRITE"],
  ["modify.data", "FAN_MODIFY"],
  ["modify.metadata", "FAN_ATTRIB"],
  ["create", "FAN_CREATE"],
  ["remove", "FAN_DELETE"],
  ["rename", "FAN_RENAME"],
];

function fanName({ kind }: WatchEvent): string {
  return FAN_NAMES.find(([pattern]) => matches(kind, pattern))?.[1] ?? kind;
}

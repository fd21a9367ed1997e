/**
 * `sentinode mounts`.
 *
 * @module
 */

import type { Mount } from "../backends/mounts/mount.ts";
import type { MountEvent, WatchEvent } from "../classify/mod.ts";
import { listMounts, type MountOptions, mounts, type MountStream } from "../streams/mounts.ts";
import { type Arguments, type Synopsis, UsageError } from "./args.ts";
import { escapeText, safeJson } from "./escape.ts";
import { EXIT_STATUS, follow, FOLLOW_OPTIONS, prepare, readLimits } from "./follow.ts";
import { FORMAT_HELP, name, type Piece, type Style } from "./format.ts";
import type { Terminal } from "./output.ts";
import { Stop } from "./stop.ts";
import { eventLine, textLine } from "./watch.ts";

/** What `mounts --help` says. */
export const MOUNTS: Synopsis = {
  name: "mounts",
  operands: "",
  about: "Prints what is mounted, unmounted, moved and remounted, a line an event.",
  options: [
    { name: "list", about: "print what is mounted now, and end" },
    {
      name: "namespace",
      value: "WHICH",
      about: "the mounts of a process, by its number, or of a file like\n/proc/PID/ns/mnt",
    },
    {
      name: "backend",
      value: "NAME",
      about: "fanotify: told by the kernel; mountinfo: by comparing\n(default what fits)",
    },
    { name: "actor", about: "tell who did it (Linux 6.15, CAP_SYS_ADMIN)" },
    {
      name: "events",
      value: "LIST",
      repeatable: true,
      about: "kinds, comma separated: mount.attach,mount.change … (default all)",
    },
    { name: "count", value: "N", about: "end after N events" },
    ...FOLLOW_OPTIONS,
    { name: "raw", about: "with --json: the kernel's record too" },
    { name: "quiet", short: "q", about: "do not say how mounts become known" },
  ],
  notes:
    `A line is an event: its time, its kind, where it is mounted, and the filesystem's type, source and options.

${FORMAT_HELP}

${EXIT_STATUS}`,
  least: 0,
  most: 0,
};

/** Runs `sentinode mounts`; the exit status. */
export async function runMounts(args: Arguments, terminal: Terminal): Promise<number> {
  await prepare(terminal);
  if (args.has("list")) return await printList(args, terminal);
  const limits = readLimits(args);
  const line = eventLine("watch mounts", args, terminal.out.colors, mountLine);
  function* render(batch: readonly WatchEvent[]): Generator<readonly Piece[]> {
    for (const event of batch) yield line({ event, kinds: [event.kind] });
  }
  using stop = new Stop();
  await using stream = mounts(mountOptions(args, stop.signal));
  try {
    await stream.ready;
  } catch (error) {
    if (stop.signalExit !== undefined) return stop.signalExit;
    throw error;
  }
  if (!args.has("quiet")) await tellWay(stream, terminal);
  return await follow(stream, render, limits, stop, terminal);
}

function mountOptions(args: Arguments, signal: AbortSignal): MountOptions {
  const events = args.all("events").flatMap((list) => list.split(","));
  // A string as the user wrote it: the library says which there are.
  const backend = args.last("backend") as MountOptions["backend"];
  return {
    signal,
    actor: args.has("actor"),
    ...whichNamespace(args),
    ...(backend === undefined ? {} : { backend }),
    ...(events.length > 0 ? { events } : {}),
  };
}

function whichNamespace(args: Arguments): Pick<MountOptions, "namespace"> {
  const which = args.last("namespace");
  if (which === undefined) return {};
  return { namespace: /^\d+$/.test(which) ? Number(which) : which };
}

async function tellWay(stream: MountStream, { err }: Terminal): Promise<void> {
  const { way, refused, gap } = stream.stats();
  const how = way === "fanotify"
    ? "told by the kernel"
    : `by comparing the mount table${refused === undefined ? "" : `, for ${refused}`}`;
  await err.line(`Watching mounts (${how})`);
  if (gap !== undefined) await err.line(`Not covered: ${gap}`);
}

/** Only what says how a line looks goes with `--list`. */
const OF_EVENTS = [
  "backend",
  "actor",
  "events",
  "count",
  "timeout",
  "format",
  "time-format",
  "raw",
];

async function printList(args: Arguments, { out }: Terminal): Promise<number> {
  for (const option of OF_EVENTS) {
    if (args.has(option)) {
      throw new UsageError(`Cannot list mounts with --${option}: it is for events`);
    }
  }
  const style: Style = { time: String, json: () => "", isRaw: args.has("null") };
  const lineEnd = args.has("null") ? "\0" : "\n";
  const pieces: Piece[] = [];
  for (const mount of await listMounts(whichNamespace(args))) {
    if (args.has("json")) pieces.push(safeJson(mount), lineEnd);
    else {pieces.push(
        name(mount.point, mount.pointBytes, style),
        ...aboutMount(mount, style),
        lineEnd,
      );}
  }
  await out.write(pieces);
  return 0;
}

/** The line for people. */
function mountLine(event: WatchEvent, style: Style, colors: boolean): Piece[] {
  const { mount, mountBefore, mountId } = (event as MountEvent).attributes;
  const about = mountId === undefined ? undefined : `(gone again: mount ${mountId})`;
  const pieces = textLine(event, style, colors, about);
  if (mount !== undefined) pieces.push(...aboutMount(mount, style));
  if (event.kind === "mount.change" && mountBefore !== undefined) {
    pieces.push(` (was ${escapeText(optionsOf(mountBefore))})`);
  }
  return pieces;
}

function aboutMount(mount: Mount, style: Style): Piece[] {
  const { type, root, rootBytes, source, sourceBytes } = mount;
  const pieces: Piece[] = [` ${escapeText(type)} `, name(source, sourceBytes, style)];
  if (root !== "/") pieces.push("[", name(root, rootBytes, style), "]");
  pieces.push(` ${escapeText(optionsOf(mount))}`);
  return pieces;
}

/** The mount's options, and those of the filesystem that are others. */
function optionsOf({ options, superOptions }: Mount): string {
  const own = options.split(",");
  return [...own, ...superOptions.split(",").filter((option) => !own.includes(option))].join();
}

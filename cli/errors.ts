/**
 * `sentinode errors`.
 *
 * @module
 */

import type { ErrorAttributes, WatchEvent } from "../classify/mod.ts";
import { type FilesystemErrors, filesystemErrors } from "../streams/filesystem_errors.ts";
import type { FilesystemErrorsOptions } from "../streams/filesystem_errors_options.ts";
import type { Arguments, Synopsis } from "./args.ts";
import { escapeText } from "./escape.ts";
import { EXIT_STATUS, follow, FOLLOW_OPTIONS, prepare, readLimits } from "./follow.ts";
import { FORMAT_HELP, name, type Piece, type Style } from "./format.ts";
import type { Terminal } from "./output.ts";
import { Stop } from "./stop.ts";
import { eventLine, textLine } from "./watch.ts";

/** What `errors --help` says. */
export const ERRORS: Synopsis = {
  name: "errors",
  operands: "PATH…",
  about: "Prints the errors of the filesystems that the paths are on: broken, full, over quota.\n" +
    "Needs CAP_SYS_ADMIN for all of it; everybody is told of ext4's errors, of space and quota.",
  options: [
    {
      name: "events",
      value: "LIST",
      repeatable: true,
      about: "kinds, comma separated: error.filesystem,error.space,error.quota (default all)",
    },
    { name: "bytes", value: "N", about: "full when no more than N bytes are free (default 0)" },
    { name: "inodes", value: "N", about: "or no more than N inodes (default 0)" },
    {
      name: "interval",
      value: "SECONDS",
      about: "how often that is looked at (default 1)",
    },
    { name: "no-space", about: "do not look" },
    {
      name: "audit",
      about: "have audit record calls that fail for want of space or quota: who, and which\n" +
        "(CAP_AUDIT_CONTROL)",
    },
    { name: "once", about: "end after the first event" },
    { name: "count", value: "N", about: "end after N events" },
    ...FOLLOW_OPTIONS,
    { name: "raw", about: "with --json: the decoded record too" },
    { name: "quiet", short: "q", about: "do not say which sources tell, and which do not" },
  ],
  notes: `${FORMAT_HELP}

${EXIT_STATUS}`,
  least: 1,
  most: Infinity,
};

/** Runs `sentinode errors`; the exit status. */
export async function runErrors(args: Arguments, terminal: Terminal): Promise<number> {
  await prepare(terminal);
  const limits = readLimits(args);
  const line = eventLine("errors", args, terminal.out.colors, errorLine);
  function* render(batch: readonly WatchEvent[]): Generator<readonly Piece[]> {
    for (const event of batch) yield line({ event, kinds: [event.kind] });
  }
  using stop = new Stop();
  await using stream = filesystemErrors(args.operands, errorOptions(args, stop.signal));
  try {
    await stream.ready;
  } catch (error) {
    if (stop.signalExit !== undefined) return stop.signalExit;
    throw error;
  }
  if (!args.has("quiet")) await tellSources(stream, terminal);
  return await follow(stream, render, limits, stop, terminal);
}

function errorOptions(args: Arguments, signal: AbortSignal): FilesystemErrorsOptions {
  const events = args.all("events").flatMap((list) => list.split(","));
  for (const option of ["bytes", "inodes", "interval"]) args.exclude("no-space", option);
  const bytes = args.number("bytes", 0, false);
  const inodes = args.number("inodes", 0, false);
  const seconds = args.number("interval", 0.01, false);
  return {
    signal,
    audit: args.has("audit"),
    ...(events.length > 0 ? { events } : {}),
    space: args.has("no-space") ? false : {
      ...(bytes === undefined ? {} : { bytes }),
      ...(inodes === undefined ? {} : { inodes }),
      ...(seconds === undefined ? {} : { interval: seconds * 1000 }),
    },
  };
}

/** Says which sources tell, and which do not and why; of those that were not asked for nothing. */
async function tellSources(stream: FilesystemErrors, { err }: Terminal): Promise<void> {
  for (const { path, mount, sources } of stream.coverage()) {
    const active = sources.filter((source) => source.active).map((source) => source.name);
    const where = mount === undefined ? "" : `${mount.type} on ${mount.point}: `;
    const by = escapeText(where) + active.join(", ");
    await err.line(`Watching ${escapeText(path)} for errors (${by})`);
    for (const { name, wanted, active, reason } of sources) {
      if (!wanted || reason === undefined) continue;
      const what = active ? "By" : "Not by";
      await err.line(`${what} ${name}: ${escapeText(path)}: ${escapeText(reason)}`);
    }
  }
}

/** The line for people: what it is, how often, and what there is too little of. */
function errorLine(event: WatchEvent, style: Style, colors: boolean): Piece[] {
  const attributes = event.attributes as ErrorAttributes;
  const { code, count, inode, space, quota, syscall, unresolved, found, mount } = attributes;
  const about = unresolved ? "(filesystem unknown)" : undefined;
  const pieces = textLine(event, style, colors, about);
  if (event.kind === "lost" || event.kind === "recovered") return pieces;
  if (code !== undefined) pieces.push(` ${code}`);
  if (count !== undefined && count !== 1) pieces.push(` ${count} times`);
  if (inode !== undefined && event.path === mount?.point) pieces.push(` inode ${inode}`);
  if (found?.function !== undefined) {
    pieces.push(" in ", name(`${found.function}:${found.line ?? "?"}`, undefined, style));
  }
  if (space !== undefined) {
    pieces.push(` ${space.free} of ${space.total} ${space.of} free`);
  }
  if (quota !== undefined) {
    const { type, id, of, limit, causedBy } = quota;
    pieces.push(` ${limit} limit of ${of} of ${type} ${id}`);
    if (causedBy !== undefined) pieces.push(`, by user ${causedBy}`);
  }
  if (syscall !== undefined) pieces.push(" ", name(syscall, undefined, style));
  return pieces;
}

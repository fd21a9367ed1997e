/**
 * `--format`: a line of one's own.
 *
 * @module
 */

import type { Kind, WatchEvent } from "../classify/mod.ts";
import { UsageError } from "./args.ts";
import { escapeBytes, escapeText } from "./escape.ts";
import { lettersOf } from "./letters.ts";
import { metadataText } from "./metadata.ts";

/** What is told in one line: an event, or several that the kernel told in one record. */
export interface Told {
  /** The first of them. */
  readonly event: WatchEvent;
  readonly kinds: readonly Kind[];
  /** Whether there was nothing under the path any more when it was looked at. */
  readonly isDeleted?: boolean;
}

/** How a part of a line is made. */
export interface Style {
  readonly time: (time: number) => string;
  /** `--null`: names are bytes as they are. */
  readonly isRaw: boolean;
  readonly json: (told: Told) => string;
}

/** Text, or bytes as they are. */
export type Piece = string | Uint8Array;

/** What stands where nothing is known: no path and no number, and it keeps columns apart. */
const ABSENT = "-";

/** A path (or another name that others choose) as the style asks for. */
export function name(text: string, bytes: Uint8Array | undefined, { isRaw }: Style): Piece {
  if (isRaw) return bytes ?? text;
  return bytes === undefined ? escapeText(text) : escapeBytes(bytes);
}

/** The path, and whether it is still there. */
export function place({ event, isDeleted }: Told, style: Style): Piece[] {
  const path = name(event.path, event.pathBytes, style);
  return isDeleted ? [path, " (deleted)"] : [path];
}

/** What the letters of a format stand for; undefined where nothing is known. */
export type Directives = Readonly<Record<string, (told: Told, style: Style) => Piece | undefined>>;

const DIRECTIVES: Directives = {
  t: ({ event }, { time }) => time(event.time),
  k: ({ kinds }) => escapeText(kinds.join(",")),
  l: ({ kinds }) => lettersOf(kinds) || undefined,
  p: ({ event }, style) => name(event.path, event.pathBytes, style),
  f: ({ event: { from } }, style) => from && name(from, undefined, style),
  e: ({ event: { actor } }, style) => actor?.exe && name(actor.exe, undefined, style),
  c: ({ event: { actor } }, style) => actor?.comm && name(actor.comm, undefined, style),
  P: ({ event: { actor } }) => actor && String(actor.pid),
  u: ({ event: { actor } }) => actor?.uid?.toString(),
  g: ({ event: { actor } }) => actor?.gid?.toString(),
  m: ({ event }) => metadataText(event) || undefined,
  U: ({ event: { actor } }, style) => actor?.user && name(actor.user, undefined, style),
  G: ({ event: { actor } }, style) => actor?.group && name(actor.group, undefined, style),
  C: ({ event: { actor } }, style) => actor?.container && name(actor.container, undefined, style),
  S: ({ event: { actor } }, style) => actor?.unit && name(actor.unit, undefined, style),
  b: ({ event }) => escapeText(event.backend),
  j: (told, { json }) => json(told),
  n: () => "\n",
  0: () => "\0",
  "%": () => "%",
};

/** The letters of `--format`, for the help. */
export const FORMAT_HELP: string = `Letters of --format, "${ABSENT}" where nothing is known:
  %t time   %k kind   %l its letters   %p path   %f path before a rename   %b backend
  %e executable   %c comm   %P pid   %u uid   %g gid   %U user   %G group   %C container
  %S unit of systemd   %m metadata   %j JSON   %n newline   %0 NUL   %% %
Letters of --time-format, local time:
  %Y %m %d  %H %M %S  %f ms  %s seconds since the epoch  %F %Y-%m-%d  %T %H:%M:%S  %z offset`;

/**
 * A function from what is told to the pieces of its line; a command may have letters of its own. Throws
 * {@linkcode UsageError} for an unknown letter.
 */
export function lineFormatter(
  command: string,
  format: string,
  style: Style,
  own: Directives = {},
): (told: Told) => Piece[] {
  const directives = { ...DIRECTIVES, ...own };
  const unknown = format.match(/%.?/gsu)?.find((directive) => !(directive.slice(1) in directives));
  if (unknown !== undefined) {
    throw new UsageError(
      `Cannot ${command} with --format ${format}: ${unknown} is none of ` +
        Object.keys(directives).map((letter) => `%${letter}`).join(" "),
    );
  }
  // Odd places are letters.
  const parts = format.split(/%(.)/s);
  return (told) =>
    parts.map((part, i) => i % 2 === 0 ? part : directives[part]!(told, style) ?? ABSENT);
}

/** The JSON of what is told: the event's own names; `raw` where it is asked for. */
export function eventJson(event: WatchEvent, withRaw: boolean): Record<string, unknown> {
  // `raw` is no property of a delivered event's own: it is decoded when it is asked for.
  return withRaw ? { ...event, raw: event.raw ?? null } : { ...event };
}

/**
 * rfanotify's log lines.
 *
 * @module
 */

import { name, type Piece, place, type Style, type Told } from "./format.ts";

/** The `--format` that asks for them. */
export const RFANOTIFY = "rfanotify";

/** `FAN_CLOSE_WRITE: File /path Exe /exe`, of an event by the name of its bit. */
export function rfanotifyLine(fanName: string, told: Told, style: Style): Piece[] {
  const { actor } = told.event;
  const who: Piece[] = actor?.exe === undefined || actor.gone
    ? [`Pid ${actor?.pid ?? 0}${actor?.gone ? " (gone)" : ""}`]
    : ["Exe ", name(actor.exe, undefined, style)];
  return [`${fanName}: File `, ...place(told, style), " ", ...who];
}

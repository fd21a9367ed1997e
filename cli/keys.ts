/**
 * `sentinode keys`.
 *
 * @module
 */

import type { KeyEvent, WatchEvent } from "../classify/mod.ts";
import type { Key, Keyring } from "../backends/keys/keyctl.ts";
import { keys, type KeyStream } from "../streams/keys.ts";
import type { Arguments, Synopsis } from "./args.ts";
import { escapeText } from "./escape.ts";
import { EXIT_STATUS, follow, FOLLOW_OPTIONS, prepare, readLimits } from "./follow.ts";
import { FORMAT_HELP, type Piece, type Style } from "./format.ts";
import type { Terminal } from "./output.ts";
import { Stop } from "./stop.ts";
import { eventLine, textLine } from "./watch.ts";

/** What `keys --help` says. */
export const KEYS: Synopsis = {
  name: "keys",
  operands: "[KEYRING…]",
  about:
    "Prints what happens to the keys in a keyring, and in those that are in it, a line an event.\n" +
    "Needs a kernel with CONFIG_WATCH_QUEUE and CONFIG_KEY_NOTIFICATIONS.",
  options: [
    {
      name: "events",
      value: "LIST",
      repeatable: true,
      about: "kinds, comma separated: key.link,key.revoke … (default all)",
    },
    { name: "count", value: "N", about: "end after N events" },
    ...FOLLOW_OPTIONS,
    { name: "raw", about: "with --json: the kernel's note too" },
    { name: "quiet", short: "q", about: "do not say what is watched and what is not" },
  ],
  notes:
    `A KEYRING is session (default), user, user-session, a serial number as keyctl(1) prints it (of any key), or the
name of a keyring below those of this process, also as %:NAME.
A line is an event: its time, its kind, the key with its type and serial number, and the keyring. A key that is added
is key.link.

${FORMAT_HELP}

${EXIT_STATUS}`,
  least: 0,
  most: Infinity,
};

/** Runs `sentinode keys`; the exit status. */
export async function runKeys(args: Arguments, terminal: Terminal): Promise<number> {
  await prepare(terminal);
  const limits = readLimits(args);
  const line = eventLine("watch keys", args, terminal.out.colors, keyLine);
  function* render(batch: readonly WatchEvent[]): Generator<readonly Piece[]> {
    for (const event of batch) yield line({ event, kinds: [event.kind] });
  }
  using stop = new Stop();
  const events = args.all("events").flatMap((list) => list.split(","));
  const asked = args.operands.length === 0 ? ["session"] : args.operands;
  await using stream = keys(asked.map(keyringOf), {
    signal: stop.signal,
    ...(events.length > 0 ? { events } : {}),
  });
  try {
    await stream.ready;
  } catch (error) {
    if (stop.signalExit !== undefined) return stop.signalExit;
    throw error;
  }
  if (!args.has("quiet")) await tellWatches(stream, terminal);
  return await follow(stream, render, limits, stop, terminal);
}

/** A serial number in decimal or hexadecimal, or a name. */
function keyringOf(operand: string): Keyring {
  return /^(0x[0-9a-f]+|\d+)$/i.test(operand) ? Number(operand) : operand;
}

async function tellWatches(stream: KeyStream, { err }: Terminal): Promise<void> {
  for (const { key, watches, gaps } of stream.coverage()) {
    const count = watches === 1 ? "1 watch" : `${watches} watches`;
    await err.line(`Watching ${escapeText(keyText(key))} (keys, ${count})`);
    for (const { key, reason } of gaps) {
      await err.line(`Not covered: ${escapeText(keyText(key))}: ${escapeText(reason)}`);
    }
  }
}

/** The line for people. */
function keyLine(event: WatchEvent, style: Style, colors: boolean): Piece[] {
  const { key, keyring, errno } = (event as KeyEvent).attributes;
  const about = [
    ...(key === undefined ? [] : [keyText(key)]),
    ...(keyring === undefined
      ? []
      : [key === undefined ? keyText(keyring) : `in ${keyText(keyring)}`]),
    ...(errno === undefined ? [] : [`errno ${errno}`]),
  ];
  return textLine(event, style, colors, about.join(" ") || "keys");
}

/** `user "mail" 12345`. */
function keyText({ id, type, description }: Key): string {
  return type === undefined ? `key ${id}` : `${type} "${description}" ${id}`;
}

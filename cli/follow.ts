/**
 * Follows a watcher until something ends it: what `watch` and `trace` have in common.
 *
 * @module
 */

import type { WatchEvent } from "../classify/mod.ts";
import type { EventStream } from "../watch/event_stream.ts";
import type { Watcher } from "../watch/watcher.ts";
import type { Arguments, Option } from "./args.ts";
import { escapeText } from "./escape.ts";
import type { Piece } from "./format.ts";
import type { Terminal } from "./output.ts";
import type { Stop } from "./stop.ts";
import { DEFAULT_TIME } from "./time.ts";

/** The exit status where nothing was seen in time, as inotifywait's. */
const TIMED_OUT = 2;

/** How long a reader that does not read may hold up the end, in ms. */
const PATIENCE = 500;

/** The options that say how a line is written. */
export const LINE_OPTIONS: readonly Option[] = [
  { name: "json", about: "one JSON object a line" },
  { name: "format", value: "FORMAT", about: "one's own line: '%t %k %p %f %e'" },
  {
    name: "time-format",
    value: "FORMAT",
    about: `how times are written (default ${DEFAULT_TIME})`,
  },
  { name: "null", short: "0", about: "end lines with NUL, and print names as they are" },
];

/** The options of every command that follows. */
export const FOLLOW_OPTIONS: readonly Option[] = [
  { name: "timeout", value: "SECONDS", about: "end after that time" },
  ...LINE_OPTIONS,
];

/** What their help says of the exit status. */
export const EXIT_STATUS =
  `Exit status: 0 when an event was seen, 1 on an error, 2 when the timeout came first,
130 or 143 when SIGINT or SIGTERM came first.`;

/** How a batch becomes lines, each the pieces of one. */
export type Render = (batch: readonly WatchEvent[]) => Iterable<readonly Piece[]>;

/** When to end, and how lines end. */
export interface Limits {
  /** `--count`. */
  readonly most: number;
  /** `--timeout`. */
  readonly seconds: number | undefined;
  readonly lineEnd: "\n" | "\0";
}

/** Reads {@linkcode Limits}, before anything is armed. Throws {@linkcode UsageError}. */
export function readLimits(args: Arguments): Limits {
  args.exclude("once", "count");
  args.exclude("json", "format");
  return {
    most: args.has("once") ? 1 : args.number("count", 1, true) ?? Infinity,
    seconds: args.number("timeout", 0, false),
    lineEnd: args.has("null") ? "\0" : "\n",
  };
}

/** Makes both streams such that they hold nothing up. */
export async function prepare({ out, err }: Terminal): Promise<void> {
  await out.prepare();
  await err.prepare();
}

/** Has a command end when nobody reads any more, and wait for readers only so long once it is to end. */
export function endTogether(stop: Stop, { out, err }: Terminal): void {
  out.onBroken(() => stop.now("output"));
  stop.signal.addEventListener("abort", () => {
    setTimeout(() => out.giveUp(), PATIENCE);
    setTimeout(() => err.giveUp(), 2 * PATIENCE);
  });
}

/** Prints what the stream delivers until `--count`, `--timeout`, a signal, or the reader's end; the exit status. */
export async function follow(
  stream: Pick<EventStream, "batches">,
  render: Render,
  { most, seconds, lineEnd }: Limits,
  stop: Stop,
  terminal: Terminal,
): Promise<number> {
  const { out, err } = terminal;
  if (seconds !== undefined) stop.after(seconds);
  endTogether(stop, terminal);
  const lost = new Loss();
  let seen = 0;
  for await (const batch of stream.batches()) {
    const pieces: Piece[] = [];
    for (const line of render(batch)) {
      pieces.push(...line, lineEnd);
      if (++seen === most) break;
    }
    for (const event of batch) if (event.kind === "lost") lost.add(event);
    await out.write(pieces);
    if (seen === most || stop.reason !== undefined) break;
  }
  if (stop.signalExit !== undefined) {
    await err.line(`${seen} ${seen === 1 ? "event" : "events"}, ${lost} lost`);
  }
  if (seen > 0) return 0;
  return stop.signalExit ?? (stop.reason === "timeout" ? TIMED_OUT : 0);
}

/** How many events were lost, as far as that is known. */
class Loss {
  #known = 0;
  #isMore = false;

  add({ attributes: { count } }: WatchEvent): void {
    if (count === undefined) this.#isMore = true;
    else this.#known += count;
  }

  toString(): string {
    if (!this.#isMore) return String(this.#known);
    return this.#known === 0 ? "an unknown number" : `more than ${this.#known}`;
  }
}

/** How it is watched, in words. */
export function wayOf({ by, watches }: ReturnType<Watcher["coverage"]>[number]): string {
  const what: Readonly<Record<string, string>> = {
    filesystem: "filesystem mark",
    mount: "mount mark",
    inode: watches === 1 ? "1 inode mark" : `${watches} inode marks`,
    watch: watches === 1 ? "1 watch" : `${watches} watches`,
  };
  return what[by] ?? by;
}

/** Says what is watched and how, and what is not and why. */
export async function tellCoverage(
  verb: string,
  watcher: Watcher,
  { err }: Terminal,
): Promise<void> {
  for (const coverage of watcher.coverage()) {
    if (coverage.backend !== "none") {
      const { path, backend } = coverage;
      await err.line(`${verb} ${escapeText(path)} (${escapeText(backend)}, ${wayOf(coverage)})`);
    }
    for (const { path, reason } of coverage.gaps) {
      await err.line(`Not covered: ${escapeText(path)}: ${escapeText(reason)}`);
    }
  }
}

/**
 * The options of `filesystemErrors()`: their types, and what is wrong with those that are wrong.
 *
 * @module
 */

import { checkOptions, type OptionTable, show } from "../watch/option_checks.ts";
import { checkEvents } from "../watch/options.ts";
import { pathList } from "../watch/targets.ts";
import type { SpaceLimits } from "./error_sources/scarce_space.ts";

/** When a filesystem has too little room. */
export interface SpaceOptions {
  /** `error.space` once no more bytes are free for users. Default `0`. */
  readonly bytes?: number;
  /** Or no more inodes. Default `0`. */
  readonly inodes?: number;
  /** How often that is looked at, in ms. Default `1000`. */
  readonly interval?: number;
}

/** Options of {@linkcode filesystemErrors}. */
export interface FilesystemErrorsOptions {
  /** Kind patterns of the events that are wanted; one matches itself and everything under it. Default `["error"]`. */
  events?: readonly string[];
  /** When a filesystem counts as full, by looking at it; `false` never. */
  space?: SpaceOptions | false;
  /**
   * Whether audit records calls that fail for want of space or quota: who, and which call. Default `false`, for it switches
   * the machine's audit on, which makes each system call a little slower. Needs CAP_AUDIT_CONTROL.
   */
  audit?: boolean;
  /** Closes the stream. */
  signal?: AbortSignal;
}

/** Options with every question answered. */
export interface ErrorSettings {
  readonly paths: readonly (string | URL)[];
  readonly events: readonly string[];
  readonly space: SpaceLimits | undefined;
  readonly audit: boolean;
  readonly signal: AbortSignal | undefined;
}

const OPTIONS: OptionTable = { flags: ["audit"], others: ["events", "space"] };
const SPACE: Readonly<
  Record<keyof SpaceLimits, { readonly value: number; readonly least: number }>
> = {
  bytes: { value: 0, least: 0 },
  inodes: { value: 0, least: 0 },
  interval: { value: 1000, least: 10 },
};

/** What timers take, about 25 days. */
const MOST_MS = 2 ** 31 - 1;

/** Checks paths and options. Throws `TypeError` or `RangeError` for what is wrong. */
export function settleErrors(
  paths: string | URL | Iterable<string | URL>,
  options: FilesystemErrorsOptions,
): ErrorSettings {
  checkOptions("watch for errors", options, OPTIONS);
  const { events = ["error"], space = {}, audit = false, signal } = options;
  if (space !== false && (typeof space !== "object" || space === null)) {
    throw new TypeError(
      `Cannot watch for errors with space ${
        show(space)
      }: it is { bytes, inodes, interval } or false`,
    );
  }
  return {
    paths: pathList(paths, "watch"),
    events: checkEvents(events),
    space: space === false ? undefined : settleSpace(space),
    audit,
    signal,
  };
}

function settleSpace(space: SpaceOptions): SpaceLimits {
  for (const name of Object.keys(space)) {
    if (Object.hasOwn(SPACE, name)) continue;
    throw new TypeError(`Cannot watch for errors with space.${name}: no such option`);
  }
  const limit = (name: keyof SpaceLimits): number => {
    const { value, least } = SPACE[name];
    const given = space[name] ?? value;
    if (typeof given !== "number") {
      throw new TypeError(
        `Cannot watch for errors with space.${name} ${String(given)}: not a number`,
      );
    }
    if (!(given >= least) || (name === "interval" && given > MOST_MS)) {
      throw new RangeError(
        `Cannot watch for errors with space.${name} ${given}: it is at least ${least}`,
      );
    }
    return given;
  };
  return { bytes: limit("bytes"), inodes: limit("inodes"), interval: limit("interval") };
}

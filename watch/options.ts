/**
 * The options of `watch()`: their types, and what is wrong with those that are wrong.
 *
 * @module
 */

import type { Backend } from "../backends/backend.ts";
import { isKindPattern, KINDS, matches } from "../classify/kinds.ts";
import { Filter, type Ignore } from "./filter.ts";
import { SEEN_FOR_METADATA } from "./metadata_stage.ts";
import { checkFilesystems, checkOptions, show } from "./option_checks.ts";
import { STRUCTURAL } from "./picture.ts";
import { type SaveOptions, SEEN } from "./saves.ts";

/** Options of {@linkcode watch}. */
export interface WatchOptions {
  /** The whole subtree, also what appears in it later. Default `true`. */
  recursive?: boolean;
  /**
   * `"tree"`: at and below the paths. `"mount"`, `"filesystem"`: everything on the mount or the filesystem that holds
   * them. Default `"tree"`.
   */
  scope?: "tree" | "mount" | "filesystem";
  /**
   * `auto` chooses for each mount the best that works there with the privileges at hand; `"poll"` looks once a second.
   * Default `"auto"`.
   */
  backend?: "auto" | "fanotify" | "inotify" | "poll" | Backend;
  /**
   * Kind patterns; one matches itself and everything under it. Default `["create", "modify", "rename", "remove"]`.
   * `lost` is always delivered.
   */
  events?: readonly string[];
  /** Globs, expressions or functions; asked before anything is watched, once for a path. Default none. */
  ignore?: Ignore | readonly Ignore[];
  /** Pids, or `"self"`, whose events are dropped. A `Set` may be changed while watching. Needs fanotify. */
  ignoreProcesses?: Iterable<number | "self">;
  /** Filesystem types left out where a watch crosses mounts: `["tmpfs"]`. */
  ignoreFilesystems?: readonly string[];
  /**
   * A path that is not there: `"error"` rejects, `"wait"` watches for it to appear, and again whenever it has gone. Default
   * `"error"`.
   */
  missing?: "error" | "wait";
  /**
   * A symlink below the paths that leads to a directory is watched as if the directory were there, one that leads to a file
   * as if the file's contents were. Default `false`: symlinks are told as what they are.
   */
  followSymlinks?: boolean;
  /**
   * Attach who did it. `true`: as fanotify tells, which needs CAP_SYS_ADMIN. `"audit"`: as audit tells, too, which needs
   * CAP_AUDIT_CONTROL: of events of every backend, with the login user, the session and the system call; failed attempts
   * are `access.failed`. An event then waits for its record, 100 ms at most, 1 s while audit is behind. What cannot be known is absent. Default `false`.
   */
  actor?: boolean | "audit";
  /**
   * Tell which metadata changed, with `attributes.before` and `attributes.after`, and notice flags (chattr), which the
   * kernel announces to nobody. All files are looked at first. Default `false`.
   */
  metadata?: boolean | MetadataOptions;
  /**
   * After a loss: `"diff"` compares the tree with what was told, reports the difference as `synthetic` events, and then
   * `recovered`; `"signal"` only reports `lost`. Default `"diff"`.
   */
  recover?: "diff" | "signal";
  /**
   * Who holds the backlog of a slow reader: the kernel's bounded queue, or `"unlimited"` (of the kernel with fanotify and
   * CAP_SYS_ADMIN, of this process otherwise). Default `"kernel"`.
   */
  queue?: "kernel" | "unlimited";
  /**
   * Tell one `modify.data` of a file that an editor saves by replacing it, and nothing of the temporary file or the backup.
   * A new file, and a rename within a directory, are told up to 100 ms later, a file that is written for long after 1 s.
   * Default `false`.
   */
  atomicSave?: boolean;
  /**
   * Tell of a new or changed file once nobody has it open for writing: one `create`, at most one `modify.data`. What is
   * told before its close is seen (it was renamed or removed, events were lost, the watcher was closed) has
   * `attributes.unfinished`.
   * Default `false`.
   */
  writeFinish?: boolean;
  /** Closes the watcher. */
  signal?: AbortSignal;
}

/** How metadata is watched. */
export interface MetadataOptions {
  /**
   * After how many ms all files are looked at again for what nobody announced: flags that were changed by path, or without a
   * close that was seen. Where a look takes long the pause is longer: it takes a hundredth of the time at most. 0: not
   * again, but for every time that twice as many files are remembered. Default 60 000.
   */
  sweep?: number;
  /** Tell values of extended attributes of up to that many bytes, and remember them. Default 0: their names only. */
  values?: number;
}

/** Options with every question answered. */
export interface Settings {
  readonly recursive: boolean;
  readonly scope: "tree" | "mount" | "filesystem";
  readonly backend: "auto" | "fanotify" | "inotify" | "poll" | Backend;
  readonly filter: Filter;
  readonly ignoreFilesystems: ReadonlySet<string>;
  readonly missing: "error" | "wait";
  readonly followSymlinks: boolean;
  readonly actor: boolean;
  /** Whether audit is asked as well. */
  readonly audit: boolean;
  readonly recover: "diff" | "signal";
  readonly queue: "kernel" | "unlimited";
  /** `atomicSave` and `writeFinish`, where one of them is on. */
  readonly saves: SaveOptions | undefined;
  /** Where somebody wants to know which metadata changed. */
  readonly metadata: Required<MetadataOptions> | undefined;
  readonly signal: AbortSignal | undefined;
}

/** What is told where nobody says what. */
export const DEFAULT_EVENTS: readonly string[] = ["create", "modify", "rename", "remove"];

/** {@linkcode MetadataOptions.sweep}. */
const SWEEP = 60_000;

/** The longest time that a timer takes, in ms. */
const LONGEST = 2 ** 31 - 1;

const CHOICES = {
  scope: ["tree", "mount", "filesystem"],
  backend: ["auto", "fanotify", "inotify", "poll"],
  queue: ["kernel", "unlimited"],
  missing: ["error", "wait"],
  recover: ["diff", "signal"],
  actor: [false, true, "audit"],
} as const;

const FLAGS = [
  "recursive",
  "followSymlinks",
  "atomicSave",
  "writeFinish",
] as const;

const OTHERS = [
  "metadata",
  "events",
  "ignore",
  "ignoreProcesses",
  "ignoreFilesystems",
] as const;

/** Checks the options. Throws `TypeError` for a wrong one. */
export function settle(options: WatchOptions): Settings {
  // A backend of one's own is none of those that have names.
  const checked = isBackend(options?.backend) ? { ...options, backend: undefined } : options;
  checkOptions("watch", checked, { choices: CHOICES, flags: FLAGS, others: OTHERS });
  if (options.missing === "wait") refuseForTree(options, 'missing "wait"');
  if (options.followSymlinks) refuseForTree(options, "followSymlinks");
  const audit = options.actor === "audit";
  const { atomicSave = false, writeFinish = false, followSymlinks = false } = options;
  const saves = atomicSave || writeFinish ? { atomicSave, writeFinish } : undefined;
  const events = checkEvents(options.events ?? DEFAULT_EVENTS);
  const asked = checkMetadata(options.metadata === undefined ? false : options.metadata);
  const metadata =
    events.some((pattern) => matches(pattern, "modify.metadata") || pattern === "modify")
      ? asked
      : undefined;
  for (const [option, isOn] of [["metadata", metadata !== undefined], ['actor "audit"', audit]]) {
    if (isOn && isBackend(options.backend)) {
      throw new TypeError(`Cannot watch with ${option}: the backend is not a built-in one`);
    }
  }
  const filter = new Filter(
    events,
    checkIgnore(options.ignore ?? []),
    checkProcesses(options.ignoreProcesses ?? []),
    [
      ...(saves === undefined ? [] : SEEN),
      ...(followSymlinks ? STRUCTURAL : []),
      ...(metadata === undefined ? [] : SEEN_FOR_METADATA),
    ],
  );
  return {
    recursive: options.recursive ?? true,
    scope: options.scope ?? "tree",
    backend: (options.backend ?? "auto") as Settings["backend"],
    filter,
    ignoreFilesystems: checkFilesystems(options.ignoreFilesystems ?? []),
    missing: options.missing ?? "error",
    followSymlinks,
    actor: options.actor !== undefined && options.actor !== false,
    audit,
    recover: options.recover ?? "diff",
    queue: options.queue ?? "kernel",
    saves,
    metadata,
    signal: options.signal,
  };
}

/** Undefined where it is off. */
function checkMetadata(metadata: unknown): Required<MetadataOptions> | undefined {
  if (metadata === false) return undefined;
  if (metadata === true) return { sweep: SWEEP, values: 0 };
  if (typeof metadata !== "object" || metadata === null) {
    throw new TypeError(
      `Cannot watch with metadata ${show(metadata)}: it is true, false or { sweep, values }`,
    );
  }
  const options = { sweep: SWEEP, values: 0 };
  for (const [name, value] of Object.entries(metadata)) {
    if (!(name in options)) {
      throw new TypeError(`Cannot watch with metadata.${name}: no such option`);
    }
    if (value === undefined) continue;
    if (!Number.isInteger(value) || value < 0 || value > LONGEST) {
      throw new RangeError(
        `Cannot watch with metadata.${name} ${show(value)}: it is an integer from 0 to ${LONGEST}`,
      );
    }
    options[name as keyof typeof options] = value;
  }
  return options;
}

/** What is about names in a tree makes no sense of a whole mount or filesystem, and others' backends look themselves. */
function refuseForTree({ scope = "tree", backend }: WatchOptions, option: string): void {
  const why = scope !== "tree"
    ? `scope is ${show(scope)}`
    : isBackend(backend)
    ? "the backend is not a built-in one"
    : undefined;
  if (why !== undefined) throw new TypeError(`Cannot watch with ${option}: ${why}`);
}

function isBackend(value: unknown): value is Backend {
  return typeof value === "object" && value !== null &&
    "name" in value && typeof value.name === "string" &&
    "open" in value && typeof value.open === "function";
}

/** Kind patterns that exist. */
export function checkEvents(events: readonly string[]): readonly string[] {
  if (!Array.isArray(events) || events.length === 0) {
    throw new TypeError(`Cannot watch for events ${show(events)}: not a list of kinds`);
  }
  for (const pattern of events) {
    if (typeof pattern === "string" && isKindPattern(pattern)) continue;
    const first = [...new Set(KINDS.map((kind) => kind.split(".")[0]))].join(", ");
    throw new TypeError(
      `Cannot watch for ${show(pattern)}: no such kind; kinds begin with ${first}, user`,
    );
  }
  return [...events];
}

/** Globs, expressions and functions that make sense. */
export function checkIgnore(ignore: Ignore | readonly Ignore[]): readonly Ignore[] {
  const list = Array.isArray(ignore) ? ignore as readonly Ignore[] : [ignore as Ignore];
  for (const one of list) {
    if (one instanceof RegExp) {
      // `test` of such an expression begins where the last match ended, so that every other path would be missed.
      if (one.global || one.sticky) {
        throw new TypeError(
          `Cannot use ${one} in ignore: the flags g and y keep state between paths`,
        );
      }
    } else if (typeof one !== "function" && (typeof one !== "string" || one === "")) {
      throw new TypeError(`Cannot use ${show(one)} in ignore: not a glob, RegExp or function`);
    }
  }
  return list;
}

function checkProcesses(processes: Iterable<number | "self">): ReadonlySet<number | "self"> {
  if (typeof processes !== "object" || !(Symbol.iterator in (processes ?? {}))) {
    throw new TypeError(`Cannot ignore processes ${show(processes)}: not a list of pids`);
  }
  const set = processes instanceof Set ? processes : new Set(processes);
  for (const one of set) {
    if (one === "self" || (Number.isInteger(one) && one > 0)) continue;
    throw new TypeError(`Cannot ignore process ${show(one)}: not a pid and not "self"`);
  }
  return set;
}

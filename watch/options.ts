/**
 * The options of `watch()`: their types, and what is wrong with those that are wrong.
 *
 * @module
 */

import type { Backend } from "../backends/backend.ts";
import { isKindPattern, KINDS } from "../classify/kinds.ts";
import { UnsupportedError } from "../ffi/errno.ts";
import { Filter, type Ignore } from "./filter.ts";
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
  /** Attach who did it. Needs fanotify and CAP_SYS_ADMIN; without, it is absent. Default `false`. */
  actor?: boolean;
  /** Tell which metadata changed. Not yet. */
  metadata?: boolean;
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
  readonly recover: "diff" | "signal";
  readonly queue: "kernel" | "unlimited";
  /** `atomicSave` and `writeFinish`, where one of them is on. */
  readonly saves: SaveOptions | undefined;
  readonly signal: AbortSignal | undefined;
}

const DEFAULT_EVENTS = ["create", "modify", "rename", "remove"];

const CHOICES = {
  scope: ["tree", "mount", "filesystem"],
  backend: ["auto", "fanotify", "inotify", "poll"],
  queue: ["kernel", "unlimited"],
  missing: ["error", "wait"],
  recover: ["diff", "signal"],
} as const;

const FLAGS = [
  "recursive",
  "followSymlinks",
  "actor",
  "metadata",
  "atomicSave",
  "writeFinish",
] as const;

const NAMES: ReadonlySet<string> = new Set([
  ...Object.keys(CHOICES),
  ...FLAGS,
  "events",
  "ignore",
  "ignoreProcesses",
  "ignoreFilesystems",
  "signal",
]);

/** Options that are named but not there yet, and the value that asks for them. */
const NOT_YET: readonly (readonly [name: keyof WatchOptions, value: unknown])[] = [
  ["metadata", true],
];

/** Checks the options. Throws `TypeError` for a wrong one, `UnsupportedError` for one that is not there yet. */
export function settle(options: WatchOptions): Settings {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`Cannot watch with options ${String(options)}: not an object`);
  }
  for (const name of Object.keys(options)) {
    if (!NAMES.has(name)) throw new TypeError(`Cannot watch with option ${name}: no such option`);
  }
  for (const [name, allowed] of Object.entries(CHOICES)) {
    const value = options[name as keyof typeof CHOICES];
    if (value === undefined || (allowed as readonly unknown[]).includes(value)) continue;
    if (name === "backend" && isBackend(value)) continue;
    throw new TypeError(
      `Cannot watch with ${name} ${show(value)}: it is one of ${allowed.join(", ")}`,
    );
  }
  for (const name of FLAGS) {
    const value = options[name];
    if (value !== undefined && typeof value !== "boolean") {
      throw new TypeError(`Cannot watch with ${name} ${show(value)}: it is true or false`);
    }
  }
  for (const [name, value] of NOT_YET) {
    if (options[name] !== value) continue;
    throw new UnsupportedError(`Cannot watch with ${name} ${show(value)}: not yet`, {
      hint: `leave ${name} out; a later version of sentinode has it`,
    });
  }
  if (options.missing === "wait") refuseForTree(options, 'missing "wait"');
  if (options.followSymlinks) refuseForTree(options, "followSymlinks");
  const { signal } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError(`Cannot watch with signal ${show(signal)}: not an AbortSignal`);
  }
  const { atomicSave = false, writeFinish = false, followSymlinks = false } = options;
  const saves = atomicSave || writeFinish ? { atomicSave, writeFinish } : undefined;
  const filter = new Filter(
    checkEvents(options.events ?? DEFAULT_EVENTS),
    checkIgnore(options.ignore ?? []),
    checkProcesses(options.ignoreProcesses ?? []),
    [...(saves === undefined ? [] : SEEN), ...(followSymlinks ? STRUCTURAL : [])],
  );
  return {
    recursive: options.recursive ?? true,
    scope: options.scope ?? "tree",
    backend: (options.backend ?? "auto") as Settings["backend"],
    filter,
    ignoreFilesystems: checkFilesystems(options.ignoreFilesystems ?? []),
    missing: options.missing ?? "error",
    followSymlinks,
    actor: options.actor ?? false,
    recover: options.recover ?? "diff",
    queue: options.queue ?? "kernel",
    saves,
    signal,
  };
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

function checkFilesystems(types: readonly string[]): ReadonlySet<string> {
  if (!Array.isArray(types) || !types.every((type) => typeof type === "string")) {
    throw new TypeError(`Cannot ignore filesystems ${show(types)}: not a list of their types`);
  }
  return new Set(types);
}

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

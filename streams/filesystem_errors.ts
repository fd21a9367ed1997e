/**
 * `filesystemErrors()`.
 *
 * @module
 */

import type { ErrorAttributes, ErrorEvent, ErrorSourceName } from "../classify/error_event.ts";
import { FileEvent } from "../classify/event.ts";
import { isWanted, type Kind } from "../classify/kinds.ts";
import { openLibc } from "../ffi/libc.ts";
import type { Libc } from "../ffi/port.ts";
import { type Reactor, reactor } from "../ffi/reactor.ts";
import { onMountChanges } from "../watch/mount_changes.ts";
import { absolutePath } from "../watch/targets.ts";
import { CoveredPaths } from "./error_sources/covered_paths.ts";
import { Ext4Errors } from "./error_sources/ext4_errors.ts";
import { FailedCalls } from "./error_sources/failed_calls.ts";
import { FanotifyErrors } from "./error_sources/fanotify_errors.ts";
import { QuotaWarnings } from "./error_sources/quota_warnings.ts";
import { ScarceSpace } from "./error_sources/scarce_space.ts";
import type {
  ErrorInit,
  ErrorSink,
  ErrorSource,
  Filesystem,
  SourceState,
} from "./error_sources/source.ts";
import {
  type ErrorSettings,
  type FilesystemErrorsOptions,
  settleErrors,
} from "./filesystem_errors_options.ts";
import { SourceStream } from "./source_stream.ts";

/** What a stream of errors did so far. */
export interface FilesystemErrorsStats {
  /** Events delivered to the queue. */
  readonly events: number;
  /** Errors that they stand for. */
  readonly errors: number;
  /** Events that were dropped because the consumer was too slow. */
  readonly dropped: number;
  /** How often the space of all filesystems was looked at. */
  readonly looks: number;
  /** How many filesystems the paths are on. */
  readonly filesystems: number;
}

/** Whether a source tells of a path's filesystem. */
export interface ErrorSourceCoverage {
  /** Which it is. */
  readonly name: ErrorSourceName;
  /** The kinds that it would tell. */
  readonly kinds: readonly Kind[];
  /** Whether the options ask for it, and no better source tells the same. */
  readonly wanted: boolean;
  /** Whether it tells. */
  readonly active: boolean;
  /** Why it does not, or what it does not tell; absent where there is nothing to say. */
  readonly reason?: string;
}

/** How a path is covered. */
export interface ErrorCoverage {
  /** The path, absolute. */
  readonly path: string;
  /** The mount that holds it; undefined while nothing is mounted there. */
  readonly mount?: { readonly point: string; readonly type: string };
  /** `major:minor` of the filesystem. */
  readonly device?: string;
  /** All sources there are. */
  readonly sources: readonly ErrorSourceCoverage[];
}

/** The sources, best first, and what each tells. */
const SOURCES: Readonly<Record<ErrorSourceName, readonly ErrorInit["kind"][]>> = {
  fanotify: ["error.filesystem"],
  ext4: ["error.filesystem"],
  statfs: ["error.space"],
  quota: ["error.quota"],
  audit: ["error.space", "error.quota"],
};

const NAMES = Object.keys(SOURCES) as ErrorSourceName[];

/** What is told of those that were not asked. */
const OFF: Readonly<Partial<Record<ErrorSourceName, string>>> = {
  statfs: "space is false",
  audit: "audit is false",
};

/** A running stream of errors. */
export class FilesystemErrors extends SourceStream<ErrorEvent> {
  readonly #settings: ErrorSettings;
  readonly #sources: ErrorSource[] = [];
  readonly #states = new Map<Filesystem, Map<ErrorSourceName, SourceState>>();
  #space: ScarceSpace | undefined;
  #paths: CoveredPaths | undefined;
  #unlisten: (() => void) | undefined;
  #errors = 0;

  /** Begins at once. Use {@linkcode filesystemErrors}. */
  constructor(settings: ErrorSettings) {
    super("stream of errors", true, settings.signal);
    this.#settings = settings;
  }

  /** @internal */
  protected override async open(): Promise<void> {
    const [libc, loop] = [await openLibc(), await reactor()];
    if (!this.isOpen) return;
    const paths = this.#settings.paths.map((path) => absolutePath(libc, path));
    this.#paths = new CoveredPaths(libc, [...new Set(paths)]);
    for (const name of NAMES) {
      if (!this.#isAsked(name)) continue;
      this.#sources.push(await this.#source(name, libc, loop, this.#paths));
      if (!this.isOpen) return;
    }
    this.queue.onRoom = () => this.#sources.forEach((source) => source.resume?.());
    this.#refresh();
    this.#unlisten = await onMountChanges(() => this.#mountsChanged());
  }

  #isAsked(name: ErrorSourceName): boolean {
    const { events, space, audit } = this.#settings;
    if (name === "statfs" && space === undefined) return false;
    if (name === "audit" && !audit) return false;
    return SOURCES[name].some((kind) => isWanted(kind, events));
  }

  #source(
    name: ErrorSourceName,
    libc: Libc,
    loop: Reactor,
    paths: CoveredPaths,
  ): ErrorSource | Promise<ErrorSource> {
    const sink = this.#sink;
    switch (name) {
      case "fanotify":
        return new FanotifyErrors(libc, loop, sink);
      case "ext4":
        return new Ext4Errors(libc, loop, sink);
      case "statfs":
        return this.#space = new ScarceSpace(libc, sink, this.#settings.space!);
      case "quota":
        return new QuotaWarnings(libc, loop, sink);
      case "audit":
        return FailedCalls.open(libc, sink, (id) => paths.deviceOf(id));
    }
  }

  // --- mounts that come and go ---

  #mountsChanged(): void {
    if (!this.isOpen) return;
    try {
      const { gone, came } = this.#refresh();
      for (const filesystem of gone) this.#lost(filesystem, "it is not mounted there any more");
      for (const filesystem of this.#states.keys()) {
        if (this.#wasGone(filesystem)) {
          this.#lost(filesystem, "it was unmounted, and mounted again");
          came.push(filesystem);
        }
      }
      for (const { mount: { point } } of came) this.#push({ kind: "recovered", path: point });
    } catch (error) {
      this.fail(error);
    }
  }

  #wasGone(filesystem: Filesystem): boolean {
    return [...this.#states.get(filesystem)!.values()].some(({ wasGone }) => wasGone);
  }

  #refresh(): ReturnType<CoveredPaths["refresh"]> {
    const paths = this.#paths!;
    const difference = paths.refresh();
    for (const filesystem of difference.gone) {
      this.#states.delete(filesystem);
      for (const source of this.#sources) source.uncover(filesystem);
    }
    for (const filesystem of paths.filesystems) this.#cover(filesystem);
    return difference;
  }

  #cover(filesystem: Filesystem): void {
    const states = new Map<ErrorSourceName, SourceState>();
    for (const source of this.#sources) {
      const { name, insteadOf } = source;
      if (insteadOf !== undefined && states.get(insteadOf)?.isActive) {
        source.uncover(filesystem);
        const reason = `${insteadOf} tells the same`;
        states.set(name, { isActive: false, isWanted: false, reason });
      } else states.set(name, source.cover(filesystem));
    }
    this.#states.set(filesystem, states);
  }

  // --- what sources deliver to ---

  get #sink(): ErrorSink {
    const isFull = () => this.queue.isFull;
    return {
      tell: (source, of, errors) => this.#tell(source, of, errors),
      lost: (of, reason, count) => this.#lost(of, reason, count),
      ended: (source, of, reason) => {
        for (const [filesystem, states] of this.#states) {
          if (of === undefined || of === filesystem) {
            states.set(source, { isActive: false, reason });
          }
        }
        this.#lost(of, `${source} tells no more: ${reason}`);
      },
      get isFull() {
        return isFull();
      },
    };
  }

  #tell(source: ErrorSourceName, of: Filesystem | undefined, errors: readonly ErrorInit[]): void {
    const now = Date.now();
    const known: ErrorAttributes = of === undefined
      ? {}
      : { device: of.device, mount: { point: of.mount.point, type: of.mount.type } };
    const wanted = errors.filter(({ kind }) => isWanted(kind, this.#settings.events));
    for (const { attributes: { count = 1 } } of wanted) this.#errors += count;
    const events = wanted.map(({ attributes, ...init }) =>
      FileEvent.from(
        { path: of?.mount.point ?? "", ...init, attributes: { ...attributes, ...known } },
        now,
        source,
      ) as FileEvent & ErrorEvent
    );
    this.queue.push(events, of?.mount.point ?? "/");
  }

  #lost(of: Filesystem | undefined, reason: string, count?: number): void {
    const attributes = { reason, ...(count === undefined ? {} : { count }) };
    this.#push({ kind: "lost", path: of?.mount.point ?? "/", attributes });
  }

  #push(init: Parameters<typeof FileEvent.from>[0]): void {
    const event = FileEvent.from(init, Date.now(), "sentinode") as FileEvent & ErrorEvent;
    this.queue.push([event], init.path);
  }

  // --- the end ---

  /** @internal */
  protected override async giveBack(): Promise<void> {
    this.#unlisten?.();
    const closed = await Promise.allSettled(
      this.#sources.map(async (source) => await source.close()),
    );
    const failed = closed.find((one) => one.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  // --- what is known ---

  /** For each path which sources tell of its filesystem, and which do not, and why. */
  coverage(): ErrorCoverage[] {
    return (this.#paths?.all ?? []).map(({ path, filesystem }) => {
      const states = filesystem && this.#states.get(filesystem);
      const sources = NAMES.map((name): ErrorSourceCoverage => {
        const { isActive, isWanted = true, reason } = states?.get(name) ?? this.#without(name);
        const told = reason === undefined ? {} : { reason };
        return { name, kinds: SOURCES[name], wanted: isWanted, active: isActive, ...told };
      });
      if (filesystem === undefined) return { path, sources };
      const { device, mount: { point, type } } = filesystem;
      return { path, mount: { point, type }, device, sources };
    });
  }

  /** The state of a source that was not asked, or of one with nothing to ask it about. */
  #without(name: ErrorSourceName): SourceState {
    if (this.#isAsked(name)) return { isActive: false, reason: "nothing is mounted there" };
    const isKind = SOURCES[name].some((kind) => isWanted(kind, this.#settings.events));
    const reason = isKind ? OFF[name]! : "none of its kinds is wanted";
    return { isActive: false, isWanted: false, reason };
  }

  /** Counters since the stream was opened. */
  stats(): FilesystemErrorsStats {
    const { events, dropped } = this.queue.stats;
    const filesystems = [...this.#paths?.filesystems ?? []].length;
    const looks = this.#space?.looks ?? 0;
    return { events, errors: this.#errors, dropped, looks, filesystems };
  }
}

/**
 * Tells the errors of the filesystems that the paths are on: that they are broken (`error.filesystem`), full
 * (`error.space`), or somebody's quota of them is (`error.quota`).
 *
 * Several sources tell, each what it can, and `coverage()` says which of them do: fanotify, or ext4's own counters where
 * there is no privilege; a look at the space once a second; the kernel's warnings of quota; and with `audit` the calls that
 * failed. The same may be told by two of them: `backend` is which.
 *
 * **Privilege.** CAP_SYS_ADMIN for errors by fanotify (Linux 5.16; before 7.0 of ext4 alone), CAP_DAC_READ_SEARCH for paths
 * of files whose names are not to be read, CAP_AUDIT_CONTROL for `audit`. None for the rest.
 *
 * **Errors.** `TypeError` or `RangeError` at once for wrong arguments. What is not there, or is made up by the kernel,
 * rejects `ready` and is thrown to the iterator. A source that does not work here is no error: `coverage()` says why.
 *
 * @example
 * ```ts
 * import { filesystemErrors } from "sentinode";
 *
 * await using errors = filesystemErrors("/tmp", { space: { bytes: 0, interval: 100 } });
 * await errors.ready;
 * for (const { path, sources } of errors.coverage()) {
 *   for (const { name, active, reason } of sources) console.log(path, name, active, reason);
 * }
 * setTimeout(() => errors.close(), 10);
 * for await (const { kind, path, attributes } of errors) {
 *   console.log(kind, path, attributes.code, attributes.count);
 * }
 * ```
 */
export function filesystemErrors(
  paths: string | URL | Iterable<string | URL>,
  options: FilesystemErrorsOptions = {},
): FilesystemErrors {
  return new FilesystemErrors(settleErrors(paths, options));
}

/**
 * The interface of a backend, for those who bring their own: another kernel API, a network filesystem's notifications,
 * a test's script.
 *
 * @module
 */

import type { EventInit } from "../classify/event.ts";

/** What a backend is asked to watch: one path. */
export interface BackendRequest {
  /** Absolute, without a final slash. */
  readonly path: string;
  /** Whether the whole subtree is meant. */
  readonly recursive: boolean;
  /** How far the watch reaches: see `WatchOptions.scope`. */
  readonly scope: "tree" | "mount" | "filesystem";
  /** Whether to say who did it. */
  readonly actor: boolean;
  /** Who holds the backlog of a slow reader: see `WatchOptions.queue`. */
  readonly queue: "kernel" | "unlimited";
  /** Whether an event of this kind is of any use; what is not wanted is dropped if it is delivered all the same. */
  wants(kind: string): boolean;
  /** Whether a path, and what is below it, is to be left out. Asked before anything is watched. */
  ignores(path: string, isDirectory: boolean): boolean;
}

/** Where a backend delivers. Calls are cheap; deliver what one read gave in one call. */
export interface BackendSink {
  /** Hands over events in the order in which they happened. */
  deliver(events: readonly EventInit[]): void;
  /** Says that events were lost, and how many where that is known. */
  lost(path: string, reason: string, count?: number): void;
  /** Ends the watcher: what makes it impossible to go on. */
  fail(error: unknown): void;
  /** Whether the consumer is so far behind that the backend should stop reading until {@linkcode BackendSession.resume}. */
  readonly full: boolean;
}

/** What is covered, and what is not. */
export interface Coverage {
  /** The path as the user gave it, or a mount below it. */
  readonly path: string;
  /** The name of the backend; `"none"` where nothing is watched. */
  readonly backend: string;
  /** The mount that holds the path: where it is mounted, and what. */
  readonly mount: { readonly point: string; readonly type: string };
  /** How it is watched: `"filesystem"`, `"mount"` or `"inode"` marks, or `"watch"`es of directories. */
  readonly by: string;
  /** How many watches or marks of the kernel it takes. */
  readonly watches: number;
  /** With `metadata`: how flags (chattr) are noticed, which the kernel announces to nobody. */
  readonly metadata?: FlagCoverage;
  /** What is not covered, and why; empty where everything is. */
  readonly gaps: readonly { readonly path: string; readonly reason: string }[];
}

/** How changes of flags are noticed. */
export interface FlagCoverage {
  /**
   * `"closes"`: when the file is closed, as chattr(1) must. `"polling"`: by a look at every file once a second, or less
   * often. `"sweep"`: by one every {@linkcode sweep} ms, or less often. `"audit"`: as they are changed.
   */
  readonly flags: readonly ("audit" | "closes" | "polling" | "sweep")[];
  /** Between two sweeps, in ms; absent where there are none. */
  readonly sweep?: number;
  /** How many files are remembered. */
  readonly files: number;
}

/** One armed request. */
export interface BackendSession {
  /** How the request is covered, and what of it is not. */
  coverage(): Pick<Coverage, "by" | "watches" | "gaps">;
  /** The consumer has room again. */
  resume?(): void;
  /** Gives everything back. */
  close(): void | Promise<void>;
}

/**
 * A source of events for `watch({ backend })`.
 *
 * @example
 * ```ts
 * import { type Backend, watch } from "sentinode";
 *
 * const clock: Backend = {
 *   name: "clock",
 *   open(request, sink) {
 *     const timer = setInterval(() => sink.deliver([{ kind: "user.tick", path: request.path }]), 10);
 *     return {
 *       coverage: () => ({ by: "timer", watches: 0, gaps: [] }),
 *       close: () => clearInterval(timer),
 *     };
 *   },
 * };
 *
 * for await (const event of watch("/tmp", { backend: clock, events: ["user.tick"] })) {
 *   console.log(event.kind);
 *   break;
 * }
 * ```
 */
export interface Backend {
  /** What {@linkcode WatchEvent.backend} says. */
  readonly name: string;
  /** Arms; a change made after it returned (or resolved) is delivered. Throws where it cannot. */
  open(request: BackendRequest, sink: BackendSink): BackendSession | Promise<BackendSession>;
}

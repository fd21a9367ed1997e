/**
 * What a source of errors is, and what it delivers to.
 *
 * @module
 */

import type { MountInfo } from "../../backends/mounts/mountinfo.ts";
import type { ErrorAttributes, ErrorSourceName } from "../../classify/error_event.ts";
import type { WatchEvent } from "../../classify/event.ts";
import { SystemError } from "../../ffi/errno.ts";

/** A filesystem that is covered. */
export interface Filesystem {
  /** `major:minor`, as the mount table has it. */
  readonly device: string;
  /** The mount that errors are told of: that of the first path. */
  mount: MountInfo;
  /** The mount that shows most of it. */
  top: MountInfo;
}

/** Whether a source tells of a filesystem; `reason`: why not, or what not. */
export interface SourceState {
  readonly isActive: boolean;
  /** Nobody asked for it. */
  readonly isWanted?: false;
  readonly reason?: string;
  /** The filesystem was unmounted since, and mounted again: what happened in between is not known. */
  readonly wasGone?: true;
}

/** The part of an event that a source knows; without a path the mount point stands for the file. */
export interface ErrorInit extends Partial<Omit<WatchEvent, "kind" | "attributes" | "backend">> {
  readonly kind: "error.filesystem" | "error.space" | "error.quota";
  readonly attributes: ErrorAttributes;
}

/** Where sources deliver. */
export interface ErrorSink {
  /** Errors of a filesystem; undefined where it is not known which. */
  tell(source: ErrorSourceName, of: Filesystem | undefined, errors: readonly ErrorInit[]): void;
  /** Something was lost of a filesystem, or of all. */
  lost(of: Filesystem | undefined, reason: string, count?: number): void;
  /** A source tells no more, of a filesystem or of all. */
  ended(source: ErrorSourceName, of: Filesystem | undefined, reason: string): void;
  /** Whether nothing more can be taken now. */
  readonly isFull: boolean;
}

/** Tells of errors. */
export interface ErrorSource {
  readonly name: ErrorSourceName;
  /** Another source that tells the same better: where that is active, this one is not asked. */
  readonly insteadOf?: ErrorSourceName;
  /** Begins to tell of a filesystem; called again whenever mounts have changed, where another one may have its device. */
  cover(filesystem: Filesystem): SourceState;
  /** Ends that. */
  uncover(filesystem: Filesystem): void;
  /** There is room again. */
  resume?(): void;
  /** Gives everything back. */
  close(): void | Promise<void>;
}

/** What a filesystem has of a source that refuses. */
export function refused(error: unknown): SourceState {
  if (!(error instanceof SystemError)) throw error;
  return { isActive: false, reason: reasonOf(error) };
}

/** An error in one line, with what can be done about it. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const hint = error instanceof SystemError ? error.hint : "";
  return hint === "" ? error.message : `${error.message} (${hint})`;
}

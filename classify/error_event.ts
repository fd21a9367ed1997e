/**
 * An error of a filesystem as a consumer sees it.
 *
 * @module
 */

import type { Attributes, WatchEvent } from "./event.ts";
import type { QuotaExcess } from "./quota.ts";

/** Who tells of errors. */
export type ErrorSourceName = "fanotify" | "ext4" | "statfs" | "quota" | "audit";

/** What an error event tells beyond kind and path. */
export interface ErrorAttributes extends Attributes {
  /** Absent where nothing failed (a soft limit of quota), or ext4 does not tell. */
  readonly errno?: number;
  /** Its C name: `"EUCLEAN"`. */
  readonly code?: string;
  /** How many errors the event stands for. */
  readonly count?: number;
  /** `major:minor` of the filesystem, as `/proc/self/mountinfo` has it; absent where it is not known which it is. */
  readonly device?: string;
  /** Where it is mounted, and its type; absent with `device`. */
  readonly mount?: { readonly point: string; readonly type: string };
  /** The file's inode number; `path` is the file where it was found, else the mount point. */
  readonly inode?: number;
  /** Of `"ext4"`: where in the kernel the last error was found, and when (ms since the epoch). */
  readonly found?: {
    readonly function?: string;
    readonly line?: number;
    readonly block?: number;
    readonly time?: number;
  };
  /** Of `"statfs"`: what there is too little of, how much is left, of how much, and the limit that was crossed. */
  readonly space?: {
    readonly of: "bytes" | "inodes";
    readonly free: number;
    readonly total: number;
    readonly least: number;
  };
  /** Of `"quota"`: which was exceeded. */
  readonly quota?: QuotaExcess;
  /** Of `"audit"`: what failed, whatever the call. */
  readonly operation?: string;
  /** And the call. */
  readonly syscall?: string;
  /**
   * Of `"audit"`: how the filesystem is known. `"exact"`: the record has it. `"likely"`: the file descriptor of the call was a
   * file on it when the record was read.
   */
  readonly confidence?: "exact" | "likely";
  /** Of `"audit"`: it is not known which filesystem it is, so it may be another one; `path` is empty. */
  readonly unresolved?: true;
}

/** An error of a filesystem. */
export interface ErrorEvent extends WatchEvent {
  /** {@linkcode ErrorSourceName}; `"sentinode"` of `lost` and `recovered`. */
  readonly backend: string;
  /** What is known beyond. */
  readonly attributes: ErrorAttributes;
}

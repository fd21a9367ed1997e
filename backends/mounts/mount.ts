/**
 * A mount as users see it.
 *
 * @module
 */

import type { MountInfo } from "./mountinfo.ts";

/** One mount of a namespace. */
export interface Mount extends Omit<MountInfo, "id" | "parent"> {
  /**
   * The id of the mount, which no other ever has (Linux 6.8); of an older kernel that of the mount table, which another
   * mount may have once this one is gone.
   */
  readonly id: number;
  /** The id of the mount that it is on; of the first mount of a namespace one that is not in the table. */
  readonly parent: number;
  /** What `/proc/self/mountinfo` and `findmnt` call it. */
  readonly tableId: number;
  /** The bytes of {@linkcode point}, where they are not valid UTF-8. */
  readonly pointBytes?: Uint8Array;
  /** The bytes of {@linkcode root}, where they are not valid UTF-8. */
  readonly rootBytes?: Uint8Array;
  /** The bytes of {@linkcode source}, where they are not valid UTF-8. */
  readonly sourceBytes?: Uint8Array;
}

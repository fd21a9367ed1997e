/**
 * Warnings of quota as events; pure.
 *
 * @module
 */

import type { QuotaWarning } from "../backends/quota/decode.ts";
import { EDQUOT } from "../ffi/abi/errno.ts";
import {
  GRPQUOTA,
  PRJQUOTA,
  QUOTA_NL_BHARDWARN,
  QUOTA_NL_BSOFTLONGWARN,
  QUOTA_NL_BSOFTWARN,
  QUOTA_NL_IHARDWARN,
  QUOTA_NL_ISOFTLONGWARN,
  QUOTA_NL_ISOFTWARN,
  USRQUOTA,
} from "../ffi/abi/quota.ts";

/** Which quota was exceeded. */
export interface QuotaExcess {
  /** Whose quota it is; a number that this version does not know. */
  readonly type: "user" | "group" | "project" | number;
  /** The user, group or project. */
  readonly id: number;
  /** What there is too much of. */
  readonly of: "bytes" | "inodes";
  /** `"hard"`: no more is given. `"soft"`: it is given for a time of grace. `"grace"`: that time is over, no more is given. */
  readonly limit: "hard" | "soft" | "grace";
  /** The user who exceeded it. */
  readonly causedBy?: number;
}

const TYPES: Readonly<Record<number, QuotaExcess["type"]>> = {
  [USRQUOTA]: "user",
  [GRPQUOTA]: "group",
  [PRJQUOTA]: "project",
};

const LIMITS: ReadonlyMap<number, Pick<QuotaExcess, "of" | "limit">> = new Map([
  [QUOTA_NL_IHARDWARN, { of: "inodes", limit: "hard" }],
  [QUOTA_NL_ISOFTLONGWARN, { of: "inodes", limit: "grace" }],
  [QUOTA_NL_ISOFTWARN, { of: "inodes", limit: "soft" }],
  [QUOTA_NL_BHARDWARN, { of: "bytes", limit: "hard" }],
  [QUOTA_NL_BSOFTLONGWARN, { of: "bytes", limit: "grace" }],
  [QUOTA_NL_BSOFTWARN, { of: "bytes", limit: "soft" }],
]);

/** What a warning tells; undefined where usage is below a limit again, which is no error. */
export function quotaExcess(warning: QuotaWarning): QuotaExcess | undefined {
  const limit = LIMITS.get(warning.warning);
  if (limit === undefined) return undefined;
  const { type, id, causedBy } = warning;
  return {
    type: TYPES[type] ?? type,
    id,
    ...limit,
    ...(causedBy === undefined ? {} : { causedBy }),
  };
}

/** The errno that those get who want more; undefined where they still get it. */
export function quotaErrno({ limit }: QuotaExcess): number | undefined {
  return limit === "soft" ? undefined : EDQUOT;
}

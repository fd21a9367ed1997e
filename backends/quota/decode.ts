/**
 * Warnings of quota from the bytes of their messages; pure.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import {
  QUOTA_NL_A_CAUSED_ID,
  QUOTA_NL_A_DEV_MAJOR,
  QUOTA_NL_A_DEV_MINOR,
  QUOTA_NL_A_EXCESS_ID,
  QUOTA_NL_A_PAD,
  QUOTA_NL_A_QTYPE,
  QUOTA_NL_A_WARNING,
  QUOTA_NL_C_WARNING,
} from "../../ffi/abi/quota.ts";
import { attribute, decodeGeneric, numberIn } from "../genetlink.ts";

/** A warning: the usage of somebody's quota crosses a limit. */
export interface QuotaWarning {
  /** `USRQUOTA`, `GRPQUOTA`, `PRJQUOTA`. */
  readonly type: number;
  /** Whose quota it is: a user, group or project, as the first user namespace has it. */
  readonly id: number;
  /** `QUOTA_NL_BHARDWARN` … */
  readonly warning: number;
  /** `major:minor` of the filesystem. */
  readonly device: string;
  /** The user who caused it; absent where the kernel does not tell. */
  readonly causedBy?: number;
  /** Attributes that this version does not know, by type, in base64. */
  readonly others?: Readonly<Record<number, string>>;
}

const KNOWN: readonly number[] = [
  QUOTA_NL_A_QTYPE,
  QUOTA_NL_A_EXCESS_ID,
  QUOTA_NL_A_WARNING,
  QUOTA_NL_A_DEV_MAJOR,
  QUOTA_NL_A_DEV_MINOR,
  QUOTA_NL_A_CAUSED_ID,
  QUOTA_NL_A_PAD,
];

/** The warning in the payload of a message of VFS_DQUOT; undefined for what is none. */
export function decodeQuotaWarning(payload: Uint8Array<ArrayBuffer>): QuotaWarning | undefined {
  const message = decodeGeneric(payload);
  if (message?.command !== QUOTA_NL_C_WARNING) return undefined;
  const { attributes } = message;
  const number = (attributeType: number) => numberIn(attribute(attributes, attributeType));
  const type = number(QUOTA_NL_A_QTYPE);
  const id = number(QUOTA_NL_A_EXCESS_ID);
  const warning = number(QUOTA_NL_A_WARNING);
  const major = number(QUOTA_NL_A_DEV_MAJOR);
  const minor = number(QUOTA_NL_A_DEV_MINOR);
  const causedBy = number(QUOTA_NL_A_CAUSED_ID);
  const isWhole = type !== undefined && id !== undefined && warning !== undefined &&
    major !== undefined && minor !== undefined;
  if (!isWhole) return undefined;
  const others = attributes.filter((one) => !KNOWN.includes(one.type))
    .map((one) => [one.type, Buffer.from(one.value).toString("base64")]);
  return {
    type,
    id,
    warning,
    device: `${major}:${minor}`,
    ...(causedBy === undefined ? {} : { causedBy }),
    ...(others.length === 0 ? {} : { others: Object.fromEntries(others) }),
  };
}

/**
 * Decisions: what the program says, and what is wrong with it.
 *
 * @module
 */

import type { AuditRule, Operation } from "../backends/fanotify/permission_group.ts";
import { OPERATION_BITS } from "../backends/fanotify/permission_group.ts";
import { ERRNO } from "../ffi/abi/errno.ts";

/** What can be guarded. */
export const OPERATIONS = Object.keys(OPERATION_BITS) as readonly Operation[];

/** Whether it happens. */
export type Verdict = "allow" | "deny";

/**
 * How long the kernel remembers that a file is allowed, and does not ask again: until its content changes, or for good.
 * The kernel remembers it of the file, whoever asks; it may forget when memory is short.
 */
export type Cache = "until-modified" | "always";

/** The errnos that the kernel takes for a denial (`fanotify_response` in fs/notify/fanotify/fanotify_user.c). */
export type DenialErrno =
  | "EPERM"
  | "EIO"
  | "EBUSY"
  | "ETXTBSY"
  | "EAGAIN"
  | "ENOSPC"
  | "EDQUOT";

export const DENIAL_ERRNOS: readonly DenialErrno[] = [
  "EPERM",
  "EIO",
  "EBUSY",
  "ETXTBSY",
  "EAGAIN",
  "ENOSPC",
  "EDQUOT",
];

/** What the audit log is told of a decision. */
export interface AuditNote {
  /** The number of the rule that decided. */
  readonly rule?: number;
  /** Whether the process is trusted; unknown where it is left out. */
  readonly subjectTrust?: boolean;
  /** Whether the file is trusted; unknown where it is left out. */
  readonly objectTrust?: boolean;
}

/** A verdict, and what goes with it. */
export interface DecisionFields {
  /** Whether it happens. */
  readonly verdict: Verdict;
  /** `"deny"`: which error the process gets. Default `"EPERM"`; others need `priority: "pre-content"` and Linux 6.14. */
  readonly errno?: DenialErrno;
  /** `"allow"`: how long the kernel allows the same of this file without asking. Default: it asks each time. */
  readonly cache?: Cache;
  /** Have the kernel write the decision to the audit log; needs the option `audit`. */
  readonly audit?: boolean | AuditNote;
}

/** A decision with every question answered. */
export interface Decision {
  readonly verdict: Verdict;
  readonly errno: number | undefined;
  readonly cache: Cache | undefined;
  readonly audit: AuditRule | true | undefined;
}

export const ALLOW: Decision = {
  verdict: "allow",
  errno: undefined,
  cache: undefined,
  audit: undefined,
};

export const DENY: Decision = { ...ALLOW, verdict: "deny" };

/** What is decided by a verdict alone. */
export const BY_VERDICT: Readonly<Record<Verdict, Decision>> = { allow: ALLOW, deny: DENY };

/** A decision as the kernel takes it. Throws `TypeError` for what is none. */
export function settleDecision(decision: DecisionFields | Verdict, shown: string): Decision {
  if (decision === "allow" || decision === "deny") return BY_VERDICT[decision];
  if (typeof decision !== "object" || decision === null) {
    throw new TypeError(`Cannot guard by ${shown}: ${String(decision)} is no decision`);
  }
  const { verdict, errno, cache, audit } = decision;
  const wrong = (what: string) => new TypeError(`Cannot guard by ${shown}: ${what}`);
  if (verdict !== "allow" && verdict !== "deny") {
    throw wrong(`verdict ${JSON.stringify(verdict)} is neither allow nor deny`);
  }
  if (errno !== undefined && !DENIAL_ERRNOS.includes(errno)) {
    throw wrong(`errno ${JSON.stringify(errno)} is none of ${DENIAL_ERRNOS.join(", ")}`);
  }
  if (cache !== undefined && cache !== "until-modified" && cache !== "always") {
    throw wrong(`cache ${JSON.stringify(cache)} is neither until-modified nor always`);
  }
  if (errno !== undefined && verdict === "allow") throw wrong("what is allowed has no errno");
  if (cache !== undefined && verdict === "deny") {
    throw wrong("the kernel remembers what is allowed only, so deny has no cache");
  }
  return {
    verdict,
    errno: errno === undefined || errno === "EPERM" ? undefined : ERRNO[errno],
    cache,
    audit: audit === undefined || audit === false ? undefined : settleAudit(audit, wrong),
  };
}

function settleAudit(
  audit: true | AuditNote,
  wrong: (what: string) => TypeError,
): AuditRule | true {
  if (audit === true) return true;
  const show = JSON.stringify;
  if (typeof audit !== "object" || audit === null) throw wrong(`audit ${show(audit)} is no note`);
  const { rule = 0, subjectTrust, objectTrust } = audit;
  if (!Number.isInteger(rule) || rule < 0 || rule > 0xffff_ffff) {
    throw wrong(`audit rule ${show(rule)} is no number of a rule`);
  }
  for (const [name, value] of Object.entries({ subjectTrust, objectTrust })) {
    if (value === undefined || typeof value === "boolean") continue;
    throw wrong(`audit ${name} ${show(value)} is neither true nor false`);
  }
  const trust = (value: boolean | undefined) => value === undefined ? 2 : value ? 1 : 0;
  return { rule, subjectTrust: trust(subjectTrust), objectTrust: trust(objectTrust) };
}

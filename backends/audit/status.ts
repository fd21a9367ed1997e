/**
 * The state of the kernel's audit, as it tells it and takes it.
 *
 * @module
 */

import {
  audit_status,
  AUDIT_STATUS_BACKLOG_LIMIT,
  AUDIT_STATUS_BACKLOG_WAIT_TIME,
  AUDIT_STATUS_ENABLED,
  AUDIT_STATUS_FAILURE,
  AUDIT_STATUS_LOST,
  AUDIT_STATUS_PID,
  AUDIT_STATUS_RATE_LIMIT,
} from "../../ffi/abi/audit.ts";

/** What `AUDIT_GET` tells. What this kernel does not have is undefined. */
export interface AuditStatus {
  /** 0 off, 1 on, 2 on and locked until the next boot. */
  readonly enabled: number;
  /** Where records are lost: 0 nothing, 1 a line in the kernel's log, 2 panic. */
  readonly failure: number;
  /** The registered daemon, 0 where there is none. Stays for a while after a daemon that was killed. */
  readonly pid: number;
  /** Records a second, 0 for any number. */
  readonly rateLimit: number;
  /** Records that may wait for the daemon. */
  readonly backlogLimit: number;
  /** Records that were lost since it was last reset. */
  readonly lost: number;
  /** Records that wait now. */
  readonly backlog: number;
  /** AUDIT_FEATURE_BITMAP_*; a version number before 3.14. */
  readonly features: number | undefined;
  /** How long an audited process waits while the backlog is full, in jiffies (4 ms at HZ=250). */
  readonly backlogWaitTime: number | undefined;
  /** How long they have waited in all, in jiffies. Since 5.9. */
  readonly backlogWaitTimeActual: number | undefined;
}

/** What may be set. */
export type AuditSettings = Partial<
  Pick<AuditStatus, "enabled" | "failure" | "pid" | "rateLimit" | "backlogLimit"> & {
    readonly backlogWaitTime: number;
  }
>;

/** The members that `AUDIT_SET` takes, with their bits of `mask`, and where they stand. */
const SETTABLE: Readonly<Record<keyof AuditSettings, readonly [bit: number, offset: number]>> = {
  enabled: [AUDIT_STATUS_ENABLED, audit_status.enabled],
  failure: [AUDIT_STATUS_FAILURE, audit_status.failure],
  pid: [AUDIT_STATUS_PID, audit_status.pid],
  rateLimit: [AUDIT_STATUS_RATE_LIMIT, audit_status.rate_limit],
  backlogLimit: [AUDIT_STATUS_BACKLOG_LIMIT, audit_status.backlog_limit],
  backlogWaitTime: [AUDIT_STATUS_BACKLOG_WAIT_TIME, audit_status.backlog_wait_time],
};

/** The payload of the answer to `AUDIT_GET`, as long as this kernel makes it. */
export function decodeStatus(payload: Uint8Array): AuditStatus {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const known = (offset: number) =>
    offset + 4 <= payload.length ? view.getUint32(offset, true) : undefined;
  const word = (offset: number) => known(offset) ?? 0;
  return {
    enabled: word(audit_status.enabled),
    failure: word(audit_status.failure),
    pid: word(audit_status.pid),
    rateLimit: word(audit_status.rate_limit),
    backlogLimit: word(audit_status.backlog_limit),
    lost: word(audit_status.lost),
    backlog: word(audit_status.backlog),
    features: known(audit_status.feature_bitmap),
    backlogWaitTime: known(audit_status.backlog_wait_time),
    backlogWaitTimeActual: known(audit_status.backlog_wait_time_actual),
  };
}

/** The payload of an `AUDIT_SET` that changes these, and nothing else. Throws `RangeError` for what could halt the machine. */
export function encodeSettings(settings: AuditSettings): Uint8Array<ArrayBuffer> {
  if (settings.failure === 2) {
    throw new RangeError("Cannot set failure to 2: the kernel would panic where it loses a record");
  }
  if (settings.enabled === 2) {
    throw new RangeError("Cannot set enabled to 2: it would lock audit until the next boot");
  }
  const payload = new Uint8Array(new ArrayBuffer(audit_status.size));
  const view = new DataView(payload.buffer);
  let mask = 0;
  for (const [name, [bit, offset]] of Object.entries(SETTABLE)) {
    const value = settings[name as keyof AuditSettings];
    if (value === undefined) continue;
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
      throw new RangeError(`Cannot set ${name} to ${value}: not a number of 32 bits`);
    }
    mask |= bit;
    view.setUint32(offset, value, true);
  }
  view.setUint32(audit_status.mask, mask, true);
  return payload;
}

/** The payload of an `AUDIT_SET` that sets the count of lost records to 0; the answer is what it was. */
export function encodeLostReset(): Uint8Array<ArrayBuffer> {
  const payload = new Uint8Array(new ArrayBuffer(audit_status.size));
  new DataView(payload.buffer).setUint32(audit_status.mask, AUDIT_STATUS_LOST, true);
  return payload;
}

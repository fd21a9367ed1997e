/**
 * The records of each event, from records of several that came one among the other; pure.
 *
 * @module
 */

import {
  AUDIT_FIRST_EVENT,
  AUDIT_FIRST_USER_MSG2,
  AUDIT_RECORD,
} from "../../ffi/abi/audit_types.ts";
import { MissingParts } from "./missing_parts.ts";
import type { AuditRecord, AuditRecords } from "./record.ts";
import { SerialGaps } from "./serial_gaps.ts";

/** How events are put together. */
export interface AssemblyInit {
  /**
   * Whether the records come from a kernel as it makes them. An event ages with the clock then, and serials that are
   * missing are counted; else it ages with the records of the same machine that follow, and what is not in a log is not
   * lost.
   */
  readonly isLive?: boolean;
  /** How long after its first record an event is given up, in ms (default: auditd's `end_of_event_timeout`, 2000). */
  readonly timeout?: number;
  /** How many events may be under way, before the oldest is given up. */
  readonly limit?: number;
}

/**
 * Puts events together. One ends with EOE, which logs do not have, or with PROCTITLE, which the kernel writes last, or
 * is of a type that comes alone. An EOE is no record of the event that it ends.
 */
export class Assembly {
  readonly #isLive: boolean;
  readonly #timeout: number;
  readonly #limit: number;
  /** Events under way, in the order of their first records. */
  readonly #pending = new Set<Pending>();
  /** The same by serial: the latest, which knows the one before. Machines, and boots, count for themselves. */
  readonly #bySerial = new Map<number, Pending>();
  /** The event of the last record: the next is most often of the same. */
  #last: Pending | undefined;
  #done: Pending[] = [];
  readonly #gaps: SerialGaps | undefined;
  readonly #parts: MissingParts | undefined;

  constructor(init: AssemblyInit = {}) {
    this.#isLive = init.isLive ?? false;
    this.#timeout = init.timeout ?? 2000;
    this.#limit = init.limit ?? 1000;
    if (!this.#isLive) return;
    this.#gaps = new SerialGaps(this.#timeout);
    this.#parts = new MissingParts();
  }

  /** How many events are under way. */
  get size(): number {
    return this.#pending.size;
  }

  /**
   * When, by the clock, the oldest event under way, or missing, will be given up; undefined while there is none, and for
   * logs.
   */
  get due(): number | undefined {
    if (!this.#isLive) return undefined;
    let since = this.#gaps?.since ?? Infinity;
    for (const event of this.#pending) {
      since = Math.min(since, event.since);
      break;
    }
    return since === Infinity ? undefined : since + this.#timeout;
  }

  /** How many events the kernel numbered that did not come, though later ones did long ago. Logs have none. */
  get lostSerials(): number {
    return this.#gaps?.lost ?? 0;
  }

  /** How many records are missing in events that were given out, as far as others tell. Logs have none. */
  get missingParts(): number {
    return this.#parts?.count ?? 0;
  }

  /** Adds a record that came at `now`, in ms; a log has its own time. */
  push(record: AuditRecord, now: number = record.time): void {
    const last = this.#last;
    let event = last !== undefined && last.has(record) ? last : undefined;
    if (event === undefined) {
      event = this.#bySerial.get(record.serial);
      while (event !== undefined && !event.has(record)) event = event.before;
      if (event === undefined) {
        const isEnd = record.type === AUDIT_RECORD.AUDIT_EOE;
        if (!isEnd) this.#gaps?.see(record, now);
        if (!this.#isLive) this.#giveUpBefore(record);
        // Of an event that PROCTITLE has ended, or of which nothing else came: that one is missing.
        if (isEnd) {
          this.#parts?.seeEnd(record.serial);
          return;
        }
        event = new Pending(record, this.#isLive ? now : record.time);
        if (comesAlone(record.type)) {
          event.records.push(record);
          this.#finish(event, true);
          return;
        }
        this.#pending.add(event);
        event.before = this.#bySerial.get(record.serial);
        this.#bySerial.set(record.serial, event);
        if (this.#pending.size > this.#limit) this.#giveUpOldest();
      }
      this.#last = event;
    }
    if (record.type === AUDIT_RECORD.AUDIT_EOE) {
      this.#finish(event, true, true);
      return;
    }
    event.records.push(record);
    if (record.type === AUDIT_RECORD.AUDIT_PROCTITLE) this.#finish(event, true);
  }

  /** The events that are done by `now`: as far as they are known, in the order of their serials. */
  take(now: number): AuditRecords[] {
    if (this.#isLive) {
      for (const event of this.#pending) {
        if (now - event.since < this.#timeout) break;
        this.#finish(event, false);
      }
      this.#gaps!.expire(now);
    }
    const done = this.#done;
    this.#done = [];
    return done;
  }

  /** What is left at the end of a log, or of the stream. */
  flush(): AuditRecords[] {
    for (const event of this.#pending) this.#finish(event, false);
    const done = this.#done;
    this.#done = [];
    return done;
  }

  /** The time of a log is that of its records: what of this machine is older by the timeout has ended. */
  #giveUpBefore(record: AuditRecord): void {
    for (const event of this.#pending) {
      if (event.node !== record.node) continue;
      // Either way: a clock may have been put back.
      if (Math.abs(record.time - event.time) <= this.#timeout) break;
      this.#finish(event, false);
    }
  }

  #giveUpOldest(): void {
    for (const event of this.#pending) {
      this.#finish(event, false);
      break;
    }
  }

  #finish(event: Pending, isComplete: boolean, hasEnd = false): void {
    this.#parts?.see(event.records, hasEnd, isComplete);
    if (this.#pending.delete(event)) this.#forget(event);
    if (this.#last === event) this.#last = undefined;
    event.isComplete = isComplete;
    const done = this.#done;
    let at = done.length;
    while (at > 0 && this.#isBefore(event, done[at - 1]!)) at--;
    if (at === done.length) done.push(event);
    else done.splice(at, 0, event);
  }

  #forget(event: Pending): void {
    const { serial, before } = event;
    const latest = this.#bySerial.get(serial)!;
    if (latest !== event) {
      let after = latest;
      while (after.before !== event) after = after.before!;
      after.before = before;
    } else if (before !== undefined) this.#bySerial.set(serial, before);
    else this.#bySerial.delete(serial);
  }

  /** By serials, which wrap around; after a boot they begin anew, and daemons count for themselves. */
  #isBefore(event: Pending, other: Pending): boolean {
    return event.node === other.node && (event.serial - other.serial | 0) < 0 &&
      Math.abs(event.time - other.time) <= this.#timeout;
  }
}

/** An event that is put together, and given out as it is. */
class Pending implements AuditRecords {
  readonly node: string | undefined;
  readonly time: number;
  readonly serial: number;
  readonly records: AuditRecord[] = [];
  isComplete = false;
  /** Another one under way of the same serial. */
  before: Pending | undefined = undefined;
  /** When its first record came. */
  readonly since: number;

  constructor({ node, time, serial }: AuditRecord, since: number) {
    this.node = node;
    this.time = time;
    this.serial = serial;
    this.since = since;
  }

  has(record: AuditRecord): boolean {
    return record.serial === this.serial && record.time === this.time && record.node === this.node;
  }
}

const { AUDIT_LOGIN, AUDIT_KERNEL, AUDIT_MAC_UNLBL_ALLOW, AUDIT_MAC_CALIPSO_DEL } = AUDIT_RECORD;

/**
 * Types whose records are events of their own (audit 3.0.9, auparse.c:au_check_events): those of programs and of
 * auditd, and of network labels. LOGIN is one of them there, though today its SYSCALL comes with it.
 */
function comesAlone(type: number): boolean {
  return type < AUDIT_FIRST_EVENT && type !== AUDIT_LOGIN && type !== 0 ||
    type >= AUDIT_FIRST_USER_MSG2 || type === AUDIT_KERNEL ||
    type >= AUDIT_MAC_UNLBL_ALLOW && type <= AUDIT_MAC_CALIPSO_DEL;
}

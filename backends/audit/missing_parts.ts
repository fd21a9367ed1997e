/**
 * Records that are missing in events of which others came. The kernel may lose any of them for itself; if it does not begin
 * the first, it begins none (kernel/auditsc.c:audit_log_exit), so that what it lost are parts and whole events, and the one
 * gives the other; pure.
 *
 * @module
 */

import { AUDIT_RECORD } from "../../ffi/abi/audit_types.ts";
import type { AuditRecord } from "./record.ts";

const { AUDIT_SYSCALL, AUDIT_URINGOP, AUDIT_PATH, AUDIT_CWD, AUDIT_PROCTITLE } = AUDIT_RECORD;

/** What no event has but one of a call. */
const OF_CALLS: ReadonlySet<number> = new Set([
  AUDIT_SYSCALL,
  AUDIT_URINGOP,
  AUDIT_PATH,
  AUDIT_CWD,
  AUDIT_PROCTITLE,
]);

/** More than so many ends that are waited for have not just been sent: the oldest of them were lost. */
const MOST_AWAITED = 4096;

/** Counts the parts that are missing in events of calls, as a kernel sends them. */
export class MissingParts {
  #missing = 0;
  /** The serials of events that were given out before their EOE, the oldest first. */
  readonly #awaited = new Set<number>();

  /**
   * How many are missing. The EOE of an event that was given out just now counts as well: it is the next to be read. Of
   * the parts that nothing counts, such as SOCKADDR, nobody knows.
   */
  get count(): number {
    return this.#missing + this.#awaited.size;
  }

  /** An event is given out; `hasEnd`: its EOE was seen, `isComplete`: or may still come. */
  see(records: readonly AuditRecord[], hasEnd: boolean, isComplete: boolean): void {
    const first = records.find(({ type }) => OF_CALLS.has(type));
    if (first === undefined) return;
    if (!hasEnd) this.#awaitEnd(first.serial, isComplete);
    const countOf = (wanted: number) => records.filter(({ type }) => type === wanted).length;
    const call = records.find(({ type }) => type === AUDIT_SYSCALL || type === AUDIT_URINGOP);
    if (call === undefined) this.#missing++;
    // Operations of io_uring have no title, for a thread of the kernel may do them.
    if (call?.type !== AUDIT_URINGOP && countOf(AUDIT_PROCTITLE) === 0) this.#missing++;
    const paths = countOf(AUDIT_PATH);
    const items = call?.number("items", 10) ?? paths;
    if (items > 0 && countOf(AUDIT_CWD) === 0) this.#missing++;
    this.#missing += Math.max(0, items - paths);
  }

  #awaitEnd(serial: number, isComplete: boolean): void {
    if (!isComplete) {
      this.#missing++;
      return;
    }
    this.#awaited.add(serial);
    if (this.#awaited.size <= MOST_AWAITED) return;
    this.#awaited.delete(this.#awaited.keys().next().value!);
    this.#missing++;
  }

  /** The EOE of an event that is not under way has come. */
  seeEnd(serial: number): void {
    this.#awaited.delete(serial);
  }
}

/**
 * Records that are missing in events of which others came. The kernel may lose any of them for itself; if it loses the
 * first, it writes none (kernel/auditsc.c:audit_log_exit), so that what it lost are parts and whole events, and the one
 * gives the other; pure.
 *
 * @module
 */

import { AUDIT_RECORD } from "../../ffi/abi/audit_types.ts";
import type { AuditRecord } from "./record.ts";

const { AUDIT_SYSCALL, AUDIT_URINGOP, AUDIT_PATH, AUDIT_CWD, AUDIT_PROCTITLE } = AUDIT_RECORD;

/** Counts the parts that are missing in events of calls, as a kernel sends them. */
export class MissingParts {
  #missing = 0;
  /** How many events were given out before their EOE. */
  #ends = 0;

  /**
   * How many are missing. The EOE of an event that was given out just now counts as well: it is the next to be read. Of
   * the parts that nothing counts, such as SOCKADDR, nobody knows.
   */
  get count(): number {
    return this.#missing + this.#ends;
  }

  /** An event is given out; `hasEnd`: its EOE was seen, `isComplete`: or may still come. */
  see(records: readonly AuditRecord[], hasEnd: boolean, isComplete: boolean): void {
    const call = records.find(({ type }) => type === AUDIT_SYSCALL || type === AUDIT_URINGOP);
    if (call === undefined) return;
    if (!hasEnd) {
      if (isComplete) this.#ends++;
      else this.#missing++;
    }
    const has = (wanted: number) => records.some(({ type }) => type === wanted);
    // Operations of io_uring have no title, for a thread of the kernel may do them.
    if (call.type === AUDIT_SYSCALL && !has(AUDIT_PROCTITLE)) this.#missing++;
    const items = call.number("items", 10) ?? 0;
    if (items === 0) return;
    if (!has(AUDIT_CWD)) this.#missing++;
    let paths = 0;
    for (const { type } of records) if (type === AUDIT_PATH) paths++;
    this.#missing += Math.max(0, items - paths);
  }

  /** The EOE of an event that is not under way has come. */
  seeEnd(): void {
    // The first of a stream may be of an event before it.
    if (this.#ends > 0) this.#ends--;
  }
}

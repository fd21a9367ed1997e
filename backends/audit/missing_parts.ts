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
    let call: AuditRecord | undefined;
    let [paths, directories, titles] = [0, 0, 0];
    for (const record of records) {
      const { type } = record;
      if (type === AUDIT_SYSCALL || type === AUDIT_URINGOP) call ??= record;
      else if (type === AUDIT_PATH) paths++;
      else if (type === AUDIT_CWD) directories++;
      else if (type === AUDIT_PROCTITLE) titles++;
    }
    if (call === undefined && paths + directories + titles === 0) return; // of no call
    if (!hasEnd) this.#awaitEnd(records[0]!.serial, isComplete);
    if (call === undefined) this.#missing++;
    // Operations of io_uring have no title, for a thread of the kernel may do them.
    if (call?.type !== AUDIT_URINGOP && titles === 0) this.#missing++;
    const items = call?.number("items", 10) ?? paths;
    if (items > 0 && directories === 0) this.#missing++;
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

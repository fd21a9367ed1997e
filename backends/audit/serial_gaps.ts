/**
 * Events that are missing in a stream, known by their serials: the kernel counts them up by one, and they come a little
 * out of order from several processors; pure.
 *
 * @module
 */

import { AUDIT_LAST_DAEMON, AUDIT_RECORD } from "../../ffi/abi/audit_types.ts";
import type { AuditRecord } from "./record.ts";

/** Serials from `first` on that have not come. */
interface Gap {
  readonly node: string | undefined;
  readonly first: number;
  readonly count: number;
  /** When it was noticed. */
  readonly since: number;
}

/** A step back by more than processors are apart: the machine was booted anew. */
const RESTART = 1 << 16;

/** Counts the serials that did not come in time. */
export class SerialGaps {
  readonly #timeout: number;
  /** The latest serial of each machine. */
  readonly #latest = new Map<string | undefined, number>();
  /** In the order in which they were noticed. */
  #gaps: Gap[] = [];
  /** How many serials did not come. */
  lost = 0;

  constructor(timeout: number) {
    this.#timeout = timeout;
  }

  /** Takes note of an event. */
  see({ type, node, serial }: AuditRecord, now: number): void {
    // auditd numbers its own events by itself.
    if (type >= AUDIT_RECORD.AUDIT_DAEMON_START && type <= AUDIT_LAST_DAEMON) return;
    const latest = this.#latest.get(node);
    const step = latest === undefined ? 1 : serial - latest | 0;
    if (step > 0 || step < -RESTART) this.#latest.set(node, serial);
    if (step > 1) {
      this.#gaps.push({ node, first: latest! + 1 >>> 0, count: step - 1, since: now });
    } else if (step < 0) this.#fill(node, serial);
  }

  /** When the oldest gap was noticed; undefined where there is none. */
  get since(): number | undefined {
    return this.#gaps[0]?.since;
  }

  /** Counts as lost what has been missing too long. */
  expire(now: number): void {
    let expired = 0;
    for (const gap of this.#gaps) {
      if (now - gap.since < this.#timeout) break;
      this.lost += gap.count;
      expired++;
    }
    if (expired > 0) this.#gaps.splice(0, expired);
  }

  #fill(node: string | undefined, serial: number): void {
    const at = this.#gaps.findIndex((gap) =>
      gap.node === node && (serial - gap.first >>> 0) < gap.count
    );
    if (at < 0) return;
    const gap = this.#gaps[at]!;
    const before = serial - gap.first >>> 0;
    const after = gap.count - before - 1;
    this.#gaps.splice(
      at,
      1,
      ...(before > 0 ? [{ ...gap, count: before }] : []),
      ...(after > 0 ? [{ ...gap, first: serial + 1 >>> 0, count: after }] : []),
    );
  }
}

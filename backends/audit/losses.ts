/**
 * What was lost of the records of audit. The counters know nothing of each other: what one counts may be, and often is,
 * what another counts as well.
 *
 * @module
 */

/** How much was lost since the stream began. */
export interface AuditLosses {
  /** Records that the kernel did not queue (`audit_status.lost`): backlog, rate limit, memory. Undefined without CAP_AUDIT_CONTROL. */
  readonly kernel: number | undefined;
  /** Records that a multicast socket had no room for: its `Drops` in /proc/net/netlink. */
  readonly socket: number;
  /**
   * How often the kernel found no room in the daemon's socket for 0.1 s. It tries again; after five times it throws away
   * what waits, which is in `serials` then.
   */
  readonly refusals: number;
  /** Events whose serial numbers are missing between others. */
  readonly serials: number;
  /**
   * Records that are missing in events that were told; of one that was told just now its last may be still on its way. While
   * this process is the daemon they are of those that `kernel` counts, and all others of those are an event each, which has
   * no serial number either.
   */
  readonly parts: number;
  /** How often the kernel gave this process up as its daemon, without a count of what was lost. */
  readonly interruptions: number;
}

/** Counts them. */
export class LossCounters {
  #kernel: number | undefined;
  #kernelBefore: number | undefined;
  #socket = 0;
  #refusals = 0;
  #serials = 0;
  #parts = 0;
  #interruptions = 0;

  /** All of them now. */
  get losses(): AuditLosses {
    return {
      kernel: this.#kernel,
      socket: this.#socket,
      refusals: this.#refusals,
      serials: this.#serials,
      parts: this.#parts,
      interruptions: this.#interruptions,
    };
  }

  /** The kernel's own count; how much it has grown since it was last told. It begins anew where somebody resets it. */
  kernel(lost: number): number {
    const before = this.#kernelBefore;
    this.#kernelBefore = lost;
    const more = before === undefined ? 0 : lost >= before ? lost - before : lost;
    this.#kernel = (this.#kernel ?? 0) + more;
    return more;
  }

  /** Records that a socket dropped. */
  socket(count: number): void {
    this.#socket += count;
  }

  /** Times that a socket of the daemon refused. */
  refused(count: number): void {
    this.#refusals += count;
  }

  /** Events that an assembly missed. */
  serials(count: number): void {
    this.#serials += count;
  }

  /** Records that an assembly misses by now: one that comes late makes it fewer. */
  parts(count: number): void {
    this.#parts = count;
  }

  /** The kernel gave this process up. */
  interrupted(): void {
    this.#interruptions++;
  }
}

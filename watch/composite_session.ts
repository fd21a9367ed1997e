/**
 * A session that consists of others, which come and go.
 *
 * @module
 */

import type { HubSession } from "./open_target.ts";

/** What several sessions are together. */
export abstract class CompositeSession {
  /** Those that are open now. */
  protected abstract get sessions(): readonly HubSession[];

  get kernelHoldsAll(): boolean {
    const { sessions } = this;
    return sessions.length > 0 && sessions.every((session) => session.kernelHoldsAll);
  }

  /** Not the sum: each has the count of its queue, which may feed others of them, too. */
  bytesRead(): number {
    return Math.max(0, ...this.sessions.map((session) => session.bytesRead()));
  }

  names(): number {
    return this.sessions.reduce((sum, session) => sum + session.names(), 0);
  }

  caughtUpAt(): number {
    return Math.min(Date.now(), ...this.sessions.map((session) => session.caughtUpAt()));
  }

  async settled(): Promise<void> {
    await Promise.all(this.sessions.map((session) => session.settled()));
  }
}

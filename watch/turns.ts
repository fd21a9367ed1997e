/**
 * Long work in turns, so that it leaves the event loop free.
 *
 * @module
 */

import { setImmediate } from "node:timers";

/** How long work goes on before others get their turn, in ms. */
const TURN = 8;

/** The turns of one piece of work; the first begins at once. */
export class Turns {
  #until = performance.now() + TURN;

  /** Whether this one has lasted long enough. */
  get isOver(): boolean {
    return performance.now() >= this.#until;
  }

  /** Lets others have theirs, and begins the next. */
  async next(): Promise<void> {
    await new Promise(setImmediate);
    this.#until = performance.now() + TURN;
  }
}

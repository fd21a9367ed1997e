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
  readonly #length: number;
  #until: number;

  /** Turns of `length` ms. */
  constructor(length: number = TURN) {
    this.#length = length;
    this.#until = performance.now() + length;
  }

  /** Whether this one has lasted long enough. */
  get isOver(): boolean {
    return performance.now() >= this.#until;
  }

  /** Lets others have theirs, and begins the next. */
  async next(): Promise<void> {
    await new Promise(setImmediate);
    this.#until = performance.now() + this.#length;
  }
}

/**
 * What ends a command that follows events: a signal, the time, a reader that has left.
 *
 * @module
 */

import process from "node:process";

/** The signals that end a command, and their numbers. */
const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;

/** Why a command was ended. */
export type StopReason = keyof typeof SIGNALS | "timeout" | "output";

/** Ends a command once. A second signal ends the process as if nobody listened. */
export class Stop implements Disposable {
  reason: StopReason | undefined;
  readonly #controller = new AbortController();
  readonly #listeners: (readonly [name: keyof typeof SIGNALS, listener: () => void])[];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    const names = Object.keys(SIGNALS) as (keyof typeof SIGNALS)[];
    this.#listeners = names.map((name) => [name, () => this.now(name)] as const);
    for (const [name, listener] of this.#listeners) process.on(name, listener);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  now(reason: StopReason): void {
    if (this.reason !== undefined) return;
    this.reason = reason;
    this[Symbol.dispose]();
    this.#controller.abort();
  }

  after(seconds: number): void {
    if (this.reason !== undefined) return;
    const end = performance.now() + seconds * 1000;
    const wait = () => {
      const left = end - performance.now();
      if (left <= 0) return this.now("timeout");
      this.#timer = setTimeout(wait, Math.min(left, LONGEST));
    };
    wait();
  }

  /** 128 and the signal's number, as a shell says of a process that a signal ended; undefined for another reason. */
  get signalExit(): number | undefined {
    const { reason } = this;
    return reason === "SIGINT" || reason === "SIGTERM" ? 128 + SIGNALS[reason] : undefined;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    for (const [name, listener] of this.#listeners) process.off(name, listener);
  }
}

/** A timer's delay is a signed 32-bit number of ms; a longer one fires at once. */
const LONGEST = 2 ** 31 - 1;

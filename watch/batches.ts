/**
 * Batches on their way to one consumer, who may wait for the next one.
 *
 * @module
 */

/** What gives batches until it ends. Whoever extends it says what there is now, and when there is something. */
export abstract class Batches<Item> {
  #wakes: (() => void)[] = [];
  #ended = false;
  #failure: { readonly error: unknown } | undefined;

  /** The next batch if there is one. */
  abstract takeNow(): readonly Item[] | undefined;

  /** Forgets what there is: nobody will take it. */
  abstract clear(): void;

  /** The next batch; undefined at the end. Rejects once with the error that ended it. */
  async take(): Promise<readonly Item[] | undefined> {
    for (;;) {
      const batch = this.takeNow();
      if (batch !== undefined) return batch;
      if (this.#ended) {
        const failure = this.#failure;
        this.#failure = undefined;
        if (failure !== undefined) throw failure.error;
        return undefined;
      }
      await new Promise<void>((resolve) => this.#wakes.push(resolve));
    }
  }

  /** Ends after what there is, with an error if one is given. */
  end(failure?: { readonly error: unknown }): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = failure;
    this.wake();
  }

  /** Whether nothing is added any more. */
  protected get isEnded(): boolean {
    return this.#ended;
  }

  /** Lets everybody who waits look, in the order in which they came. */
  protected wake(): void {
    const wakes = this.#wakes;
    this.#wakes = [];
    for (const wake of wakes) wake();
  }
}

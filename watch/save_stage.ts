/**
 * {@linkcode Saves} on the way of one target's events to the queue: with a clock, and the kernel to ask.
 *
 * @module
 */

import type { FileEvent } from "../classify/event.ts";
import type { Filter } from "./filter.ts";
import { type SaveOptions, Saves } from "./saves.ts";
import type { Writers } from "./writers.ts";

/** Who wakes this much too late was kept from reading as well, in ms: what there is to read goes first. */
const LATE = 20;

/** Where what was held back goes. */
export interface SaveOutlet {
  /** Whether the queue has no room. */
  readonly full: boolean;
  tell(events: readonly FileEvent[]): void;
}

/** Holds back what is being written or saved. */
export class SaveStage {
  /** Of renames whether they took their name from another file, where that was found out. */
  readonly replaced: WeakMap<FileEvent, boolean> | undefined;
  readonly #saves: Saves;
  readonly #outlet: SaveOutlet;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due = Infinity;

  constructor(options: SaveOptions, filter: Filter, writers: Writers, outlet: SaveOutlet) {
    const replaced = new WeakMap<FileEvent, boolean>();
    this.replaced = options.atomicSave ? replaced : undefined;
    this.#saves = new Saves(
      options,
      (kind) => filter.tells(kind),
      ({ path, pathBytes }) => writers.isWritten(pathBytes ?? path),
      replaced,
    );
    this.#outlet = outlet;
  }

  /** What of the events, and of those before, is to be told now. */
  pass(events: readonly FileEvent[]): FileEvent[] {
    const told = this.#saves.push(events, performance.now());
    this.#schedule();
    return told;
  }

  /** All that is held back. */
  flush(): FileEvent[] {
    const told = this.#saves.flush();
    this.#schedule();
    return told;
  }

  #schedule(): void {
    const { due } = this.#saves;
    if (due === this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    if (due === Infinity) return;
    this.#timer = setTimeout(() => this.#wake(due), Math.max(0, due - performance.now()));
  }

  #wake(due: number): void {
    const isFull = () => this.#outlet.full;
    if (isFull() || performance.now() - due > LATE) {
      this.#timer = setTimeout(() => isFull() ? this.#wake(due) : this.#tell(), LATE);
    } else this.#tell();
  }

  #tell(): void {
    this.#due = Infinity;
    // Timers may be early by a fraction of a millisecond.
    const told = this.#saves.take(performance.now() + 1);
    this.#schedule();
    if (told.length > 0) this.#outlet.tell(told);
  }
}

/**
 * Several lanes, each in its turn.
 *
 * @module
 */

import { Batches } from "../watch/batches.ts";
import { type Failure, Lane, type Merging } from "./lane.ts";
import type { Tagged, TaggedSource } from "./tagged.ts";

/** How many events of one lane are told at most before the next one that has some has its turn. */
export const TURN = 1024;

/**
 * Takes from each lane that has something in its turn, so that nobody waits for more than one turn of each other. What one
 * lane tells stays in its order. Nothing is read before somebody asks, and then a batch of each lane.
 */
export class RoundRobin<Item extends Tagged = Tagged> extends Batches<Item> implements Merging {
  /** Called when no lane is left. */
  onEnd: () => void = () => {};
  /** One for each source, in their order. */
  readonly lanes: readonly Lane[];
  /** Whose turn it is. */
  #at = 0;

  /** Of sources by tag; a filter may say which kinds are wanted. `TypeError` where somebody else iterates one. */
  constructor(sources: readonly TaggedSource[]) {
    super();
    this.lanes = sources.map((source) => new Lane(source, this));
  }

  /** Something has come, or can be asked for. */
  changed(): void {
    this.wake();
  }

  /** What one lane fails with is told, and does not concern the others; after the last one there is nothing to go on with. */
  over(lane: Lane, failure: Failure | undefined): void {
    if (this.lanes.every(({ isOver }) => isOver)) {
      this.end(failure);
      this.onEnd();
    } else if (failure !== undefined) lane.tell(failure);
  }

  override takeNow(): readonly Item[] | undefined {
    for (const lane of this.lanes) lane.ask();
    for (const [i] of this.lanes.entries()) {
      const at = (this.#at + i) % this.lanes.length;
      const events = this.lanes[at]!.take(TURN);
      if (events === undefined) continue;
      this.#at = (at + 1) % this.lanes.length;
      return events as readonly Item[];
    }
    return undefined;
  }

  override clear(): void {
    for (const lane of this.lanes) lane.leave();
  }
}

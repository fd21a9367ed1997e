/**
 * A consumer that keeps everything and can wait for something.
 *
 * @module
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers";
import { watch, type Watcher, type WatchEvent, type WatchOptions } from "../../mod.ts";

/** How long anything may take, in ms. */
export const DEADLINE = 20_000;

/** Resolves or rejects as `promise` does; rejects when it has not settled in time. */
export async function within<T>(
  promise: Promise<T>,
  what: string,
  ms: number = DEADLINE,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Cannot wait for ${what}: ${ms} ms are over`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Reads a watcher to its end. */
export class Observer {
  readonly watcher: Watcher;
  readonly events: WatchEvent[] = [];
  /** Settles as the iteration does. */
  readonly ended: Promise<void>;
  #wake: () => void = () => {};
  readonly #take: (event: WatchEvent) => void;

  /** Hands each event to `take`; where none is given, keeps it in `events`. */
  constructor(watcher: Watcher, take?: (event: WatchEvent) => void) {
    this.watcher = watcher;
    this.#take = take ?? ((event) => void this.events.push(event));
    this.ended = this.#read();
    this.ended.catch(() => {}); // asked for in `until`
  }

  async #read(): Promise<void> {
    try {
      for await (const batch of this.watcher.batches()) {
        for (const event of batch) this.#take(event);
        this.#wake();
      }
    } finally {
      this.#wake();
    }
  }

  /** Waits until `condition` holds; it is asked after each batch. */
  async until(condition: () => boolean, what: string, ms: number = DEADLINE): Promise<void> {
    const holds = async () => {
      while (!condition()) {
        const batch = new Promise<void>((resolve) => this.#wake = resolve);
        const over = this.ended.then(() => {
          throw new Error(`Cannot wait for ${what}: the stream has ended`);
        });
        await Promise.race([batch, over]);
      }
    };
    await within(holds(), what, ms);
  }

  /** Closes the watcher. */
  close(): Promise<void> {
    return this.watcher.close();
  }
}

/** Whether the watcher has still to look where some symlink leads. */
export function isLooking(watcher: Watcher): boolean {
  return watcher.coverage().some(({ gaps }) =>
    gaps.some(({ reason }) => reason.includes("has yet to be looked at"))
  );
}

/** Resolves once the watcher has looked where the symlinks lead that it knows of. */
export async function looked(watcher: Watcher): Promise<void> {
  const wait = async () => {
    while (isLooking(watcher)) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  await within(wait(), "where the symlinks lead");
}

/**
 * Tells when everything that was done has been reported: what happens in a directory of its own,
 * fed from the same queue of the kernel, comes after all that happened before.
 */
export class Sentinel {
  readonly #directory: string;
  readonly #observer: Observer;
  #count = 0;

  private constructor(directory: string, observer: Observer) {
    this.#directory = directory;
    this.#observer = observer;
  }

  /**
   * A sentinel on the queue that a watcher with `options` has, for what happens on the filesystem
   * of `parent`.
   */
  static async open(
    { backend, actor, queue }: WatchOptions,
    parent: string = tmpdir(),
  ): Promise<Sentinel> {
    const directory = mkdtempSync(join(parent, "sentinode-sentinel-"));
    const watcher = watch(directory, {
      ...(backend === undefined ? {} : { backend }),
      ...(actor === undefined ? {} : { actor }),
      ...(queue === undefined ? {} : { queue }),
      events: ["create"],
    });
    const observer = new Observer(watcher);
    try {
      await within(watcher.ready, "the sentinel");
    } catch (error) {
      rmSync(directory, { recursive: true });
      throw error;
    }
    return new Sentinel(directory, observer);
  }

  /** Resolves when all that was done before the call has been handed to those who iterate. */
  async settled(): Promise<void> {
    const path = join(this.#directory, `${this.#count++}`);
    writeFileSync(path, "");
    const { events } = this.#observer;
    await this.#observer.until(() => events.some((event) => event.path === path), "the sentinel");
    events.length = 0;
    // One read feeds all watchers before it ends its turn; their consumers have the next turns.
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  async close(): Promise<void> {
    await this.#observer.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

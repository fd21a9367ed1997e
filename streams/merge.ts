/**
 * `merge()`.
 *
 * @module
 */

import { EventStream } from "../watch/event_stream.ts";
import { Filter } from "../watch/filter.ts";
import { checkOptions } from "../watch/option_checks.ts";
import { checkEvents } from "../watch/options.ts";
import type { SourceStats } from "./lane.ts";
import { RoundRobin } from "./round_robin.ts";
import type { MergeSources, SourceOf, TaggedOf, TaggedSource, TagsOf } from "./tagged.ts";

/** Options of {@linkcode merge}. */
export interface MergeOptions<Tags extends string = string> {
  /**
   * Kind patterns of the events that are wanted of all streams, or for each tag of its own; one matches itself and
   * everything under it. `lost` and `recovered` are always delivered. Default all.
   */
  events?: readonly string[] | { readonly [Tag in Tags]?: readonly string[] };
  /** Closes the merge. */
  signal?: AbortSignal;
}

/** What a merge did so far, by tag. */
export type MergeStats<Sources extends MergeSources> = {
  readonly [Tag in TagsOf<Sources>]: SourceStats<
    SourceOf<Sources, Tag> extends { stats(): infer Stats } ? Stats : undefined
  >;
};

/**
 * Several streams as one.
 *
 * - **One consumer**, who takes from each stream that has something in turn, up to 1,024 events. The order of each stream is
 *   kept.
 * - **Nothing is read ahead** but a batch of each: the backlog of a slow consumer stays with the streams, which count what
 *   they lose.
 * - **A stream that fails** is told as `lost`, with the error in `attributes.cause`, and the others go on. What the last one
 *   fails with is thrown.
 * - **Every end closes all**: `break`, `return`, an exception in the loop, `close()`, the signal.
 */
export class Merged<Sources extends MergeSources = MergeSources>
  extends EventStream<TaggedOf<Sources>> {
  /**
   * Settles once: resolves when each stream is ready or was refused; rejects where all were refused, with the reason of the
   * first.
   */
  readonly ready: Promise<void>;
  readonly #turns: RoundRobin<TaggedOf<Sources>>;
  readonly #signal: AbortSignal | undefined;
  #closing: Promise<void> | undefined;
  readonly #abort = (): void => void this.close();

  /** Claims the streams at once. Use {@linkcode merge}. */
  constructor(sources: readonly TaggedSource[], signal: AbortSignal | undefined) {
    const turns = new RoundRobin<TaggedOf<Sources>>(sources);
    super(turns, "merge");
    this.#turns = turns;
    this.#signal = signal;
    turns.onEnd = this.#abort;
    if (signal?.aborted) void this.close();
    else signal?.addEventListener("abort", this.#abort);
    this.ready = this.#allReady();
    this.ready.catch(() => {}); // the iterator throws the same
  }

  async #allReady(): Promise<void> {
    const settled = await Promise.allSettled(this.#turns.lanes.map(({ ready }) => ready));
    const refused = settled.flatMap((state) => state.status === "rejected" ? [state] : []);
    if (refused.length === settled.length) throw refused[0]!.reason;
  }

  /** Ends all the streams; what one refuses does not keep the others. Always the same promise. */
  override close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = this.#close();
      this.#closing.catch(() => {}); // told to whoever awaits it
    }
    return this.#closing;
  }

  async #close(): Promise<void> {
    await null; // so that `#closing` is set before anything asks for it
    this.#signal?.removeEventListener("abort", this.#abort);
    const ends = await Promise.allSettled(this.#turns.lanes.map((lane) => lane.close()));
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }

  /** What came of each stream so far, by its tag. */
  stats(): MergeStats<Sources> {
    const all = this.#turns.lanes.map((lane) => [lane.tag, lane.stats()]);
    return Object.fromEntries(all);
  }
}

/** Checks what is to be merged. Throws `TypeError` for what is wrong. */
function settle(
  sources: MergeSources,
  options: MergeOptions,
): { readonly sources: readonly TaggedSource[]; readonly signal: AbortSignal | undefined } {
  if (typeof sources !== "object" || sources === null || Symbol.asyncIterator in sources) {
    throw new TypeError("Cannot merge what is no object of streams by tag");
  }
  checkOptions("merge", options, { others: ["events"] });
  const { events, signal } = options;
  const entries = Object.entries(sources);
  if (entries.length === 0) throw new TypeError("Cannot merge no stream: give at least one");
  for (const [tag, source] of entries) {
    if (Object(source) !== source || !(Symbol.asyncIterator in source)) {
      throw new TypeError(`Cannot merge ${tag}: it is no stream of events`);
    }
  }
  const filterOf = filters(entries.map(([tag]) => tag), events);
  const tagged = entries.map(([tag, source]) => ({ tag, source, filter: filterOf(tag) }));
  return { sources: tagged, signal };
}

/** The filter of each tag. */
function filters(
  tags: readonly string[],
  events: MergeOptions["events"],
): (tag: string) => Filter | undefined {
  const filter = (patterns: readonly string[]) => new Filter(checkEvents(patterns), [], new Set());
  if (events === undefined) return () => undefined;
  if (Array.isArray(events) || Object(events) !== events) {
    const one = filter(events as readonly string[]);
    return () => one;
  }
  const byTag = new Map<string, Filter>();
  for (const [tag, patterns] of Object.entries(events)) {
    if (!tags.includes(tag)) throw new TypeError(`Cannot merge events of ${tag}: no such tag`);
    if (patterns !== undefined) byTag.set(tag, filter(patterns));
  }
  return (tag) => byTag.get(tag);
}

/**
 * Joins streams (of {@linkcode watch}, {@linkcode audit}, {@linkcode guard} …, and any other of events) into one. Each event
 * comes with the tag of its stream, which tells its type.
 *
 * **Order.** Each stream's own is kept. Between streams it is that in which they had something to tell: their clocks differ,
 * and none is waited for. The event loop and the other streams have their turn however much one has to tell.
 *
 * **Errors.** `TypeError` at once for wrong arguments, and for a stream that is iterated already. What one stream fails with
 * is told as `lost`, unless it is the last one: that is thrown to the iterator.
 *
 * @example
 * ```ts
 * import { audit, merge, watch } from "sentinode";
 *
 * const log = "type=USER_LOGIN msg=audit(1700000000.123:42): pid=1 uid=0 auid=1000 ses=3 " +
 *   `msg='op=login acct="ada" exe="/usr/sbin/sshd" hostname=? addr=? terminal=ssh res=success'`;
 * const files = watch("/tmp");
 * await files.ready;
 * files.inject({ kind: "user.hello", path: "/tmp" });
 *
 * let seen = 0;
 * for await (const { tag, event } of merge({ files, logins: audit({ source: new Blob([log]).stream() }) })) {
 *   if (tag === "logins") console.log(event.attributes.type, event.actor?.loginUid);
 *   else console.log(event.kind, event.path);
 *   if (++seen === 2) break;
 * }
 * ```
 *
 * @param sources streams by the tags that they are to have, or an array of them, whose tags are `"0"`, `"1"` …
 */
export function merge<const Sources extends MergeSources>(
  sources: Sources,
  options: MergeOptions<TagsOf<Sources>> = {},
): Merged<Sources> {
  const settled = settle(sources, options as MergeOptions);
  return new Merged(settled.sources, settled.signal);
}

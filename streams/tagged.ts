/**
 * Events with the name of the stream that they are from, and the types of what is merged.
 *
 * @module
 */

import type { WatchEvent } from "../classify/event.ts";
import type { Filter } from "../watch/filter.ts";

/** An event, and which of the merged streams told it. */
export interface Tagged<Tag extends string = string, Event extends WatchEvent = WatchEvent> {
  /** The stream's name in the merge; of a merge in a merge both, with a dot between. */
  readonly tag: Tag;
  /** As that stream gave it. */
  readonly event: Event;
}

/** What can be merged: a stream of events, whoever made it, or another merge. */
export type MergeSource = AsyncIterable<WatchEvent | Tagged>;

/** Streams by their tags. Those of an array have their places for tags: `"0"`, `"1"` … */
export type MergeSources = Readonly<Record<string, MergeSource>> | readonly MergeSource[];

/** The tags of what is merged. */
export type TagsOf<Sources extends MergeSources> = Sources extends readonly unknown[]
  ? number extends Sources["length"] ? `${number}` : Extract<keyof Sources, `${number}`>
  : Extract<keyof Sources, string>;

/** The stream that a tag stands for. */
export type SourceOf<Sources extends MergeSources, Tag> = Tag extends keyof Sources ? Sources[Tag]
  : Sources extends readonly (infer Source)[] ? Source
  : never;

/** What a merge of these yields: the tag tells the type of the event. */
export type TaggedOf<Sources extends MergeSources> = {
  [Tag in TagsOf<Sources>]: SourceOf<Sources, Tag> extends AsyncIterable<infer Item>
    ? Retagged<Tag, Item>
    : never;
}[TagsOf<Sources>];

/** An item of a stream, with its tag. */
export type Retagged<Tag extends string, Item> = Item extends Tagged<infer Inner, infer Event>
  ? Tagged<`${Tag}.${Inner}`, Event>
  : Item extends WatchEvent ? Tagged<Tag, Item>
  : never;

/** A stream that is merged. */
export interface TaggedSource {
  readonly tag: string;
  readonly source: MergeSource;
  /** Which kinds are wanted of it; all where there is none. */
  readonly filter: Filter | undefined;
}

/** With the tag of the stream that gave it; `TypeError` for what is no event. */
export function tagged(tag: string, item: unknown): Tagged {
  const { kind, event, tag: inner } = Object(item) as Partial<WatchEvent & Tagged>;
  if (typeof kind === "string") return { tag, event: item as WatchEvent };
  if (typeof inner === "string" && typeof event?.kind === "string") {
    return { tag: `${tag}.${inner}`, event };
  }
  throw new TypeError(`Cannot merge ${tag}: it gave what is no event`);
}

/**
 * The event vocabulary of sentinode and its pure classifiers, usable without a kernel.
 *
 * @example
 * ```ts
 * import { matches } from "sentinode/classify";
 *
 * const events = [{ kind: "create.file" }, { kind: "modify.data" }];
 * console.log(events.filter((event) => matches(event, "create")));
 * ```
 *
 * @module
 */

export { isKindPattern, type Kind, KINDS, matches } from "./kinds.ts";
export { type Actor, type Attributes, type EventInit, type WatchEvent } from "./event.ts";
export type { MetadataState, XattrChange } from "./metadata.ts";
export { fanotifyKinds, fanotifyMask } from "./fanotify.ts";
export { inotifyKind, inotifyMask } from "./inotify.ts";
export { GRACE, type Half, type Paired, RenamePairing } from "./rename.ts";

/**
 * What somebody did, as audit tells it, and whether a file event may tell of it; pure.
 *
 * @module
 */

import type { Actor, WatchEvent } from "./event.ts";
import { type Kind, matches } from "./kinds.ts";

/** The part of an audit event that is looked at. */
export interface Deed {
  readonly kind: Kind;
  /** Empty where it is not known. */
  readonly path: string;
  readonly from?: string;
  /** What stands for the file then, by its device and inode. */
  readonly file?: string;
  /** When the system call began, in ms since the epoch. */
  readonly time: number;
  readonly actor?: Actor;
  readonly attributes: {
    /** A rename: the file at `path` went to `from`. */
    readonly exchange?: true;
    /** Values after the deed, by name. */
    readonly after?: object;
    /** Of an open: `["O_WRONLY", "O_CREAT"]`. */
    readonly flags?: readonly string[];
  };
}

/** An open with one of these can write. */
const WRITING: readonly string[] = ["O_WRONLY", "O_RDWR"];

/** What chattr(1) changes: the record of its ioctl names no file, so that such a deed may be of any. */
export const FLAGS = "modify.metadata.flags";

const METADATA = "modify.metadata";

/** The kinds that deeds have, and whether each deed raises an event of its own: the kernel merges the others. */
export const ACTS: readonly (readonly [kind: string, isOwn: boolean])[] = [
  ["create", true],
  ["remove", true],
  ["rename", true],
  ["modify.metadata", false],
  ["modify.data", false],
  ["access.open", false],
  ["access.exec", false],
];

/** Whether the actor can write to the file from then on. */
export function opensForWriting({ attributes: { flags } }: Deed): boolean {
  return flags?.some((flag) => WRITING.includes(flag)) === true;
}

/** Whether both are about a name that came, or went, or the like. */
export function isOfOneAct(event: WatchEvent, deed: Deed): boolean {
  return ACTS.some(([kind]) => matches(event, kind) && matches(deed, kind));
}

/** Whether both say which metadata, and the same. */
export function isExactly(deed: Deed, event: WatchEvent): boolean {
  return deed.kind === event.kind && deed.kind.startsWith(`${METADATA}.`);
}

/** What changes beside what a call is for: chown(2) clears bits and capabilities, chmod(2) and access lists go together. */
const SIDE_EFFECTS: readonly string[] = [
  "modify.metadata.permissions",
  "modify.metadata.xattr",
];

/** Whether a change of metadata may be of a deed. */
export function canBe(event: WatchEvent, deed: Deed): boolean {
  if (!matches(event, METADATA) || event.kind === METADATA || deed.kind === METADATA) return true;
  return deed.kind === event.kind || SIDE_EFFECTS.includes(event.kind);
}

/** Where something happened: a rename at two places. */
export function pathsOf(
  { path, from }: { readonly path: string; readonly from?: string },
): string[] {
  return from === undefined || from === path ? [path] : [path, from];
}

/** Whether the names of a deed are those of the event at whose path it is; without names the file is. */
export function isAbout(deed: Deed, event: WatchEvent, file: string | undefined): boolean {
  const { path, from, attributes } = deed;
  if (path === "") return deed.file === undefined || deed.file === file;
  switch (event.kind) {
    case "rename":
      return path === event.path && from === event.from;
    case "rename.in":
      return path === event.path || attributes.exchange === true;
    case "rename.out":
      return from === event.path;
    default:
      return path === event.path;
  }
}

/** Whether a deed left other values than the event has: it is not, or not alone, what the event tells of. */
export function contradicts(event: WatchEvent, deed: Deed): boolean {
  const isSaid = deed.kind === event.kind && deed.attributes.after !== undefined;
  return isSaid && event.attributes.after !== undefined && !hasValues(event, deed);
}

/** Whether an event has the values that the deed left. */
export function hasValues({ attributes: { after } }: WatchEvent, { attributes }: Deed): boolean {
  if (typeof after !== "object" || after === null || attributes.after === undefined) return false;
  return Object.entries(attributes.after).every(([name, value]) =>
    (after as Readonly<Record<string, unknown>>)[name] === value
  );
}

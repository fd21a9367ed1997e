/**
 * Which metadata changed, in a few words.
 *
 * @module
 */

import { matches, type MetadataState, type WatchEvent } from "../classify/mod.ts";
import { escapeText } from "./escape.ts";

/** What stands where there is nothing. */
const NOTHING = "-";

/** `0644 -> 0600`; empty where nothing is known, or it is about something else. */
export function metadataText({ kind, attributes: { before, after, xattr } }: WatchEvent): string {
  if (!matches(kind, "modify.metadata")) return "";
  const change = changeText(before, after);
  if (xattr === undefined) return change;
  const name = `${xattr.change} ${escapeText(xattr.name)}`;
  return change === "" ? name : `${name}: ${change}`;
}

function changeText(before: MetadataState = {}, after: MetadataState = {}): string {
  const [old, now] = [stateText(before), stateText(after)];
  return old === "" && now === "" ? "" : `${old || NOTHING} -> ${now || NOTHING}`;
}

function stateText(state: MetadataState): string {
  const { mode, uid, gid, accessed, modified, acl, capabilities, flags, projectId, links } = state;
  return [
    mode?.toString(8).padStart(4, "0"),
    uid === undefined ? undefined : `${uid}:${gid}`,
    accessed === undefined ? undefined : `accessed ${timeText(accessed)}`,
    modified === undefined ? undefined : `modified ${timeText(modified)}`,
    acl?.join(","),
    capabilities,
    flags === undefined ? undefined : flags.join(",") || NOTHING,
    projectId === undefined ? undefined : `project ${projectId}`,
    links?.toString(),
  ].filter((text) => text !== undefined).join(" ");
}

/** Filesystems take years that a date cannot have. */
function timeText(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? String(time) : date.toISOString();
}

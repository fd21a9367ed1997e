/**
 * inotify's event bits as kinds.
 *
 * @module
 */

import {
  IN_ACCESS,
  IN_ATTRIB,
  IN_CLOSE_NOWRITE,
  IN_CLOSE_WRITE,
  IN_CREATE,
  IN_DELETE,
  IN_DELETE_SELF,
  IN_IGNORED,
  IN_ISDIR,
  IN_MODIFY,
  IN_MOVE_SELF,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  IN_OPEN,
  IN_Q_OVERFLOW,
  IN_UNMOUNT,
} from "../ffi/abi/inotify.ts";
import { isWanted, type Kind } from "./kinds.ts";

/** Bit to kind. inotify merges nothing but equal neighbours, so a record has one of these bits. */
const TABLE: readonly (readonly [bit: number, kind: Kind])[] = [
  [IN_CREATE, "create"],
  [IN_MOVED_FROM, "rename"],
  [IN_MOVED_TO, "rename"],
  [IN_OPEN, "access.open"],
  [IN_ACCESS, "access.read"],
  [IN_MODIFY, "modify.data"],
  [IN_ATTRIB, "modify.metadata"],
  [IN_CLOSE_WRITE, "access.close.write"],
  [IN_CLOSE_NOWRITE, "access.close.nowrite"],
  [IN_DELETE, "remove"],
];

/** Bits of the watch itself, or that only its root's watcher reads. */
const SILENT = IN_ISDIR | IN_IGNORED | IN_UNMOUNT | IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF;

const KNOWN = TABLE.reduce((bits, [bit]) => bits | bit, SILENT);

/** The kind that a mask announces; undefined for what concerns the watch only, `other` for an unknown bit. */
export function inotifyKind(mask: number): Kind | undefined {
  const kind = TABLE.find(([bit]) => (mask & bit) !== 0)?.[1];
  if (kind === undefined) return (mask & ~KNOWN) === 0 ? undefined : "other";
  const exact = (mask & IN_ISDIR) !== 0 && (kind === "create" || kind === "remove");
  return exact ? `${kind}.directory` : kind;
}

/** The bits to ask for where `patterns` are wanted. */
export function inotifyMask(patterns: readonly string[]): number {
  let mask = 0;
  for (const [bit, kind] of TABLE) {
    const wanted = [kind, `${kind}.directory`, `${kind}.file`, `${kind}.in`, `${kind}.out`];
    if (wanted.some((kind) => isWanted(kind, patterns))) mask |= bit;
  }
  return mask;
}

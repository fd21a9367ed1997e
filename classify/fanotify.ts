/**
 * fanotify's event bits as kinds.
 *
 * @module
 */

import {
  FAN_ACCESS,
  FAN_ATTRIB,
  FAN_CLOSE_NOWRITE,
  FAN_CLOSE_WRITE,
  FAN_CREATE,
  FAN_DELETE,
  FAN_DELETE_SELF,
  FAN_EVENT_ON_CHILD,
  FAN_MODIFY,
  FAN_MOVE_SELF,
  FAN_ONDIR,
  FAN_OPEN,
  FAN_OPEN_EXEC,
  FAN_Q_OVERFLOW,
  FAN_RENAME,
} from "../ffi/abi/fanotify.ts";
import { isWanted, type Kind } from "./kinds.ts";

/**
 * Bit to kind, in the order in which one merged mask is delivered. The kernel forgets the order of what it merges
 * (fanotify(7)), so this is one that leads to the state on disk: a name appears first and goes last.
 */
const TABLE: readonly (readonly [bit: number, kind: Kind])[] = [
  [FAN_CREATE, "create"],
  [FAN_RENAME, "rename"],
  [FAN_OPEN, "access.open"],
  [FAN_OPEN_EXEC, "access.exec"],
  [FAN_ACCESS, "access.read"],
  [FAN_MODIFY, "modify.data"],
  [FAN_ATTRIB, "modify.metadata"],
  [FAN_CLOSE_WRITE, "access.close.write"],
  [FAN_CLOSE_NOWRITE, "access.close.nowrite"],
  [FAN_DELETE, "remove"],
];

/** The bits that a mark on a mount can ask for; the others are of directories, not of mounts (fanotify_mark(2)). */
export const ON_MOUNT: number = FAN_OPEN | FAN_OPEN_EXEC | FAN_ACCESS | FAN_MODIFY |
  FAN_CLOSE_WRITE | FAN_CLOSE_NOWRITE;

/** Bits that say something about the record, not about the file, or that only its root's watcher reads. */
const SILENT = FAN_ONDIR | FAN_EVENT_ON_CHILD | FAN_Q_OVERFLOW | FAN_DELETE_SELF | FAN_MOVE_SELF;

const KNOWN = TABLE.reduce((bits, [bit]) => bits | bit, SILENT);

const memo = new Map<number, readonly Kind[]>();

/**
 * The kinds that a mask announces, in the order of delivery; `other` for a bit that this version does not know.
 * `create` and `remove` are exact for directories, bare for all else: the kernel does not say what kind of file.
 */
export function fanotifyKinds(bits: number): readonly Kind[] {
  let kinds = memo.get(bits);
  if (kinds === undefined) {
    memo.set(bits, kinds = kindsOf(bits));
  }
  return kinds;
}

function kindsOf(bits: number): Kind[] {
  const directory = (bits & FAN_ONDIR) !== 0;
  const kinds = TABLE.filter(([bit]) => (bits & bit) !== 0).map(([, kind]): Kind =>
    directory && (kind === "create" || kind === "remove") ? `${kind}.directory` : kind
  );
  if ((bits & ~KNOWN) !== 0) kinds.push("other");
  return kinds;
}

/** The bits to ask for where `patterns` are wanted. */
export function fanotifyMask(patterns: readonly string[]): number {
  let mask = 0;
  for (const [bit, kind] of TABLE) {
    const wanted = [kind, `${kind}.directory`, `${kind}.file`, `${kind}.in`, `${kind}.out`];
    if (wanted.some((kind) => isWanted(kind, patterns))) mask |= bit;
  }
  return mask;
}

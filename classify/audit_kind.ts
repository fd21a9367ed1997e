/**
 * What a system call that succeeded did, by its operation and the PATH records of what it had to do with.
 *
 * @module
 */

import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../ffi/abi/stat.ts";
import { CHANGES } from "./audit_operation.ts";
import { type AuditPath, isSameFile } from "./audit_paths.ts";
import type { Kind } from "./kinds.ts";

/** What happened, and which of the paths it happened to. */
export interface Outcome {
  readonly kind: Kind;
  readonly object?: AuditPath | undefined;
  /** `rename`: where it was. */
  readonly source?: AuditPath | undefined;
  /** `rename`: what it took the place of. */
  readonly replaced?: AuditPath | undefined;
  /** `rename`: both names are there afterwards. */
  readonly isExchange?: boolean;
  /** `create.link`: the file by its other name. */
  readonly linkOf?: AuditPath | undefined;
}

/** What is known of a call beside its paths. */
export interface Deed {
  /** Absent where the call is not known by name. */
  readonly operation: string | undefined;
  /** An open that empties the file. */
  readonly truncates: boolean;
  /** Of io_uring: the records have no names. */
  readonly isUring: boolean;
}

/** What a call did that succeeded. */
export function outcomeOf(deed: Deed, paths: readonly AuditPath[]): Outcome {
  const { operation, isUring } = deed;
  // An overlay's copies in its upper layer have no names; all of io_uring has none, but the overlay comes first.
  const device = isUring ? paths.find(({ device }) => device !== undefined)?.device : undefined;
  const isTold = ({ name, device: its, inode }: AuditPath) =>
    inode !== undefined && (isUring ? its === device : name !== undefined);
  const created = paths.filter((path) => path.nametype === "CREATE" && isTold(path));
  const deleted = paths.filter((path) => path.nametype === "DELETE" && isTold(path));
  const object = paths.find((path) => path.nametype === "NORMAL");
  if (created.length > 0 && deleted.length > 0) {
    if (operation === "rename") return renamed(created, deleted);
    const isMove = deleted.some((path) => isSameFile(path, created[0]!));
    if (operation === undefined) return isMove ? renamed(created, deleted) : { kind: "other" };
  }
  if (operation === "rename") return { kind: "other", object };
  const [place] = created;
  if (place !== undefined && deleted.length === 0) {
    const isLink = operation === "link" ||
      (operation === undefined && object !== undefined && isSameFile(object, place));
    if (isLink) return { kind: "create.link", object: place, linkOf: object };
    return { kind: `create.${typeOf(place)}`, object: place };
  }
  if (deleted.length > 0) {
    return { kind: `remove.${typeOf(deleted[0]!)}`, object: deleted[0]! };
  }
  if (deed.truncates && object !== undefined && (object.mode! & S_IFMT) === S_IFREG) {
    return { kind: "modify.data", object };
  }
  const isKnown = operation !== undefined && Object.hasOwn(CHANGES, operation);
  return { kind: isKnown ? CHANGES[operation]! : "other", object };
}

function renamed(created: readonly AuditPath[], deleted: readonly AuditPath[]): Outcome {
  const [first] = created as [AuditPath];
  const second = created.find((path) => path.name !== first.name);
  if (second !== undefined) {
    // Both names are told as created, and at least one as deleted. The inodes of those are mixed up (measured on 6.18).
    const source = deleted[0]!;
    const object = created.find((path) => path.name !== source.name);
    return { kind: "rename", object, source, isExchange: true };
  }
  const source = sourceOf(first, deleted);
  const replaced = deleted.find((path) => path !== source);
  // Two that may be it: told as they come, and no path is made of what may be the other one's directory.
  return { kind: "rename", object: first, source, replaced: source && replaced };
}

/** What was moved is told by both names. Of an overlay one has the inode of the upper layer (measured on 6.18). */
function sourceOf(target: AuditPath, deleted: readonly AuditPath[]): AuditPath | undefined {
  const same = deleted.find((path) => isSameFile(path, target));
  if (same !== undefined) return same;
  const others = deleted.filter((path) => path.name !== target.name);
  return others.length === 1 ? others[0] : deleted.length === 1 ? deleted[0] : undefined;
}

type FileType = "file" | "directory" | "symlink" | "other";

const TYPES: Readonly<Record<number, FileType>> = {
  [S_IFREG]: "file",
  [S_IFDIR]: "directory",
  [S_IFLNK]: "symlink",
};

function typeOf({ mode = 0 }: AuditPath): FileType {
  return TYPES[mode & S_IFMT] ?? "other";
}

/** Whether it is a directory; undefined where the record does not tell. */
export function isDirectory(path: AuditPath | undefined): boolean | undefined {
  return path?.mode === undefined ? undefined : (path.mode & S_IFMT) === S_IFDIR;
}

/**
 * Which metadata changed between two looks at a file.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { FileMetadata, Xattr, Xattrs } from "../backends/metadata/state.ts";
import { S_IFDIR, S_IFMT } from "../ffi/abi/stat.ts";
import { fileCapabilities } from "./file_capabilities.ts";
import { commonFlags } from "./file_flags.ts";
import type { Kind } from "./kinds.ts";
import { aclEntries } from "./posix_acl.ts";

/** What metadata was, or is; of a change only what changed. */
export interface MetadataState {
  /** `permissions`: the twelve bits of chmod(2). */
  readonly mode?: number;
  /** `ownership`: both, where one of them changed. */
  readonly uid?: number;
  /** `ownership`: the group. */
  readonly gid?: number;
  /** `times`: ms since the epoch with a fraction, which is exact to about 0.2 µs. */
  readonly accessed?: number;
  /** `times`: the same of the time of modification; only those are here that were set. */
  readonly modified?: number;
  /** `xattr`: the value, where `metadata.values` asks for it and it is not longer. */
  readonly value?: Uint8Array;
  /** `xattr`: an access control list as getfacl(1) shows it: `user:1000:rw-`. */
  readonly acl?: readonly string[];
  /** `xattr`: the capabilities of an executable as getcap(8) shows them: `cap_net_raw=ep`. */
  readonly capabilities?: string;
  /** `flags`: all that are set: `immutable`, `append`, `nodump` … */
  readonly flags?: readonly string[];
  /** `flags`: what the file is counted for in project quotas, where that changed. */
  readonly projectId?: number;
  /** `links`: how many names the file has. */
  readonly links?: number;
}

/** `xattr`: which extended attribute, and what became of it. */
export interface XattrChange {
  /** With its namespace: `user.comment`, `security.selinux`. */
  readonly name: string;
  /** Whether it was there before, and is now. */
  readonly change: "added" | "changed" | "removed";
}

/** One change, and the event's attributes that tell it. */
export interface MetadataChange {
  readonly kind: Kind & `modify.metadata.${string}`;
  readonly attributes: {
    readonly before?: MetadataState;
    readonly after?: MetadataState;
    readonly xattr?: XattrChange;
  };
}

/** What is known beside the two states. */
export interface MetadataOccasion {
  /** Whether the kernel has announced that metadata changed, as it does of times that are set. */
  readonly isAnnounced?: boolean;
  /** Whether values of extended attributes are told. */
  readonly values?: boolean;
}

/** What changed, in the order in which it is told: permissions, ownership, times, extended attributes, flags, links. */
export function metadataChanges(
  before: FileMetadata,
  after: FileMetadata,
  { isAnnounced = false, values = false }: MetadataOccasion = {},
): MetadataChange[] {
  const first = [...permissions(before, after), ...ownership(before, after)];
  const last = [
    ...xattrs(before.xattrs, after.xattrs, values),
    ...flags(before, after),
    ...links(before, after),
  ];
  const isExplained = first.length + last.length > 0;
  return [...first, ...times(before, after, isAnnounced, isExplained), ...last];
}

function permissions({ mode: old }: FileMetadata, { mode }: FileMetadata): MetadataChange[] {
  if (old === mode) return [];
  return [change("permissions", { mode: old & ~S_IFMT }, { mode: mode & ~S_IFMT })];
}

function ownership(before: FileMetadata, after: FileMetadata): MetadataChange[] {
  if (before.uid === after.uid && before.gid === after.gid) return [];
  const of = ({ uid, gid }: FileMetadata) => ({ uid, gid });
  return [change("ownership", of(before), of(after))];
}

/**
 * Times that were set (utimensat(2), touch). What else changes them:
 *
 * - a write sets the times of modification and of change to the same moment, which is not before the last look's time of
 *   change, and equals it within one tick of the kernel's clock. So a time of modification before that, or after the time
 *   of change, was set;
 * - a read sets the time of access, to the moment. So one that went back was set, or what a filesystem keeps of reads
 *   (`lazytime`) was lost: that changes nothing else.
 *
 * `touch` sets both to one moment, which a write and a read within one tick of the kernel's clock do as well, and so does a
 * directory that is listed while names come. So of what is no directory, times that are new and the same were set where
 * the kernel has announced that metadata changed, and nothing else has.
 *
 * Nothing can be said of a time of modification that was set to a moment between both looks, and differs from that of
 * access: it may be a write's; nor where the clock was set back.
 */
function times(
  before: FileMetadata,
  after: FileMetadata,
  isAnnounced: boolean,
  isExplained: boolean,
): MetadataChange[] {
  if (after.changed < before.changed) return [];
  const hasChanged = after.changed > before.changed;
  const isRead = before.accessed !== after.accessed;
  const isWritten = before.modified !== after.modified;
  const isSame = isRead && isWritten && after.accessed === after.modified;
  const isDirectory = (after.mode & S_IFMT) === S_IFDIR;
  const isTouched = isSame && isAnnounced && !isExplained && !isDirectory;
  const isModifiedSet = isWritten &&
    (after.modified < before.changed || after.modified > after.changed || isTouched);
  const isSetBack = after.accessed < before.accessed && (hasChanged || isAnnounced);
  const isAccessedSet = isRead && (isModifiedSet || isSetBack);
  if (!isModifiedSet && !isAccessedSet) return [];
  const of = ({ accessed, modified }: FileMetadata): MetadataState => ({
    ...(isAccessedSet ? { accessed: milliseconds(accessed) } : {}),
    ...(isModifiedSet ? { modified: milliseconds(modified) } : {}),
  });
  return [change("times", of(before), of(after))];
}

function milliseconds(time: bigint): number {
  return Number(time) / 1e6;
}

/** In the order of their names. Of what cannot be read nothing is said. */
function xattrs(
  before: Xattrs | undefined,
  after: Xattrs | undefined,
  values: boolean,
): MetadataChange[] {
  if (before === undefined || after === undefined || before === after) return [];
  return [...new Set([...before.keys(), ...after.keys()])].sort().flatMap((name) => {
    const [old, now] = [before.get(name), after.get(name)];
    const isChanged = old?.digest !== now?.digest;
    if (old !== undefined && now !== undefined) {
      if (!isChanged || old.digest === undefined || now.digest === undefined) return [];
    }
    const xattr: XattrChange = {
      name: Buffer.from(name, "latin1").toString(),
      change: old === undefined ? "added" : now === undefined ? "removed" : "changed",
    };
    const shown = (xattr: Xattr | undefined) => xattr && xattrState(name, xattr, values);
    const { kind, attributes } = change("xattr", shown(old), shown(now));
    return [{ kind, attributes: { xattr, ...attributes } }];
  });
}

function xattrState(name: string, { value }: Xattr, values: boolean): MetadataState | undefined {
  if (value === undefined) return undefined;
  const acl = name.startsWith("system.posix_acl_") ? aclEntries(value) : undefined;
  const capabilities = name === "security.capability" ? fileCapabilities(value) : undefined;
  const state: MetadataState = {
    ...(acl === undefined ? {} : { acl }),
    ...(capabilities === undefined ? {} : { capabilities }),
    ...(values ? { value } : {}),
  };
  return Object.keys(state).length === 0 ? undefined : state;
}

function flags(before: FileMetadata, after: FileMetadata): MetadataChange[] {
  const [old, now] = [commonFlags(before, after), commonFlags(after, before)];
  const isSame = old.length === now.length && old.every((name, at) => name === now[at]);
  const hasProjects = before.xflags !== undefined && after.xflags !== undefined;
  const isMoved = hasProjects && before.projectId !== after.projectId;
  if (isSame && !isMoved) return [];
  const project = ({ projectId }: FileMetadata) => isMoved ? { projectId } : {};
  return [
    change("flags", { flags: old, ...project(before) }, { flags: now, ...project(after) }),
  ];
}

/** A directory's are its subdirectories, which are told themselves. */
function links(before: FileMetadata, after: FileMetadata): MetadataChange[] {
  const isDirectory = (after.mode & S_IFMT) === S_IFDIR;
  if (before.links === after.links || isDirectory) return [];
  return [change("links", { links: before.links }, { links: after.links })];
}

function change(
  what: "permissions" | "ownership" | "times" | "xattr" | "flags" | "links",
  before: MetadataState | undefined,
  after: MetadataState | undefined,
): MetadataChange {
  return {
    kind: `modify.metadata.${what}`,
    attributes: { ...(before ? { before } : {}), ...(after ? { after } : {}) },
  };
}

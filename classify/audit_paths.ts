/**
 * The PATH records of an audit event, and the absolute paths of what they name.
 *
 * A name is as the program gave it. A relative one belongs to the current directory, or to the directory of a file
 * descriptor, of which the records tell the inode alone: the name of its PARENT record is the current directory all the
 * same (measured on 6.18). So what belongs to a descriptor is found by inode, or not at all.
 *
 * @module
 */

import type { AuditRecord } from "../backends/audit/record.ts";
import { decodeLatin1, latin1Of } from "./audit_text.ts";

/** A file that a call had to do with, as a PATH record tells it: as it was before the call. */
export interface AuditPath {
  /** As the program gave it, a directory with its slash; absent where it gave an open file. */
  name?: string;
  /** The name's bytes, present where it is not valid UTF-8. */
  nameBytes?: Uint8Array;
  /** Absolute, in the program's view (its root may be another one); absent where it cannot be known. */
  path?: string;
  /** The path's bytes, present where it is not valid UTF-8. */
  pathBytes?: Uint8Array;
  /** `"NORMAL"`, `"PARENT"`, `"CREATE"`, `"DELETE"`; `"UNKNOWN"` for what was not found, and the text of a symlink. */
  nametype: string;
  /** Absent where there is no such file. */
  inode?: number | bigint;
  /** The filesystem's device, decimal `"major:minor"`, as `/proc/self/mountinfo` has it. */
  device?: string;
  /** Type and permissions, as stat(2) has them. */
  mode?: number;
  /** The owner. */
  uid?: number;
  /** The group. */
  gid?: number;
  /** The device that a device file stands for, decimal `"major:minor"`. */
  rdev?: string;
  /** The file's capabilities as hexadecimal masks, where it has any. */
  capabilities?: {
    readonly permitted: string;
    readonly inheritable: string;
    readonly effective: boolean;
    readonly version: number;
    readonly rootId?: number;
  };
}

/** What is at `inode` of the filesystem on `device`, if the caller knows. */
export type Resolve = (device: string, inode: number | bigint) => string | undefined;

/** Text, and the same a character a byte where it is not valid UTF-8. */
export interface Spelling {
  readonly text: string;
  readonly latin1?: string | undefined;
}

/** What a call's relative names are relative to. */
export interface Bases {
  /** The current directory; absent where it is not known. */
  readonly cwd: Spelling | undefined;
  /** Whether its first path, and its second one, is relative to it; otherwise to another directory, or it is not known. */
  readonly old: boolean;
  readonly new: boolean;
  /** openat2(2) with RESOLVE_IN_ROOT: an absolute path is relative, too. */
  readonly inRoot: boolean;
}

/** An encoded field, unless the kernel had nothing to tell, or no room for it. */
export function spelling(record: AuditRecord, field: string): Spelling | undefined {
  const text = record.string(field);
  if (text === undefined || text === "" || text === "<too_long>") return undefined;
  const bytes = text.includes("\uFFFD") ? record.bytes(field) : undefined;
  return bytes === undefined ? { text } : { text, latin1: latin1Of(bytes) };
}

/** The record without its path. */
export function readPath(record: AuditRecord): AuditPath {
  const path: AuditPath = {
    nametype: record.field("nametype") ?? record.field("objtype") ?? "UNKNOWN",
  };
  const name = record.string("name");
  if (name !== undefined) {
    path.name = name;
    const bytes = name.includes("\uFFFD") ? record.bytes("name") : undefined;
    if (bytes !== undefined) path.nameBytes = bytes;
  }
  const inode = record.field("inode");
  if (inode === undefined) return path;
  const number = Number(inode);
  if (Number.isSafeInteger(number)) path.inode = number;
  else if (/^\d+$/.test(inode)) path.inode = BigInt(inode);
  setIfKnown(path, "device", deviceOf(record.field("dev")));
  setIfKnown(path, "mode", record.number("mode", 8));
  setIfKnown(path, "uid", record.number("ouid", 10));
  setIfKnown(path, "gid", record.number("ogid", 10));
  const rdev = record.field("rdev");
  if (rdev !== "00:00") setIfKnown(path, "rdev", deviceOf(rdev));
  readCapabilities(record, path);
  return path;
}

function setIfKnown<K extends keyof AuditPath>(
  path: AuditPath,
  key: K,
  value: AuditPath[K] | undefined,
): void {
  if (value !== undefined) path[key] = value;
}

/** Old kernels leave the fields out where there are none, new ones write zeros. */
function readCapabilities(record: AuditRecord, path: AuditPath): void {
  const permitted = record.field("cap_fp");
  if (permitted === undefined) return;
  const inheritable = record.field("cap_fi") ?? "0";
  const version = record.number("cap_fver", 16) ?? 0;
  if (version === 0 && isZero(permitted) && isZero(inheritable)) return;
  const rootId = record.number("cap_frootid", 10);
  path.capabilities = {
    permitted: `0x${permitted}`,
    inheritable: `0x${inheritable}`,
    effective: record.field("cap_fe") === "1",
    version,
    ...(rootId === undefined ? {} : { rootId }),
  };
}

function isZero(hex: string): boolean {
  return hex === "0" || !/[1-9a-f]/.test(hex);
}

/** The devices met last: a log has few. */
let device = { hex: "", decimal: "" };

/** `fd:01` as `253:1`. */
function deviceOf(hex: string | undefined): string | undefined {
  if (hex === undefined) return undefined;
  if (device.hex === hex) return device.decimal;
  const colon = hex.indexOf(":");
  const major = parseInt(hex.slice(0, colon), 16);
  const minor = parseInt(hex.slice(colon + 1), 16);
  if (colon < 0 || Number.isNaN(major) || Number.isNaN(minor)) return undefined;
  device = { hex, decimal: `${major}:${minor}` };
  return device.decimal;
}

/** Whether two records are of one file. */
export function isSameFile(one: AuditPath, other: AuditPath): boolean {
  return one.inode !== undefined && one.inode === other.inode && one.device === other.device;
}

/** Finds the paths of all of a call's `paths`; `source` is the one that a rename takes away. */
export function resolvePaths(
  paths: readonly AuditPath[],
  bases: Bases,
  source: AuditPath | undefined,
  resolve: Resolve | undefined,
): void {
  for (const path of paths) {
    resolvePath(path, paths, bases, isAtCwd(path, bases, source && path === source), resolve);
  }
}

/** Whether a relative name is relative to the current directory. */
function isAtCwd({ nametype }: AuditPath, bases: Bases, isSource: boolean | undefined): boolean {
  if (bases.old === bases.new) return bases.old;
  if (nametype === "PARENT" || isSource === undefined) return false;
  return nametype === "NORMAL" || nametype === "UNKNOWN" || isSource ? bases.old : bases.new;
}

function resolvePath(
  path: AuditPath,
  paths: readonly AuditPath[],
  bases: Bases,
  atCwd: boolean,
  resolve: Resolve | undefined,
): void {
  const { name, nametype } = path;
  const { cwd } = bases;
  if (name === undefined || name === "" || name === "<too_long>") return byInode(path, resolve);
  const isParent = nametype === "PARENT";
  const isAbsolute = name.charCodeAt(0) === SLASH && !bases.inRoot;
  // The name of a PARENT whose child has no slash is the current directory, whatever directory is meant.
  const isKnown = isAbsolute ? !isParent || atCwd || name !== cwd?.text : atCwd;
  if (!isKnown) {
    if (nametype === "CREATE" || nametype === "DELETE") byParent(path, paths, bases, resolve);
    else byInode(path, resolve);
    return;
  }
  if (isAbsolute) {
    setPath(path, "", name, path.nameBytes && latin1Of(path.nameBytes));
  } else if (cwd !== undefined && cwd.text.charCodeAt(0) === SLASH) {
    const { text, latin1 } = cwd;
    if (latin1 === undefined && path.nameBytes === undefined) setPath(path, text, name, undefined);
    else setPathBytes(path, latin1 ?? toLatin1(text), nameLatin1(path));
  } else {
    byInode(path, resolve);
  }
  // A name with `..` behind a directory, which may be a symlink, is true as it is; its directory's path is better.
  if (path.path?.includes("/../") && resolve !== undefined && path.nametype !== "PARENT") {
    byParent(path, paths, bases, resolve);
  }
}

/** What appears or goes away is not looked for: the inode may have been another file's, or be at another path by now. */
function byInode(path: AuditPath, resolve: Resolve | undefined): void {
  const { device, inode, nametype } = path;
  if (nametype === "CREATE" || nametype === "DELETE") return;
  if (resolve === undefined || device === undefined || inode === undefined) return;
  setIfKnown(path, "path", resolve(device, inode));
}

/** The path by that of the directory that holds it, which is known by its inode. */
function byParent(
  path: AuditPath,
  paths: readonly AuditPath[],
  bases: Bases,
  resolve: Resolve | undefined,
): void {
  const name = path.name!;
  const end = endOfName(name);
  const start = name.lastIndexOf("/", end - 1) + 1;
  const base = name.slice(start, end);
  if (base === "" || base === "." || base === "..") return;
  const prefix = start === 0 ? bases.cwd?.text : name.slice(0, start);
  const found = new Set<string | undefined>();
  for (const parent of paths) {
    if (parent.nametype !== "PARENT" || parent.name !== prefix) continue;
    const { device, inode } = parent;
    found.add(device === undefined || inode === undefined ? undefined : resolve?.(device, inode));
  }
  // Of two directories that go by the current one's name, one is just that if the other path is relative to it.
  if (found.size > 1 && bases.old !== bases.new) found.delete(bases.cwd?.text);
  const [directory] = found;
  if (found.size !== 1 || directory === undefined) return;
  if (path.nameBytes === undefined) setPath(path, directory, base, undefined);
  else setPathBytes(path, toLatin1(directory), baseLatin1(nameLatin1(path)));
}

function setPath(path: AuditPath, base: string, name: string, latin1: string | undefined): void {
  if (latin1 === undefined) path.path = joined(base, name);
  else setPathBytes(path, base, latin1);
}

function setPathBytes(path: AuditPath, base: string, name: string): void {
  const { text, bytes } = decodeLatin1(joined(base, name));
  path.path = text;
  if (bytes !== undefined) path.pathBytes = bytes;
}

function nameLatin1(path: AuditPath): string {
  return path.nameBytes === undefined ? toLatin1(path.name!) : latin1Of(path.nameBytes);
}

function toLatin1(text: string): string {
  return latin1Of(new TextEncoder().encode(text));
}

function baseLatin1(name: string): string {
  const end = endOfName(name);
  return name.slice(name.lastIndexOf("/", end - 1) + 1, end);
}

/** Where a name ends but for its slashes. */
function endOfName(name: string): number {
  let end = name.length;
  while (end > 1 && name.charCodeAt(end - 1) === SLASH) end--;
  return end;
}

const SLASH = 0x2f;

/**
 * `name` in the directory `base` (the root where it is empty) without what means nothing: `.`, slashes, and a `..` that
 * goes up from `base`, which the kernel tells without symlinks. A `..` behind another name stays.
 */
export function joined(base: string, name: string): string {
  const whole = base === "" ? name : base === "/" ? `/${name}` : `${base}/${name}`;
  const path = whole.slice(0, endOfName(whole));
  if (isPlain(path)) return path;
  const parts = base.split("/").filter((part) => part !== "");
  let given = 0;
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === ".." && given === 0) parts.pop();
    else {
      parts.push(part);
      given++;
    }
  }
  return `/${parts.join("/")}`;
}

function isPlain(path: string): boolean {
  return !path.includes("//") && !path.includes("/.");
}

/**
 * What a system call did, or tried to do, by the records of its event.
 *
 * @module
 */

import type { AuditRecord } from "../backends/audit/record.ts";
import { type AuditArch, auditArch, auditArchNamed } from "../ffi/abi/audit_arches.ts";
import { EAGAIN, ERRNO } from "../ffi/abi/errno.ts";
import { AT_REMOVEDIR, O_TRUNC } from "../ffi/abi/open.ts";
import { syscallName } from "../ffi/abi/syscall_names.ts";
import type { AuditAttributes, AuditContext, AuditMetadata } from "./audit_event.ts";
import { isDirectory, type Outcome, outcomeOf } from "./audit_kind.ts";
import { CREAT_FLAGS, O_TMPFILE_BIT, openFlags } from "./audit_open.ts";
import { type Call, callOf, SETFLAGS, URING_CALLS } from "./audit_operation.ts";
import {
  type AuditPath,
  type Bases,
  readPath,
  resolvePaths,
  type Spelling,
  spelling,
} from "./audit_paths.ts";
import type { SortedRecords } from "./audit_sorted.ts";

/** Attributes while they are found out. */
export type Draft = { -readonly [K in keyof AuditAttributes]: AuditAttributes[K] };

/** An outcome, and where it is. */
export interface Placed extends Outcome {
  readonly path: string;
  readonly pathBytes?: Uint8Array | undefined;
  readonly isDirectory?: boolean | undefined;
}

/** It is about no file. */
export const NOTHING: Placed = { kind: "other", path: "" };

/** What a system call, or an operation of io_uring, did or tried to do. */
export function readCall(
  main: AuditRecord,
  sorted: SortedRecords,
  attributes: Draft,
  { resolve }: AuditContext,
): Placed {
  const isUring = main !== sorted.syscall;
  const arch = archOf(sorted.syscall);
  if (arch !== undefined) attributes.arch = arch.name;
  const args = isUring ? undefined : argumentsOf(main);
  if (args !== undefined) attributes.arguments = args.map((arg) => `0x${arg}`);
  const name = isUring ? uringName(sorted.uring) : nameOf(main, arch);
  const call = readOperation(name, args, attributes);
  readResult(main, arch, call, attributes);

  const flags = flagsOf(call, name, args, sorted.openat2);
  const table = arch?.table;
  if (flags !== undefined && table !== undefined) attributes.flags = openFlags(flags, table);
  const cwd = sorted.cwd && spelling(sorted.cwd, "cwd");
  if (cwd !== undefined) attributes.cwd = cwd.text;

  const paths = sorted.paths.map(readPath);
  if (paths.length > 0) attributes.paths = paths;
  const operation = call?.operation;
  const truncates = flags !== undefined && (flags & O_TRUNC) !== 0;
  const done = attributes.success === true
    ? outcomeOf({ operation, truncates, isUring }, paths)
    : undefined;
  const bases = basesOf(call, args, cwd, sorted.openat2, done?.isExchange === true);
  resolvePaths(paths, bases, done?.source, resolve);

  // A socket is a file where it has a path.
  const isFile = paths.length > 0 || (call !== undefined && !SOCKETS.has(call.operation));
  if (!isFile) return NOTHING;
  if (done === undefined) return placeTried(operation, paths, isUring, attributes);
  if (operation === "open" && flags !== undefined && (flags & O_TMPFILE_BIT) !== 0) {
    attributes.unnamed = true;
    return { kind: done.kind, ...place(done.object, paths, attributes) };
  }
  tellMore(done, paths, call, args, arch, attributes);
  const { object } = done;
  return { ...done, ...place(object, paths, attributes), isDirectory: isDirectory(object) };
}

const SOCKETS: ReadonlySet<string> = new Set(["bind", "connect"]);

/** What did not happen, or is not known to have. */
function placeTried(
  operation: string | undefined,
  paths: readonly AuditPath[],
  isUring: boolean,
  attributes: Draft,
): Placed {
  // io_uring tries without waiting first; what would have to wait is tried again elsewhere, and is another event.
  const isTried = isUring && attributes.failed?.errno === EAGAIN;
  const kind = attributes.failed !== undefined && !isTried ? "access.failed" : "other";
  // It is about what is told by name, but for a symlink's text.
  const object = paths.find(({ nametype }) =>
    nametype !== "PARENT" && !(nametype === "UNKNOWN" && operation === "symlink")
  );
  return { kind, ...place(object, paths, attributes), isDirectory: isDirectory(object) };
}

const NOWHERE = { path: "" };

/** The path of `object`; else the directory that it is in, marked so. */
function place(
  object: AuditPath | undefined,
  paths: readonly AuditPath[],
  attributes: Draft,
): { path: string; pathBytes?: Uint8Array | undefined } {
  if (object?.path !== undefined) return { path: object.path, pathBytes: object.pathBytes };
  attributes.unresolved = true;
  const parents = paths.filter(({ nametype }) => nametype === "PARENT");
  const [first] = parents;
  const isOne = first?.path !== undefined && parents.every(({ path }) => path === first.path);
  // Of a file that is told by name the directory would be known, too.
  if (!isOne || (object !== undefined && object.nametype === "NORMAL")) return NOWHERE;
  return { path: first.path!, pathBytes: first.pathBytes };
}

/** What else is known of what was done. */
function tellMore(
  done: Outcome,
  paths: readonly AuditPath[],
  call: Call | undefined,
  args: readonly string[] | undefined,
  arch: AuditArch | undefined,
  attributes: Draft,
): void {
  if (call?.operation === "symlink") {
    const text = paths.find(({ nametype }) => nametype === "UNKNOWN")?.name;
    if (text !== undefined) attributes.target = text;
  }
  if (done.isExchange) attributes.exchange = true;
  if (done.replaced !== undefined) attributes.replaced = done.replaced;
  const linkOf = done.linkOf?.path;
  // A file without a name is linked by what only its own process sees there.
  if (linkOf !== undefined && !linkOf.startsWith("/proc/")) attributes.linkOf = linkOf;
  if (call === undefined || (call.mode === undefined && call.owner === undefined)) return;
  const { mode, uid, gid } = done.object ?? {};
  if (mode !== undefined && uid !== undefined && gid !== undefined) {
    attributes.before = { mode: mode & PERMISSIONS, uid, gid };
  }
  if (args === undefined) return;
  const after: AuditMetadata = {};
  if (call.mode !== undefined) after.mode = low(args[call.mode]!) & PERMISSIONS;
  if (call.owner !== undefined) {
    const isNarrow = arch !== undefined && NARROW.has(arch.table ?? "") &&
      !attributes.syscall!.endsWith("32") && attributes.syscall !== "fchownat";
    const uid = idOf(args[call.owner]!, isNarrow);
    const gid = idOf(args[call.owner + 1]!, isNarrow);
    if (uid !== undefined) after.uid = uid;
    if (gid !== undefined) after.gid = gid;
  }
  attributes.after = after;
}

const PERMISSIONS = 0o7777;

/** Where chown(2) takes ids of 16 bits, and chown32(2) those of 32. */
const NARROW: ReadonlySet<string> = new Set(["i386", "arm", "s390"]);

/** Undefined for −1, which leaves the id as it is. */
function idOf(arg: string, isNarrow: boolean): number | undefined {
  const id = isNarrow ? low(arg) & 0xffff : low(arg);
  return id === (isNarrow ? 0xffff : 0xffffffff) ? undefined : id;
}

/** The low 32 bits of an argument: all that most calls look at. */
function low(arg: string): number {
  return parseInt(arg.slice(-8), 16) >>> 0;
}

export function archOf(record: AuditRecord | undefined): AuditArch | undefined {
  const value = record?.field("arch");
  if (value === undefined) return undefined;
  return auditArch(parseInt(value, 16)) ?? auditArchNamed(value);
}

/** The call's name, or its number if it has none here. */
export function nameOf(record: AuditRecord, arch: AuditArch | undefined): string | undefined {
  const number = record.field("syscall");
  if (number === undefined) return undefined;
  return syscallName(arch, Number(number)) ?? enrichedName(record.enriched) ?? number;
}

/** auditd's own name of a call, if its tables know more. */
function enrichedName(enriched: string | undefined): string | undefined {
  const word = enriched?.split(" ").find((word) => word.startsWith("SYSCALL="));
  const name = word?.slice("SYSCALL=".length);
  return name === undefined || name === "" || name.startsWith("unknown") ? undefined : name;
}

/** What io_uring was asked for; nothing where the records are of several requests, whose paths cannot be told apart. */
function uringName(records: readonly AuditRecord[]): string | undefined {
  const numbers = new Set(records.map((record) => record.field("uring_op")));
  const [number] = numbers;
  if (numbers.size !== 1 || records.length > 1 || number === undefined) return undefined;
  return URING_CALLS.get(Number(number)) ?? number;
}

function argumentsOf(record: AuditRecord): readonly string[] | undefined {
  const args: string[] = [];
  for (const name of ["a0", "a1", "a2", "a3"]) {
    const value = record.field(name);
    if (value === undefined) return undefined;
    args.push(value);
  }
  return args;
}

/** Tells the call and its operation, and how it is read. */
function readOperation(
  name: string | undefined,
  args: readonly string[] | undefined,
  attributes: Draft,
): Call | undefined {
  if (name === undefined) return undefined;
  attributes.syscall = name;
  const isNamed = name.charCodeAt(0) > NINE;
  let call = callOf(name);
  if (name === "ioctl" && args !== undefined && SETFLAGS.has(low(args[1]!))) {
    call = { operation: "setflags", fd: 0 };
  }
  if (call?.operation === "unlink" && call.flags !== undefined && args !== undefined) {
    if ((low(args[call.flags]!) & AT_REMOVEDIR) !== 0) call = { ...call, operation: "rmdir" };
  }
  if (isNamed) attributes.operation = call?.operation ?? name;
  return call;
}

const NINE = 0x39;

/** Tells whether it succeeded. */
function readResult(
  record: AuditRecord,
  arch: AuditArch | undefined,
  call: Call | undefined,
  attributes: Draft,
): void {
  const success = record.field("success");
  if (success !== "yes" && success !== "no") return; // a call that the process did not return from
  attributes.success = success === "yes";
  const exit = record.number("exit", 10);
  if (exit === undefined) return;
  attributes.exit = exit;
  if (success === "yes" || exit >= 0) return;
  const operation = call?.operation ?? attributes.operation;
  // The numbers are those of the architectures whose calls are known.
  const code = arch === undefined || arch.table !== undefined ? CODES.get(-exit) : undefined;
  attributes.failed = {
    ...(operation === undefined ? {} : { operation }),
    errno: -exit,
    ...(code === undefined ? {} : { code }),
  };
}

/** The first name of a number is the usual one. */
const CODES: ReadonlyMap<number, string> = new Map(
  Object.entries(ERRNO).reverse().map(([name, errno]) => [errno, name]),
);

/** The flags of an open; undefined where the records do not tell. */
function flagsOf(
  call: Call | undefined,
  name: string | undefined,
  args: readonly string[] | undefined,
  openat2: AuditRecord | undefined,
): number | undefined {
  if (call?.operation !== "open") return undefined;
  if (openat2 !== undefined) return openat2.number("oflag", 8);
  if (name === "creat") return CREAT_FLAGS;
  return call.flags === undefined || args === undefined ? undefined : low(args[call.flags]!);
}

/** What a call's relative names are relative to. */
function basesOf(
  call: Call | undefined,
  args: readonly string[] | undefined,
  cwd: Spelling | undefined,
  openat2: AuditRecord | undefined,
  isExchange: boolean,
): Bases {
  const isCwd = (place: number | undefined): boolean =>
    call !== undefined && args !== undefined &&
    (place === undefined || args[place]!.endsWith(AT_FDCWD));
  const old = isCwd(call?.dirfd);
  const second = call?.newDirfd === undefined ? old : isCwd(call.newDirfd);
  const resolve = openat2?.number("resolve", 16) ?? 0;
  // Each of two that change places is told as created and as deleted.
  const both = old && second;
  return {
    cwd,
    old: isExchange ? both : old,
    new: isExchange ? both : second,
    inRoot: (resolve & RESOLVE_IN_ROOT) !== 0,
  };
}

/** −100, as an int of 32 bits and of 64. */
const AT_FDCWD = "ffffff9c";
const RESOLVE_IN_ROOT = 0x10; // <linux/openat2.h>

/**
 * The records of one audit event as one event.
 *
 * @module
 */

import type { AuditRecord, AuditRecords } from "../backends/audit/record.ts";
import { EAGAIN, ERRNO } from "../ffi/abi/errno.ts";
import { FAN_DENY } from "../ffi/abi/fanotify.ts";
import { AT_REMOVEDIR, O_TRUNC } from "../ffi/abi/open.ts";
import {
  type AuditArch,
  auditArch,
  auditArchNamed,
  syscallName,
} from "../ffi/abi/syscall_names.ts";
import { isOwnTitle, readActor, readArguments, readTitle } from "./audit_actor.ts";
import { type AuditFields, readFields, resultOf } from "./audit_fields.ts";
import { isDirectory, type Outcome, outcomeOf } from "./audit_kind.ts";
import { CREAT_FLAGS, O_TMPFILE_BIT, openFlags } from "./audit_open.ts";
import { type Call, callOf, SETFLAGS, URING_CALLS } from "./audit_operation.ts";
import {
  type AuditPath,
  type Bases,
  numberOf,
  readPath,
  type Resolve,
  resolvePaths,
  type Spelling,
  spelling,
} from "./audit_paths.ts";
import { type Actor, type Attributes, FileEvent, type WatchEvent } from "./event.ts";

/** Metadata that a call changes. */
export interface AuditMetadata {
  /** The permission bits, 0 to 0o7777. */
  mode?: number;
  uid?: number;
  gid?: number;
}

/** A record that is about neither a system call nor its paths. */
export interface AuxiliaryRecord {
  readonly type: string;
  readonly fields: AuditFields;
}

/** What an audit event tells beyond kind and path. */
export interface AuditAttributes extends Attributes {
  /** The number of the event since the machine started. */
  readonly serial: number;
  /** The machine, where a log of several tells it. */
  readonly node?: string;
  /** What the event is about: `"SYSCALL"`, `"URINGOP"`, or the name of its first record. */
  readonly type: string;
  /** What was done, or tried, whatever the call: `"chmod"` of fchmodat2(2). The call's name where it is the only one. */
  readonly operation?: string;
  /** The system call, or the operation of io_uring as one; its number where that has no name here. */
  readonly syscall?: string;
  /** As `uname -m` has it. */
  readonly arch?: string;
  readonly success?: boolean;
  /** What the call returned. */
  readonly exit?: number;
  /** Where it failed. */
  readonly failed?: { readonly operation?: string; readonly errno: number; readonly code?: string };
  /** The keys of the rules that asked for it. */
  readonly keys?: readonly string[];
  /** The call's first four arguments, hexadecimal. */
  readonly arguments?: readonly string[];
  /** Of an open: `["O_WRONLY", "O_CREAT"]`. */
  readonly flags?: readonly string[];
  /** The current directory. */
  readonly cwd?: string;
  /** The process's arguments as the PROCTITLE record has them, which may be those of what it ran before. */
  readonly title?: readonly string[];
  /** There are more arguments, in `title` or in the actor's command line. */
  readonly truncated?: true;
  readonly paths?: readonly AuditPath[];
  /** The file's name is not known: `path` is the directory that it is in, or empty. */
  readonly unresolved?: true;
  /** The file has no name (`O_TMPFILE`): `path` is the directory that it was made for. */
  readonly unnamed?: true;
  /** `modify.metadata`: what was, and what of it is now. */
  readonly before?: AuditMetadata;
  readonly after?: AuditMetadata;
  /** `rename`: the file that was at the new path. */
  readonly replaced?: AuditPath;
  /** `create.symlink`: its text. */
  readonly target?: string;
  /** What fanotify's listener answered. */
  readonly fanotify?: {
    readonly response: "allow" | "deny";
    readonly rule?: number;
    readonly subjectTrust?: boolean;
    readonly objectTrust?: boolean;
  };
  /** What an event says that is about no system call. */
  readonly fields?: AuditFields;
  /** What other records of the event say. */
  readonly auxiliary?: readonly AuxiliaryRecord[];
  /** The event's end was not seen: records may be missing. */
  readonly incomplete?: true;
}

/** What the audit system tells of one system call, or of something else that it watches. */
export interface AuditEvent extends WatchEvent {
  readonly backend: "audit";
  readonly attributes: AuditAttributes;
  readonly raw: AuditRecords;
}

/** What {@linkcode auditEvent} may know beyond the records. */
export interface AuditContext {
  /** The path of an inode on a device, decimal `"major:minor"`. Without it what was opened before is not found. */
  readonly resolve?: Resolve;
  /** This process, to tell what it did itself. */
  readonly pid?: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The records of an event by what they are for. */
interface Sorted {
  syscall: AuditRecord | undefined;
  readonly uring: AuditRecord[];
  readonly paths: AuditRecord[];
  readonly arguments: AuditRecord[];
  cwd: AuditRecord | undefined;
  title: AuditRecord | undefined;
  openat2: AuditRecord | undefined;
  fanotify: AuditRecord | undefined;
  readonly others: AuditRecord[];
}

/**
 * The event that `records` tell of. A call on files is of the kind of what it did, a failed one `access.failed`, all else
 * `other`; a kind stands only for what the records prove. Nothing is thrown, whatever they contain.
 *
 * Paths are as the process saw them: its root may be another one.
 */
export function auditEvent(records: AuditRecords, context: AuditContext = {}): AuditEvent {
  const sorted = sort(records.records);
  const main = sorted.uring[0] ?? sorted.syscall ?? records.records[0];
  const attributes: Mutable<AuditAttributes> = { serial: records.serial, type: main?.name ?? "" };
  if (records.node !== undefined) attributes.node = records.node;
  if (!records.isComplete) attributes.incomplete = true;
  const isCall = main !== undefined && (main === sorted.syscall || main === sorted.uring[0]);
  const outcome: Placed = main === undefined
    ? NOTHING
    : isCall
    ? readCall(main, sorted, attributes, context)
    : readOther(main, sorted, attributes, context);
  const others = sorted.others.filter((record) => record !== main);
  if (others.length > 0) {
    attributes.auxiliary = others.map((record) => ({
      type: record.name,
      fields: readFields(record),
    }));
  }
  if (sorted.fanotify !== undefined) attributes.fanotify = readVerdict(sorted.fanotify);
  const { kind, path, pathBytes, isDirectory, source } = outcome;
  const event = new FileEvent(kind, path, isDirectory, records.time, "audit", new Raw(records));
  if (pathBytes !== undefined) event.pathBytes = pathBytes;
  if (source?.path !== undefined) {
    event.from = source.path;
    if (source.pathBytes !== undefined) event.fromBytes = source.pathBytes;
  }
  const actor = readDoer(sorted, main, attributes, context);
  if (actor !== undefined) event.actor = actor;
  event.attributes = attributes;
  return event as FileEvent & AuditEvent;
}

class Raw {
  readonly #records: AuditRecords;
  constructor(records: AuditRecords) {
    this.#records = records;
  }
  record(): AuditRecords {
    return this.#records;
  }
}

/** An outcome, and where it is. */
interface Placed extends Outcome {
  readonly path: string;
  readonly pathBytes?: Uint8Array | undefined;
  readonly isDirectory?: boolean | undefined;
}

const NOTHING: Placed = { kind: "other", path: "" };

function sort(records: readonly AuditRecord[]): Sorted {
  const sorted: Sorted = {
    syscall: undefined,
    uring: [],
    paths: [],
    arguments: [],
    cwd: undefined,
    title: undefined,
    openat2: undefined,
    fanotify: undefined,
    others: [],
  };
  for (const record of records) {
    switch (record.name) {
      case "PATH":
        sorted.paths.push(record);
        break;
      case "SYSCALL":
        sorted.syscall ??= record;
        break;
      case "CWD":
        sorted.cwd = record;
        break;
      case "PROCTITLE":
        sorted.title = record;
        break;
      case "EXECVE":
        sorted.arguments.push(record);
        break;
      case "URINGOP":
        sorted.uring.push(record);
        break;
      case "OPENAT2":
        sorted.openat2 = record;
        break;
      case "FANOTIFY":
        sorted.fanotify = record;
        break;
      case "EOE":
        break;
      default:
        sorted.others.push(record);
    }
  }
  return sorted;
}

/** What a system call, or an operation of io_uring, did or tried to do. */
function readCall(
  main: AuditRecord,
  sorted: Sorted,
  attributes: Mutable<AuditAttributes>,
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
  const deed = {
    operation: call?.operation,
    truncates: flags !== undefined && (flags & O_TRUNC) !== 0,
    isUring,
  };
  const { success } = attributes;
  const done = success === true ? outcomeOf(deed, paths) : undefined;
  const bases = basesOf(call, args, cwd, sorted.openat2, done?.isExchange === true);
  resolvePaths(paths, bases, done?.source, resolve);

  if (done !== undefined) {
    if (call?.operation === "symlink") {
      const text = paths.find(({ nametype }) => nametype === "UNKNOWN")?.name;
      if (text !== undefined) attributes.target = text;
    }
    if (deed.operation === "open" && flags !== undefined && (flags & O_TMPFILE_BIT) !== 0) {
      attributes.unnamed = true;
      return { kind: done.kind, ...place(done.object, paths, attributes) };
    }
    tellMore(done, call, args, arch, attributes);
    const object = done.object;
    const isFile = call !== undefined || object !== undefined;
    return {
      ...done,
      ...(isFile ? place(object, paths, attributes) : NOWHERE),
      isDirectory: isDirectory(object),
    };
  }
  const isFile = call !== undefined || paths.length > 0;
  // io_uring tries without waiting first; what would have to wait is tried again elsewhere, and is another event.
  const isTried = isUring && attributes.failed?.errno === EAGAIN;
  const kind = attributes.failed !== undefined && isFile && !isTried ? "access.failed" : "other";
  if (!isFile) return NOTHING;
  const object = triedOf(call, paths);
  return { kind, ...place(object, paths, attributes), isDirectory: isDirectory(object) };
}

const NOWHERE = { path: "" };

/** What a failed call was about: what is told by name, but for a symlink's text. */
function triedOf(call: Call | undefined, paths: readonly AuditPath[]): AuditPath | undefined {
  return paths.find(({ nametype }) =>
    nametype !== "PARENT" && !(nametype === "UNKNOWN" && call?.operation === "symlink")
  );
}

/** The path of `object`; else the directory that it is in, marked so. */
function place(
  object: AuditPath | undefined,
  paths: readonly AuditPath[],
  attributes: Mutable<AuditAttributes>,
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
  call: Call | undefined,
  args: readonly string[] | undefined,
  arch: AuditArch | undefined,
  attributes: Mutable<AuditAttributes>,
): void {
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

function archOf(record: AuditRecord | undefined): AuditArch | undefined {
  const value = record?.field("arch");
  if (value === undefined) return undefined;
  return auditArch(parseInt(value, 16)) ?? auditArchNamed(value);
}

/** The call's name, or its number if it has none here. */
function nameOf(record: AuditRecord, arch: AuditArch | undefined): string | undefined {
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
  attributes: Mutable<AuditAttributes>,
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
  attributes: Mutable<AuditAttributes>,
): void {
  const success = record.field("success");
  if (success !== "yes" && success !== "no") return; // a call that the process did not return from
  attributes.success = success === "yes";
  const exit = numberOf(record.field("exit"), 10);
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
  if (openat2 !== undefined) return numberOf(openat2.field("oflag"), 8);
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
  const resolve = numberOf(openat2?.field("resolve"), 16) ?? 0;
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

/** What an event that is about no call tells. */
function readOther(
  main: AuditRecord,
  sorted: Sorted,
  attributes: Mutable<AuditAttributes>,
  { resolve }: AuditContext,
): Placed {
  const paths = sorted.paths.map(readPath);
  if (paths.length > 0) {
    attributes.paths = paths;
    const cwd = sorted.cwd && spelling(sorted.cwd, "cwd");
    resolvePaths(paths, { cwd, old: false, new: false, inRoot: false }, undefined, resolve);
  }
  if (!sorted.others.includes(main)) return NOTHING;
  const fields = readFields(main);
  attributes.fields = fields;
  const success = resultOf(fields);
  if (success !== undefined) attributes.success = success;
  const arch = archOf(main);
  if (arch !== undefined) attributes.arch = arch.name;
  const syscall = arch && nameOf(main, arch);
  if (syscall !== undefined) attributes.syscall = syscall;
  const keys = fields["key"];
  if (keys !== undefined && keys !== "(null)") attributes.keys = keys.split(KEY_SEPARATOR);
  return NOTHING;
}

const KEY_SEPARATOR = "\x01";

/** Who did it, with the call and the arguments. */
function readDoer(
  sorted: Sorted,
  main: AuditRecord | undefined,
  attributes: Mutable<AuditAttributes>,
  { pid }: AuditContext,
): Actor | undefined {
  const record = sorted.syscall ?? main;
  if (record === undefined) return undefined;
  const key = main?.string("key") ?? sorted.syscall?.string("key");
  if (key !== undefined) attributes.keys ??= key.split(KEY_SEPARATOR);
  const actor = readActor(record, pid);
  const title = sorted.title && readTitle(sorted.title);
  if (title !== undefined) {
    attributes.title = title.arguments;
    if (title.truncated) attributes.truncated = true;
  }
  if (actor === undefined) return undefined;
  const { fields, syscall } = attributes;
  if (fields !== undefined) {
    // What a user's program says of itself is in its message.
    if (actor.exe === undefined && isSaid(fields["exe"])) actor.exe = fields["exe"];
    if (actor.comm === undefined && isSaid(fields["comm"])) actor.comm = fields["comm"];
    const tty = fields["terminal"];
    if (actor.tty === undefined && isSaid(tty)) actor.tty = tty.replace(/^\/dev\//, "");
  }
  if (syscall !== undefined && main !== undefined && sorted.others.includes(main) === false) {
    actor.syscall = syscall;
  }
  const given = readArguments(sorted.arguments);
  if (given !== undefined) actor.cmdline = given;
  else if (title !== undefined && sorted.arguments.length === 0 && isOwnTitle(title, actor)) {
    actor.cmdline = title.arguments;
  }
  return actor;
}

function isSaid(value: string | undefined): value is string {
  return value !== undefined && value !== "?" && value !== "(null)" && value !== "(none)";
}

/** What fanotify's listener answered: `resp`, and since 6.3 which rule and whom it trusts. */
function readVerdict(record: AuditRecord): NonNullable<AuditAttributes["fanotify"]> {
  const response = (numberOf(record.field("resp"), 10) ?? 0) & FAN_DENY ? "deny" : "allow";
  if (record.field("fan_type") !== "1") return { response };
  const rule = numberOf(record.field("fan_info"), 16);
  const subjectTrust = trustOf(record.field("subj_trust"));
  const objectTrust = trustOf(record.field("obj_trust"));
  return {
    response,
    ...(rule === undefined ? {} : { rule }),
    ...(subjectTrust === undefined ? {} : { subjectTrust }),
    ...(objectTrust === undefined ? {} : { objectTrust }),
  };
}

/** 0: no, 1: yes, 2: unknown. */
function trustOf(text: string | undefined): boolean | undefined {
  return text === "1" ? true : text === "0" ? false : undefined;
}

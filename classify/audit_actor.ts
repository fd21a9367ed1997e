/**
 * Who did what an audit event tells.
 *
 * @module
 */

import type { AuditRecord } from "../backends/audit/record.ts";
import { decodeLatin1, latin1Of } from "./audit_text.ts";
import type { Actor } from "./event.ts";

export type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** `(uid_t) -1`: nobody has logged in, or there is no session. */
const UNSET = 0xffffffff;

/** The process of a record; undefined where it names none. `own` is this process. */
export function readActor(
  record: AuditRecord,
  own: number | undefined,
): Mutable<Actor> | undefined {
  const pid = record.number("pid", 10);
  if (pid === undefined) return undefined;
  const actor: Mutable<Actor> = { pid, self: pid === own, confidence: "exact" };
  const ppid = record.number("ppid", 10);
  if (ppid !== undefined) actor.ppid = ppid;
  const uid = idOf(record, record.field("euid") === undefined ? "uid" : "euid");
  if (uid !== undefined) actor.uid = uid;
  const gid = idOf(record, record.field("egid") === undefined ? "gid" : "egid");
  if (gid !== undefined) actor.gid = gid;
  const loginUid = idOf(record, "auid");
  if (loginUid !== undefined) actor.loginUid = loginUid;
  const session = idOf(record, "ses");
  if (session !== undefined) actor.session = session;
  const tty = record.field("tty");
  if (tty !== undefined && tty !== "(none)" && tty !== "?") actor.tty = tty;
  const comm = record.string("comm");
  if (comm !== undefined) actor.comm = comm;
  const exe = record.string("exe");
  if (exe !== undefined && exe !== "?") actor.exe = exe;
  return actor;
}

function idOf(record: AuditRecord, field: string): number | undefined {
  const id = record.number(field, 10);
  return id === UNSET || id === -1 ? undefined : id; // old kernels write the session as -1
}

/** The kernel keeps as many bytes of the arguments (MAX_PROCTITLE_AUDIT_LEN in kernel/audit.h). */
const TITLE_LENGTH = 128;

/** The arguments of a process as PROCTITLE tells them. */
export interface Title {
  readonly arguments: readonly string[];
  /** They may go on: the last one that is told is whole. */
  readonly truncated: boolean;
}

/** What a PROCTITLE record tells. An argument that may be cut off is left out. */
export function readTitle(record: AuditRecord): Title | undefined {
  const text = record.string("proctitle");
  if (text === undefined || text === "") return undefined;
  const all = text.split("\0");
  const written = record.field("proctitle")!;
  const length = written === text ? text.length : written.length / 2; // as text, or in hexadecimal
  // The NUL at the end is not told, so one byte less may be all, or all but what follows.
  if (length < TITLE_LENGTH - 1) return { arguments: all, truncated: false };
  return { arguments: length < TITLE_LENGTH ? all : all.slice(0, -1), truncated: true };
}

/**
 * Whether a title is of the program that `actor` runs. The kernel keeps the title that it has once told of a process, over
 * an execve(2), too: what a shell's child runs has the shell's (measured on 6.18).
 */
export function isOwnTitle(title: Title, { comm, exe }: Actor): boolean {
  const [program = "", script = ""] = title.arguments.map(baseName);
  const isNamed = (name: string) => name !== "" && name.slice(0, COMM_LENGTH) === comm;
  return isNamed(program) || isNamed(program.slice(1)) || isNamed(script) ||
    (exe !== undefined && program === baseName(exe));
}

const COMM_LENGTH = 15;

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/**
 * The arguments of the EXECVE records of an event, in their order: `a0="ls" a1=…`, and a long one in parts, `a2_len=…
 * a2[0]=… a2[1]=…`, over several records if need be. Undefined where one is missing.
 */
export function readArguments(records: readonly AuditRecord[]): readonly string[] | undefined {
  const count = records[0]?.number("argc", 10);
  if (count === undefined) return undefined;
  const found: string[] = [];
  const parts = new Map<number, string>();
  for (const record of records) {
    for (const [name] of record.fields()) {
      const place = placeOf(name);
      if (place === undefined) continue;
      const text = record.string(name) ?? "";
      if (!name.endsWith("]")) found[place] = text;
      // A part may end within a character.
      else parts.set(place, (parts.get(place) ?? "") + latin1(record, name, text));
    }
  }
  for (const [place, bytes] of parts) found[place] = decodeLatin1(bytes).text;
  if (found.length !== count) return undefined;
  for (let place = 0; place < count; place++) if (found[place] === undefined) return undefined;
  return found;
}

/** No kernel takes more arguments than that (MAX_ARG_STRINGS is more than memory has room for). */
const MOST_ARGUMENTS = 1 << 22;

/** The number of an argument: 2 of `a2` and of `a2[0]`, not of `a2_len`. */
function placeOf(name: string): number | undefined {
  if (name.charCodeAt(0) !== 0x61 || name.endsWith("_len")) return undefined;
  const end = name.endsWith("]") ? name.indexOf("[") : name.length;
  const place = Number(name.slice(1, end));
  return name.length > 1 && Number.isInteger(place) && place >= 0 && place < MOST_ARGUMENTS
    ? place
    : undefined;
}

function latin1(record: AuditRecord, name: string, text: string): string {
  const bytes = text.includes("\uFFFD") ? record.bytes(name) : undefined;
  return latin1Of(bytes ?? new TextEncoder().encode(text));
}

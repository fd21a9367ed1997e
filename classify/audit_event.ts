/**
 * An audit event as a consumer sees it.
 *
 * @module
 */

import type { AuditRecords } from "../backends/audit/record.ts";
import type { SocketAddress } from "./audit_address.ts";
import type { AuditFields } from "./audit_fields.ts";
import type { AuditPath, Resolve } from "./audit_paths.ts";
import type { Attributes, WatchEvent } from "./event.ts";

/** Metadata that a call changes. */
export interface AuditMetadata {
  /** The permission bits, 0 to 0o7777. */
  mode?: number;
  /** The owner. */
  uid?: number;
  /** The group. */
  gid?: number;
}

/** A record that is about neither a system call nor its paths. */
export interface AuxiliaryRecord {
  /** The record's name: `"AVC"`. */
  readonly type: string;
  /** What it says. */
  readonly fields: AuditFields;
}

/** What an audit event tells beyond kind and path. */
export interface AuditAttributes extends Attributes {
  /** The number of the event since the machine started; absent of `lost`, as is the next. */
  readonly serial?: number;
  /** The machine, where a log of several tells it. */
  readonly node?: string;
  /** What the event is about: `"SYSCALL"`, `"URINGOP"`, or the name of its first record. */
  readonly type?: string;
  /** What was done, or tried, whatever the call: `"chmod"` of fchmodat2(2). The call's name where it is the only one. */
  readonly operation?: string;
  /** The system call, or the operation of io_uring as one; its number where that has no name here. */
  readonly syscall?: string;
  /** As `uname -m` has it. */
  readonly arch?: string;
  /** Absent where it is not known: the process did not return from the call. */
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
  /** The files that the call had to do with. */
  readonly paths?: readonly AuditPath[];
  /** The file's name is not known: `path` is the directory that it is in, or empty. */
  readonly unresolved?: true;
  /** The file has no name (`O_TMPFILE`): `path` is the directory that it was made for. */
  readonly unnamed?: true;
  /** `modify.metadata` of permissions and ownership: what was. */
  readonly before?: AuditMetadata;
  /** And what of it the call set. */
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
  /** Of a call on a socket: the address that it gave, or got. */
  readonly address?: SocketAddress;
  /** What an event says that is about no system call. */
  readonly fields?: AuditFields;
  /** What other records of the event say. */
  readonly auxiliary?: readonly AuxiliaryRecord[];
  /** Records are missing, or may be: the event's end was not seen, or fewer paths than it says. */
  readonly incomplete?: true;
}

/** What the audit system tells of one system call, or of something else that it watches. */
export interface AuditEvent extends WatchEvent {
  /** Always this. */
  readonly backend: "audit";
  /** What is known beyond. */
  readonly attributes: AuditAttributes;
  /** The records; undefined of `lost`. */
  readonly raw: AuditRecords | undefined;
}

/** What {@linkcode auditEvent} may know beyond the records. */
export interface AuditContext {
  /** The path of an inode on a device, decimal `"major:minor"`. Without it what was opened before is not found. */
  readonly resolve?: Resolve;
  /** This process, to tell what it did itself. */
  readonly pid?: number;
}

/**
 * Types of records: number ↔ name.
 *
 * @module
 */

import { AUDIT_RECORD } from "../../ffi/abi/audit_types.ts";
import { nameHash } from "./fields.ts";

/** A type of record. */
export interface RecordType {
  /** 0 where it is not known. */
  readonly number: number;
  /** `"SYSCALL"`, `"UNKNOWN[1399]"`. */
  readonly name: string;
}

const PREFIX = "AUDIT_".length;

const byNumber = new Map<number, RecordType>();
const byName = new Map<string, RecordType>();
/** By {@linkcode nameHash} of the name. */
const byHash = new Map<number, RecordType[]>();

for (const [constant, number] of Object.entries(AUDIT_RECORD)) {
  // libaudit's name for AUDIT_AA (lib/msg_typetab.h).
  const name = constant === "AUDIT_AA" ? "APPARMOR" : constant.slice(PREFIX);
  const type = { number, name };
  byNumber.set(number, type);
  byName.set(name, type);
  const hash = nameHash(name, 0, name.length);
  const same = byHash.get(hash);
  if (same === undefined) byHash.set(hash, [type]);
  else same.push(type);
}

/** The type whose name is `text[start, end)`, as {@linkcode recordTypeOf} has it; a known one without a string of its own. */
export function recordTypeAt(text: string, start: number, end: number): RecordType {
  for (const type of byHash.get(nameHash(text, start, end)) ?? []) {
    if (text.startsWith(type.name, start)) return type;
  }
  return recordTypeOf(text.slice(start, end));
}

/** The type of that number, which may be one that has no name here. */
export function recordType(number: number): RecordType {
  return byNumber.get(number) ?? { number, name: `UNKNOWN[${number}]` };
}

const NUMBERED = /^(?:UNKNOWN\[)?(\d{1,5})\]?$/;

/**
 * The type that a log calls `name`: `SYSCALL`, `1300` as the kernel's own log has it, `UNKNOWN[1300]` as an auditd that
 * is older than the record. A name that is not known keeps it, with the number 0.
 */
export function recordTypeOf(name: string): RecordType {
  const known = byName.get(name);
  if (known !== undefined) return known;
  const number = NUMBERED.exec(name);
  return number === null ? { number: 0, name } : recordType(Number(number[1]));
}

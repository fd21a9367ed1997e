/**
 * The fields of audit records that are not about a system call, as a person reads them.
 *
 * @module
 */

import type { AuditRecord } from "../backends/audit/record.ts";

/** Name → value, what is encoded decoded, and what is in a user program's `msg='…'` among the others. */
export type AuditFields = Readonly<Record<string, string>>;

/** A name in a message. What is in a quoted value may look like one, and is no field of the record then. */
const NAME = /(?:^|[\s(])([^\s="'(]+)=/g;

/** The fields of `record`. What the kernel says comes before what a program says in its message. */
export function readFields(record: AuditRecord): AuditFields {
  const fields = new Map<string, string>();
  let message: string | undefined;
  for (const [name, value] of record.fields()) {
    if (name === "msg" && value.includes("=")) message ??= value;
    else if (!fields.has(name)) fields.set(name, record.string(name) ?? value);
  }
  for (const [, name] of message?.matchAll(NAME) ?? []) {
    if (fields.has(name!)) continue;
    const value = record.string(name!) ?? record.field(name!);
    if (value !== undefined) fields.set(name!, value);
  }
  return Object.fromEntries(fields);
}

/** What a record says of success: `res=` of a user's and of the kernel's. */
export function resultOf(fields: AuditFields): boolean | undefined {
  const result = fields["res"] ?? fields["result"];
  if (result === undefined) return undefined;
  if (["success", "yes", "1"].includes(result)) return true;
  return ["failed", "fail", "no", "0"].includes(result) ? false : undefined;
}

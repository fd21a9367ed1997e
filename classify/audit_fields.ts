/**
 * The fields of audit records that are not about a system call, as a person reads them.
 *
 * @module
 */

import type { AuditRecord } from "../backends/audit/record.ts";
import { decodeLatin1 } from "./audit_text.ts";

/** Name → value, what is encoded decoded, and a user program's `msg='…'` among the others. */
export type AuditFields = Readonly<Record<string, string>>;

/** Fields whose value programs choose: `"quoted"`, or in hexadecimal if it has a character that would break the record. */
const ENCODED: ReadonlySet<string> = new Set([
  "acct",
  "cgroup",
  "cmd",
  "comm",
  "cwd",
  "data",
  "device",
  "dir",
  "exe",
  "file",
  "grp",
  "info",
  "invalid_context",
  "key",
  "name",
  "new-disk",
  "new-fs",
  "new-chardev",
  "new_group",
  "old-disk",
  "old-fs",
  "old-chardev",
  "operation",
  "path",
  "proctitle",
  "profile",
  "sw",
  "vm",
  "watch",
]);

/** The fields of `record`. One that comes twice is told as it came first, unless it comes in the message. */
export function readFields(record: AuditRecord): AuditFields {
  const fields = new Map<string, string>();
  for (const [name, value] of record.fields()) {
    if (name === "msg" && value.includes("=")) continue;
    if (fields.has(name)) continue;
    fields.set(name, ENCODED.has(name) ? record.string(name) ?? value : value);
  }
  const message = record.field("msg");
  if (message?.includes("=")) readMessage(message, fields);
  return Object.fromEntries(fields);
}

/** `op=login acct="root" exe="/usr/sbin/sshd" res=success`, and words between, which tell nothing that is named. */
function readMessage(text: string, fields: Map<string, string>): void {
  let at = 0;
  while (at < text.length) {
    const end = endOf(text, " ", at);
    const equals = text.indexOf("=", at);
    if (equals < 0) return;
    if (equals > end) {
      at = end + 1;
      continue;
    }
    const name = text.slice(at, equals);
    const quote = text[equals + 1];
    const isQuoted = quote === '"' || quote === "'";
    const start = isQuoted ? equals + 2 : equals + 1;
    const stop = endOf(text, isQuoted ? quote : " ", start);
    const value = text.slice(start, stop);
    fields.set(name, !isQuoted && ENCODED.has(name) ? decoded(value) : utf8(value));
    at = stop + 1;
  }
}

function endOf(text: string, sign: string, from: number): number {
  const at = text.indexOf(sign, from);
  return at < 0 ? text.length : at;
}

function decoded(value: string): string {
  if (value.length % 2 !== 0 || !/^[0-9A-F]+$/.test(value)) return utf8(value);
  return utf8(value.replace(/../g, (hex) => String.fromCharCode(parseInt(hex, 16))));
}

/** Text is told a character a byte. */
function utf8(latin1: string): string {
  return /[\x80-\xff]/.test(latin1) ? decodeLatin1(latin1).text : latin1;
}

/** What a record says of success: `res=` of a user's and of the kernel's. */
export function resultOf(fields: AuditFields): boolean | undefined {
  const result = fields["res"] ?? fields["result"];
  if (result === undefined) return undefined;
  if (["success", "yes", "1"].includes(result)) return true;
  return ["failed", "fail", "no", "0"].includes(result) ? false : undefined;
}

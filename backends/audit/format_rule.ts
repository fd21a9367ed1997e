/**
 * A rule as auditctl(8) takes and prints it.
 *
 * @module
 */

import type { AuditField, AuditRule } from "./rules.ts";
import { keysOf } from "./rules.ts";

/** `-a always,exit -F arch=x86_64 -S 257 -F dir=/srv -F perm=wa -k changes`; system calls by their numbers. */
export function formatRule(rule: AuditRule): string {
  const words = [rule.prepend ? "-A" : "-a", `${rule.action},${rule.list}`];
  const isArch = ({ field }: AuditField) => field === "arch";
  const conditions = rule.fields.filter(({ field }) => field !== "key");
  // auditctl looks system calls up in the table of the architecture that comes before.
  for (const field of conditions.filter(isArch)) words.push("-F", formatField(field));
  if (rule.syscalls === "all") words.push("-S", "all");
  else if (rule.syscalls.length > 0) words.push("-S", rule.syscalls.join(","));
  for (const field of conditions) if (!isArch(field)) words.push("-F", formatField(field));
  for (const key of keysOf(rule)) words.push("-k", key);
  return words.join(" ");
}

function formatField({ field, operator = "=", value }: AuditField): string {
  const shown = value instanceof Uint8Array ? new TextDecoder().decode(value) : value;
  const isBits = typeof value === "number" && String(operator).startsWith("&");
  return `${field}${operator}${isBits ? `0x${value.toString(16)}` : shown}`;
}

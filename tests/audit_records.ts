/**
 * Audit records for tests: lines as auditd writes them.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { decodeLine } from "../backends/audit/decode.ts";
import type { AuditRecord, AuditRecords } from "../backends/audit/record.ts";
import { auditEvent } from "../classify/audit.ts";
import type { AuditContext, AuditEvent } from "../classify/audit_event.ts";
import { moduleFile } from "./runtime.ts";

/** The records of one event. */
export function recordsOf(lines: readonly string[], isComplete = true): AuditRecords {
  const records = lines.map((line): AuditRecord => {
    const record = decodeLine(line);
    if (record === undefined) throw new Error(`no record: ${line}`);
    return record;
  });
  const [{ node, time, serial }] = records as [AuditRecord];
  return { node, time, serial, records, isComplete };
}

/** The event of records that are written without what they have in common: `["SYSCALL arch=…", "CWD cwd=…"]`. */
export function eventOf(records: readonly string[], context?: AuditContext): AuditEvent {
  const lines = records.map((record) => {
    const end = record.indexOf(" ");
    return `type=${record.slice(0, end)} msg=audit(1700000000.123:42):${record.slice(end)}`;
  });
  return auditEvent(recordsOf(lines), context);
}

/**
 * `tests/fixtures/audit_calls.log`: what Linux 6.18 wrote of one system call each, made in `/srv/data/w` by a program that
 * does nothing else; a dir rule asked for it, or, for what fails, one for that process. There were the files `f` (0644),
 * `g` (0600), `sub/f`, the symlink `l` to `f`, and the directories `sub` and `other`. The directories of the machine have
 * other names.
 */
export function capturedCalls(): Map<string, AuditRecords> {
  const text = readFileSync(moduleFile("tests/fixtures/audit_calls.log"), "latin1");
  return new Map(
    text.split(/^# /m).slice(1).map((section) => {
      const [name, ...lines] = section.trimEnd().split("\n");
      return [name!, recordsOf(lines)];
    }),
  );
}

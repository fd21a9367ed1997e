/**
 * The records of an audit event by what they are for.
 *
 * @module
 */

import type { AuditRecord } from "../backends/audit/record.ts";

/** The records of an event by what they are for. */
export interface SortedRecords {
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

/** `records` by what they are for. */
export function sortRecords(records: readonly AuditRecord[]): SortedRecords {
  const sorted: SortedRecords = {
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

/**
 * System calls by number and by name, of each architecture of audit whose table is known here.
 *
 * @module
 */

import type { AuditArch } from "./audit_arches.ts";
import { SYSCALL_PARTS, SYSCALL_TABLES } from "./syscall_table.ts";

/** x32's calls are x86-64's with this bit, but for those from 512 on (`__X32_SYSCALL_BIT` of `<asm/unistd.h>`). */
const X32_SYSCALL_BIT = 0x40000000;

const tables = new Map<string, readonly (string | undefined)[]>();

/** Number → name, made when it is first asked for. */
function tableOf(name: string): readonly (string | undefined)[] {
  let table = tables.get(name);
  if (table === undefined) {
    const made: (string | undefined)[] = [];
    for (const part of SYSCALL_TABLES[name]!) {
      let number = 0;
      for (const word of SYSCALL_PARTS[part]!.trim().split(/\s+/)) {
        if (word.charCodeAt(0) <= NINE) number = Number(word);
        else made[number++] = word;
      }
    }
    tables.set(name, table = made);
  }
  return table;
}

const NINE = 0x39;

/** The name of a call; undefined for a number, or an architecture, that this version does not know. */
export function syscallName(arch: AuditArch | undefined, number: number): string | undefined {
  if (arch?.table === undefined) return undefined;
  if (arch.table === "x86_64" && (number & X32_SYSCALL_BIT) !== 0 && number > 0) {
    return tableOf("x32")[number & ~X32_SYSCALL_BIT];
  }
  return tableOf(arch.table)[number];
}

/** The number of a call; undefined where the architecture has none of that name. */
export function syscallNumber(arch: AuditArch, name: string): number | undefined {
  if (arch.table === undefined) return undefined;
  const number = tableOf(arch.table).indexOf(name);
  return number < 0 ? undefined : number;
}

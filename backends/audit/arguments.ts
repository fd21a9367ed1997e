/**
 * The arguments of programs in audit records.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { AUDIT_RECORD } from "../../ffi/abi/audit_types.ts";
import { decodeText, encodeText } from "../../ffi/text.ts";
import type { AuditRecord } from "./record.ts";

/** The arguments that a process had when it made the system call; of them the kernel tells 128 bytes. */
export function processTitle(record: AuditRecord): string[] | undefined {
  const title = record.string("proctitle");
  if (title === undefined) return undefined;
  // The last one has its NUL where it is not cut.
  return (title.endsWith("\0") ? title.slice(0, -1) : title).split("\0");
}

/** What EXECVE records tell. */
export interface ExecArguments {
  /** From the first on, as far as none is missing. */
  readonly arguments: readonly string[];
  /** Whether these are all that the program was given. */
  readonly isComplete: boolean;
}

/** `a1` and `a1[0]`: an argument, or a piece of one. */
const ARGUMENT = /^a(\d+)(?:\[\d+\])?$/;

/**
 * The arguments that a program was started with, from all EXECVE records of an event: the kernel writes 7500 bytes a
 * record, and cuts a longer argument in pieces (`a1_len=9000 a1[0]=… a1[1]=…`). undefined where there is no such
 * record.
 */
export function execArguments(records: Iterable<AuditRecord>): ExecArguments | undefined {
  let count: number | undefined;
  const pieces = new Map<number, Uint8Array[]>();
  const lengths = new Map<number, number>();
  for (const record of records) {
    if (record.type !== AUDIT_RECORD.AUDIT_EXECVE) continue;
    count ??= Number(record.field("argc") ?? Infinity);
    for (const [name] of record.fields()) {
      const match = ARGUMENT.exec(name);
      if (match === null) continue;
      const index = Number(match[1]);
      const piece = record.bytes(name) ?? encodeText(record.string(name) ?? "");
      const before = pieces.get(index);
      if (before === undefined) pieces.set(index, [piece]);
      else before.push(piece);
      const length = record.field(`a${index}_len`);
      if (length !== undefined) lengths.set(index, Number(length));
    }
  }
  if (count === undefined) return undefined;
  const words: string[] = [];
  let isWhole = true;
  for (let index = 0; pieces.has(index); index++) {
    const bytes = Buffer.concat(pieces.get(index)!);
    isWhole &&= bytes.length >= (lengths.get(index) ?? 0);
    words.push(decodeText(bytes));
  }
  return { arguments: words, isComplete: isWhole && words.length === count };
}

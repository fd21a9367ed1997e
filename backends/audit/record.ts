/**
 * A record of the kernel's audit system, and the records of one event.
 *
 * @module
 */

import { AUDIT_RECORD } from "../../ffi/abi/audit_types.ts";
import { latin1Bytes } from "../../ffi/text.ts";
import { bytesUnlessUtf8, encodedBytes, encodedText, isEncoded, textAt } from "./encoding.ts";
import {
  addFields,
  type FieldOffsets,
  findField,
  integerAt,
  NAME,
  NAME_END,
  STRIDE,
  VALUE,
  VALUE_END,
} from "./fields.ts";
import type { RecordType } from "./record_types.ts";

/** One audit record. Its fields are looked for when they are asked for. */
export interface AuditRecord {
  /** 1300; 0 where a log names no type, or one that has no number here. */
  readonly type: number;
  /** `"SYSCALL"`; `"UNKNOWN[1399]"` for a number without a name. */
  readonly name: string;
  /** The machine, where a log of several tells it (`node=`). */
  readonly node: string | undefined;
  /** ms since the epoch: when the system call began, in steps of the kernel's tick. */
  readonly time: number;
  /** The number of the event: 32 bits wide, and begun anew with each boot. */
  readonly serial: number;
  /** What follows `audit(…): `, without what auditd added; each byte is the character of that number. */
  readonly text: string;
  /** What auditd's `log_format = ENRICHED` added behind the byte 0x1D. */
  readonly enriched: string | undefined;
  /**
   * The value of a field as it is written, without quotes: `(null)` and `?` as they stand. Of a user program's record
   * the kernel's fields come first, then those in `msg='…'`, where the program chose the names, too.
   */
  field(name: string): string | undefined;
  /** A field as `parseInt` reads it; undefined where that gives no number, and for an absent one. */
  number(name: string, radix: number): number | undefined;
  /**
   * An encoded field, which is `"quoted"` or HEX, as text (UTF-8, U+FFFD); undefined for `(null)` and an absent one.
   */
  string(name: string): string | undefined;
  /** The bytes of {@linkcode string}, where they are not valid UTF-8. */
  bytes(name: string): Uint8Array | undefined;
  /** All fields in order, as {@linkcode field} gives them; a user program's `msg='…'` is one value. */
  fields(): Iterable<readonly [name: string, value: string]>;
}

/** The records of one event, in the order of arrival. */
export interface AuditRecords {
  /** The machine, where a log of several tells it. */
  readonly node: string | undefined;
  /** ms since the epoch. */
  readonly time: number;
  /** The number of the event. */
  readonly serial: number;
  /** All of them but EOE. */
  readonly records: readonly AuditRecord[];
  /** False where the end of the event was not seen: it timed out, or too many were under way. */
  readonly isComplete: boolean;
}

const QUOTE = 0x22;

/** The one implementation of {@linkcode AuditRecord}. */
export class TextRecord implements AuditRecord {
  readonly type: number;
  readonly name: string;
  readonly node: string | undefined;
  readonly time: number;
  readonly serial: number;
  readonly enriched: string | undefined;
  /** The text is `#line[#start, #end)`. */
  readonly #line: string;
  readonly #start: number;
  readonly #end: number;

  constructor(
    type: RecordType,
    node: string | undefined,
    time: number,
    serial: number,
    line: string,
    start: number,
    end: number,
    enriched: string | undefined,
  ) {
    this.type = type.number;
    this.name = type.name;
    this.node = node;
    this.time = time;
    this.serial = serial;
    this.#line = line;
    this.#start = start;
    this.#end = end;
    this.enriched = enriched;
  }

  get text(): string {
    return this.#line.slice(this.#start, this.#end);
  }

  field(name: string): string | undefined {
    const at = this.#find(name);
    return at < 0 ? undefined : this.#value(at);
  }

  number(name: string, radix: number): number | undefined {
    const at = this.#find(name);
    return at < 0
      ? undefined
      : integerAt(this.#line, fields[at + VALUE]!, fields[at + VALUE_END]!, radix);
  }

  string(name: string): string | undefined {
    const at = this.#find(name);
    if (at < 0) return undefined;
    return this.#isText(at, name)
      ? textAt(this.#line, fields[at + VALUE]!, fields[at + VALUE_END]!)
      : encodedText(this.#value(at));
  }

  bytes(name: string): Uint8Array | undefined {
    const at = this.#find(name);
    if (at < 0) return undefined;
    const value = this.#value(at);
    const bytes = this.#isText(at, name) ? latin1Bytes(value) : encodedBytes(value);
    return bytes === undefined ? undefined : bytesUnlessUtf8(bytes);
  }

  fields(): Iterable<readonly [name: string, value: string]> {
    const all: [name: string, value: string][] = [];
    if (scanned !== this) this.#scan();
    for (let at = 0; at < outer; at += STRIDE) {
      all.push([this.#line.slice(fields[at + NAME], fields[at + NAME_END]), this.#value(at)]);
    }
    return all;
  }

  #find(name: string): number {
    if (scanned !== this) this.#scan();
    return findField(this.#line, fields, count, name);
  }

  #scan(): void {
    const text = this.#line;
    scanned = this;
    count = outer = addFields(text, this.#start, this.#end, fields, 0);
    const message = findField(text, fields, count, "msg");
    if (message < 0) return;
    count = addFields(text, fields[message + VALUE]!, fields[message + VALUE_END]!, fields, count);
  }

  #value(at: number): string {
    return this.#line.slice(fields[at + VALUE], fields[at + VALUE_END]);
  }

  /** Whether the value is text as it stands. */
  #isText(at: number, name: string): boolean {
    return this.#line.charCodeAt(fields[at + VALUE]! - 1) === QUOTE ||
      !(isEncoded(name) || this.type === AUDIT_RECORD.AUDIT_EXECVE && ARGUMENT.test(name));
  }
}

/** Of this record, of which a field was asked last, it is known where they are: for each it would be more than its text. */
let scanned: TextRecord | undefined;
/** Those in `msg='…'` are behind the others. */
const fields: FieldOffsets = [];
/** How many of the offsets are the record's. */
let count = 0;
/** How many of those are not of fields in `msg='…'`. */
let outer = 0;

/** A field of EXECVE that is an argument, or a piece of one. */
const ARGUMENT = /^a\d+(\[\d+\])?$/;

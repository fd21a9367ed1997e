/**
 * A record of the kernel's audit system, and the records of one event.
 *
 * @module
 */

import { AUDIT_RECORD } from "../../ffi/abi/audit_types.ts";
import { decodeText, latin1Bytes } from "../../ffi/text.ts";
import { bytesUnlessUtf8, encodedBytes, isEncoded, textOf } from "./encoding.ts";
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
  /** Where the fields are, once one was asked for; those in `msg='…'` behind the others. */
  #fields: FieldOffsets | undefined = undefined;
  /** How many of the offsets are not of fields in `msg='…'`. */
  #outer = 0;

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
    const at = findField(this.#line, this.#fields ?? this.#scan(), name);
    return at < 0 ? undefined : this.#value(at);
  }

  number(name: string, radix: number): number | undefined {
    const fields = this.#fields ?? this.#scan();
    const at = findField(this.#line, fields, name);
    return at < 0
      ? undefined
      : integerAt(this.#line, fields[at + VALUE]!, fields[at + VALUE_END]!, radix);
  }

  string(name: string): string | undefined {
    const at = findField(this.#line, this.#fields ?? this.#scan(), name);
    if (at < 0) return undefined;
    const value = this.#value(at);
    if (this.#isText(at, name)) return textOf(value);
    const bytes = encodedBytes(value);
    return bytes === undefined ? undefined : decodeText(bytes);
  }

  bytes(name: string): Uint8Array | undefined {
    const at = findField(this.#line, this.#fields ?? this.#scan(), name);
    if (at < 0) return undefined;
    const value = this.#value(at);
    const bytes = this.#isText(at, name) ? latin1Bytes(value) : encodedBytes(value);
    return bytes === undefined ? undefined : bytesUnlessUtf8(bytes);
  }

  *fields(): Iterable<readonly [name: string, value: string]> {
    const fields = this.#fields ?? this.#scan();
    for (let at = 0; at < this.#outer; at += STRIDE) {
      yield [this.#line.slice(fields[at + NAME], fields[at + NAME_END]), this.#value(at)];
    }
  }

  #scan(): FieldOffsets {
    const text = this.#line;
    let count = addFields(text, this.#start, this.#end, scratch, 0);
    this.#outer = count;
    const fields = scratch.slice(0, count);
    const message = findField(text, fields, "msg");
    if (message < 0) return this.#fields = fields;
    count = addFields(text, fields[message + VALUE]!, fields[message + VALUE_END]!, scratch, count);
    return this.#fields = scratch.slice(0, count);
  }

  #value(at: number): string {
    return this.#line.slice(this.#fields![at + VALUE], this.#fields![at + VALUE_END]);
  }

  /** Whether the value is text as it stands. */
  #isText(at: number, name: string): boolean {
    return this.#line.charCodeAt(this.#fields![at + VALUE]! - 1) === QUOTE ||
      !(isEncoded(name) || this.type === AUDIT_RECORD.AUDIT_EXECVE && ARGUMENT.test(name));
  }
}

/** Where records are scanned: lists that grow with each record took a fifth of the time, in garbage (measured in V8). */
const scratch: FieldOffsets = [];

/** A field of EXECVE that is an argument, or a piece of one. */
const ARGUMENT = /^a\d+(\[\d+\])?$/;

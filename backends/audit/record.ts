/**
 * A record of the kernel's audit system, and the records of one event.
 *
 * @module
 */

/** One audit record. Its fields are looked for when they are asked for. */
export interface AuditRecord {
  /** 1300; 0 where a log names a type that has no number here. */
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
  /** The value of a field as it is written, without quotes: `(null)` and `?` as they stand. */
  field(name: string): string | undefined;
  /** An encoded field, which is `"quoted"` or HEX, as text (UTF-8, U+FFFD); undefined for `(null)` and an absent one. */
  string(name: string): string | undefined;
  /** The bytes of {@linkcode string}, where they are not valid UTF-8. */
  bytes(name: string): Uint8Array | undefined;
  /** All fields in order, as {@linkcode field} gives them; a user program's `msg='…'` is one value. */
  fields(): Iterable<readonly [name: string, value: string]>;
}

/** The records of one event, in the order of arrival. */
export interface AuditRecords {
  readonly node: string | undefined;
  readonly time: number;
  readonly serial: number;
  readonly records: readonly AuditRecord[];
  /** False where the end of the event was not seen: it timed out, or too many were under way. */
  readonly isComplete: boolean;
}

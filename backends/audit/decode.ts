/**
 * Audit records from the kernel's messages and from lines of logs; pure.
 *
 * @module
 */

import { AUDIT_INTERP_SEPARATOR } from "../../ffi/abi/audit_types.ts";
import { latin1Text } from "../../ffi/text.ts";
import { TextRecord } from "./record.ts";
import { type RecordType, recordType, recordTypeAt, recordTypeOf } from "./record_types.ts";

const HEADER = "audit(";
const ENRICHED = String.fromCharCode(AUDIT_INTERP_SEPARATOR);

const [NUL, LF, CR, SPACE, DOT] = [0x00, 0x0a, 0x0d, 0x20, 0x2e] as const;
const [ZERO, NINE, COLON, CLOSE] = [0x30, 0x39, 0x3a, 0x29] as const;

/**
 * A record of that type, from a netlink message's payload; undefined where that is no text with a time and a serial.
 */
export function decodeMessage(
  type: number,
  payload: Uint8Array<ArrayBuffer>,
): TextRecord | undefined {
  const text = latin1Text(payload, payload.length);
  return text.startsWith(HEADER)
    ? recordAt(text, HEADER.length, text.length, recordType(type), undefined)
    : undefined;
}

/**
 * The record of a line of a log, `text[start, end)` without the newline; undefined where the line has none. Lines are as auditd writes
 * them (`node=host type=SYSCALL msg=audit(…): …`), or the kernel where no daemon listens
 * (`audit: type=1300 audit(…): …`), with whatever syslog put in front.
 */
export function decodeLine(
  text: string,
  start: number = 0,
  end: number = text.length,
): TextRecord | undefined {
  // Nearly all begin so; the rest of this function is for the others.
  if (text.startsWith("type=", start)) {
    const type = start + 5;
    const space = text.indexOf(" ", type);
    if (space > 0 && space < end && text.startsWith("msg=audit(", space + 1)) {
      return recordAt(text, space + 11, end, recordTypeAt(text, type, space), undefined);
    }
  }
  const line = text.slice(start, end);
  for (let at = line.indexOf(HEADER); at >= 0; at = line.indexOf(HEADER, at + 1)) {
    const stamp = at + HEADER.length;
    if (recordAt(line, stamp, line.length, UNTYPED, undefined) === undefined) continue;
    const front = line.slice(0, at);
    const type = front.lastIndexOf("type=");
    return recordAt(
      line,
      stamp,
      line.length,
      type < 0 ? UNTYPED : recordTypeOf(wordAt(front, type + 5)),
      nodeOf(type < 0 ? front : front.slice(0, type)),
    );
  }
  return undefined;
}

/** Kernels before 2.6.17 did not tell their log what type it is. */
const UNTYPED: RecordType = { number: 0, name: "" };

function nodeOf(front: string): string | undefined {
  const at = front.lastIndexOf("node=");
  return at === 0 || at > 0 && front.charCodeAt(at - 1) === SPACE
    ? wordAt(front, at + 5)
    : undefined;
}

function wordAt(text: string, start: number): string {
  const end = text.indexOf(" ", start);
  return text.slice(start, end < 0 ? text.length : end);
}

/** The record that ends at `end`, and whose time begins at `start`: `1700000000.123:456): …`. */
function recordAt(
  line: string,
  start: number,
  end: number,
  type: RecordType,
  node: string | undefined,
): TextRecord | undefined {
  let at = start;
  let seconds = 0;
  let code = line.charCodeAt(at);
  for (; code >= ZERO && code <= NINE; code = line.charCodeAt(++at)) {
    seconds = seconds * 10 + code - ZERO;
  }
  const point = at;
  if (code !== DOT || point === start || point - start > SECONDS_DIGITS) return undefined;
  let milliseconds = 0;
  code = line.charCodeAt(++at);
  for (; code >= ZERO && code <= NINE; code = line.charCodeAt(++at)) {
    milliseconds = milliseconds * 10 + code - ZERO;
  }
  const colon = at;
  if (code !== COLON || colon - point - 1 !== 3) return undefined;
  let serial = 0;
  code = line.charCodeAt(++at);
  for (; code >= ZERO && code <= NINE; code = line.charCodeAt(++at)) {
    serial = serial * 10 + code - ZERO;
  }
  if (code !== CLOSE || at === colon + 1 || serial > 0xffffffff) return undefined;
  at++;
  if (line.charCodeAt(at) === COLON) at++;
  if (line.charCodeAt(at) === SPACE) at++;
  while (end > at && isPadding(line.charCodeAt(end - 1))) end--;
  const length = line.slice(at, end).indexOf(ENRICHED);
  const isEnriched = length >= 0;
  return new TextRecord(
    type,
    node,
    seconds * 1000 + milliseconds,
    serial,
    line,
    at,
    isEnriched ? at + length : end,
    isEnriched ? line.slice(at + length + 1, end) : undefined,
  );
}

/** As far as a time in ms is exact, and a `Date` goes. */
const SECONDS_DIGITS = 12;

function isPadding(code: number): boolean {
  return code === NUL || code === LF || code === CR;
}

/**
 * Names as text that neither drives a terminal nor forges a line.
 *
 * What is escaped: control characters (C0, DEL, C1), U+2028 and U+2029, the characters that turn the direction of text,
 * and the backslash, so that an escape is never a name's own. `\xNN` is a byte (a control character, or one that is no
 * UTF-8), `\uNNNN` a character.
 *
 * @module
 */

import { Buffer } from "node:buffer";

const CONTROL = "\\p{Cc}\\u2028\\u2029\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069";
const UNSAFE = new RegExp(`[\\\\${CONTROL}]`, "gu");
const UNSAFE_IN_JSON = new RegExp(`[${CONTROL}]`, "gu");

const SHORT: Readonly<Record<string, string>> = {
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

/** `text` as one safe line. */
export function escapeText(text: string): string {
  return text.replace(UNSAFE, (char) => SHORT[char] ?? byCode(char));
}

function byCode(char: string): string {
  const code = char.charCodeAt(0);
  return code < 0x80 ? byteEscape(code) : unicodeEscape(char);
}

function byteEscape(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}

function unicodeEscape(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** {@linkcode escapeText} for bytes that are not all UTF-8. */
export function escapeBytes(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes[at]!);
    try {
      text += escapeText(decoder.decode(bytes.subarray(at, at + length)));
      at += length;
    } catch {
      text += byteEscape(bytes[at]!);
      at++;
    }
  }
  return text;
}

/** The length of the UTF-8 sequence that a byte begins, 1 for one that begins none. */
function sequenceLength(lead: number): number {
  if (lead < 0xc0) return 1;
  if (lead < 0xe0) return 2;
  return lead < 0xf0 ? 3 : 4;
}

/** `value` as JSON on one line: what `JSON.stringify` leaves as it is, but a terminal does not, is escaped as well. */
export function safeJson(value: unknown): string {
  return JSON.stringify(value, replacer).replace(UNSAFE_IN_JSON, unicodeEscape);
}

/** Numbers beyond 2^53 as text, bytes in base64. */
function replacer(_name: string, field: unknown): unknown {
  if (typeof field === "bigint") return String(field);
  return field instanceof Uint8Array ? Buffer.from(field).toString("base64") : field;
}

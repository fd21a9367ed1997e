/**
 * C strings and file names: bytes first, text where they are text.
 *
 * @module
 */

import { Buffer } from "node:buffer";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** `path` as a NUL-terminated C string. Throws `TypeError` for a path with a NUL inside, which C would cut there. */
export function cString(path: string | Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = typeof path === "string" ? encoder.encode(path) : path;
  if (bytes.includes(0)) {
    throw new TypeError(`Cannot use ${JSON.stringify(String(path))} as a path: it contains NUL`);
  }
  const result = new Uint8Array(bytes.length + 1);
  result.set(bytes);
  return result;
}

/** UTF-8 with U+FFFD for what is none. */
export function decodeText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** The bytes of a text. */
export function encodeText(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

/**
 * The text of `bytes[start, end)`. `Buffer`'s slice is the fastest way to a short string in both runtimes (measured:
 * 45 ns for 15 bytes; `TextDecoder` 110 to 170 ns).
 */
export function sliceText(bytes: Buffer, start: number, end: number): string {
  return bytes.toString("utf8", start, end);
}

/** A copy of `bytes[start, end)` where `text`, their decoded form, does not encode back to them; else undefined. */
export function bytesUnlessText(
  bytes: Uint8Array,
  start: number,
  end: number,
  text: string,
): Uint8Array<ArrayBuffer> | undefined {
  if (!text.includes("\uFFFD")) return undefined;
  const copy = bytes.slice(start, end) as Uint8Array<ArrayBuffer>;
  return Buffer.compare(encoder.encode(text), copy) === 0 ? undefined : copy;
}

/**
 * How strings are written in audit records. What a program chose is not trusted: the kernel (audit_log_untrustedstring)
 * and libaudit write it in double quotes where each byte is in 0x21 to 0x7e and no quote, else as bare upper-case hex.
 *
 * @module
 */

import { bytesUnlessText, decodeText, latin1Bytes, sliceable, sliceText } from "../../ffi/text.ts";

/** Fields that are written so, beside the arguments of EXECVE. Others may look like hex, and are not: `ino=12`. */
const ENCODED: ReadonlySet<string> = new Set([
  "acct",
  "cgroup",
  "cmd",
  "comm",
  "cwd",
  "data",
  "device",
  "dir",
  "exe",
  "file",
  "grp",
  "info",
  "invalid_context",
  "key",
  "name",
  "namespace",
  "new-chardev",
  "new-disk",
  "new-fs",
  "new-net",
  "new-rng",
  "new_group",
  "ocomm",
  "old-chardev",
  "old-disk",
  "old-fs",
  "old-net",
  "old-rng",
  "path",
  "proctitle",
  "profile",
  "root_dir",
  "srcname",
  "sw",
  "target",
  "vm",
  "watch",
]);

/** Whether a field's bare value may be hex. */
export function isEncoded(name: string): boolean {
  return ENCODED.has(name);
}

/** The bytes that `text` is the hex of, in upper case as it is always written; undefined where it is none. */
function hexBytes(text: string): Uint8Array<ArrayBuffer> | undefined {
  const bytes = new Uint8Array(text.length >> 1);
  return writeHex(text, bytes) ? bytes : undefined;
}

/** Writes the bytes that `text` is the hex of; false where it is none. */
function writeHex(text: string, bytes: Uint8Array): boolean {
  const length = text.length;
  if (length === 0 || length % 2 !== 0) return false;
  for (let at = 0; at < length; at += 2) {
    const high = digit(text.charCodeAt(at));
    const low = digit(text.charCodeAt(at + 1));
    if (high < 0 || low < 0) return false;
    bytes[at / 2] = high << 4 | low;
  }
  return true;
}

function digit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  return code >= 0x41 && code <= 0x46 ? code - 0x37 : -1;
}

/** UTF-8 in the bytes that `latin1[start, end)` stands for, with U+FFFD for what is none. */
export function textAt(latin1: string, start: number, end: number): string {
  const text = latin1.slice(start, end);
  for (let at = start; at < end; at++) {
    if (latin1.charCodeAt(at) >= 0x80) return decodeText(latin1Bytes(text));
  }
  return text;
}

/** The text of {@linkcode encodedBytes}. */
export function encodedText(value: string): string | undefined {
  const length = value.length / 2;
  if (length <= short.length && writeHex(value, short)) return sliceText(short, 0, length);
  const bytes = encodedBytes(value);
  return bytes && decodeText(bytes);
}

/** Room for a title, of which the kernel tells 128 bytes, and for most names. */
const short = sliceable(new ArrayBuffer(256));

/** The bytes of a bare value of an encoded field; undefined for `(null)`. What is no hex stands as it is: `?`. */
export function encodedBytes(value: string): Uint8Array<ArrayBuffer> | undefined {
  return value === "(null)" ? undefined : hexBytes(value) ?? latin1Bytes(value);
}

/** The bytes where they are not valid UTF-8, else undefined. */
export function bytesUnlessUtf8(bytes: Uint8Array): Uint8Array | undefined {
  return bytesUnlessText(bytes, 0, bytes.length, decodeText(bytes));
}

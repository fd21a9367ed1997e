/**
 * Text of audit records that is not valid UTF-8: handled a character a byte.
 *
 * @module
 */

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** `bytes`, each as the character of that number. */
export function latin1Of(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at++) text += String.fromCharCode(bytes[at]!);
  return text;
}

/** UTF-8 with U+FFFD for what is none. */
export function decodeBytes(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** The bytes that `hex` is of, in upper case as the kernel writes it; undefined where it is none. */
export function bytesOfHex(hex: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^(?:[0-9A-F]{2})+$/.test(hex)) return undefined;
  return Uint8Array.from(hex.match(/../g)!, (digits) => parseInt(digits, 16));
}

/** The text of what {@linkcode latin1Of} made, and the bytes where it is not valid UTF-8. */
export function decodeLatin1(latin1: string): { text: string; bytes: Uint8Array | undefined } {
  const bytes = Uint8Array.from(latin1, (char) => char.charCodeAt(0));
  try {
    return { text: strict.decode(bytes), bytes: undefined };
  } catch {
    return { text: decodeBytes(bytes), bytes };
  }
}

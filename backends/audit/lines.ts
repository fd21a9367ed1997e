/**
 * Lines from chunks of bytes that are cut anywhere; pure.
 *
 * @module
 */

import { latin1Text } from "../../ffi/text.ts";

/** auditd writes up to 8970 bytes; what is longer by far is no text. */
const LONGEST = 1 << 20;

/** Takes a line, `text[start, end)`: most are not worth strings of their own, which took a fifth of reading a log. */
export type TakeLine = (text: string, start: number, end: number) => void;

/** Splits bytes into lines, in which each byte is the character of that number. */
export class LineSplitter {
  #rest = "";

  /** Gives out the lines that end in this chunk. */
  push(chunk: Uint8Array<ArrayBuffer>, take: TakeLine): void {
    const text = latin1Text(chunk, chunk.length);
    let start = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
      if (this.#rest === "") take(text, start, end);
      else {
        this.#rest += text.slice(start, end);
        this.end(take);
      }
      start = end + 1;
    }
    this.#rest += text.slice(start);
    if (this.#rest.length > LONGEST) this.end(take);
  }

  /** Gives out the last line, where no newline ends it. */
  end(take: TakeLine): void {
    const rest = this.#rest;
    this.#rest = "";
    if (rest !== "") take(rest, 0, rest.length);
  }
}

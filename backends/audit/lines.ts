/**
 * Lines from chunks of bytes that are cut anywhere; pure.
 *
 * @module
 */

import { latin1Text } from "../../ffi/text.ts";

/** auditd writes up to 8970 bytes; what is longer by far is no text. */
const LONGEST = 1 << 20;

/** Splits bytes into lines, in which each byte is the character of that number. */
export class LineSplitter {
  #rest = "";

  /** The lines that end in this chunk. */
  push(chunk: Uint8Array<ArrayBuffer>): string[] {
    const lines = latin1Text(chunk, chunk.length).split("\n");
    lines[0] = this.#rest + lines[0]!;
    this.#rest = lines.pop()!;
    if (this.#rest.length > LONGEST) {
      lines.push(this.#rest);
      this.#rest = "";
    }
    return lines;
  }

  /** The last line, where no newline ends it. */
  end(): string[] {
    const rest = this.#rest;
    this.#rest = "";
    return rest === "" ? [] : [rest];
  }
}

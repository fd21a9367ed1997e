/**
 * The stream that auditd's dispatcher sends to its plugins' standard input and its unix socket, and any other stream
 * of lines of audit logs; pure.
 *
 * With `format = string` it has lines, with `format = binary` frames of a header and a text. Behind the text of a frame
 * the dispatcher sends what else was in its buffer: each frame is as long as the longest (audit 3.0.9,
 * audispd-builtins.c:send_af_unix_binary). Other writers do not; what follows the first text tells which one it is.
 *
 * @module
 */

import {
  AUDISP_PROTOCOL_VER,
  AUDISP_PROTOCOL_VER2,
  dispatcher_header,
  MAX_AUDIT_MESSAGE_LENGTH,
} from "../../ffi/abi/audisp.ts";
import { latin1Text } from "../../ffi/text.ts";
import { decodeLine, decodeMessage } from "./decode.ts";
import { LineSplitter, type TakeLine } from "./lines.ts";
import type { AuditRecord } from "./record.ts";

/** A record, or the text that is none. */
export type Decoded = AuditRecord | string;

/** Records from chunks of bytes that are cut anywhere. */
export class DispatchStream {
  #lines: LineSplitter | undefined;
  #frames: FrameSplitter | undefined;
  /** What came before it was known which of them it is. */
  #first = new Uint8Array(0);
  #rejected = 0;

  /** How many lines and frames were no records. */
  get rejected(): number {
    return this.#rejected;
  }

  /** What is whole with this chunk. */
  push(chunk: Uint8Array<ArrayBuffer>): Decoded[] {
    if (this.#lines === undefined && this.#frames === undefined) {
      this.#first = joined(this.#first, chunk.slice());
      if (this.#first.length < 4) return [];
      chunk = this.#first;
      this.#first = new Uint8Array(0);
      // A line begins with letters, a frame with the version.
      if (isVersion(new DataView(chunk.buffer, chunk.byteOffset).getUint32(0, true))) {
        this.#frames = new FrameSplitter();
      } else this.#lines = new LineSplitter();
    }
    return this.#lines === undefined
      ? this.#frames!.push(chunk).map((frame) => this.#frame(frame))
      : this.#decode((take) => this.#lines!.push(chunk, take));
  }

  /** What is left at the end of the stream. */
  end(): Decoded[] {
    if (this.#frames !== undefined) return this.#frames.end().map((frame) => this.#frame(frame));
    const lines = this.#lines ?? new LineSplitter();
    return this.#decode((take) => {
      lines.push(this.#first, take);
      lines.end(take);
    });
  }

  #decode(split: (take: TakeLine) => void): Decoded[] {
    const decoded: Decoded[] = [];
    split((text, start, end) => {
      if (start === end || end - start === 1 && text[start] === "\r") return;
      const record = decodeLine(text, start, end);
      if (record === undefined) this.#rejected++;
      decoded.push(record ?? text.slice(start, end));
    });
    return decoded;
  }

  #frame({ version, type, data }: Frame): Decoded {
    const record = version === AUDISP_PROTOCOL_VER
      ? decodeMessage(type, data)
      : version === AUDISP_PROTOCOL_VER2
      ? decodeLine(latin1Text(data, data.length))
      : undefined;
    if (record === undefined) this.#rejected++;
    return record ?? latin1Text(data, data.length);
  }
}

/** A text with what its header says; version -1 for bytes that have no header. */
interface Frame {
  readonly version: number;
  readonly type: number;
  readonly data: Uint8Array<ArrayBuffer>;
}

class FrameSplitter {
  #rest = new Uint8Array(0);
  /** Whether each frame is as long as the longest; undefined until the second. */
  #isPadded: boolean | undefined;
  /** Whether the frame at the beginning of the rest was given out. */
  #isGiven = false;

  push(chunk: Uint8Array<ArrayBuffer>): Frame[] {
    const bytes = joined(this.#rest, chunk);
    const frames: Frame[] = [];
    let at = 0;
    for (;;) {
      const header = headerAt(bytes, at);
      if (header === undefined) break; // not yet all of it
      if (header === null) {
        // Lost: on to where a header begins again.
        let next = at + 1;
        while (headerAt(bytes, next) === null) next++;
        frames.push({ version: -1, type: 0, data: bytes.slice(at, next) });
        at = next;
        continue;
      }
      const start = at + dispatcher_header.size;
      const end = start + header.length;
      if (bytes.length < end) break;
      if (!this.#isGiven) {
        frames.push({ ...header, data: bytes.slice(start, end) });
        this.#isGiven = true;
      }
      if (this.#isPadded === undefined) {
        const next = headerAt(bytes, end);
        if (next === undefined) break;
        this.#isPadded = next === null;
      }
      const next = this.#isPadded ? start + MAX_AUDIT_MESSAGE_LENGTH : end;
      if (bytes.length < next) break;
      at = next;
      this.#isGiven = false;
    }
    this.#rest = bytes.slice(at);
    return frames;
  }

  /** What is no whole frame. */
  end(): Frame[] {
    const rest = this.#rest;
    this.#rest = new Uint8Array(0);
    return rest.length === 0 || this.#isGiven ? [] : [{ version: -1, type: 0, data: rest }];
  }
}

/** The header there; null where there is none, undefined where the bytes end before that is known. */
function headerAt(
  bytes: Uint8Array<ArrayBuffer>,
  at: number,
): { version: number; type: number; length: number } | null | undefined {
  if (bytes.length < at + dispatcher_header.size) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, dispatcher_header.size);
  const version = view.getUint32(dispatcher_header.ver, true);
  const headerLength = view.getUint32(dispatcher_header.hlen, true);
  const type = view.getUint32(dispatcher_header.type, true);
  const length = view.getUint32(dispatcher_header.data_size, true);
  return isVersion(version) && headerLength === dispatcher_header.size &&
      length <= MAX_AUDIT_MESSAGE_LENGTH
    ? { version, type, length }
    : null;
}

function isVersion(number: number): boolean {
  return number === AUDISP_PROTOCOL_VER || number === AUDISP_PROTOCOL_VER2;
}

function joined(
  first: Uint8Array<ArrayBuffer>,
  second: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  if (first.length === 0) return second;
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}

/**
 * fanotify's records from the bytes that `read` gave; pure.
 *
 * A record is decoded with integer reads alone and keeps its batch: a name becomes a string, and an info record an
 * object, when it is asked for. Most events of a busy filesystem are nobody's business, and are never asked.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import {
  FAN_EVENT_INFO_TYPE_DFID,
  FAN_EVENT_INFO_TYPE_DFID_NAME,
  FAN_EVENT_INFO_TYPE_ERROR,
  FAN_EVENT_INFO_TYPE_FID,
  FAN_EVENT_INFO_TYPE_MNT,
  FAN_EVENT_INFO_TYPE_NEW_DFID_NAME,
  FAN_EVENT_INFO_TYPE_OLD_DFID_NAME,
  FAN_EVENT_INFO_TYPE_PIDFD,
  FAN_EVENT_INFO_TYPE_RANGE,
  FAN_NOFD,
  FAN_NOPIDFD,
  fanotify_event_info_error,
  fanotify_event_info_fid,
  fanotify_event_info_header,
  fanotify_event_info_mnt,
  fanotify_event_info_pidfd,
  fanotify_event_info_range,
  fanotify_event_metadata,
  FANOTIFY_METADATA_VERSION,
} from "../../ffi/abi/fanotify.ts";
import { bytesUnlessText, sliceText } from "../../ffi/text.ts";
import { DecodeError } from "../decode_error.ts";

/** What one `read` gave: a copy of exactly its bytes, so that a kept event keeps no more than its batch. */
export class FanotifyBatch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same bytes; every field of every record is 4-byte aligned, and the kernel's byte order is the machine's. */
  readonly words: Int32Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  readonly text: Buffer;

  /** Copies `source[0, length)`; the spare bytes of a length that is no multiple of 4 are zero. */
  constructor(source: Uint8Array, length: number) {
    this.bytes = new Uint8Array((length + 3) & ~3);
    this.bytes.set(source.subarray(0, length));
    this.words = new Int32Array(this.bytes.buffer);
    this.view = new DataView(this.bytes.buffer);
    this.text = Buffer.from(this.bytes.buffer);
  }
}

/** A name below a directory handle. */
export interface HandleName {
  /** The word at which the handle's key begins: fsid, then `struct file_handle`. -1 where the kernel gave none. */
  readonly key: number;
  /** The name's bytes within the batch; empty for none. */
  readonly start: number;
  readonly end: number;
}

/** One `struct fanotify_event_metadata` with its info records. */
export class FanotifyRecord {
  readonly batch: FanotifyBatch;
  /** Where in the batch, in bytes. */
  readonly offset: number;
  readonly length: number;
  /** The low 32 bits of the mask, as an unsigned number. */
  readonly bits: number;
  /** The event fd of a group that reports no handles, or -1. */
  readonly fd: number;
  /** As the kernel translated it into our namespace; 0 where it hides it. */
  readonly pid: number;
  /** pidfd of the process, or a negative number: FAN_NOPIDFD, FAN_EPIDFD, or an errno with FAN_REPORT_FD_ERROR. */
  pidfd: number = FAN_NOPIDFD;
  /** Word of the key of the object itself (FAN_REPORT_FID), or -1. */
  object = -1;
  /** Directory and name; for a rename the old ones. `directory` is the word of its key, or -1. */
  directory = -1;
  nameStart = 0;
  nameEnd = 0;
  /** Directory and name after a rename. */
  newDirectory = -1;
  newNameStart = 0;
  newNameEnd = 0;

  constructor(batch: FanotifyBatch, offset: number, length: number) {
    const { words } = batch;
    const word = offset >> 2;
    this.batch = batch;
    this.offset = offset;
    this.length = length;
    this.bits = words[word + (fanotify_event_metadata.mask >> 2)]! >>> 0;
    this.fd = words[word + (fanotify_event_metadata.fd >> 2)]!;
    this.pid = words[word + (fanotify_event_metadata.pid >> 2)]!;
  }

  /** The whole mask. Bits from 32 up are of kernels newer than this version. */
  get mask(): bigint {
    return this.batch.view.getBigUint64(this.offset + fanotify_event_metadata.mask, true);
  }

  /** The name (of a rename: the old one) as text. */
  get name(): string {
    return sliceText(this.batch.text, this.nameStart, this.nameEnd);
  }

  /** The new name of a rename as text. */
  get newName(): string {
    return sliceText(this.batch.text, this.newNameStart, this.newNameEnd);
  }

  /** The bytes of `name`, which is the text of this record's name, where it is not valid UTF-8. */
  nameBytes(name: string): Uint8Array<ArrayBuffer> | undefined {
    return bytesUnlessText(this.batch.bytes, this.nameStart, this.nameEnd, name);
  }

  /** The bytes of `name`, which is the text of this record's new name, where it is not valid UTF-8. */
  newNameBytes(name: string): Uint8Array<ArrayBuffer> | undefined {
    return bytesUnlessText(this.batch.bytes, this.newNameStart, this.newNameEnd, name);
  }

  /** Every info record as the kernel sent it, unknown types included. */
  get info(): FanotifyInfo[] {
    const { batch, offset, length } = this;
    const infos: FanotifyInfo[] = [];
    const first = offset + batch.view.getUint16(offset + fanotify_event_metadata.metadata_len, true);
    for (let at = first; at < offset + length;) {
      const size = batch.view.getUint16(at + fanotify_event_info_header.len, true);
      infos.push(decodeInfo(batch, at, size));
      at += size;
    }
    return infos;
  }

  /** For people and logs: numbers in hexadecimal, bytes in base64. */
  toJSON(): Record<string, unknown> {
    const { fd, pid, info } = this;
    return { mask: `0x${this.mask.toString(16)}`, fd, pid, info };
  }
}

/** An info record, by type; `type` alone and its bytes where this version does not know it. */
export interface FanotifyInfo {
  readonly type: number;
  /** The record without its header, in base64. */
  readonly body: string;
  readonly name?: string;
  readonly pidfd?: number;
  readonly errno?: number;
  readonly count?: number;
  readonly range?: { readonly offset: number; readonly count: number };
  readonly mountId?: bigint;
}

/**
 * The records of a batch. Throws {@linkcode DecodeError} for bytes that no kernel sends; never reads past the end.
 * Info records of an unknown type are stepped over, and stay readable through {@linkcode FanotifyRecord.info}.
 */
export function decodeFanotify(batch: FanotifyBatch, length: number): FanotifyRecord[] {
  const { words, bytes } = batch;
  const records: FanotifyRecord[] = [];
  for (let at = 0; at < length;) {
    if (length - at < fanotify_event_metadata.size) {
      throw new DecodeError("an fanotify event", at, `${length - at} bytes are no header`);
    }
    const size = words[at >> 2]! >>> 0;
    const version = bytes[at + fanotify_event_metadata.vers]!;
    const word = words[(at >> 2) + 1]!;
    const head = word >>> 16; // metadata_len is the upper half of the second word
    if (version !== FANOTIFY_METADATA_VERSION) {
      throw new DecodeError("an fanotify event", at, `its version is ${version}, not 3`);
    }
    if (size < head || head < fanotify_event_metadata.size || size > length - at || ((size | head) & 3)) {
      throw new DecodeError("an fanotify event", at, `its length is ${size}, its header's ${head}`);
    }
    const record = new FanotifyRecord(batch, at, size);
    const end = at + size;
    for (let info = at + head; info < end;) {
      const header = words[info >> 2]!;
      const length = header >>> 16;
      if (length < 4 || length > end - info || (length & 3)) {
        throw new DecodeError("an fanotify info record", info, `its length is ${length}`);
      }
      place(record, header & 0xff, info, length);
      info += length;
    }
    records.push(record);
    at = end;
  }
  return records;
}

/** Notes in `record` where the info record at `at` has what. */
function place(record: FanotifyRecord, type: number, at: number, length: number): void {
  switch (type) {
    case FAN_EVENT_INFO_TYPE_FID:
      if (hasHandle(record.batch, at, length)) record.object = keyAt(at);
      return;
    case FAN_EVENT_INFO_TYPE_DFID:
    case FAN_EVENT_INFO_TYPE_DFID_NAME:
    case FAN_EVENT_INFO_TYPE_OLD_DFID_NAME: {
      if (!hasHandle(record.batch, at, length)) return;
      record.directory = keyAt(at);
      if (type === FAN_EVENT_INFO_TYPE_DFID) return;
      record.nameStart = nameStart(record.batch, at);
      record.nameEnd = nameEnd(record.batch, record.nameStart, at + length);
      return;
    }
    case FAN_EVENT_INFO_TYPE_NEW_DFID_NAME: {
      if (!hasHandle(record.batch, at, length)) return;
      record.newDirectory = keyAt(at);
      record.newNameStart = nameStart(record.batch, at);
      record.newNameEnd = nameEnd(record.batch, record.newNameStart, at + length);
      return;
    }
    case FAN_EVENT_INFO_TYPE_PIDFD:
      if (length >= fanotify_event_info_pidfd.size) {
        record.pidfd = record.batch.words[(at + fanotify_event_info_pidfd.pidfd) >> 2]!;
      }
  }
}

function keyAt(info: number): number {
  return (info + fanotify_event_info_fid.fsid) >> 2;
}

/** Whether the record has a handle that fits; an event of the filesystem as a whole has one of no bytes. */
function hasHandle(batch: FanotifyBatch, at: number, length: number): boolean {
  if (length < HANDLE + 8) return false;
  const bytes = batch.words[(at + HANDLE) >> 2]!;
  return bytes > 0 && bytes <= length - HANDLE - 8;
}

/** `struct file_handle` within the info record; 8 bytes of length and type, then the handle. */
const HANDLE = fanotify_event_info_fid.handle;

function nameStart(batch: FanotifyBatch, at: number): number {
  return at + HANDLE + 8 + batch.words[(at + HANDLE) >> 2]!;
}

/** The name ends with NUL and is padded with NULs to 4 bytes; read backwards that is at most 4 steps. */
function nameEnd(batch: FanotifyBatch, start: number, limit: number): number {
  let end = limit;
  while (end > start && batch.bytes[end - 1] === 0) end--;
  return end;
}

function decodeInfo(batch: FanotifyBatch, at: number, size: number): FanotifyInfo {
  const { view, bytes, text } = batch;
  const type = bytes[at]!;
  const base = { type, body: text.toString("base64", at + fanotify_event_info_header.size, at + size) };
  switch (type) {
    case FAN_EVENT_INFO_TYPE_DFID_NAME:
    case FAN_EVENT_INFO_TYPE_OLD_DFID_NAME:
    case FAN_EVENT_INFO_TYPE_NEW_DFID_NAME: {
      if (!hasHandle(batch, at, size)) return base;
      const start = nameStart(batch, at);
      return { ...base, name: sliceText(text, start, nameEnd(batch, start, at + size)) };
    }
    case FAN_EVENT_INFO_TYPE_PIDFD:
      if (size < fanotify_event_info_pidfd.size) return base;
      return { ...base, pidfd: view.getInt32(at + fanotify_event_info_pidfd.pidfd, true) };
    case FAN_EVENT_INFO_TYPE_ERROR:
      if (size < fanotify_event_info_error.size) return base;
      return {
        ...base,
        errno: view.getInt32(at + fanotify_event_info_error.error, true),
        count: view.getUint32(at + fanotify_event_info_error.error_count, true),
      };
    case FAN_EVENT_INFO_TYPE_RANGE: {
      if (size < fanotify_event_info_range.size) return base;
      const offset = Number(view.getBigUint64(at + fanotify_event_info_range.offset, true));
      const count = Number(view.getBigUint64(at + fanotify_event_info_range.count, true));
      return { ...base, range: { offset, count } };
    }
    case FAN_EVENT_INFO_TYPE_MNT:
      if (size < fanotify_event_info_mnt.size) return base;
      return { ...base, mountId: view.getBigUint64(at + fanotify_event_info_mnt.mnt_id, true) };
    default:
      return base;
  }
}

/** Whether the record carries an open file descriptor. */
export function hasFd(record: FanotifyRecord): boolean {
  return record.fd > FAN_NOFD;
}

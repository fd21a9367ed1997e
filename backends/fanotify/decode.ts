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
  FAN_ATTRIB,
  FAN_CREATE,
  FAN_DELETE,
  FAN_EVENT_INFO_TYPE_DFID,
  FAN_EVENT_INFO_TYPE_DFID_NAME,
  FAN_EVENT_INFO_TYPE_ERROR,
  FAN_EVENT_INFO_TYPE_FID,
  FAN_EVENT_INFO_TYPE_MNT,
  FAN_EVENT_INFO_TYPE_NEW_DFID_NAME,
  FAN_EVENT_INFO_TYPE_OLD_DFID_NAME,
  FAN_EVENT_INFO_TYPE_PIDFD,
  FAN_EVENT_INFO_TYPE_RANGE,
  FAN_NOPIDFD,
  FAN_ONDIR,
  FAN_Q_OVERFLOW,
  FAN_RENAME,
  fanotify_event_info_error,
  fanotify_event_info_fid,
  fanotify_event_info_header,
  fanotify_event_info_mnt,
  fanotify_event_info_pidfd,
  fanotify_event_info_range,
  fanotify_event_metadata,
  FANOTIFY_METADATA_VERSION,
} from "../../ffi/abi/fanotify.ts";
import { bytesUnlessText, decodeText, latin1Bytes, latin1Text } from "../../ffi/text.ts";
import { DecodeError } from "../decode_error.ts";

/** What one `read` gave, in a buffer that the next `read` may use again. */
export class FanotifyBatch {
  /** How many bytes were read. */
  length: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same bytes; every field of every record is 4-byte aligned, and the kernel's byte order is the machine's. */
  readonly words: Int32Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  #kept: KeptRecords | undefined;

  /** `bytes[0, length)`; the buffer's own length is a multiple of 4. */
  constructor(bytes: Uint8Array<ArrayBuffer>, length: number) {
    this.length = length;
    this.bytes = bytes;
    this.words = new Int32Array(bytes.buffer);
    this.view = new DataView(bytes.buffer);
  }

  /** The buffer was read into again, so many bytes; the number. */
  refill(length: number): number {
    this.#kept = undefined;
    return this.length = length;
  }

  /** The records for those who may ask for them later, when the buffer has other content. */
  get kept(): KeptRecords {
    return this.#kept ??= new KeptRecords(latin1Text(this.bytes, this.length));
  }

  /** `bytes[start, end)` as text. */
  text(start: number, end: number): string {
    const { bytes } = this;
    let bits = 0;
    for (let at = start; at < end; at++) bits |= bytes[at]!;
    return bits < 0x80
      ? this.kept.bytes.substring(start, end)
      : decodeText(bytes.subarray(start, end));
  }

  /** A batch of its own of `source[0, length)`, spare bytes zero. */
  static copy(source: Uint8Array, length: number): FanotifyBatch {
    const bytes = new Uint8Array((length + 3) & ~3);
    bytes.set(source.subarray(0, length));
    return new FanotifyBatch(bytes, length);
  }
}

/**
 * The bytes of a batch as a string, a character each. Both runtimes give strings memory that they have used before; a
 * new `ArrayBuffer` is made of pages that the kernel has to clear first, which took a third of the time of reading.
 */
export class KeptRecords {
  readonly bytes: string;
  readonly #records = new Map<number, FanotifyRecord>();

  constructor(bytes: string) {
    this.bytes = bytes;
  }

  /** The record at `offset`, always the same one. */
  record(offset: number): FanotifyRecord {
    let record = this.#records.get(offset);
    if (record === undefined) {
      const [length] = new Uint32Array(this.#copy(offset, offset + 4).bytes.buffer);
      const batch = this.#copy(offset, offset + length!);
      record = new FanotifyRecord(batch);
      record.read(0, batch.length);
      this.#records.set(offset, record);
    }
    return record;
  }

  #copy(start: number, end: number): FanotifyBatch {
    return FanotifyBatch.copy(latin1Bytes(this.bytes.slice(start, end)), end - start);
  }
}

/** Where a directory and a name below it are within a batch. */
export interface NamePlace {
  /** The word at which the directory's key begins: fsid, then `struct file_handle`. */
  readonly directory: number;
  /** The name's bytes; empty for none. */
  readonly start: number;
  readonly end: number;
}

/**
 * One `struct fanotify_event_metadata` with its info records, or a window that is moved from one to the next: behind a
 * backlog an object for each would cost more than decoding it.
 */
export class FanotifyRecord {
  readonly batch: FanotifyBatch;
  /** Where in the batch, in bytes. */
  offset = 0;
  /** The low 32 bits of the mask, as an unsigned number. */
  bits = 0;
  /** As the kernel translated it into our namespace; 0 where it hides it. */
  pid = 0;
  /** Word of the key (fsid, then `struct file_handle`) of the object itself, or -1. */
  object = -1;
  /** Directory and name; for a rename the old ones. `directory` is the word of its key, or -1. */
  directory = -1;
  nameStart = 0;
  nameEnd = 0;

  constructor(batch: FanotifyBatch) {
    this.batch = batch;
  }

  /**
   * Moves to the record at `offset`, which ends at `limit` or before; where it ends. Throws {@linkcode DecodeError} for
   * bytes that no kernel sends. Info records of an unknown type are stepped over.
   */
  read(offset: number, limit: number): number {
    const { batch } = this;
    const { words } = batch;
    const end = offset + recordLength(batch, offset, limit);
    const word = offset >> 2;
    this.offset = offset;
    this.bits = words[word + (fanotify_event_metadata.mask >> 2)]! >>> 0;
    this.pid = words[word + (fanotify_event_metadata.pid >> 2)]!;
    this.object = this.directory = -1;
    this.nameStart = this.nameEnd = 0;
    for (let info = offset + headLength(batch, offset); info < end;) {
      const header = words[info >> 2]!;
      const step = header >>> 16;
      if (step < 4 || step > end - info || (step & 3)) {
        throw new DecodeError("an fanotify info record", info, `its length is ${step}`);
      }
      place(this, header & 0xff, info);
      info += step;
    }
    return end;
  }

  /** Length of the record, in bytes. */
  get length(): number {
    return this.batch.words[this.offset >> 2]!;
  }

  /** The event fd of a group that reports no handles, or -1. */
  get fd(): number {
    return this.batch.words[(this.offset + fanotify_event_metadata.fd) >> 2]!;
  }

  /** Where the directory and name after a rename are. */
  get target(): NamePlace | undefined {
    const at = findInfo(this, FAN_EVENT_INFO_TYPE_NEW_DFID_NAME);
    if (at < 0 || !hasHandle(this.batch, at)) return undefined;
    return { directory: keyAt(at), ...namePlace(this.batch, at) };
  }

  /** The whole mask. Bits from 32 up are of kernels newer than this version. */
  get mask(): bigint {
    return this.batch.view.getBigUint64(this.offset + fanotify_event_metadata.mask, true);
  }

  /** The name (of a rename: the old one) as text. */
  get name(): string {
    return this.batch.text(this.nameStart, this.nameEnd);
  }

  /** The bytes of `name`, which is the text of this record's name, where it is not valid UTF-8. */
  nameBytes(name: string): Uint8Array<ArrayBuffer> | undefined {
    return bytesUnlessText(this.batch.bytes, this.nameStart, this.nameEnd, name);
  }

  /** Every info record as the kernel sent it, unknown types included. */
  get info(): FanotifyInfo[] {
    const { batch, offset, length } = this;
    const infos: FanotifyInfo[] = [];
    const first = offset + headLength(batch, offset);
    for (let at = first; at < offset + length;) {
      const size = batch.view.getUint16(at + fanotify_event_info_header.len, true);
      infos.push(decodeInfo(batch, at, size));
      at += size;
    }
    return infos;
  }

  /** For people and logs: numbers in hexadecimal, bytes in base64. */
  toJSON(): Record<string, unknown> {
    const { fd, pid } = this;
    const info = this.info.map((one) =>
      one.mountId === undefined ? one : { ...one, mountId: `0x${one.mountId.toString(16)}` }
    );
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
export function decodeFanotify(batch: FanotifyBatch): FanotifyRecord[] {
  const records: FanotifyRecord[] = [];
  for (let at = 0; at < batch.length;) {
    const record = new FanotifyRecord(batch);
    at = record.read(at, batch.length);
    records.push(record);
  }
  return records;
}

/** The length of the record at `at`, whose header is checked; it ends at `end` or before. */
function recordLength(batch: FanotifyBatch, at: number, end: number): number {
  const { words, bytes } = batch;
  if (end - at < fanotify_event_metadata.size) {
    throw new DecodeError("an fanotify event", at, `${end - at} bytes are no header`);
  }
  const size = words[at >> 2]! >>> 0;
  const version = bytes[at + fanotify_event_metadata.vers]!;
  const head = headLength(batch, at);
  if (version !== FANOTIFY_METADATA_VERSION) {
    throw new DecodeError("an fanotify event", at, `its version is ${version}, not 3`);
  }
  if (
    size < head || head < fanotify_event_metadata.size || size > end - at || ((size | head) & 3)
  ) {
    throw new DecodeError("an fanotify event", at, `its length is ${size}, its header's ${head}`);
  }
  return size;
}

/** `metadata_len`: the upper half of the second word. */
function headLength(batch: FanotifyBatch, at: number): number {
  return batch.words[(at >> 2) + 1]! >>> 16;
}

/** Notes in `record` where the info record at `at` has what nearly every reader asks for. */
function place(record: FanotifyRecord, type: number, at: number): void {
  const { batch } = record;
  switch (type) {
    case FAN_EVENT_INFO_TYPE_FID:
      if (hasHandle(batch, at)) record.object = keyAt(at);
      return;
    case FAN_EVENT_INFO_TYPE_DFID:
    case FAN_EVENT_INFO_TYPE_DFID_NAME:
    case FAN_EVENT_INFO_TYPE_OLD_DFID_NAME:
      if (!hasHandle(batch, at)) return;
      record.directory = keyAt(at);
      if (type === FAN_EVENT_INFO_TYPE_DFID) return;
      record.nameStart = nameStart(batch, at);
      record.nameEnd = nameEnd(batch, record.nameStart, at + infoLength(batch, at));
  }
}

/** Where the first info record of a type is, in bytes; -1 where there is none. */
function findInfo(record: FanotifyRecord, type: number): number {
  const { batch, offset, length } = record;
  const first = offset + headLength(batch, offset);
  for (let at = first; at < offset + length; at += infoLength(batch, at)) {
    if (batch.bytes[at] === type) return at;
  }
  return -1;
}

function infoLength(batch: FanotifyBatch, at: number): number {
  return batch.words[at >> 2]! >>> 16;
}

function keyAt(info: number): number {
  return (info + fanotify_event_info_fid.fsid) >> 2;
}

/** `struct file_handle` within the info record; 8 bytes of length and type, then the handle. */
const HANDLE = fanotify_event_info_fid.handle;

/** Whether the record has a handle that fits; an event of the filesystem as a whole has one of no bytes. */
function hasHandle(batch: FanotifyBatch, at: number): boolean {
  const room = infoLength(batch, at) - HANDLE - 8;
  if (room < 0) return false;
  const bytes = batch.words[(at + HANDLE) >> 2]!;
  return bytes > 0 && bytes <= room;
}

function namePlace(batch: FanotifyBatch, at: number): { start: number; end: number } {
  const start = nameStart(batch, at);
  return { start, end: nameEnd(batch, start, at + infoLength(batch, at)) };
}

function nameStart(batch: FanotifyBatch, at: number): number {
  return at + HANDLE + 8 + batch.words[(at + HANDLE) >> 2]!;
}

/** The name ends with NUL and is padded with NULs to 4 bytes; read backwards that is at most 4 steps. */
function nameEnd(batch: FanotifyBatch, start: number, limit: number): number {
  let end = limit;
  while (end > start && batch.bytes[end - 1] === 0) end--;
  return end;
}

/** The pidfd of a record, or a negative number: FAN_NOPIDFD, FAN_EPIDFD, or an errno with FAN_REPORT_FD_ERROR. */
export function pidfdOf(record: FanotifyRecord): number {
  const at = findInfo(record, FAN_EVENT_INFO_TYPE_PIDFD);
  if (at < 0 || infoLength(record.batch, at) < fanotify_event_info_pidfd.size) return FAN_NOPIDFD;
  return record.batch.words[(at + fanotify_event_info_pidfd.pidfd) >> 2]!;
}

/** The id of the mount that a record of a FAN_REPORT_MNT group is about; undefined where it names none. */
export function mountIdOf(record: FanotifyRecord): number | undefined {
  const at = findInfo(record, FAN_EVENT_INFO_TYPE_MNT);
  if (at < 0 || infoLength(record.batch, at) < fanotify_event_info_mnt.size) return undefined;
  return Number(record.batch.view.getBigUint64(at + fanotify_event_info_mnt.mnt_id, true));
}

/** What went wrong with a filesystem, and how often. */
export interface RecordedError {
  readonly errno: number;
  /** How many errors the record stands for: the first is told, and later ones are counted until it is read. */
  readonly count: number;
}

/** The error of a record of FAN_FS_ERROR; undefined of another one. */
export function errorOf(record: FanotifyRecord): RecordedError | undefined {
  const at = findInfo(record, FAN_EVENT_INFO_TYPE_ERROR);
  if (at < 0 || infoLength(record.batch, at) < fanotify_event_info_error.size) return undefined;
  const { words } = record.batch;
  return {
    errno: words[(at + fanotify_event_info_error.error) >> 2]!,
    count: words[(at + fanotify_event_info_error.error_count) >> 2]! >>> 0,
  };
}

function decodeInfo(batch: FanotifyBatch, at: number, size: number): FanotifyInfo {
  const { view, bytes } = batch;
  const type = bytes[at]!;
  const body = bytes.subarray(at + fanotify_event_info_header.size, at + size);
  const base = { type, body: Buffer.from(body).toString("base64") };
  switch (type) {
    case FAN_EVENT_INFO_TYPE_DFID_NAME:
    case FAN_EVENT_INFO_TYPE_OLD_DFID_NAME:
    case FAN_EVENT_INFO_TYPE_NEW_DFID_NAME: {
      if (!hasHandle(batch, at)) return base;
      const { start, end } = namePlace(batch, at);
      return { ...base, name: batch.text(start, end) };
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

/** A record that says where a directory was until it was renamed or removed, or is since it was created. */
export interface DirectoryMove {
  readonly offset: number;
  /** Whether it was created, and not removed in the same record. */
  readonly isCreated: boolean;
  /** Words of the keys of its parent then (-1 where that is not watched), and of itself. */
  readonly directory: number;
  readonly object: number;
  readonly name: string;
  readonly nameBytes: Uint8Array<ArrayBuffer> | undefined;
  /** Of a rename the word of the key of the new parent, and the new name. */
  readonly to:
    | (Pick<NamePlace, "directory"> & ReturnType<typeof nameAt>)
    | undefined;
  /**
   * Another directory was renamed over this one, which was empty. No record says so: the kernel tells that its link count
   * changed right behind the rename (`fsnotify_move`), as it would tell a chmod. So this counts where nothing else is known.
   */
  readonly isReplaced: boolean;
}

/** The records of directories that came, went or moved; all else is passed over without being decoded. */
export function decodeMoves(batch: FanotifyBatch): DirectoryMove[] {
  const { words, length } = batch;
  const record = new FanotifyRecord(batch);
  const moves: DirectoryMove[] = [];
  /** The last rename of a directory, and whose it was. */
  let [last, lastPid]: [DirectoryMove | undefined, number] = [undefined, 0];
  for (let at = 0, next = 0; at < length; at = next) {
    next = at + recordLength(batch, at, length);
    const bits = words[(at + fanotify_event_metadata.mask) >> 2]!;
    if ((bits & FAN_ONDIR) === 0 || (bits & TELLING) === 0) continue;
    record.read(at, next);
    const { directory, object, name, pid } = record;
    if ((bits & (FAN_CREATE | FAN_RENAME | FAN_DELETE)) === 0) {
      if (last?.to === undefined || pid !== lastPid || name !== "." || directory < 0) continue;
      moves.push({
        ...last.to,
        offset: last.offset,
        object: directory,
        to: undefined,
        isCreated: false,
        isReplaced: true,
      });
      last = undefined;
      continue;
    }
    const target = (bits & FAN_RENAME) === 0 ? undefined : record.target;
    const to = target && { directory: target.directory, ...nameAt(batch, target) };
    if (object < 0 || (directory < 0 && to === undefined)) continue;
    const nameBytes = record.nameBytes(name);
    const isCreated = (bits & (FAN_RENAME | FAN_DELETE)) === 0;
    const move = { offset: at, directory, object, name, nameBytes, to, isCreated };
    moves.push(last = { ...move, isReplaced: false });
    lastPid = pid;
  }
  return moves;
}

/** The offset of the last record that says that records were lost; -1 where there is none. */
export function lastLoss(batch: FanotifyBatch): number {
  let last = -1;
  for (let at = 0; at < batch.length; at += recordLength(batch, at, batch.length)) {
    const bits = batch.words[(at + fanotify_event_metadata.mask) >> 2]!;
    if ((bits & FAN_Q_OVERFLOW) !== 0) last = at;
  }
  return last;
}

/** Bits that say where directories are. */
const TELLING = FAN_CREATE | FAN_RENAME | FAN_DELETE | FAN_ATTRIB;

/** The name at a place as text, and its bytes where they are none; empty without a place. */
export function nameAt(
  batch: FanotifyBatch,
  place: NamePlace | undefined,
): { readonly name: string; readonly nameBytes: Uint8Array<ArrayBuffer> | undefined } {
  if (place === undefined) return { name: "", nameBytes: undefined };
  const { start, end } = place;
  const name = batch.text(start, end);
  return { name, nameBytes: bytesUnlessText(batch.bytes, start, end, name) };
}

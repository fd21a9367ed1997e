/** Errors of filesystems from the bytes of fanotify, the files of ext4, and what statfs tells. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import test from "node:test";
import { lastError, newErrors } from "../backends/ext4/error_counter.ts";
import { FanotifyBatch } from "../backends/fanotify/decode.ts";
import { errorsIn } from "../backends/fanotify/error_group.ts";
import { inodeOf } from "../backends/fanotify/handle.ts";
import { decodeSpace, isScarce } from "../backends/statfs/space.ts";
import { statfs } from "../ffi/abi/statfs.ts";

/** A `struct fanotify_event_metadata` of FAN_FS_ERROR by pid 99, before info records. */
function event(...info: readonly string[]): string {
  const length = 24 + info.join("").length / 2;
  const head = Buffer.alloc(24);
  head.writeUint32LE(length, 0);
  head.writeUint8(3, 4); // vers
  head.writeUint16LE(24, 6);
  head.writeBigUint64LE(0x8000n, 8);
  head.writeInt32LE(-1, 16);
  head.writeInt32LE(99, 20);
  return head.toString("hex") + info.join("");
}

/** As Linux 6.18 sends them for ext4: of the inode 13, generation 0; and of the filesystem. */
const INODE = "01001c00" + "b0acc68b" + "b86c1f7d" + "08000000" + "01000000" + "0d000000" +
  "00000000";
const WHOLE = "01001400" + "b0acc68b" + "b86c1f7d" + "00000000" + "ff000000";
const error = (errno: number, count: number) => {
  const bytes = Buffer.alloc(12);
  bytes.writeUint8(5, 0);
  bytes.writeUint16LE(12, 2);
  bytes.writeInt32LE(errno, 4);
  bytes.writeUint32LE(count, 8);
  return bytes.toString("hex");
};

function read(hex: string) {
  const bytes = Buffer.from(hex, "hex");
  return errorsIn(FanotifyBatch.copy(bytes, bytes.length));
}

function told(hex: string) {
  return read(hex).errors.map(({ errno, count, key, pid }) => ({
    errno,
    count,
    inode: key && inodeOf(key),
    pid,
  }));
}

test("errno, count and inode, in either order of the info records", () => {
  const expected = [{ errno: 117, count: 2, inode: 13, pid: 99 }];
  assert.deepEqual(told(event(INODE, error(117, 2))), expected);
  assert.deepEqual(told(event(error(117, 2), INODE)), expected);
});

test("an error of the filesystem has no inode", () => {
  const whole = [{ errno: 108, count: 1, inode: undefined, pid: 99 }];
  assert.deepEqual(told(event(WHOLE, error(108, 1))), whole);
});

test("what is alike is summed, other errnos and other files are not", () => {
  const hex = event(INODE, error(117, 2)) + event(WHOLE, error(117, 1)) +
    event(error(117, 3), INODE) + event(INODE, error(5, 1)) + event(WHOLE, error(117, 0xffffffff));
  assert.deepEqual(told(hex).map(({ errno, count, inode }) => [errno, count, inode]), [
    [117, 5, 13],
    [117, 0x100000000, undefined],
    [5, 1, 13],
  ]);
  assert.equal(read(hex).errors[0]!.raw.length, 2);
});

test("an overflow is counted, and is no error", () => {
  const overflow = Buffer.from(event(), "hex");
  overflow.writeBigUint64LE(0x4000n, 8);
  assert.deepEqual(read(overflow.toString("hex")), { errors: [], overflows: 1 });
});

test("records of other types are stepped over, one without an error is none", () => {
  const unknown = "7f000800deadbeef";
  assert.deepEqual(told(event(unknown, INODE, error(5, 1), unknown))[0]!.errno, 5);
  assert.deepEqual(told(event(INODE)), []);
  assert.deepEqual(told(event(INODE, "05000800" + "75000000")), []); // too short to have a count
});

test("the inode numbers of handles", () => {
  const key = (...words: number[]) => Int32Array.from([1, 2, ...words]);
  assert.equal(inodeOf(key(8, 1, -2, 7)), 0xfffffffe);
  assert.equal(inodeOf(key(16, 2, 5, 7, 2, 1)), 5);
  assert.equal(inodeOf(key(12, 0x81, 5, 1, 7)), 0x100000005);
  assert.equal(inodeOf(key(20, 0x4d, 5, 1, 7, 0, 0)), undefined); // btrfs
  assert.equal(inodeOf(key(0, 1)), undefined);
});

test("the last error of ext4, as much as a kernel tells", () => {
  const files: Record<string, string> = {
    last_error_errcode: "5\n",
    last_error_func: "ext4_lookup\n",
    last_error_line: "1787\n",
    last_error_ino: "13\n",
    last_error_block: "0\n",
    last_error_time: "1795326923\n",
  };
  assert.deepEqual(lastError((name) => files[name]), {
    errno: 117,
    function: "ext4_lookup",
    line: 1787,
    inode: 13,
    time: 1795326923000,
  });
  const old = ["last_error_time"];
  assert.deepEqual(lastError((name) => old.includes(name) ? files[name] : undefined), {
    time: 1795326923000,
  });
  assert.deepEqual(lastError(() => "16")["errno"], 108);
  assert.deepEqual(lastError(() => "99")["errno"], undefined); // of a later version
  assert.deepEqual(lastError(() => ""), {});
});

test("a counter that begins anew gives no negative count", () => {
  assert.equal(newErrors(3, 5), 2);
  assert.equal(newErrors(5, 5), 0);
  assert.equal(newErrors(5, 0), 0);
  assert.equal(newErrors(5, 2), 2);
});

test("space: what users may have, in bytes; what is not counted is absent", () => {
  const view = new DataView(new ArrayBuffer(statfs.size));
  const set = (offset: number, value: number) => view.setBigUint64(offset, BigInt(value), true);
  set(statfs.f_bsize, 4096);
  set(statfs.f_frsize, 1024);
  set(statfs.f_blocks, 100);
  set(statfs.f_bfree, 50);
  set(statfs.f_bavail, 40);
  const bytes = { free: 40 * 1024, total: 100 * 1024 };
  assert.deepEqual(decodeSpace(view), { bytes, isReadOnly: false });
  set(statfs.f_frsize, 0);
  set(statfs.f_files, 9);
  set(statfs.f_ffree, 3);
  set(statfs.f_flags, 0x21);
  assert.deepEqual(decodeSpace(view), {
    bytes: { free: 40 * 4096, total: 100 * 4096 },
    inodes: { free: 3, total: 9 },
    isReadOnly: true,
  });
});

test("too little is told at the limit, and is over a good deal above it", () => {
  const scarce = (free: number, least: number, was: boolean) =>
    isScarce({ free, total: 1000 }, least, was);
  assert.equal(scarce(101, 100, false), false);
  assert.equal(scarce(100, 100, false), true);
  assert.equal(scarce(109, 100, true), true); // a tenth above
  assert.equal(scarce(110, 100, true), false);
  assert.equal(scarce(0, 0, false), true);
  assert.equal(scarce(9, 0, true), true); // a hundredth of all
  assert.equal(scarce(10, 0, true), false);
});

/** Warnings of quota: their messages, and what is made of them. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import test from "node:test";
import {
  attributesOf,
  decodeFamily,
  encodeFamilyRequest,
  numberIn,
} from "../backends/genetlink.ts";
import { decodeDatagram } from "../backends/netlink.ts";
import { decodeQuotaWarning } from "../backends/quota/decode.ts";
import { quotaErrno, quotaExcess } from "../classify/quota.ts";

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ""), "hex"));

/** What follows the header of messages of Linux 6.12: user 65534 at the soft and the hard limit of blocks on 7:0. */
const SOFT =
  "0101000008000100000000000c000200feff0000000000000800030006000000080004000700000008000500000000000c000600feff000000000000";
const WARNING =
  "0101000008000100000000000c000200feff0000000000000800030004000000080004000700000008000500000000000c000600feff000000000000";
/** And once the file was removed: below the soft limits of inodes, and of blocks. */
const BELOW = [
  "0101000008000100000000000c000200feff0000000000000800030008000000080004000700000008000500000000000c000600feff000000000000",
  "0101000008000100000000000c000200feff000000000000080003000a000000080004000700000008000500000000000c000600feff000000000000",
];

/** As a machine sends it where numbers of 64 bits have to be aligned (QUOTA_NL_A_PAD). */
const PADDED = `
  01 01 0000
  0800 0100 00000000
  0400 0700
  0c00 0200 feff000000000000
  0800 0300 04000000
  0800 0400 07000000
  0800 0500 00000000
  0400 0700
  0c00 0600 feff000000000000
`;

const HARD = { type: 0, id: 65534, warning: 4, device: "7:0", causedBy: 65534 };

test("warnings as the kernel sends them", () => {
  assert.deepEqual(decodeQuotaWarning(bytes(WARNING)), HARD);
  assert.deepEqual(decodeQuotaWarning(bytes(PADDED)), HARD);
  assert.deepEqual(decodeQuotaWarning(bytes(SOFT)), { ...HARD, warning: 6 });
  const below = BELOW.map((hex) => decodeQuotaWarning(bytes(hex))!);
  assert.deepEqual(below.map(({ warning }) => warning), [8, 10]);
  assert.deepEqual(below.map(quotaExcess), [undefined, undefined]);
});

test("attributes of a later version are kept", () => {
  const later = decodeQuotaWarning(bytes(`${WARNING} 0800 0900 2a000000`));
  assert.deepEqual(later, { ...HARD, others: { 9: "KgAAAA==" } });
});

test("a part of a warning is none, and is not read beyond", () => {
  const whole = bytes(WARNING);
  // What caused it comes last, and may be missing.
  const { causedBy: _, ...least } = HARD;
  for (let length = 0; length < whole.length; length++) {
    const part = decodeQuotaWarning(whole.slice(0, length));
    if (part !== undefined) assert.deepEqual(part, least, `${length}`);
  }
  const other = whole.slice();
  other[0] = 2; // another command
  assert.equal(decodeQuotaWarning(other), undefined);
});

test("random bytes are no warning, and no harm", () => {
  let seed = 7;
  for (let round = 0; round < 2000; round++) {
    const noise = bytes(WARNING);
    for (let i = 0; i < 4; i++) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      noise[seed % noise.length] = seed >>> 24;
    }
    decodeQuotaWarning(noise);
    attributesOf(noise);
    decodeFamily(noise);
  }
});

test("which warnings are errors", () => {
  const excess = (warning: number) => quotaExcess({ ...HARD, warning });
  const told = [1, 2, 3, 4, 5, 6].map((warning) => {
    const one = excess(warning)!;
    return [one.of, one.limit, quotaErrno(one)];
  });
  assert.deepEqual(told, [
    ["inodes", "hard", 122],
    ["inodes", "grace", 122],
    ["inodes", "soft", undefined],
    ["bytes", "hard", 122],
    ["bytes", "grace", 122],
    ["bytes", "soft", undefined],
  ]);
  for (const below of [7, 8, 9, 10, 0, 99]) assert.equal(excess(below), undefined);
  assert.deepEqual(excess(4), {
    type: "user",
    id: 65534,
    of: "bytes",
    limit: "hard",
    causedBy: 65534,
  });
  const types = [0, 1, 2, 3].map((type) => quotaExcess({ ...HARD, type })!.type);
  assert.deepEqual(types, ["user", "group", "project", 3]);
});

test("a family is asked for by its name, with NUL", () => {
  const request = encodeFamilyRequest("VFS_DQUOT", 5);
  assert.equal(
    Buffer.from(request).toString("hex"),
    "22000000" + "1000" + "0100" + "05000000" + "00000000" + // nlmsghdr
      "03010000" + // genlmsghdr
      "0e000200" + Buffer.from("VFS_DQUOT\0").toString("hex"),
  );
});

test("a family's number and groups", () => {
  const answer = bytes(`
    010200000e0002005646535f4451554f5400000006000100110000000800030001000000080004000000000008000500070000001c00
    07001800010008000200110000000b0001006576656e74730000
  `); // of Linux 6.12
  assert.deepEqual(decodeFamily(answer), { id: 17, groups: new Map([["events", 17]]) });
  for (let length = 0; length < answer.length; length++) decodeFamily(answer.slice(0, length));
  assert.equal(decodeFamily(bytes("03010000")), undefined);
});

test("numbers of 2, 4 and 8 bytes", () => {
  assert.deepEqual(
    ["0102", "01020304", "0100000001000000", "01", ""].map((hex) => numberIn(bytes(hex))),
    [0x201, 0x4030201, 0x100000001, undefined, undefined],
  );
  assert.equal(numberIn(undefined), undefined);
});

test("a datagram that is too short is no message", () => {
  const datagram = encodeFamilyRequest("VFS_DQUOT", 5);
  assert.equal(decodeDatagram(datagram, 15), undefined);
  assert.equal(decodeDatagram(datagram, datagram.length)!.payload.length, datagram.length - 16);
});

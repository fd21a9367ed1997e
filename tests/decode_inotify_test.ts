/** inotify's decoder: what this kernel sent, and what none does. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import process from "node:process";
import test from "node:test";
import { DecodeError } from "../backends/decode_error.ts";
import { decodeInotify, type InotifyRecord } from "../backends/inotify/decode.ts";
import {
  IN_ATTRIB,
  IN_CLOSE_WRITE,
  IN_CREATE,
  IN_DELETE,
  IN_ISDIR,
  IN_MODIFY,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  IN_Q_OVERFLOW,
} from "../ffi/abi/inotify.ts";
import { seed } from "./random.ts";
import { finish, isDeno, moduleFile, TemporaryDirectory } from "./runtime.ts";

function golden(name: string): Buffer[] {
  const text = readFileSync(moduleFile(`tests/fixtures/${name}.hex`), "utf8");
  return text.trimEnd().split("\n").map((line) => Buffer.from(line, "hex"));
}

function decode(...records: Uint8Array[]): InotifyRecord[] {
  const bytes = new Uint8Array(Buffer.concat(records));
  return decodeInotify(bytes, bytes.length);
}

/** `struct inotify_event`; the name padded with NULs to `padded` bytes. */
function event(wd: number, mask: number, cookie: number, name: Uint8Array, padded: number): Buffer {
  const bytes = Buffer.alloc(16 + padded);
  bytes.writeInt32LE(wd, 0);
  bytes.writeUInt32LE(mask >>> 0, 4);
  bytes.writeUInt32LE(cookie, 8);
  bytes.writeUInt32LE(padded, 12);
  bytes.set(name, 16);
  return bytes;
}

const RAW = "raw-\uFFFD\uFFFD";

/** What `scripts/capture.ts` did, as this kernel tells it. */
const SCRIPT: readonly (readonly [mask: number, name: string])[] = [
  [IN_CREATE, "a"],
  [IN_MODIFY, "a"],
  [IN_CLOSE_WRITE, "a"],
  [IN_ATTRIB, "a"],
  [IN_MOVED_FROM, "a"],
  [IN_MOVED_TO, "sixteen-letters."],
  [IN_CREATE, "n".repeat(255)],
  [IN_CLOSE_WRITE, "n".repeat(255)],
  [IN_CREATE | IN_ISDIR, "from"],
  [IN_MOVED_FROM | IN_ISDIR, "from"],
  [IN_MOVED_TO | IN_ISDIR, "to"],
  [IN_DELETE | IN_ISDIR, "to"],
  [IN_CREATE, RAW],
  [IN_CLOSE_WRITE, RAW],
  [IN_MOVED_FROM, RAW],
  [IN_MOVED_TO, "b"],
  [IN_DELETE, "sixteen-letters."],
];

test("the script as this kernel tells it", () => {
  const records = decode(...golden("inotify"));
  assert.deepEqual(records.map(({ mask, name }) => [mask, name]), SCRIPT);
  assert.deepEqual(new Set(records.map(({ wd }) => wd)), new Set([1]));
  for (const [i, { mask, cookie }] of records.entries()) {
    if ((mask & IN_MOVED_FROM) !== 0) assert.equal(cookie, records[i + 1]!.cookie);
    assert.equal(cookie !== 0, (mask & (IN_MOVED_FROM | IN_MOVED_TO)) !== 0, `cookie of ${i}`);
  }
  for (const { name, nameBytes } of records) {
    const expected = name === RAW ? [0x72, 0x61, 0x77, 0x2d, 0xff, 0xfe] : undefined;
    assert.deepEqual(nameBytes && [...nameBytes], expected);
  }
});

test("an overflow record has no watch and no name", () => {
  assert.deepEqual(decode(...golden("inotify_overflow")), [
    { wd: -1, mask: IN_Q_OVERFLOW, cookie: 0, name: "" },
  ]);
});

test("every bit is kept, the highest too", () => {
  const [record] = decode(event(0x7fffffff, 0xffff_ffff, 0xffff_ffff, Buffer.alloc(0), 0));
  assert.deepEqual(record, { wd: 0x7fffffff, mask: 0xffff_ffff, cookie: 0xffff_ffff, name: "" });
});

test("names end at the first NUL or where the room ends", () => {
  for (const length of [1, 15, 16, 17, 255]) {
    const name = Buffer.alloc(length, "x");
    for (const padded of [length, (length + 16) & ~15]) {
      assert.equal(decode(event(1, IN_CREATE, 0, name, padded))[0]!.name, name.toString());
    }
  }
  assert.equal(decode(event(1, IN_CREATE, 0, Buffer.from("a\0b"), 16))[0]!.name, "a");
});

test("text is text, all else keeps its bytes", () => {
  for (const name of ["\uFFFD", "\uFEFFbom", "ü", "😀", "a b\n\\"]) {
    const bytes = Buffer.from(name);
    assert.deepEqual(decode(event(1, IN_CREATE, 0, bytes, 32)), [
      { wd: 1, mask: IN_CREATE, cookie: 0, name },
    ]);
  }
  for (const name of [[0xff], [0xed, 0xa0, 0x80], [0xc3], [0xef, 0xbf, 0xbd, 0xff], [0xc0, 0xaf]]) {
    const [record] = decode(event(1, IN_CREATE, 0, Uint8Array.from(name), 16));
    assert.deepEqual([...record!.nameBytes!], name);
  }
});

test("a buffer that begins within a larger one", () => {
  const records = golden("inotify");
  const whole = Buffer.concat([event(9, 9, 9, Buffer.from("before"), 16), ...records]);
  const bytes = new Uint8Array(whole).subarray(32);
  assert.deepEqual(decodeInotify(bytes, bytes.length), decode(...records));
});

const MALFORMED: Readonly<Record<string, Buffer>> = {
  "a cut header": event(1, IN_CREATE, 0, Buffer.from("a"), 16).subarray(0, 15),
  "a cut name": event(1, IN_CREATE, 0, Buffer.from("a"), 16).subarray(0, 31),
  "a name of 4 GiB": (() => {
    const bytes = event(1, IN_CREATE, 0, Buffer.from("a"), 16);
    bytes.writeUInt32LE(0xffff_fff0, 12);
    return bytes;
  })(),
};

for (const [what, bytes] of Object.entries(MALFORMED)) {
  test(`malformed: ${what}`, () => {
    const good = event(1, IN_CREATE, 0, Buffer.from("good"), 16);
    assert.throws(() => decode(good, bytes), (error) => {
      assert(error instanceof DecodeError);
      assert.match(error.message, /^Cannot decode an inotify event at byte 32: [^.]+$/);
      assert.equal(error.offset, good.length);
      return true;
    });
  });
}

test("nothing decodes to nothing", () => {
  assert.deepEqual(decode(), []);
});

test("fuzz: bytes that no kernel sends", async () => {
  console.log(`fuzz inotify with SENTINODE_SEED=${seed}`);
  using home = new TemporaryDirectory();
  const runtime = [process.execPath, "run", ...(isDeno ? ["-A", "--quiet"] : [])];
  const fuzz = [...runtime, moduleFile("tests/fuzz.ts"), "inotify", `${seed}`];
  const { status, stdout, stderr } = await finish(fuzz, home.path, 60_000);
  assert.equal(status, 0, `seed ${seed}: ${stderr || "not within 60 s"}`);
  const { decoded, refused } = JSON.parse(stdout);
  assert(decoded > 1000 && refused > 1000, stdout);
});

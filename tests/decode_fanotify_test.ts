/** fanotify's decoder: what this kernel sent, what the headers say others will, and what none does. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import test from "node:test";
import { DecodeError } from "../backends/decode_error.ts";
import {
  decodeFanotify,
  decodeMoves,
  FanotifyBatch,
  type FanotifyRecord,
  lastLoss,
  nameAt,
  pidfdOf,
} from "../backends/fanotify/decode.ts";
import { copyKey } from "../backends/fanotify/handle.ts";
import {
  FAN_ATTRIB,
  FAN_CLOSE_WRITE,
  FAN_CREATE,
  FAN_DELETE,
  FAN_EPIDFD,
  FAN_FS_ERROR,
  FAN_MNT_ATTACH,
  FAN_MODIFY,
  FAN_NOPIDFD,
  FAN_ONDIR,
  FAN_PRE_ACCESS,
  FAN_Q_OVERFLOW,
  FAN_RENAME,
} from "../ffi/abi/fanotify.ts";
import { seed } from "./random.ts";
import { finish, isDeno, moduleFile, TemporaryDirectory } from "./runtime.ts";
import process from "node:process";

function golden(name: string): Buffer[] {
  const text = readFileSync(moduleFile(`tests/fixtures/${name}.hex`), "utf8");
  return text.trimEnd().split("\n").map((line) => Buffer.from(line, "hex"));
}

function batchOf(...records: Uint8Array[]): FanotifyBatch {
  const bytes = Buffer.concat(records);
  return FanotifyBatch.copy(bytes, bytes.length);
}

function decode(...records: Uint8Array[]): FanotifyRecord[] {
  return decodeFanotify(batchOf(...records));
}

/** `struct fanotify_event_metadata` and its info records, as fanotify(7) lays them out. */
function event(mask: bigint | number, info: Uint8Array[] = [], head = 24, pid = 7): Buffer {
  const bytes = Buffer.alloc(head);
  const body = Buffer.concat(info);
  bytes.writeUInt32LE(head + body.length, 0);
  bytes.writeUInt8(3, 4);
  bytes.writeUInt16LE(head, 6);
  bytes.writeBigUInt64LE(BigInt(mask), 8);
  bytes.writeInt32LE(-1, 16);
  bytes.writeInt32LE(pid, 20);
  return Buffer.concat([bytes, body]);
}

/** An info record: header, body, padded to 4 bytes as the kernel does. */
function info(type: number, body: Uint8Array): Buffer {
  const bytes = Buffer.alloc((4 + body.length + 3) & ~3);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt16LE(bytes.length, 2);
  bytes.set(body, 4);
  return bytes;
}

/** The body of a FID record: fsid, `struct file_handle`, and a name with its NUL. */
function fid(handle: readonly number[], name?: string | Uint8Array): Buffer {
  const head = Buffer.alloc(16);
  head.writeInt32LE(0x11, 0);
  head.writeInt32LE(0x22, 4);
  head.writeUInt32LE(handle.length, 8);
  head.writeInt32LE(1, 12);
  const text = name === undefined ? [] : [Buffer.from(name as string), Buffer.alloc(1)];
  return Buffer.concat([head, Buffer.from(handle), ...text]);
}

function words(...numbers: (number | bigint)[]): Buffer {
  return Buffer.concat(numbers.map((number) => {
    const bytes = Buffer.alloc(typeof number === "bigint" ? 8 : 4);
    if (typeof number === "bigint") bytes.writeBigUInt64LE(number);
    else bytes.writeInt32LE(number);
    return bytes;
  }));
}

/** What `scripts/capture.ts` did, as this kernel tells it: its own changes merged, the shell's apart. */
const SCRIPT: readonly (readonly [mask: number, name: string, to?: string])[] = [
  [FAN_CREATE | FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE_WRITE, "a"],
  [FAN_RENAME, "a", "sixteen-letters."],
  [FAN_CREATE | FAN_CLOSE_WRITE, "n".repeat(255)],
  [FAN_CREATE | FAN_ONDIR, "from"],
  [FAN_RENAME | FAN_ONDIR, "from", "to"],
  [FAN_DELETE | FAN_ONDIR, "to"],
  [FAN_CREATE | FAN_CLOSE_WRITE, "raw-\uFFFD\uFFFD"],
  [FAN_RENAME, "raw-\uFFFD\uFFFD", "b"],
  [FAN_DELETE, "sixteen-letters."],
];

for (const fixture of ["fanotify", "fanotify_pidfd"]) {
  test(`${fixture}: the script as this kernel tells it`, () => {
    const batch = batchOf(...golden(fixture));
    const records = decodeFanotify(batch);
    const told = records.map((record) => {
      const to = nameAt(batch, record.target).name;
      return to === "" ? [record.bits, record.name] : [record.bits, record.name, to];
    });
    assert.deepEqual(told, SCRIPT);
    assert.deepEqual(records.map(({ mask }) => mask), SCRIPT.map(([mask]) => BigInt(mask)));
    const key = (at: number) => copyKey(batch.words, at).join(" ");
    const directories = new Set(records.map(({ directory }) => key(directory)));
    assert.equal(directories.size, 1, "one directory, whatever happened in it");
    assert.deepEqual([...directories], [key(records[1]!.target!.directory)]);
    const objects = records.map(({ object }) => key(object));
    assert.equal(objects[0], objects[1], "the file that was renamed is the one that was created");
    assert.equal(objects[0], objects[8], "and the one that was removed");
    assert.deepEqual(
      new Set(objects.slice(3, 6)).size,
      1,
      "one directory was made, renamed, removed",
    );
    assert.equal(new Set(objects).size, 4);
    const pids = records.map(({ pid }) => pid);
    assert.equal(new Set([...pids.slice(0, 6), pids[8]]).size, 1, "the script's own process");
    assert(pids.every((pid) => pid > 0) && pids[6] !== pids[0], "and the shell's");
  });
}

test("a name that is no UTF-8 keeps its bytes, one that is has none", () => {
  const records = decode(...golden("fanotify"));
  const raw = Uint8Array.from([0x72, 0x61, 0x77, 0x2d, 0xff, 0xfe]);
  const bytes = records.map((record) => record.nameBytes(record.name));
  assert.deepEqual(bytes.map((one) => one && [...one]), [
    ...Array(6).fill(undefined),
    [...raw],
    [...raw],
    undefined,
  ]);
  for (const name of ["\uFFFD", "\uFEFFbom", "ü", "😀", "a b\n\\"]) {
    const [record] = decode(event(FAN_CREATE, [info(2, fid([1, 2, 3, 4], name))]));
    assert.equal(record!.name, name);
    assert.equal(record!.nameBytes(record!.name), undefined);
  }
  for (const name of [[0xed, 0xa0, 0x80], [0xc3], [0xef, 0xbf, 0xbd, 0xff], [0xc0, 0xaf]]) {
    const [record] = decode(event(FAN_CREATE, [info(2, fid([1, 2, 3, 4], Uint8Array.from(name)))]));
    assert.deepEqual([...record!.nameBytes(record!.name)!], name);
  }
});

test("names of every length end where they end", () => {
  for (let length = 1; length <= 255; length++) {
    const name = "x".repeat(length);
    for (const handle of [[1, 2, 3, 4], [1, 2, 3, 4, 5], [1], Array(128).fill(9)]) {
      const [record] = decode(event(FAN_CREATE, [info(2, fid(handle, name))]));
      assert.equal(record!.name, name);
    }
  }
});

test("the last loss of a batch is found", () => {
  const loss = event(FAN_Q_OVERFLOW, []);
  const other = event(FAN_DELETE | FAN_ONDIR, []);
  assert.equal(lastLoss(batchOf(other, other)), -1);
  assert.equal(lastLoss(batchOf(loss, other, loss, other)), loss.length + other.length);
});

test("an overflow record has no info and no pid", () => {
  const [record, ...more] = decode(...golden("fanotify_overflow"));
  assert.deepEqual(more, []);
  assert.equal(record!.bits, FAN_Q_OVERFLOW);
  assert.deepEqual(
    [record!.object, record!.directory, record!.name, record!.pid, record!.fd],
    [-1, -1, "", 0, -1],
  );
  assert.deepEqual(record!.info, []);
  assert.equal(record!.target, undefined);
  assert.equal(pidfdOf(record!), FAN_NOPIDFD);
});

test("a pidfd is told, and why there is none", () => {
  const captured = decode(...golden("fanotify_pidfd"));
  const pidfds = captured.map(pidfdOf);
  const [shell, mv] = [pidfds[6]!, pidfds[7]!];
  assert(pidfds.toSpliced(6, 2).every((pidfd) => pidfd >= 0), "the script's process lived");
  assert(shell < 0 && mv < 0, "the shell and mv had ended");
  assert.equal(captured[0]!.info.find(({ type }) => type === 4)!.pidfd, pidfds[0]);
  for (const pidfd of [FAN_NOPIDFD, FAN_EPIDFD, -3, 0, 1023]) {
    const [record] = decode(event(FAN_CREATE, [info(4, words(pidfd))]));
    assert.equal(pidfdOf(record!), pidfd);
  }
  assert.equal(pidfdOf(decode(event(FAN_CREATE, [info(4, words())]))[0]!), FAN_NOPIDFD, "cut");
});

test("unknown info records are stepped over and kept", () => {
  const unknown = [info(200, Buffer.from("hello")), info(11, fid([9, 9, 9, 9])), info(0, words())];
  for (let at = 0; at <= 2; at++) {
    const known = [info(2, fid([1, 2, 3, 4], "name")), info(1, fid([5, 6, 7, 8]))];
    known.splice(at, 0, ...unknown);
    const [record] = decode(event(FAN_CREATE, known));
    assert.equal(record!.name, "name");
    assert(record!.object > 0 && record!.directory > 0);
    assert.deepEqual(record!.info.map(({ type }) => type), known.map((bytes) => bytes[0]));
    const kept = record!.info.find(({ type }) => type === 200)!;
    assert.deepEqual(kept, { type: 200, body: Buffer.from("hello\0\0\0").toString("base64") });
  }
});

test("a longer header, of a kernel to come, is stepped over", () => {
  const [record] = decode(event(FAN_CREATE, [info(2, fid([1, 2, 3, 4], "name"))], 40));
  assert.equal(record!.name, "name");
  assert.equal(record!.info.length, 1);
});

test("unknown bits are kept, those from 32 up too", () => {
  const mask = 0xfedc_ba98_0000_0100n | 0x8000_0000n;
  const [record] = decode(event(mask));
  assert.equal(record!.mask, mask);
  assert.equal(record!.bits, 0x8000_0100);
  assert.equal(JSON.parse(JSON.stringify(record)).mask, "0xfedcba9880000100");
});

test("FS_ERROR, RANGE and MNT records", () => {
  const error = event(FAN_FS_ERROR, [info(1, fid([1, 2, 3, 4])), info(5, words(117, 3))]);
  const range = event(FAN_PRE_ACCESS, [info(6, words(0, 0x1_0000_0000n, 4096n))]);
  const mount = event(FAN_MNT_ATTACH, [info(7, words(0, 0xffff_ffff_8000_0001n))]);
  const records = decode(error, range, mount);
  assert.equal(records.length, 3);
  const [, errorInfo] = records[0]!.info;
  assert.deepEqual([errorInfo!.type, errorInfo!.errno, errorInfo!.count], [5, 117, 3]);
  assert.deepEqual(records[1]!.info[0]!.range, { offset: 2 ** 32, count: 4096 });
  assert.equal(records[2]!.info[0]!.mountId, 0xffff_ffff_8000_0001n);
  for (const record of records) JSON.stringify(record); // a bigint would not do
  // 6 words is not all: only 4-byte alignment is promised, and a record that is cut says nothing.
  const cut = [info(5, words(1)), info(6, words(0, 1n)), info(7, words(0))];
  assert.deepEqual(decode(event(0, cut))[0]!.info.map((one) => Object.keys(one)), [
    ["type", "body"],
    ["type", "body"],
    ["type", "body"],
  ]);
});

test("a handle of no bytes, or one that does not fit, is none", () => {
  const invalid = fid([]);
  invalid.writeInt32LE(0xff, 12); // FILEID_INVALID: an error of the filesystem as a whole
  const tooLong = fid([1, 2, 3, 4], "name");
  tooLong.writeUInt32LE(1000, 8);
  const negative = fid([1, 2, 3, 4], "name");
  negative.writeInt32LE(-4, 8);
  for (const body of [invalid, tooLong, negative, Buffer.alloc(0), Buffer.alloc(12)]) {
    for (const type of [1, 2, 3, 10, 12]) {
      const [record] = decode(event(FAN_CREATE, [info(type, body)]));
      assert.deepEqual(
        [record!.object, record!.directory, record!.name, record!.target],
        [-1, -1, "", undefined],
        `type ${type}`,
      );
      assert.equal(record!.info[0]!.name, undefined);
    }
  }
});

test("one side of a rename alone", () => {
  const batch = batchOf(
    event(FAN_RENAME, [info(10, fid([1, 2, 3, 4], "old"))]),
    event(FAN_RENAME, [info(12, fid([5, 6, 7, 8], "new"))]),
  );
  const [left, came] = decodeFanotify(batch);
  assert.deepEqual([left!.name, left!.target], ["old", undefined]);
  assert.deepEqual([came!.directory, came!.name], [-1, ""]);
  assert.deepEqual(nameAt(batch, came!.target), { name: "new", nameBytes: undefined });
  assert.deepEqual(nameAt(batch, undefined), { name: "", nameBytes: undefined });
});

test("decodeMoves tells of directories that came, moved or went, and of nothing else", () => {
  const batch = batchOf(...golden("fanotify"));
  const records = decodeFanotify(batch);
  const moves = [...decodeMoves(batch)];
  const told = [3, 4, 5].map((n) => records[n]!);
  assert.deepEqual(
    moves.map(({ name, offset, isCreated }) => [name, offset, isCreated]),
    told.map(({ offset }, n) => [["from", "from", "to"][n], offset, n === 0]),
  );
  assert.deepEqual(moves.map(({ to }) => to?.name), [undefined, "to", undefined]);
  assert.deepEqual(moves.map(({ object }) => object), told.map(({ object }) => object));
  const [raw] = decodeMoves(batchOf(event(FAN_DELETE | FAN_ONDIR, [
    info(2, fid([1, 2, 3, 4], Uint8Array.of(0xff))),
    info(1, fid([5, 6, 7, 8])),
  ])));
  assert.deepEqual([...raw!.nameBytes!], [0xff]);
  const anonymous = event(FAN_DELETE | FAN_ONDIR, [info(2, fid([1, 2, 3, 4], "x"))]);
  assert.deepEqual([...decodeMoves(batchOf(anonymous))], []);
});

test("decodeMoves tells of a directory that another one was renamed over", () => {
  const [mover, other, replaced] = [fid([5, 6, 7, 8]), fid([5, 6, 7, 9]), [1, 2, 3, 9]];
  const rename = [
    info(10, fid([1, 2, 3, 4], "old")),
    info(12, fid([1, 2, 3, 5], "new")),
    info(1, mover),
  ];
  const changed = event(FAN_ATTRIB | FAN_ONDIR, [info(2, fid(replaced, "."))]);
  const told = (...events: Buffer[]) =>
    decodeMoves(batchOf(...events)).map(({ name, to, isReplaced }) => [name, to?.name, isReplaced]);
  assert.deepEqual(told(event(FAN_RENAME | FAN_ONDIR, rename), changed, changed), [
    ["old", "new", false],
    ["new", undefined, true],
  ], "once, at the name that was taken");
  const batch = batchOf(event(FAN_RENAME | FAN_ONDIR, rename), changed);
  const [, last] = decodeMoves(batch);
  assert.deepEqual([last!.offset, last!.object], [0, decodeFanotify(batch)[1]!.directory]);
  const removal = event(FAN_DELETE | FAN_ONDIR, [info(2, fid([1, 2, 3, 4], "x")), info(1, other)]);
  assert.deepEqual(
    told(event(FAN_RENAME | FAN_ONDIR, rename), removal, changed),
    [["old", "new", false], ["x", undefined, false]],
    "not of one whose change does not follow",
  );
});

/** A record spoilt in one place. */
function spoilt(change: (bytes: Buffer) => void): Buffer {
  const bytes = event(FAN_DELETE | FAN_ONDIR, [
    info(2, fid([1, 2, 3, 4], "name")),
    info(1, fid([5, 6, 7, 8])),
  ]);
  change(bytes);
  return bytes;
}

const MALFORMED: Readonly<Record<string, [bytes: Buffer, at: number]>> = {
  "no header": [Buffer.alloc(23), 0],
  "length 0": [spoilt((bytes) => bytes.writeUInt32LE(0, 0)), 0],
  "length below the header's": [spoilt((bytes) => bytes.writeUInt32LE(20, 0)), 0],
  "length past the end": [spoilt((bytes) => bytes.writeUInt32LE(bytes.length + 4, 0)), 0],
  "length of 2 GiB and more": [spoilt((bytes) => bytes.writeUInt32LE(0xffff_fff8, 0)), 0],
  "length not aligned": [spoilt((bytes) => bytes.writeUInt32LE(bytes.length - 1, 0)), 0],
  "header too short": [spoilt((bytes) => bytes.writeUInt16LE(20, 6)), 0],
  "header past the end": [spoilt((bytes) => bytes.writeUInt16LE(0xfffc, 6)), 0],
  "header not aligned": [spoilt((bytes) => bytes.writeUInt16LE(26, 6)), 0],
  "another version": [spoilt((bytes) => bytes.writeUInt8(4, 4)), 0],
  "info of length 0": [spoilt((bytes) => bytes.writeUInt16LE(0, 26)), 24],
  "info below its header": [spoilt((bytes) => bytes.writeUInt16LE(3, 26)), 24],
  "info not aligned": [spoilt((bytes) => bytes.writeUInt16LE(29, 26)), 24],
  "info past the end": [spoilt((bytes) => bytes.writeUInt16LE(0xfff0, 26)), 24],
};

for (const [what, [bytes, at]] of Object.entries(MALFORMED)) {
  test(`malformed: ${what}`, () => {
    const good = event(FAN_CREATE);
    const refusal = (offset: number) => (error: unknown) => {
      assert(error instanceof DecodeError);
      assert.match(
        error.message,
        /^Cannot decode an fanotify (event|info record) at byte \d+: [^.]+$/,
      );
      assert.equal(error.offset, offset);
      return true;
    };
    assert.throws(() => decode(bytes), refusal(at));
    assert.throws(() => decode(good, bytes), refusal(good.length + at));
    assert.throws(() => [...decodeMoves(batchOf(good, bytes))], refusal(good.length + at));
  });
}

test("nothing decodes to nothing", () => {
  assert.deepEqual(decode(), []);
  assert.deepEqual([...decodeMoves(batchOf())], []);
});

test("fuzz: bytes that no kernel sends", async () => {
  console.log(`fuzz fanotify with SENTINODE_SEED=${seed}`);
  using home = new TemporaryDirectory();
  const runtime = [process.execPath, "run", ...(isDeno ? ["-A", "--quiet"] : [])];
  const fuzz = [...runtime, moduleFile("tests/fuzz.ts"), "fanotify", `${seed}`];
  const { status, stdout, stderr } = await finish(fuzz, home.path, 60_000);
  assert.equal(status, 0, `seed ${seed}: ${stderr || "not within 60 s"}`);
  const { decoded, refused } = JSON.parse(stdout);
  assert(decoded > 1000 && refused > 1000, stdout);
});

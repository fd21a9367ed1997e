/**
 * Streams of bytes that are cut anywhere, lines or the dispatcher's frames, and the files of a log.
 */

import assert from "node:assert/strict";
import { appendFileSync, linkSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Buffer } from "node:buffer";
import test from "node:test";
import { type Decoded, DispatchStream } from "../backends/audit/audisp.ts";
import { LineSplitter, type TakeLine } from "../backends/audit/lines.ts";
import { readLog } from "../backends/audit/log.ts";
import { MAX_AUDIT_MESSAGE_LENGTH } from "../ffi/abi/audisp.ts";
import { SystemError } from "../ffi/errno.ts";
import { openLibc } from "../ffi/libc.ts";
import { encodeText } from "../ffi/text.ts";
import { openFiles, TemporaryDirectory } from "./runtime.ts";

const AT = "audit(1767225600.042:4711)";

/** Pieces of that many bytes. */
function* pieces(bytes: Uint8Array, size: number): Generator<Uint8Array<ArrayBuffer>> {
  for (let at = 0; at < bytes.length; at += size) {
    yield Uint8Array.from(bytes.subarray(at, at + size));
  }
}

/** All that a stream gives for those bytes, in pieces of that size. */
function decoded(bytes: Uint8Array, size: number): { shown: string[]; rejected: number } {
  const stream = new DispatchStream();
  const all: Decoded[] = [];
  for (const piece of pieces(bytes, size)) {
    const buffer = piece.slice();
    all.push(...stream.push(buffer));
    buffer.fill(0x7a); // the caller reads into it again
  }
  all.push(...stream.end());
  const shown = all.map((item) =>
    typeof item === "string" ? `no record: ${item}` : `${item.node ?? ""} ${item.name} ${item.text}`
  );
  return { shown, rejected: stream.rejected };
}

const SIZES = [1, 2, 3, 5, 16, 17, 100, 4096, 1 << 20];

const LINES = `type=CWD msg=${AT}: cwd="/a"\r\n\n` +
  `node=n type=PATH msg=${AT}: name="/\xe9"\x1dOUID="root"\nnonsense\n` +
  `type=PROCTITLE msg=${AT}: proctitle="x"`;

for (const size of SIZES) {
  test(`lines in pieces of ${size}`, () => {
    assert.deepEqual(decoded(Buffer.from(LINES, "latin1"), size), {
      shown: [
        ' CWD cwd="/a"',
        'n PATH name="/\xe9"',
        "no record: nonsense",
        ' PROCTITLE proctitle="x"',
      ],
      rejected: 1,
    });
  });
}

/** A frame of the dispatcher. What it sends behind the text is what was in its buffer before. */
function frame(version: number, type: number, text: string, padding?: string): Uint8Array {
  const header = new Uint8Array(16);
  const view = new DataView(header.buffer);
  [version, 16, type, text.length].forEach((word, at) => view.setUint32(at * 4, word, true));
  const data = padding === undefined
    ? text
    : (text + padding.repeat(MAX_AUDIT_MESSAGE_LENGTH)).slice(0, MAX_AUDIT_MESSAGE_LENGTH);
  return Buffer.concat([header, encodeText(data)]);
}

function frames(padding?: string): Uint8Array {
  return Buffer.concat([
    frame(0, 1300, `${AT}: arch=c000003e syscall=1\n`, padding),
    frame(1, 1302, `node=n type=PATH msg=${AT}: name="/b"\x1dOUID="root"`, padding),
    frame(0, 1399, `${AT}: x=1`, padding),
    frame(1, 1320, `type=EOE msg=${AT}: `, padding),
  ]);
}

const FRAMES = [
  " SYSCALL arch=c000003e syscall=1",
  'n PATH name="/b"',
  " UNKNOWN[1399] x=1",
  " EOE ",
];

for (
  const [what, padding] of [
    ["tight frames", undefined],
    ["frames that are as long as the longest", "\0"],
    ["frames with old text behind the new", "type=EOE msg=audit(1.000:1): \n"],
  ] as const
) {
  for (const size of SIZES.filter((size) => padding === undefined || size > 3)) {
    test(`${what} in pieces of ${size}`, () => {
      assert.deepEqual(decoded(frames(padding), size), { shown: FRAMES, rejected: 0 });
    });
  }
}

test("the first frame does not wait for the second", () => {
  const stream = new DispatchStream();
  assert.equal(stream.push(Uint8Array.from(frame(0, 1307, `${AT}: cwd="/"`))).length, 1);
  assert.deepEqual(stream.end(), []);
});

test("the longest text", () => {
  const text = `${AT}: name="${"x".repeat(MAX_AUDIT_MESSAGE_LENGTH)}`.slice(
    0,
    MAX_AUDIT_MESSAGE_LENGTH,
  );
  const bytes = Buffer.concat([frame(0, 1302, text), frame(0, 1302, text)]);
  assert.equal(decoded(bytes, 1000).shown[1]!.length, ` PATH ${text}`.length - `${AT}: `.length);
});

test("a frame that is cut is given back at the end", () => {
  const bytes = frames().subarray(0, -3);
  const { shown, rejected } = decoded(bytes, 64);
  assert.deepEqual(shown.slice(0, 3), FRAMES.slice(0, 3));
  assert.equal(shown.length, 4);
  assert.equal(rejected, 1);
});

test("bytes between frames are given back, and the next frame is found", () => {
  const first = frame(1, 1307, `type=CWD msg=${AT}: cwd="/a"`);
  const second = frame(1, 1307, `type=CWD msg=${AT}: cwd="/b"`);
  const third = frame(1, 1307, `type=CWD msg=${AT}: cwd="/c"`);
  const bytes = Buffer.concat([first, second, encodeText("garbage in between"), third]);
  for (const size of SIZES) {
    assert.deepEqual(decoded(bytes, size).shown.filter((text) => !text.startsWith("no record")), [
      ' CWD cwd="/a"',
      ' CWD cwd="/b"',
      ' CWD cwd="/c"',
    ]);
  }
  assert.deepEqual(decoded(bytes, bytes.length), {
    shown: [' CWD cwd="/a"', ' CWD cwd="/b"', "no record: garbage in between", ' CWD cwd="/c"'],
    rejected: 1,
  });
});

test("a stream that ends before it has begun", () => {
  assert.deepEqual(decoded(new Uint8Array(0), 1), { shown: [], rejected: 0 });
  assert.deepEqual(decoded(encodeText("ty"), 1), { shown: ["no record: ty"], rejected: 1 });
});

test("what never ends is no line", () => {
  const splitter = new LineSplitter();
  const chunk = new Uint8Array(300_000).fill(0x78);
  const lines: string[] = [];
  const take: TakeLine = (text, start, end) => lines.push(text.slice(start, end));
  for (let round = 0; round < 10; round++) splitter.push(chunk, take);
  assert.equal(Math.max(...lines.splice(0).map(({ length }) => length)), 1_200_000);
  splitter.push(encodeText("\nend"), take);
  assert.equal(lines.splice(0).length, 1);
  splitter.end(take);
  assert.deepEqual(lines, ["end"]);
});

const libc = await openLibc();

/** The lines of a log. */
function linesOf(path: string, rotated: boolean): string[] {
  const splitter = new LineSplitter();
  const lines: string[] = [];
  const take: TakeLine = (text, start, end) => lines.push(text.slice(start, end));
  for (const chunk of readLog(libc, path, { rotated })) splitter.push(chunk, take);
  splitter.end(take);
  return lines;
}

test("a log is read with what it was rotated into, oldest first", () => {
  using directory = new TemporaryDirectory();
  const path = join(directory.path, "audit.log");
  for (const [name, text] of [["", "d\n"], [".1", "c, cut"], [".2", "b\n"], [".10", "a\n"]]) {
    writeFileSync(path + name, text!);
  }
  const open = openFiles();
  assert.deepEqual(linesOf(path, true), ["b", "c, cut", "d"]); // .10 belongs to a row that has a gap
  assert.deepEqual(linesOf(path, false), ["d"]);
  for (let age = 3; age < 10; age++) writeFileSync(`${path}.${age}`, `${age}\n`);
  assert.deepEqual(linesOf(path, true).slice(0, 3), ["a", "9", "8"]);
  // In the midst of a rotation.
  rmSync(path);
  assert.deepEqual(linesOf(path, true).slice(-2), ["b", "c, cut"]);
  assert.equal(openFiles(), open);
});

test("a rotation while a log is read loses nothing", () => {
  using directory = new TemporaryDirectory();
  const path = join(directory.path, "audit.log");
  writeFileSync(`${path}.1`, "a\n");
  writeFileSync(path, "b\n");
  const splitter = new LineSplitter();
  const lines: string[] = [];
  for (const chunk of readLog(libc, path, { rotated: true })) {
    if (lines.length === 0) {
      renameSync(`${path}.1`, `${path}.2`);
      renameSync(path, `${path}.1`);
      writeFileSync(path, "new\n");
      appendFileSync(`${path}.1`, "c\n");
    }
    splitter.push(chunk, (text, start, end) => lines.push(text.slice(start, end)));
  }
  assert.deepEqual(lines, ["a", "b", "c"]);
});

test("a file that has two names is read once", () => {
  using directory = new TemporaryDirectory();
  const path = join(directory.path, "audit.log");
  writeFileSync(path, "a\n");
  linkSync(path, `${path}.1`);
  assert.deepEqual(linesOf(path, true), ["a"]);
});

test("a log larger than a chunk", () => {
  using directory = new TemporaryDirectory();
  const path = join(directory.path, "audit.log");
  const lines = Array.from({ length: 20_000 }, (_, index) => `${index} ${"x".repeat(index % 97)}`);
  writeFileSync(path, lines.join("\n") + "\n");
  assert.deepEqual(linesOf(path, false), lines);
});

test("a log that cannot be read", () => {
  using directory = new TemporaryDirectory();
  const open = openFiles();
  const missing = join(directory.path, "audit.log");
  for (const rotated of [false, true]) {
    assert.throws(() => linesOf(missing, rotated), (error) => {
      assert(error instanceof SystemError);
      assert.equal(error.code, "ENOENT");
      assert.match(error.message, /^Cannot read .*audit\.log: no such file or directory/);
      return true;
    });
  }
  mkdirSync(missing);
  assert.throws(() => linesOf(missing, false), { code: "EISDIR" });
  assert.equal(openFiles(), open);
});

/**
 * Feeds the decoders what no kernel sends. Run by their tests as a process of its own, so that an endless loop can be
 * ended: `fuzz.ts fanotify|inotify SEED`.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import process from "node:process";
import { DecodeError } from "../backends/decode_error.ts";
import {
  decodeFanotify,
  decodeMoves,
  FanotifyBatch,
  pidfdOf,
} from "../backends/fanotify/decode.ts";
import { copyKey } from "../backends/fanotify/handle.ts";
import { decodeInotify } from "../backends/inotify/decode.ts";
import { moduleFile } from "./runtime.ts";

const ROUNDS = 20_000;

/** What stands behind the data: a decoder that reads on finds records that name it. */
const POISON = "POISON";

/** How much poison follows. */
const MARGIN = 4096;

/** xorshift32: the same numbers for the same seed everywhere. */
function source(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

type Random = ReturnType<typeof source>;

/** Values that lengths and offsets go wrong at. */
const EDGES = [
  0,
  1,
  3,
  4,
  12,
  16,
  20,
  24,
  0x7f,
  0xff,
  0x7fff,
  0xffff,
  0x7fffffff,
  0x80000000,
  0xffffffff,
];

/** Ways to spoil what the kernel sent. */
const SPOILS: readonly ((random: Random, golden: Uint8Array) => Uint8Array)[] = [
  (random) => Uint8Array.from({ length: random(200) }, () => random(256)),
  (random, golden) => golden.slice(0, random(golden.length + 1)),
  (random, golden) => {
    const spoilt = golden.slice();
    for (let flips = 1 + random(8); flips > 0; flips--) {
      spoilt[random(spoilt.length)]! ^= 1 << random(8);
    }
    return spoilt;
  },
  (random, golden) => {
    const spoilt = golden.slice();
    const view = new DataView(spoilt.buffer);
    view.setUint32(random(spoilt.length >> 2) * 4, EDGES[random(EDGES.length)]!, true);
    return spoilt;
  },
  (random, golden) => {
    const spoilt = golden.slice();
    const view = new DataView(spoilt.buffer);
    view.setUint16(random(spoilt.length >> 1) * 2, EDGES[random(EDGES.length)]! & 0xffff, true);
    return spoilt;
  },
];

/** `data` at the start of a buffer whose rest decodes as `poison`. */
function poisoned(data: Uint8Array, poison: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array((data.length + MARGIN + 3) & ~3);
  for (let at = data.length; at + poison.length <= bytes.length; at += poison.length) {
    bytes.set(poison, at);
  }
  bytes.set(data);
  return bytes;
}

/** All that can be asked of what `data` decodes to, as text. */
type Exhaust = (bytes: Uint8Array<ArrayBuffer>, length: number) => string;

function exhaustFanotify(bytes: Uint8Array<ArrayBuffer>, length: number): string {
  const batch = new FanotifyBatch(bytes, length);
  const told = decodeFanotify(batch).map((record) => {
    assert(record.offset + record.length <= length, "a record ends within the data");
    const { object, directory, target, name } = record;
    for (const word of [object, directory, target?.directory ?? -1]) {
      if (word < 0) continue;
      const key = copyKey(batch.words, word);
      assert(word * 4 + key.byteLength <= length, "a key ends within the data");
    }
    for (const place of [{ start: record.nameStart, end: record.nameEnd }, target]) {
      assert(
        place === undefined || (place.start <= place.end && place.end <= length),
        "a name, too",
      );
    }
    return JSON.stringify([record, name, [...record.nameBytes(name) ?? []], pidfdOf(record)]);
  });
  const moves = [...decodeMoves(batch)].map(({ name, offset }) => {
    assert(offset < length, "a move is within the data");
    return name;
  });
  return [...told, ...moves].join("\n");
}

function exhaustInotify(bytes: Uint8Array<ArrayBuffer>, length: number): string {
  return JSON.stringify(decodeInotify(bytes, length));
}

const KINDS: Readonly<Record<string, readonly [fixtures: readonly string[], exhaust: Exhaust]>> = {
  fanotify: [["fanotify", "fanotify_pidfd", "fanotify_overflow"], exhaustFanotify],
  inotify: [["inotify", "inotify_overflow"], exhaustInotify],
};

function golden(name: string): Buffer[] {
  const text = readFileSync(moduleFile(`tests/fixtures/${name}.hex`), "utf8");
  return text.trimEnd().split("\n").map((line) => Buffer.from(line, "hex"));
}

/** A record like the kernel's with the poison for a name: the one of the fixtures whose name has as many letters. */
function poisonOf(kind: string): Uint8Array {
  const record = golden(kind).find((record) => record.includes("raw-"))!;
  const poison = new Uint8Array(record);
  poison.set(Buffer.from(POISON), record.indexOf("raw-"));
  return poison;
}

const [kind = "", seed = ""] = process.argv.slice(2);
const [fixtures, exhaust] = KINDS[kind]!;
const random = source(Number(seed));
const poison = poisonOf(kind);
assert(exhaust(new Uint8Array(poison), poison.length).includes(POISON), "the poison decodes");

const buffers = fixtures.map((name) => new Uint8Array(Buffer.concat(golden(name))));
const outcomes = { decoded: 0, refused: 0 };
for (let round = 0; round < ROUNDS; round++) {
  const data = SPOILS[round % SPOILS.length]!(random, buffers[random(buffers.length)]!);
  const bytes = poisoned(data, poison);
  const before = bytes.slice();
  try {
    const told = exhaust(bytes, data.length);
    assert(!told.includes(POISON), "nothing behind the data was read");
    outcomes.decoded++;
  } catch (error) {
    if (!(error instanceof DecodeError)) {
      console.error(`round ${round} of seed ${seed}: ${Buffer.from(data).toString("hex")}`);
      throw error;
    }
    assert(error.offset <= data.length, "the error is within the data");
    outcomes.refused++;
  }
  assert(Buffer.compare(bytes, before) === 0, "the data are as they were");
}
console.log(JSON.stringify(outcomes));

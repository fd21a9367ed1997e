/** What is read from a notification pipe, and which notes are wanted; the bytes are a C program's, of the kernel's headers. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { DecodeError } from "../backends/decode_error.ts";
import { decodeNotes, type KeyNote } from "../backends/keys/decode.ts";
import { encodeFilter, faultOf, type KeyFilter, passes } from "../backends/keys/filter.ts";
import { parseConstruction, parseDescription } from "../backends/keys/keyctl.ts";
import { keyEvent, keyKind, subjectsOf, subtypesOf } from "../classify/keys.ts";
import { isWanted } from "../classify/kinds.ts";
import { seed, wholeNumbers } from "./random.ts";
import { TemporaryDirectory } from "./runtime.ts";

const hasCompiler = spawnSync("cc", ["--version"]).status === 0;
const needsCompiler = hasCompiler ? {} : { skip: "no C compiler (cc)" };

/** What a C program writes to its output. */
function bytesOf(body: string): Uint8Array<ArrayBuffer> {
  using at = new TemporaryDirectory();
  const [source, binary] = [join(at.path, "notes.c"), join(at.path, "notes")];
  writeFileSync(
    source,
    `#define _GNU_SOURCE
#include <linux/watch_queue.h>
#include <stdio.h>
#include <string.h>
static void put(const void *bytes, size_t length) { fwrite(bytes, 1, length, stdout); }
int main(void) {
${body}
  return 0;
}`,
  );
  const built = spawnSync("cc", ["-std=gnu11", "-o", binary, source], { encoding: "utf8" });
  assert.equal(built.status, 0, built.stderr);
  return new Uint8Array(spawnSync(binary).stdout);
}

const NOTES = `
  for (int subtype = 0; subtype < 9; subtype++) {
    struct key_notification n = {
      .watch.type = WATCH_TYPE_KEY_NOTIFY, .watch.subtype = subtype,
      .watch.info = sizeof(n) | (0xa0 + subtype) << WATCH_INFO_ID__SHIFT | WATCH_INFO_FLAG_7,
      .key_id = 0x7fffffff - subtype, .aux = subtype ? 1000 + subtype : (__u32)-126,
    };
    put(&n, sizeof(n));
  }
  struct watch_notification_removal gone = {
    .watch.type = WATCH_TYPE_META, .watch.subtype = WATCH_META_REMOVAL_NOTIFICATION,
    .watch.info = sizeof(gone) | 7 << WATCH_INFO_ID__SHIFT, .id = 0x12345678,
  };
  put(&gone, sizeof(gone));
  struct watch_notification removed = {
    .type = WATCH_TYPE_META, .subtype = WATCH_META_REMOVAL_NOTIFICATION, .info = sizeof(removed),
  };
  put(&removed, sizeof(removed));
  struct watch_notification loss = {
    .type = WATCH_TYPE_META, .subtype = WATCH_META_LOSS_NOTIFICATION, .info = sizeof(loss),
  };
  put(&loss, sizeof(loss));
  struct { struct watch_notification n; char more[100]; } other = {
    .n.type = 0xabcdef, .n.subtype = 0xfe, .n.info = sizeof(other) | 255 << WATCH_INFO_ID__SHIFT,
  };
  memset(other.more, 0x5a, sizeof(other.more));
  put(&other, sizeof(other));
  struct { struct key_notification n; __u32 more; } longer = {
    .n.watch.type = WATCH_TYPE_KEY_NOTIFY, .n.watch.subtype = NOTIFY_KEY_UPDATED,
    .n.watch.info = sizeof(longer), .n.key_id = 5, .more = 0x01020304,
  };
  put(&longer, sizeof(longer));
`;

test("each note, every bit of it", needsCompiler, () => {
  const bytes = bytesOf(NOTES);
  const notes = decodeNotes(bytes, bytes.length);
  const ofKeys = Array.from({ length: 9 }, (_, subtype): KeyNote => ({
    type: 1,
    subtype,
    info: (16 | (0xa0 + subtype) << 8 | 0x800000) >>> 0,
    tag: 0xa0 + subtype,
    keyId: 0x7fffffff - subtype,
    aux: subtype === 0 ? 0x100000000 - 126 : 1000 + subtype,
  }));
  assert.deepEqual(notes, [
    ...ofKeys,
    { type: 0, subtype: 0, info: 16 | 7 << 8, tag: 7, id: 0x12345678 },
    { type: 0, subtype: 0, info: 8, tag: 0 },
    { type: 0, subtype: 1, info: 8, tag: 0 },
    {
      type: 0xabcdef,
      subtype: 0xfe,
      info: 108 | 255 << 8,
      tag: 255,
      rest: new Uint8Array(100).fill(0x5a),
    },
    { type: 1, subtype: 1, info: 20, tag: 0, keyId: 5, aux: 0, rest: Uint8Array.of(4, 3, 2, 1) },
  ]);
  assert.deepEqual(notes.map(keyKind), [
    "key.instantiate",
    "key.update",
    "key.link",
    "key.unlink",
    "key.clear",
    "key.revoke",
    "key.invalidate",
    "key.setattr",
    "other",
    "key.remove",
    "key.remove",
    "lost",
    "other",
    "key.update",
  ]);
});

test("what is cut, or runs past the end, is refused where it begins", () => {
  const note = [2, 0, 0, 0x01, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
  const bytes = Uint8Array.from([...note, ...note]);
  assert.equal(decodeNotes(bytes, 32).length, 2);
  assert.deepEqual(decodeNotes(bytes, 0), []);
  for (let length = 17; length < 32; length++) {
    assert.throws(() => decodeNotes(bytes, length), (error) => {
      assert(error instanceof DecodeError);
      assert.equal(error.offset, 16);
      return true;
    });
  }
  for (const size of [0, 7]) {
    bytes[4] = size; // would not get on
    assert.throws(() => decodeNotes(bytes, 32), DecodeError);
  }
});

test("a note of keys that is shorter than they are has none", () => {
  const bytes = Uint8Array.of(1, 0, 0, 1, 12, 0, 0, 0, 9, 9, 9, 9);
  assert.deepEqual(decodeNotes(bytes, 12), [
    { type: 1, subtype: 1, info: 12, tag: 0, rest: Uint8Array.of(9, 9, 9, 9) },
  ]);
});

test("any bytes are notes or refused, and notes have the length of all", () => {
  const below = wholeNumbers(seed);
  let decoded = 0;
  for (let round = 0; round < 20_000; round++) {
    const length = 8 * below(9) + (below(4) === 0 ? below(8) : 0);
    const bytes = Uint8Array.from({ length }, () => below(256));
    for (let at = 0, size = 0; at + 8 <= length; at += size) {
      size = 8 + 8 * below(4);
      bytes.set([below(2), 0, 0, below(9), below(50) === 0 ? below(256) : size], at);
    }
    try {
      const notes = decodeNotes(bytes, length);
      assert.equal(notes.reduce((sum, { info }) => sum + (info & 0x7f), 0), length, `${seed}`);
      decoded += notes.length;
    } catch (error) {
      assert(error instanceof DecodeError, `seed ${seed}: ${error}`);
      assert(error.offset < length);
    }
  }
  assert(decoded > 1000, `${decoded} notes`);
});

const FILTERS: readonly KeyFilter[] = [
  {},
  { subtypes: [] },
  { subtypes: [1, 5, 31] },
  { type: 0xffffff, subtypes: [0] },
  { info: 0x300, infoMask: 0xff00 },
  { info: 0x80000000, infoMask: 0xffffff80 },
];

test("a filter has the bytes of C's struct", needsCompiler, () => {
  const expected = bytesOf(`
  struct { struct watch_notification_filter head; struct watch_notification_type_filter f[7]; } all = {
    .head.nr_filters = 7,
    .f = {
      { .type = WATCH_TYPE_KEY_NOTIFY, .subtype_filter[0] = 1 << NOTIFY_KEY_LINKED |
          1 << NOTIFY_KEY_UNLINKED | 1 << NOTIFY_KEY_CLEARED | 1 << NOTIFY_KEY_REVOKED },
      { .type = WATCH_TYPE_KEY_NOTIFY, .subtype_filter[0] = 0xffffffff },
      { .type = WATCH_TYPE_KEY_NOTIFY, .subtype_filter[0] = 0 },
      { .type = WATCH_TYPE_KEY_NOTIFY, .subtype_filter[0] = 1u << 1 | 1u << 5 | 1u << 31 },
      { .type = 0xffffff, .subtype_filter[0] = 1 },
      { .type = WATCH_TYPE_KEY_NOTIFY, .subtype_filter[0] = 0xffffffff,
        .info_filter = 3 << WATCH_INFO_ID__SHIFT, .info_mask = WATCH_INFO_ID },
      { .type = WATCH_TYPE_KEY_NOTIFY, .subtype_filter[0] = 0xffffffff,
        .info_filter = 0x80000000, .info_mask = ~WATCH_INFO_LENGTH },
    },
  };
  put(&all, sizeof(all));`);
  assert.deepEqual(encodeFilter(FILTERS), expected);
});

test("a filter here is as the kernel's", () => {
  const note = (type: number, subtype: number, info = 16): KeyNote => ({
    type,
    subtype,
    info,
    tag: info >> 8 & 0xff,
  });
  const lets = (filter: KeyFilter, one: KeyNote) => passes(one, [filter]);
  const [all, none, some, other, tagged, high] = FILTERS as [KeyFilter, ...KeyFilter[]];
  assert(lets(all, note(1, 0)) && lets(all, note(1, 31)) && !lets(all, note(2, 0)));
  assert(!lets(none!, note(1, 0)));
  assert(lets(some!, note(1, 5)) && !lets(some!, note(1, 6)));
  assert(lets(other!, note(0xffffff, 0)) && !lets(other!, note(1, 0)));
  assert(lets(tagged!, note(1, 0, 0x310)) && !lets(tagged!, note(1, 0, 0x210)));
  assert(lets(high!, note(1, 0, 0x80000010)) && !lets(high!, note(1, 0, 0x80010010)));
  for (const subtype of [0, 1]) assert(passes(note(0, subtype), [none!]), "losses and removals");
  assert(passes(note(1, 5), [none!, some!]), "one of them is enough");
});

test("what is wrong with a filter", () => {
  for (const filter of FILTERS) assert.equal(faultOf(filter), undefined);
  const bad: readonly (readonly [KeyFilter, RegExp])[] = [
    [{ type: -1 }, /type is -1/],
    [{ type: 0x1000000 }, /type is/],
    [{ type: 1.5 }, /type is/],
    [{ subtypes: [32] }, /0 to 31, not 32/],
    [{ subtypes: [0, -1] }, /not -1/],
    [{ infoMask: 1 }, /length/],
    [{ info: 0x100 }, /infoMask has not/],
    [{ infoMask: 2 ** 32 }, /32 bits/],
  ];
  for (const [filter, message] of bad) assert.match(faultOf(filter)!, message);
});

test("which subtypes kinds are", () => {
  const of = (...patterns: string[]) => subtypesOf((kind) => isWanted(kind, patterns));
  assert.deepEqual(of("key"), [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual(of("key.update", "key.setattr", "create"), [1, 7]);
  assert.deepEqual(of("lost"), []);
});

const FOUND = (id: number) => id === 10 ? undefined : 10;

test("which key and which keyring a note is about", () => {
  const of = (subtype: number, keyId: number, aux = 0) =>
    subjectsOf({ type: 1, subtype, info: 16, tag: 0, keyId, aux }, FOUND);
  assert.deepEqual(of(2, 10, 20), { keyring: 10, key: 20 });
  assert.deepEqual(of(3, 10, 20), { keyring: 10, key: 20 });
  assert.deepEqual(of(4, 10), { keyring: 10 });
  assert.deepEqual(of(1, 20), { keyring: 10, key: 20 });
  assert.deepEqual(of(5, 10), { keyring: undefined, key: 10 });
  const meta = { type: 0, info: 8, tag: 0 };
  assert.deepEqual(subjectsOf({ ...meta, subtype: 0, id: 20 }, FOUND), { keyring: 10, key: 20 });
  assert.deepEqual(subjectsOf({ ...meta, subtype: 1 }, FOUND), {});
});

test("an event of keys", () => {
  const note: KeyNote = { type: 1, subtype: 2, info: 0x310, tag: 3, keyId: 10, aux: 20 };
  const key = {
    id: 20,
    type: "user",
    description: "mail",
    uid: 1,
    gid: 2,
    permissions: 0x3f010000,
  };
  const event = keyEvent(note, { key, keyring: { id: 10 } }, 1234.5);
  assert.equal(event.raw, note);
  assert.deepEqual(JSON.parse(JSON.stringify(event)), {
    kind: "key.link",
    path: "",
    time: 1234.5,
    backend: "keys",
    attributes: { keyring: { id: 10 }, key, tag: 3 },
  });
  const synthetic = keyEvent(note, {}, 1, true);
  assert.deepEqual([synthetic.synthetic, synthetic.raw], [true, undefined]);
  assert.deepEqual(synthetic.attributes, { tag: 3 });
  const refused = { ...note, subtype: 0, aux: 0x100000000 - 126 };
  assert.equal(keyEvent(refused, {}, 1).attributes.errno, 126);
  assert.equal("errno" in keyEvent({ ...refused, aux: 0 }, {}, 1).attributes, false);
  const loss = keyEvent({ type: 0, subtype: 1, info: 8, tag: 0 }, {}, 1);
  assert.equal(loss.kind, "lost");
  assert.deepEqual(loss.attributes, { reason: "the kernel's queue was full" });
  assert.equal(keyEvent({ ...note, subtype: 99 }, {}, 1).kind, "other");
});

test("what the kernel says of a key", () => {
  assert.deepEqual(parseDescription(7, "user;1000;-1;3f010000;a;b\nc;"), {
    id: 7,
    type: "user",
    description: "a;b\nc;",
    uid: 1000,
    gid: 0xffffffff,
    permissions: 0x3f010000,
  });
  assert.equal(parseDescription(7, "user;1000;3f010000;x"), undefined);
  assert.equal(parseDescription(7, ""), undefined);
});

test("keys under construction, by /proc/keys", () => {
  const text = `
0b123542 I--Q---     1 perm 0c030000     0 65534 keyring   .user_reg: 2
149dd192 ----U--     1 perm 1f0b0000     0     0 user      mine: 3
2cace2a5 I--QUN-     2 perm 1f3f0000     0 65534 user      aaaa ----U--
314f7a7f IRDQ--i     1 perm 1f030000     0     0 keyring   ----U--: empty
`;
  assert.deepEqual([...parseConstruction(text)], [0x149dd192, 0x2cace2a5]);
  assert.deepEqual([...parseConstruction("")], []);
});

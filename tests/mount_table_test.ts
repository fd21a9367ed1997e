/** Mounts from bytes, and what became of a table from two of them. */

import assert from "node:assert/strict";
import test from "node:test";
import { DecodeError } from "../backends/decode_error.ts";
import { compareMounts } from "../backends/mounts/compare.ts";
import type { Mount } from "../backends/mounts/mount.ts";
import { decodeStatmount } from "../backends/mounts/statmount.ts";
import { statmount } from "../ffi/abi/mount.ts";
import { encodeText } from "../ffi/text.ts";
import { wholeNumbers } from "./random.ts";

/** `struct statmount` with these numbers, and strings behind the head. */
function bytesOf(
  numbers: Readonly<Record<string, number>>,
  strings: Readonly<Record<string, string | Uint8Array>>,
): Uint8Array<ArrayBuffer> {
  const texts = Object.entries(strings).map(([name, text]) =>
    [name, typeof text === "string" ? encodeText(text) : text] as const
  );
  const size = texts.reduce<number>((sum, [, text]) => sum + text.length + 1, statmount.size);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  const offset = (name: string) => (statmount as Readonly<Record<string, number>>)[name]!;
  for (const [name, value] of Object.entries(numbers)) {
    if (LONG.has(name)) view.setBigUint64(offset(name), BigInt(value), true);
    else view.setUint32(offset(name), value, true);
  }
  let at = 0;
  for (const [name, text] of texts) {
    view.setUint32(offset(name), at, true);
    bytes.set(text, statmount.size + at);
    at += text.length + 1;
  }
  return bytes;
}

const LONG: ReadonlySet<string> = new Set([
  "mask",
  "mnt_id",
  "mnt_parent_id",
  "mnt_attr",
  "mnt_propagation",
  "mnt_peer_group",
  "mnt_master",
  "propagate_from",
]);

const NUMBERS = {
  mask: 0x3bf,
  sb_dev_major: 8,
  sb_dev_minor: 1,
  sb_flags: 0x2000011, // ro, sync, lazytime
  mnt_id: 2 ** 31 + 9,
  mnt_parent_id: 2 ** 31 + 1,
  mnt_id_old: 36,
  mnt_attr: 0x20008b, // ro, nosuid, noexec, nodiratime, nosymfollow
  mnt_propagation: 0x100000,
  mnt_peer_group: 7,
  mnt_master: 3,
  propagate_from: 2,
};

const STRINGS = {
  fs_type: "fuse",
  fs_subtype: "sshfs",
  mnt_root: "/sub",
  mnt_point: "/mnt/a b",
  sb_source: "host:/x",
  mnt_opts: "user_id=0,x=a\\040b",
};

test("struct statmount is told as the mount table tells it", () => {
  assert.deepEqual(decodeStatmount(bytesOf(NUMBERS, STRINGS)), {
    id: 2 ** 31 + 9,
    parent: 2 ** 31 + 1,
    tableId: 36,
    device: "8:1",
    root: "/sub",
    point: "/mnt/a b",
    options: "ro,nosuid,noexec,nodiratime,relatime,nosymfollow",
    type: "fuse.sshfs",
    source: "host:/x",
    superOptions: "ro,sync,lazytime,user_id=0,x=a\\040b",
    shared: 7,
    master: 3,
    propagateFrom: 2,
  });
});

test("what the kernel does not tell is left out", () => {
  const told = decodeStatmount(
    bytesOf({ ...NUMBERS, mask: 0x3a, mnt_propagation: 0x20000 }, STRINGS),
  );
  const { root, type, source, superOptions, propagateFrom, shared, unbindable } = told!;
  assert.deepEqual([root, type, source], ["/sub", "fuse", "none"]);
  assert.equal(superOptions, "ro,sync,lazytime");
  assert.deepEqual([propagateFrom, shared, unbindable], [undefined, undefined, true]);
  assert.equal(decodeStatmount(bytesOf({ ...NUMBERS, mask: 0x2f }, STRINGS)), undefined);
});

test("names that are no text keep their bytes", () => {
  const bytes = new Uint8Array([0x2f, 0xff]);
  const told = decodeStatmount(
    bytesOf(NUMBERS, { ...STRINGS, mnt_point: bytes, mnt_root: bytes, sb_source: bytes }),
  )!;
  assert.deepEqual([told.point, told.root, told.source], Array(3).fill("/\ufffd"));
  assert.deepEqual([told.pointBytes, told.rootBytes, told.sourceBytes], Array(3).fill(bytes));
});

test("damaged bytes are a DecodeError, or a mount", () => {
  const sound = bytesOf(NUMBERS, STRINGS);
  const random = wholeNumbers(7);
  for (let round = 0; round < 5000; round++) {
    const bytes = sound.slice(0, statmount.size + random(sound.length - statmount.size + 1));
    for (let flips = random(4); flips > 0; flips--) bytes[random(bytes.length)] = random(256);
    try {
      const mount = decodeStatmount(bytes);
      assert(mount === undefined || mount.point !== "");
    } catch (error) {
      assert(error instanceof DecodeError, String(error));
    }
  }
});

function mount(id: number, point: string, parent = 1, more: Partial<Mount> = {}): Mount {
  return {
    id,
    parent,
    tableId: id,
    device: `0:${id}`,
    root: "/",
    point,
    options: "rw",
    type: "tmpfs",
    source: "none",
    superOptions: "rw",
    ...more,
  };
}

/** What became of the first table, in short. */
function became(before: readonly Mount[], after: readonly Mount[]): string[] {
  const table = (mounts: readonly Mount[]) => new Map(mounts.map((one) => [one.id, one]));
  return compareMounts(table(before), table(after)).map(({ what, mount, before }) =>
    `${what} ${before === undefined ? "" : `${before.point} > `}${mount!.point}`
  );
}

const ROOT = mount(1, "/", 0);
const A = mount(2, "/a");
const B = mount(3, "/a/b", 2);
const C = mount(4, "/a/b/c", 3);

test("what came and went: the outermost comes first, and goes last", () => {
  assert.deepEqual(became([ROOT], [C, B, A, ROOT]), ["attach /a", "attach /a/b", "attach /a/b/c"]);
  assert.deepEqual(became([ROOT, A, B, C], [ROOT]), ["detach /a/b/c", "detach /a/b", "detach /a"]);
  assert.deepEqual(became([ROOT, A, B, C], [ROOT, A, B, C]), []);
});

test("what moves takes what is below along, which has not moved itself", () => {
  const moved = [mount(2, "/x"), mount(3, "/x/b", 2), mount(4, "/x/b/c", 3)];
  assert.deepEqual(became([ROOT, A, B, C], [ROOT, ...moved]), ["move /a > /x"]);
  assert.deepEqual(became([ROOT, A, B], [ROOT, A, mount(3, "/a/d", 2)]), ["move /a/b > /a/d"]);
  assert.deepEqual(became([ROOT, A, B], [ROOT, A, mount(3, "/b", 1)]), ["move /a/b > /b"]);
});

test("options, the filesystem's too, and who takes part change", () => {
  for (
    const more of [
      { options: "ro" },
      { superOptions: "ro" },
      { shared: 3 },
      { unbindable: true as const },
      { source: "other" },
    ]
  ) assert.deepEqual(became([ROOT, A], [ROOT, mount(2, "/a", 1, more)]), ["change /a > /a"]);
});

test("an id that stands for another mount: the one went, the other came", () => {
  for (const more of [{ device: "0:9" }, { root: "/r" }, { type: "ext4" }]) {
    assert.deepEqual(became([ROOT, A], [ROOT, mount(2, "/a", 1, more)]), [
      "detach /a",
      "attach /a",
    ]);
  }
});

test("a table that goes round in circles is compared all the same", () => {
  const circle = [mount(2, "/a", 3), mount(3, "/b", 2)];
  assert.deepEqual(became([], circle).sort(), ["attach /a", "attach /b"]);
});

/** The vocabulary, and how the kernel's bits become words of it. */

import assert from "node:assert/strict";
import test from "node:test";
import {
  fanotifyKinds,
  fanotifyMask,
  inotifyKind,
  inotifyMask,
  isKindPattern,
  KINDS,
  matches,
} from "../classify/mod.ts";
import { isKind, isWanted } from "../classify/kinds.ts";
import * as FAN from "../ffi/abi/fanotify.ts";
import * as IN from "../ffi/abi/inotify.ts";

/** The public contract: a word, and what may stand under it. */
const CONTRACT: Readonly<Record<string, readonly string[]>> = {
  create: ["", "file", "directory", "symlink", "link", "other"],
  modify: [
    "data",
    "metadata",
    ...["permissions", "ownership", "times", "xattr", "flags", "links"].map((one) =>
      `metadata.${one}`
    ),
  ],
  rename: ["", "out", "in"],
  remove: ["", "file", "directory", "symlink", "other"],
  // Bare of a range that is about to be read or written: which of them the kernel does not say.
  access: ["", "open", "exec", "read", "close.write", "close.nowrite", "failed"],
  mount: ["attach", "detach", "move", "change"],
  error: ["filesystem", "space", "quota"],
  key: [
    ...["instantiate", "update", "link", "unlink", "clear", "revoke", "invalidate", "setattr"],
    "remove", // the kernel's word that a key is destroyed, beyond the contract
  ],
  lost: [""],
  recovered: [""],
  other: [""],
};

test("KINDS is the contract's table, no more and no less", () => {
  const contract = Object.entries(CONTRACT).flatMap(([first, rest]) =>
    rest.map((one) => one === "" ? first : `${first}.${one}`)
  );
  assert.deepEqual([...KINDS].sort(), contract.sort());
  assert.equal(new Set(KINDS).size, KINDS.length);
});

test("matches: the kind itself and everything under it", () => {
  for (const kind of KINDS) {
    const parts = kind.split(".");
    for (let i = 1; i <= parts.length; i++) {
      assert(matches(kind, parts.slice(0, i).join(".")), kind);
    }
    assert(matches({ kind }, kind));
    assert(!matches(kind, `${kind}.more`));
    assert(!matches(kind, kind.slice(0, -1)), "not half a word");
    assert(!matches(kind, ""));
  }
  assert(!matches("create.link", "create.li"));
  assert(!matches("create", "create.file"), "a bare kind is not under an exact one");
  assert(matches("user.a.b", "user.a") && !matches("user.ab", "user.a"));
});

test("isKindPattern: kinds, what stands above them, and the program's own", () => {
  for (const kind of KINDS) assert(isKindPattern(kind), kind);
  for (
    const good of [
      "modify",
      "access",
      "access.close",
      "mount",
      "error",
      "key",
      "user",
      "user.x",
      "user.x.y",
    ]
  ) {
    assert(isKindPattern(good), good);
  }
  const bad = [
    "",
    ".",
    "creat",
    "create.",
    ".create",
    "create.files",
    "Create",
    "modify.data.x",
    "*",
    "user.",
    "user..x",
    "user. x",
    " create",
    "constructor",
    "__proto__",
  ];
  for (const pattern of bad) assert(!isKindPattern(pattern), JSON.stringify(pattern));
});

test("isKind: what an event can have, not what only stands above", () => {
  for (const kind of [...KINDS, "user.x", "user.x.y"]) assert(isKind(kind), kind);
  for (const kind of ["modify", "access.close", "mount", "user", "user.", "", "creat"]) {
    assert(!isKind(kind), kind);
  }
});

test("isWanted: a bare kind may be the exact one that was asked for", () => {
  assert(isWanted("remove", ["remove.file"]));
  assert(isWanted("create", ["create.symlink"]));
  assert(isWanted("modify.metadata", ["modify.metadata.xattr"]));
  assert(!isWanted("rename", ["rename.out"]), "rename is exact");
  assert(!isWanted("remove.directory", ["remove.file"]));
  assert(!isWanted("create", ["remove"]));
  assert(!isWanted("create", []));
});

test("fanotify: each bit alone", () => {
  const table: readonly (readonly [bits: number, kinds: readonly string[]])[] = [
    [FAN.FAN_CREATE, ["create"]],
    [FAN.FAN_CREATE | FAN.FAN_ONDIR, ["create.directory"]],
    [FAN.FAN_DELETE, ["remove"]],
    [FAN.FAN_DELETE | FAN.FAN_ONDIR, ["remove.directory"]],
    [FAN.FAN_RENAME, ["rename"]],
    [FAN.FAN_RENAME | FAN.FAN_ONDIR, ["rename"]],
    [FAN.FAN_MODIFY, ["modify.data"]],
    [FAN.FAN_ATTRIB, ["modify.metadata"]],
    [FAN.FAN_ATTRIB | FAN.FAN_ONDIR, ["modify.metadata"]],
    [FAN.FAN_OPEN, ["access.open"]],
    [FAN.FAN_OPEN_EXEC, ["access.exec"]],
    [FAN.FAN_ACCESS, ["access.read"]],
    [FAN.FAN_CLOSE_WRITE, ["access.close.write"]],
    [FAN.FAN_CLOSE_NOWRITE, ["access.close.nowrite"]],
    [FAN.FAN_DELETE_SELF, []],
    [FAN.FAN_MOVE_SELF, []],
    [FAN.FAN_ONDIR, []],
    [FAN.FAN_Q_OVERFLOW, []],
    [0x80000, ["other"]],
    [0x80000000, ["other"]],
    [FAN.FAN_FS_ERROR, ["other"]],
    [0, []],
  ];
  for (const [bits, kinds] of table) {
    assert.deepEqual(fanotifyKinds(bits), kinds, bits.toString(16));
  }
});

test("fanotify: a merged mask in an order that leads to the state on disk", () => {
  const all = FAN.FAN_CREATE | FAN.FAN_DELETE | FAN.FAN_RENAME | FAN.FAN_MODIFY | FAN.FAN_ATTRIB |
    FAN.FAN_OPEN | FAN.FAN_OPEN_EXEC | FAN.FAN_ACCESS | FAN.FAN_CLOSE_WRITE | FAN.FAN_CLOSE_NOWRITE;
  const kinds = fanotifyKinds(all | 0x80000);
  assert.equal(kinds.length, 11);
  const place = (kind: string) => kinds.findIndex((one) => one === kind);
  assert.equal(place("create"), 0, "a name appears first");
  assert(place("remove") > place("access.close.nowrite"), "and goes last");
  for (
    const [before, after] of [
      ["access.open", "access.read"],
      ["access.open", "modify.data"],
      ["access.exec", "access.read"],
      ["modify.data", "access.close.write"],
      ["access.read", "access.close.nowrite"],
      ["modify.metadata", "remove"],
    ] as const
  ) assert(place(before) < place(after), `${before} before ${after}`);
  assert.deepEqual(fanotifyKinds(FAN.FAN_CREATE | FAN.FAN_DELETE | FAN.FAN_ONDIR), [
    "create.directory",
    "remove.directory",
  ]);
});

test("inotify: each bit", () => {
  const table: readonly (readonly [mask: number, kind: string | undefined])[] = [
    [IN.IN_CREATE, "create"],
    [IN.IN_CREATE | IN.IN_ISDIR, "create.directory"],
    [IN.IN_DELETE, "remove"],
    [IN.IN_DELETE | IN.IN_ISDIR, "remove.directory"],
    [IN.IN_MOVED_FROM, "rename"],
    [IN.IN_MOVED_TO | IN.IN_ISDIR, "rename"],
    [IN.IN_MODIFY, "modify.data"],
    [IN.IN_ATTRIB | IN.IN_ISDIR, "modify.metadata"],
    [IN.IN_OPEN, "access.open"],
    [IN.IN_ACCESS, "access.read"],
    [IN.IN_CLOSE_WRITE, "access.close.write"],
    [IN.IN_CLOSE_NOWRITE | IN.IN_ISDIR, "access.close.nowrite"],
    [IN.IN_IGNORED, undefined],
    [IN.IN_UNMOUNT, undefined],
    [IN.IN_Q_OVERFLOW, undefined],
    [IN.IN_DELETE_SELF, undefined],
    [IN.IN_MOVE_SELF, undefined],
    [IN.IN_ISDIR, undefined],
    [0, undefined],
    [0x1000, "other"],
    [0x80000000, "other"],
  ];
  for (const [mask, kind] of table) assert.equal(inotifyKind(mask), kind, mask.toString(16));
});

test("masks ask for what the patterns want and for nothing else", () => {
  const table: readonly (readonly [patterns: string[], fan: number, inotify: number])[] = [
    [["create"], FAN.FAN_CREATE, IN.IN_CREATE],
    [["create.file"], FAN.FAN_CREATE, IN.IN_CREATE],
    [["create.symlink"], FAN.FAN_CREATE, IN.IN_CREATE],
    [["create.link"], FAN.FAN_CREATE, IN.IN_CREATE],
    [["create.directory"], FAN.FAN_CREATE, IN.IN_CREATE],
    [["remove.file"], FAN.FAN_DELETE, IN.IN_DELETE],
    [["remove.directory"], FAN.FAN_DELETE, IN.IN_DELETE],
    [["rename"], FAN.FAN_RENAME, IN.IN_MOVE],
    [["rename.in"], FAN.FAN_RENAME, IN.IN_MOVE],
    [["rename.out"], FAN.FAN_RENAME, IN.IN_MOVE],
    [["modify"], FAN.FAN_MODIFY | FAN.FAN_ATTRIB, IN.IN_MODIFY | IN.IN_ATTRIB],
    [["modify.data"], FAN.FAN_MODIFY, IN.IN_MODIFY],
    [["modify.metadata.xattr"], FAN.FAN_ATTRIB, IN.IN_ATTRIB],
    [["access.open"], FAN.FAN_OPEN, IN.IN_OPEN],
    [["access.exec"], FAN.FAN_OPEN_EXEC, 0],
    [["access.read"], FAN.FAN_ACCESS, IN.IN_ACCESS],
    [["access.close"], FAN.FAN_CLOSE, IN.IN_CLOSE],
    [["access.close.write"], FAN.FAN_CLOSE_WRITE, IN.IN_CLOSE_WRITE],
    [["user.tick", "lost", "other", "mount", "key", "error"], 0, 0],
    [["create", "remove"], FAN.FAN_CREATE | FAN.FAN_DELETE, IN.IN_CREATE | IN.IN_DELETE],
  ];
  for (const [patterns, fan, inotify] of table) {
    assert.equal(fanotifyMask(patterns), fan, `fanotify ${patterns}`);
    assert.equal(inotifyMask(patterns), inotify, `inotify ${patterns}`);
  }
});

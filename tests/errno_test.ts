/** errno: that of the call that failed. */

import assert from "node:assert/strict";
import process from "node:process";
import test from "node:test";
import type * as FFI from "bun:ffi";
import { EBADF, ENOENT } from "../ffi/abi/errno.ts";
import { AT_FDCWD, O_RDONLY } from "../ffi/abi/open.ts";
import { openLibc } from "../ffi/libc.ts";
import { cString } from "../ffi/text.ts";
import { isDeno } from "./runtime.ts";

const libc = await openLibc();

test("errno is that of the last call that failed", () => {
  assert.equal(libc.open(cString("/no/such/file"), O_RDONLY, 0), -1);
  assert.equal(libc.errno(), ENOENT);
  assert.equal(libc.read(-1, new Uint8Array(8), 8), -1);
  assert.equal(libc.errno(), EBADF);
  assert.equal(libc.openat(AT_FDCWD, cString("/no/such/file"), O_RDONLY, 0), -1);
  assert.equal(libc.errno(), ENOENT);
});

// Bun closes files where it frees what held them, which may be between a call and whoever asks why it failed.
if (!isDeno) {
  test("errno stays, whatever the runtime calls meanwhile", () => {
    const { dlopen } = process.getBuiltinModule("bun:ffi") as unknown as typeof FFI;
    const runtime = dlopen("libc.so.6", { close: { args: ["i32"], returns: "i32" } });
    assert.equal(libc.open(cString("/no/such/file"), O_RDONLY, 0), -1);
    assert.equal(runtime.symbols.close(-1), -1);
    assert.equal(libc.errno(), ENOENT);
    runtime.close();
  });
}

/** The one waiter of the process: when there is nothing that it waits for. */

import assert from "node:assert/strict";
import test from "node:test";
import { EFD_CLOEXEC, EFD_NONBLOCK } from "../ffi/abi/poll.ts";
import { openLibc } from "../ffi/libc.ts";
import { Reactor } from "../ffi/reactor.ts";
import { openFiles, until, within } from "./runtime.ts";

const libc = await openLibc();

/** An eventfd, closed with the block. */
class Counter implements Disposable {
  readonly fd: number = libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

  write(): void {
    libc.write(this.fd, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]), 8);
  }

  [Symbol.dispose](): void {
    libc.close(this.fd);
  }
}

test("idle: once all is given back, and at once while others are registered", async () => {
  using one = new Counter();
  using two = new Counter();
  const before = openFiles();
  const loop = new Reactor(libc);
  await within(loop.idle(), "idle, as nothing was registered ever");
  loop.add(one.fd, () => {});
  loop.add(two.fd, () => {});
  assert(openFiles() > before);
  loop.remove(one.fd);
  await within(loop.idle(), "idle beside another one");
  loop.remove(two.fd);
  await within(loop.idle(), "idle");
  await until(() => openFiles() <= before);
});

test("idle is not held up by who is registered while it waits", async () => {
  using one = new Counter();
  using two = new Counter();
  const loop = new Reactor(libc);
  for (let round = 0; round < 20; round++) {
    let called = Promise.withResolvers<void>();
    loop.add(one.fd, () => {});
    loop.remove(one.fd);
    const idle = loop.idle();
    loop.add(two.fd, () => called.resolve());
    await within(idle, "idle");
    for (let n = 0; n < 2; n++) {
      two.write();
      await within(called.promise, "what was registered meanwhile");
      called = Promise.withResolvers();
      libc.read(two.fd, new Uint8Array(8), 8);
      loop.arm(two.fd);
    }
    loop.remove(two.fd);
    await within(loop.idle(), "idle at the end");
  }
});

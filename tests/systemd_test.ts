/**
 * What a service tells its manager, received by a socket of our own.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import { ServiceManager } from "../cli/systemd.ts";
import { SystemError } from "../mod.ts";
import { openLibc } from "../ffi/libc.ts";
import { NotifySocket } from "./notify_socket.ts";
import { openFiles, TemporaryDirectory, until } from "./runtime.ts";

const libc = await openLibc();
const PID = process.pid;

function manager(variables: Readonly<Record<string, string>>): ServiceManager {
  return new ServiceManager(libc, new Map(Object.entries(variables)), PID);
}

for (const kind of ["a path", "an abstract name"]) {
  test(`READY=1 and STOPPING=1, once, to ${kind}`, async () => {
    using directory = new TemporaryDirectory();
    const name = kind === "a path" ? join(directory.path, "notify") : `@${directory.path}`;
    using socket = await NotifySocket.bind(name);
    const before = openFiles();
    {
      using service = manager({ NOTIFY_SOCKET: name });
      await service.ready();
      assert.deepEqual(socket.receive(), ["READY=1"]);
      await service.stopping();
      await service.stopping();
      assert.deepEqual(socket.receive(), ["STOPPING=1"]);
    }
    assert.equal(openFiles(), before);
  });
}

test("a manager that is slow to read loses no message", async () => {
  using directory = new TemporaryDirectory();
  const name = join(directory.path, "notify");
  using socket = await NotifySocket.bind(name);
  let sent = 0;
  const services: ServiceManager[] = [];
  try {
    // Until the socket has no room any more: net.unix.max_dgram_qlen.
    for (let isFull = false; !isFull;) {
      const service = manager({ NOTIFY_SOCKET: name });
      services.push(service);
      let isTold = false;
      const telling = service.ready().then(() => isTold = true);
      await new Promise((resolve) => setTimeout(resolve));
      isFull = !isTold;
      sent++;
      if (!isFull) continue;
      const received = socket.receive().length;
      assert.equal(received, sent - 1);
      await telling;
      assert.deepEqual(socket.receive(), ["READY=1"]);
    }
    assert(sent > 1);
  } finally {
    for (const service of services) service[Symbol.dispose]();
  }
});

/** What the environment says of the watchdog, and whether it is to be told. */
const WATCHDOGS: readonly (readonly [name: string, variables: object, isWanted: boolean])[] = [
  ["for whoever it is", {}, true],
  ["for this process", { WATCHDOG_PID: String(PID) }, true],
  ["for another process", { WATCHDOG_PID: "1" }, false],
  ["with no time", { WATCHDOG_USEC: "0" }, false],
  ["with a time that is none", { WATCHDOG_USEC: "soon" }, false],
  ["of a manager that does not listen", { NOTIFY_SOCKET: "" }, false],
];

for (const [name, variables, isWanted] of WATCHDOGS) {
  test(`a watchdog ${name}`, async () => {
    using directory = new TemporaryDirectory();
    const [path, clockPath] = [join(directory.path, "notify"), join(directory.path, "clock")];
    using socket = await NotifySocket.bind(path);
    using service = manager({ NOTIFY_SOCKET: path, WATCHDOG_USEC: "10000", ...variables });
    // A slower one, whose first sign of life tells that the other would have given several.
    using clockSocket = await NotifySocket.bind(clockPath);
    using clock = manager({ NOTIFY_SOCKET: clockPath, WATCHDOG_USEC: "50000" });
    const tick = async () => {
      clockSocket.receive();
      await until(() => clockSocket.receive().includes("WATCHDOG=1"));
    };
    await service.ready();
    await clock.ready();
    const told: string[] = [];
    if (isWanted) await until(() => told.push(...socket.receive()) >= 4);
    else await tick();
    told.push(...socket.receive());
    const isTold = !("NOTIFY_SOCKET" in variables);
    assert.deepEqual(told.splice(0, 1), isTold ? ["READY=1"] : []);
    assert.equal(told.length > 0, isWanted);
    assert(told.every((message) => message === "WATCHDOG=1"));
    await service.stopping();
    assert.deepEqual(socket.receive().filter((message) => message !== "WATCHDOG=1"), [
      ...(isTold ? ["STOPPING=1"] : []),
    ]);
    await tick();
    assert.deepEqual(socket.receive(), []);
  });
}

test("nobody wants to know: nothing is opened", async () => {
  const before = openFiles();
  using service = manager({ WATCHDOG_USEC: "1000" });
  await service.ready();
  await service.stopping();
  assert.equal(openFiles(), before);
});

/** What NOTIFY_SOCKET may be wrong with. */
const WRONG: readonly (readonly [socket: string, message: string])[] = [
  ["/no/such/socket", "Cannot notify /no/such/socket: no such file or directory (ENOENT)"],
  ["@sentinode-nobody", "Cannot notify @sentinode-nobody: the system refused (ECONNREFUSED)"],
  [
    "vsock:2:9999",
    "Cannot notify vsock:2:9999: neither a path nor an abstract name that a socket can have",
  ],
  [
    `/${"x".repeat(107)}`,
    `Cannot notify /${"x".repeat(107)}: neither a path nor an abstract name that a socket can have`,
  ],
];

for (const [socket, message] of WRONG) {
  test(`a socket that nobody listens to: ${socket.slice(0, 20)}`, async () => {
    using service = manager({ NOTIFY_SOCKET: socket });
    const error = await service.ready().catch((error) => error);
    assert(error instanceof SystemError);
    assert.equal(error.message, message);
    await service.stopping();
  });
}

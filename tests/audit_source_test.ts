/** `audit()` from what is no kernel: logs, streams of bytes, the dispatcher's socket. Nothing of it needs a privilege. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import { pathToFileURL } from "node:url";
import type { AuditEvent } from "../classify/audit_event.ts";
import { SystemError } from "../ffi/errno.ts";
import { audit, type AuditStream } from "../streams/audit.ts";
import type { AuditOptions } from "../streams/audit_options.ts";
import { CAPACITY } from "../watch/queue.ts";
import {
  isDeno,
  isRoot,
  moduleFile,
  NOBODY,
  openFiles,
  runScript,
  TemporaryDirectory,
  until,
  within,
} from "./runtime.ts";

/** The records of one event, as a log has them. */
function lines(serial: number, name = `f${serial}`): string {
  const at = `msg=audit(1767225600.${String(serial % 1000).padStart(3, "0")}:${serial})`;
  return [
    `type=SYSCALL ${at}: arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7ffe a2=241 a3=1b6 ` +
    `items=2 ppid=1 pid=4711 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 ` +
    `tty=pts0 ses=3 comm="touch" exe="/usr/bin/touch" key="watched"`,
    `type=CWD ${at}: cwd="/srv"`,
    `type=PATH ${at}: item=0 name="/srv" inode=2 dev=08:01 mode=040755 ouid=0 ogid=0 rdev=00:00 nametype=PARENT`,
    `type=PATH ${at}: item=1 name="${name}" inode=${serial} dev=08:01 mode=0100644 ouid=0 ogid=0 ` +
    `rdev=00:00 nametype=CREATE`,
    `type=PROCTITLE ${at}: proctitle="touch"`,
  ].map((line) => `${line}\n`).join("");
}

function log(first: number, count: number): string {
  return Array.from({ length: count }, (_, i) => lines(first + i)).join("");
}

/** What the dispatcher sends of the same. */
function frames(text: string, version: 0 | 1): Buffer {
  return Buffer.concat(
    text.trimEnd().split("\n").map((line) => {
      const [, name, rest] = /^type=(\w+) msg=(.*)$/.exec(line)!;
      const types = { SYSCALL: 1300, PATH: 1302, CWD: 1307, PROCTITLE: 1327 };
      const body = Buffer.from(version === 0 ? rest! : line);
      const words = [version, 16, types[name as keyof typeof types], body.length];
      const header = Buffer.alloc(16);
      words.forEach((word, i) => header.writeUInt32LE(word, i * 4));
      return Buffer.concat([header, body]);
    }),
  );
}

async function all(stream: AuditStream): Promise<AuditEvent[]> {
  const events: AuditEvent[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

const pathsOf = (events: readonly AuditEvent[]) => events.map(({ path }) => path);
const named = (first: number, count: number) =>
  Array.from({ length: count }, (_, i) => `/srv/f${first + i}`);

/** A stream of bytes in pieces, which says when it was left. */
class Pieces {
  isLeft = false;
  readonly #bytes: Uint8Array;
  readonly #size: number;
  constructor(bytes: Uint8Array, size: number) {
    this.#bytes = bytes;
    this.#size = size;
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (let at = 0; at < this.#bytes.length; at += this.#size) {
        yield this.#bytes.subarray(at, at + this.#size);
      }
    } finally {
      this.isLeft = true;
    }
  }
}

test("an event of a log: what was done, by whom, and as JSON", async () => {
  using at = new TemporaryDirectory();
  const path = join(at.path, "audit.log");
  writeFileSync(path, lines(7) + "type=CWD nonsense\n");
  for (const where of [path, pathToFileURL(path)]) {
    await using stream = audit({ source: { log: where } });
    await stream.ready;
    const [event, ...rest] = await all(stream);
    assert.deepEqual(rest, []);
    assert.equal(event!.kind, "create.file");
    assert.equal(event!.path, "/srv/f7");
    assert.equal(event!.time, 1767225600007);
    assert.equal(event!.actor!.loginUid, 1000);
    assert.equal(event!.actor!.exe, "/usr/bin/touch");
    assert.equal(event!.actor!.self, false);
    assert.deepEqual(event!.attributes.keys, ["watched"]);
    assert.equal(event!.raw!.records.length, 5);
    const json = JSON.parse(JSON.stringify(event));
    assert.equal(json.path, "/srv/f7");
    assert.equal(json.attributes.serial, 7);
    assert.equal(json.attributes.paths[1].path, "/srv/f7");
    assert.equal("raw" in json, false);
    assert.deepEqual(stream.stats(), {
      events: 1,
      records: 5,
      rejected: 1,
      dropped: 0,
      way: undefined,
      losses: undefined,
    });
  }
});

test("rotated logs come first, the oldest before the others", async () => {
  using at = new TemporaryDirectory();
  const path = join(at.path, "audit.log");
  writeFileSync(`${path}.2`, log(1, 2));
  writeFileSync(`${path}.1`, log(3, 2));
  writeFileSync(path, log(5, 2));
  assert.deepEqual(pathsOf(await all(audit({ source: { log: path } }))), named(5, 2));
  const rotated = audit({ source: { log: path, rotated: true } });
  assert.deepEqual(pathsOf(await all(rotated)), named(1, 6));
});

const TEXT = log(1, 50);

for (
  const [what, source] of [
    ["a Blob's stream", () => new Blob([TEXT]).stream()],
    ["a generator, whole", () => new Pieces(Buffer.from(TEXT), TEXT.length)],
    ["a generator, byte by byte", () => new Pieces(Buffer.from(TEXT), 1)],
    ["a generator, in pieces of 13", () => new Pieces(Buffer.from(TEXT), 13)],
    ["binary frames, version 0", () => new Pieces(frames(TEXT, 0), 100)],
    ["binary frames, version 1", () => new Pieces(frames(TEXT, 1), 7)],
  ] as const
) {
  test(`events of ${what}`, async () => {
    assert.deepEqual(pathsOf(await all(audit({ source: source() }))), named(1, 50));
  });
}

test("events of the standard input", async () => {
  using at = new TemporaryDirectory();
  const script = join(at.path, "script.ts");
  writeFileSync(
    script,
    `import process from "node:process";
import { audit } from ${JSON.stringify(moduleFile("streams/audit.ts"))};
for await (const event of audit({ source: process.stdin })) console.log(event.path);
console.log("over");
`,
  );
  const flags = isDeno ? ["--quiet", "--no-check", "--allow-ffi"] : [];
  const child = spawn(process.execPath, ["run", ...flags, script]);
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => said += text);
  const closed = new Promise((resolve) => child.on("close", resolve));
  child.stdin.write(TEXT.slice(0, 1000));
  await until(() => said.includes("/srv/f1\n"));
  child.stdin.end(TEXT.slice(1000));
  assert.equal(await within(closed, said), 0);
  assert.deepEqual(said.trimEnd().split("\n"), [...named(1, 50), "over"]);
});

/** A dispatcher's socket. */
class Dispatcher implements AsyncDisposable {
  readonly #directory = new TemporaryDirectory();
  readonly path = join(this.#directory.path, "audispd_events");
  readonly #server: Server;
  readonly connections: Socket[] = [];
  #connected = Promise.withResolvers<Socket>();

  private constructor() {
    this.#server = createServer((socket) => {
      this.connections.push(socket);
      socket.on("error", () => {});
      this.#connected.resolve(socket);
    });
  }

  static async open(): Promise<Dispatcher> {
    const one = new Dispatcher();
    await new Promise<void>((resolve) => one.#server.listen(one.path, resolve));
    return one;
  }

  get connected(): Promise<Socket> {
    return within(this.#connected.promise, "a connection");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.connections) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    this.#directory[Symbol.dispose]();
  }
}

for (
  const [format, bytes] of [
    ["text", Buffer.from(TEXT)],
    ["binary, version 0", frames(TEXT, 0)],
    ["binary, version 1", frames(TEXT, 1)],
  ] as const
) {
  test(`events of the dispatcher's socket in ${format}, until it ends`, async () => {
    await using dispatcher = await Dispatcher.open();
    const stream = audit({ source: { socket: dispatcher.path } });
    await stream.ready;
    const socket = await dispatcher.connected;
    socket.write(bytes.subarray(0, 5000));
    socket.end(bytes.subarray(5000));
    assert.deepEqual(pathsOf(await all(stream)), named(1, 50));
    assert.equal(stream.stats().records, 250);
    await stream.close();
  });
}

test("a socket that is closed in the middle is let go of", async () => {
  await using dispatcher = await Dispatcher.open();
  const stream = audit({ source: { socket: dispatcher.path } });
  await stream.ready;
  const socket = await dispatcher.connected;
  const ended = new Promise((resolve) => socket.on("close", resolve));
  socket.resume();
  socket.write(log(1, 3));
  const iterator = stream[Symbol.asyncIterator]();
  assert.equal((await iterator.next()).value!.path, "/srv/f1");
  const events = [iterator.next(), iterator.next(), iterator.next()];
  assert.deepEqual(
    (await Promise.all(events.slice(0, 2))).map(({ value }) => value!.path),
    named(2, 2),
  );
  await stream.close();
  assert.deepEqual(await events[2], { done: true, value: undefined });
  await within(ended, "the other side's end");
});

/** The stream's ready, and its iterator, both with the same error. */
async function refused(options: AuditOptions): Promise<unknown> {
  const before = openFiles();
  const stream = audit(options);
  let refusal: unknown;
  await assert.rejects(stream.ready, (error) => {
    refusal = error;
    return true;
  });
  await assert.rejects(all(stream), (error) => error === refusal);
  await stream.close();
  await until(() => openFiles() === before);
  return refusal;
}

test("what is not there, or no log, or no socket", async () => {
  using at = new TemporaryDirectory();
  const [file, missing] = [join(at.path, "file"), join(at.path, "missing")];
  writeFileSync(file, "");
  mkdirSync(join(at.path, "directory"));
  for (
    const [source, code, message] of [
      [{ log: missing }, "ENOENT", `Cannot read ${missing}: `],
      [{ log: missing, rotated: true }, "ENOENT", `Cannot read ${missing}: `],
      [{ log: join(at.path, "directory") }, "EISDIR", `Cannot read ${at.path}/directory: `],
      [{ socket: missing }, "ENOENT", `Cannot audit from ${missing}: `],
      [{ socket: file }, "ECONNREFUSED", `Cannot audit from ${file}: `],
    ] as const
  ) {
    const error = await refused({ source });
    assert(error instanceof SystemError, String(error));
    assert.equal(error.code, code);
    assert(error.message.startsWith(message), error.message);
    assert(error.path?.startsWith(at.path));
  }
  const long = `/${"x".repeat(200)}`;
  const error = await refused({ source: { socket: long } });
  assert(error instanceof RangeError);
  assert.equal(error.message, `Cannot audit from socket ${long}: longer than 107 bytes`);
});

test("a log that may not be read", { skip: isRoot ? false : "needs root" }, async () => {
  using at = new TemporaryDirectory(NOBODY);
  const path = join(at.path, "audit.log");
  writeFileSync(path, lines(1), { mode: 0o600 });
  const script = `import { audit } from ${JSON.stringify(moduleFile("streams/audit.ts"))};
try { await audit({ source: { log: ${JSON.stringify(path)} } }).ready; }
catch (error) { console.log(error.code, error.message, error.hint !== ""); }`;
  const flags = isDeno ? ["--allow-ffi"] : [];
  const { stdout, stderr } = await runScript(script, { asNobody: true, flags });
  assert.match(stdout, /^EACCES Cannot read .*audit\.log: .* true\n$/, stderr);
});

test("events of the kinds that are asked for", async () => {
  const failed = lines(2).replace("success=yes exit=3", "success=no exit=-13");
  const source = () => new Blob([lines(1) + failed + lines(3)]).stream();
  const events = await all(audit({ source: source(), events: ["access.failed"] }));
  assert.deepEqual(events.map(({ attributes: { serial } }) => serial), [2]);
  assert.equal(events[0]!.attributes.failed!.code, "EACCES");
  const created = await all(audit({ source: source(), events: ["create"] }));
  assert.deepEqual(created.map(({ attributes: { serial } }) => serial), [1, 3]);
});

test("an event of which records are missing says so", async () => {
  const whole = lines(1).split("\n");
  const without = (type: string) =>
    whole.filter((line) => !line.includes(`type=${type}`)).join("\n");
  for (
    const [text, incomplete] of [
      [lines(1), undefined],
      [without("SYSCALL"), true],
      [without("PATH"), true],
      [without("CWD"), undefined], // not every call has one
    ] as const
  ) {
    const [event] = await all(audit({ source: new Blob([text]).stream() }));
    assert.equal(event!.attributes.incomplete, incomplete, text);
  }
});

test("break, abort and close leave a stream in the middle of it", async () => {
  for (const how of ["break", "abort", "close"] as const) {
    const source = new Pieces(Buffer.from(log(1, 100)), 64);
    const abort = new AbortController();
    const stream = audit({ source, signal: abort.signal });
    for await (const _ of stream) {
      if (how === "break") break;
      if (how === "abort") abort.abort();
      else void stream.close();
    }
    await stream.close();
    await until(() => source.isLeft);
    assert.equal(stream.close(), stream.close());
  }
});

test("a stream that waits for its source ends all the same", async () => {
  let isCancelled = false;
  const web = new ReadableStream<Uint8Array>({ cancel: () => void (isCancelled = true) });
  const never = async function* (): AsyncGenerator<Uint8Array> {
    yield await new Promise<Uint8Array>(() => {});
  };
  for (const source of [web, never()]) {
    const abort = new AbortController();
    const stream = audit({ source, signal: abort.signal });
    await stream.ready;
    const waiting = all(stream);
    abort.abort();
    assert.deepEqual(await within(waiting, "the end"), []);
    await within(stream.close(), "close");
  }
  assert(isCancelled);
});

test("a process ends once its stream does", async () => {
  // Not process.stdin, whose destroy() leaves Deno with a read that it waits for (2.9.6).
  const script = `import { audit } from ${JSON.stringify(moduleFile("streams/audit.ts"))};
const stream = audit({ source: globalThis.Deno?.stdin.readable ?? Bun.stdin.stream() });
setTimeout(() => void stream.close(), 1);
for await (const _ of stream);
console.log("over");`;
  using at = new TemporaryDirectory();
  const file = join(at.path, "script.ts");
  writeFileSync(file, script);
  const flags = isDeno ? ["--quiet", "--no-check", "--allow-ffi"] : [];
  const child = spawn(process.execPath, ["run", ...flags, file]); // whose input goes on
  const closed = new Promise((resolve) => child.on("close", resolve));
  assert.equal(await within(closed, "the end of the process"), 0);
});

test("an aborted signal begins nothing", async () => {
  const source = new Pieces(Buffer.from(lines(1)), 10);
  const stream = audit({ source, signal: AbortSignal.abort() });
  await stream.ready;
  assert.deepEqual(await all(stream), []);
  assert.equal(source.isLeft, false);
  assert.equal(stream.stats().records, 0);
});

test("a slow consumer gets all of a log, which waits for it", async () => {
  const COUNT = 3 * CAPACITY;
  let given = 0;
  const source = (async function* () {
    for (; given < COUNT; given += 100) yield Buffer.from(log(given, 100));
  })();
  const stream = audit({ source });
  await until(() => stream.stats().events >= CAPACITY);
  // Longer than the source would need for all the rest, were it asked: each turn of the loop reads a chunk at least.
  for (let turn = 0; turn < 1000; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert(given <= CAPACITY + 200, `${given}`);
  const events = await all(stream);
  assert.equal(events.length, Math.ceil(COUNT / 100) * 100);
  assert.equal(stream.stats().dropped, 0);
  assert(events.every(({ attributes }, i) => attributes.serial === i));
});

test("a stream that throws, and one of something else", async () => {
  const failure = new Error("as it should");
  const throwing = async function* () {
    yield Buffer.from(lines(1) + lines(2));
    throw failure;
  };
  const stream = audit({ source: throwing() });
  const seen: string[] = [];
  await assert.rejects(async () => {
    for await (const { path } of stream) seen.push(path);
  }, (error) => error === failure);
  assert.deepEqual(seen, named(1, 2));
  const text = async function* () {
    yield lines(1) as unknown as Uint8Array;
  };
  await assert.rejects(all(audit({ source: text() })), {
    name: "TypeError",
    message: "Cannot audit from a stream of strings: it is not of bytes",
  });
});

test("one consumer", async () => {
  await using stream = audit({ source: new Blob([lines(1)]).stream() });
  await all(stream);
  assert.throws(() => stream[Symbol.asyncIterator](), {
    name: "TypeError",
    message: "Cannot iterate the audit stream: it is already iterated",
  });
  assert.throws(() => stream.batches(), TypeError);
});

const RULE = { list: "exit", action: "always", syscalls: "all", fields: [] } as const;

const WRONG: readonly (readonly [options: unknown, message: string | RegExp])[] = [
  [null, "Cannot audit with options null: not an object"],
  ["/srv", "Cannot audit with options /srv: not an object"],
  [{ path: "/srv" }, "Cannot audit with option path: no such option"],
  [{ source: "file" }, /^Cannot audit from source file: it is "netlink", /],
  [{ source: {} }, /^Cannot audit from source \[object Object\]: it is /],
  [{ source: { log: 1 } }, /^Cannot audit from source /],
  [{ source: null }, /^Cannot audit from source null: /],
  [{ manage: 1 }, "Cannot audit with manage 1: it is true or false"],
  [{ rules: "-w /" }, "Cannot audit with rules -w /: not a list of rules"],
  [{ rules: [null] }, /^Cannot audit by rule null: it is \{ list, action, syscalls, fields \}$/],
  [{ rules: [{ list: "exit" }] }, /^Cannot audit by rule /],
  [{ rules: [{ ...RULE, list: "entry" }] }, /^Cannot make a rule: list "entry" is none of /],
  [
    { rules: [{ ...RULE, fields: [{ field: "path", value: "x" }] }] },
    "Cannot make a rule: path is not an absolute path",
  ],
  [{ rules: [{ ...RULE, fields: [null] }] }, /^Cannot audit by rule /],
  [{ rules: [RULE], manage: false }, "Cannot audit by rules: manage is false"],
  [{ paths: "/srv", manage: false }, "Cannot audit paths: manage is false"],
  [{ paths: "/srv", source: { log: "/x" } }, "Cannot audit paths: the source is not the kernel"],
  [{ paths: 1 }, /^Cannot audit /],
  [{ events: ["created"] }, /^Cannot /],
  [{ signal: {} }, "Cannot audit with signal {}: not an AbortSignal"],
];

for (const [options, message] of WRONG) {
  test(`wrong options: ${JSON.stringify(options)}`, () => {
    assert.throws(
      () => audit(options as AuditOptions),
      (error) => {
        assert(error instanceof TypeError || error instanceof RangeError, String(error));
        if (typeof message === "string") assert.equal(error.message, message);
        else assert.match(error.message, message);
        return true;
      },
    );
  });
}

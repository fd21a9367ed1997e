/**
 * The Bun side of the port; `deno.ts` is its twin, member for member.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import process from "node:process";
import { isMainThread } from "node:worker_threads";
import type * as FFI from "bun:ffi";
import type { Buffer, Libc, LibcCalls, Waiter } from "./port.ts";
import { type CType, SYMBOLS } from "./symbols.ts";
import { io_event, iocb, IOCB_CMD_POLL, IOCB_FLAG_RESFD } from "./abi/aio.ts";
import { EMFILE } from "./abi/errno.ts";
import { EFD_CLOEXEC, EFD_NONBLOCK, POLLIN } from "./abi/poll.ts";
import { SYS_io_destroy, SYS_io_getevents, SYS_io_setup, SYS_io_submit } from "./abi/syscall.ts";
import { systemError } from "./errno.ts";
import { readDirectory, readText } from "./file.ts";
import { cString } from "./text.ts";

/** Not by an import, which Deno would look for where this file is bundled with its twin. */
const { dlopen, FFIType, ptr, read } = process.getBuiltinModule("bun:ffi") as unknown as typeof FFI;

/** How Bun spells each C type. What has 64 bits is a number where that is exact, else a bigint: no silent loss of bits. */
const TYPES = {
  i16: "i16",
  i32: "i32",
  u32: "u32",
  u64: "u64",
  isize: FFIType.i64_fast,
  usize: "u64",
  buffer: "ptr",
} satisfies Record<CType, FFI.FFIFunction["returns"]>;

type Call = (...args: unknown[]) => number;

/** Loads `name` and binds the symbol table to it; throws what `dlopen` throws. */
export function load(name: string): Libc {
  const table: Record<string, FFI.FFIFunction> = {};
  for (const [symbol, { parameters, result }] of Object.entries(SYMBOLS)) {
    table[symbol] = { args: parameters.map((type) => TYPES[type]), returns: TYPES[result] };
  }
  const errno = errnoOf(name);
  let failure = 0;
  /** Notes errno right behind a call that fails: what the garbage collector frees since may close files, and set it anew. */
  const noting = (call: Call): Call => (...args) => {
    const result = call(...args);
    if (result < 0) failure = errno();
    return result;
  };
  const symbols = Object.entries(dlopen(name, table).symbols as unknown as Record<string, Call>);
  const calls = Object.fromEntries(symbols.map(([symbol, call]) => [symbol, noting(call)]));
  const libc: Libc = {
    // The table is built from SYMBOLS, so its functions are those of the port.
    ...calls as unknown as LibcCalls,
    errno: () => failure,
    waiter: () => new LoopWaiter(libc),
    address,
    // A compiled program is the runtime too, where its environment says so.
    evaluation: { arguments: (source) => ["-e", source], environment: ["BUN_BE_BUN=1"] },
  };
  return libc;
}

function address(buffer: NonNullable<Buffer>): bigint {
  return BigInt(ptr(buffer));
}

/** `int *__errno_location(void)`: one address a thread, so it is asked for once. glibc and musl both export it. */
function errnoOf(name: string): () => number {
  const { symbols } = dlopen(name, { __errno_location: { args: [], returns: "ptr" } });
  const location = symbols.__errno_location();
  if (location === null) throw new Error("Cannot find errno: __errno_location() is null");
  return () => read.i32(location, 0);
}

/** An io_context_t for one poll at a time; undefined where the kernel has none. */
type PollContext = bigint | undefined;

/** One that is not in use. */
let spare: PollContext;

function pollContext(libc: Libc): PollContext {
  if (spare !== undefined) {
    const context = spare;
    spare = undefined;
    return context;
  }
  const context = new BigUint64Array(new ArrayBuffer(8));
  const isMade = libc.syscall(SYS_io_setup, 1, libc.address(context), 0, 0, 0) === 0;
  return isMade ? context[0] : undefined;
}

/**
 * Keeps the context for the next waiter: io_destroy(2) waits for RCU, 31 to 43 ms in which the event loop stands still
 * (measured on 6.18). It is a page of memory, and goes with the process; threads that end sooner leave none.
 */
function giveBack(libc: Libc, context: PollContext): void {
  if (context === undefined) return;
  if (spare === undefined && isMainThread) spare = context;
  else libc.syscall(SYS_io_destroy, context, 0, 0, 0, 0);
}

/** Where the kernel has no asynchronous poll (CONFIG_AIO=n, gVisor) the queue is looked at this often, in ms. */
const LOOK_EVERY = 10;

/**
 * Bun has no asynchronous FFI, but its event loop serves `Bun.file(fd).stream()`. Streaming an fanotify or inotify fd
 * itself would read ahead (measured on 1.4.5: up to two chunks of 256 KiB, whose pidfds nobody could close), so the
 * loop is given an eventfd instead, and the kernel's asynchronous poll (io_submit(2) with IOCB_CMD_POLL, Linux 4.18)
 * signals it once the fd is readable: 17 µs a wake-up, no thread.
 */
class LoopWaiter implements Waiter {
  readonly #libc: Libc;
  readonly #signal: number;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #context: PollContext;
  // On explicit buffers: JavaScriptCore moves the bytes of a small array that has none when it is first given one.
  readonly #request = new Uint8Array(new ArrayBuffer(iocb.size));
  readonly #requests = new BigUint64Array(new ArrayBuffer(8));
  readonly #done = new Uint8Array(new ArrayBuffer(io_event.size));
  constructor(libc: Libc) {
    this.#libc = libc;
    this.#signal = libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (this.#signal < 0) throw systemError(libc, "wait for events", { syscall: "eventfd" });
    try {
      this.#reader = Bun.file(this.#signal).stream().getReader();
    } catch {
      libc.close(this.#signal); // no file descriptor is left for Bun's copy of it
      throw systemError(libc, "wait for events", { syscall: "fcntl", errno: EMFILE });
    }
    this.#requests[0] = libc.address(this.#request);
    this.#context = pollContext(libc);
  }

  async wait(fd: number): Promise<void> {
    const view = new DataView(this.#request.buffer);
    view.setUint16(iocb.aio_lio_opcode, IOCB_CMD_POLL, true);
    view.setUint32(iocb.aio_fildes, fd, true);
    view.setBigUint64(iocb.aio_buf, BigInt(POLLIN), true);
    view.setUint32(iocb.aio_flags, IOCB_FLAG_RESFD, true);
    view.setUint32(iocb.aio_resfd, this.#signal, true);
    const context = this.#context;
    const { syscall, address } = this.#libc;
    const requests = address(this.#requests);
    if (context === undefined || syscall(SYS_io_submit, context, 1, requests, 0, 0) !== 1) {
      return new Promise((resolve) => setTimeout(resolve, LOOK_EVERY));
    }
    await this.#reader.read();
    // One request in flight, so one completion to take out of the ring; it says no more than "look".
    syscall(SYS_io_getevents, context, 0, 1, address(this.#done), 0);
  }

  /**
   * Bun reads through a copy of the eventfd, which a thread of its pool closes some time after `cancel` (measured: up to
   * 36 turns of the event loop). It is waited for, so that nothing is open once a watcher is closed.
   */
  async close(): Promise<void> {
    const libc = this.#libc;
    const id = eventfdId(libc, this.#signal);
    giveBack(libc, this.#context);
    await this.#reader.cancel();
    libc.close(this.#signal);
    if (id === undefined) return;
    const until = performance.now() + CLOSED_WITHIN;
    let copies = readDirectory(libc, FDS)?.map(({ name }) => name) ?? [];
    while (performance.now() < until) {
      copies = copies.filter((fd) => eventfdId(libc, fd) === id);
      if (copies.length === 0) return;
      await new Promise(setImmediate);
    }
  }
}

const FDS = cString("/proc/self/fd");

/** How long Bun may take to close its copy before it is left to Bun, in ms. */
const CLOSED_WITHIN = 1000;

/** What tells one eventfd from another (proc_pid_fdinfo(5), Linux 5.2); undefined for what is none. */
function eventfdId(libc: Libc, fd: number | string): string | undefined {
  return /^eventfd-id:\s*(\d+)/m.exec(readText(libc, `/proc/self/fdinfo/${fd}`) ?? "")?.[1];
}

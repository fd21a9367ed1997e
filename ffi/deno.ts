/**
 * The Deno side of the port; `bun.ts` is its twin, member for member.
 *
 * @module
 */

import type { Buffer, Libc, LibcCalls, Waiter } from "./port.ts";
import { SYMBOLS } from "./symbols.ts";
import { pollfd, POLLIN } from "./abi/poll.ts";

type Five = [bigint, bigint, bigint, bigint, bigint];

/** Loads `name` and binds the symbol table to it; throws what `dlopen` throws. */
export function load(name: string): Libc {
  const library = Deno.dlopen(name, SYMBOLS);
  const { symbols } = library;
  const errno = errnoOf(name);
  const calls: LibcCalls = {
    ...symbols,
    read: (fd, buffer, count) => Number(symbols.read(fd, buffer, BigInt(count))),
    pread: (fd, buffer, count, offset) =>
      Number(symbols.pread(fd, buffer, BigInt(count), BigInt(offset))),
    write: (fd, buffer, count) => Number(symbols.write(fd, buffer, BigInt(count))),
    pwrite: (fd, buffer, count, offset) =>
      Number(symbols.pwrite(fd, buffer, BigInt(count), BigInt(offset))),
    readlink: (path, buffer, size) => Number(symbols.readlink(path, buffer, BigInt(size))),
    readlinkat: (dirfd, path, buffer, size) =>
      Number(symbols.readlinkat(dirfd, path, buffer, BigInt(size))),
    getdents64: (fd, buffer, count) => Number(symbols.getdents64(fd, buffer, BigInt(count))),
    listxattr: (path, list, size) => Number(symbols.listxattr(path, list, BigInt(size))),
    llistxattr: (path, list, size) => Number(symbols.llistxattr(path, list, BigInt(size))),
    getxattr: (path, name, value, size) =>
      Number(symbols.getxattr(path, name, value, BigInt(size))),
    lgetxattr: (path, name, value, size) =>
      Number(symbols.lgetxattr(path, name, value, BigInt(size))),
    poll: (fds, count, timeout) => symbols.poll(fds, BigInt(count), timeout),
    sendto: (fd, buffer, count, flags, address, length) =>
      Number(symbols.sendto(fd, buffer, BigInt(count), flags, address, length)),
    recvfrom: (fd, buffer, count, flags, address, length) =>
      Number(symbols.recvfrom(fd, buffer, BigInt(count), flags, address, length)),
    syscall: (number, a, b, c, d, e) =>
      Number(symbols.syscall(BigInt(number), ...[a, b, c, d, e].map(BigInt) as Five)),
  };
  const libc = { ...calls, errno, waiter: () => new PoolWaiter(name), address };
  return Deno.build.standalone ? libc : { ...libc, evaluation };
}

/** As a `data:` URL, which no configuration of a directory is looked up for. */
const evaluation: NonNullable<Libc["evaluation"]> = {
  arguments: (source) => [
    "run",
    "--quiet",
    "--no-config",
    "--no-lock",
    "--no-remote",
    "--allow-ffi",
    `data:application/javascript,${encodeURIComponent(source)}`,
  ],
  environment: [],
};

function address(buffer: NonNullable<Buffer>): bigint {
  return BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(buffer)));
}

/** `int *__errno_location(void)`: one address a thread, so it is asked for once. glibc and musl both export it. */
function errnoOf(name: string): () => number {
  const { symbols } = Deno.dlopen(name, {
    __errno_location: { parameters: [], result: "pointer" },
  });
  const location = symbols.__errno_location();
  if (location === null) throw new Error("Cannot find errno: __errno_location() is null");
  const view = new Deno.UnsafePointerView(location);
  return () => view.getInt32(0);
}

/**
 * `poll` on a thread of Deno's pool, then the caller reads on its own thread: no buffer is handed to another thread
 * (denoland/deno#12341), and errno is read where it was set. What the kernel writes into is libc's memory: the pool waits
 * on when the Worker that asked is terminated, and whatever was JavaScript's is given to others by then (measured, 2.9.6).
 */
class PoolWaiter implements Waiter {
  readonly #library;
  readonly #request: Deno.PointerObject;
  readonly #view: DataView;

  constructor(name: string) {
    this.#library = Deno.dlopen(name, {
      poll: { parameters: ["pointer", "usize", "i32"], result: "i32", nonblocking: true },
      calloc: { parameters: ["usize", "usize"], result: "pointer" },
      free: { parameters: ["pointer"], result: "void" },
    });
    const request = this.#library.symbols.calloc(1n, BigInt(pollfd.size));
    if (request === null) throw new Error("Cannot wait for events: no memory is left");
    this.#request = request;
    this.#view = new DataView(Deno.UnsafePointerView.getArrayBuffer(request, pollfd.size));
  }

  async wait(fd: number): Promise<void> {
    this.#view.setInt32(pollfd.fd, fd, true);
    this.#view.setInt16(pollfd.events, POLLIN, true);
    // EINTR and every other early return mean "look": the caller's read tells what is there.
    await this.#library.symbols.poll(this.#request, 1n, -1);
  }

  close(): Promise<void> {
    this.#library.symbols.free(this.#request);
    this.#library.close();
    return Promise.resolve();
  }
}

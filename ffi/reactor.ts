/**
 * One waiter for all file descriptors of the process: an epoll set, of which at most one thread waits.
 *
 * @module
 */

import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  epoll_event,
  EPOLLET,
  EPOLLIN,
  EPOLLONESHOT,
} from "./abi/poll.ts";
import { deferred } from "./deferred.ts";
import { systemError } from "./errno.ts";
import { openLibc } from "./libc.ts";
import type { Libc, Waiter } from "./port.ts";

/** How many ready file descriptors one look takes. */
const MOST = 64;

/**
 * Calls back when a registered file descriptor becomes readable.
 *
 * The epoll set exists while anything is registered: with the last removal the waiting call is woken, everything is
 * closed, and the process can exit.
 */
export class Reactor {
  readonly #libc: Libc;
  readonly #ready = new Map<number, () => void>();
  #epoll = -1;
  #wake = -1;
  #running: Promise<void> = Promise.resolve();
  /** Resolves when something is registered, once nothing was. */
  #filled = deferred();

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  /**
   * Calls `ready` once `fd` is readable, and again after each {@linkcode arm}, until {@linkcode remove}; for `"wake"` each
   * time that the file wakes those who wait for it.
   */
  add(fd: number, ready: () => void, when: "readable" | "wake" = "readable"): void {
    this.#ready.set(fd, ready); // first, for the loop ends when there is nothing to wait for
    try {
      if (this.#epoll < 0) this.#start();
      this.#control(EPOLL_CTL_ADD, fd, when === "wake" ? EPOLLET : EPOLLONESHOT);
    } catch (error) {
      this.#ready.delete(fd);
      throw error;
    }
    this.#filled.resolve();
  }

  /** Waits for `fd` again: its queue was read to the end, or is left alone until someone has room. */
  arm(fd: number): void {
    if (this.#ready.has(fd)) this.#control(EPOLL_CTL_MOD, fd);
  }

  /** Forgets `fd`. Called before the fd is closed. */
  remove(fd: number): void {
    if (!this.#ready.delete(fd)) return;
    this.#control(EPOLL_CTL_DEL, fd);
    if (this.#ready.size > 0) return;
    this.#filled = deferred();
    this.#libc.write(this.#wake, ONE, ONE.length);
  }

  #start(): void {
    const libc = this.#libc;
    this.#epoll = libc.epoll_create1(EPOLL_CLOEXEC);
    if (this.#epoll < 0) throw systemError(libc, "wait for events", { syscall: "epoll_create1" });
    let waiter: Waiter;
    try {
      this.#wake = libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
      if (this.#wake < 0) throw systemError(libc, "wait for events", { syscall: "eventfd" });
      this.#control(EPOLL_CTL_ADD, this.#wake);
      waiter = libc.waiter();
    } catch (error) {
      this.#close();
      throw error;
    }
    this.#running = Promise.all([this.#running, this.#run(waiter)]).then(() => {});
  }

  /** Closes what {@linkcode #start} opened. */
  #close(): void {
    if (this.#wake >= 0) this.#libc.close(this.#wake);
    this.#libc.close(this.#epoll);
    this.#epoll = this.#wake = -1;
  }

  /** Resolves once nothing is waited for any more and nothing is held; at once while others are still registered. */
  async idle(): Promise<void> {
    if (this.#ready.size > 0) return;
    // Who is registered before the loop has seen that nothing was has it go on.
    await Promise.race([this.#running, this.#filled.promise]);
  }

  async #run(waiter: Waiter): Promise<void> {
    const events = new Uint8Array(MOST * epoll_event.size);
    const view = new DataView(events.buffer);
    while (this.#ready.size > 0) {
      await waiter.wait(this.#epoll);
      const count = this.#libc.epoll_wait(this.#epoll, events, MOST, 0);
      for (let i = 0; i < count; i++) {
        this.#ready.get(view.getInt32(i * epoll_event.size + epoll_event.data, true))?.();
      }
      // A wake-up for an emptied set that was filled again since.
      if (this.#ready.size > 0 && this.#libc.read(this.#wake, EIGHT, EIGHT.length) > 0) {
        this.#control(EPOLL_CTL_MOD, this.#wake);
      }
    }
    this.#close(); // before anything is awaited: who comes now starts anew
    await waiter.close();
  }

  #control(operation: number, fd: number, how: number = EPOLLONESHOT): void {
    const event = new Uint8Array(epoll_event.size);
    const view = new DataView(event.buffer);
    view.setUint32(epoll_event.events, (EPOLLIN | how) >>> 0, true);
    view.setInt32(epoll_event.data, fd, true);
    if (this.#libc.epoll_ctl(this.#epoll, operation, fd, event) < 0) {
      throw systemError(this.#libc, "wait for events", { syscall: "epoll_ctl" });
    }
  }
}

const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);
const EIGHT = new Uint8Array(8);

let shared: Reactor | undefined;

/** The reactor of this process. */
export async function reactor(): Promise<Reactor> {
  const libc = await openLibc();
  return shared ??= new Reactor(libc);
}

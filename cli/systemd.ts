/**
 * What a service tells its manager: the protocol of sd_notify(3) and sd_watchdog_enabled(3), which is one datagram a
 * message. Nothing of systemd is needed, and where nobody wants to know nothing is done.
 *
 * @module
 */

import { EAGAIN, EINTR } from "../ffi/abi/errno.ts";
import { AF_UNIX, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_DGRAM, sockaddr_un } from "../ffi/abi/socket.ts";
import { SystemError, systemError } from "../ffi/errno.ts";
import type { Libc } from "../ffi/port.ts";
import { encodeText } from "../ffi/text.ts";

/** How long a manager that does not read is waited for, and how long between two looks, in ms. */
const PATIENCE = 5_000;
const PAUSE = 16;

/** A timer's delay is a signed 32-bit number of ms; a longer one fires at once. */
const LONGEST = 2 ** 31 - 1;

/** The manager that started this process, if one did that wants to be told. */
export class ServiceManager implements Disposable {
  readonly #libc: Libc;
  /** What NOTIFY_SOCKET says. */
  readonly #socket: string | undefined;
  /** How often it wants a sign of life, in ms; undefined where it does not. */
  readonly #watchdog: number | undefined;
  #fd = -1;
  #timer: ReturnType<typeof setInterval> | undefined;
  #isStopping = false;

  /** Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. */
  constructor(libc: Libc, environment: ReadonlyMap<string, string>, pid: number) {
    this.#libc = libc;
    this.#socket = environment.get("NOTIFY_SOCKET") || undefined;
    this.#watchdog = watchdogPeriod(environment, pid);
  }

  /** The service does its work: READY=1, and WATCHDOG=1 from now on. Throws `SystemError` where that cannot be told. */
  async ready(): Promise<void> {
    if (this.#socket === undefined || this.#isStopping) return;
    await this.#tell("READY=1");
    if (this.#watchdog === undefined || this.#isStopping) return;
    this.#timer = setInterval(() => this.#send("WATCHDOG=1"), this.#watchdog);
  }

  /** The service begins to end: STOPPING=1, once. */
  async stopping(): Promise<void> {
    clearInterval(this.#timer);
    if (this.#socket === undefined || this.#isStopping) return;
    this.#isStopping = true;
    await this.#tell("STOPPING=1").catch(() => {}); // it will see it end
  }

  async #tell(state: string): Promise<void> {
    const until = performance.now() + PATIENCE;
    while (!this.#send(state)) {
      const errno = this.#libc.errno();
      if (errno === EINTR) continue;
      if (errno !== EAGAIN || performance.now() > until) {
        throw systemError(this.#libc, `notify ${this.#socket}`, { syscall: "sendto", errno });
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }

  /** Whether the manager has it; errno says why not. */
  #send(state: string): boolean {
    const libc = this.#libc;
    if (this.#fd < 0) this.#fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (this.#fd < 0) throw systemError(libc, `notify ${this.#socket}`, { syscall: "socket" });
    const [message, address] = [encodeText(state), unixAddress(this.#socket!)];
    return libc.sendto(
      this.#fd,
      message,
      message.length,
      MSG_DONTWAIT,
      address,
      address.length,
    ) >= 0;
  }

  /** Gives back the socket, and tells nothing any more. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    if (this.#fd >= 0) this.#libc.close(this.#fd);
    this.#fd = -1;
  }
}

/** Half of the time after which the manager takes the service for dead, as sd_watchdog_enabled(3) asks for. */
function watchdogPeriod(
  environment: ReadonlyMap<string, string>,
  pid: number,
): number | undefined {
  const us = environment.get("WATCHDOG_USEC") ?? "";
  const whose = environment.get("WATCHDOG_PID");
  if (!/^[1-9]\d*$/.test(us) || (whose !== undefined && whose !== String(pid))) return undefined;
  return Math.min(LONGEST, Math.max(1, Number(us) / 2000));
}

/** A `struct sockaddr_un`, as long as the kernel is to read it: a path, or a name without one, which `@` begins. */
function unixAddress(socket: string): Uint8Array<ArrayBuffer> {
  const isAbstract = socket.startsWith("@");
  const name = encodeText(isAbstract ? `\0${socket.slice(1)}` : `${socket}\0`);
  if ((!isAbstract && !socket.startsWith("/")) || name.length > MOST) {
    const state = "neither a path nor an abstract name that a socket can have";
    throw new SystemError(`Cannot notify ${socket}: ${state}`);
  }
  const address = new Uint8Array(sockaddr_un.sun_path + name.length);
  new DataView(address.buffer).setUint16(sockaddr_un.sun_family, AF_UNIX, true);
  address.set(name, sockaddr_un.sun_path);
  return address;
}

/** The length of `sun_path`. */
const MOST = sockaddr_un.size - sockaddr_un.sun_path;

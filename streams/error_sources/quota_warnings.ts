/**
 * Quotas that are exceeded, as the kernel warns of them.
 *
 * @module
 */

import { QuotaSocket } from "../../backends/quota/quota_socket.ts";
import { quotaErrno, quotaExcess } from "../../classify/quota.ts";
import { errnoName } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/port.ts";
import type { Reactor } from "../../ffi/reactor.ts";
import {
  type ErrorSink,
  type ErrorSource,
  type Filesystem,
  reasonOf,
  refused,
  type SourceState,
} from "./source.ts";

/** One socket, which hears of all filesystems. */
export class QuotaWarnings implements ErrorSource {
  readonly name = "quota";
  readonly #loop: Reactor;
  readonly #sink: ErrorSink;
  readonly #filesystems = new Map<string, Filesystem>();
  #socket: QuotaSocket | undefined;
  #state: SourceState = { isActive: true };

  constructor(libc: Libc, loop: Reactor, sink: ErrorSink) {
    this.#loop = loop;
    this.#sink = sink;
    try {
      this.#socket = new QuotaSocket(libc);
      loop.add(this.#socket.fd, () => this.#read());
    } catch (error) {
      this.#end(refused(error));
    }
  }

  cover(filesystem: Filesystem): SourceState {
    this.#filesystems.set(filesystem.device, filesystem);
    return this.#state;
  }

  uncover({ device }: Filesystem): void {
    this.#filesystems.delete(device);
  }

  #read(): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    try {
      for (;;) {
        const warning = socket.receive();
        if (warning === "empty") break;
        if (warning === "overrun") {
          this.#sink.lost(undefined, "warnings of quota came faster than they were read");
          continue;
        }
        const filesystem = this.#filesystems.get(warning.device);
        const quota = quotaExcess(warning);
        if (filesystem === undefined || quota === undefined) continue;
        const errno = quotaErrno(quota);
        const attributes = {
          ...(errno === undefined ? {} : { errno, code: errnoName(errno) }),
          quota,
        };
        const error = { kind: "error.quota", attributes, raw: warning } as const;
        this.#sink.tell(this.name, filesystem, [error]);
      }
      this.#loop.arm(socket.fd);
    } catch (error) {
      this.#end(refused(error));
      this.#sink.ended(this.name, undefined, reasonOf(error));
    }
  }

  #end(state: SourceState): void {
    this.#state = state;
    if (this.#socket === undefined) return;
    this.#loop.remove(this.#socket.fd);
    this.#socket.close();
    this.#socket = undefined;
  }

  close(): void {
    this.#end({ isActive: false });
    this.#filesystems.clear();
  }
}

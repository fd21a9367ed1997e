/**
 * Reads the records of audit, the way that can be had, and goes over to the other one when a daemon comes or leaves.
 *
 * Where nobody is registered, this process is the daemon: the kernel queues for it, and counts what it loses. Beside a
 * daemon it listens to multicast. A daemon has precedence: the kernel tells when one tries to register, and this process
 * then makes room for its next try (auditd itself tries once, and systemd starts it again). It does not take the place of
 * one that has left before some time has passed, for that one may be about to start again.
 *
 * @module
 */

import process from "node:process";
import { setImmediate } from "node:timers";
import { AUDIT_REPLACE } from "../../ffi/abi/audit.ts";
import { SystemError } from "../../ffi/errno.ts";
import { fileStatus } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import type { Reactor } from "../../ffi/reactor.ts";
import { cString, latin1Text } from "../../ffi/text.ts";
import { AuditControl } from "./control.ts";
import { type AuditMessage, type AuditWay, contender, DataSocket } from "./data_socket.ts";
import { type AuditLosses, LossCounters } from "./losses.ts";
import type { AuditStatus } from "./status.ts";

/** Records were lost. */
export interface AuditLoss {
  /**
   * `"socket"`: this process was too slow; `"kernel"`: the kernel did not queue them; `"interruption"`: it gave this daemon
   * up.
   */
  readonly reason: "socket" | "kernel" | "interruption";
  /** How many, where that is known. */
  readonly count: number | undefined;
}

/** Who takes the records. */
export interface RecordSink {
  /** While it is, nothing is read, and the kernel keeps the backlog until {@linkcode RecordStream.resume}. */
  readonly full: boolean;
  /** A record; `payload` is valid during the call. */
  message(type: number, payload: Uint8Array<ArrayBuffer>): void;
  /** Nothing is queued any more, or others are to have their turn. */
  flush(): void;
  /** Some were lost, about here. */
  lost(loss: AuditLoss): void;
  /** Records come that way from now on. */
  way(way: AuditWay): void;
  /** The stream has ended. */
  fail(error: unknown): void;
}

/** How a stream reads. */
export interface RecordStreamInit {
  /** Bytes of each socket's buffer in the kernel. Default 32 MiB for multicast, about 32,000 records, 1 MiB for unicast. */
  readonly receiveBuffer?: number;
  /** The one way, in place of the one that fits. */
  readonly way?: AuditWay;
  /** How often the state of audit is looked at, in ms; that takes 0.05 ms. Default 1000. */
  readonly lookEvery?: number;
  /** How long a daemon that has left may take to come back, in ms. Default 30,000. */
  readonly patience?: number;
}

/**
 * What finds no room in a buffer of multicast is lost. To its daemon the kernel sends from a queue of its own, and waits
 * 0.1 s for room; a socket that had none then takes no more until it is empty, and after five vain tries the kernel throws
 * what it queued away without counting it (net/netlink/af_netlink.c:netlink_attachskb, kernel/audit.c:kauditd_hold_skb). So it
 * has to be read in less: as measured under load, of 200,000 opens up to 6,000 went that way with 32 MiB, none with 1.
 */
const RECEIVE_BUFFER: Readonly<Record<AuditWay, number>> = {
  multicast: 32 * 1024 * 1024,
  unicast: 1024 * 1024,
};
const LOOK_EVERY = 1000;
const PATIENCE = 30_000;

/** How long is read before the event loop has its turn, in ms. */
const SLICE = 2;

/** For so long a record may come a second time, after the way was changed, in ms. */
const OVERLAP = 1000;

/** What the kernel says when a daemon comes or leaves: `CONFIG_CHANGE … op=set audit_pid=0 old=812 …`. */
const CONFIG_CHANGE = 1305;
const DAEMON_CHANGED = "audit_pid=";

/** A running stream of records. */
export class RecordStream {
  readonly counters: LossCounters = new LossCounters();
  readonly #libc: Libc;
  readonly #reactor: Reactor;
  readonly #sink: RecordSink;
  readonly #receiveBuffer: number | undefined;
  readonly #fixed: AuditWay | undefined;
  readonly #patience: number;
  readonly #timer: ReturnType<typeof setInterval>;
  /** Undefined without CAP_AUDIT_CONTROL. */
  readonly #control: AuditControl | undefined;
  #socket: DataSocket;
  #bytesBefore = 0;
  /** Since when nobody is the daemon, on the clock of `performance.now()`. */
  #vacantSince = -Infinity;
  /** Records that were read on the other way, and may come on this one as well: how often. */
  #overlap: Map<string, number> = new Map();
  #overlapUntil = 0;
  #running = false;
  #closed = false;

  /** Begins to read. Throws `CapabilityError` or `UnsupportedError` where neither way can be had. */
  constructor(libc: Libc, reactor: Reactor, sink: RecordSink, init: RecordStreamInit = {}) {
    this.#libc = libc;
    this.#reactor = reactor;
    this.#sink = sink;
    this.#receiveBuffer = init.receiveBuffer;
    this.#patience = init.patience ?? PATIENCE;
    this.#fixed = init.way;
    this.#control = openControl(libc);
    try {
      this.#socket = this.#open();
      try {
        reactor.add(this.#socket.fd, this.#ready);
      } catch (error) {
        this.#unregister();
        this.#socket.close();
        throw error;
      }
    } catch (error) {
      this.#control?.close();
      throw error;
    }
    sink.way(this.way);
    this.#look();
    this.#timer = setInterval(
      () => this.#guarded(() => this.#look()),
      init.lookEvery ?? LOOK_EVERY,
    );
  }

  readonly #ready = () => void this.#run();

  /** How records come now. */
  get way(): AuditWay {
    return this.#socket.way;
  }

  /** Bytes read so far. */
  get bytesRead(): number {
    return this.#bytesBefore + this.#socket.bytesRead;
  }

  /** What was lost since the stream began; asks the kernel, and tells what is new. */
  get losses(): AuditLosses {
    this.#countLost();
    return this.counters.losses;
  }

  /** The sink has room again. */
  resume(): void {
    void this.#run();
  }

  /** Ends the stream; where it was the daemon, there is none from then on. */
  close(): void {
    if (this.#closed) return;
    this.#countLost();
    this.#closed = true;
    clearInterval(this.#timer);
    this.#reactor.remove(this.#socket.fd);
    this.#unregister();
    this.#socket.close();
    this.#control?.close();
  }

  /** The first socket: unicast where nobody is the daemon, else multicast. */
  #open(): DataSocket {
    const isVacant = this.#fixed === "unicast" ||
      (this.#fixed === undefined && this.#control !== undefined &&
        !isAlive(this.#libc, this.#control.status().pid));
    if (isVacant) {
      const socket = this.#registered();
      if (socket !== undefined) return socket;
    }
    return this.#newSocket("multicast");
  }

  #newSocket(way: AuditWay): DataSocket {
    return new DataSocket(this.#libc, way, this.#receiveBuffer ?? RECEIVE_BUFFER[way]);
  }

  /** A socket that the kernel sends to as to its daemon; undefined where another is the daemon. */
  #registered(): DataSocket | undefined {
    const socket = this.#newSocket("unicast");
    try {
      if (socket.register()) return socket;
    } catch (error) {
      socket.close();
      throw error;
    }
    socket.close();
    return undefined;
  }

  /** Where this process is the daemon, nobody is from then on. */
  #unregister(): void {
    if (this.#socket.way !== "unicast") return;
    try {
      this.#control?.set({ pid: 0 });
    } catch (error) {
      if (!(error instanceof SystemError)) throw error; // somebody else is by now
    }
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      let until = performance.now() + SLICE;
      while (!this.#closed && !this.#sink.full) {
        if (!this.#take(this.#socket)) {
          this.#sink.flush();
          if (!this.#closed) this.#reactor.arm(this.#socket.fd);
          break;
        }
        if (performance.now() < until) continue;
        this.#sink.flush();
        await new Promise(setImmediate);
        until = performance.now() + SLICE;
      }
    } catch (error) {
      this.#sink.fail(error);
    } finally {
      this.#running = false;
    }
  }

  /** Hands over the next message; false where nothing is queued. */
  #take(socket: DataSocket): boolean {
    const message = socket.receive();
    if (message === "empty") return false;
    if (message === "overrun") {
      this.#countDrops(true);
      return true;
    }
    const { type, payload } = message;
    if (type === AUDIT_REPLACE) {
      if (contender(payload) !== process.pid) this.#makeRoom();
      return true;
    }
    if (this.#wasRead(message)) return true;
    this.#sink.message(type, payload);
    if (type === CONFIG_CHANGE && latin1Text(payload, payload.length).includes(DAEMON_CHANGED)) {
      this.#look();
    }
    return true;
  }

  /**
   * Tells what the socket has dropped; `isCertain`: it has, whether or not /proc says so. What a daemon's had no room for is
   * not lost with that: the kernel tries again.
   */
  #countDrops(isCertain = false): void {
    const count = this.#closed ? 0 : this.#socket.newDrops();
    if (this.way === "unicast") {
      this.counters.refused(count);
      return;
    }
    this.counters.socket(count);
    if (count > 0 || isCertain) {
      this.#sink.lost({ reason: "socket", count: count > 0 ? count : undefined });
    }
  }

  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#sink.fail(error);
    }
  }

  /** Looks whether the way is still the right one, and what the kernel has lost. */
  #look(): void {
    if (this.#closed || this.#control === undefined) return;
    const status = this.#control.status();
    this.#countKernel(status);
    this.#follow(status);
  }

  #countKernel({ lost }: AuditStatus): void {
    const count = this.counters.kernel(lost);
    if (count > 0) this.#sink.lost({ reason: "kernel", count });
  }

  /** Counts all that was lost until now. */
  #countLost(): void {
    if (this.#closed) return;
    this.#countDrops();
    if (this.#control !== undefined) this.#countKernel(this.#control.status());
  }

  #follow({ pid }: AuditStatus): void {
    const now = performance.now();
    if (this.way === "unicast") {
      if (pid === process.pid) return;
      // The kernel has given this process up, as it does after five vain tries to deliver (kernel/audit.c).
      this.counters.interrupted();
      this.#sink.lost({ reason: "interruption", count: undefined });
      if (isAlive(this.#libc, pid) || !this.#becomeDaemon()) this.#listen();
      return;
    }
    if (this.#fixed !== undefined) return;
    if (isAlive(this.#libc, pid)) this.#vacantSince = Infinity;
    else if (this.#vacantSince === Infinity) this.#vacantSince = now;
    else if (now - this.#vacantSince >= this.#patience) this.#becomeDaemon();
  }

  /** Another process wants to be the daemon: it may, with its next try. */
  #makeRoom(): void {
    this.#vacantSince = performance.now();
    if (this.way === "unicast" && this.#fixed === undefined) this.#listen();
  }

  /** From unicast to multicast. What comes between is on both, so that nothing is missed. */
  #listen(): void {
    const next = this.#newSocket("multicast");
    this.#change(next, () => this.#unregister());
  }

  /** From multicast, or from a socket that the kernel has given up, to unicast; false where another is the daemon. */
  #becomeDaemon(): boolean {
    const next = this.#registered();
    if (next === undefined) return false;
    this.#change(next, () => {});
    return true;
  }

  #change(next: DataSocket, leave: () => void): void {
    const before = this.#socket;
    this.#reactor.remove(before.fd);
    leave();
    this.#overlap.clear();
    for (let message = before.receive(); message !== "empty"; message = before.receive()) {
      if (message === "overrun") this.#countDrops(true);
      else if (message.type !== AUDIT_REPLACE) {
        const key = keyOf(message);
        this.#overlap.set(key, (this.#overlap.get(key) ?? 0) + 1);
        this.#sink.message(message.type, message.payload);
      }
    }
    this.#countDrops();
    this.#overlapUntil = performance.now() + OVERLAP;
    this.#bytesBefore += before.bytesRead;
    before.close();
    this.#socket = next;
    this.#reactor.add(next.fd, this.#ready);
    this.#sink.way(next.way);
  }

  /** Whether a record was read before, on the other way. */
  #wasRead(message: AuditMessage): boolean {
    if (this.#overlap.size === 0) return false;
    if (performance.now() > this.#overlapUntil) {
      this.#overlap.clear();
      return false;
    }
    const key = keyOf(message);
    const count = this.#overlap.get(key) ?? 0;
    if (count === 1) this.#overlap.delete(key);
    else if (count > 1) this.#overlap.set(key, count - 1);
    return count > 0;
  }
}

function keyOf({ type, payload }: AuditMessage): string {
  return `${type} ${latin1Text(payload, payload.length)}`;
}

/** Whether a process is the daemon: what `status.pid` says stays for a while when it is killed. */
function isAlive(libc: Libc, pid: number): boolean {
  return pid !== 0 && fileStatus(libc, cString(`/proc/${pid}`)) !== undefined;
}

/** A control socket that is answered; undefined where this process may not ask. */
function openControl(libc: Libc): AuditControl | undefined {
  const control = new AuditControl(libc);
  try {
    control.status();
    return control;
  } catch (error) {
    control.close();
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}

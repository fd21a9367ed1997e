/**
 * A socket that the kernel sends the records of audit to.
 *
 * @module
 */

import process from "node:process";
import { AUDIT_NLGRP_READLOG, AUDIT_REPLACE, AUDIT_SET } from "../../ffi/abi/audit.ts";
import { EEXIST, ETIMEDOUT } from "../../ffi/abi/errno.ts";
import { NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR, nlmsgerr } from "../../ffi/abi/netlink.ts";
import { pollfd, POLLIN } from "../../ffi/abi/poll.ts";
import { SO_RCVBUF, SO_RCVBUFFORCE, SOL_SOCKET } from "../../ffi/abi/socket.ts";
import { fileStatus, readText } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { cString } from "../../ffi/text.ts";
import { encodeMessage, type Nothing } from "../netlink.ts";
import { AuditSocket } from "./netlink.ts";
import { auditError } from "./refusal.ts";
import { encodeSettings } from "./status.ts";

/** How records come: to the one registered daemon, or to all who listen beside it. */
export type AuditWay = "unicast" | "multicast";

/** A record, or the word of the kernel that another process wants to be the daemon. */
export interface AuditMessage {
  /** The type of the record. */
  readonly type: number;
  /** `audit(time:serial): fields`; valid until the next one is received. */
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** Types below are those of requests and their answers, but for two. */
const FIRST_RECORD = 1100;
const AUDIT_USER = 1005;
const AUDIT_LOGIN = 1006;

/** How long the kernel may take to register a daemon, in ms: it asks the one before, for 0.1 s at most. */
const DEADLINE = 5000;

/** The sequence number of the only request; records have 0. */
const REGISTRATION = 1;

/** The pid in the payload of {@linkcode AUDIT_REPLACE}. */
export function contender(payload: Uint8Array): number {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  return payload.length < 4 ? 0 : view.getUint32(0, true);
}

/** A socket of one of both ways. */
export class DataSocket {
  readonly way: AuditWay;
  readonly #libc: Libc;
  readonly #socket: AuditSocket;
  readonly #inode: number | undefined;
  /** Records that came before the answer to the registration. */
  readonly #early: AuditMessage[] = [];
  #drops = 0;

  /**
   * Opens it, with a receive buffer of so many bytes; a record takes about 1 KiB of it (measured). More than
   * `net.core.rmem_max` needs CAP_NET_ADMIN; where that is missing, it is that. Multicast needs CAP_AUDIT_READ.
   */
  constructor(libc: Libc, way: AuditWay, receiveBuffer: number) {
    this.#libc = libc;
    this.way = way;
    this.#socket = way === "multicast"
      ? new AuditSocket(libc, "CAP_AUDIT_READ", 1 << (AUDIT_NLGRP_READLOG - 1))
      : new AuditSocket(libc, "CAP_AUDIT_CONTROL");
    const half = Int32Array.from([receiveBuffer / 2]); // the kernel doubles it
    if (libc.setsockopt(this.fd, SOL_SOCKET, SO_RCVBUFFORCE, half, half.byteLength) < 0) {
      libc.setsockopt(this.fd, SOL_SOCKET, SO_RCVBUF, half, half.byteLength);
    }
    this.#inode = fileStatus(libc, cString(""), this.fd)?.inode;
  }

  /** The file descriptor. */
  get fd(): number {
    return this.#socket.fd;
  }

  /** Bytes received so far. */
  get bytesRead(): number {
    return this.#socket.bytesRead;
  }

  /** Makes this process the daemon, whose records come here: false where another is. Needs CAP_AUDIT_CONTROL. */
  register(): boolean {
    const action = "register as the daemon of audit";
    const request = encodeMessage({
      type: AUDIT_SET,
      flags: NLM_F_REQUEST | NLM_F_ACK,
      sequence: REGISTRATION,
      payload: encodeSettings({ pid: process.pid }),
    });
    const refuse = (errno: number) =>
      auditError(this.#libc, action, { syscall: "sendto", errno }, "CAP_AUDIT_CONTROL");
    const failed = this.#socket.send(request);
    if (failed !== 0) throw refuse(failed);
    const until = performance.now() + DEADLINE;
    for (;;) {
      const message = this.#socket.receive();
      if (typeof message === "string") {
        const left = until - performance.now();
        if (left <= 0) throw refuse(ETIMEDOUT);
        this.#wait(left);
      } else if (message.type === NLMSG_ERROR && message.sequence === REGISTRATION) {
        const { payload } = message;
        const errno = -new DataView(payload.buffer, payload.byteOffset).getInt32(
          nlmsgerr.error,
          true,
        );
        if (errno === EEXIST) return false;
        if (errno > 0) throw refuse(errno);
        return true;
      } else {
        this.#early.push({ type: message.type, payload: message.payload.slice() });
      }
    }
  }

  #wait(ms: number): void {
    const request = new Uint8Array(new ArrayBuffer(pollfd.size));
    const view = new DataView(request.buffer);
    view.setInt32(pollfd.fd, this.fd, true);
    view.setInt16(pollfd.events, POLLIN, true);
    this.#libc.poll(request, 1, Math.ceil(ms));
  }

  /** The next record, or {@linkcode AUDIT_REPLACE}. */
  receive(): AuditMessage | Nothing {
    const early = this.#early.shift();
    if (early !== undefined) return early;
    for (;;) {
      const message = this.#socket.receive();
      if (typeof message === "string" || isRecord(message.type)) return message;
    }
  }

  /** How many records the socket has dropped since this was last asked; 0 where /proc does not tell. */
  newDrops(): number {
    const table = readText(this.#libc, "/proc/net/netlink") ?? "";
    const drops = dropsOf(table, this.#inode) ?? this.#drops;
    const count = drops - this.#drops;
    this.#drops = drops;
    return count;
  }

  /** Closes the file descriptor. A daemon that does no more than that stays registered until the next record. */
  close(): void {
    this.#socket.close();
  }
}

function isRecord(type: number): boolean {
  return type >= FIRST_RECORD || type === AUDIT_USER || type === AUDIT_LOGIN ||
    type === AUDIT_REPLACE;
}

/** The column `Drops` of the socket's row in /proc/net/netlink, whose last column is the inode. */
export function dropsOf(table: string, inode: number | undefined): number | undefined {
  for (const line of table.split("\n")) {
    const columns = line.trim().split(/\s+/);
    if (columns.length >= 10 && columns.at(-1) === String(inode)) return Number(columns.at(-2));
  }
  return undefined;
}

/**
 * The control socket of audit: a request, its answer.
 *
 * @module
 */

import {
  AUDIT_GET,
  AUDIT_LIST_RULES,
  AUDIT_MAKE_EQUIV,
  audit_rule_data,
  AUDIT_SET,
} from "../../ffi/abi/audit.ts";
import { ETIMEDOUT } from "../../ffi/abi/errno.ts";
import {
  NETLINK_CAP_ACK,
  NLM_F_ACK,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  nlmsgerr,
} from "../../ffi/abi/netlink.ts";
import { pollfd, POLLIN } from "../../ffi/abi/poll.ts";
import { SOL_NETLINK } from "../../ffi/abi/socket.ts";
import type { SystemError } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/port.ts";
import { encodeText } from "../../ffi/text.ts";
import { encodeMessage, type NetlinkMessage } from "../netlink.ts";
import { AuditSocket } from "./netlink.ts";
import { auditError } from "./refusal.ts";
import {
  type AuditSettings,
  type AuditStatus,
  decodeStatus,
  encodeLostReset,
  encodeSettings,
} from "./status.ts";

/** How long an answer may take, in ms: the kernel's own threads give it, which a busy machine may keep waiting. */
const DEADLINE = 5000;

const ONE = new Int32Array(new ArrayBuffer(4)).fill(1);
const EMPTY = new Uint8Array(new ArrayBuffer(0));

/**
 * Asks and tells the kernel's audit. Every call waits for its answer, which is there within 0.1 ms as a rule: what is called
 * at the end of a process cannot be asynchronous. Needs CAP_AUDIT_CONTROL, in the first user and pid namespace.
 */
export class AuditControl implements Disposable {
  readonly #libc: Libc;
  readonly #socket: AuditSocket;
  readonly #request: Uint8Array<ArrayBuffer>;
  #sequence = 0;

  /** Opens the socket, for which nothing is needed. */
  constructor(libc: Libc) {
    this.#libc = libc;
    this.#socket = new AuditSocket(libc, "CAP_AUDIT_CONTROL");
    // Where the kernel does not know it (before 4.3) answers are longer.
    libc.setsockopt(this.#socket.fd, SOL_NETLINK, NETLINK_CAP_ACK, ONE, ONE.byteLength);
    this.#request = new Uint8Array(new ArrayBuffer(pollfd.size));
    const view = new DataView(this.#request.buffer);
    view.setInt32(pollfd.fd, this.#socket.fd, true);
    view.setInt16(pollfd.events, POLLIN, true);
  }

  /** `AUDIT_GET`. */
  status(): AuditStatus {
    for (const { type, payload } of this.#ask(AUDIT_GET, "read the state of audit")) {
      if (type === AUDIT_GET) return decodeStatus(payload);
    }
    throw this.#refusal("read the state of audit", ETIMEDOUT);
  }

  /** `AUDIT_SET`. Throws `RangeError` for what could halt or lock the machine. */
  set(settings: AuditSettings): void {
    const names = Object.keys(settings).join(", ");
    this.tell(AUDIT_SET, encodeSettings(settings), `set ${names} of audit`);
  }

  /** Sets the count of lost records to 0; what it was (kernel 4.10). */
  resetLost(): number {
    return this.tell(AUDIT_SET, encodeLostReset(), "reset the lost records of audit");
  }

  /** `AUDIT_LIST_RULES`: each a `struct audit_rule_data`, in the order in which they are tried, list by list. */
  rules(): Uint8Array<ArrayBuffer>[] {
    const rules: Uint8Array<ArrayBuffer>[] = [];
    for (const { type, payload } of this.#ask(AUDIT_LIST_RULES, "list the rules of audit")) {
      if (type === NLMSG_DONE) return rules;
      if (type === AUDIT_LIST_RULES) rules.push(payload.slice(0, ruleLength(payload)));
    }
    return rules;
  }

  /** `AUDIT_MAKE_EQUIV`: a rule for the directory `path` is also for what was mounted at `mounted`, below it. */
  makeEquivalent(path: string | Uint8Array, mounted: string | Uint8Array): void {
    const paths = [path, mounted].map((one) => typeof one === "string" ? encodeText(one) : one);
    const [first, second] = paths as [Uint8Array, Uint8Array];
    const payload = new Uint8Array(new ArrayBuffer(8 + first.length + second.length));
    const view = new DataView(payload.buffer);
    view.setUint32(0, first.length, true);
    view.setUint32(4, second.length, true);
    payload.set(first, 8);
    payload.set(second, 8 + first.length);
    this.tell(AUDIT_MAKE_EQUIV, payload, `audit ${mounted} as a part of ${path}`);
  }

  /** Sends a request and waits for its acknowledgement, whose number is positive where it is an answer. Throws else. */
  tell(type: number, payload: Uint8Array<ArrayBuffer>, action: string): number {
    for (const answer of this.#exchange(type, NLM_F_ACK, payload, action)) {
      if (answer.type === NLMSG_ERROR) return this.#errorOf(answer, action);
    }
    throw this.#refusal(action, ETIMEDOUT);
  }

  /** What is answered to a request without a payload. */
  *#ask(type: number, action: string): Iterable<NetlinkMessage> {
    for (const answer of this.#exchange(type, 0, EMPTY, action)) {
      if (answer.type === NLMSG_ERROR) this.#errorOf(answer, action);
      else yield answer;
    }
  }

  /** The messages with the number of the request, until the caller has enough. Throws where one is late. */
  *#exchange(
    type: number,
    flags: number,
    payload: Uint8Array<ArrayBuffer>,
    action: string,
  ): Iterable<NetlinkMessage> {
    const sequence = this.#sequence = (this.#sequence + 1) >>> 0;
    const errno = this.#socket.send(
      encodeMessage({ type, flags: NLM_F_REQUEST | flags, sequence, payload }),
    );
    if (errno !== 0) throw this.#refusal(action, errno);
    const until = performance.now() + DEADLINE;
    for (;;) {
      const answer = this.#socket.receive();
      if (typeof answer !== "string") {
        if (answer.sequence === sequence) yield answer; // another is late for a request that was given up
        continue;
      }
      const left = until - performance.now();
      if (left <= 0) throw this.#refusal(action, ETIMEDOUT);
      this.#libc.poll(this.#request, 1, Math.ceil(left));
    }
  }

  /** The number of an acknowledgement; throws for a negative errno. */
  #errorOf({ payload }: NetlinkMessage, action: string): number {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    const error = payload.length < 4 ? 0 : view.getInt32(nlmsgerr.error, true);
    if (error < 0) throw this.#refusal(action, -error);
    return error;
  }

  #refusal(action: string, errno: number): SystemError {
    return auditError(this.#libc, action, { syscall: "sendto", errno });
  }

  /** Closes the socket. */
  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Without what pads a datagram to a multiple of 4. */
function ruleLength(rule: Uint8Array): number {
  if (rule.length < audit_rule_data.size) return rule.length;
  const view = new DataView(rule.buffer, rule.byteOffset, rule.byteLength);
  return audit_rule_data.size + view.getUint32(audit_rule_data.buflen, true);
}

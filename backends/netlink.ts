/**
 * Netlink messages and the sockets that carry them.
 *
 * @module
 */

import { EAGAIN, EINTR, ENOBUFS } from "../ffi/abi/errno.ts";
import { nlmsghdr, sockaddr_nl } from "../ffi/abi/netlink.ts";
import {
  AF_NETLINK,
  MSG_DONTWAIT,
  MSG_TRUNC,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
} from "../ffi/abi/socket.ts";
import type { SystemError } from "../ffi/errno.ts";
import type { Libc } from "../ffi/port.ts";

/** A message; its payload is valid until the next one is received. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** What follows the header. */
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** What receiving gives where there is no message: nothing is queued, or some were dropped before. */
export type Nothing = "empty" | "overrun";

/** A message as bytes. */
export function encodeMessage(
  { type, flags, sequence, payload }: NetlinkMessage,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(nlmsghdr.size + payload.length));
  const view = new DataView(bytes.buffer);
  view.setUint32(nlmsghdr.nlmsg_len, bytes.length, true);
  view.setUint16(nlmsghdr.nlmsg_type, type, true);
  view.setUint16(nlmsghdr.nlmsg_flags, flags, true);
  view.setUint32(nlmsghdr.nlmsg_seq, sequence, true);
  bytes.set(payload, nlmsghdr.size);
  return bytes;
}

/**
 * The message in a datagram of `length` bytes, one a datagram. `nlmsg_len` is not looked at: in records to the registered
 * daemon of audit it leaves out the header (measured on 6.18). Undefined for what is no message.
 */
export function decodeDatagram(
  bytes: Uint8Array<ArrayBuffer>,
  length: number,
): NetlinkMessage | undefined {
  if (length < nlmsghdr.size || length > bytes.length) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  return {
    type: view.getUint16(nlmsghdr.nlmsg_type, true),
    flags: view.getUint16(nlmsghdr.nlmsg_flags, true),
    sequence: view.getUint32(nlmsghdr.nlmsg_seq, true),
    payload: bytes.subarray(nlmsghdr.size, length),
  };
}

/** The largest datagram: 8,970 bytes of a record of audit (MAX_AUDIT_MESSAGE_LENGTH), or a rule with its texts. */
const LARGEST = 16 * 1024;

/** What is opened, and the error that a call's errno is. */
export interface NetlinkInit {
  /** `NETLINK_*`. */
  readonly protocol: number;
  /** A bit for each of the first 32 multicast groups. */
  readonly groups?: number;
  refuse(what: "open" | "read", syscall: string, errno: number): SystemError;
}

/** A netlink socket, non-blocking, that hears the kernel alone. */
export class NetlinkSocket {
  readonly fd: number;
  /** Bytes received so far. */
  bytesRead = 0;
  readonly #libc: Libc;
  readonly #init: NetlinkInit;
  readonly #bytes = new Uint8Array(new ArrayBuffer(LARGEST));
  readonly #sender = new Uint8Array(new ArrayBuffer(sockaddr_nl.size));
  readonly #senderView = new DataView(this.#sender.buffer);
  readonly #senderLength = new Int32Array(new ArrayBuffer(4));

  /** Opens and binds. */
  constructor(libc: Libc, init: NetlinkInit) {
    this.#libc = libc;
    this.#init = init;
    this.fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, init.protocol);
    if (this.fd < 0) throw init.refuse("open", "socket", libc.errno());
    const address = netlinkAddress(init.groups ?? 0);
    if (libc.bind(this.fd, address, address.length) < 0) {
      const errno = libc.errno();
      libc.close(this.fd);
      throw init.refuse("open", "bind", errno);
    }
  }

  /** Sends a message to the kernel, which works on it at once; the errno where it does not take it, 0 where it does. */
  send(message: Uint8Array<ArrayBuffer>): number {
    const libc = this.#libc;
    for (;;) {
      if (libc.sendto(this.fd, message, message.length, 0, KERNEL, KERNEL.length) >= 0) return 0;
      const errno = libc.errno();
      if (errno !== EINTR) return errno;
    }
  }

  /**
   * The next message of the kernel. What others send is passed over (anybody may send to a netlink socket). An errno that
   * would end the stream is believed only when it comes twice, as in ffi/queue.ts.
   */
  receive(): NetlinkMessage | Nothing {
    const libc = this.#libc;
    for (let doubted = 0;;) {
      this.#senderLength[0] = sockaddr_nl.size;
      const length = libc.recvfrom(
        this.fd,
        this.#bytes,
        this.#bytes.length,
        MSG_DONTWAIT | MSG_TRUNC,
        this.#sender,
        this.#senderLength,
      );
      if (length >= 0) {
        doubted = 0;
        this.bytesRead += length;
        if (this.#senderView.getUint32(sockaddr_nl.nl_pid, true) !== 0) continue;
        const message = decodeDatagram(this.#bytes, length);
        if (message !== undefined) return message;
        continue;
      }
      const errno = libc.errno();
      if (errno === EAGAIN) return "empty";
      if (errno === EINTR) continue;
      if (errno === ENOBUFS) return "overrun";
      if (errno === doubted) throw this.#init.refuse("read", "recvfrom", errno);
      doubted = errno;
    }
  }

  /** Closes the file descriptor. */
  close(): void {
    this.#libc.close(this.fd);
  }
}

function netlinkAddress(groups: number): Uint8Array<ArrayBuffer> {
  const address = new Uint8Array(new ArrayBuffer(sockaddr_nl.size));
  const view = new DataView(address.buffer);
  view.setUint16(sockaddr_nl.nl_family, AF_NETLINK, true);
  view.setUint32(sockaddr_nl.nl_groups, groups, true);
  return address;
}

/** The kernel's address. */
const KERNEL = netlinkAddress(0);

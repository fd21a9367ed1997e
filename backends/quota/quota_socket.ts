/**
 * A socket that the kernel sends the warnings of quota to.
 *
 * @module
 */

import { ENOENT, EPROTONOSUPPORT } from "../../ffi/abi/errno.ts";
import {
  NETLINK_ADD_MEMBERSHIP,
  NETLINK_GENERIC,
  NLMSG_ERROR,
  nlmsgerr,
} from "../../ffi/abi/netlink.ts";
import { SOL_NETLINK } from "../../ffi/abi/socket.ts";
import { detailsOf, type SystemError, systemError, UnsupportedError } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/port.ts";
import { decodeFamily, encodeFamilyRequest, type GenericFamily } from "../genetlink.ts";
import { NetlinkSocket, type Nothing } from "../netlink.ts";
import { decodeQuotaWarning, type QuotaWarning } from "./decode.ts";

/** The family's name, and its group's (fs/quota/netlink.c). */
const FAMILY = "VFS_DQUOT";
const GROUP = "events";

const ACTION = "hear the warnings of quota";

/** Hears the warnings of all filesystems, in the machine's first network namespace. Needs no privilege. */
export class QuotaSocket {
  readonly #libc: Libc;
  readonly #socket: NetlinkSocket;
  readonly #family: number;

  /** Opens it. Throws `UnsupportedError` where the kernel, or this network namespace, has no such warnings. */
  constructor(libc: Libc) {
    this.#libc = libc;
    this.#socket = new NetlinkSocket(libc, {
      protocol: NETLINK_GENERIC,
      refuse: (_, syscall, errno) => refusal(libc, syscall, errno),
    });
    try {
      const { id, groups } = this.#findFamily();
      this.#family = id;
      const group = groups.get(GROUP);
      if (group === undefined) throw refusal(libc, "sendto", ENOENT);
      const number = Int32Array.of(group);
      const { fd } = this.#socket;
      if (libc.setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, number, 4) < 0) {
        throw refusal(libc, "setsockopt", libc.errno());
      }
    } catch (error) {
      this.#socket.close();
      throw error;
    }
  }

  /** The file descriptor. */
  get fd(): number {
    return this.#socket.fd;
  }

  /** The answer is there when sending returns (net/netlink/genetlink.c, `ctrl_getfamily`). */
  #findFamily(): GenericFamily {
    const errno = this.#socket.send(encodeFamilyRequest(FAMILY, 1));
    if (errno !== 0) throw refusal(this.#libc, "sendto", errno);
    const answer = this.#socket.receive();
    if (typeof answer === "string") throw refusal(this.#libc, "recvfrom", ENOENT);
    const { type, payload } = answer;
    if (type === NLMSG_ERROR && payload.length >= 4) {
      const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
      throw refusal(this.#libc, "sendto", -view.getInt32(nlmsgerr.error, true));
    }
    const family = decodeFamily(payload);
    if (family === undefined) throw refusal(this.#libc, "recvfrom", ENOENT);
    return family;
  }

  /** The next warning. */
  receive(): QuotaWarning | Nothing {
    for (;;) {
      const message = this.#socket.receive();
      if (typeof message === "string") return message;
      if (message.type !== this.#family) continue;
      const warning = decodeQuotaWarning(message.payload);
      if (warning !== undefined) return warning;
    }
  }

  /** Closes the file descriptor. */
  close(): void {
    this.#socket.close();
  }
}

function refusal(libc: Libc, syscall: string, errno: number): SystemError {
  const error = systemError(libc, ACTION, { syscall, errno });
  if (errno !== ENOENT && errno !== EPROTONOSUPPORT) return error;
  return new UnsupportedError(`Cannot ${ACTION}: there are none here (${error.code})`, {
    ...detailsOf(error),
    hint:
      "needs a kernel with CONFIG_QUOTA_NETLINK_INTERFACE, and the machine's first network namespace",
  });
}

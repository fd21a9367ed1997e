/**
 * The netlink socket of audit.
 *
 * @module
 */

import { NETLINK_AUDIT } from "../../ffi/abi/netlink.ts";
import type { Libc } from "../../ffi/port.ts";
import { NetlinkSocket } from "../netlink.ts";
import { type AuditCapability, auditError } from "./refusal.ts";

/** A netlink socket of audit, non-blocking, that hears the kernel alone. */
export class AuditSocket extends NetlinkSocket {
  /** Opens and binds a socket that is in these multicast groups. Throws what {@linkcode auditError} says. */
  constructor(libc: Libc, capability: AuditCapability, groups = 0) {
    super(libc, {
      protocol: NETLINK_AUDIT,
      groups,
      refuse: (what, syscall, errno) =>
        auditError(
          libc,
          `${what} audit`,
          { syscall, errno },
          what === "open" ? capability : undefined,
        ),
    });
  }
}

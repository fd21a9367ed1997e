/**
 * What the kernel refuses of audit, and what a person can do.
 *
 * @module
 */

import { ECONNREFUSED, EPERM, EPROTONOSUPPORT } from "../../ffi/abi/errno.ts";
import {
  CapabilityError,
  errnoName,
  SystemError,
  type SystemErrorInit,
  UnsupportedError,
} from "../../ffi/errno.ts";
import { readLink, readText } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { decodeText } from "../../ffi/text.ts";

/** The inode of the first pid namespace: PROC_PID_INIT_INO of include/linux/proc_ns.h (3.8 to 6.18). */
const FIRST_PID_NAMESPACE = "pid:[4026531836]";
/** That of the first user namespace: PROC_USER_INIT_INO. */
const FIRST_USER_NAMESPACE = "user:[4026531837]";

/** The namespaces of this process that audit refuses: it answers in the first ones only. */
function refusedNamespace(libc: Libc): "user" | "pid" | undefined {
  const namespace = (name: string) => {
    const link = readLink(libc, `/proc/self/ns/${name}`);
    return link === undefined ? undefined : decodeText(link);
  };
  if ((namespace("user") ?? FIRST_USER_NAMESPACE) !== FIRST_USER_NAMESPACE) return "user";
  if ((namespace("pid") ?? FIRST_PID_NAMESPACE) !== FIRST_PID_NAMESPACE) return "pid";
  return undefined;
}

/**
 * Whether this process is in the network namespace that the kernel's multicast goes to, the first one, in which the kernel's
 * own processes are (pid 2, kthreadd); undefined where that is not to be seen (it takes CAP_SYS_PTRACE).
 */
export function hearsMulticast(libc: Libc): boolean | undefined {
  if (refusedNamespace(libc) !== undefined) return undefined;
  const own = readLink(libc, "/proc/self/ns/net")?.slice();
  const first = readLink(libc, "/proc/2/ns/net");
  if (own === undefined || first === undefined) return undefined;
  return decodeText(own) === decodeText(first);
}

/** The capability that a use of audit needs. */
export type AuditCapability = "CAP_AUDIT_CONTROL" | "CAP_AUDIT_READ";

/** The kernel's answer `errno` to `action` as an error that says which capability, namespace or setting it is. */
export function auditError(
  libc: Libc,
  action: string,
  init: SystemErrorInit & { readonly errno: number },
  capability: AuditCapability = "CAP_AUDIT_CONTROL",
): SystemError {
  const { errno } = init;
  const code = errnoName(errno);
  const message = (state: string) => `Cannot ${action}: ${state} (${code})`;
  if (errno === EPROTONOSUPPORT) {
    return new UnsupportedError(message("the kernel does not have it"), {
      ...init,
      hint: "audit needs a kernel with CONFIG_AUDIT",
    });
  }
  if (errno === EPERM || errno === ECONNREFUSED) {
    const namespace = refusedNamespace(libc);
    // Multicast is heard in every pid namespace (measured on 6.18).
    if (namespace === "user" || (namespace === "pid" && capability === "CAP_AUDIT_CONTROL")) {
      return new UnsupportedError(message(`not from within a ${namespace} namespace`), {
        ...init,
        hint: `audit answers in the first ${namespace} namespace only; run it there` +
          (namespace === "pid" ? " (docker run --pid=host)" : ", and not as rootless"),
      });
    }
  }
  if (errno === ECONNREFUSED) {
    return new UnsupportedError(message("the kernel does not answer"), {
      ...init,
      hint: "audit is turned off: start the kernel without audit=0",
    });
  }
  if (errno === EPERM && !isCapable(libc, capability)) {
    return new CapabilityError(message("not permitted"), {
      ...init,
      hint:
        `needs ${capability}: run as root, or setcap ${capability.toLowerCase()}+ep on the runtime`,
    });
  }
  if (errno === EPERM && capability === "CAP_AUDIT_CONTROL") {
    return new SystemError(message("audit is locked"), {
      ...init,
      hint: "enabled is 2 (auditctl -s): rules and settings cannot change until the next boot",
    });
  }
  return new SystemError(message(STATES[code] ?? "the kernel refused"), {
    ...init,
    hint: init.hint ?? HINTS[code] ?? "",
  });
}

const STATES: Readonly<Record<string, string>> = {
  EPERM: "not permitted",
  EACCES: "another daemon is registered",
  EEXIST: "it is there already",
  ENOENT: "no such rule or path",
  EINVAL: "the kernel does not take it",
  ENOMEM: "no memory is left",
  ETIMEDOUT: "the kernel did not answer",
};

const HINTS: Readonly<Record<string, string>> = {
  EEXIST: "the same rule, or another daemon, came before",
  ENOENT: "list the rules; a directory of a rule must be there when it is added",
};

/** Bits of `CapEff` (capabilities(7), `<linux/capability.h>`). */
const CAPABILITIES: Readonly<Record<AuditCapability, bigint>> = {
  CAP_AUDIT_CONTROL: 30n,
  CAP_AUDIT_READ: 37n,
};

/** Whether this process has the capability. */
function isCapable(libc: Libc, capability: AuditCapability): boolean {
  const status = readText(libc, "/proc/self/status") ?? "";
  const bits = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return (bits >> CAPABILITIES[capability] & 1n) === 1n;
}

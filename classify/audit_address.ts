/**
 * Addresses of sockets in audit records: the bytes that the program gave the kernel, in hex.
 *
 * @module
 */

import {
  AF_INET,
  AF_INET6,
  AF_VSOCK,
  sockaddr_in,
  sockaddr_in6,
  sockaddr_vm,
} from "../ffi/abi/address.ts";
import { AF_UNIX, sockaddr_un } from "../ffi/abi/socket.ts";
import { bytesOfHex, decodeBytes } from "./audit_text.ts";

/** An address of a socket. */
export interface SocketAddress {
  /** The number of the address family: 2 is IPv4. */
  readonly family: number;
  /** `1.2.3.4`, `::1`, a number of a VM; the path of a Unix socket, an abstract one with `@` in front. */
  readonly address?: string;
  /** The port, but of a Unix socket. */
  readonly port?: number;
  /** The interface that a link-local address is of. */
  readonly scope?: number;
}

/**
 * The address in a SOCKADDR record's `saddr`; undefined where it is no address (NETFILTER_PKT has text of that name).
 * The machine that wrote it tells its byte order by the family, which is below 256 everywhere.
 */
export function socketAddress(saddr: string): SocketAddress | undefined {
  const bytes = bytesOfHex(saddr);
  if (bytes === undefined || bytes.length < 2) return undefined;
  const view = new DataView(bytes.buffer);
  const little = bytes[1] === 0;
  const family = view.getUint16(0, little);
  switch (family) {
    case AF_UNIX:
      return { family, ...unixAddress(bytes) };
    case AF_INET:
      if (bytes.length < sockaddr_in.sin_addr + 4) break;
      return {
        family,
        address: bytes.subarray(sockaddr_in.sin_addr, sockaddr_in.sin_addr + 4).join("."),
        port: view.getUint16(sockaddr_in.sin_port),
      };
    case AF_INET6: {
      if (bytes.length < sockaddr_in6.sin6_addr + 16) break;
      // Programs for RFC 2133 give no scope.
      const scope = bytes.length < sockaddr_in6.size
        ? 0
        : view.getUint32(sockaddr_in6.sin6_scope_id, little);
      return {
        family,
        address: ipv6(bytes.subarray(sockaddr_in6.sin6_addr, sockaddr_in6.sin6_addr + 16)),
        port: view.getUint16(sockaddr_in6.sin6_port),
        ...(scope === 0 ? {} : { scope }),
      };
    }
    case AF_VSOCK:
      if (bytes.length < sockaddr_vm.svm_cid + 4) break;
      return {
        family,
        address: String(view.getUint32(sockaddr_vm.svm_cid, little)),
        port: view.getUint32(sockaddr_vm.svm_port, little),
      };
  }
  return { family };
}

function unixAddress(bytes: Uint8Array): { address?: string } {
  const path = bytes.subarray(sockaddr_un.sun_path);
  if (path.length === 0) return {}; // unnamed
  if (path[0] !== 0) {
    const end = path.indexOf(0);
    return { address: decodeBytes(end < 0 ? path : path.subarray(0, end)) };
  }
  // Abstract: all bytes count, but programs that give the whole struct mean the name before the padding.
  let end = path.length;
  while (end > 1 && path[end - 1] === 0) end--;
  return end === 1 ? {} : { address: `@${decodeBytes(path.subarray(1, end))}` };
}

/** An IPv6 address as RFC 5952 has it. */
function ipv6(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(index * 2));
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (isMapped) return `::ffff:${bytes.subarray(12).join(".")}`;
  // The longest run of at least two zeros, the first of several.
  let [run, length] = [0, 1];
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end++;
    if (end - start > length) [run, length] = [start, end - start];
  }
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(":");
  return length === 1
    ? text(groups)
    : `${text(groups.slice(0, run))}::${text(groups.slice(run + length))}`;
}

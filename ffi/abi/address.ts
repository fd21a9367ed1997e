/**
 * Addresses of sockets, as far as audit records show them: `<sys/socket.h>`, `<netinet/in.h>`, `<linux/vm_sockets.h>`.
 *
 * @module
 */

export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_VSOCK = 40;

/** `struct sockaddr_in`. `sin_port` and `sin_addr` in the order of the network. */
export const sockaddr_in = { size: 16, sin_family: 0, sin_port: 2, sin_addr: 4 } as const;

/** `struct sockaddr_in6`. `sin6_port` and `sin6_addr` in the order of the network. */
export const sockaddr_in6 = {
  size: 28,
  sin6_family: 0,
  sin6_port: 2,
  sin6_flowinfo: 4,
  sin6_addr: 8,
  sin6_scope_id: 24,
} as const;

/** `struct sockaddr_vm`. */
export const sockaddr_vm = { size: 16, svm_family: 0, svm_port: 4, svm_cid: 8 } as const;

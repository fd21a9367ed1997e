/**
 * Sockets: socket(2), sendto(2), recvfrom(2) and socket(7), from `<sys/socket.h>`; unix(7), from `<sys/un.h>`.
 *
 * @module
 */

export const AF_UNIX = 1;
export const AF_NETLINK = 16;

export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0x800; // = O_NONBLOCK, 2.6.27
export const SOCK_CLOEXEC = 0x80000; // = O_CLOEXEC, 2.6.27

export const SOL_SOCKET = 1;
export const SOL_NETLINK = 270;

export const SO_RCVBUF = 8; // up to net.core.rmem_max; the kernel doubles it
export const SO_RCVBUFFORCE = 33; // beyond it; CAP_NET_ADMIN

export const MSG_TRUNC = 0x20; // the result is the datagram's length, also of what was cut
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000; // EPIPE without SIGPIPE

/** `struct sockaddr_un` (`<sys/un.h>`). `sun_family` is 16 bits wide, `sun_path` 108 bytes long. */
export const sockaddr_un = {
  size: 110,
  sun_family: 0,
  sun_path: 2,
} as const;

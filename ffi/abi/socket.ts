/**
 * Sockets: socket(2) and sendto(2), from `<sys/socket.h>`; unix(7), from `<sys/un.h>`.
 *
 * @module
 */

export const AF_UNIX = 1;

export const SOCK_DGRAM = 2;
export const SOCK_CLOEXEC = 0x80000; // = O_CLOEXEC, 2.6.27

export const MSG_DONTWAIT = 0x40;

/** `struct sockaddr_un` (`<sys/un.h>`). `sun_family` is 16 bits wide, `sun_path` 108 bytes long. */
export const sockaddr_un = {
  size: 110,
  sun_family: 0,
  sun_path: 2,
} as const;

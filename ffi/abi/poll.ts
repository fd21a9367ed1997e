/**
 * Waiting for fds: poll(2), from `<linux/poll.h>`; epoll(7), from `<linux/eventpoll.h>`; the flags
 * of eventfd(2), from `<sys/eventfd.h>`.
 *
 * @module
 */

import { arch } from "./arch.ts";

// Events of poll(2). POLLERR, POLLHUP and POLLNVAL are reported without being asked for.

export const POLLIN = 0x1;
export const POLLPRI = 0x2;
export const POLLOUT = 0x4;
export const POLLERR = 0x8;
export const POLLHUP = 0x10;
export const POLLNVAL = 0x20; // the fd is not open
export const POLLRDNORM = 0x40;
export const POLLRDBAND = 0x80;
export const POLLWRNORM = 0x100;
export const POLLWRBAND = 0x200;
export const POLLMSG = 0x400; // unused
export const POLLREMOVE = 0x1000; // unused
export const POLLRDHUP = 0x2000; // 2.6.17

/** `struct pollfd` (`<linux/poll.h>`). `fd` is an s32, the other two are 16 bits wide. */
export const pollfd = {
  size: 8,
  fd: 0,
  events: 4,
  revents: 6,
} as const;

// epoll_create1(2) and epoll_ctl(2).

export const EPOLL_CLOEXEC = 0x80000; // = O_CLOEXEC, 2.6.27
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;

// Events and input flags of epoll(7). EPOLLERR and EPOLLHUP are reported without being asked for.

export const EPOLLIN = 0x1;
export const EPOLLERR = 0x8;
export const EPOLLHUP = 0x10;
export const EPOLLONESHOT = 0x40000000; // disarm after one event, 2.6.2
export const EPOLLET = 0x80000000; // edge-triggered

/**
 * `struct epoll_event` (`<linux/eventpoll.h>`). `data` is the caller's u64. The struct is packed on
 * x86-64 alone, to be the same for 32-bit programs.
 */
export const epoll_event: {
  readonly size: number;
  readonly events: number;
  readonly data: number;
} = arch === "x64" ? { size: 12, events: 0, data: 4 } : { size: 16, events: 0, data: 8 };

// Flags of eventfd(2).

export const EFD_CLOEXEC = 0x80000; // = O_CLOEXEC, 2.6.27
export const EFD_NONBLOCK = 0x800; // = O_NONBLOCK, 2.6.27

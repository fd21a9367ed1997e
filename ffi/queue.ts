/**
 * Reading a non-blocking event queue.
 *
 * @module
 */

import { EAGAIN, EINTR } from "./abi/errno.ts";
import { systemError } from "./errno.ts";
import type { Libc } from "./port.ts";

/**
 * `read` of what is queued, 0 where nothing is. `name` is for the error message.
 *
 * The result decides, errno explains: Deno misreads errno about once in a million calls (measured 2 in 1.6 million), so
 * an errno that would end the stream is believed only when it comes twice.
 */
export function readQueue(
  libc: Libc,
  fd: number,
  buffer: Uint8Array<ArrayBuffer>,
  name: string,
): number {
  for (let doubted = 0;;) {
    const length = libc.read(fd, buffer, buffer.length);
    if (length >= 0) return length;
    const errno = libc.errno();
    if (errno === EAGAIN) return 0;
    if (errno === EINTR) continue;
    if (errno === doubted) throw systemError(libc, `read ${name}`, { syscall: "read", errno });
    doubted = errno;
  }
}

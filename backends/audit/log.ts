/**
 * auditd's log files, which it rotates: `audit.log` is the newest, `audit.log.1` the one before.
 *
 * @module
 */

import { EINTR, EISDIR, ENOENT } from "../../ffi/abi/errno.ts";
import { O_CLOEXEC, O_RDONLY } from "../../ffi/abi/open.ts";
import { systemError } from "../../ffi/errno.ts";
import { fileStatus } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { cString } from "../../ffi/text.ts";

/** How much is read at once, in bytes. */
const CHUNK = 256 * 1024;

const LF = 0x0a;

/** How a log is read. */
export interface LogInit {
  /** Whether the files that it was rotated into are read before it. */
  readonly rotated?: boolean;
}

/**
 * The bytes of a log in chunks, each valid until the next is asked for; a file whose last line is cut gets a newline.
 * Throws `SystemError` at once where it cannot be opened, and later where it cannot be read. What is opened is closed at
 * the end of the iteration.
 */
export function readLog(
  libc: Libc,
  path: string,
  init: LogInit = {},
): Generator<Uint8Array<ArrayBuffer>> {
  return readFiles(libc, openLog(libc, path, init.rotated ?? false));
}

function* readFiles(
  libc: Libc,
  files: readonly LogFile[],
): Generator<Uint8Array<ArrayBuffer>> {
  try {
    const buffer = new Uint8Array(CHUNK);
    for (const { fd, name } of files) {
      let last = LF;
      for (;;) {
        const count = libc.read(fd, buffer, buffer.length);
        if (count < 0 && libc.errno() === EINTR) continue;
        if (count < 0) throw systemError(libc, `read ${name}`, { syscall: "read", path: name });
        if (count === 0) break;
        last = buffer[count - 1]!;
        yield buffer.subarray(0, count);
      }
      if (last !== LF) yield new Uint8Array([LF]);
    }
  } finally {
    for (const { fd } of files) libc.close(fd);
  }
}

/** A file of a log. */
interface LogFile {
  readonly fd: number;
  readonly name: string;
}

/**
 * The files of a log, oldest first. They are opened beginning with the newest: one that is rotated meanwhile is met
 * again under its next name, and none is missed.
 */
function openLog(libc: Libc, path: string, rotated: boolean): LogFile[] {
  const files: LogFile[] = [];
  const seen = new Set<string>();
  for (let age = 0; age === 0 || rotated; age++) {
    const name = age === 0 ? path : `${path}.${age}`;
    const fd = libc.open(cString(name), O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
      // Between two steps of a rotation there may be no audit.log.
      if (libc.errno() === ENOENT && age === 0 && rotated) continue;
      if (libc.errno() === ENOENT && files.length > 0) break;
      const error = systemError(libc, `read ${path}`, { syscall: "open", path });
      for (const file of files) libc.close(file.fd);
      throw error;
    }
    const status = fileStatus(libc, cString(""), fd);
    if (status?.type === "directory") {
      for (const file of [...files, { fd }]) libc.close(file.fd);
      throw systemError(libc, `read ${path}`, { syscall: "read", path, errno: EISDIR });
    }
    const identity = status === undefined ? name : `${status.device} ${status.inode}`;
    if (seen.has(identity)) libc.close(fd);
    else files.unshift({ fd, name });
    seen.add(identity);
  }
  return files;
}

/**
 * The paths of the files that the kernel opens for an event.
 *
 * @module
 */

import { O_CLOEXEC, O_DIRECTORY, O_PATH, PATH_MAX } from "../../ffi/abi/open.ts";
import { fileStatus } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { isMountRoot } from "../mounts/mount_id.ts";
import { bytesUnlessText, cString, encodeText, sliceable, sliceText } from "../../ffi/text.ts";

/** What the kernel appends to the path of an open file whose name is gone (proc_pid_fd(5)). */
const DELETED = encodeText(" (deleted)");

/** A path, and its bytes where they are no UTF-8. */
export interface FilePath {
  readonly path: string;
  readonly pathBytes: Uint8Array<ArrayBuffer> | undefined;
}

const target = new Uint8Array(PATH_MAX);
const text = sliceable(target.buffer);

/** Opens the directory of the open files, for {@linkcode OpenFiles}; negative without /proc. */
export function openFileDirectory(libc: Libc): number {
  return libc.open(cString("/proc/self/fd"), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
}

/** The paths of open files. From their directory on it takes two thirds of the time of the whole path in /proc. */
export class OpenFiles {
  readonly #libc: Libc;
  readonly #directory: number;
  /** Their names there: the same few numbers come again and again. */
  readonly #names = new Map<number, Uint8Array<ArrayBuffer>>();

  constructor(libc: Libc, directory: number) {
    this.#libc = libc;
    this.#directory = directory;
  }

  /** The path of a file as it is now, or was when its name was removed; `"?"` without /proc. */
  path(fd: number): FilePath {
    const libc = this.#libc;
    let name = this.#names.get(fd);
    if (name === undefined) this.#names.set(fd, name = cString(`${fd}`));
    let end = libc.readlinkat(this.#directory, name, target, target.length);
    if (end < 0) return { path: "?", pathBytes: undefined };
    if (target[end - 1] === DELETED.at(-1)) {
      const start = end - DELETED.length;
      const isMarked = start > 0 && DELETED.every((byte, i) => target[start + i] === byte);
      if (isMarked && this.#hasNoName(fd)) end = start;
    }
    const path = sliceText(text, 0, end);
    return { path, pathBytes: bytesUnlessText(target, 0, end, path) };
  }

  /**
   * Whether the name is gone that the kernel tells; where the file has other ones, they can be like what it appends. What
   * is mounted keeps the path of its mount point, to which the kernel appends the same once it has gone from where it was
   * mounted from.
   */
  #hasNoName(fd: number): boolean {
    return fileStatus(this.#libc, cString(""), fd)?.links === 0 || isMountRoot(this.#libc, fd);
  }
}

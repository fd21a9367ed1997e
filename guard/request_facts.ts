/**
 * What is known of a request: the file by its open descriptor, who asks by `/proc`.
 *
 * @module
 */

import type { Operation } from "../backends/fanotify/permission_group.ts";
import { O_CLOEXEC, O_DIRECTORY, O_PATH, PATH_MAX } from "../ffi/abi/open.ts";
import { fileStatus, readText } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { bytesUnlessText, cString, encodeText, sliceable, sliceText } from "../ffi/text.ts";
import { processCgroup, processExe, processUser } from "../watch/actor.ts";
import type { Subject } from "./rules.ts";

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
      if (isMarked && fileStatus(libc, cString(""), fd)?.links === 0) end = start;
    }
    const path = sliceText(text, 0, end);
    return { path, pathBytes: bytesUnlessText(target, 0, end, path) };
  }
}

/** A request as rules see it: each fact is looked up when a rule asks for it, while the process waits. */
export class RequestFacts implements Subject {
  readonly operation: Operation;
  readonly #libc: Libc;
  readonly #files: OpenFiles;
  readonly #fd: number;
  readonly #pid: number;
  #file: FilePath | undefined;
  #exe: string | undefined | null = null;
  #uid: number | undefined | null = null;
  #cgroup: string | undefined | null = null;

  constructor(libc: Libc, files: OpenFiles, operation: Operation, fd: number, pid: number) {
    this.operation = operation;
    this.#libc = libc;
    this.#files = files;
    this.#fd = fd;
    this.#pid = pid;
  }

  get file(): FilePath {
    return this.#file ??= this.#files.path(this.#fd);
  }

  get path(): string {
    return this.file.path;
  }

  get exe(): string | undefined {
    if (this.#exe === null) this.#exe = processExe(this.#libc, this.#pid);
    return this.#exe;
  }

  get uid(): number | undefined {
    if (this.#uid === null) this.#uid = processUser(this.#libc, this.#pid);
    return this.#uid;
  }

  get cgroup(): string | undefined {
    if (this.#cgroup === null) this.#cgroup = processCgroup(this.#libc, this.#pid);
    return this.#cgroup;
  }
}

/**
 * Whether the process was started by `parent` and has not executed its program yet: so long it is part of it, which waits
 * for it (vfork(2)).
 */
export function isBeingStarted(libc: Libc, pid: number, parent: number): boolean {
  const status = readText(libc, `/proc/${pid}/stat`);
  // The name is in parentheses, and may have some of its own.
  const ppid = status?.slice(status.lastIndexOf(")")).split(" ")[2];
  if (Number(ppid) !== parent) return false;
  // So long its memory is that of its parent, or a copy, and so are its arguments, which lie there.
  const exe = processExe(libc, pid);
  const isSameProgram = exe !== undefined && exe === processExe(libc, parent);
  const args = (of: number) => readText(libc, `/proc/${of}/cmdline`);
  return isSameProgram && args(pid) === args(parent);
}

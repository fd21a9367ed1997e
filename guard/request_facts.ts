/**
 * What is known of a request: the file by its open descriptor, who asks by `/proc`.
 *
 * @module
 */

import type { Operation } from "../backends/fanotify/permission_group.ts";
import { fileStatus, readLink, readText } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { bytesUnlessText, cString, decodeText, encodeText } from "../ffi/text.ts";
import { processCgroup, processExe, processUser } from "../watch/actor.ts";
import type { Subject } from "./rules.ts";

/** What the kernel appends to the path of an open file whose name is gone (proc_pid_fd(5)). */
const DELETED = encodeText(" (deleted)");

/** A path, and its bytes where they are no UTF-8. */
export interface FilePath {
  readonly path: string;
  readonly pathBytes: Uint8Array<ArrayBuffer> | undefined;
}

/** The path of an open file as it is now, or was when its name was removed; `"?"` without /proc. */
export function pathOfOpenFile(libc: Libc, fd: number): FilePath {
  let bytes = readLink(libc, `/proc/self/fd/${fd}`)?.slice() ?? encodeText("?");
  const end = bytes.length - DELETED.length;
  if (end > 0 && DELETED.every((byte, i) => bytes[end + i] === byte)) {
    if (fileStatus(libc, cString(""), fd)?.links === 0) bytes = bytes.slice(0, end);
  }
  const path = decodeText(bytes);
  return { path, pathBytes: bytesUnlessText(bytes, 0, bytes.length, path) };
}

/** A request as rules see it: each fact is looked up when a rule asks for it, while the process waits. */
export class RequestFacts implements Subject {
  readonly operation: Operation;
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #pid: number;
  #file: FilePath | undefined;
  #exe: string | undefined | null = null;
  #uid: number | undefined | null = null;
  #cgroup: string | undefined | null = null;

  constructor(libc: Libc, operation: Operation, fd: number, pid: number) {
    this.operation = operation;
    this.#libc = libc;
    this.#fd = fd;
    this.#pid = pid;
  }

  get file(): FilePath {
    return this.#file ??= pathOfOpenFile(this.#libc, this.#fd);
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
  const exe = processExe(libc, pid);
  return exe !== undefined && exe === processExe(libc, parent);
}

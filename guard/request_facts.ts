/**
 * What is known of a request: the file by its open descriptor, who asks by `/proc`.
 *
 * @module
 */

import type { Operation } from "../backends/fanotify/permission_group.ts";
import { PATH_MAX } from "../ffi/abi/open.ts";
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

/** `/proc/self/fd/N` as C strings: the same few numbers come again and again. */
const links = new Map<number, Uint8Array<ArrayBuffer>>();

const target = new Uint8Array(PATH_MAX);
const text = sliceable(target.buffer);

/** The path of an open file as it is now, or was when its name was removed; `"?"` without /proc. */
export function pathOfOpenFile(libc: Libc, fd: number): FilePath {
  let link = links.get(fd);
  if (link === undefined) links.set(fd, link = cString(`/proc/self/fd/${fd}`));
  let end = libc.readlink(link, target, target.length);
  if (end < 0) return { path: "?", pathBytes: undefined };
  if (target[end - 1] === DELETED.at(-1)) {
    const name = end - DELETED.length;
    const isMarked = name > 0 && DELETED.every((byte, i) => target[name + i] === byte);
    if (isMarked && fileStatus(libc, cString(""), fd)?.links === 0) end = name;
  }
  const path = sliceText(text, 0, end);
  return { path, pathBytes: bytesUnlessText(target, 0, end, path) };
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
  // So long its memory is that of its parent, or a copy, and so are its arguments, which lie there.
  const exe = processExe(libc, pid);
  const isSameProgram = exe !== undefined && exe === processExe(libc, parent);
  const args = (of: number) => readText(libc, `/proc/${of}/cmdline`);
  return isSameProgram && args(pid) === args(parent);
}

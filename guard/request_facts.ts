/**
 * What is known of a request: the file by its open descriptor, who asks by `/proc`.
 *
 * @module
 */

import type { FilePath, OpenFiles } from "../backends/fanotify/open_files.ts";
import type { Operation } from "../backends/fanotify/permission_group.ts";
import { readText } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { processCgroup, processExe, processUser } from "../watch/process_facts.ts";
import type { Subject } from "./rules.ts";

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

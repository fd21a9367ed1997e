/**
 * Who did it: from the pid and pidfd that fanotify reports to what `/proc` tells of the process.
 *
 * @module
 */

import process from "node:process";
import type { Actor } from "../classify/event.ts";
import { SYS_pidfd_send_signal } from "../ffi/abi/syscall.ts";
import { readLink, readText } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { decodeText } from "../ffi/text.ts";

/** How many processes that were seen are remembered after they left. */
const REMEMBERED = 1024;

/** Looks processes up, each once for everything that is read in one go. */
export class Actors {
  readonly #libc: Libc;
  /** Looked up since the last {@linkcode refresh}. */
  readonly #fresh = new Map<number, Actor>();
  /** Last known by pid, the oldest first. */
  readonly #known = new Map<number, Actor>();

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  /** What follows was read later: a process may have executed another program since. */
  refresh(): void {
    this.#fresh.clear();
  }

  /**
   * The actor behind a record's pid; undefined for 0, which stands for a process that the kernel hides from us. The pidfd
   * (negative where there is none) stays the caller's to close.
   */
  resolve(pid: number, pidfd: number): Actor | undefined {
    if (pid <= 0) return undefined;
    let actor = this.#fresh.get(pid);
    if (actor === undefined) {
      actor = this.#look(pid, pidfd);
      this.#fresh.set(pid, actor);
    }
    return actor;
  }

  #look(pid: number, pidfd: number): Actor {
    const self = pid === process.pid;
    const facts = self || pidfd >= 0 ? processFacts(this.#libc, pid) : undefined;
    // What was read is the process's own only if it still existed afterwards: the pid cannot have been reused before.
    if (facts !== undefined && (self || isAlive(this.#libc, pidfd))) {
      const actor: Actor = { pid, ...facts, self, confidence: "exact" };
      this.#known.delete(pid);
      if (this.#known.size >= REMEMBERED) this.#known.delete(this.#known.keys().next().value!);
      this.#known.set(pid, actor);
      return actor;
    }
    const known = this.#known.get(pid);
    return known === undefined
      ? { pid, self, gone: true, confidence: "exact" }
      : { ...known, gone: true, confidence: "likely" };
  }
}

/** Whether the process of a pidfd has not been reaped. */
function isAlive(libc: Libc, pidfd: number): boolean {
  return libc.syscall(SYS_pidfd_send_signal, pidfd, 0, 0, 0, 0) === 0;
}

type Facts = Pick<Actor, "ppid" | "uid" | "gid" | "comm" | "exe" | "cmdline" | "cgroup">;

/** The executable; undefined for another user's process, and a kernel thread, which do not say. */
export function processExe(libc: Libc, pid: number): string | undefined {
  const exe = readLink(libc, `/proc/${pid}/exe`);
  return exe && decodeText(exe);
}

/** The path in the cgroup hierarchy; where only version 1 groups a process, the one of systemd names its service. */
export function processCgroup(libc: Libc, pid: number): string | undefined {
  const cgroup = readText(libc, `/proc/${pid}/cgroup`) ?? "";
  return (/^0::(.*)$/m.exec(cgroup) ?? /^\d+:name=systemd:(.*)$/m.exec(cgroup))?.[1];
}

/** The effective user id. */
export function processUser(libc: Libc, pid: number): number | undefined {
  return effectiveId(readText(libc, `/proc/${pid}/status`) ?? "", "Uid");
}

function statusField(status: string, name: string): string | undefined {
  return new RegExp(`^${name}:\\s+(.*)$`, "m").exec(status)?.[1];
}

/** Of real, effective, saved and that of filesystems the one that acts. */
function effectiveId(status: string, name: "Uid" | "Gid"): number | undefined {
  const id = statusField(status, name)?.split("\t")[1];
  return id === undefined ? undefined : Number(id);
}

/** What `/proc/PID` tells; undefined where there is no such process any more. */
export function processFacts(libc: Libc, pid: number): Facts | undefined {
  const status = readText(libc, `/proc/${pid}/status`);
  if (status === undefined) return undefined;
  const ppid = statusField(status, "PPid");
  const cmdline = readText(libc, `/proc/${pid}/cmdline`);
  const facts: { readonly [name in keyof Facts]: Facts[name] | undefined } = {
    ppid: ppid === undefined ? undefined : Number(ppid),
    uid: effectiveId(status, "Uid"),
    gid: effectiveId(status, "Gid"),
    comm: readText(libc, `/proc/${pid}/comm`)?.replace(/\n$/, ""),
    exe: processExe(libc, pid),
    cmdline: cmdline ? cmdline.replace(/\0$/, "").split("\0") : undefined,
    cgroup: processCgroup(libc, pid),
  };
  // What is not known is absent.
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
}

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

/** What `/proc/PID` tells; undefined where there is no such process any more. */
export function processFacts(libc: Libc, pid: number): Facts | undefined {
  const status = readText(libc, `/proc/${pid}/status`);
  if (status === undefined) return undefined;
  const facts: { -readonly [name in keyof Facts]: Facts[name] } = {};
  const field = (name: string) => new RegExp(`^${name}:\\s+(.*)$`, "m").exec(status)?.[1];
  const ids = (name: string) => field(name)?.split("\t").map(Number) ?? [];
  const ppid = field("PPid");
  if (ppid !== undefined) facts.ppid = Number(ppid);
  // Real, effective, saved, filesystem: the effective one acts.
  const [uid, gid] = [ids("Uid")[1], ids("Gid")[1]];
  if (uid !== undefined) facts.uid = uid;
  if (gid !== undefined) facts.gid = gid;
  const comm = readText(libc, `/proc/${pid}/comm`);
  if (comm !== undefined) facts.comm = comm.replace(/\n$/, "");
  const exe = readLink(libc, `/proc/${pid}/exe`); // not readable for another user's process, nor a kernel thread's
  if (exe !== undefined) facts.exe = decodeText(exe);
  const cmdline = readText(libc, `/proc/${pid}/cmdline`);
  if (cmdline) facts.cmdline = cmdline.replace(/\0$/, "").split("\0");
  const cgroup = readText(libc, `/proc/${pid}/cgroup`);
  if (cgroup !== undefined) {
    // `0::/path` is version 2; where only version 1 groups a process, the one of systemd names its service.
    const line = /^0::(.*)$/m.exec(cgroup) ?? /^\d+:name=systemd:(.*)$/m.exec(cgroup);
    if (line) facts.cgroup = line[1]!;
  }
  return facts;
}

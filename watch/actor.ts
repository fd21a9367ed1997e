/**
 * Who did it: from the pid and pidfd that fanotify reports to what `/proc` tells of the process.
 *
 * @module
 */

import process from "node:process";
import type { Actor } from "../classify/event.ts";
import { SYS_pidfd_send_signal } from "../ffi/abi/syscall.ts";
import type { Libc } from "../ffi/port.ts";
import { AccountNames } from "./account_names.ts";
import { type ProcessFacts, processFacts } from "./process_facts.ts";

/** How many processes that were seen are remembered after they left. */
const REMEMBERED = 1024;

/** Looks processes up, each once for everything that is read in one go. */
export class Actors {
  readonly #libc: Libc;
  readonly #names: AccountNames;
  /** Looked up since the last {@linkcode refresh}. */
  readonly #fresh = new Map<number, Actor>();
  /** Last known by pid, the oldest first. */
  readonly #known = new Map<number, Actor>();

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#names = new AccountNames(libc);
  }

  /** What follows was read later: a process may have executed another program since. */
  refresh(): void {
    this.#fresh.clear();
    this.#names.refresh();
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
      const actor: Actor = {
        pid,
        ...facts,
        ...namesOf(facts, this.#names),
        self,
        confidence: "exact",
      };
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

/** The names of a process's user, group and login; those that are known. */
export function namesOf(
  { uid, gid, loginUid }: ProcessFacts,
  names: AccountNames,
): Pick<Actor, "user" | "group" | "loginUser"> {
  const user = uid === undefined ? undefined : names.user(uid);
  const group = gid === undefined ? undefined : names.group(gid);
  const loginUser = loginUid === undefined ? undefined : names.user(loginUid);
  return {
    ...(user === undefined ? {} : { user }),
    ...(group === undefined ? {} : { group }),
    ...(loginUser === undefined ? {} : { loginUser }),
  };
}

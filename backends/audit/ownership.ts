/**
 * Whose an audit rule is, and what the state of audit was before: both stand in the rules' keys, for rules outlive the process
 * that added them, and a file may not be there.
 *
 * A key is `sentinode:PID:STARTTIME:…`, with the start of the process in clock ticks since boot, which tells it from a later
 * one of the same pid. Each process that holds audit has a **carrier**: a rule that never fits anything (it is for no system
 * call), whose key says what the state was before. Whoever comes while others are there takes over what they know; the last
 * one to leave puts it back.
 *
 * @module
 */

import process from "node:process";
import { EEXIST } from "../../ffi/abi/errno.ts";
import { O_CLOEXEC, O_RDONLY } from "../../ffi/abi/open.ts";
import { SYS_flock } from "../../ffi/abi/syscall.ts";
import { SystemError } from "../../ffi/errno.ts";
import { readText } from "../../ffi/file.ts";
import type { Libc } from "../../ffi/port.ts";
import { cString } from "../../ffi/text.ts";
import type { AuditControl } from "./control.ts";
import { type AuditRule, deleteRule, keyField, keysOf, listRules } from "./rules.ts";
import type { AuditSettings, AuditStatus } from "./status.ts";

/**
 * How many records may wait for the daemon while it is this process. One more than the usual value of auditd's rules, so that
 * it is seen whose value it is.
 */
export const BACKLOG_LIMIT = 8193;

/**
 * How long an audited process then waits for room, once a record, in jiffies: 26 to 260 ms, by CONFIG_HZ. The kernel's own 60 s
 * would have a reader that is stuck hold up the machine; without any, a burst is lost nearly whole (measured on 6.18: 9 of
 * 10 events of eight processes). As unusual as the limit, for the same reason.
 */
export const BACKLOG_WAIT = 26;

const PREFIX = "sentinode";
const BEFORE = "before=";

/** A process that has rules. */
export interface RuleOwner {
  readonly pid: number;
  /** `starttime` of proc_pid_stat(5). */
  readonly started: string;
}

/** What is put back. */
export interface StatusBefore {
  readonly enabled: number;
  readonly backlogLimit: number;
  readonly backlogWaitTime: number | undefined;
}

/** A process as an owner; undefined where there is none of that pid, or it has ended and is not yet forgotten. */
export function ownerOf(libc: Libc, pid: number): RuleOwner | undefined {
  const stat = readText(libc, `/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The second field, the name in parentheses, may hold anything; the state is the third, starttime the 22nd.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state = "", started] = [fields[3 - 3], fields[22 - 3]];
  return started === undefined || "ZX".includes(state) ? undefined : { pid, started };
}

/** What the keys of an owner's rules begin with. */
export function ownerKey({ pid, started }: RuleOwner): string {
  return `${PREFIX}:${pid}:${started}`;
}

/** Whose a rule is; undefined for others' rules. */
export function ruleOwner(rule: AuditRule): RuleOwner | undefined {
  for (const key of keysOf(rule)) {
    const [, pid, started] = KEY.exec(key) ?? [];
    if (pid !== undefined && started !== undefined) return { pid: Number(pid), started };
  }
  return undefined;
}

const KEY = new RegExp(`^${PREFIX}:(\\d+):(\\d+):`);

/** The rule whose key has what the state was before. */
export function carrierRule(owner: RuleOwner, before: StatusBefore): AuditRule {
  const { enabled, backlogLimit, backlogWaitTime } = before;
  const words = [enabled, backlogLimit, backlogWaitTime ?? ""].join(",");
  return {
    list: "exit",
    action: "never",
    syscalls: [],
    fields: [
      { field: "pid", operator: "=", value: owner.pid },
      keyField(`${ownerKey(owner)}:${BEFORE}${words}`),
    ],
  };
}

/** What a carrier carries; undefined for other rules. */
export function statusBefore(rule: AuditRule): StatusBefore | undefined {
  if (ruleOwner(rule) === undefined) return undefined;
  const [, words] = keysOf(rule)[0]!.split(BEFORE);
  if (words === undefined) return undefined;
  const [enabled = "", backlogLimit = "", backlogWaitTime = ""] = words.split(",");
  return {
    enabled: Number(enabled),
    backlogLimit: Number(backlogLimit),
    backlogWaitTime: backlogWaitTime === "" ? undefined : Number(backlogWaitTime),
  };
}

/** What to set so that the state is as before: what has been changed by others since is theirs. */
export function settingsToRestore(
  now: AuditStatus,
  before: StatusBefore,
  isOthers: boolean,
): AuditSettings {
  const isOurs = now.backlogLimit === BACKLOG_LIMIT;
  return {
    // A daemon that came meanwhile wants it on.
    ...(now.enabled === 1 && before.enabled === 0 && !isOthers ? { enabled: 0 } : {}),
    ...(isOurs ? { backlogLimit: before.backlogLimit } : {}),
    ...(now.backlogWaitTime === BACKLOG_WAIT && before.backlogWaitTime !== undefined
      ? { backlogWaitTime: before.backlogWaitTime }
      : {}),
  };
}

/** Removes the rules of processes that are no more; where nobody holds audit then, its state is as before them. */
export function sweep(libc: Libc, control: AuditControl): number {
  return removeOwned(libc, control, (owner) => !isAlive(libc, owner));
}

/** Removes the rules of this owner; where nobody holds audit then, its state is as before. */
export function leave(libc: Libc, control: AuditControl, leaver: RuleOwner): number {
  const key = ownerKey(leaver);
  return removeOwned(libc, control, (owner) => ownerKey(owner) === key || !isAlive(libc, owner));
}

/** How many rules were removed. The state first: a carrier is there as long as there is something to put back. */
function removeOwned(
  libc: Libc,
  control: AuditControl,
  isGone: (owner: RuleOwner) => boolean,
): number {
  const owned = listRules(control).filter((rule) => ruleOwner(rule) !== undefined);
  const gone = owned.filter((rule) => isGone(ruleOwner(rule)!));
  if (gone.length === 0) return 0;
  // The first carrier knows what was before everybody.
  const carriers = owned.filter((rule) => statusBefore(rule) !== undefined);
  const before = carriers.map(statusBefore)[0];
  if (before !== undefined && carriers.every((rule) => gone.includes(rule))) {
    restore(libc, control, before);
  }
  const isCarrier = (rule: AuditRule) => Number(statusBefore(rule) !== undefined);
  for (const rule of gone.toSorted((a, b) => isCarrier(a) - isCarrier(b))) {
    deleteRule(control, rule);
  }
  return gone.length;
}

function restore(libc: Libc, control: AuditControl, before: StatusBefore): void {
  const { pid } = control.status();
  const isOthers = pid !== 0 && pid !== process.pid && ownerOf(libc, pid) !== undefined;
  if (pid !== 0 && !isOthers) vacate(control);
  const settings = settingsToRestore(control.status(), before, isOthers);
  if (Object.keys(settings).length > 0) control.set(settings);
}

/** Nobody is the daemon any more, where a dead process was: only who is registered can say so. */
function vacate(control: AuditControl): void {
  try {
    control.set({ pid: process.pid });
  } catch (error) {
    // It is this process that is registered, or another that has come just now.
    if (!(error instanceof SystemError) || error.errno !== EEXIST) throw error;
  }
  try {
    control.set({ pid: 0 });
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
  }
}

/** Whether an owner still runs. */
export function isAlive(libc: Libc, { pid, started }: RuleOwner): boolean {
  return ownerOf(libc, pid)?.started === started;
}

/** How long others may hold the lock, in ms; then it goes without. */
const LOCKED_WITHIN = 3000;

const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Does `work` while no other sentinode process comes or leaves. The lock is on the pid namespace: a file that is there for
 * every process that audit listens to, and that nobody has to make.
 */
export function locked<Result>(libc: Libc, work: () => Result): Result {
  const fd = libc.open(cString("/proc/self/ns/pid"), O_RDONLY | O_CLOEXEC, 0);
  const until = performance.now() + LOCKED_WITHIN;
  while (fd >= 0 && libc.syscall(SYS_flock, fd, LOCK_EX | LOCK_NB, 0, 0, 0) < 0) {
    if (performance.now() >= until) break;
    libc.poll(null, 0, 1);
  }
  try {
    return work();
  } finally {
    if (fd >= 0) libc.close(fd);
  }
}

/**
 * What `/proc` tells of a process. Nothing else is looked at, so that a guard's thread can ask while others wait for it.
 *
 * A process chooses its name, and most of the bytes of its cgroups' names: a line ends with a newline, which the kernel
 * escapes in both, and with none of the other characters that `^` and `$` take for its end.
 *
 * @module
 */

import { containerOf, unitsOf } from "../classify/cgroup.ts";
import type { Actor } from "../classify/event.ts";
import { readLink, readText } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { decodeText } from "../ffi/text.ts";

/** The executable; undefined for another user's process, and a kernel thread, which do not say. */
export function processExe(libc: Libc, pid: number): string | undefined {
  const exe = readLink(libc, `/proc/${pid}/exe`);
  return exe && decodeText(exe);
}

/** The path in the cgroup hierarchy; where only version 1 groups a process, the one of systemd names its service. */
export function processCgroup(libc: Libc, pid: number): string | undefined {
  return mainCgroup(readText(libc, `/proc/${pid}/cgroup`) ?? "");
}

/** The effective user id. */
export function processUser(libc: Libc, pid: number): number | undefined {
  return effectiveId(UID, readText(libc, `/proc/${pid}/status`) ?? "");
}

const NAME = /^Name:\t([^\n]*)/;
const PPID = /\nPPid:\t([^\n]*)/;
const UID = /\nUid:\t([^\n]*)/;
const GID = /\nGid:\t([^\n]*)/;

/** Of real, effective, saved and that of filesystems the one that acts. */
function effectiveId(field: RegExp, status: string): number | undefined {
  const id = field.exec(status)?.[1]?.split("\t")[1];
  return id === undefined ? undefined : Number(id);
}

/** The name in `/proc/PID/status`, where a newline and a backslash are escaped (fs/proc/array.c, `proc_task_name`). */
function unescapeName(name: string): string {
  return name.replace(/\\([n\\])/g, (_, letter) => letter === "n" ? "\n" : letter);
}

const VERSION_2 = /(?:^|\n)0::([^\n]*)/;
const SYSTEMD = /(?:^|\n)\d+:name=systemd:([^\n]*)/;

function mainCgroup(cgroups: string): string | undefined {
  return (VERSION_2.exec(cgroups) ?? SYSTEMD.exec(cgroups))?.[1];
}

/** The hierarchies that name containers and units: with version 1 not all of them need to. */
const HIERARCHIES = [VERSION_2, SYSTEMD, /(?:^|\n)\d+:memory:([^\n]*)/];

type CgroupFacts = Pick<Actor, "cgroup" | "container" | "unit" | "userUnit">;

/** How many texts of `/proc/PID/cgroup` are remembered, which many processes share. */
const REMEMBERED = 256;
const cgroups = new Map<string, CgroupFacts>();

function cgroupFacts(text: string): CgroupFacts {
  let facts = cgroups.get(text);
  if (facts !== undefined) return facts;
  const paths = HIERARCHIES.map((line) => line.exec(text)?.[1] ?? "/");
  const cgroup = mainCgroup(text);
  const container = paths.map(containerOf).find((name) => name !== undefined);
  const units = paths.slice(0, 2).map(unitsOf).find(({ unit }) => unit !== undefined);
  facts = {
    ...(cgroup === undefined ? {} : { cgroup }),
    ...(container === undefined ? {} : { container }),
    ...units,
  };
  if (cgroups.size >= REMEMBERED) cgroups.clear();
  cgroups.set(text, facts);
  return facts;
}

/** The user who logged in, and the session; nobody has where it is −1 (`AUDIT_UID_UNSET`, `AUDIT_SID_UNSET`). */
function login(libc: Libc, pid: number, file: "loginuid" | "sessionid"): number | undefined {
  const text = readText(libc, `/proc/${pid}/${file}`);
  return text === undefined || text === "" || text === UNSET ? undefined : Number(text);
}

const UNSET = String(2 ** 32 - 1);

/** What `/proc` tells of a process; what it does not is absent. */
export type ProcessFacts = Pick<
  Actor,
  | "ppid"
  | "uid"
  | "gid"
  | "loginUid"
  | "session"
  | "comm"
  | "exe"
  | "cmdline"
  | "cgroup"
  | "container"
  | "unit"
  | "userUnit"
>;

/** What `/proc/PID` tells; undefined where there is no such process any more. */
export function processFacts(libc: Libc, pid: number): ProcessFacts | undefined {
  const status = readText(libc, `/proc/${pid}/status`);
  if (status === undefined) return undefined;
  const ppid = PPID.exec(status)?.[1];
  const name = NAME.exec(status)?.[1];
  const cmdline = readText(libc, `/proc/${pid}/cmdline`);
  const loginUid = login(libc, pid, "loginuid");
  const facts: { readonly [name in keyof ProcessFacts]: ProcessFacts[name] | undefined } = {
    ppid: ppid === undefined ? undefined : Number(ppid),
    uid: effectiveId(UID, status),
    gid: effectiveId(GID, status),
    loginUid,
    session: loginUid === undefined ? undefined : login(libc, pid, "sessionid"),
    comm: name === undefined ? undefined : unescapeName(name),
    exe: processExe(libc, pid),
    cmdline: cmdline ? cmdline.replace(/\0$/, "").split("\0") : undefined,
    ...cgroupFacts(readText(libc, `/proc/${pid}/cgroup`) ?? ""),
  };
  // What is not known is absent.
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
}

/**
 * The kernel's limits on watching, and who uses them up.
 *
 * @module
 */

import { EFD_CLOEXEC } from "../ffi/abi/poll.ts";
import type { SystemError } from "../ffi/errno.ts";
import { WatchLimitError } from "../ffi/errno.ts";
import { readDirectory, readLink, readText } from "../ffi/file.ts";
import type { Libc } from "../ffi/port.ts";
import { cString, decodeText } from "../ffi/text.ts";

/** The sysctls below `/proc/sys/fs` that bound a watcher. */
export const LIMITS = [
  "inotify/max_user_watches",
  "inotify/max_user_instances",
  "inotify/max_queued_events",
  "fanotify/max_user_marks",
  "fanotify/max_user_groups",
  "fanotify/max_queued_events",
] as const;

/** One of {@linkcode LIMITS}. */
export type LimitName = (typeof LIMITS)[number];

/** The value of a limit; undefined where the kernel has none (fanotify's are there since 5.13). */
export function readLimit(libc: Libc, name: LimitName): number | undefined {
  const text = readText(libc, `/proc/sys/fs/${name}`);
  return text === undefined ? undefined : Number(text);
}

/** What one process holds, of those whose fds this user may look at. */
export interface LimitUser {
  readonly pid: number;
  readonly comm: string;
  /** inotify instances and watches, fanotify groups and marks. */
  readonly instances: number;
  readonly watches: number;
  readonly groups: number;
  readonly marks: number;
}

/** Who holds inotify instances and fanotify groups: from `/proc/PID/fd` and `fdinfo`, the largest first. */
export function limitUsers(libc: Libc): LimitUser[] {
  const users: LimitUser[] = [];
  for (const { name: pid } of readDirectory(libc, cString("/proc")) ?? []) {
    if (!/^\d+$/.test(pid)) continue;
    const held = { instances: 0, watches: 0, groups: 0, marks: 0 };
    for (const { name: fd } of readDirectory(libc, cString(`/proc/${pid}/fd`)) ?? []) {
      const link = readLink(libc, `/proc/${pid}/fd/${fd}`);
      const kind = link === undefined ? "" : decodeText(link);
      if (kind !== "anon_inode:inotify" && kind !== "anon_inode:[fanotify]") continue;
      // One line a watch or mark: `inotify wd:1 ino:…`, `fanotify ino:…`, `fanotify sdev:…`; one more for the group.
      const info = readText(libc, `/proc/${pid}/fdinfo/${fd}`) ?? "";
      const lines = info.split("\n").filter((line) =>
        /^(inotify wd|fanotify (ino|sdev|mnt_id))/.test(line)
      );
      if (kind === "anon_inode:inotify") {
        held.instances++;
        held.watches += lines.length;
      } else {
        held.groups++;
        held.marks += lines.length;
      }
    }
    if (held.instances + held.groups === 0) continue;
    const comm = readText(libc, `/proc/${pid}/comm`)?.trimEnd() ?? "?";
    users.push({ pid: Number(pid), comm, ...held });
  }
  const size = (user: LimitUser) => user.watches + user.marks + user.instances + user.groups;
  return users.sort((a, b) => size(b) - size(a));
}

const COUNTED: Readonly<Partial<Record<LimitName, keyof LimitUser>>> = {
  "inotify/max_user_watches": "watches",
  "inotify/max_user_instances": "instances",
  "fanotify/max_user_marks": "marks",
  "fanotify/max_user_groups": "groups",
};

/** The same limits of a user namespace (namespaces(7)), where the name is not the same but for `user_`. */
function namespaceLimit(name: LimitName): string {
  const [what, limit] = name.split("/");
  return `max_${what}_${limit!.replace("max_user_", "")}`;
}

/** The sysctl that binds here: that of the machine, or a smaller one of the user namespace. */
function tightest(libc: Libc, name: LimitName): { sysctl: string; value: number | undefined } {
  const value = readLimit(libc, name);
  const inner = namespaceLimit(name);
  const text = readText(libc, `/proc/sys/user/${inner}`);
  return text !== undefined && Number(text) < (value ?? Infinity)
    ? { sysctl: `user.${inner}`, value: Number(text) }
    : { sysctl: `fs.${name.replace("/", ".")}`, value };
}

/** How long what was found out about a limit is told again, in ms: whoever meets one at a thousand directories looks once. */
const FRESH = 1000;

const hints = new Map<LimitName, { readonly text: string; readonly until: number }>();

/** Which limit it is, its value now, who uses it up, and the remedy. */
function hintOf(libc: Libc, name: LimitName): string {
  const known = hints.get(name);
  if (known !== undefined && performance.now() < known.until) return known.text;
  const { sysctl, value } = tightest(libc, name);
  const counted = COUNTED[name];
  const users = counted === undefined ? [] : limitUsers(libc)
    .filter((user) => Number(user[counted]) > 0)
    .sort((a, b) => Number(b[counted]) - Number(a[counted]))
    .slice(0, 3)
    .map((user) => `${user.comm} (${user.pid}) ${user[counted]}`);
  const text = `${sysctl} is ${value ?? "unknown"}` +
    (users.length === 0 ? "" : `, held by ${users.join(", ")}`) +
    `; raise it with: sysctl ${sysctl}=${(value ?? 4096) * 4}`;
  hints.set(name, { text, until: performance.now() + FRESH });
  return text;
}

/** Whether this process may open one more file. */
export function mayOpen(libc: Libc): boolean {
  const fd = libc.eventfd(0, EFD_CLOEXEC);
  if (fd >= 0) libc.close(fd);
  return fd >= 0;
}

/** `error` as a {@linkcode WatchLimitError} that says which limit, its value now, who uses it up, and the remedy. */
export function limitError(libc: Libc, name: LimitName, error: SystemError): WatchLimitError {
  // EMFILE stands for the limit of instances or groups, and for that of file descriptors as well.
  if (error instanceof WatchLimitError && !mayOpen(libc)) return error;
  return new WatchLimitError(error.message, {
    errno: error.errno,
    syscall: error.syscall,
    ...(error.path === undefined ? {} : { path: error.path }),
    hint: hintOf(libc, name),
    cause: error,
  });
}

/**
 * What this kernel, these privileges and this runtime can do: by trying, for distributions carry features back to older
 * kernels, and a container may have the kernel but not the privilege.
 *
 * Every trial opens what it needs and closes it before the next; closing an fanotify group or an inotify instance drops
 * its marks and watches. No trial asks for a permission event.
 *
 * @module
 */

import { posix } from "node:path";
import process from "node:process";
import { AuditControl } from "../backends/audit/control.ts";
import { AuditSocket } from "../backends/audit/netlink.ts";
import type { AuditStatus } from "../backends/audit/status.ts";
import { ErrorCounter } from "../backends/ext4/error_counter.ts";
import { identify, openHandle } from "../backends/fanotify/handle.ts";
import { NotificationPipe } from "../backends/keys/pipe.ts";
import { NEEDED } from "../backends/keys/refusal.ts";
import {
  type LimitName,
  LIMITS,
  type LimitUser,
  limitUsers,
  readLimit,
} from "../backends/limits.ts";
import { QuotaSocket } from "../backends/quota/quota_socket.ts";
import {
  FAN_CLASS_CONTENT,
  FAN_CLASS_NOTIF,
  FAN_CLASS_PRE_CONTENT,
  FAN_CLOEXEC,
  FAN_FS_ERROR,
  FAN_MARK_ADD,
  FAN_MARK_FILESYSTEM,
  FAN_MARK_INODE,
  FAN_MARK_MNTNS,
  FAN_MARK_MOUNT,
  FAN_MARK_REMOVE,
  FAN_MNT_ATTACH,
  FAN_MODIFY,
  FAN_NONBLOCK,
  FAN_PRE_ACCESS,
  FAN_RENAME,
  FAN_REPORT_DFID_NAME_TARGET,
  FAN_REPORT_FD_ERROR,
  FAN_REPORT_FID,
  FAN_REPORT_MNT,
  FAN_REPORT_PIDFD,
  FAN_UNLIMITED_MARKS,
  FAN_UNLIMITED_QUEUE,
} from "../ffi/abi/fanotify.ts";
import { AUDIT_NLGRP_READLOG } from "../ffi/abi/audit.ts";
import { ENOENT } from "../ffi/abi/errno.ts";
import { IN_CLOEXEC, IN_CREATE, IN_NONBLOCK } from "../ffi/abi/inotify.ts";
import {
  AT_FDCWD,
  O_CLOEXEC,
  O_DIRECTORY,
  O_LARGEFILE,
  O_PATH,
  O_RDONLY,
} from "../ffi/abi/open.ts";
import { errnoName, SystemError, systemError } from "../ffi/errno.ts";
import { fileStatus, readText } from "../ffi/file.ts";
import { openLibc } from "../ffi/libc.ts";
import type { Libc } from "../ffi/port.ts";
import { cString } from "../ffi/text.ts";
import { absolutePath } from "./targets.ts";

/** A capability of a process that opens something to sentinode. */
export type CapabilityName =
  | "CAP_SYS_ADMIN"
  | "CAP_DAC_READ_SEARCH"
  | "CAP_AUDIT_READ"
  | "CAP_AUDIT_CONTROL"
  | "CAP_AUDIT_WRITE";

/** Their bits in `CapEff` (capabilities(7), `<linux/capability.h>`). */
const CAPABILITY_BITS: Readonly<Record<CapabilityName, number>> = {
  CAP_SYS_ADMIN: 21,
  CAP_DAC_READ_SEARCH: 2,
  CAP_AUDIT_READ: 37,
  CAP_AUDIT_CONTROL: 30,
  CAP_AUDIT_WRITE: 29,
};

/** What is tried: see {@linkcode Probe}. */
export type ProbeName =
  | "inotify"
  | "fanotify"
  | "fanotify-unlimited"
  | "fanotify-pidfd"
  | "fanotify-fd-error"
  | "inode-mark"
  | "mount-mark"
  | "filesystem-mark"
  | "open-by-handle"
  | "rename-event"
  | "permission-events"
  | "pre-content-events"
  | "mount-events"
  | "filesystem-errors"
  | "ext4-error-count"
  | "quota-warnings"
  | "audit-rules"
  | "audit-multicast"
  | "watch-queue";

/** One thing that was tried. */
export interface Probe {
  /** What was tried. */
  readonly name: ProbeName;
  /** What it is good for. */
  readonly about: string;
  /** Whether it works here. */
  readonly available: boolean;
  /** Why not: the call that refused, and its errno. */
  readonly reason?: string;
  /** What a person can do about it. */
  readonly remedy?: string;
}

/** A limit of the kernel on watching. */
export interface Limit {
  /** The sysctl: `"fs.inotify.max_user_watches"`. */
  readonly name: string;
  /** Its value; undefined where the kernel has no such limit. */
  readonly value?: number;
  /** How much of it the processes of this user hold; undefined for what is no count (a queue's length). */
  readonly used?: number;
  /** The processes of this user that hold most of it, the largest first, at most three. */
  readonly users: readonly { readonly pid: number; readonly comm: string; readonly used: number }[];
}

/** The state of the machine's audit system. */
export interface AuditState {
  /** Whether anything is recorded. */
  readonly enabled: boolean;
  /** Whether that, and the rules, cannot be changed until the next boot. */
  readonly locked: boolean;
  /** Who the records go to. */
  readonly daemon?: { readonly pid: number; readonly comm: string };
  /** How many records may wait for it. */
  readonly backlogLimit: number;
  /** How many do. */
  readonly backlog: number;
  /** How many were lost so far, since it was last reset. */
  readonly lost: number;
}

/** What can be done here. */
export interface Capabilities {
  /** What runs this program: `"deno"` or `"bun"`. */
  readonly runtime: { readonly name: string; readonly version: string };
  /** The kernel's release: `"6.12.5-amd64"`. */
  readonly kernel: string;
  /** `"x64"` or `"arm64"`. */
  readonly machine: string;
  /** Effective user id. */
  readonly uid: number;
  /** Which capabilities the process has in effect, in its own user namespace. */
  readonly capabilities: Readonly<Record<CapabilityName, boolean>>;
  /** The path that was tried, absolute. */
  readonly path: string;
  /** What was tried, each with its outcome. */
  readonly probes: readonly Probe[];
  /** The kernel's limits on watching, with their use. */
  readonly limits: readonly Limit[];
  /** The state of audit; undefined for those who may not ask. */
  readonly audit?: AuditState;
}

/** What a trial has at hand. */
interface Subject {
  readonly libc: Libc;
  /** The path, and the directory that is or holds it. */
  readonly path: string;
  readonly directory: string;
}

/** A call that refused. */
interface Refusal {
  readonly syscall: string;
  readonly errno: number;
}

/** How one thing is tried, and what its errnos ask for. */
interface Trial {
  readonly name: ProbeName;
  readonly about: string;
  /** Tries; undefined when it works. */
  readonly run: (subject: Subject) => Refusal | undefined;
  /** errno to remedy; `else` for the others. */
  readonly remedies: Readonly<Record<string, string>>;
}

const NAMED = FAN_CLOEXEC | FAN_NONBLOCK | FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME_TARGET;

const ROOT = "run as root, or give the process CAP_SYS_ADMIN";
const NO_GROUP = "raise it: sysctl fs.fanotify.max_user_groups";
const NO_MARK = "raise it: sysctl fs.fanotify.max_user_marks";
const NO_FANOTIFY = "this kernel is built without CONFIG_FANOTIFY; use inotify";
const READABLE = "choose a path that this user may read";
const BY_INOTIFY = "this filesystem has no such marks; use inotify here";

const OF_INIT = { EPERM: ROOT, ENOSYS: NO_FANOTIFY, EMFILE: NO_GROUP };
const OF_MARK = {
  ...OF_INIT,
  ENOSPC: NO_MARK,
  EACCES: READABLE,
  ENODEV: BY_INOTIFY,
  EOPNOTSUPP: BY_INOTIFY,
  EXDEV: "mark the filesystem's top-level mount (btrfs: subvolid=5), or use inotify",
};

const OF_AUDIT = {
  EPROTONOSUPPORT: "this kernel is built without CONFIG_AUDIT",
  ECONNREFUSED: "audit answers in the first user namespace only, and not with audit=0",
};

/** What is tried, in the order in which it is told. */
const TRIALS: readonly Trial[] = [
  {
    name: "inotify",
    about: "watches on single directories, for everybody",
    run: ({ libc, path }) => {
      const fd = libc.inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
      if (fd < 0) return { syscall: "inotify_init1", errno: libc.errno() };
      const wd = libc.inotify_add_watch(fd, cString(path), IN_CREATE);
      const refusal = { syscall: "inotify_add_watch", errno: libc.errno() };
      libc.close(fd);
      return wd < 0 ? refusal : undefined;
    },
    remedies: {
      EMFILE: "raise it: sysctl fs.inotify.max_user_instances",
      ENOSPC: "raise it: sysctl fs.inotify.max_user_watches",
      EACCES: READABLE,
      ENOSYS: "this kernel is built without CONFIG_INOTIFY_USER",
    },
  },
  {
    name: "fanotify",
    about: "groups that report handles, names and targets",
    run: group(NAMED),
    remedies: {
      ...OF_INIT,
      EPERM: "run as root, or on Linux 5.13 or newer",
      EINVAL: "needs Linux 5.17 (or 5.15.154, 5.10.220); use inotify",
    },
  },
  {
    name: "fanotify-unlimited",
    about: "marks and queues without a bound",
    run: group(NAMED | FAN_UNLIMITED_MARKS | FAN_UNLIMITED_QUEUE),
    remedies: { ...OF_INIT, EINVAL: "needs Linux 5.17 (or 5.15.154, 5.10.220)" },
  },
  {
    name: "fanotify-pidfd",
    about: "who did it, without mistaking a reused pid",
    run: group(NAMED | FAN_REPORT_PIDFD),
    remedies: { ...OF_INIT, EINVAL: "needs Linux 5.15 (or 5.10.220)" },
  },
  {
    name: "fanotify-fd-error",
    about: "why a pidfd could not be had",
    run: group(NAMED | FAN_REPORT_FD_ERROR),
    remedies: {
      ...OF_INIT,
      EINVAL: "needs Linux 6.13 (or 6.12.4, 6.6.66); nothing is lost without",
    },
  },
  {
    name: "inode-mark",
    about: "fanotify on the path itself",
    run: mark(FAN_MARK_INODE),
    remedies: OF_MARK,
  },
  {
    name: "mount-mark",
    about: "fanotify on the whole mount of the path",
    run: mark(FAN_MARK_MOUNT),
    remedies: OF_MARK,
  },
  {
    name: "filesystem-mark",
    about: "fanotify on the whole filesystem of the path",
    run: mark(FAN_MARK_FILESYSTEM),
    remedies: { ...OF_MARK, EINVAL: "needs Linux 4.20" },
  },
  {
    name: "open-by-handle",
    about: "from a handle to a path, which filesystem marks need",
    run: openByHandle,
    remedies: {
      EPERM: "run as root, or give the process CAP_DAC_READ_SEARCH",
      EOPNOTSUPP: "this filesystem has no handles that can be opened; use inotify here",
      EACCES: READABLE,
      ESTALE: "this filesystem cannot open its handles again; use inotify here",
    },
  },
  {
    name: "rename-event",
    about: "a rename as one event with both names (FAN_RENAME)",
    run: ({ libc, directory }) =>
      withGroup(libc, NAMED, (fd) => addMark(libc, fd, FAN_MARK_INODE, FAN_RENAME, directory)),
    remedies: { ...OF_MARK, EINVAL: "needs Linux 5.17 (or 5.15.154, 5.10.220)" },
  },
  {
    name: "permission-events",
    about: "to allow or deny opens and execs (guard)",
    run: group(FAN_CLOEXEC | FAN_NONBLOCK | FAN_CLASS_CONTENT),
    remedies: {
      ...OF_INIT,
      EINVAL: "this kernel is built without CONFIG_FANOTIFY_ACCESS_PERMISSIONS",
    },
  },
  {
    name: "pre-content-events",
    about: "to fill files when they are first read (FAN_PRE_ACCESS)",
    run: ({ libc, path }) =>
      withGroup(libc, FAN_CLOEXEC | FAN_NONBLOCK | FAN_CLASS_PRE_CONTENT, (fd) => {
        // To remove a mark that is not there: a kernel that knows the event says ENOENT, an older one EINVAL. To add one
        // would hold up whoever reads the file.
        const refusal = changeMark(libc, fd, FAN_MARK_REMOVE, FAN_PRE_ACCESS, path);
        return refusal?.errno === ENOENT ? undefined : refusal;
      }),
    remedies: {
      ...OF_INIT,
      EPERM: `${ROOT}, on Linux 6.14 or newer`,
      EINVAL: "needs Linux 6.14 and a filesystem that takes part (ext4, xfs, btrfs)",
      EOPNOTSUPP: "needs a filesystem that takes part (ext4, xfs, btrfs)",
    },
  },
  {
    name: "mount-events",
    about: "mounts that come and go",
    run: ({ libc }) =>
      withGroup(
        libc,
        FAN_CLOEXEC | FAN_NONBLOCK | FAN_CLASS_NOTIF | FAN_REPORT_MNT,
        (fd) => addMark(libc, fd, FAN_MARK_MNTNS, FAN_MNT_ATTACH, "/proc/self/ns/mnt"),
      ),
    remedies: {
      ...OF_INIT,
      // Who has no privilege is told so of flags, too, that the kernel does not know.
      EPERM: `${ROOT}, on Linux 6.15 or newer; /proc/self/mountinfo tells it to everybody`,
      EINVAL: "needs Linux 6.15; older ones tell it through /proc/self/mountinfo",
    },
  },
  {
    name: "filesystem-errors",
    about: "errors of the filesystem, by fanotify (before Linux 7.0 of ext4 alone)",
    run: ({ libc, path }) =>
      withGroup(
        libc,
        FAN_CLOEXEC | FAN_NONBLOCK | FAN_CLASS_NOTIF | FAN_REPORT_FID,
        (fd) => addMark(libc, fd, FAN_MARK_FILESYSTEM, FAN_FS_ERROR, path),
      ),
    remedies: {
      ...OF_MARK,
      EINVAL: "needs Linux 5.16",
      EXDEV: "name a path on the filesystem's top (btrfs: subvolid=5)",
      ENODEV: "this filesystem has no identity to report errors by",
      EOPNOTSUPP: "this filesystem has no identity to report errors by",
    },
  },
  {
    name: "ext4-error-count",
    about: "errors of ext4, by its counters, for everybody",
    run: ({ libc, path }) =>
      refusalOf(() => {
        const device = fileStatus(libc, cString(path))?.device ?? "?";
        new ErrorCounter(libc, device).close();
      }),
    remedies: { ENOENT: "ext4 alone counts its errors, with sysfs mounted at /sys" },
  },
  {
    name: "quota-warnings",
    about: "who exceeds a quota",
    run: ({ libc }) => refusalOf(() => new QuotaSocket(libc).close()),
    remedies: {
      ENOENT: "needs CONFIG_QUOTA_NETLINK_INTERFACE, and the machine's first network namespace",
      EPROTONOSUPPORT: "this kernel is built without generic netlink",
    },
  },
  {
    name: "audit-rules",
    about: "to have the audit system record who does what, and be its daemon (audit)",
    run: ({ libc }) => refusalOf(() => void statusOf(libc)),
    remedies: { ...OF_AUDIT, EPERM: "run as root, or give the process CAP_AUDIT_CONTROL" },
  },
  {
    name: "audit-multicast",
    about: "to hear what is recorded for others (audit)",
    run: ({ libc }) =>
      refusalOf(() =>
        new AuditSocket(libc, "CAP_AUDIT_READ", 1 << (AUDIT_NLGRP_READLOG - 1)).close()
      ),
    remedies: { ...OF_AUDIT, EPERM: "run as root, or give the process CAP_AUDIT_READ" },
  },
  {
    name: "watch-queue",
    about: "to hear what happens to keys (keys)",
    run: ({ libc }) => refusalOf(() => new NotificationPipe(libc).close()),
    remedies: {
      ENOPKG: NEEDED,
      EINVAL: NEEDED,
      EOPNOTSUPP: NEEDED,
      ENOSYS: NEEDED,
      EPERM: "allow keyctl(2) in the container's seccomp profile",
    },
  },
];

/** What the system refuses of what is done; undefined where it does not. */
function refusalOf(work: () => void): Refusal | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof SystemError) return error;
    throw error;
  }
}

function statusOf(libc: Libc): AuditStatus {
  using control = new AuditControl(libc);
  return control.status();
}

/** The state of audit, for those who may ask. */
function auditState(libc: Libc): AuditState | undefined {
  let status: AuditStatus | undefined;
  refusalOf(() => void (status = statusOf(libc)));
  if (status === undefined) return undefined;
  const { enabled, pid, backlogLimit, backlog, lost } = status;
  const comm = pid === 0 ? undefined : readText(libc, `/proc/${pid}/comm`)?.trimEnd();
  return {
    enabled: enabled !== 0,
    locked: enabled === 2,
    ...(comm === undefined ? {} : { daemon: { pid, comm } }),
    backlogLimit,
    backlog,
    lost,
  };
}

function group(flags: number): Trial["run"] {
  return ({ libc }) => withGroup(libc, flags, () => undefined);
}

function mark(target: number): Trial["run"] {
  return ({ libc, path }) =>
    withGroup(libc, NAMED, (fd) => addMark(libc, fd, target, FAN_MODIFY, path));
}

function withGroup(
  libc: Libc,
  flags: number,
  use: (fd: number) => Refusal | undefined,
): Refusal | undefined {
  const fd = libc.fanotify_init(flags, O_RDONLY | O_CLOEXEC | O_LARGEFILE);
  if (fd < 0) return { syscall: "fanotify_init", errno: libc.errno() };
  const refusal = use(fd);
  libc.close(fd);
  return refusal;
}

function addMark(libc: Libc, fd: number, target: number, mask: number, path: string) {
  return changeMark(libc, fd, FAN_MARK_ADD | target, mask, path);
}

function changeMark(
  libc: Libc,
  fd: number,
  flags: number,
  mask: number,
  path: string,
): Refusal | undefined {
  const result = libc.fanotify_mark(fd, flags, BigInt(mask), AT_FDCWD, cString(path));
  return result < 0 ? { syscall: "fanotify_mark", errno: libc.errno() } : undefined;
}

function openByHandle({ libc, directory }: Subject): Refusal | undefined {
  // Not O_PATH: open_by_handle_at(2) takes no such descriptor for the mount.
  const fd = libc.open(cString(directory), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) return { syscall: "open", errno: libc.errno() };
  try {
    const identity = identify(libc, fd);
    if (identity === undefined) return { syscall: "name_to_handle_at", errno: libc.errno() };
    const opened = openHandle(libc, fd, identity.key);
    if (opened < 0) return { syscall: "open_by_handle_at", errno: libc.errno() };
    libc.close(opened);
    return undefined;
  } finally {
    libc.close(fd);
  }
}

function probe({ name, about, run, remedies }: Trial, subject: Subject): Probe {
  const refusal = run(subject);
  if (refusal === undefined) return { name, about, available: true };
  const code = errnoName(refusal.errno);
  return {
    name,
    about,
    available: false,
    reason: `${refusal.syscall} says ${code}`,
    remedy: remedies[code] ?? `look ${code} up in the manual page ${refusal.syscall}(2)`,
  };
}

/** What is counted against each limit, in the terms of {@linkcode LimitUser}. */
const COUNTED: Readonly<Partial<Record<LimitName, "instances" | "watches" | "groups" | "marks">>> =
  {
    "inotify/max_user_watches": "watches",
    "inotify/max_user_instances": "instances",
    "fanotify/max_user_marks": "marks",
    "fanotify/max_user_groups": "groups",
  };

/** How many of those who use a limit up are named. */
const NAMED_USERS = 3;

function limit(libc: Libc, name: LimitName, users: readonly LimitUser[]): Limit {
  const value = readLimit(libc, name);
  const known = {
    name: `fs.${name.replace("/", ".")}`,
    ...(value === undefined ? {} : { value }),
  };
  const counted = COUNTED[name];
  if (counted === undefined) return { ...known, users: [] };
  const held = users.map((user) => ({ pid: user.pid, comm: user.comm, used: user[counted] }))
    .filter(({ used }) => used > 0)
    .sort((a, b) => b.used - a.used);
  const used = held.reduce((sum, user) => sum + user.used, 0);
  return { ...known, used, users: held.slice(0, NAMED_USERS) };
}

function heldCapabilities(libc: Libc): Record<CapabilityName, boolean> {
  const status = readText(libc, "/proc/self/status") ?? "";
  const bits = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  const names = Object.entries(CAPABILITY_BITS);
  return Object.fromEntries(
    names.map(([name, bit]) => [name, (bits >> BigInt(bit) & 1n) !== 0n]),
  ) as Record<CapabilityName, boolean>;
}

/**
 * What this kernel, these privileges and this runtime can do on `path`, each "no" with its reason and the remedy.
 *
 * Needs no privilege; in Deno `--allow-ffi` alone. Leaves no file descriptor and no mark behind, and changes nothing.
 *
 * **Errors.** Rejects with `SystemError` where there is no such path, with `UnsupportedError` on another system than Linux.
 *
 * @example
 * ```ts
 * import { capabilities } from "sentinode";
 *
 * const { kernel, probes } = await capabilities("/tmp");
 * console.log(kernel);
 * for (const { name, available, reason, remedy } of probes) {
 *   console.log(name, available ? "yes" : `no: ${reason}; ${remedy}`);
 * }
 * ```
 *
 * @param path what the marks are tried on; the working directory if there is none
 */
export async function capabilities(path: string | URL = "."): Promise<Capabilities> {
  const libc = await openLibc();
  const absolute = absolutePath(libc, path);
  const fd = libc.open(cString(absolute), O_PATH | O_CLOEXEC, 0);
  if (fd < 0) throw systemError(libc, `examine ${absolute}`, { syscall: "open", path: absolute });
  const isDirectory = fileStatus(libc, cString(""), fd)?.type === "directory";
  libc.close(fd);
  const directory = isDirectory ? absolute : posix.dirname(absolute);
  const subject = { libc, path: absolute, directory };
  const uid = libc.geteuid();
  // The limits are each user's own; root sees what everybody holds.
  const users = limitUsers(libc)
    .filter(({ pid }) => fileStatus(libc, cString(`/proc/${pid}`))?.uid === uid);
  const audit = auditState(libc);
  const { bun, deno } = process.versions as Readonly<Record<string, string | undefined>>;
  return {
    runtime: bun === undefined
      ? { name: "Deno", version: deno ?? "unknown" }
      : { name: "Bun", version: bun },
    kernel: readText(libc, "/proc/sys/kernel/osrelease")?.trimEnd() ?? "unknown",
    machine: process.arch,
    uid,
    capabilities: heldCapabilities(libc),
    path: absolute,
    probes: TRIALS.map((trial) => probe(trial, subject)),
    limits: LIMITS.map((name) => limit(libc, name, users)),
    ...(audit === undefined ? {} : { audit }),
  };
}

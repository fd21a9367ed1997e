/**
 * The rules by which audit sees what changes in a directory tree (or a file): all that it can see of it.
 *
 * `perm=wa` alone misses several (measured on 6.18): an `open` that creates or truncates but does not write, times, the calls
 * that are newer than the kernel's classes, and what has no path: chattr(1) is an ioctl on an open file, and io_uring has a
 * list of its own. Nothing sees `futimens`, writes through an open file, and stores to a mapping.
 *
 * @module
 */

import { arch } from "../../ffi/abi/arch.ts";
import { FS_IOC32_SETFLAGS, FS_IOC_FSSETXATTR, FS_IOC_SETFLAGS } from "../../ffi/abi/ioctl.ts";
import { O_CREAT, O_TRUNC } from "../../ffi/abi/open.ts";
import type { ListName } from "./rule_fields.ts";
import { type AuditField, type AuditRule, keyField } from "./rules.ts";

/** What a rule of a tree is for: the end of its key. */
export type RuleClass =
  /** Writes and attributes, as the kernel's classes of system calls have them. */
  | "change"
  /** Opened with O_CREAT or O_TRUNC, but not for writing. */
  | "open"
  /** utimensat(2) and its like, by path. */
  | "times"
  /** Calls that the kernel's class of attributes lacks. */
  | "attributes"
  /** chattr(1): an ioctl on some file of the machine, which its record does not name. */
  | "flags"
  /** Operations of io_uring. */
  | "io_uring";

/** Numbers of system calls of one architecture (`<asm/unistd.h>` of each; ausyscall(8)). */
interface Numbers {
  /** The flags are its second argument. */
  readonly open?: number;
  /** The flags are its third argument. */
  readonly openat: number;
  readonly times: readonly number[];
  readonly ioctl: number;
  /** The requests that change a file's flags. */
  readonly requests: readonly number[];
}

/** By the name of the architecture, as the field `arch` has it. */
export const TREE_SYSCALLS: Readonly<Record<string, Numbers>> = {
  x86_64: {
    open: 2,
    openat: 257,
    times: [132, 235, 261, 280], // utime, utimes, futimesat, utimensat
    ioctl: 16,
    requests: [FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR],
  },
  i386: {
    open: 5,
    openat: 295,
    times: [30, 271, 299, 320, 412], // the same, and utimensat_time64
    ioctl: 54,
    requests: [FS_IOC32_SETFLAGS, FS_IOC_FSSETXATTR],
  },
  aarch64: {
    openat: 56,
    times: [88], // utimensat
    ioctl: 29,
    requests: [FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR],
  },
  arm: {
    open: 5,
    openat: 322,
    times: [30, 269, 326, 348, 412], // the same as i386
    ioctl: 54,
    requests: [FS_IOC32_SETFLAGS, FS_IOC_FSSETXATTR],
  },
};

/** Both architectures whose programs this machine may run. */
export const ARCHITECTURES_HERE: readonly string[] = arch === "arm64"
  ? ["aarch64", "arm"]
  : ["x86_64", "i386"];

/** Newer than the classes of most kernels, and numbered alike everywhere. */
const FCHMODAT2 = 452; // 6.6; in the class of attributes since 7.0
const FILE_SETATTR = 469; // 6.17

/**
 * The operations of io_uring that change files: openat, openat2, renameat, unlinkat, mkdirat, symlinkat, linkat, fsetxattr,
 * setxattr, ftruncate (IORING_OP_* of `<linux/io_uring.h>`). Not "all": a rule on a `path` is tried on system calls of the
 * same numbers as well, whatever its list (audit_inode_hash in kernel/auditsc.c), and would tell each stat(2) of the file
 * (seen on 6.18). These numbers are calls without paths on x86_64, and on arm64 such as change files too.
 */
const URING_CHANGES: readonly number[] = [18, 28, 35, 36, 37, 38, 39, 41, 42, 55];

/** The rules for a directory and all below it, or for a file. `key` is what their keys begin with. */
export function treeRules(
  path: string | Uint8Array,
  isDirectory: boolean,
  key: string,
  architectures: readonly string[] = ARCHITECTURES_HERE,
): AuditRule[] {
  const place: AuditField = { field: isDirectory ? "dir" : "path", operator: "=", value: path };
  const rule = (
    kind: RuleClass,
    syscalls: AuditRule["syscalls"],
    fields: readonly AuditField[],
    list: ListName = "exit",
  ): AuditRule => ({
    list,
    action: "always",
    syscalls,
    fields: [...fields, keyField(classKey(key, kind))],
  });
  const flags = O_CREAT | O_TRUNC;
  const rules = [rule("change", "all", [place, equal("perm", "wa")])];
  for (const name of architectures) {
    const { open, openat, times } = TREE_SYSCALLS[name]!;
    const of = equal("arch", name);
    rules.push(rule("open", [openat], [of, place, { field: "a2", operator: "&", value: flags }]));
    if (open !== undefined) {
      rules.push(rule("open", [open], [of, place, { field: "a1", operator: "&", value: flags }]));
    }
    rules.push(rule("times", times, [of, place]));
    rules.push(rule("attributes", [FCHMODAT2, FILE_SETATTR], [of, place]));
  }
  rules.push(rule("io_uring", URING_CHANGES, [place], "io_uring"));
  return rules;
}

/** The rules for chattr(1), of which one set serves all trees: they are for every file of the machine. */
export function flagRules(
  key: string,
  architectures: readonly string[] = ARCHITECTURES_HERE,
): AuditRule[] {
  return architectures.flatMap((name) => {
    const { ioctl, requests } = TREE_SYSCALLS[name]!;
    return requests.map((request): AuditRule => ({
      list: "exit",
      action: "always",
      syscalls: [ioctl],
      fields: [
        equal("arch", name),
        equal("a1", request),
        keyField(classKey(key, "flags")),
      ],
    }));
  });
}

/** The key of a rule of that class. */
export function classKey(key: string, kind: RuleClass): string {
  return `${key}:${kind}`;
}

function equal(field: string, value: string | number): AuditField {
  return { field, operator: "=", value };
}

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
import { auditArchNamed } from "../../ffi/abi/audit_arches.ts";
import { FS_IOC32_SETFLAGS, FS_IOC_FSSETXATTR, FS_IOC_SETFLAGS } from "../../ffi/abi/ioctl.ts";
import { O_CREAT, O_TRUNC } from "../../ffi/abi/open.ts";
import { syscallNumber } from "../../ffi/abi/syscall_names.ts";
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

/** What sets the times of a file by its path, where an architecture has it. */
const TIMES = ["utime", "utimes", "futimesat", "utimensat", "utimensat_time64"];

/** Newer than the classes of most kernels: since 6.6, in the class of attributes since 7.0; and since 6.17. */
const ATTRIBUTES = ["fchmodat2", "file_setattr"];

/** Both architectures whose programs this machine may run. */
export const ARCHITECTURES_HERE: readonly string[] = arch === "arm64"
  ? ["aarch64", "arm"]
  : ["x86_64", "i386"];

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
    const of = equal("arch", name);
    for (const [call, argument] of [["openat", "a2"], ["open", "a1"]] as const) {
      const opens: AuditField = { field: argument, operator: "&", value: flags };
      const numbers = numbersOf(name, [call]);
      if (numbers.length > 0) rules.push(rule("open", numbers, [of, place, opens]));
    }
    rules.push(rule("times", numbersOf(name, TIMES), [of, place]));
    rules.push(rule("attributes", numbersOf(name, ATTRIBUTES), [of, place]));
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
    const setFlags = isWide(name) ? FS_IOC_SETFLAGS : FS_IOC32_SETFLAGS;
    return [setFlags, FS_IOC_FSSETXATTR].map((request): AuditRule => ({
      list: "exit",
      action: "always",
      syscalls: numbersOf(name, ["ioctl"]),
      fields: [
        equal("arch", name),
        equal("a1", request),
        keyField(classKey(key, "flags")),
      ],
    }));
  });
}

/** The numbers of those of the calls that an architecture has. */
function numbersOf(architecture: string, calls: readonly string[]): number[] {
  const arch = auditArchNamed(architecture)!;
  return calls.flatMap((call) => syscallNumber(arch, call) ?? []);
}

/** The key of a rule of that class. */
function classKey(key: string, kind: RuleClass): string {
  return `${key}:${kind}`;
}

/** Whether its programs have numbers of 64 bits (`__AUDIT_ARCH_64BIT`). */
function isWide(architecture: string): boolean {
  return auditArchNamed(architecture)!.value >= 0x80000000;
}

function equal(field: string, value: string | number): AuditField {
  return { field, operator: "=", value };
}

/**
 * The ways to change a file that `operations.c` has, as data: what is there before, who may, where there is no such way,
 * and what is there afterwards.
 *
 * @module
 */

import { execFileSync, spawnSync } from "node:child_process";
import { chownSync, lchownSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { arch } from "node:process";
import type { FilesystemType } from "./filesystem.ts";
import { isSince, type Version } from "./kernel.ts";
import { moduleFile } from "./runtime.ts";

/** What `operations look` says of a file; null where there is none. */
export interface Look {
  readonly type: "file" | "directory" | "symlink" | "fifo";
  readonly inode: number;
  /** Octal. */
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  /** In s since the epoch. */
  readonly atime: number;
  readonly mtime: number;
  /** Of a symlink. */
  readonly target?: string;
  /** Of a file or directory: of the letters of lsattr(1) `iadA`. */
  readonly flags?: string;
  readonly project?: number;
  /** Of a file. */
  readonly size?: number;
  /** The first 8 bytes, without NULs at their end. */
  readonly content?: string;
  /** Name → value in hex. */
  readonly xattrs: Readonly<Record<string, string>>;
}

/** What a path is before: a file `"path"` or `"other"` (its content) of mode 644, an empty directory, a link to the file. */
export type Before = "file" | "directory" | "symlink" | "absent";

/** The two paths of an operation. */
export interface Looks {
  readonly path: Look | null;
  readonly other: Look | null;
}

/** The filesystems of which it is known what they can. */
export type OperationsFilesystem = Extract<FilesystemType, "tmpfs" | "ext4" | "xfs" | "btrfs">;

export const FILESYSTEMS: readonly OperationsFilesystem[] = ["tmpfs", "ext4", "xfs", "btrfs"];

export const NEVER: Version = [Infinity, 0];

/** A way to change a file. */
export interface Operation {
  readonly name: string;
  /** What PATH is before. */
  readonly path: Before;
  /** What PATH2 is before; without it there is none. */
  readonly other?: Before;
  /** An operation that is done to PATH before. */
  readonly first?: string;
  /** Whether nobody but root may. */
  readonly needsRoot: boolean;
  /** The version of Linux that brought it. */
  readonly since: Version;
  /** The version that brought it to a filesystem, where that was later, or {@linkcode NEVER}. */
  readonly lacking: Readonly<Partial<Record<OperationsFilesystem, Version>>>;
  /** The machines that have the system call; else all. */
  readonly machine?: "x64";
  /** What is there afterwards. */
  readonly after: (before: Looks) => Looks;
}

/** Long ago, in s. */
const THEN = 900_000_000;

/** Makes what is there before an operation, of that user. */
export function makeBefore(path: string, what: Before, content: string, owner: number): void {
  if (what === "absent") return;
  if (what === "symlink") {
    symlinkSync("target", path);
    lchownSync(path, owner, owner);
    return;
  }
  if (what === "file") writeFileSync(path, content, { mode: 0o644 });
  else mkdirSync(path, 0o755);
  chownSync(path, owner, owner);
  utimesSync(path, THEN, THEN);
}

/** What stands for the time of an operation, and for whatever the filesystem chooses. */
export const NOW = -1;
export const ANY = -2;

/** PATH with other values. */
function sets(values: Partial<Look>): Operation["after"] {
  return ({ path, other }) => ({ path: { ...path!, ...values }, other });
}

/** PATH as it is made by nobody in particular, whose ids the test fills in. */
function makes(values: Partial<Look>): Operation["after"] {
  const made: Look = {
    type: "file",
    inode: ANY,
    mode: "644",
    uid: ANY,
    gid: ANY,
    links: 1,
    atime: NOW,
    mtime: NOW,
    flags: "",
    project: 0,
    size: 0,
    content: "",
    xattrs: {},
    ...values,
  };
  return ({ other }) => ({ path: made, other });
}

/** What has no content, or no flags either, to be looked at. */
const DIRECTORY = { type: "directory", mode: "755", links: ANY } as const;
const FIFO = { type: "fifo" } as const;
const SYMLINK = { type: "symlink", mode: "777", target: "target" } as const;

const written = (content: string, size = 4) => sets({ content, size, mtime: NOW });
const removed: Operation["after"] = ({ other }) => ({ path: null, other });
const moved: Operation["after"] = ({ path }) => ({ path: null, other: path });
const swapped: Operation["after"] = ({ path, other }) => ({ path: other, other: path });
const linked: Operation["after"] = ({ path }) => {
  const both = { ...path!, links: 2 };
  return { path: both, other: both };
};

const MODE = sets({ mode: "600" });
const OWNER = sets({ uid: 12, gid: 34 });
const TIMES = sets({ atime: 1_000_000_000, mtime: 1_100_000_000 });
const XATTR = sets({ xattrs: { "user.sentinode": "76616c7565" } });
const NO_XATTR = sets({ xattrs: {} });
const ACL =
  "0200000001000600ffffffff020004000c00000004000000ffffffff10000400ffffffff20000000ffffffff";
const CAPABILITY = "0100000200040000000000000000000000000000";
const CAPABILITY_3 = "0100000300040000000000000000000000000000e8030000";

type Details = Partial<Omit<Operation, "name" | "path" | "after">>;

function operation(
  name: string,
  path: Before,
  after: Operation["after"],
  details: Details = {},
): Operation {
  return { name, path, after, needsRoot: false, since: [5, 10], lacking: {}, ...details };
}

const OLD = { machine: "x64" } as const;
const ROOT = { needsRoot: true } as const;
const NEW_NAME = { other: "absent" } as const;
const USER_XATTR = { lacking: { tmpfs: [6, 6] } } as const;
const FLAGS = { lacking: { tmpfs: [6, 0] } } as const;
const TWO_FILES = { other: "file" } as const;

/** All of them. */
export const OPERATIONS: readonly Operation[] = [
  operation("chmod", "file", MODE, OLD),
  operation("fchmod", "file", MODE),
  operation("fchmodat", "file", MODE),
  operation("fchmodat2", "file", MODE, { since: [6, 6] }),
  operation("chown", "file", OWNER, { ...OLD, ...ROOT }),
  operation("fchown", "file", OWNER, ROOT),
  operation("fchownat", "file", OWNER, ROOT),
  operation("lchown", "symlink", OWNER, { ...OLD, ...ROOT }),
  operation("utimensat-path", "file", TIMES),
  operation("utimensat-fd", "file", TIMES),
  operation("utimes", "file", TIMES, OLD),
  operation("touch-now", "file", sets({ atime: NOW, mtime: NOW })),
  operation("setxattr", "file", XATTR, USER_XATTR),
  operation("lsetxattr", "file", XATTR, USER_XATTR),
  operation("fsetxattr", "file", XATTR, USER_XATTR),
  operation("setxattrat", "file", XATTR, { ...USER_XATTR, since: [6, 13] }),
  operation("removexattr", "file", NO_XATTR, { ...USER_XATTR, first: "setxattr" }),
  operation("lremovexattr", "file", NO_XATTR, { ...USER_XATTR, first: "setxattr" }),
  operation("fremovexattr", "file", NO_XATTR, { ...USER_XATTR, first: "setxattr" }),
  operation("removexattrat", "file", NO_XATTR, {
    ...USER_XATTR,
    first: "setxattr",
    since: [6, 13],
  }),
  operation(
    "acl-access",
    "file",
    sets({ mode: "640", xattrs: { "system.posix_acl_access": ACL } }),
  ),
  operation("acl-default", "directory", sets({ xattrs: { "system.posix_acl_default": ACL } })),
  operation("setcap-v2", "file", sets({ xattrs: { "security.capability": CAPABILITY } }), ROOT),
  operation("setcap-v3", "file", sets({ xattrs: { "security.capability": CAPABILITY_3 } }), ROOT),
  operation("link", "file", linked, { ...OLD, ...NEW_NAME }),
  operation("linkat", "file", linked, NEW_NAME),
  operation("linkat-tmpfile", "absent", makes({})),
  operation("unlink", "file", removed, OLD),
  operation("unlinkat", "file", removed),
  operation("rmdir", "directory", removed, OLD),
  operation("unlinkat-removedir", "directory", removed),
  operation("rename", "file", moved, { ...OLD, ...NEW_NAME }),
  operation("renameat2-noreplace", "file", moved, NEW_NAME),
  operation("exchange", "file", swapped, TWO_FILES),
  operation("mkdir", "absent", makes(DIRECTORY), OLD),
  operation("mkdirat-dirfd", "absent", makes(DIRECTORY)),
  operation("mknod-fifo", "absent", makes(FIFO), OLD),
  operation("mknodat-fifo", "absent", makes(FIFO)),
  operation("symlink", "absent", makes(SYMLINK), OLD),
  operation("symlinkat", "absent", makes(SYMLINK)),
  operation("setflags+i", "file", sets({ flags: "i" }), { ...ROOT, ...FLAGS }),
  operation("setflags-i", "file", sets({ flags: "" }), { ...ROOT, ...FLAGS, first: "setflags+i" }),
  operation("setflags+a", "file", sets({ flags: "a" }), { ...ROOT, ...FLAGS }),
  operation("setflags-a", "file", sets({ flags: "" }), { ...ROOT, ...FLAGS, first: "setflags+a" }),
  operation("setflags+d", "file", sets({ flags: "d" }), FLAGS),
  operation("setflags-d", "file", sets({ flags: "" }), { ...FLAGS, first: "setflags+d" }),
  operation("fssetxattr-nodump", "file", sets({ flags: "d" }), FLAGS),
  operation("setflags+A", "file", sets({ flags: "A" }), FLAGS),
  operation("setflags-A", "file", sets({ flags: "" }), { ...FLAGS, first: "setflags+A" }),
  operation("fssetxattr-noatime", "file", sets({ flags: "A" }), FLAGS),
  operation("fssetxattr-project", "file", sets({ project: 7 }), {
    lacking: { tmpfs: NEVER, ext4: NEVER, btrfs: NEVER }, // ext4 as it is made without options
  }),
  operation("file_setattr", "file", sets({ flags: "d" }), { since: [6, 17] }),
  operation("truncate", "file", written("p", 1)),
  operation("ftruncate", "file", written("p", 1)),
  operation("fallocate", "file", written("path", 10_000)),
  operation("write", "file", written("Wath")),
  operation("append", "file", written("pathW", 5)),
  operation("pwrite", "file", written("pWth")),
  operation("mmap-store", "file", sets({ content: "Wath", atime: NOW, mtime: NOW })),
  operation("copy_file_range", "file", ({ path, other }) => ({
    path: { ...path!, content: "othe", mtime: NOW },
    other: { ...other!, atime: NOW }, // it is read
  }), TWO_FILES),
  operation("reflink", "file", written("other", 5), {
    ...TWO_FILES,
    lacking: { tmpfs: NEVER, ext4: NEVER },
  }),
  operation("open-create", "absent", makes({})),
  operation("open-trunc", "file", written("", 0)),
  operation("open-rdonly-creat", "absent", makes({})),
  operation("creat", "absent", makes({}), OLD),
  operation("openat2", "absent", makes({})),
  operation("io_uring-openat", "absent", makes({})),
  operation("io_uring-write", "file", written("Wath")),
  operation("io_uring-renameat", "file", moved, NEW_NAME),
  operation("io_uring-unlinkat", "file", removed),
  operation("io_uring-setxattr", "file", XATTR, { ...USER_XATTR, since: [5, 19] }),
  operation("io_uring-fsetxattr", "file", XATTR, { ...USER_XATTR, since: [5, 19] }),
  operation("io_uring-ftruncate", "file", written("p", 1), { since: [6, 9] }),
  operation("io_uring-fallocate", "file", written("path", 10_000)),
  operation("io_uring-mkdirat", "absent", makes(DIRECTORY), { since: [5, 15] }),
  operation("io_uring-linkat", "file", linked, { ...NEW_NAME, since: [5, 15] }),
  operation("io_uring-symlinkat", "absent", makes(SYMLINK), { since: [5, 15] }),
];

/** Whether this kernel, this machine and a filesystem have it. */
export function isPossible(
  { since, lacking, machine }: Operation,
  type: OperationsFilesystem,
): boolean {
  return isSince(since) && isSince(lacking[type] ?? since) &&
    (machine === undefined || arch === machine);
}

/** How an operation ended: done, refused or not possible, with the error's name. */
export type Outcome = "done" | `refused ${string}` | `lacking ${string}`;

/** The compiled `operations.c`. */
export class Operations {
  readonly #program: string;

  /** Compiles it to the path `program`. Needs cc(1). */
  constructor(program: string) {
    execFileSync("cc", ["-o", program, moduleFile("tests/operations.c")]);
    this.#program = program;
  }

  /** The command that does it, for who wants to run it as another user. */
  command(name: string, ...paths: readonly string[]): [string, ...string[]] {
    return [this.#program, name, ...paths];
  }

  /** Does it, behind a command that runs another one. */
  run(name: string, paths: readonly string[], under: readonly string[] = []): Outcome {
    const [program = "", ...args] = [...under, ...this.command(name, ...paths)];
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
    if (status === 0 && stdout === "") return "done";
    if (status === 1) return `refused ${stdout.trim()}`;
    if (status === 3) return `lacking ${stdout.trim()}`;
    throw new Error(`Cannot ${name} ${paths.join(" ")}: exit ${status}: ${stdout}${stderr}`);
  }

  /** Whether io_uring is allowed here, which a sysctl and seccomp(2) may forbid. */
  hasRings(under: readonly string[]): boolean {
    const outcome = this.run("io_uring-openat", [`${this.#program}.ring`], under);
    return !outcome.startsWith("lacking ");
  }

  /** What is at each path; to be called by root, who sees all of it. */
  look(...paths: readonly string[]): (Look | null)[] {
    const output = execFileSync(this.#program, ["look", ...paths], { encoding: "utf8" });
    return output.trimEnd().split("\n").map((line) => JSON.parse(line));
  }
}

/**
 * What a system call does to files: its operation, and where its arguments are.
 *
 * @module
 */

import type { Kind } from "./kinds.ts";

/** How a call is read; numbers are places of arguments. */
export interface Call {
  /** What it does, whatever the variant: `"chmod"` of fchmodat2(2). */
  readonly operation: string;
  /** The directory that its (first) path is relative to. Without one a path is relative to the current directory. */
  readonly dirfd?: number;
  /** That of the second path. */
  readonly newDirfd?: number;
  /** The file itself is an open one. */
  readonly fd?: number;
  /** The flags of an open. */
  readonly flags?: number;
  /** The mode that a file gets. */
  readonly mode?: number;
  /** The owner that a file gets, and behind it the group. */
  readonly owner?: number;
}

const rename = { operation: "rename", dirfd: 0, newDirfd: 2 };
const unlinkat = { operation: "unlink", dirfd: 0, flags: 2 };

/** The calls that have more to tell than a path, or more than one variant. */
const CALLS: Readonly<Record<string, Call>> = {
  open: { operation: "open", flags: 1 },
  creat: { operation: "open" },
  openat: { operation: "open", dirfd: 0, flags: 2 },
  openat2: { operation: "open", dirfd: 0 },
  open_by_handle_at: { operation: "open", dirfd: 0, flags: 2 },

  chmod: { operation: "chmod", mode: 1 },
  fchmod: { operation: "chmod", fd: 0, mode: 1 },
  fchmodat: { operation: "chmod", dirfd: 0, mode: 2 },
  fchmodat2: { operation: "chmod", dirfd: 0, mode: 2 },

  chown: { operation: "chown", owner: 1 },
  lchown: { operation: "chown", owner: 1 },
  fchown: { operation: "chown", fd: 0, owner: 1 },
  fchownat: { operation: "chown", dirfd: 0, owner: 2 },
  chown32: { operation: "chown", owner: 1 },
  lchown32: { operation: "chown", owner: 1 },
  fchown32: { operation: "chown", fd: 0, owner: 1 },

  setxattr: { operation: "setxattr" },
  lsetxattr: { operation: "setxattr" },
  fsetxattr: { operation: "setxattr", fd: 0 },
  setxattrat: { operation: "setxattr", dirfd: 0 },
  removexattr: { operation: "removexattr" },
  lremovexattr: { operation: "removexattr" },
  fremovexattr: { operation: "removexattr", fd: 0 },
  removexattrat: { operation: "removexattr", dirfd: 0 },

  utime: { operation: "utime" },
  utimes: { operation: "utime" },
  futimesat: { operation: "utime", dirfd: 0 },
  utimensat: { operation: "utime", dirfd: 0 },
  utimensat_time64: { operation: "utime", dirfd: 0 },

  file_setattr: { operation: "setattr", dirfd: 0 },
  truncate: { operation: "truncate" },
  truncate64: { operation: "truncate" },
  ftruncate: { operation: "truncate", fd: 0 },
  ftruncate64: { operation: "truncate", fd: 0 },
  fallocate: { operation: "fallocate", fd: 0 },

  mkdir: { operation: "mkdir" },
  mkdirat: { operation: "mkdir", dirfd: 0 },
  mknod: { operation: "mknod" },
  mknodat: { operation: "mknod", dirfd: 0 },
  bind: { operation: "bind" },
  symlink: { operation: "symlink" },
  symlinkat: { operation: "symlink", newDirfd: 1 },
  link: { operation: "link" },
  linkat: { operation: "link", dirfd: 0, newDirfd: 2 },

  rmdir: { operation: "rmdir" },
  unlink: { operation: "unlink" },
  unlinkat,
  rename: { operation: "rename" },
  renameat: rename,
  renameat2: rename,

  execve: { operation: "execve" },
  execveat: { operation: "execve", dirfd: 0 },

  mount: { operation: "mount" },
  move_mount: { operation: "mount", dirfd: 0, newDirfd: 2 },
  umount: { operation: "unmount" },
  umount2: { operation: "unmount" },

  stat64: { operation: "stat" },
  lstat: { operation: "stat" },
  lstat64: { operation: "stat" },
  statx: { operation: "stat", dirfd: 0 },
  newfstatat: { operation: "stat", dirfd: 0 },
  fstatat64: { operation: "stat", dirfd: 0 },
  statfs64: { operation: "statfs" },
  faccessat: { operation: "access", dirfd: 0 },
  faccessat2: { operation: "access", dirfd: 0 },
  readlinkat: { operation: "readlink", dirfd: 0 },
  lgetxattr: { operation: "getxattr" },
  fgetxattr: { operation: "getxattr", fd: 0 },
  getxattrat: { operation: "getxattr", dirfd: 0 },
  llistxattr: { operation: "listxattr" },
  flistxattr: { operation: "listxattr", fd: 0 },
  listxattrat: { operation: "listxattr", dirfd: 0 },
  file_getattr: { operation: "getattr", dirfd: 0 },
  name_to_handle_at: { operation: "name_to_handle_at", dirfd: 0 },
  open_tree: { operation: "open_tree", dirfd: 0 },
  open_tree_attr: { operation: "open_tree", dirfd: 0 },
  mount_setattr: { operation: "mount_setattr", dirfd: 0 },
  fspick: { operation: "fspick", dirfd: 0 },
};

/** Calls by their own name that take paths relative to the current directory. */
const PLAIN: ReadonlySet<string> = new Set([
  "access",
  "acct",
  "chdir",
  "chroot",
  "connect",
  "getxattr",
  "inotify_add_watch",
  "listxattr",
  "pivot_root",
  "readlink",
  "stat",
  "statfs",
  "swapoff",
  "swapon",
  "uselib",
]);

const plain = new Map([...PLAIN].map((operation) => [operation, { operation }]));

/** How a call is read; undefined for one that has to do with no path, or not that this version knows. */
export function callOf(syscall: string): Call | undefined {
  return Object.hasOwn(CALLS, syscall) ? CALLS[syscall] : plain.get(syscall);
}

/** The operations of io_uring that take paths, by their number: `IORING_OP_*` of `<linux/io_uring.h>`, as calls. */
export const URING_CALLS: ReadonlyMap<number, string> = new Map([
  [17, "fallocate"],
  [18, "openat"],
  [21, "statx"],
  [28, "openat2"],
  [35, "renameat"],
  [36, "unlinkat"],
  [37, "mkdirat"],
  [38, "symlinkat"],
  [39, "linkat"],
  [41, "fsetxattr"],
  [42, "setxattr"],
  [43, "fgetxattr"],
  [44, "getxattr"],
  [55, "ftruncate"],
  [56, "bind"],
]);

/**
 * The requests of ioctl(2) that set a file's flags: FS_IOC_SETFLAGS, FS_IOC32_SETFLAGS and FS_IOC_FSSETXATTR of
 * `<linux/fs.h>`, and what PowerPC makes of them, which has the direction at other bits.
 */
export const SETFLAGS: ReadonlySet<number> = new Set([
  0x40086602,
  0x40046602,
  0x401c5820,
  0x80086602,
  0x80046602,
  0x801c5820,
]);

/** What an operation on a file that is there, and stays there, makes of it. */
export const CHANGES: Readonly<Record<string, Kind>> = {
  chmod: "modify.metadata.permissions",
  chown: "modify.metadata.ownership",
  setxattr: "modify.metadata.xattr",
  removexattr: "modify.metadata.xattr",
  utime: "modify.metadata.times",
  setattr: "modify.metadata.flags",
  setflags: "modify.metadata.flags",
  truncate: "modify.data",
  fallocate: "modify.data",
  open: "access.open",
  execve: "access.exec",
};

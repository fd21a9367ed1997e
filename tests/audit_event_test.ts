/** What the records of system calls are told as, each as this kernel wrote them. */

import assert from "node:assert/strict";
import test from "node:test";
import { auditEvent } from "../classify/audit.ts";
import type { AuditEvent } from "../classify/audit_event.ts";
import { capturedCalls } from "./audit_records.ts";

/** What an event tells beyond its record; paths are below `/srv/data`. */
function told(event: AuditEvent): Record<string, unknown> {
  const { kind, path, from, isDirectory, attributes } = event;
  const all: Record<string, unknown> = { kind, path, from, isDirectory };
  for (const name of TOLD) all[name] = attributes[name];
  const { failed } = attributes;
  if (failed !== undefined) {
    assert.equal(failed.operation, attributes.operation);
    all["failed"] = [failed.errno, failed.code];
  }
  const known = Object.entries(all).filter(([, value]) => value !== undefined && value !== false);
  return Object.fromEntries(known.map(([name, value]) => [name, short(value)]));
}

const TOLD = [
  "operation",
  "flags",
  "after",
  "target",
  "linkOf",
  "exchange",
  "unresolved",
  "unnamed",
  "fanotify",
];

function short(value: unknown): unknown {
  return typeof value === "string" && value.startsWith("/srv/data/") ? value.slice(10) : value;
}

const calls = capturedCalls();

type Row = readonly [name: string, kind: string, path: string, more: Record<string, unknown>];

// deno-fmt-ignore
const TABLE: readonly Row[] = [
  ["chmod", "modify.metadata.permissions", "w/f", { operation: "chmod", after: { mode: 0o600 } }],
  ["chmod.absolute", "modify.metadata.permissions", "w/f", { operation: "chmod", after: { mode: 0o4755 } }],
  ["fchmod", "modify.metadata.permissions", "", { operation: "chmod", after: { mode: 0o640 }, unresolved: true }],
  ["fchmodat", "modify.metadata.permissions", "w/f", { operation: "chmod", after: { mode: 0o600 } }],
  ["fchmodat.dirfd", "modify.metadata.permissions", "", { operation: "chmod", after: { mode: 0o600 }, unresolved: true }],
  ["fchmodat2", "modify.metadata.permissions", "w/f", { operation: "chmod", after: { mode: 0o600 } }],
  ["chmod.denied", "access.failed", "w/f", { operation: "chmod", failed: [1, "EPERM"] }],
  ["chmod.missing", "access.failed", "w/missing", { operation: "chmod", failed: [2, "ENOENT"] }],
  ["fchmod.badf", "access.failed", "", { operation: "chmod", failed: [9, "EBADF"], unresolved: true }],
  ["chown", "modify.metadata.ownership", "w/f", { operation: "chown", after: { uid: 1000 } }],
  ["fchown", "modify.metadata.ownership", "", { operation: "chown", after: { gid: 1001 }, unresolved: true }],
  ["lchown", "modify.metadata.ownership", "w/l", { operation: "chown", after: { uid: 1000, gid: 1000 } }],
  ["fchownat", "modify.metadata.ownership", "w/f", { operation: "chown", after: { uid: 1000, gid: 1001 } }],
  ["setxattr", "modify.metadata.xattr", "w/f", { operation: "setxattr" }],
  ["lsetxattr", "modify.metadata.xattr", "w/f", { operation: "setxattr" }],
  ["fsetxattr", "modify.metadata.xattr", "", { operation: "setxattr", unresolved: true }],
  ["removexattr", "modify.metadata.xattr", "w/f", { operation: "removexattr" }],
  ["setxattrat", "modify.metadata.xattr", "w/f", { operation: "setxattr" }],
  ["removexattrat", "modify.metadata.xattr", "w/f", { operation: "removexattr" }],
  ["utime", "modify.metadata.times", "w/f", { operation: "utime" }],
  ["utimes", "modify.metadata.times", "w/f", { operation: "utime" }],
  ["futimesat", "modify.metadata.times", "w/f", { operation: "utime" }],
  ["utimensat", "modify.metadata.times", "w/f", { operation: "utime" }],
  ["file_setattr", "modify.metadata.flags", "w/f", { operation: "setattr" }],
  ["ioctl.setflags", "modify.metadata.flags", "", { operation: "setflags", unresolved: true }],
  ["ioctl.fssetxattr", "modify.metadata.flags", "", { operation: "setflags", unresolved: true }],
  ["truncate", "modify.data", "w/f", { operation: "truncate" }],
  ["truncate.directory", "access.failed", "w/sub", { isDirectory: true, operation: "truncate", failed: [21, "EISDIR"] }],
  ["ftruncate.badf", "access.failed", "", { operation: "truncate", failed: [9, "EBADF"], unresolved: true }],
  ["open.read", "access.open", "w/f", { operation: "open", flags: ["O_RDONLY"] }],
  ["open.write", "access.open", "w/f", { operation: "open", flags: ["O_RDWR"] }],
  ["open.create", "create.file", "w/new", { operation: "open", flags: ["O_WRONLY","O_CREAT"] }],
  ["open.create.existing", "access.open", "w/f", { operation: "open", flags: ["O_WRONLY","O_CREAT"] }],
  ["open.truncate", "modify.data", "w/f", { operation: "open", flags: ["O_WRONLY","O_TRUNC"] }],
  ["open.create.truncate.existing", "modify.data", "w/f", { operation: "open", flags: ["O_WRONLY","O_CREAT","O_TRUNC"] }],
  ["open.exclusive.existing", "access.failed", "w/f", { operation: "open", failed: [17, "EEXIST"], flags: ["O_WRONLY","O_CREAT","O_EXCL"] }],
  ["open.missing", "access.failed", "w/missing", { operation: "open", failed: [2, "ENOENT"], flags: ["O_RDONLY"] }],
  ["open.missing.directory", "access.failed", "w/nowhere/missing", { operation: "open", failed: [2, "ENOENT"], flags: ["O_WRONLY","O_CREAT"] }],
  ["open.denied", "access.failed", "w/g", { operation: "open", failed: [13, "EACCES"], flags: ["O_RDONLY"] }],
  ["open.symlink", "access.open", "w/l", { operation: "open", flags: ["O_RDONLY"] }],
  ["open.directory", "access.open", "w/sub", { isDirectory: true, operation: "open", flags: ["O_RDONLY","O_DIRECTORY"] }],
  ["creat", "create.file", "w/new", { operation: "open", flags: ["O_WRONLY","O_CREAT","O_TRUNC"] }],
  ["openat", "access.open", "w/f", { operation: "open", flags: ["O_RDONLY"] }],
  ["openat.long", "access.open", "w/f", { operation: "open", flags: ["O_RDONLY"] }],
  ["openat.dirfd", "create.file", "", { operation: "open", flags: ["O_WRONLY","O_CREAT"], unresolved: true }],
  ["openat.dirfd.existing", "access.open", "", { operation: "open", flags: ["O_RDWR"], unresolved: true }],
  ["openat.dirfd.missing", "access.failed", "", { operation: "open", failed: [2, "ENOENT"], flags: ["O_RDWR"], unresolved: true }],
  ["openat.dirfd.deep", "create.file", "", { operation: "open", flags: ["O_WRONLY","O_CREAT"], unresolved: true }],
  ["openat2", "access.open", "w/f", { operation: "open", flags: ["O_RDWR"] }],
  ["openat2.create", "create.file", "w/new", { operation: "open", flags: ["O_WRONLY","O_CREAT"] }],
  ["openat2.in_root", "access.open", "", { operation: "open", flags: ["O_RDONLY"], unresolved: true }],
  ["open.tmpfile", "access.open", "w/sub", { operation: "open", flags: ["O_RDWR","O_TMPFILE"], unnamed: true }],
  ["mkdir", "create.directory", "w/new", { isDirectory: true, operation: "mkdir" }],
  ["mkdir.existing", "access.failed", "w", { operation: "mkdir", failed: [17, "EEXIST"], unresolved: true }],
  ["mkdir.deep", "create.directory", "w/sub/new", { isDirectory: true, operation: "mkdir" }],
  ["mkdir.up", "create.directory", "w/new", { isDirectory: true, operation: "mkdir" }],
  ["mkdir.dots", "create.directory", "w/sub/../new", { isDirectory: true, operation: "mkdir" }],
  ["mkdir.slashes", "create.directory", "w/sub/new", { isDirectory: true, operation: "mkdir" }],
  ["mkdirat.dirfd", "create.directory", "", { isDirectory: true, operation: "mkdir", unresolved: true }],
  ["rmdir", "remove.directory", "w/other", { isDirectory: true, operation: "rmdir" }],
  ["rmdir.notempty", "access.failed", "w/sub", { isDirectory: true, operation: "rmdir", failed: [39, "ENOTEMPTY"] }],
  ["unlink", "remove.file", "w/f", { operation: "unlink" }],
  ["unlink.missing", "access.failed", "w", { operation: "unlink", failed: [2, "ENOENT"], unresolved: true }],
  ["unlink.symlink", "remove.symlink", "w/l", { operation: "unlink" }],
  ["unlinkat", "remove.file", "w/f", { operation: "unlink" }],
  ["unlinkat.dirfd", "remove.file", "", { operation: "unlink", unresolved: true }],
  ["unlinkat.dirfd.missing", "access.failed", "", { operation: "unlink", failed: [2, "ENOENT"], unresolved: true }],
  ["unlinkat.rmdir", "remove.directory", "w/other", { isDirectory: true, operation: "rmdir" }],
  ["rename", "rename", "w/new", { from: "w/f", operation: "rename" }],
  ["rename.other", "rename", "w/sub/new", { from: "w/f", operation: "rename" }],
  ["rename.over", "rename", "w/g", { from: "w/f", operation: "rename" }],
  ["rename.missing", "access.failed", "w", { operation: "rename", failed: [2, "ENOENT"], unresolved: true }],
  ["rename.directory", "rename", "w/sub/moved", { from: "w/other", isDirectory: true, operation: "rename" }],
  ["renameat", "rename", "w/sub/new", { from: "w/f", operation: "rename" }],
  ["renameat.dirfds", "rename", "", { operation: "rename", unresolved: true }],
  ["renameat.dirfd.same", "rename", "", { operation: "rename", unresolved: true }],
  ["renameat.dirfd.one", "rename", "", { from: "w/f", operation: "rename", unresolved: true }],
  ["renameat2.noreplace", "rename", "w/new", { from: "w/f", operation: "rename" }],
  ["renameat2.noreplace.existing", "access.failed", "w", { operation: "rename", failed: [17, "EEXIST"], unresolved: true }],
  ["renameat2.exchange", "rename", "w/sub/f", { from: "w/f", operation: "rename", exchange: true }],
  ["renameat2.whiteout", "rename", "w/new", { from: "w/f", operation: "rename" }],
  ["link", "create.link", "w/new", { operation: "link", linkOf: "w/f" }],
  ["link.existing", "access.failed", "w/f", { operation: "link", failed: [17, "EEXIST"] }],
  ["linkat.dirfd", "create.link", "", { operation: "link", unresolved: true }],
  ["linkat.dirfds", "create.link", "", { operation: "link", unresolved: true }],
  ["linkat.tmpfile", "create.link", "w/new", { operation: "link" }],
  ["symlink", "create.symlink", "w/new", { operation: "symlink", target: "../target" }],
  ["symlinkat.dirfd", "create.symlink", "", { operation: "symlink", target: "target", unresolved: true }],
  ["mknod.fifo", "create.other", "w/new", { operation: "mknod" }],
  ["mknod.regular", "create.file", "w/new", { operation: "mknod" }],
  ["mknodat.device", "create.other", "w/new", { operation: "mknod" }],
  ["mknod.denied", "access.failed", "w/new", { operation: "mknod", failed: [13, "EACCES"] }],
  ["execve", "access.exec", "w/true", { operation: "execve" }],
  ["execve.script", "access.exec", "w/script", { operation: "execve" }],
  ["execve.denied", "access.failed", "w/f", { operation: "execve", failed: [13, "EACCES"] }],
  ["execve.missing", "access.failed", "w/missing", { operation: "execve", failed: [2, "ENOENT"] }],
  ["stat", "other", "w/f", { operation: "stat" }],
  ["stat.missing", "access.failed", "w/missing", { operation: "stat", failed: [2, "ENOENT"] }],
  ["newfstatat.dirfd", "other", "", { operation: "stat", unresolved: true }],
  ["access", "other", "w/f", { operation: "access" }],
  ["readlink", "other", "w/l", { operation: "readlink" }],
  ["chdir", "other", "w/sub", { isDirectory: true, operation: "chdir" }],
  ["mount", "other", "w/sub", { isDirectory: true, operation: "mount" }],
  ["name.space", "create.directory", "w/a name", { isDirectory: true, operation: "mkdir" }],
  ["name.utf8", "create.directory", "w/über", { isDirectory: true, operation: "mkdir" }],
  ["name.bytes", "create.directory", "w/�ber", { isDirectory: true, operation: "mkdir" }],
  ["i386.chmod", "modify.metadata.permissions", "w/f", { operation: "chmod", after: { mode: 0o600 } }],
  ["i386.openat", "create.file", "w/new", { operation: "open", flags: ["O_WRONLY","O_CREAT"] }],
  ["i386.chown16", "modify.metadata.ownership", "w/f", { operation: "chown", after: { uid: 1000 } }],
  ["i386.chown32", "modify.metadata.ownership", "w/f", { operation: "chown", after: { uid: 1000 } }],
  ["uring.openat", "access.open", "", { operation: "open", unresolved: true }],
  ["uring.openat.create", "create.file", "", { operation: "open", unresolved: true }],
  ["uring.openat.missing", "other", "", { operation: "open", failed: [11, "EAGAIN"], unresolved: true }],
  ["uring.renameat", "rename", "", { operation: "rename", unresolved: true }],
  ["uring.unlinkat", "remove.file", "", { operation: "unlink", unresolved: true }],
  ["uring.mkdirat", "create.directory", "", { isDirectory: true, operation: "mkdir", unresolved: true }],
  ["uring.symlinkat", "create.symlink", "", { operation: "symlink", unresolved: true }],
  ["uring.linkat", "create.link", "", { operation: "link", unresolved: true }],
  ["bind", "create.other", "w/sock", { operation: "bind" }],
  ["overlay.chmod", "modify.metadata.permissions", "ov/a", { operation: "chmod", after: { mode: 0o600 } }],
  ["overlay.open.write", "access.open", "ov/b", { operation: "open", flags: ["O_WRONLY"] }],
  ["overlay.unlink", "remove.file", "ov/c", { operation: "unlink" }],
  ["overlay.rename", "rename", "ov/e", { from: "ov/d", operation: "rename" }],
  ["overlay.create", "create.file", "ov/new", { operation: "open", flags: ["O_WRONLY","O_CREAT"] }],
  ["fanotify.deny", "access.failed", "w/f", { operation: "open", failed: [1, "EPERM"], flags: ["O_RDONLY"], fanotify: { response: "deny", rule: 42, subjectTrust: true, objectTrust: false } }],
  ["fanotify.allow", "access.open", "w/f", { operation: "open", flags: ["O_RDONLY"], fanotify: { response: "allow" } }],
  ["mv", "rename", "", { from: "w/f", operation: "rename", unresolved: true }],
  ["proctitle.long", "modify.metadata.permissions", "w/f", { operation: "chmod", after: { mode: 0o600 } }],
];

for (const [name, kind, path, more] of TABLE) {
  test(`${name}: ${kind}`, () => {
    assert.deepEqual(told(auditEvent(calls.get(name)!)), { kind, path, ...more });
  });
}

test("each captured call is in the table", () => {
  assert.deepEqual(TABLE.map(([name]) => name), [...calls.keys()]);
});

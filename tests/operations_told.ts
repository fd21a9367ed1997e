/**
 * What is told of each way to change a file, and who is known to have done it, as data; and as the table of the README.
 *
 * @module
 */

import type { Actor } from "../classify/event.ts";
import type { WatchOptions } from "../mod.ts";
import type { Version } from "./kernel.ts";

/** The ways to watch of which that is known. */
export type Way = "fanotify" | "fanotify + audit" | "inotify" | "inotify + audit";

/** How a watcher is asked for each. */
export const WAYS: Readonly<Record<Way, WatchOptions>> = {
  "fanotify": { backend: "fanotify", actor: true },
  "fanotify + audit": { backend: "fanotify", actor: "audit" },
  "inotify": { backend: "inotify" },
  "inotify + audit": { backend: "inotify", actor: "audit" },
};

/** How sure it is who did it; `"nobody"` where that is not known, `"untold"` where nothing is told at all. */
export type Known = Actor["confidence"] | "nobody" | "untold";

/** Operations that are told alike. */
export interface Row {
  /** What is done, as people call it: rows of one name are one row of the README. */
  readonly what: string;
  /** The calls, for people. */
  readonly calls: string;
  /** Of `operations.ts`. */
  readonly operations: readonly string[];
  /** Each event: its kind, its path, and what changed, without what is of the moment. */
  readonly told: readonly string[];
  /** Whoever did it, by the way of watching. */
  readonly known: Readonly<Record<Way, Known>>;
  /** What was known before a version of Linux. */
  readonly before?: readonly [Version, Row["known"]];
  /** What nobody is told who tries it without the right to; else `access.failed` with audit. */
  readonly isRefusalUntold?: true;
}

const BY_PATH: Row["known"] = {
  "fanotify": "exact",
  "fanotify + audit": "exact",
  "inotify": "nobody",
  "inotify + audit": "likely",
};

/** The calls of which audit says nothing that could be matched. */
const NOT_AUDITED: Row["known"] = { ...BY_PATH, "inotify + audit": "nobody" };

/** Flags are looked at when the file is closed: fanotify tells who closed it. */
const WHEN_CLOSED: Row["known"] = { ...BY_PATH, "fanotify": "likely" };

/** Without audit only a sweep finds it. */
const AUDIT_ALONE: Row["known"] = {
  "fanotify": "untold",
  "fanotify + audit": "likely",
  "inotify": "untold",
  "inotify + audit": "likely",
};

const UNTOLD: Row["known"] = {
  "fanotify": "untold",
  "fanotify + audit": "untold",
  "inotify": "untold",
  "inotify + audit": "untold",
};

const OLD_TIMES = "accessed 1998-07-09T16:00:00.000Z modified 1998-07-09T16:00:00.000Z";
const NEW_TIMES = "accessed 2001-09-09T01:46:40.000Z modified 2004-11-09T11:33:20.000Z";
const ACL = "user::rw-,user:12:r--,group::---,mask::r--,other::---";

type Calls = readonly [what: string, calls: string];

const PERMISSIONS: Calls = ["permissions", "chmod, fchmod, fchmodat, fchmodat2"];
const OWNERSHIP: Calls = ["ownership", "chown, lchown, fchown, fchownat"];
const TIMES: Calls = ["times, by path", "utimensat, utimes"];
const TIMES_FD: Calls = ["times, of an open file", "futimens"];
const XATTR: Calls = [
  "extended attributes",
  "setxattr, removexattr, and l…, f…, …at, io_uring fsetxattr",
];
const XATTR_URING: Calls = ["extended attributes, io_uring", "setxattr by path"];
const ACLS: Calls = ["access lists", "setxattr"];
const CAPABILITIES: Calls = ["capabilities", "setxattr"];
const FLAGS: Calls = ["flags, of an open file", "chattr: FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR"];
const FLAGS_PATH: Calls = ["flags, by path", "file_setattr"];
const LINK: Calls = ["another link", "link, linkat, io_uring"];
const CREATE: Calls = [
  "a new file",
  "open, openat, openat2, creat, linkat of a temporary one, io_uring",
];
const CREATE_OTHER: Calls = ["what else is new", "mkdir, mkdirat, mknod, symlink, io_uring"];
const REMOVE: Calls = ["removal", "unlink, unlinkat, rmdir"];
const REMOVE_URING: Calls = ["removal, io_uring", "unlinkat"];
const RENAME: Calls = ["rename", "rename, renameat2, io_uring"];
const EXCHANGE: Calls = ["exchange", "renameat2"];
const DATA: Calls = [
  "content",
  "write, pwrite, truncate, ftruncate, fallocate, copy_file_range, reflink, O_TRUNC, io_uring",
];
const MAP: Calls = ["content, through a map", "mmap and a store"];

function row(
  [what, calls]: Calls,
  operations: string,
  told: readonly string[],
  known: Row["known"] = BY_PATH,
  details: Pick<Row, "before" | "isRefusalUntold"> = {},
): Row {
  return { what, calls, operations: operations.split(" "), told, known, ...details };
}

const metadata = (what: string, change: string) => [`modify.metadata.${what} path ${change}`];
const UNNAMED = { isRefusalUntold: true } as const;

/** What can be read by path since there is file_getattr(2). */
const FILE_GETATTR: Pick<Row, "before"> = { before: [[6, 17], UNTOLD] };

/** All operations, each once. */
export const ROWS: readonly Row[] = [
  row(PERMISSIONS, "chmod fchmod fchmodat fchmodat2", metadata("permissions", "0644 -> 0600")),
  row(OWNERSHIP, "chown lchown", metadata("ownership", "0:0 -> 12:34")),
  row(OWNERSHIP, "fchown fchownat", metadata("ownership", "0:0 -> 12:34"), BY_PATH, UNNAMED),
  row(TIMES, "utimensat-path utimes", metadata("times", `${OLD_TIMES} -> ${NEW_TIMES}`)),
  row(TIMES, "touch-now", metadata("times", `${OLD_TIMES} -> accessed now modified now`)),
  row(TIMES_FD, "utimensat-fd", metadata("times", `${OLD_TIMES} -> ${NEW_TIMES}`), NOT_AUDITED),
  row(
    XATTR,
    "setxattr lsetxattr fsetxattr setxattrat",
    metadata("xattr", "added user.sentinode"),
  ),
  row(XATTR, "io_uring-fsetxattr", metadata("xattr", "added user.sentinode"), BY_PATH, {
    before: [[6, 13], NOT_AUDITED],
  }),
  row(
    XATTR,
    "removexattr lremovexattr fremovexattr removexattrat",
    metadata("xattr", "removed user.sentinode"),
  ),
  row(XATTR_URING, "io_uring-setxattr", metadata("xattr", "added user.sentinode"), NOT_AUDITED),
  row(ACLS, "acl-access", [
    ...metadata("permissions", "0644 -> 0640"),
    ...metadata("xattr", `added system.posix_acl_access: - -> ${ACL}`),
  ]),
  row(ACLS, "acl-default", metadata("xattr", `added system.posix_acl_default: - -> ${ACL}`)),
  row(
    CAPABILITIES,
    "setcap-v2",
    metadata("xattr", "added security.capability: - -> cap_net_bind_service=ep"),
  ),
  row(
    CAPABILITIES,
    "setcap-v3",
    metadata("xattr", "added security.capability: - -> cap_net_bind_service=ep [rootid=1000]"),
  ),
  row(FLAGS, "setflags+i", metadata("flags", "- -> immutable"), WHEN_CLOSED, UNNAMED),
  row(FLAGS, "setflags-i", metadata("flags", "immutable -> -"), WHEN_CLOSED, UNNAMED),
  row(FLAGS, "setflags+a", metadata("flags", "- -> append"), WHEN_CLOSED, UNNAMED),
  row(FLAGS, "setflags-a", metadata("flags", "append -> -"), WHEN_CLOSED, UNNAMED),
  row(
    FLAGS,
    "setflags+d fssetxattr-nodump",
    metadata("flags", "- -> nodump"),
    WHEN_CLOSED,
  ),
  row(FLAGS, "setflags-d", metadata("flags", "nodump -> -"), WHEN_CLOSED),
  row(
    FLAGS,
    "setflags+A fssetxattr-noatime",
    metadata("flags", "- -> noatime"),
    WHEN_CLOSED,
    FILE_GETATTR,
  ),
  row(FLAGS, "setflags-A", metadata("flags", "noatime -> -"), WHEN_CLOSED, FILE_GETATTR),
  row(
    FLAGS,
    "fssetxattr-project",
    metadata("flags", "- project 0 -> - project 7"),
    WHEN_CLOSED,
    FILE_GETATTR,
  ),
  row(FLAGS_PATH, "file_setattr", metadata("flags", "- -> nodump"), AUDIT_ALONE),
  row(LINK, "link linkat io_uring-linkat", [
    "create.link other",
    "modify.metadata.links other 1 -> 2",
  ]),
  row(
    CREATE,
    "open-create open-rdonly-creat creat openat2 linkat-tmpfile io_uring-openat",
    ["create.file path"],
  ),
  row(CREATE_OTHER, "mkdir mkdirat-dirfd io_uring-mkdirat", ["create.directory path"]),
  row(CREATE_OTHER, "symlink symlinkat io_uring-symlinkat", ["create.symlink path"]),
  row(CREATE_OTHER, "mknod-fifo mknodat-fifo", ["create.other path"]),
  row(REMOVE, "unlink unlinkat", ["remove path"]),
  row(REMOVE, "rmdir unlinkat-removedir", ["remove.directory path"]),
  row(REMOVE_URING, "io_uring-unlinkat", ["remove path"], NOT_AUDITED),
  row(RENAME, "rename renameat2-noreplace io_uring-renameat", ["rename path -> other"]),
  row(EXCHANGE, "exchange", ["rename path -> other", "rename.in path"]),
  row(
    DATA,
    "write append pwrite truncate ftruncate fallocate copy_file_range reflink open-trunc " +
      "io_uring-write io_uring-ftruncate io_uring-fallocate",
    ["modify.data path"],
  ),
  row(MAP, "mmap-store", [], UNTOLD),
];

const COLUMNS = ["fanotify", "fanotify + audit", "inotify", "inotify + audit"] as const;

/** The rows as a table in Markdown, those of one name together. */
export function toldTable(): string {
  const lines = [...Map.groupBy(ROWS, ({ what }) => what).values()].map((rows) => {
    const [{ what, calls, known }] = rows as [Row];
    const kinds = new Set(rows.flatMap(({ told }) => told.map((one) => one.split(" ")[0]!)));
    const told = [...kinds].map((kind) => `\`${kind}\``).join(", ") || "nothing";
    return [what, calls, told, ...COLUMNS.map((way) => CELLS[known[way]])];
  });
  const head = ["what is done", "by", "told as", ...COLUMNS];
  const all = [head, ...lines];
  const widths = head.map((_, at) => Math.max(...all.map((cells) => cells[at]!.length)));
  const text = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => cell.padEnd(widths[at]!)).join(" | ")} |`;
  const rule = text(widths.map((width) => "-".repeat(width)));
  return [text(head), rule, ...lines.map(text)].join("\n");
}

const CELLS: Readonly<Record<Known, string>> = {
  exact: "exact",
  likely: "likely",
  ambiguous: "ambiguous",
  nobody: "–",
  untold: "untold",
};

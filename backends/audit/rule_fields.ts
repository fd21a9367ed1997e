/**
 * The fields of audit rules: names, numbers, and what the kernel takes (`audit_field_valid` of kernel/auditfilter.c, 6.18).
 *
 * @module
 */

import * as abi from "../../ffi/abi/audit.ts";
import { AUDIT_ARCHES } from "../../ffi/abi/audit_arches.ts";
import { ERRNO } from "../../ffi/abi/errno.ts";
import { S_IFMT } from "../../ffi/abi/stat.ts";

/** An operator of a field, in auditctl's spelling: `&` is any of the bits, `&=` all of them. */
export type Operator = "=" | "!=" | "<" | "<=" | ">" | ">=" | "&" | "&=";

/** The operators' numbers. */
export const OPERATORS: Readonly<Record<Operator, number>> = {
  "=": abi.AUDIT_EQUAL,
  "!=": abi.AUDIT_NOT_EQUAL,
  "<": abi.AUDIT_LESS_THAN,
  "<=": abi.AUDIT_LESS_THAN_OR_EQUAL,
  ">": abi.AUDIT_GREATER_THAN,
  ">=": abi.AUDIT_GREATER_THAN_OR_EQUAL,
  "&": abi.AUDIT_BIT_MASK,
  "&=": abi.AUDIT_BIT_TEST,
};

/** A list of rules: what a rule is tried on. */
export type ListName = "user" | "task" | "exit" | "exclude" | "filesystem" | "io_uring";

/** The lists' numbers. */
export const LISTS: Readonly<Record<ListName, number>> = {
  user: abi.AUDIT_FILTER_USER,
  task: abi.AUDIT_FILTER_TASK,
  exit: abi.AUDIT_FILTER_EXIT,
  exclude: abi.AUDIT_FILTER_EXCLUDE,
  filesystem: abi.AUDIT_FILTER_FS,
  io_uring: abi.AUDIT_FILTER_URING_EXIT,
};

/** What a rule does with what it fits. */
export type ActionName = "never" | "always";

/** The actions' numbers. */
export const ACTIONS: Readonly<Record<ActionName, number>> = {
  never: abi.AUDIT_NEVER,
  always: abi.AUDIT_ALWAYS,
};

/** Architectures, by the names of uname(2). */
const ARCHITECTURES: Readonly<Record<string, number>> = Object.fromEntries(
  AUDIT_ARCHES.map(({ name, value }) => [name, value]),
);

const PERMISSIONS: readonly (readonly [letter: string, bit: number])[] = [
  ["r", abi.AUDIT_PERM_READ],
  ["w", abi.AUDIT_PERM_WRITE],
  ["x", abi.AUDIT_PERM_EXEC],
  ["a", abi.AUDIT_PERM_ATTR],
];

const FILE_TYPES: Readonly<Record<string, number>> = {
  fifo: 0o010000,
  character: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
};

/** How the value of a field is written, beside the number itself. */
interface Notation {
  /** The number of a name; undefined for what is none. */
  readonly parse: (text: string) => number | undefined;
  /** The name of a number; the number itself where it has none. */
  readonly show: (value: number) => string | number;
}

function named(names: Readonly<Record<string, number>>): Notation {
  const byNumber = new Map(Object.entries(names).map(([name, value]) => [value, name]));
  return {
    parse: (text) => Object.hasOwn(names, text) ? names[text] : undefined,
    show: (value) => byNumber.get(value) ?? value,
  };
}

const ARCHITECTURE = named(ARCHITECTURES);
const FILE_TYPE = named(FILE_TYPES);
const ID = named({ unset: 0xffffffff });

const PERMISSION: Notation = {
  parse(text) {
    let bits = 0;
    for (const letter of text) {
      const known = PERMISSIONS.find(([one]) => one === letter);
      if (known === undefined) return undefined;
      bits |= known[1];
    }
    return bits === 0 ? undefined : bits;
  },
  show: (value) =>
    value === 0 || value > 15
      ? value
      : PERMISSIONS.filter(([, bit]) => (value & bit) !== 0).map(([letter]) => letter).join(""),
};

/** A result of a system call: signed, or an errno by its name. */
const RESULT: Notation = {
  parse(text) {
    const sign = text.startsWith("-") ? -1 : 1;
    const errno = ERRNO[text.replace(/^-/, "")];
    return errno === undefined ? undefined : (sign * errno) >>> 0;
  },
  show: (value) => value | 0,
};

/** A field of a rule. */
export interface FieldType {
  readonly name: string;
  readonly number: number;
  /** `"all"` operators, `"order"`: all but those on bits, `"equal"`: `=` and `!=`. */
  readonly operators: "all" | "order" | "equal";
  /** The value is a text. */
  readonly isText?: true;
  readonly notation?: Notation;
  /** The lists that take it; all where nothing is said. */
  readonly lists?: readonly ListName[];
  /** The largest value. */
  readonly most?: number;
}

const ON_FILES: readonly ListName[] = ["exit", "io_uring"];

/** All fields that Linux 6.18 knows. */
export const FIELDS: readonly FieldType[] = [
  { name: "pid", number: abi.AUDIT_PID, operators: "order" },
  { name: "uid", number: abi.AUDIT_UID, operators: "order", notation: ID },
  { name: "euid", number: abi.AUDIT_EUID, operators: "order", notation: ID },
  { name: "suid", number: abi.AUDIT_SUID, operators: "order", notation: ID },
  { name: "fsuid", number: abi.AUDIT_FSUID, operators: "order", notation: ID },
  { name: "gid", number: abi.AUDIT_GID, operators: "order", notation: ID },
  { name: "egid", number: abi.AUDIT_EGID, operators: "order", notation: ID },
  { name: "sgid", number: abi.AUDIT_SGID, operators: "order", notation: ID },
  { name: "fsgid", number: abi.AUDIT_FSGID, operators: "order", notation: ID },
  { name: "auid", number: abi.AUDIT_LOGINUID, operators: "order", notation: ID },
  { name: "pers", number: abi.AUDIT_PERS, operators: "all" },
  { name: "arch", number: abi.AUDIT_ARCH, operators: "equal", notation: ARCHITECTURE },
  {
    name: "msgtype",
    number: abi.AUDIT_MSGTYPE,
    operators: "order",
    lists: ["exclude", "user"],
  },
  { name: "subj_user", number: abi.AUDIT_SUBJ_USER, operators: "equal", isText: true },
  { name: "subj_role", number: abi.AUDIT_SUBJ_ROLE, operators: "equal", isText: true },
  { name: "subj_type", number: abi.AUDIT_SUBJ_TYPE, operators: "equal", isText: true },
  { name: "subj_sen", number: abi.AUDIT_SUBJ_SEN, operators: "order", isText: true },
  { name: "subj_clr", number: abi.AUDIT_SUBJ_CLR, operators: "order", isText: true },
  { name: "ppid", number: abi.AUDIT_PPID, operators: "order" },
  { name: "obj_user", number: abi.AUDIT_OBJ_USER, operators: "equal", isText: true },
  { name: "obj_role", number: abi.AUDIT_OBJ_ROLE, operators: "equal", isText: true },
  { name: "obj_type", number: abi.AUDIT_OBJ_TYPE, operators: "equal", isText: true },
  { name: "obj_lev_low", number: abi.AUDIT_OBJ_LEV_LOW, operators: "order", isText: true },
  { name: "obj_lev_high", number: abi.AUDIT_OBJ_LEV_HIGH, operators: "order", isText: true },
  { name: "loginuid_set", number: abi.AUDIT_LOGINUID_SET, operators: "equal", most: 1 },
  { name: "sessionid", number: abi.AUDIT_SESSIONID, operators: "order", notation: ID },
  { name: "fstype", number: abi.AUDIT_FSTYPE, operators: "equal", lists: ["filesystem"] },
  { name: "devmajor", number: abi.AUDIT_DEVMAJOR, operators: "order" },
  { name: "devminor", number: abi.AUDIT_DEVMINOR, operators: "all" },
  { name: "inode", number: abi.AUDIT_INODE, operators: "equal", lists: ON_FILES },
  { name: "exit", number: abi.AUDIT_EXIT, operators: "order", notation: RESULT },
  { name: "success", number: abi.AUDIT_SUCCESS, operators: "order" },
  { name: "path", number: abi.AUDIT_WATCH, operators: "equal", isText: true, lists: ON_FILES },
  {
    name: "perm",
    number: abi.AUDIT_PERM,
    operators: "equal",
    notation: PERMISSION,
    lists: ["exit", "task", "user", "exclude"],
    most: 15,
  },
  { name: "dir", number: abi.AUDIT_DIR, operators: "equal", isText: true, lists: ON_FILES },
  {
    name: "filetype",
    number: abi.AUDIT_FILETYPE,
    operators: "equal",
    notation: FILE_TYPE,
    most: S_IFMT,
  },
  { name: "obj_uid", number: abi.AUDIT_OBJ_UID, operators: "order", notation: ID },
  { name: "obj_gid", number: abi.AUDIT_OBJ_GID, operators: "order", notation: ID },
  { name: "field_compare", number: abi.AUDIT_FIELD_COMPARE, operators: "equal", most: 25 },
  { name: "exe", number: abi.AUDIT_EXE, operators: "equal", isText: true },
  { name: "saddr_fam", number: abi.AUDIT_SADDR_FAM, operators: "order" },
  { name: "a0", number: abi.AUDIT_ARG0, operators: "all" },
  { name: "a1", number: abi.AUDIT_ARG1, operators: "all" },
  { name: "a2", number: abi.AUDIT_ARG2, operators: "all" },
  { name: "a3", number: abi.AUDIT_ARG3, operators: "all" },
  { name: "key", number: abi.AUDIT_FILTERKEY, operators: "equal", isText: true },
];

/** A field by its name or its number. */
export const FIELD_OF: ReadonlyMap<string | number, FieldType> = new Map(
  FIELDS.flatMap((field): [string | number, FieldType][] => [
    [field.name, field],
    [field.number, field],
  ]),
);

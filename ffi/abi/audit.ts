/**
 * The control side of audit: messages, status and rules, from `<linux/audit.h>`. Since Linux 2.6.16 unless a later version
 * is noted. The types of records are in `audit_types.ts`.
 *
 * @module
 */

// Requests: `nlmsghdr.nlmsg_type`.

export const AUDIT_GET = 1000; // answered by a `struct audit_status`
export const AUDIT_SET = 1001; // takes one
export const AUDIT_SIGNAL_INFO = 1010;
export const AUDIT_ADD_RULE = 1011; // takes a `struct audit_rule_data`
export const AUDIT_DEL_RULE = 1012; // takes the same bytes
export const AUDIT_LIST_RULES = 1013; // one answer a rule
export const AUDIT_TRIM = 1014; // forgets directories of rules that are gone
export const AUDIT_MAKE_EQUIV = 1015; // a rule for one directory is also for what is mounted on another
export const AUDIT_REPLACE = 1329; // from the kernel: another daemon wants to register; its pid, 4.10

/** The multicast group of all records; CAP_AUDIT_READ. 3.16 */
export const AUDIT_NLGRP_READLOG = 1;

/** The largest record, in bytes. */
export const AUDIT_MESSAGE_TEXT_MAX = 8560;

// What an AUDIT_SET changes: `audit_status.mask`.

export const AUDIT_STATUS_ENABLED = 0x1;
export const AUDIT_STATUS_FAILURE = 0x2;
export const AUDIT_STATUS_PID = 0x4;
export const AUDIT_STATUS_RATE_LIMIT = 0x8;
export const AUDIT_STATUS_BACKLOG_LIMIT = 0x10;
export const AUDIT_STATUS_BACKLOG_WAIT_TIME = 0x20; // 3.14
export const AUDIT_STATUS_LOST = 0x40; // alone: sets it to 0, the answer's error is what it was, 4.10

// Lists of rules: `audit_rule_data.flags`, with AUDIT_FILTER_PREPEND where a rule is to be the first.

export const AUDIT_FILTER_USER = 0; // messages of programs
export const AUDIT_FILTER_TASK = 1; // a process is made
export const AUDIT_FILTER_EXIT = 4; // a system call ends
export const AUDIT_FILTER_EXCLUDE = 5; // a record is about to be made
export const AUDIT_FILTER_FS = 6; // a filesystem's files, 4.12
export const AUDIT_FILTER_URING_EXIT = 7; // an operation of io_uring ends, 5.16
export const AUDIT_FILTER_PREPEND = 0x10;

// Actions: `audit_rule_data.action`.

export const AUDIT_NEVER = 0;
export const AUDIT_ALWAYS = 2;

export const AUDIT_MAX_FIELDS = 64;
export const AUDIT_MAX_KEY_LEN = 256;
export const AUDIT_BITMASK_SIZE = 64; // words of 32 system calls

/** The last so many bits of the mask stand for classes of system calls. */
export const AUDIT_SYSCALL_CLASSES = 16;

// Operators: `audit_rule_data.fieldflags`.

export const AUDIT_BIT_MASK = 0x08000000; // any of the bits
export const AUDIT_LESS_THAN = 0x10000000;
export const AUDIT_GREATER_THAN = 0x20000000;
export const AUDIT_NOT_EQUAL = 0x30000000;
export const AUDIT_EQUAL = 0x40000000;
export const AUDIT_BIT_TEST = 0x48000000; // all of the bits
export const AUDIT_LESS_THAN_OR_EQUAL = 0x50000000;
export const AUDIT_GREATER_THAN_OR_EQUAL = 0x60000000;

// Fields: `audit_rule_data.fields`.

export const AUDIT_PID = 0;
export const AUDIT_UID = 1;
export const AUDIT_EUID = 2;
export const AUDIT_SUID = 3;
export const AUDIT_FSUID = 4;
export const AUDIT_GID = 5;
export const AUDIT_EGID = 6;
export const AUDIT_SGID = 7;
export const AUDIT_FSGID = 8;
export const AUDIT_LOGINUID = 9;
export const AUDIT_PERS = 10;
export const AUDIT_ARCH = 11;
export const AUDIT_MSGTYPE = 12;
export const AUDIT_SUBJ_USER = 13;
export const AUDIT_SUBJ_ROLE = 14;
export const AUDIT_SUBJ_TYPE = 15;
export const AUDIT_SUBJ_SEN = 16;
export const AUDIT_SUBJ_CLR = 17;
export const AUDIT_PPID = 18;
export const AUDIT_OBJ_USER = 19;
export const AUDIT_OBJ_ROLE = 20;
export const AUDIT_OBJ_TYPE = 21;
export const AUDIT_OBJ_LEV_LOW = 22;
export const AUDIT_OBJ_LEV_HIGH = 23;
export const AUDIT_LOGINUID_SET = 24; // 3.10
export const AUDIT_SESSIONID = 25; // 4.10
export const AUDIT_FSTYPE = 26; // a filesystem's magic number, 4.12
export const AUDIT_DEVMAJOR = 100;
export const AUDIT_DEVMINOR = 101;
export const AUDIT_INODE = 102; // 32 bits only
export const AUDIT_EXIT = 103;
export const AUDIT_SUCCESS = 104;
export const AUDIT_WATCH = 105; // a path
export const AUDIT_PERM = 106; // AUDIT_PERM_*
export const AUDIT_DIR = 107; // a directory and all below it
export const AUDIT_FILETYPE = 108; // the type bits of a mode
export const AUDIT_OBJ_UID = 109;
export const AUDIT_OBJ_GID = 110;
export const AUDIT_FIELD_COMPARE = 111; // of two ids
export const AUDIT_EXE = 112; // a path, 4.3
export const AUDIT_SADDR_FAM = 113; // an address family, 5.3
export const AUDIT_ARG0 = 200;
export const AUDIT_ARG1 = 201;
export const AUDIT_ARG2 = 202;
export const AUDIT_ARG3 = 203;
export const AUDIT_FILTERKEY = 210;

// Bits of the value of AUDIT_PERM.

export const AUDIT_PERM_EXEC = 1;
export const AUDIT_PERM_WRITE = 2;
export const AUDIT_PERM_READ = 4;
export const AUDIT_PERM_ATTR = 8;

/**
 * `struct audit_status` (`<linux/audit.h>`), 32 bits each. It has grown at its end (32 bytes before 3.14, 40 before 5.9), so
 * an answer is as long as its kernel made it.
 */
export const audit_status = {
  size: 44,
  mask: 0,
  enabled: 4,
  failure: 8,
  pid: 12,
  rate_limit: 16,
  backlog_limit: 20,
  lost: 24,
  backlog: 28,
  feature_bitmap: 32,
  backlog_wait_time: 36,
  backlog_wait_time_actual: 40,
} as const;

/**
 * `struct audit_rule_data` (`<linux/audit.h>`), 32 bits each; `mask`, `fields`, `values` and `fieldflags` are arrays of 64.
 * The value of a field with a text is its length in bytes, and the text is in `buf`, in the order of the fields.
 */
export const audit_rule_data = {
  size: 1040,
  flags: 0,
  action: 4,
  field_count: 8,
  mask: 12,
  fields: 268,
  values: 524,
  fieldflags: 780,
  buflen: 1036,
  buf: 1040,
} as const;

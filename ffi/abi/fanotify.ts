/**
 * Constants and layouts of fanotify(7), from `<linux/fanotify.h>`. Since Linux 2.6.37 unless a
 * later version is noted; long-term kernels carry some of the later ones as backports, so probe
 * and do not compare versions. The `FAN_ALL_*` sets, which the header calls deprecated, are left
 * out.
 *
 * @module
 */

// Flags of fanotify_init(2).
//
// The second argument, `event_f_flags`, takes O_* flags (see `open.ts`) for the fds in events:
// O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_NONBLOCK, O_SYNC, O_DSYNC, O_CLOEXEC, O_LARGEFILE and
// O_NOATIME. Every other bit is EINVAL, also O_PATH.

export const FAN_CLOEXEC = 0x1; // of the group's own fd
export const FAN_NONBLOCK = 0x2;
export const FAN_UNLIMITED_QUEUE = 0x10;
export const FAN_UNLIMITED_MARKS = 0x20;
export const FAN_ENABLE_AUDIT = 0x40; // allows FAN_AUDIT in a response, 4.15

// Classes: a field of two bits in the flags of fanotify_init(2), not flags.

export const FAN_CLASS_NOTIF = 0x0; // no permission events
export const FAN_CLASS_CONTENT = 0x4; // permission events; no FID flag
export const FAN_CLASS_PRE_CONTENT = 0x8; // asked before the CONTENT groups

// What is reported: flags of fanotify_init(2).

export const FAN_REPORT_PIDFD = 0x80; // pidfd record, 5.15
export const FAN_REPORT_TID = 0x100; // metadata.pid is a thread id, 4.20
export const FAN_REPORT_FID = 0x200; // handle of the object instead of an fd, 5.1
export const FAN_REPORT_DIR_FID = 0x400; // handle of the directory, 5.9
export const FAN_REPORT_NAME = 0x800; // name in the directory; needs DIR_FID, 5.9
export const FAN_REPORT_TARGET_FID = 0x1000; // child's handle in create/delete/move, 5.17
export const FAN_REPORT_FD_ERROR = 0x2000; // -errno in fd and pidfd, 6.13
export const FAN_REPORT_MNT = 0x4000; // mount events, 6.15
export const FAN_REPORT_DFID_NAME = 0xc00; // DIR_FID | NAME, 5.9
export const FAN_REPORT_DFID_NAME_TARGET = 0x1e00; // DFID_NAME | FID | TARGET_FID, 5.17

// Flags of fanotify_mark(2): the command, exactly one.

export const FAN_MARK_ADD = 0x1;
export const FAN_MARK_REMOVE = 0x2;
export const FAN_MARK_FLUSH = 0x80; // takes only a mark type beside it

// Flags of fanotify_mark(2): the mark type, a field of two bits (0x10 and 0x100).

export const FAN_MARK_INODE = 0x0;
export const FAN_MARK_MOUNT = 0x10;
export const FAN_MARK_FILESYSTEM = 0x100; // 4.20
export const FAN_MARK_MNTNS = 0x110; // path or fd of /proc/PID/ns/mnt, 6.15

// Flags of fanotify_mark(2): how the mark is made.

export const FAN_MARK_DONT_FOLLOW = 0x4; // do not follow a symbolic link
export const FAN_MARK_ONLYDIR = 0x8; // ENOTDIR if the object is no directory
export const FAN_MARK_IGNORED_MASK = 0x20; // legacy ignore mask
export const FAN_MARK_IGNORED_SURV_MODIFY = 0x40; // the ignore mask outlives a modification
export const FAN_MARK_EVICTABLE = 0x200; // does not pin the inode; inode marks only, 5.19
export const FAN_MARK_IGNORE = 0x400; // ignore mask that honours ONDIR and ON_CHILD, 6.0
export const FAN_MARK_IGNORE_SURV = 0x440; // IGNORE | IGNORED_SURV_MODIFY, 6.0

// Events: asked for in the mask of fanotify_mark(2), reported in metadata.mask. The mask is a u64
// of which kernels up to 7.1 use the low half.

export const FAN_ACCESS = 0x1; // read
export const FAN_MODIFY = 0x2; // written
export const FAN_ATTRIB = 0x4; // metadata, link count, 5.1
export const FAN_CLOSE_WRITE = 0x8; // closed after having been open for writing
export const FAN_CLOSE_NOWRITE = 0x10; // closed after having been open for reading only
export const FAN_OPEN = 0x20;
export const FAN_MOVED_FROM = 0x40; // 5.1
export const FAN_MOVED_TO = 0x80; // 5.1
export const FAN_CREATE = 0x100; // 5.1
export const FAN_DELETE = 0x200; // 5.1
export const FAN_DELETE_SELF = 0x400; // the marked inode itself, at its last close, 5.1
export const FAN_MOVE_SELF = 0x800; // the marked inode itself, 5.1
export const FAN_OPEN_EXEC = 0x1000; // opened to be executed, 5.0
export const FAN_FS_ERROR = 0x8000; // error record; filesystem marks only, 5.16
export const FAN_RENAME = 0x10000000; // old and new name in one event, 5.17

// Permission events: the process waits for a response. 0x80000 is reserved: it was FAN_DIR_MODIFY,
// which no release supports.

export const FAN_OPEN_PERM = 0x10000;
export const FAN_ACCESS_PERM = 0x20000; // read, readdir
export const FAN_OPEN_EXEC_PERM = 0x40000; // 5.0
export const FAN_PRE_ACCESS = 0x100000; // range record; PRE_CONTENT class only, 6.14

// Mount events, in a FAN_REPORT_MNT group with a FAN_MARK_MNTNS mark. A move has both bits.

export const FAN_MNT_ATTACH = 0x1000000; // 6.15
export const FAN_MNT_DETACH = 0x2000000; // 6.15

// Combinations of events.

export const FAN_CLOSE = 0x18; // FAN_CLOSE_WRITE | FAN_CLOSE_NOWRITE
export const FAN_MOVE = 0xc0; // FAN_MOVED_FROM | FAN_MOVED_TO

// Bits of the mask that are no events.

export const FAN_Q_OVERFLOW = 0x4000; // events were lost; only the kernel sets it
export const FAN_EVENT_ON_CHILD = 0x8000000; // also the children of a directory; never reported
export const FAN_ONDIR = 0x40000000; // also directories; reported only with FID flags

// Event metadata.

export const FANOTIFY_METADATA_VERSION = 3; // metadata.vers
export const FAN_NOFD = -1; // metadata.fd: no fd in this event
export const FAN_NOPIDFD = -1; // info_pidfd.pidfd: the process is gone, 5.15
export const FAN_EPIDFD = -2; // info_pidfd.pidfd: no pidfd could be made, 5.15

// Types of the info records that follow the metadata: `info_header.info_type`. 11 and 13 are
// reserved for OLD_DFID and NEW_DFID.

export const FAN_EVENT_INFO_TYPE_FID = 1; // info_fid: the object, 5.1
export const FAN_EVENT_INFO_TYPE_DFID_NAME = 2; // info_fid: the directory, and a name, 5.9
export const FAN_EVENT_INFO_TYPE_DFID = 3; // info_fid: the directory, 5.9
export const FAN_EVENT_INFO_TYPE_PIDFD = 4; // info_pidfd, 5.15
export const FAN_EVENT_INFO_TYPE_ERROR = 5; // info_error, 5.16
export const FAN_EVENT_INFO_TYPE_RANGE = 6; // info_range, 6.14
export const FAN_EVENT_INFO_TYPE_MNT = 7; // info_mnt, 6.15
export const FAN_EVENT_INFO_TYPE_OLD_DFID_NAME = 10; // info_fid and name, FAN_RENAME, 5.17
export const FAN_EVENT_INFO_TYPE_NEW_DFID_NAME = 12; // info_fid and name, FAN_RENAME, 5.17

// Responses to permission events: `fanotify_response.response`.

export const FAN_ALLOW = 0x1;
export const FAN_DENY = 0x2; // EPERM
export const FAN_AUDIT = 0x10; // also log it; needs FAN_ENABLE_AUDIT, 4.15
export const FAN_INFO = 0x20; // an info record follows, 6.3

// Denying with another errno than EPERM: FAN_DENY | (errno & FAN_ERRNO_MASK) << FAN_ERRNO_SHIFT,
// the header's FAN_DENY_ERRNO(). PRE_CONTENT groups only, and not every errno.

export const FAN_ERRNO_BITS = 8; // 6.14
export const FAN_ERRNO_SHIFT = 24; // 6.14
export const FAN_ERRNO_MASK = 0xff; // before the shift, 6.14

// Types of the info record in a response: `response_info_header.type`.

export const FAN_RESPONSE_INFO_NONE = 0; // 6.3
export const FAN_RESPONSE_INFO_AUDIT_RULE = 1; // 6.3

// Layouts. The records in an event are aligned to 4 bytes only, their u64 members too.

/**
 * `struct fanotify_event_metadata` (`<linux/fanotify.h>`). `mask` is a u64; `fd` and `pid` are
 * signed. Info records start at `metadata_len`, the next event at `event_len`.
 */
export const fanotify_event_metadata = {
  size: 24,
  event_len: 0,
  vers: 4,
  reserved: 5,
  metadata_len: 6,
  mask: 8,
  fd: 16,
  pid: 20,
} as const;

/**
 * `struct fanotify_event_info_header` (`<linux/fanotify.h>`), the start of every info record.
 * `len` counts the whole record.
 */
export const fanotify_event_info_header = {
  size: 4,
  info_type: 0,
  pad: 1,
  len: 2,
} as const;

/**
 * `struct fanotify_event_info_fid` (`<linux/fanotify.h>`). `fsid` is two s32. `handle` is a
 * `struct file_handle` (see `handle.ts`); where the type says so, a NUL-terminated name follows it.
 * Since 5.1.
 */
export const fanotify_event_info_fid = {
  size: 12,
  hdr: 0,
  fsid: 4,
  handle: 12,
} as const;

/** `struct fanotify_event_info_pidfd` (`<linux/fanotify.h>`). `pidfd` is signed. Since 5.15. */
export const fanotify_event_info_pidfd = {
  size: 8,
  hdr: 0,
  pidfd: 4,
} as const;

/** `struct fanotify_event_info_error` (`<linux/fanotify.h>`). `error` is signed. Since 5.16. */
export const fanotify_event_info_error = {
  size: 12,
  hdr: 0,
  error: 4,
  error_count: 8,
} as const;

/** `struct fanotify_event_info_range` (`<linux/fanotify.h>`). u64 `offset`, `count`. Since 6.14. */
export const fanotify_event_info_range = {
  size: 24,
  hdr: 0,
  pad: 4,
  offset: 8,
  count: 16,
} as const;

/** `struct fanotify_event_info_mnt` (`<linux/fanotify.h>`). `mnt_id` is a u64. Since 6.15. */
export const fanotify_event_info_mnt = {
  size: 16,
  hdr: 0,
  mnt_id: 8,
} as const;

/** `struct fanotify_response` (`<linux/fanotify.h>`), what answers a permission event. */
export const fanotify_response = {
  size: 8,
  fd: 0,
  response: 4,
} as const;

/**
 * `struct fanotify_response_info_header` (`<linux/fanotify.h>`), the start of an info record after
 * a `fanotify_response` with FAN_INFO. `len` counts the whole record. Since 6.3.
 */
export const fanotify_response_info_header = {
  size: 4,
  type: 0,
  pad: 1,
  len: 2,
} as const;

/**
 * `struct fanotify_response_info_audit_rule` (`<linux/fanotify.h>`). The trusts are 0 no, 1 yes,
 * 2 unknown. Since 6.3.
 */
export const fanotify_response_info_audit_rule = {
  size: 16,
  hdr: 0,
  rule_number: 4,
  subj_trust: 8,
  obj_trust: 12,
} as const;

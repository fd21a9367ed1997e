/**
 * Constants and layout of inotify(7), from `<linux/inotify.h>`. Since Linux 2.6.13 unless a later
 * version is noted.
 *
 * @module
 */

// Flags of inotify_init1(2).

export const IN_CLOEXEC = 0x80000; // = O_CLOEXEC, 2.6.27
export const IN_NONBLOCK = 0x800; // = O_NONBLOCK, 2.6.27

// Events: asked for in the mask of inotify_add_watch(2), reported in `inotify_event.mask`.

export const IN_ACCESS = 0x1; // read, executed
export const IN_MODIFY = 0x2; // written, truncated
export const IN_ATTRIB = 0x4; // metadata, link count
export const IN_CLOSE_WRITE = 0x8; // closed after having been open for writing
export const IN_CLOSE_NOWRITE = 0x10; // closed after having been open for reading only
export const IN_OPEN = 0x20;
export const IN_MOVED_FROM = 0x40; // shares its cookie with IN_MOVED_TO
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
export const IN_DELETE_SELF = 0x400; // the watched inode itself
export const IN_MOVE_SELF = 0x800; // the watched inode itself

// Combinations of events.

export const IN_CLOSE = 0x18; // IN_CLOSE_WRITE | IN_CLOSE_NOWRITE
export const IN_MOVE = 0xc0; // IN_MOVED_FROM | IN_MOVED_TO
export const IN_ALL_EVENTS = 0xfff;

// Flags of a watch: only in the mask of inotify_add_watch(2).

export const IN_ONLYDIR = 0x01000000; // ENOTDIR if the path is no directory, 2.6.15
export const IN_DONT_FOLLOW = 0x02000000; // do not follow a symbolic link, 2.6.15
export const IN_EXCL_UNLINK = 0x04000000; // no events of unlinked children, 2.6.36
export const IN_MASK_CREATE = 0x10000000; // EEXIST if the inode is watched already, 4.18
export const IN_MASK_ADD = 0x20000000; // add to the mask of a watch, do not replace it
export const IN_ONESHOT = 0x80000000; // remove the watch after one event

// Bits that only the kernel sets in `inotify_event.mask`.

export const IN_UNMOUNT = 0x2000; // the filesystem was unmounted; IN_IGNORED follows
export const IN_Q_OVERFLOW = 0x4000; // events were lost; the event's wd is -1
export const IN_IGNORED = 0x8000; // the watch is gone
export const IN_ISDIR = 0x40000000; // the event is about a directory

/**
 * `struct inotify_event` (`<linux/inotify.h>`). `wd` is signed. `name` has `len` bytes, NUL padded;
 * the next event follows them.
 */
export const inotify_event = {
  size: 16,
  wd: 0,
  mask: 4,
  cookie: 8,
  len: 12,
  name: 16,
} as const;

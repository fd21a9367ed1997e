/**
 * The symbol table of libc that both runtimes load: C name, one C parameter a line.
 *
 * `isize` stays 64 bits wide in the table: a `ssize_t` read as `int` is a data bug that nobody sees. `tests/symbols_test.ts`
 * compares the width of each parameter and result with the prototypes in the headers.
 *
 * @module
 */

/** How a C value crosses the boundary; the names are Deno's. */
export type CType = "i16" | "i32" | "u32" | "u64" | "isize" | "usize" | "buffer";

/** One C function: its parameters in order, and its result. */
export interface CFunction {
  readonly parameters: readonly CType[];
  readonly result: CType;
}

/** Every function of libc that the port calls. Found by `dlsym`, so glibc and musl both serve. */
export const SYMBOLS = {
  open: {
    parameters: [
      "buffer", // const char *path
      "i32", // int flags
      "u32", // mode_t mode (variadic)
    ],
    result: "i32",
  },
  openat: {
    parameters: [
      "i32", // int dirfd
      "buffer", // const char *path
      "i32", // int flags
      "u32", // mode_t mode (variadic)
    ],
    result: "i32",
  },
  close: {
    parameters: [
      "i32", // int fd
    ],
    result: "i32",
  },
  read: {
    parameters: [
      "i32", // int fd
      "buffer", // void *buf
      "usize", // size_t count
    ],
    result: "isize",
  },
  pread: {
    parameters: [
      "i32", // int fd
      "buffer", // void *buf
      "usize", // size_t count
      "isize", // off_t offset
    ],
    result: "isize",
  },
  write: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *buf
      "usize", // size_t count
    ],
    result: "isize",
  },
  pwrite: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *buf
      "usize", // size_t count
      "isize", // off_t offset
    ],
    result: "isize",
  },
  readlink: {
    parameters: [
      "buffer", // const char *path
      "buffer", // char *buf
      "usize", // size_t size
    ],
    result: "isize",
  },
  readlinkat: {
    parameters: [
      "i32", // int dirfd
      "buffer", // const char *path
      "buffer", // char *buf
      "usize", // size_t size
    ],
    result: "isize",
  },
  getdents64: {
    parameters: [
      "i32", // int fd
      "buffer", // void *dirp
      "usize", // size_t count
    ],
    result: "isize",
  },
  statx: {
    parameters: [
      "i32", // int dirfd
      "buffer", // const char *path
      "i32", // int flags
      "u32", // unsigned int mask
      "buffer", // struct statx *buf
    ],
    result: "i32",
  },
  listxattr: {
    parameters: [
      "buffer", // const char *path
      "buffer", // char *list
      "usize", // size_t size
    ],
    result: "isize",
  },
  llistxattr: {
    parameters: [
      "buffer", // const char *path
      "buffer", // char *list
      "usize", // size_t size
    ],
    result: "isize",
  },
  getxattr: {
    parameters: [
      "buffer", // const char *path
      "buffer", // const char *name
      "buffer", // void *value
      "usize", // size_t size
    ],
    result: "isize",
  },
  lgetxattr: {
    parameters: [
      "buffer", // const char *path
      "buffer", // const char *name
      "buffer", // void *value
      "usize", // size_t size
    ],
    result: "isize",
  },
  statfs: {
    parameters: [
      "buffer", // const char *path
      "buffer", // struct statfs *buf
    ],
    result: "i32",
  },
  fstatfs: {
    parameters: [
      "i32", // int fd
      "buffer", // struct statfs *buf
    ],
    result: "i32",
  },
  name_to_handle_at: {
    parameters: [
      "i32", // int dirfd
      "buffer", // const char *path
      "buffer", // struct file_handle *handle
      "buffer", // int *mount_id
      "i32", // int flags
    ],
    result: "i32",
  },
  open_by_handle_at: {
    parameters: [
      "i32", // int mount_fd
      "buffer", // struct file_handle *handle
      "i32", // int flags
    ],
    result: "i32",
  },
  inotify_init1: {
    parameters: [
      "i32", // int flags
    ],
    result: "i32",
  },
  inotify_add_watch: {
    parameters: [
      "i32", // int fd
      "buffer", // const char *path
      "u32", // uint32_t mask
    ],
    result: "i32",
  },
  inotify_rm_watch: {
    parameters: [
      "i32", // int fd
      "i32", // int wd
    ],
    result: "i32",
  },
  fanotify_init: {
    parameters: [
      "u32", // unsigned int flags
      "u32", // unsigned int event_f_flags
    ],
    result: "i32",
  },
  fanotify_mark: {
    parameters: [
      "i32", // int fanotify_fd
      "u32", // unsigned int flags
      "u64", // uint64_t mask
      "i32", // int dirfd
      "buffer", // const char *path
    ],
    result: "i32",
  },
  eventfd: {
    parameters: [
      "u32", // unsigned int initval
      "i32", // int flags
    ],
    result: "i32",
  },
  epoll_create1: {
    parameters: [
      "i32", // int flags
    ],
    result: "i32",
  },
  epoll_ctl: {
    parameters: [
      "i32", // int epfd
      "i32", // int op
      "i32", // int fd
      "buffer", // struct epoll_event *event
    ],
    result: "i32",
  },
  epoll_wait: {
    parameters: [
      "i32", // int epfd
      "buffer", // struct epoll_event *events
      "i32", // int maxevents
      "i32", // int timeout
    ],
    result: "i32",
  },
  poll: {
    parameters: [
      "buffer", // struct pollfd *fds
      "usize", // nfds_t nfds
      "i32", // int timeout
    ],
    result: "i32",
  },
  socket: {
    parameters: [
      "i32", // int domain
      "i32", // int type
      "i32", // int protocol
    ],
    result: "i32",
  },
  sendto: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *buf
      "usize", // size_t n
      "i32", // int flags
      "buffer", // const struct sockaddr *addr
      "u32", // socklen_t addr_len
    ],
    result: "isize",
  },
  connect: {
    parameters: [
      "i32", // int fd
      "buffer", // const struct sockaddr *addr
      "u32", // socklen_t len
    ],
    result: "i32",
  },
  bind: {
    parameters: [
      "i32", // int fd
      "buffer", // const struct sockaddr *addr
      "u32", // socklen_t len
    ],
    result: "i32",
  },
  setsockopt: {
    parameters: [
      "i32", // int fd
      "i32", // int level
      "i32", // int optname
      "buffer", // const void *optval
      "u32", // socklen_t optlen
    ],
    result: "i32",
  },
  recvfrom: {
    parameters: [
      "i32", // int fd
      "buffer", // void *buf
      "usize", // size_t n
      "i32", // int flags
      "buffer", // struct sockaddr *addr
      "buffer", // socklen_t *addr_len
    ],
    result: "isize",
  },
  kill: {
    parameters: [
      "i32", // pid_t pid
      "i32", // int sig
    ],
    result: "i32",
  },
  posix_spawn: {
    parameters: [
      "buffer", // pid_t *pid
      "buffer", // const char *path
      "buffer", // const posix_spawn_file_actions_t *actions
      "buffer", // const posix_spawnattr_t *attr
      "buffer", // char *const argv[]
      "buffer", // char *const envp[]
    ],
    result: "i32",
  },
  posix_spawn_file_actions_init: {
    parameters: [
      "buffer", // posix_spawn_file_actions_t *actions
    ],
    result: "i32",
  },
  posix_spawn_file_actions_destroy: {
    parameters: [
      "buffer", // posix_spawn_file_actions_t *actions
    ],
    result: "i32",
  },
  posix_spawn_file_actions_adddup2: {
    parameters: [
      "buffer", // posix_spawn_file_actions_t *actions
      "i32", // int fd
      "i32", // int newfd
    ],
    result: "i32",
  },
  posix_spawn_file_actions_addclose: {
    parameters: [
      "buffer", // posix_spawn_file_actions_t *actions
      "i32", // int fd
    ],
    result: "i32",
  },
  posix_spawnattr_init: {
    parameters: [
      "buffer", // posix_spawnattr_t *attr
    ],
    result: "i32",
  },
  posix_spawnattr_setflags: {
    parameters: [
      "buffer", // posix_spawnattr_t *attr
      "i16", // short flags
    ],
    result: "i32",
  },
  geteuid: {
    parameters: [],
    result: "u32",
  },
  syscall: {
    parameters: [
      "isize", // long number
      "usize", // first argument (variadic from here)
      "usize", // second
      "usize", // third
      "usize", // fourth
      "usize", // fifth
    ],
    result: "isize",
  },
} as const;

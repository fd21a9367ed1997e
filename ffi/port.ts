/**
 * The port: all that the rest of the house knows of C. Numbers and bytes go in, numbers come out; a runtime's twin
 * file (`deno.ts`, `bun.ts`) implements it.
 *
 * Every member is one libc function and is documented by its C prototype. A result of -1 (or null) means that
 * {@linkcode Libc.errno} explains; nothing here throws for it, `errno.ts` does.
 *
 * @module
 */

/** Bytes that C reads or fills. `null` is the C null pointer. */
export type Buffer =
  | Uint8Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>
  | null;

/** The functions of libc that sentinode calls, one to one. */
export interface LibcCalls {
  /** `int open(const char *path, int flags, mode_t mode)` */
  open(path: Buffer, flags: number, mode: number): number;
  /** `int openat(int dirfd, const char *path, int flags, mode_t mode)` */
  openat(dirfd: number, path: Buffer, flags: number, mode: number): number;
  /** `int close(int fd)` */
  close(fd: number): number;
  /** `ssize_t read(int fd, void *buf, size_t count)` */
  read(fd: number, buffer: Buffer, count: number): number;
  /** `ssize_t pread(int fd, void *buf, size_t count, off_t offset)` */
  pread(fd: number, buffer: Buffer, count: number, offset: number): number;
  /** `ssize_t write(int fd, const void *buf, size_t count)` */
  write(fd: number, buffer: Buffer, count: number): number;
  /** `ssize_t pwrite(int fd, const void *buf, size_t count, off_t offset)` */
  pwrite(fd: number, buffer: Buffer, count: number, offset: number): number;
  /** `ssize_t readlink(const char *path, char *buf, size_t size)` */
  readlink(path: Buffer, buffer: Buffer, size: number): number;
  /** `ssize_t readlinkat(int dirfd, const char *path, char *buf, size_t size)` */
  readlinkat(dirfd: number, path: Buffer, buffer: Buffer, size: number): number;
  /** `ssize_t getdents64(int fd, void *dirp, size_t count)` (glibc 2.30, musl) */
  getdents64(fd: number, buffer: Buffer, count: number): number;
  /** `int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *buf)` (Linux 4.11) */
  statx(dirfd: number, path: Buffer, flags: number, mask: number, buffer: Buffer): number;
  /** `ssize_t listxattr(const char *path, char *list, size_t size)` */
  listxattr(path: Buffer, list: Buffer, size: number): number;
  /** `ssize_t llistxattr(const char *path, char *list, size_t size)`: of a symlink itself */
  llistxattr(path: Buffer, list: Buffer, size: number): number;
  /** `ssize_t getxattr(const char *path, const char *name, void *value, size_t size)` */
  getxattr(path: Buffer, name: Buffer, value: Buffer, size: number): number;
  /** `ssize_t lgetxattr(const char *path, const char *name, void *value, size_t size)`: of a symlink itself */
  lgetxattr(path: Buffer, name: Buffer, value: Buffer, size: number): number;
  /** `int statfs(const char *path, struct statfs *buf)` */
  statfs(path: Buffer, buffer: Buffer): number;
  /** `int fstatfs(int fd, struct statfs *buf)` */
  fstatfs(fd: number, buffer: Buffer): number;
  /** `int name_to_handle_at(int dirfd, const char *path, struct file_handle *h, int *mount_id, int flags)` */
  name_to_handle_at(
    dirfd: number,
    path: Buffer,
    handle: Buffer,
    mountId: Buffer,
    flags: number,
  ): number;
  /** `int open_by_handle_at(int mount_fd, struct file_handle *h, int flags)` (CAP_DAC_READ_SEARCH) */
  open_by_handle_at(mountFd: number, handle: Buffer, flags: number): number;
  /** `int inotify_init1(int flags)` */
  inotify_init1(flags: number): number;
  /** `int inotify_add_watch(int fd, const char *path, uint32_t mask)` */
  inotify_add_watch(fd: number, path: Buffer, mask: number): number;
  /** `int inotify_rm_watch(int fd, int wd)` */
  inotify_rm_watch(fd: number, wd: number): number;
  /** `int fanotify_init(unsigned flags, unsigned event_f_flags)` */
  fanotify_init(flags: number, eventFlags: number): number;
  /** `int fanotify_mark(int fd, unsigned flags, uint64_t mask, int dirfd, const char *path)` */
  fanotify_mark(fd: number, flags: number, mask: bigint, dirfd: number, path: Buffer): number;
  /** `int eventfd(unsigned initval, int flags)` */
  eventfd(initial: number, flags: number): number;
  /** `int epoll_create1(int flags)` */
  epoll_create1(flags: number): number;
  /** `int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)` */
  epoll_ctl(epfd: number, operation: number, fd: number, event: Buffer): number;
  /** `int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)` */
  epoll_wait(epfd: number, events: Buffer, max: number, timeout: number): number;
  /** `int poll(struct pollfd *fds, nfds_t nfds, int timeout)` */
  poll(fds: Buffer, count: number, timeout: number): number;
  /** `int socket(int domain, int type, int protocol)` */
  socket(domain: number, type: number, protocol: number): number;
  /** `ssize_t sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr, socklen_t addr_len)` */
  sendto(
    fd: number,
    buffer: Buffer,
    count: number,
    flags: number,
    address: Buffer,
    length: number,
  ): number;
  /** `int connect(int fd, const struct sockaddr *addr, socklen_t len)` */
  connect(fd: number, address: Buffer, length: number): number;
  /** `int bind(int fd, const struct sockaddr *addr, socklen_t len)` */
  bind(fd: number, address: Buffer, length: number): number;
  /** `int setsockopt(int fd, int level, int name, const void *value, socklen_t len)` */
  setsockopt(fd: number, level: number, name: number, value: Buffer, length: number): number;
  /** `ssize_t recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *addr, socklen_t *addr_len)` */
  recvfrom(
    fd: number,
    buffer: Buffer,
    count: number,
    flags: number,
    address: Buffer,
    length: Buffer,
  ): number;
  /** `int kill(pid_t pid, int sig)` */
  kill(pid: number, signal: number): number;
  /**
   * `int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
   * char *const argv[], char *const envp[])`; the result is an errno, 0 where it went well
   */
  posix_spawn(
    pid: Buffer,
    path: Buffer,
    actions: Buffer,
    attributes: Buffer,
    argv: Buffer,
    envp: Buffer,
  ): number;
  /** `int posix_spawn_file_actions_init(posix_spawn_file_actions_t *actions)` */
  posix_spawn_file_actions_init(actions: Buffer): number;
  /** `int posix_spawn_file_actions_destroy(posix_spawn_file_actions_t *actions)` */
  posix_spawn_file_actions_destroy(actions: Buffer): number;
  /** `int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int fd, int newfd)` */
  posix_spawn_file_actions_adddup2(actions: Buffer, fd: number, newFd: number): number;
  /** `int posix_spawn_file_actions_addclose(posix_spawn_file_actions_t *actions, int fd)` */
  posix_spawn_file_actions_addclose(actions: Buffer, fd: number): number;
  /** `int posix_spawnattr_init(posix_spawnattr_t *attr)` */
  posix_spawnattr_init(attributes: Buffer): number;
  /** `int posix_spawnattr_setflags(posix_spawnattr_t *attr, short flags)` */
  posix_spawnattr_setflags(attributes: Buffer, flags: number): number;
  /** `uid_t geteuid(void)` */
  geteuid(): number;
  /** `long syscall(long number, …)`, for what libc has no function for; a pointer goes in by its address */
  syscall(
    number: number,
    a: number | bigint,
    b: number | bigint,
    c: number | bigint,
    d: number | bigint,
    e: number | bigint,
  ): number;
}

/** Waits until a file descriptor is readable without holding up the event loop. */
export interface Waiter {
  /** Resolves once `fd` is readable; one call at a time. The pending call keeps the process alive. */
  wait(fd: number): Promise<void>;
  /** Gives back what the waiter holds; called when nothing is waited for. Resolves once all of it is closed. */
  close(): Promise<void>;
}

/** libc, and the two things around it that each runtime does in its own way. */
export interface Libc extends LibcCalls {
  /** `errno` of this thread, valid right after a call that returned -1. */
  errno(): number;
  /** A new {@linkcode Waiter}: a thread of the runtime's pool in Deno, the event loop itself in Bun. */
  waiter(): Waiter;
  /**
   * The arguments behind the path of this program that make it run `source` (an ES module) with more arguments, and what
   * has to be in its environment; undefined where the program is not the runtime but was compiled.
   */
  readonly evaluation?: {
    readonly arguments: (source: string) => readonly string[];
    readonly environment: readonly string[];
  };
  /** The address of `buffer`, to be written into a C struct; the caller keeps the buffer alive. */
  address(buffer: NonNullable<Buffer>): bigint;
}

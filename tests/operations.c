// Changes a file in one of all ways that there are, by a system call of its own: operations NAME PATH [PATH2]
// Says nothing and exits with 0; with 1 and the error's name where it fails; with 3 and the error's name where the
// kernel or the filesystem has no such way; with 2 where there is no such NAME. operations look PATH… says what is there.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

// --- what is newer than Linux 6.1's headers ---

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452 // include/uapi/asm-generic/unistd.h, Linux 6.6
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat 463 // Linux 6.13
#endif
#ifndef SYS_removexattrat
#define SYS_removexattrat 466 // Linux 6.13
#endif
#ifndef SYS_file_getattr
#define SYS_file_getattr 468 // Linux 6.17
#define SYS_file_setattr 469 // Linux 6.17
#endif
#define FTRUNCATE 55 // IORING_OP_FTRUNCATE, include/uapi/linux/io_uring.h, Linux 6.9

struct xattr_arguments { // struct xattr_args, include/uapi/linux/xattr.h, Linux 6.13
	uint64_t value;
	uint32_t size;
	uint32_t flags;
};

struct file_attributes { // struct file_attr, include/uapi/linux/fs.h, Linux 6.17
	uint64_t xflags;
	uint32_t extsize, nextents, projid, cowextsize;
};

// --- the way of each ---

/** A way to change PATH, which may need PATH2: 0 or more, or -1 and errno. */
typedef long Way(const char *path, const char *other);

/** What a machine has no system call for (arm64 has those alone that end in "at"). */
static long none(void)
{
	errno = ENOSYS;
	return -1;
}

/** A file descriptor, or the end. */
static int opened(const char *path, int flags)
{
	int fd = syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0644);
	if (fd < 0) {
		int is_lacking = errno == EOPNOTSUPP;
		puts(strerrorname_np(errno));
		exit(is_lacking ? 3 : 1);
	}
	return fd;
}

static int directory_of(const char *path)
{
	return opened(dirname(strdup(path)), O_RDONLY | O_DIRECTORY);
}

static const char *name_of(const char *path)
{
	return basename(strdup(path));
}

#define MAYBE_UNUSED __attribute__((unused))
#define WAY(name) static long name(const char *path MAYBE_UNUSED, const char *other MAYBE_UNUSED)
#ifdef SYS_chmod // the calls that only older machines have
#define OLD(call, ...) syscall(SYS_##call, __VA_ARGS__)
#else
#define SYS_chmod 0
#define OLD(call, ...) none()
#endif

enum { UID = 12, GID = 34, PROJECT = 7 };
static const struct timespec TIMES[2] = { { 1000000000, 0 }, { 1100000000, 0 } };

WAY(chmod_) { return OLD(chmod, path, 0600); }
WAY(fchmod_) { return syscall(SYS_fchmod, opened(path, O_RDONLY), 0600); }
WAY(fchmodat_) { return syscall(SYS_fchmodat, AT_FDCWD, path, 0600); }
WAY(fchmodat2_) { return syscall(SYS_fchmodat2, AT_FDCWD, path, 0600, AT_SYMLINK_NOFOLLOW); }
WAY(chown_) { return OLD(chown, path, UID, GID); }
WAY(lchown_) { return OLD(lchown, path, UID, GID); }
WAY(fchown_) { return syscall(SYS_fchown, opened(path, O_RDONLY), UID, GID); }
WAY(fchownat_) { return syscall(SYS_fchownat, directory_of(path), name_of(path), UID, GID, 0); }

WAY(utimensat_path) { return syscall(SYS_utimensat, AT_FDCWD, path, TIMES, 0); }
WAY(utimensat_fd) { return syscall(SYS_utimensat, opened(path, O_RDONLY), NULL, TIMES, 0); }
WAY(touch_now) { return syscall(SYS_utimensat, AT_FDCWD, path, NULL, 0); }
WAY(utimes_)
{
	struct timeval times[2] = { { TIMES[0].tv_sec, 0 }, { TIMES[1].tv_sec, 0 } };
	(void)times;
	return OLD(utimes, path, times);
}

#define XATTR "user.sentinode"

WAY(setxattr_) { return syscall(SYS_setxattr, path, XATTR, "value", 5, 0); }
WAY(lsetxattr_) { return syscall(SYS_lsetxattr, path, XATTR, "value", 5, 0); }
WAY(fsetxattr_) { return syscall(SYS_fsetxattr, opened(path, O_RDONLY), XATTR, "value", 5, 0); }
WAY(setxattrat_)
{
	struct xattr_arguments arguments = { (uintptr_t)"value", 5, 0 };
	return syscall(SYS_setxattrat, AT_FDCWD, path, 0, XATTR, &arguments, sizeof arguments);
}
WAY(removexattr_) { return syscall(SYS_removexattr, path, XATTR); }
WAY(lremovexattr_) { return syscall(SYS_lremovexattr, path, XATTR); }
WAY(fremovexattr_) { return syscall(SYS_fremovexattr, opened(path, O_RDONLY), XATTR); }
WAY(removexattrat_) { return syscall(SYS_removexattrat, AT_FDCWD, path, 0, XATTR); }

/** struct posix_acl_xattr_header and its entries (linux/posix_acl_xattr.h): one more user, who may read. */
static const struct {
	uint32_t version;
	struct { uint16_t tag, permissions; uint32_t id; } entries[5];
} ACL = { 2, { { 1, 6, -1 }, { 2, 4, UID }, { 4, 0, -1 }, { 0x10, 4, -1 }, { 0x20, 0, -1 } } };

WAY(acl_access)
{
	return syscall(SYS_setxattr, path, "system.posix_acl_access", &ACL, sizeof ACL, 0);
}
WAY(acl_default)
{
	return syscall(SYS_setxattr, path, "system.posix_acl_default", &ACL, sizeof ACL, 0);
}

/** struct vfs_ns_cap_data (linux/capability.h): CAP_NET_BIND_SERVICE, effective; in version 3 for a namespace's root. */
static long set_capability(const char *path, uint32_t version, size_t size)
{
	const uint32_t data[6] = { version << 24 | 1, 1 << 10, 0, 0, 0, 1000 };
	return syscall(SYS_setxattr, path, "security.capability", data, size, 0);
}
WAY(setcap_v2) { return set_capability(path, 2, 20); }
WAY(setcap_v3) { return set_capability(path, 3, 24); }

WAY(link_) { return OLD(link, path, other); }
WAY(linkat_) { return syscall(SYS_linkat, AT_FDCWD, path, directory_of(other), name_of(other), 0); }
WAY(linkat_tmpfile)
{
	char file[64];
	sprintf(file, "/proc/self/fd/%d", opened(dirname(strdup(path)), O_TMPFILE | O_RDWR));
	return syscall(SYS_linkat, AT_FDCWD, file, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}
WAY(unlink_) { return OLD(unlink, path); }
WAY(unlinkat_) { return syscall(SYS_unlinkat, directory_of(path), name_of(path), 0); }
WAY(rmdir_) { return OLD(rmdir, path); }
WAY(unlinkat_removedir) { return syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR); }
static long renamed(const char *path, const char *other, unsigned flags)
{
	return syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, other, flags);
}
WAY(rename_) { return OLD(rename, path, other); }
WAY(renameat2_noreplace) { return renamed(path, other, RENAME_NOREPLACE); }
WAY(exchange) { return renamed(path, other, RENAME_EXCHANGE); }
WAY(mkdir_) { return OLD(mkdir, path, 0755); }
WAY(mkdirat_dirfd) { return syscall(SYS_mkdirat, directory_of(path), name_of(path), 0755); }
WAY(mknod_fifo) { return OLD(mknod, path, S_IFIFO | 0644, 0); }
WAY(mknodat_fifo) { return syscall(SYS_mknodat, AT_FDCWD, path, S_IFIFO | 0644, 0); }
WAY(symlink_) { return OLD(symlink, "target", path); }
WAY(symlinkat_) { return syscall(SYS_symlinkat, "target", directory_of(path), name_of(path)); }

static long set_flags(const char *path, int set, int clear)
{
	int flags, fd = opened(path, O_RDONLY);
	if (syscall(SYS_ioctl, fd, FS_IOC_GETFLAGS, &flags) < 0) return -1;
	flags = (flags | set) & ~clear;
	return syscall(SYS_ioctl, fd, FS_IOC_SETFLAGS, &flags);
}
WAY(set_i) { return set_flags(path, FS_IMMUTABLE_FL, 0); }
WAY(clear_i) { return set_flags(path, 0, FS_IMMUTABLE_FL); }
WAY(set_a) { return set_flags(path, FS_APPEND_FL, 0); }
WAY(clear_a) { return set_flags(path, 0, FS_APPEND_FL); }
WAY(set_d) { return set_flags(path, FS_NODUMP_FL, 0); }
WAY(clear_d) { return set_flags(path, 0, FS_NODUMP_FL); }
WAY(set_A) { return set_flags(path, FS_NOATIME_FL, 0); }
WAY(clear_A) { return set_flags(path, 0, FS_NOATIME_FL); }

static long set_fsxattr(const char *path, unsigned xflags, unsigned project)
{
	struct fsxattr attributes;
	int fd = opened(path, O_RDONLY);
	if (syscall(SYS_ioctl, fd, FS_IOC_FSGETXATTR, &attributes) < 0) return -1;
	attributes.fsx_xflags |= xflags;
	if (project) attributes.fsx_projid = project;
	return syscall(SYS_ioctl, fd, FS_IOC_FSSETXATTR, &attributes);
}
WAY(fssetxattr_nodump) { return set_fsxattr(path, FS_XFLAG_NODUMP, 0); }
WAY(fssetxattr_noatime) { return set_fsxattr(path, FS_XFLAG_NOATIME, 0); }
WAY(fssetxattr_project) { return set_fsxattr(path, 0, PROJECT); }
WAY(file_setattr_)
{
	struct file_attributes attributes;
	if (syscall(SYS_file_getattr, AT_FDCWD, path, &attributes, sizeof attributes, 0) < 0) return -1;
	attributes.xflags |= FS_XFLAG_NODUMP;
	return syscall(SYS_file_setattr, AT_FDCWD, path, &attributes, sizeof attributes, 0);
}

WAY(truncate_) { return syscall(SYS_truncate, path, 1); }
WAY(ftruncate_) { return syscall(SYS_ftruncate, opened(path, O_WRONLY), 1); }
WAY(fallocate_) { return syscall(SYS_fallocate, opened(path, O_WRONLY), 0, 0, 10000); }
WAY(write_) { return syscall(SYS_write, opened(path, O_WRONLY), "W", 1); }
WAY(append) { return syscall(SYS_write, opened(path, O_WRONLY | O_APPEND), "W", 1); }
WAY(pwrite_) { return syscall(SYS_pwrite64, opened(path, O_WRONLY), "W", 1, 1); }
WAY(mmap_store)
{
	char *map = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, opened(path, O_RDWR), 0);
	if (map == MAP_FAILED) return -1;
	map[0] = 'W';
	return syscall(SYS_msync, map, 4096, MS_SYNC);
}
WAY(copy_file_range_)
{
	int from = opened(other, O_RDONLY), to = opened(path, O_WRONLY);
	return syscall(SYS_copy_file_range, from, NULL, to, NULL, 4, 0);
}
WAY(reflink) { return syscall(SYS_ioctl, opened(path, O_WRONLY), FICLONE, opened(other, O_RDONLY)); }

static long open_as(const char *path, int flags)
{
	return syscall(SYS_openat, AT_FDCWD, path, flags, 0644);
}
WAY(open_create) { return open_as(path, O_WRONLY | O_CREAT | O_EXCL); }
WAY(open_trunc) { return open_as(path, O_WRONLY | O_TRUNC); }
WAY(open_rdonly_creat) { return open_as(path, O_RDONLY | O_CREAT); }
WAY(creat_) { return OLD(creat, path, 0644); }
WAY(openat2_)
{
	struct open_how how = { .flags = O_WRONLY | O_CREAT, .mode = 0644 };
	return syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

// --- io_uring, which makes the call in the kernel ---

static void *shared(int fd, size_t size, uint64_t offset)
{
	return mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
}

/** The result of one request, as of the call. ENOSYS where there is no io_uring, or no such request. */
static long ring(struct io_uring_sqe request)
{
	struct io_uring_params params = { 0 };
	struct { struct io_uring_probe probe; struct io_uring_probe_op ops[256]; } known = { 0 };
	int fd = syscall(SYS_io_uring_setup, 1, &params);
	if (fd < 0) return errno == EPERM ? none() : -1; // kernel.io_uring_disabled
	if (syscall(SYS_io_uring_register, fd, IORING_REGISTER_PROBE, &known, 256) < 0) return none();
	if (!(known.ops[request.opcode].flags & IO_URING_OP_SUPPORTED)) return none();
	size_t size = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
	char *submissions = shared(fd, size, IORING_OFF_SQ_RING);
	size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
	char *completions = shared(fd, size, IORING_OFF_CQ_RING);
	struct io_uring_sqe *requests = shared(fd, params.sq_entries * sizeof request, IORING_OFF_SQES);
	if (submissions == MAP_FAILED || completions == MAP_FAILED || requests == MAP_FAILED) return -1;
	requests[0] = request;
	*(uint32_t *)(submissions + params.sq_off.array) = 0;
	__atomic_store_n((uint32_t *)(submissions + params.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) return -1;
	int result = ((struct io_uring_cqe *)(completions + params.cq_off.cqes))->res;
	if (result >= 0) return result;
	errno = -result;
	return -1;
}

#define RING(...) return ring((struct io_uring_sqe){ __VA_ARGS__ })
#define AT(pointer) (uintptr_t)(pointer)
#define HERE .fd = AT_FDCWD, .addr = AT(path)
#define TO .len = AT_FDCWD, .addr2 = AT(other)
#define NAMED .addr = AT(XATTR), .addr2 = AT("value"), .len = 5

WAY(ring_openat) { RING(.opcode = IORING_OP_OPENAT, HERE, .len = 0644, .open_flags = O_WRONLY | O_CREAT); }
WAY(ring_write) { RING(.opcode = IORING_OP_WRITE, .fd = opened(path, O_WRONLY), .addr = AT("W"), .len = 1); }
WAY(ring_renameat) { RING(.opcode = IORING_OP_RENAMEAT, HERE, TO); }
WAY(ring_unlinkat) { RING(.opcode = IORING_OP_UNLINKAT, HERE); }
WAY(ring_setxattr) { RING(.opcode = IORING_OP_SETXATTR, NAMED, .addr3 = AT(path)); }
WAY(ring_fsetxattr) { RING(.opcode = IORING_OP_FSETXATTR, NAMED, .fd = opened(path, O_RDONLY)); }
WAY(ring_ftruncate) { RING(.opcode = FTRUNCATE, .fd = opened(path, O_WRONLY), .off = 1); }
WAY(ring_fallocate) { RING(.opcode = IORING_OP_FALLOCATE, .fd = opened(path, O_WRONLY), .addr = 10000); }
WAY(ring_mkdirat) { RING(.opcode = IORING_OP_MKDIRAT, HERE, .len = 0755); }
WAY(ring_linkat) { RING(.opcode = IORING_OP_LINKAT, HERE, TO); }
WAY(ring_symlinkat) { RING(.opcode = IORING_OP_SYMLINKAT, .fd = AT_FDCWD, .addr = AT("target"), .addr2 = AT(path)); }

static const struct { const char *name; Way *way; } WAYS[] = {
	{ "chmod", chmod_ }, { "fchmod", fchmod_ }, { "fchmodat", fchmodat_ },
	{ "fchmodat2", fchmodat2_ }, { "chown", chown_ }, { "lchown", lchown_ }, { "fchown", fchown_ },
	{ "fchownat", fchownat_ }, { "utimensat-path", utimensat_path },
	{ "utimensat-fd", utimensat_fd }, { "utimes", utimes_ }, { "touch-now", touch_now },
	{ "setxattr", setxattr_ }, { "lsetxattr", lsetxattr_ }, { "fsetxattr", fsetxattr_ },
	{ "setxattrat", setxattrat_ }, { "removexattr", removexattr_ },
	{ "lremovexattr", lremovexattr_ }, { "fremovexattr", fremovexattr_ },
	{ "removexattrat", removexattrat_ }, { "acl-access", acl_access },
	{ "acl-default", acl_default }, { "setcap-v2", setcap_v2 }, { "setcap-v3", setcap_v3 },
	{ "link", link_ }, { "linkat", linkat_ }, { "linkat-tmpfile", linkat_tmpfile },
	{ "unlink", unlink_ }, { "unlinkat", unlinkat_ }, { "rmdir", rmdir_ },
	{ "unlinkat-removedir", unlinkat_removedir }, { "rename", rename_ },
	{ "renameat2-noreplace", renameat2_noreplace }, { "exchange", exchange }, { "mkdir", mkdir_ },
	{ "mkdirat-dirfd", mkdirat_dirfd }, { "mknod-fifo", mknod_fifo },
	{ "mknodat-fifo", mknodat_fifo }, { "symlink", symlink_ }, { "symlinkat", symlinkat_ },
	{ "setflags+i", set_i }, { "setflags-i", clear_i }, { "setflags+a", set_a },
	{ "setflags-a", clear_a }, { "setflags+d", set_d }, { "setflags-d", clear_d },
	{ "setflags+A", set_A }, { "setflags-A", clear_A }, { "fssetxattr-nodump", fssetxattr_nodump },
	{ "fssetxattr-noatime", fssetxattr_noatime }, { "fssetxattr-project", fssetxattr_project },
	{ "file_setattr", file_setattr_ }, { "truncate", truncate_ }, { "ftruncate", ftruncate_ },
	{ "fallocate", fallocate_ }, { "write", write_ }, { "append", append }, { "pwrite", pwrite_ },
	{ "mmap-store", mmap_store }, { "copy_file_range", copy_file_range_ }, { "reflink", reflink },
	{ "open-create", open_create }, { "open-trunc", open_trunc },
	{ "open-rdonly-creat", open_rdonly_creat }, { "creat", creat_ }, { "openat2", openat2_ },
	{ "io_uring-openat", ring_openat }, { "io_uring-write", ring_write },
	{ "io_uring-renameat", ring_renameat }, { "io_uring-unlinkat", ring_unlinkat },
	{ "io_uring-setxattr", ring_setxattr }, { "io_uring-fsetxattr", ring_fsetxattr },
	{ "io_uring-ftruncate", ring_ftruncate }, { "io_uring-fallocate", ring_fallocate },
	{ "io_uring-mkdirat", ring_mkdirat }, { "io_uring-linkat", ring_linkat },
	{ "io_uring-symlinkat", ring_symlinkat },
};

// --- what is there ---

/** A file as one line of JSON, without its ctime, which every change changes. */
static void look(const char *path)
{
	struct stat status;
	char names[4096], bytes[4096];
	if (lstat(path, &status) < 0) {
		puts("null");
		return;
	}
	static const char *const TYPES[] = { [1] = "fifo", [4] = "directory", [8] = "file", [10] = "symlink" };
	printf("{\"type\":\"%s\",\"inode\":%ju", TYPES[status.st_mode >> 12], (uintmax_t)status.st_ino);
	printf(",\"mode\":\"%o\",\"uid\":%u,\"gid\":%u", status.st_mode & 07777, status.st_uid, status.st_gid);
	printf(",\"links\":%ju", (uintmax_t)status.st_nlink);
	printf(",\"atime\":%jd,\"mtime\":%jd", (intmax_t)status.st_atim.tv_sec, (intmax_t)status.st_mtim.tv_sec);
	if (S_ISLNK(status.st_mode)) {
		long length = readlink(path, bytes, sizeof bytes);
		printf(",\"target\":\"%.*s\"", (int)length, bytes);
	}
	int fd = S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) ? open(path, O_RDONLY | O_NOATIME) : -1;
	if (fd >= 0) {
		struct fsxattr attributes = { 0 };
		int flags = 0;
		ioctl(fd, FS_IOC_GETFLAGS, &flags);
		ioctl(fd, FS_IOC_FSGETXATTR, &attributes);
		printf(",\"flags\":\"%s%s", flags & FS_IMMUTABLE_FL ? "i" : "", flags & FS_APPEND_FL ? "a" : "");
		printf("%s%s\"", flags & FS_NODUMP_FL ? "d" : "", flags & FS_NOATIME_FL ? "A" : "");
		printf(",\"project\":%u", attributes.fsx_projid);
		if (S_ISREG(status.st_mode)) {
			long count = pread(fd, bytes, 8, 0);
			while (count > 0 && bytes[count - 1] == 0) count--;
			printf(",\"size\":%jd,\"content\":\"%.*s\"", (intmax_t)status.st_size, (int)count, bytes);
		}
	}
	printf(",\"xattrs\":{");
	long length = llistxattr(path, names, sizeof names);
	const char *comma = "";
	for (char *name = names; name < names + length; name += strlen(name) + 1) {
		// Of a security module; and as root sees them, xfs has its ACLs a second time.
		if (!strncmp(name, "security.", 9) && strcmp(name, "security.capability")) continue;
		if (!strncmp(name, "trusted.", 8)) continue;
		long count = lgetxattr(path, name, bytes, sizeof bytes);
		printf("%s\"%s\":\"", comma, name);
		for (long i = 0; i < count; i++) printf("%02x", (unsigned char)bytes[i]);
		printf("\"");
		comma = ",";
	}
	puts("}}");
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "look")) {
		for (int i = 2; i < argc; i++) look(argv[i]);
		return 0;
	}
	umask(0);
	for (size_t i = 0; argc > 2 && i < sizeof WAYS / sizeof *WAYS; i++) {
		if (strcmp(argv[1], WAYS[i].name)) continue;
		if (WAYS[i].way(argv[2], argc > 3 ? argv[3] : "") >= 0) {
			char end;
			// With one argument more it keeps open what it opened, until its input ends.
			return argc > 4 && read(0, &end, 1) < 0;
		}
		int error = errno;
		puts(strerrorname_np(error));
		return error == ENOSYS || error == EOPNOTSUPP || error == ENOTTY ? 3 : 1;
	}
	return 2;
}

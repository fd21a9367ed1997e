/* Mounts as mount(8) cannot: mount_calls fsmount DIR | burst DIR COUNT KEEP | events DIR COUNT */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* <linux/mount.h>, which some versions of <sys/mount.h> do not go with */
#define FSCONFIG_CMD_CREATE_ 6
#define MOVE_MOUNT_F_EMPTY_PATH_ 4

static int fail(const char *what) {
	perror(what);
	return 1;
}

/* A filesystem that is made first, and then put there. */
static int fsmount_at(const char *point) {
	int context = syscall(SYS_fsopen, "tmpfs", 0);
	if (context < 0) return fail("fsopen");
	if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE_, 0, 0, 0) < 0) return fail("fsconfig");
	int mount = syscall(SYS_fsmount, context, 0, 0);
	if (mount < 0) return fail("fsmount");
	if (syscall(SYS_move_mount, mount, "", -100, point, MOVE_MOUNT_F_EMPTY_PATH_) < 0) return fail("move_mount");
	return 0;
}

/* So many filesystems in memory, of which the last are left. */
static int burst(const char *directory, int count, int keep) {
	char path[4096];
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof path, "%s/%d", directory, i);
		mkdir(path, 0755);
		if (mount("sentinode-test", path, "tmpfs", 0, "size=4k") < 0) return fail(path);
	}
	for (int i = 0; i < count - keep; i++) {
		snprintf(path, sizeof path, "%s/%d", directory, i);
		if (umount(path) < 0) return fail(path);
	}
	return 0;
}

/* So many events, of one mount. */
static int events(const char *directory, int count) {
	for (int i = 0; i < count; i += 2) {
		if (mount(directory, directory, 0, MS_BIND, 0) < 0) return fail("bind");
		if (umount(directory) < 0) return fail("umount");
	}
	return 0;
}

int main(int argc, char **argv) {
	if (argc == 3 && !strcmp(argv[1], "fsmount")) return fsmount_at(argv[2]);
	if (argc == 5 && !strcmp(argv[1], "burst")) return burst(argv[2], atoi(argv[3]), atoi(argv[4]));
	if (argc == 4 && !strcmp(argv[1], "events")) return events(argv[2], atoi(argv[3]));
	return 2;
}

/*
 * Processes that use a file, each once, and tell what the kernel said, and when.
 *
 *     opener COUNT OPERATION PATH [OFFSET LENGTH]
 *
 * A line for each, as it ends: {"pid":12,"errno":"EPERM","ms":3}. Whoever waits for longer than LONGEST is killed, and
 * tells nothing.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LONGEST 30 /* s */

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

/* 0, or the errno of the call that failed. */
static int use(const char *operation, const char *path, off_t offset, size_t length)
{
	if (strcmp(operation, "exec") == 0) {
		/* The program's own process says by its status how it failed to begin. */
		pid_t child = fork();
		int status;
		if (child == 0) {
			execl(path, path, (char *)NULL);
			_exit(errno);
		}
		if (child < 0 || waitpid(child, &status, 0) < 0) return errno;
		return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
	}
	int writes = strcmp(operation, "write") == 0;
	int fd = open(path, writes ? O_WRONLY : O_RDONLY);
	if (fd < 0) return errno;
	if (strcmp(operation, "open") == 0) return 0;
	if (strcmp(operation, "map") == 0) {
		char *map = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, offset);
		if (map == MAP_FAILED) return errno;
		volatile char touched = map[0];
		(void)touched;
		return 0;
	}
	char *buffer = calloc(1, length);
	ssize_t count = writes ? pwrite(fd, buffer, length, offset) : pread(fd, buffer, length, offset);
	return count < 0 ? errno : 0;
}

int main(int argc, char **argv)
{
	if (argc < 4) return 2;
	int count = atoi(argv[1]);
	off_t offset = argc > 4 ? atoll(argv[4]) : 0;
	size_t length = argc > 5 ? atoll(argv[5]) : 1;
	for (int i = 0; i < count; i++) {
		pid_t child = fork();
		if (child < 0) return 1;
		if (child > 0) continue;
		alarm(LONGEST);
		double begin = now();
		int error = use(argv[2], argv[3], offset, length);
		dprintf(1, "{\"pid\":%d,\"errno\":\"%s\",\"ms\":%.0f}\n", getpid(), strerrorname_np(error), now() - begin);
		_exit(0);
	}
	while (wait(NULL) > 0) continue;
	return 0;
}

// Uses a file step by step, and tells after each step what came of it: use_file STEP…
//   open FILE, append FILE, create FILE, truncate FILE (open for writing), path FILE (O_PATH),
//   read, write, map, scribble (through a shared map), look (at the map), shorten FILE (truncate(2)), stat FILE, wait (for a line).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void tell(const char *step, int failed)
{
	printf("%s: %s\n", step, failed ? strerrorname_np(errno) : "ok");
	fflush(stdout);
}

static void show(const char *step, const char *bytes, long count)
{
	printf("%s: \"%.*s\"\n", step, (int)count, bytes);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int fd = -1;
	char *map = MAP_FAILED;
	char bytes[17] = "";
	for (int i = 1; i < argc; i++) {
		const char *step = argv[i];
		const char *file = i + 1 < argc ? argv[i + 1] : "";
		struct stat status;
		if (!strcmp(step, "read")) {
			long count = pread(fd, bytes, 16, 0);
			if (count < 0) tell(step, 1);
			else show(step, bytes, count);
			continue;
		}
		if (!strcmp(step, "write")) {
			tell(step, write(fd, "W", 1) < 0);
			continue;
		}
		if (!strcmp(step, "map") || !strcmp(step, "scribble")) {
			int scribbles = !strcmp(step, "scribble");
			map = mmap(0, 4096, scribbles ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
			if (scribbles && map != MAP_FAILED) map[0] = 'W';
			tell(step, map == MAP_FAILED);
			continue;
		}
		if (!strcmp(step, "look")) {
			show(step, map, strnlen(map, 16));
			continue;
		}
		if (!strcmp(step, "wait")) {
			tell(step, 0);
			if (!fgets(bytes, sizeof bytes, stdin)) return 1;
			continue;
		}
		i++;
		if (!strcmp(step, "stat")) tell(step, stat(file, &status));
		else if (!strcmp(step, "shorten")) tell(step, truncate(file, 1));
		else {
			int flags = !strcmp(step, "append")   ? O_RDWR | O_APPEND
				  : !strcmp(step, "create")   ? O_RDWR | O_CREAT
				  : !strcmp(step, "truncate") ? O_RDWR | O_TRUNC
				  : !strcmp(step, "path")     ? O_PATH
				  : O_RDONLY;
			if (fd >= 0) close(fd);
			fd = open(file, flags, 0600);
			tell(step, fd < 0);
		}
	}
	return 0;
}

/*
 * Changes files, so that their names tell who did: `churn DIR COUNT` makes PID-N in DIR, renames it to PID-N-moved and
 * removes that, COUNT times; `churn FILE COUNT MODE MODE` gives a file two modes in turn, COUNT times in all.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char name[4096], moved[4096];
	int count = argc > 2 ? atoi(argv[2]) : 0;
	for (int i = 0; i < count; i++) {
		if (argc == 5) {
			if (chmod(argv[1], strtol(argv[3 + i % 2], NULL, 8)) < 0) return 1;
			continue;
		}
		snprintf(name, sizeof name, "%s/%d-%d", argv[1], getpid(), i);
		snprintf(moved, sizeof moved, "%s-moved", name);
		int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
		if (fd < 0 || close(fd) < 0 || rename(name, moved) < 0 || unlink(moved) < 0) return 1;
	}
	return count > 0 ? 0 : 2;
}

/*
 * Fills an event queue: in DIRECTORY/0 … /99 creates FILES files, opens and closes each for writing, removes each; three
 * passes, so that the kernel merges nothing.
 *
 *   fill DIRECTORY FILES
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char path[4096];
	long files = argc == 3 ? atol(argv[2]) : 0;
	if (files <= 0 || chdir(argv[1]) < 0)
		return 1;
	for (int pass = 0; pass < 3; pass++) {
		for (long i = 0; i < files; i++) {
			snprintf(path, sizeof path, "%ld/file-%06ld", i % 100, i);
			int failed;
			if (pass == 0) {
				failed = mknod(path, S_IFREG | 0600, 0);
			} else if (pass == 1) {
				int fd = open(path, O_WRONLY | O_CLOEXEC);
				failed = fd < 0 || close(fd);
			} else {
				failed = unlink(path);
			}
			if (failed) {
				perror(path);
				return 1;
			}
		}
	}
	return 0;
}

/*
 * Does file operations as fast as they can be done. Works in the current directory; reads batches from standard input and
 * answers each with a line of a digit an operation: 1 where it was done.
 *
 * A batch is its number of operations and a newline, then for each a letter and two paths, each path ended by NUL. One of
 * none asks for the tree "in": a line of a letter and a path for each entry, d for directories, then an empty line.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST 4096
#define NAME 256

struct operation {
	char letter;
	char path[NAME];
	char to[NAME];
};

static struct operation operations[MOST];

static int put(const char *path, int flags)
{
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | flags, 0644);

	if (fd < 0)
		return -1;
	int count = write(fd, "text", 4);
	close(fd);
	return count == 4 ? 0 : -1;
}

static int make(const char *path)
{
	char at[NAME];
	int result = -1;

	for (size_t i = 1; i <= strlen(path); i++) {
		if (path[i] != '/' && path[i] != 0)
			continue;
		memcpy(at, path, i);
		at[i] = 0;
		result = mkdir(at, 0755);
	}
	return result;
}

static int drop(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status, (void)type, (void)place;
	remove(path);
	return 0; /* what another process has removed already is what was asked for */
}

static int drop_all(const char *path)
{
	return nftw(path, drop, 16, FTW_DEPTH | FTW_PHYS);
}

/* As editors save: a new file renamed over the old one. */
static int replace(const char *path)
{
	static unsigned count;
	char fresh[NAME + 8];
	const char *slash = strrchr(path, '/');

	snprintf(fresh, sizeof fresh, "%.*s/.t%u", (int)(slash - path), path, count++ % 3);
	if (put(fresh, O_CREAT | O_TRUNC) != 0)
		return -1;
	return rename(fresh, path);
}

static int perform(const struct operation *operation)
{
	const char *path = operation->path, *to = operation->to;

	switch (operation->letter) {
	case 'c':
		return put(path, O_CREAT | O_EXCL);
	case 'w':
		return put(path, O_CREAT | O_TRUNC);
	case 'a':
		return put(path, O_APPEND);
	case 'm':
		return chmod(path, 0755);
	case 'l':
		return link(path, to);
	case 's':
		return symlink("nowhere", path);
	case 'p':
		return make(path);
	case 'r':
		return rename(path, to);
	case 'o': /* out, to a place that is free */
		drop_all(to);
		return rename(path, to);
	case 'x':
		return renameat2(AT_FDCWD, path, AT_FDCWD, to, RENAME_EXCHANGE);
	case 'e':
		return replace(path);
	case 'u':
		return unlink(path);
	case 'd':
		return drop_all(path);
	case 'n': /* another directory of that name */
		if (drop_all(path) != 0)
			return -1;
		return make(path);
	default:
		return -1;
	}
}

static int list(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status;
	if (place->level > 0)
		printf("%c%s\n", type == FTW_D || type == FTW_DNR ? 'd' : '-', path);
	return 0;
}

static int take(char *field)
{
	int at = 0, c;

	while ((c = getchar()) > 0)
		if (at < NAME - 1)
			field[at++] = c;
	field[at] = 0;
	return c;
}

int main(void)
{
	int count;

	while (scanf("%d", &count) == 1 && count <= MOST) {
		getchar();
		for (int i = 0; i < count; i++) {
			operations[i].letter = getchar();
			if (take(operations[i].path) < 0 || take(operations[i].to) < 0)
				return 1;
		}
		for (int i = 0; i < count; i++)
			operations[i].letter = perform(&operations[i]) == 0 ? '1' : '0';
		for (int i = 0; i < count; i++)
			putchar(operations[i].letter);
		if (count == 0)
			nftw("in", list, 16, FTW_PHYS);
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}

/*
 * The least a consumer can do: read fanotify's queue and walk its records.
 *
 *   walk DIRECTORY   mark the filesystem, print "ready"; for each line on stdin drain, print events and seconds
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/fanotify.h>
#include <time.h>
#include <unistd.h>

#ifndef FAN_REPORT_TARGET_FID
#define FAN_REPORT_TARGET_FID 0x1000 /* Linux 5.17 */
#endif
#ifndef FAN_RENAME
#define FAN_RENAME 0x10000000 /* Linux 5.17 */
#endif
#define REPORT (FAN_REPORT_FID | FAN_REPORT_DIR_FID | FAN_REPORT_NAME | FAN_REPORT_TARGET_FID)

static char buffer[256 * 1024] __attribute__((aligned(8)));

int main(int argc, char **argv)
{
	int fd = fanotify_init(FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | REPORT, O_RDONLY);
	if (argc != 2 || fd < 0 ||
	    fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM,
			  FAN_CREATE | FAN_DELETE | FAN_RENAME | FAN_CLOSE_WRITE | FAN_ONDIR, AT_FDCWD, argv[1]) < 0) {
		perror("walk");
		return 1;
	}
	puts("ready");
	fflush(stdout);

	int go;
	while ((go = getchar()) != EOF) {
		if (go != '\n')
			continue;
		struct timespec start, end;
		long events = 0;
		unsigned long long mask = 0;
		clock_gettime(CLOCK_MONOTONIC, &start);
		for (;;) {
			ssize_t length = read(fd, buffer, sizeof buffer);
			if (length < 0 && errno == EINTR)
				continue;
			if (length <= 0)
				break;
			struct fanotify_event_metadata *event = (void *)buffer;
			for (; FAN_EVENT_OK(event, length); event = FAN_EVENT_NEXT(event, length)) {
				mask |= event->mask;
				events++;
			}
		}
		clock_gettime(CLOCK_MONOTONIC, &end);
		double seconds = (end.tv_sec - start.tv_sec) + (end.tv_nsec - start.tv_nsec) / 1e9;
		printf("%ld %.6f %llx\n", events, seconds, mask);
		fflush(stdout);
	}
	return 0;
}

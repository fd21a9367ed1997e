/* Opens argv[1] argv[2] times, and prints the median and the 99th percentile of how long that took, in µs. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int compare(const void *one, const void *other)
{
	double a = *(const double *)one, b = *(const double *)other;
	return (a > b) - (a < b);
}

int main(int argc, char **argv)
{
	int count = argc < 3 ? 0 : atoi(argv[2]);
	double *times = malloc(count * sizeof *times);
	if (count < 100 || times == NULL)
		return 1;
	for (int i = 0; i < count; i++) {
		struct timespec start, end;
		clock_gettime(CLOCK_MONOTONIC, &start);
		int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
		clock_gettime(CLOCK_MONOTONIC, &end);
		if (fd < 0) {
			perror(argv[1]);
			return 1;
		}
		close(fd);
		times[i] = (end.tv_sec - start.tv_sec) * 1e6 + (end.tv_nsec - start.tv_nsec) / 1e3;
	}
	qsort(times, count, sizeof *times, compare);
	printf("%.3f %.3f\n", times[count / 2], times[count / 100 * 99]);
	return 0;
}

/* Opens files for writing, many times: many_opens DIRECTORY PROCESSES COUNT [MICROSECONDS]. Each process has a file of
   its own, and pauses between them. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 4 || chdir(argv[1]) != 0) return 2;
  int processes = atoi(argv[2]), count = atoi(argv[3]), pause = argc > 4 ? atoi(argv[4]) : 0;
  struct timespec began, ended;
  clock_gettime(CLOCK_MONOTONIC, &began);
  for (int i = 0; i < processes; i++) {
    if (fork() != 0) continue;
    char name[32];
    snprintf(name, sizeof name, "file%d", i);
    for (int done = 0; done < count; done++) {
      int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
      if (fd < 0) _exit(1);
      close(fd);
      if (pause > 0) usleep(pause);
    }
    _exit(0);
  }
  int failed = 0, status;
  while (wait(&status) > 0) failed |= status;
  clock_gettime(CLOCK_MONOTONIC, &ended);
  double ns = (ended.tv_sec - began.tv_sec) * 1e9 + (ended.tv_nsec - began.tv_nsec);
  printf("%.0f ns an open\n", ns / ((double) processes * count));
  return failed != 0;
}

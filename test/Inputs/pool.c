/* Jobs from one thread, from two at a time, with pauses in which the workers
 * fall asleep, and in a forked child. */
#include "lib/Runtime/Parallel.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { most = 9 };
typedef struct {
  long counts[most];
} job;

static void count(void *frame, int64_t part) { ++((job *)frame)->counts[part]; }

/* 0 if every part of every job ran once. */
static long wrong_parts(int jobs, int pause) {
  long wrong = 0;
  for (int i = 0; i < jobs; ++i) {
    int parts = 1 + i % most;
    job j;
    memset(&j, 0, sizeof j);
    gradus_parallel(count, &j, parts);
    for (int p = 0; p < most; ++p)
      wrong += j.counts[p] != (p < parts);
    if (pause && i % 50 == 0)
      usleep(2000);
  }
  return wrong;
}
static void *another(void *wrong) {
  *(long *)wrong = wrong_parts(2000, 0);
  return NULL;
}

int main(int argc, char **argv) {
  long wrong = wrong_parts(2000, 1), theirs = 0;
  pthread_t thread;
  pthread_create(&thread, NULL, another, &theirs);
  wrong += wrong_parts(2000, 0);
  pthread_join(thread, NULL);
  wrong += theirs;
  if (argc > 1 && strcmp(argv[1], "fork") == 0) {
    int status = 1;
    pid_t child = fork();
    if (child == 0)
      _exit(wrong_parts(100, 0) != 0);
    waitpid(child, &status, 0);
    wrong += status != 0;
  }
  printf("%ld parts went wrong\n", wrong);
  return wrong != 0;
}

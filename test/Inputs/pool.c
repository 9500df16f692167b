/* Jobs from one thread, from two at a time, with pauses in which the workers
 * fall asleep, of many parts, and in a forked child; and one that no thread
 * ends by itself. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* CPU_SET */
#endif
#include "lib/Runtime/Parallel.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { most = 9, many = 700 };
typedef struct {
  long counts[most];
} job;

static void count(void *frame, int64_t part) { ++((long *)frame)[part]; }

/* 0 if every part of every job ran once. */
static long wrong_parts(int jobs, int pause) {
  long wrong = 0;
  for (int i = 0; i < jobs; ++i) {
    int parts = 1 + i % most;
    job j;
    memset(&j, 0, sizeof j);
    gradus_parallel(count, j.counts, parts);
    for (int p = 0; p < most; ++p)
      wrong += j.counts[p] != (p < parts);
    if (pause && i % 50 == 0)
      usleep(2000);
  }
  return wrong;
}
static long wrong_many(void) {
  long counts[many] = {0}, wrong = 0;
  gradus_parallel(count, counts, many);
  for (int p = 0; p < many; ++p)
    wrong += counts[p] != 1;
  return wrong;
}

/* Of two threads, the one that has part 1 waits for another to run part 3,
 * which would be its next. */
static _Atomic(int) ran, waited;
static void wait_for_last(void *frame, int64_t part) {
  (void)frame;
  if (part == 3)
    atomic_store(&ran, 1);
  if (part != 1)
    return;
  for (int i = 0; !atomic_load(&ran) && i < 3000; ++i)
    usleep(1000);
  atomic_store(&waited, !atomic_load(&ran));
}
static long waited_in_vain(void) {
  cpu_set_t all, two;
  sched_getaffinity(0, sizeof all, &all);
  CPU_ZERO(&two);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&two) < 2; ++cpu)
    if (CPU_ISSET(cpu, &all))
      CPU_SET(cpu, &two);
  if (CPU_COUNT(&two) < 2)
    return 0;
  sched_setaffinity(0, sizeof two, &two);
  gradus_parallel(wait_for_last, NULL, 4);
  return atomic_load(&waited);
}

static void *another(void *wrong) {
  *(long *)wrong = wrong_parts(2000, 0);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "wait") == 0) {
    printf("%ld parts went wrong\n", waited_in_vain());
    return 0;
  }
  long wrong = wrong_parts(2000, 1) + wrong_many(), theirs = 0;
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

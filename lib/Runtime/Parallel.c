/*===- Parallel.c - the pool of threads under compiled models -------------===*/
/*
 * Workers wait for a number to change: a short while by looking, then asleep on
 * a futex, so that a model that is not running costs nothing. One job runs at a
 * time; of n threads with the caller, thread w runs the parts w, w + n, ..., so
 * that it finds in its cache what it wrote in the job before. The caller then
 * runs those that no thread has begun: a worker whose processor is busy with
 * something else is not waited for.
 *
 * A part is claimed by writing the job's number where the part's last job is.
 * A worker that comes late to a job finds all its parts claimed, and touches
 * nothing of the next: the number it would claim them with is an old one.
 *
 * Compiled to LLVM bitcode too, which the compiler links into artefacts that
 * use threads; every symbol but the one entry is local.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* CPU_COUNT */
#endif
#include "Parallel.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
  most_threads = 256,
  /* Parts p, p + most_claims, .. are claimed as one. */
  most_claims = 256,
  count_bits = 16,
  /* About a tenth of a millisecond of looking: longer than the serial pieces
   * between two parallel ones, far shorter than anyone notices. */
  looks = 4000,
};

static struct {
  pthread_mutex_t busy;
  _Atomic(int) threads; /* with the caller */
  int64_t most_parts;   /* that threads were started for */
  _Atomic(uint32_t) job;
  _Atomic(uint32_t) left; /* claims of the job that are not done */
  _Atomic(uint32_t) sleepers;
  void (*body)(void *frame, int64_t part);
  void *frame;
  int64_t parts;
  /* The job's number, of which `job` has the lower bits, and, in the lowest
   * count_bits, how many claims it has. */
  _Atomic(uint64_t) claims;
  _Atomic(uint64_t) claimed[most_claims]; /* by which job last */
  uint32_t first_job[most_threads]; /* the last one before a worker started */
} pool = {.busy = PTHREAD_MUTEX_INITIALIZER, .threads = 1, .most_parts = 1};

static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

/* Denormal numbers are zero in compiled code, on every thread. */
static void flush_denormals(void) {
#if defined(__SSE__)
  __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);
#endif
}

static void futex(_Atomic(uint32_t) *word, int op, uint32_t value) {
  syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* Returns once *word is no longer `value`. */
static void wait_while(_Atomic(uint32_t) *word, uint32_t value) {
  for (int i = 0; i < looks; ++i) {
    if (atomic_load_explicit(word, memory_order_acquire) != value)
      return;
    pause_briefly();
  }
  atomic_fetch_add(&pool.sleepers, 1);
  while (atomic_load(word) == value)
    futex(word, FUTEX_WAIT, value);
  atomic_fetch_sub(&pool.sleepers, 1);
}
static void wake(_Atomic(uint32_t) *word) {
  if (atomic_load(&pool.sleepers))
    futex(word, FUTEX_WAKE, INT32_MAX);
}

/* Runs those of the claims first, first + step, .. that are free. What is read
 * of the job is the job's: as long as a claim of it is free, it is not over. */
static void run_claims(uint64_t claims, int64_t first, int64_t step) {
  uint64_t job = claims >> count_bits;
  int64_t count = (int64_t)(claims - (job << count_bits));
  for (int64_t c = first; c < count; c += step) {
    uint64_t last = atomic_load(&pool.claimed[c]);
    if (last >= job ||
        !atomic_compare_exchange_strong(&pool.claimed[c], &last, job))
      continue;
    for (int64_t p = c; p < pool.parts; p += count)
      pool.body(pool.frame, p);
    if (atomic_fetch_sub(&pool.left, 1) == 1)
      wake(&pool.left);
  }
}

static void *worker(void *number) {
  int thread = (int)(intptr_t)number;
  uint32_t seen = pool.first_job[thread];
  flush_denormals();
  for (;;) {
    wait_while(&pool.job, seen);
    uint64_t claims = atomic_load(&pool.claims);
    seen = (uint32_t)(claims >> count_bits);
    run_claims(claims, thread, pool.threads);
  }
  return NULL;
}

/* A forked child has none of the threads. */
static void forget_threads(void) {
  pool.threads = 1;
  pool.most_parts = 1;
  atomic_store(&pool.sleepers, 0);
  pthread_mutex_init(&pool.busy, NULL);
}

static int usable_processors(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0)
    return 1;
  return CPU_COUNT(&set);
}

/* Starts what threads are missing. Fewer than wanted are no error. */
static void start_threads(int64_t parts) {
  static int forks_handled;
  if (parts <= pool.most_parts)
    return;
  pool.most_parts = parts;
  if (!forks_handled) {
    pthread_atfork(NULL, NULL, forget_threads);
    forks_handled = 1;
  }
  int64_t wanted = usable_processors();
  wanted = wanted < parts ? wanted : parts;
  wanted = wanted < most_threads ? wanted : most_threads;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  while (pool.threads < wanted) {
    pthread_t thread;
    pool.first_job[pool.threads] = atomic_load(&pool.job);
    if (pthread_create(&thread, &attributes, worker,
                       (void *)(intptr_t)pool.threads) != 0)
      break;
    ++pool.threads;
  }
  pthread_attr_destroy(&attributes);
}

void gradus_parallel(void (*body)(void *frame, int64_t part), void *frame,
                     int64_t parts) {
  if (parts > 1 && pthread_mutex_trylock(&pool.busy) == 0) {
    start_threads(parts);
    pool.body = body;
    pool.frame = frame;
    pool.parts = parts;
    uint32_t count = (uint32_t)(parts < most_claims ? parts : most_claims);
    uint64_t job = (atomic_load(&pool.claims) >> count_bits) + 1;
    uint64_t claims = job << count_bits | count;
    atomic_store(&pool.left, count);
    atomic_store(&pool.claims, claims);
    atomic_store(&pool.job, (uint32_t)job);
    wake(&pool.job);
    run_claims(claims, 0, pool.threads);
    run_claims(claims, 0, 1);
    for (uint32_t left; (left = atomic_load(&pool.left)) != 0;)
      wait_while(&pool.left, left);
    pthread_mutex_unlock(&pool.busy);
    return;
  }
  for (int64_t p = 0; p < parts; ++p)
    body(frame, p);
}

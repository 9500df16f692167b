/* Calls code for any batch up to 64: for each size the arrays end where memory
 * ends, and the rows are those of a full batch. */
#define _GNU_SOURCE
#include "model.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef ON_GPU
#define ALLOCATE(bytes) mlp_allocate(bytes)
#else
#define ALLOCATE(bytes) aligned_alloc(64, bytes)
#endif

enum { most = 64, features = 784, classes = 10 };
static char *page_end;

/* Floats whose last one is the last of a page that none follows. */
static float *guarded(size_t count) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t bytes = count * sizeof(float), size = (bytes + page - 1) / page * page;
  char *p = mmap(NULL, size + page, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED || mprotect(p + size, page, PROT_NONE))
    exit(2);
  page_end = p + size;
  return (float *)(p + size - bytes);
}

int main(void) {
  void *variables = ALLOCATE(MLP_VARIABLES_BYTES),
       *arena = ALLOCATE(MLP_ARENA_BYTES + 64);
  int64_t seed = 1;
  mlp_init(variables, &seed, arena);
  float *x = guarded(most * features), *y = guarded(most * classes);
  for (int i = 0; i < most * features; ++i)
    x[i] = (float)(i * 7919 % 1000) / 1000;
  if (mlp_logits(variables, x, y, most, arena))
    return 3;
  for (int64_t n = 1; n <= most; ++n) {
    float *some = guarded((size_t)n * features),
          *got = guarded((size_t)n * classes);
    memcpy(some, x, (size_t)n * features * sizeof(float));
#ifndef ON_GPU
    memset(arena, 0x7f,
           MLP_ARENA_BYTES); /* what lies past the batch is no number */
#endif
    if (mlp_logits(variables, some, got, n, arena))
      return 3;
    for (int i = 0; i < n * classes; ++i)
      if (!(fabsf(got[i] - y[i]) <= 1e-4f * (1 + fabsf(y[i])))) {
        printf("batch %d: %g, not %g\n", (int)n, got[i], y[i]);
        return 1;
      }
  }
  printf("%d sizes agree; none at all: %s; too many: %s; fewer than none: %s\n",
         most, mlp_logits(variables, NULL, NULL, 0, arena) ? "refused" : "fine",
         mlp_logits(variables, x, y, most + 1, arena),
         mlp_logits(variables, x, y, -1, arena));
  return 0;
}

/*===- Recordings.h - launches that are replayed ----------------*- C -*-===*/

#ifndef GRADUS_RUNTIME_RECORDINGS_H
#define GRADUS_RUNTIME_RECORDINGS_H

#include "Dependencies.h"
#include <stdbool.h>
#include <string.h>

/* That of an entry function, for arguments of these values. */
struct recording {
  void **args;
  int32_t count;
  bool seen, running;
  struct steps steps; /* while it is running */
  CUgraphExec graph;
};
/* By the entry function's slot. */
struct recordings {
  struct recording *all;
  int32_t count;
};

static struct recording *recording_of(struct recordings *r, int32_t slot) {
  if (slot >= r->count) {
    struct recording *more = realloc(r->all, (size_t)(slot + 1) * sizeof *more);
    if (!more)
      return NULL;
    memset(more + r->count, 0, (size_t)(slot + 1 - r->count) * sizeof *more);
    r->all = more;
    r->count = slot + 1;
  }
  return &r->all[slot];
}

static bool same_args(const struct recording *r, void **args, int32_t count) {
  if (!r->seen || r->count != count)
    return false;
  for (int32_t i = 0; i < count; ++i)
    if (r->args[i] != *(void **)args[i])
      return false;
  return true;
}

static void forget_recordings(struct recordings *r) {
  for (int32_t i = 0; i < r->count; ++i) {
    if (r->all[i].graph)
      driver.graph_exec_destroy(r->all[i].graph);
    forget_steps(&r->all[i].steps);
    free(r->all[i].args);
  }
  free(r->all);
}

#endif /* GRADUS_RUNTIME_RECORDINGS_H */

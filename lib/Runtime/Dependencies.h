/*===- Dependencies.h - which launches wait for which -----------*- C -*-===*/

#ifndef GRADUS_RUNTIME_DEPENDENCIES_H
#define GRADUS_RUNTIME_DEPENDENCIES_H

#include "OpenDriver.h"
#include <stdbool.h>
#include <string.h>

/* A stream's recording is a chain: each launch waits for the one before. Here
 * it is made to wait for those alone that touch the same memory, one of the two
 * to write it: what does not depend on each other runs together. */

struct touched {
  uintptr_t begin, end;
  bool is_written;
};
/* What the steps of a recording touch, one behind the other. */
struct steps {
  struct touched *touched;
  size_t touched_count, touched_room;
  size_t *first; /* of a step, in `touched`; one more than there are steps */
  size_t count, room;
  bool incomplete; /* there was no memory to note one */
};

static void forget_steps(struct steps *s) {
  free(s->touched);
  free(s->first);
  memset(s, 0, sizeof *s);
}

static void begin_step(struct steps *s) {
  if (s->count + 2 > s->room) {
    size_t room = 2 * s->room + 64;
    size_t *more = realloc(s->first, room * sizeof *more);
    if (!more) {
      s->incomplete = true;
      return;
    }
    s->first = more;
    s->room = room;
  }
  s->first[s->count++] = s->touched_count;
  s->first[s->count] = s->touched_count;
}

static void touch(struct steps *s, const void *memory, size_t bytes,
                  bool is_written) {
  if (s->incomplete || bytes == 0)
    return;
  if (s->touched_count == s->touched_room) {
    size_t room = 2 * s->touched_room + 256;
    struct touched *more = realloc(s->touched, room * sizeof *more);
    if (!more) {
      s->incomplete = true;
      return;
    }
    s->touched = more;
    s->touched_room = room;
  }
  uintptr_t begin = (uintptr_t)memory;
  s->touched[s->touched_count++] =
      (struct touched){begin, begin + bytes, is_written};
  s->first[s->count] = s->touched_count;
}

static bool must_wait(const struct steps *s, size_t later, size_t earlier) {
  for (size_t i = s->first[later]; i < s->first[later + 1]; ++i)
    for (size_t j = s->first[earlier]; j < s->first[earlier + 1]; ++j) {
      const struct touched *a = &s->touched[i], *b = &s->touched[j];
      if ((a->is_written || b->is_written) && a->begin < b->end &&
          b->begin < a->end)
        return true;
    }
  return false;
}

/* The nodes of a chain in order; false if the graph is none. */
static bool chain_of(CUgraph graph, size_t count, CUgraphNode *nodes,
                     CUgraphNode *from, CUgraphNode *to) {
  size_t node_count = count, edge_count = count - 1;
  if (driver.graph_nodes(graph, nodes, &node_count) != 0 ||
      node_count != count ||
      driver.graph_edges(graph, NULL, NULL, &edge_count) != 0 ||
      edge_count != count - 1 ||
      driver.graph_edges(graph, from, to, &edge_count) != 0)
    return false;
  CUgraphNode at = NULL;
  for (size_t i = 0; i < count && !at; ++i) {
    bool is_first = true;
    for (size_t e = 0; e < edge_count; ++e)
      is_first &= to[e] != nodes[i];
    if (is_first)
      at = nodes[i];
  }
  for (size_t i = 0; i < count; ++i) {
    if (!at)
      return false;
    nodes[i] = at;
    at = NULL;
    for (size_t e = 0; e < edge_count; ++e)
      if (from[e] == nodes[i])
        at = at ? NULL : to[e];
  }
  return true;
}

struct edges {
  CUgraphNode *from, *to;
  size_t count, room;
};
static bool add_edge(struct edges *e, CUgraphNode from, CUgraphNode to) {
  if (e->count == e->room) {
    size_t room = 2 * e->room + 256;
    CUgraphNode *more_from = realloc(e->from, room * sizeof *more_from);
    if (more_from)
      e->from = more_from;
    CUgraphNode *more_to = realloc(e->to, room * sizeof *more_to);
    if (more_to)
      e->to = more_to;
    if (!more_from || !more_to)
      return false;
    e->room = room;
  }
  e->from[e->count] = from;
  e->to[e->count++] = to;
  return true;
}

/* Which edges the chain lacks, and which it has for nothing. `behind`: which
 * earlier steps each step waits for, as bits, `words` for each step. */
static bool compare_with_chain(const struct steps *s, CUgraphNode *nodes,
                               uint64_t *behind, size_t words,
                               struct edges *missing, struct edges *needless) {
  for (size_t later = 1; later < s->count; ++later) {
    uint64_t *own = behind + later * words;
    for (size_t earlier = later; earlier-- > 0;) {
      bool follows = earlier + 1 == later,
           waits = !(own[earlier / 64] >> earlier % 64 & 1) &&
                   must_wait(s, later, earlier);
      if (follows && !waits &&
          !add_edge(needless, nodes[earlier], nodes[later]))
        return false;
      if (!waits)
        continue;
      if (!follows && !add_edge(missing, nodes[earlier], nodes[later]))
        return false;
      own[earlier / 64] |= (uint64_t)1 << earlier % 64;
      for (size_t w = 0; w < words; ++w)
        own[w] |= behind[earlier * words + w];
    }
  }
  return true;
}

/* Each step is compared with all before it: of more, the chain stays. */
static const size_t most_steps = 8192;

/* Adds what must wait before it takes anything away: the graph is right at any
 * time, also if a call fails. */
static void loosen_chain(CUgraph graph, const struct steps *s) {
  size_t count = s->count, words = count / 64 + 1;
  if (getenv("GRADUS_GPU_CHAIN") || s->incomplete || count < 2 ||
      count > most_steps || !driver.graph_nodes || !driver.graph_edges ||
      !driver.add_dependencies || !driver.remove_dependencies)
    return;
  CUgraphNode *nodes = calloc(3 * count, sizeof *nodes);
  uint64_t *behind = calloc(count * words, sizeof *behind);
  struct edges missing = {0}, needless = {0};
  if (nodes && behind &&
      chain_of(graph, count, nodes, nodes + count, nodes + 2 * count) &&
      compare_with_chain(s, nodes, behind, words, &missing, &needless) &&
      (missing.count == 0 ||
       driver.add_dependencies(graph, missing.from, missing.to,
                               missing.count) == 0) &&
      needless.count != 0)
    driver.remove_dependencies(graph, needless.from, needless.to,
                               needless.count);
  free(missing.from);
  free(missing.to);
  free(needless.from);
  free(needless.to);
  free(nodes);
  free(behind);
}

#endif /* GRADUS_RUNTIME_DEPENDENCIES_H */

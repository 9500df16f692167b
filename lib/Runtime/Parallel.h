/*===- Parallel.h - the pool of threads under compiled models ---*- C -*-===*/

#ifndef GRADUS_RUNTIME_PARALLEL_H
#define GRADUS_RUNTIME_PARALLEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Runs body(frame, part) for every part in [0, parts) and returns when all are
 * done. Which thread runs a part never changes what the part computes. The
 * first call starts the threads: as many as there are parts or processors that
 * the process may use, whichever is less. Calls from several threads at a time
 * are safe; a call that finds the pool busy runs its parts itself. */
void gradus_parallel(void (*body)(void *frame, int64_t part), void *frame,
                     int64_t parts);

#ifdef __cplusplus
}
#endif

#endif /* GRADUS_RUNTIME_PARALLEL_H */

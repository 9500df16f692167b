/*===- Tiles.h - leave to use the processor's tile registers ----*- C -*-===*/

#ifndef GRADUS_RUNTIME_TILES_H
#define GRADUS_RUNTIME_TILES_H

#ifdef __cplusplus
extern "C" {
#endif

/* Linux keeps the state of AMX's tiles, 8 KiB a thread, only for processes that
 * ask for it. Asks, once, for all threads; 1 if the tiles may be used, 0 if the
 * processor has none or the system refuses. */
int gradus_allow_tiles(void);

/* Asks, and ends the process with a message where the answer is no. */
void gradus_need_tiles(void);

#ifdef __cplusplus
}
#endif

#endif /* GRADUS_RUNTIME_TILES_H */

/*===- Tiles.c - leave to use the processor's tile registers --------------===*/

#include "Tiles.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int gradus_allow_tiles(void) {
  enum { request_permission = 0x1023, tile_data = 18 };
  static int allowed;
  if (!__atomic_load_n(&allowed, __ATOMIC_RELAXED) &&
      syscall(SYS_arch_prctl, request_permission, tile_data) == 0)
    __atomic_store_n(&allowed, 1, __ATOMIC_RELAXED);
  return __atomic_load_n(&allowed, __ATOMIC_RELAXED);
}

void gradus_need_tiles(void) {
  if (gradus_allow_tiles())
    return;
  fputs("error: this model was compiled for a processor with tile registers "
        "(AMX); this one has none, or the system does not let the process use "
        "them; compile it with -march=native here\n",
        stderr);
  abort();
}

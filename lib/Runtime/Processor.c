/*===- Processor.c - what compiled code needs of a processor --------------===*/

#include "Processor.h"
#include <stdio.h>
#include <stdlib.h>
#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
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

/* Of which registers the system keeps the state (XCR0). */
static uint32_t kept_state(void) {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0, high = 0;
  const uint32_t system_says = 1U << 27;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & system_says))
    return 0;
  __asm__ volatile("xgetbv" : "=a"(eax), "=d"(high) : "c"(0));
  return eax;
}

static int has(const struct gradus_feature *f) {
  uint32_t regs[4] = {0, 0, 0, 0};
  return __get_cpuid_count(f->leaf, f->subleaf, &regs[0], &regs[1], &regs[2],
                           &regs[3]) &&
         (regs[f->reg] >> f->bit & 1) &&
         (f->state == 0 || (kept_state() & f->state) == f->state);
}

void gradus_need_processor(uint64_t features) {
  static uint64_t seen;
  if ((features & ~__atomic_load_n(&seen, __ATOMIC_RELAXED)) == 0)
    return;
  const char *lacks = NULL;
  for (int i = 0; i < gradus_feature_count && !lacks; ++i)
    if (features >> i & 1 && !has(&gradus_features[i]))
      lacks = gradus_features[i].name;
  if (!lacks && features >> gradus_tiles & 1 && !gradus_allow_tiles())
    lacks = "amx-tile";
  if (!lacks) {
    __atomic_fetch_or(&seen, features, __ATOMIC_RELAXED);
    return;
  }
  fprintf(stderr,
          "error: this model was compiled for a processor with %s; this one "
          "has none, or the system does not let the process use it; compile it "
          "with -march=native here\n",
          lacks);
  abort();
}
#else
int gradus_allow_tiles(void) { return 0; }
#endif

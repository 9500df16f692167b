/*===- Processor.h - what compiled code needs of a processor ----*- C -*-===*/

#ifndef GRADUS_RUNTIME_PROCESSOR_H
#define GRADUS_RUNTIME_PROCESSOR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A feature by LLVM's name for it, and where the processor says that it has it
 * (Intel, Software Developer's Manual, vol. 2, CPUID): a leaf and subleaf, one
 * of the registers eax, ebx, ecx, edx, a bit. The system must keep the state
 * of its registers: bits of XCR0. */
struct gradus_feature {
  const char *name;
  uint8_t leaf, subleaf, reg, bit, state;
};

/* Features are numbered as they stand here, and a set of them is a mask. */
static const struct gradus_feature gradus_features[] = {
    {"sse4.2", 1, 0, 2, 20, 0},
    {"avx", 1, 0, 2, 28, 0x06},
    {"fma", 1, 0, 2, 12, 0x06},
    {"avx2", 7, 0, 1, 5, 0x06},
    {"avx512f", 7, 0, 1, 16, 0xe6},
    {"avx512dq", 7, 0, 1, 17, 0xe6},
    {"avx512bw", 7, 0, 1, 30, 0xe6},
    {"avx512vl", 7, 0, 1, 31, 0xe6},
    {"avx512vbmi", 7, 0, 2, 1, 0xe6},
    {"avx512vnni", 7, 0, 2, 11, 0xe6},
    {"avx512bf16", 7, 1, 0, 5, 0xe6},
    {"avx512fp16", 7, 0, 3, 23, 0xe6},
    {"avx512bitalg", 7, 0, 2, 12, 0xe6},
    {"popcnt", 1, 0, 2, 23, 0},
    {"f16c", 1, 0, 2, 29, 0x06},
    {"bmi", 7, 0, 1, 3, 0},
    {"bmi2", 7, 0, 1, 8, 0},
    {"gfni", 7, 0, 2, 8, 0},
    {"avxvnni", 7, 1, 0, 4, 0x06},
};
enum {
  gradus_feature_count = sizeof gradus_features / sizeof *gradus_features,
  gradus_tiles = 63 /* the number of AMX, which must be asked for */
};

/* Linux keeps the state of AMX's tiles, 8 KiB a thread, only for processes that
 * ask for it. Asks, once, for all threads; 1 if the tiles may be used, 0 if the
 * processor has none or the system refuses. */
int gradus_allow_tiles(void);

/* Ends the process with a message unless the processor has all of these
 * features, and the process may use them. */
void gradus_need_processor(uint64_t features);

#ifdef __cplusplus
}
#endif

#endif /* GRADUS_RUNTIME_PROCESSOR_H */

/*===- Gpu.h - the GPU under compiled models --------------------*- C -*-===*
 *
 * The driver's library is opened when a model first needs it, so that objects
 * with GPU code link and load anywhere. GRADUS_CUDA_DRIVER names another
 * library than libcuda.so.1.
 *
 * Functions that return text return NULL, or what went wrong, to be read until
 * the model is used again. A model may be used from one thread at a time.
 *===-------------------------------------------------------------------===*/

#ifndef GRADUS_RUNTIME_GPU_H
#define GRADUS_RUNTIME_GPU_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the compiler lays down for a model; `state` is the runtime's. */
struct gradus_gpu {
  const char *ptx;
  const void *cubin; /* or NULL: the kernels assembled.. */
  int64_t cubin_for; /* ..for devices of this architecture, 10 major + minor */
  const char *const *kernel_names;
  int64_t kernels;
  int64_t has_host; /* is there code of the functions for the CPU too? */
  struct gradus_gpu_state *state;
};

/* Chooses the GPU of this number, and loads the model's kernels; -1: the CPU.
 */
const char *gradus_gpu_user_device(struct gradus_gpu *model, int32_t device);
/* Memory of the device; NULL if there is not that much. */
void *gradus_gpu_user_allocate(struct gradus_gpu *model, int64_t bytes);
/* The same, which the host may read and write between calls. */
void *gradus_gpu_user_allocate_shared(struct gradus_gpu *model, int64_t bytes);
void gradus_gpu_user_release(struct gradus_gpu *model, void *memory);
/* Copies between host and device, either way, and waits for it. */
const char *gradus_gpu_user_copy(struct gradus_gpu *model, void *to,
                                 const void *from, int64_t bytes);

/* Does the CPU run the model? */
int32_t gradus_gpu_on_host(const struct gradus_gpu *model);

/* Around an entry function. Uses GPU 0 if none was chosen; waits at the end. */
const char *gradus_gpu_begin(struct gradus_gpu *model);
const char *gradus_gpu_end(struct gradus_gpu *model);

/* Within. The first error is kept for the end, and nothing runs after it.
 * `resident`: if not 0, blocks, in clusters of so many, go on with what others
 * would have done, and no more are launched than run at the same time.
 * `touched`: the number of arguments; for each the bytes that the kernel may
 * touch behind its place in `memory`, negative if it may write there. */
void gradus_gpu_launch(struct gradus_gpu *model, int64_t kernel, int32_t grid_x,
                       int32_t grid_y, int32_t grid_z, int32_t threads,
                       int32_t shared_bytes, int32_t resident, void **args,
                       const int64_t *touched, void **memory);
/* A map of a tensor of which kernels copy boxes, 128 bytes at `map`. `tensor`:
 * the bytes of an element; those that it begins after `memory`; the rank; the
 * sizes, the axis along memory first; the bytes from one index to the next,
 * from the second axis on; the box. */
void gradus_gpu_tensor_map(struct gradus_gpu *model, void *map, void *memory,
                           const int64_t *tensor);
void gradus_gpu_copy(struct gradus_gpu *model, void *to, const void *from,
                     int64_t bytes);
/* Where an input is on the device: there already, or copied to `staging`; and
 * where an output is to be made, to be copied afterwards. */
void *gradus_gpu_bring(struct gradus_gpu *model, const void *input,
                       void *staging, int64_t bytes);
void *gradus_gpu_place(struct gradus_gpu *model, void *output, void *staging,
                       int64_t bytes);
/* Waits for a value that the host decides by; zeros after an error. */
void gradus_gpu_read(struct gradus_gpu *model, void *to, const void *from,
                     int64_t bytes);
/* A constant of the host's, on the device. */
void *gradus_gpu_constant(struct gradus_gpu *model, const void *host,
                          int64_t bytes);

/* A function whose launches depend on nothing but its arguments is recorded the
 * second time that it runs with the same ones, and replayed from then on.
 * Returns whether it was replayed. */
int32_t gradus_gpu_replay(struct gradus_gpu *model, int32_t slot, void **args,
                          int32_t count);
void gradus_gpu_recorded(struct gradus_gpu *model, int32_t slot);

#ifdef __cplusplus
}
#endif

#endif /* GRADUS_RUNTIME_GPU_H */

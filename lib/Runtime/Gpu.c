/*===- Gpu.c - the GPU under compiled models ------------------------------===*/

#define _GNU_SOURCE
#include "Gpu.h"
#include "OpenDriver.h"
#include "Recordings.h"
#include <stdbool.h>
#include <string.h>

/*===-- A model's state
 * ----------------------------------------------------===*/

struct constant {
  const void *host;
  CUdeviceptr device;
};
struct kernel {
  CUfunction function;
  int32_t at_once; /* blocks that run at the same time, once that was asked */
};
struct gradus_gpu_state {
  CUcontext context;
  CUmodule module;
  CUstream stream;
  struct kernel *kernels;
  int multiprocessors;
  struct constant *constants;
  size_t constant_count;
  struct recordings recordings;
  struct steps *noted; /* those of what is being recorded, or NULL */
  bool on_host;        /* and none of the above is used */
  bool failed;
  char message[1024];
};

/* Keeps the first error. */
static bool succeeded(struct gradus_gpu_state *s, CUresult result,
                      const char *doing, const char *what) {
  if (result == 0)
    return true;
  if (!s->failed)
    snprintf(s->message, sizeof s->message, "%s%s failed: %s", doing, what,
             driver_says(result));
  s->failed = true;
  return false;
}

static const char *load_kernels(struct gradus_gpu *model,
                                struct gradus_gpu_state *s) {
  for (int64_t k = 0; k < model->kernels; ++k)
    if (!succeeded(s,
                   driver.module_function(&s->kernels[k].function, s->module,
                                          model->kernel_names[k]),
                   "loading kernel ", model->kernel_names[k]))
      return s->message;
  return NULL;
}

static const char *load_model(struct gradus_gpu *model,
                              struct gradus_gpu_state *s, int32_t number) {
  int count = 0;
  driver.device_count(&count);
  if (number < 0 || number >= count) {
    snprintf(early_message, sizeof early_message,
             "there is no GPU %d; this machine has %d", number, count);
    return early_message;
  }
  CUdevice device;
  int major = 0, minor = 0;
  if (!succeeded(s, driver.device_get(&device, number), "opening the GPU",
                 "") ||
      !succeeded(s, driver.context_retain(&s->context, device),
                 "opening the GPU", "") ||
      !succeeded(s, driver.context_set(s->context), "opening the GPU", "") ||
      !succeeded(s, driver.stream_create(&s->stream, stream_non_blocking),
                 "opening the GPU", ""))
    return s->message;
  driver.device_attribute(&major, attribute_major, device);
  driver.device_attribute(&minor, attribute_minor, device);
  driver.device_attribute(&s->multiprocessors, attribute_multiprocessors,
                          device);
  /* Later devices of the same generation take it too. */
  int architecture = 10 * major + minor;
  if (model->cubin && architecture / 10 == model->cubin_for / 10 &&
      architecture >= model->cubin_for &&
      driver.module_load(&s->module, model->cubin, 0, NULL, NULL) == 0)
    return load_kernels(model, s);
  char log[512] = "";
  int options[] = {jit_error_buffer, jit_error_bytes};
  void *values[] = {log, (void *)sizeof log};
  CUresult result =
      driver.module_load(&s->module, model->ptx, 2, options, values);
  if (result != 0) {
    const char *target = strstr(model->ptx, ".target ");
    snprintf(
        s->message, sizeof s->message,
        "GPU %d (sm_%d%d) does not take the kernels, made for %.*s: %s%s%s",
        number, major, minor, target ? (int)strcspn(target + 8, ", \n") : 0,
        target ? target + 8 : "", driver_says(result), *log ? "; " : "", log);
    return s->message;
  }
  return load_kernels(model, s);
}

static void close_model(struct gradus_gpu *model) {
  struct gradus_gpu_state *s = model->state;
  if (!s)
    return;
  model->state = NULL;
  if (s->on_host) {
    free(s);
    return;
  }
  driver.context_set(s->context);
  if (s->stream)
    driver.stream_wait(s->stream);
  forget_recordings(&s->recordings);
  for (size_t i = 0; i < s->constant_count; ++i)
    driver.release(s->constants[i].device);
  if (s->module)
    driver.module_unload(s->module);
  free(s->constants);
  free(s->kernels);
  free(s);
}

int32_t gradus_gpu_on_host(const struct gradus_gpu *model) {
  return model->state && model->state->on_host;
}

static const char *choose_host(struct gradus_gpu *model) {
  if (!model->has_host)
    return "the model has no code for the CPU; compile it with --fallback=cpu";
  struct gradus_gpu_state *s = calloc(1, sizeof *s);
  if (!s)
    return "there is not enough memory";
  close_model(model);
  s->on_host = true;
  model->state = s;
  return NULL;
}

const char *gradus_gpu_user_device(struct gradus_gpu *model, int32_t device) {
  if (device == -1)
    return choose_host(model);
  const char *problem = open_driver();
  if (problem)
    return problem;
  close_model(model);
  struct gradus_gpu_state *s = calloc(1, sizeof *s);
  if (s)
    s->kernels = calloc((size_t)model->kernels + 1, sizeof *s->kernels);
  if (!s || !s->kernels) {
    free(s);
    return "there is not enough memory";
  }
  model->state = s;
  problem = load_model(model, s, device);
  if (problem) {
    if (problem != early_message)
      snprintf(early_message, sizeof early_message, "%s", problem);
    close_model(model);
    return early_message;
  }
  return NULL;
}

static const char *ready(struct gradus_gpu *model) {
  if (!model->state)
    return gradus_gpu_user_device(model, 0);
  if (model->state->on_host)
    return NULL;
  driver.context_set(model->state->context);
  return NULL;
}

/*===-- What users call
 * ----------------------------------------------------===*/

static void *allocate_host(int64_t bytes) {
  const size_t line = 64;
  size_t whole = ((size_t)bytes + line) / line * line;
  return bytes < 0 ? NULL : aligned_alloc(line, whole);
}

void *gradus_gpu_user_allocate(struct gradus_gpu *model, int64_t bytes) {
  CUdeviceptr memory = 0;
  if (gradus_gpu_on_host(model))
    return allocate_host(bytes);
  if (bytes < 0 || ready(model) ||
      driver.allocate(&memory, bytes > 0 ? (size_t)bytes : 1) != 0)
    return NULL;
  return (void *)memory;
}
void *gradus_gpu_user_allocate_shared(struct gradus_gpu *model, int64_t bytes) {
  CUdeviceptr memory = 0;
  if (gradus_gpu_on_host(model))
    return allocate_host(bytes);
  if (bytes < 0 || ready(model) ||
      driver.allocate_managed(&memory, bytes > 0 ? (size_t)bytes : 1,
                              attach_global) != 0)
    return NULL;
  return (void *)memory;
}
void gradus_gpu_user_release(struct gradus_gpu *model, void *memory) {
  if (gradus_gpu_on_host(model)) {
    free(memory);
    return;
  }
  if (memory && model->state) {
    driver.context_set(model->state->context);
    driver.release((CUdeviceptr)memory);
  }
}
const char *gradus_gpu_user_copy(struct gradus_gpu *model, void *to,
                                 const void *from, int64_t bytes) {
  if (gradus_gpu_on_host(model)) {
    memmove(to, from, (size_t)bytes);
    return NULL;
  }
  const char *problem = gradus_gpu_begin(model);
  if (problem)
    return problem;
  gradus_gpu_copy(model, to, from, bytes);
  return gradus_gpu_end(model);
}

/*===-- What compiled code calls
 * -------------------------------------------===*/

const char *gradus_gpu_begin(struct gradus_gpu *model) {
  const char *problem = ready(model);
  if (!problem)
    model->state->failed = false;
  return problem;
}
const char *gradus_gpu_end(struct gradus_gpu *model) {
  struct gradus_gpu_state *s = model->state;
  succeeded(s, driver.stream_wait(s->stream), "running on the GPU", "");
  return s->failed ? s->message : NULL;
}

/* Of a grid along x, in whole clusters. */
static unsigned most_at_once(struct gradus_gpu_state *s, struct kernel *k,
                             int32_t grid, int32_t threads,
                             int32_t shared_bytes, int32_t cluster) {
  if (k->at_once == 0) {
    int each = 1;
    driver.occupancy(&each, k->function, threads, (size_t)shared_bytes);
    k->at_once = (each > 1 ? each : 1) * s->multiprocessors;
  }
  int32_t most = k->at_once / cluster * cluster;
  return (unsigned)(most < cluster ? cluster : most < grid ? most : grid);
}

void gradus_gpu_launch(struct gradus_gpu *model, int64_t kernel, int32_t grid_x,
                       int32_t grid_y, int32_t grid_z, int32_t threads,
                       int32_t shared_bytes, int32_t resident, void **args,
                       const int64_t *touched, void **memory) {
  struct gradus_gpu_state *s = model->state;
  struct kernel *k = &s->kernels[kernel];
  const char *name = model->kernel_names[kernel];
  if (s->failed)
    return;
  if (shared_bytes > unasked_shared_bytes &&
      !succeeded(
          s, driver.set_attribute(k->function, attribute_shared, shared_bytes),
          "asking for the shared memory of kernel ", name))
    return;
  if (s->noted) {
    begin_step(s->noted);
    for (int64_t i = 0, count = *touched++; i < count; ++i)
      touch(s->noted, memory[i],
            (size_t)(touched[i] < 0 ? -touched[i] : touched[i]),
            touched[i] < 0);
  }
  unsigned blocks = (unsigned)grid_x;
  if (resident != 0)
    blocks = most_at_once(s, k, grid_x, threads, shared_bytes, resident);
  succeeded(s,
            driver.launch(k->function, blocks, (unsigned)grid_y,
                          (unsigned)grid_z, (unsigned)threads, 1, 1,
                          (unsigned)shared_bytes, s->stream, args, NULL),
            "launching kernel ", name);
}

void gradus_gpu_tensor_map(struct gradus_gpu *model, void *map, void *memory,
                           const int64_t *tensor) {
  struct gradus_gpu_state *s = model->state;
  int64_t element = *tensor++, offset = *tensor++, rank = *tensor++;
  if (s->failed)
    return;
  if (!driver.tensor_map) {
    snprintf(s->message, sizeof s->message,
             "the NVIDIA driver is too old for kernels of sm_90a: it has no "
             "cuTensorMapEncodeTiled, which came with CUDA 12");
    s->failed = true;
    return;
  }
  uint64_t sizes[most_dimensions], strides[most_dimensions];
  uint32_t box[most_dimensions], element_steps[most_dimensions];
  for (int64_t d = 0; d < rank; ++d) {
    sizes[d] = (uint64_t)*tensor++;
    element_steps[d] = 1;
  }
  for (int64_t d = 0; d + 1 < rank; ++d)
    strides[d] = (uint64_t)*tensor++;
  for (int64_t d = 0; d < rank; ++d)
    box[d] = (uint32_t)*tensor++;
  succeeded(s,
            driver.tensor_map(map, element == 2 ? tensor_16_bits : tensor_f32,
                              (uint32_t)rank, (char *)memory + offset, sizes,
                              strides, box, element_steps, 0, swizzle_128,
                              promotion_256, 0),
            "describing a tensor to the GPU", "");
}

void gradus_gpu_copy(struct gradus_gpu *model, void *to, const void *from,
                     int64_t bytes) {
  struct gradus_gpu_state *s = model->state;
  if (s->failed || to == from)
    return;
  if (s->noted) {
    begin_step(s->noted);
    touch(s->noted, to, (size_t)bytes, true);
    touch(s->noted, from, (size_t)bytes, false);
  }
  succeeded(
      s,
      driver.copy((CUdeviceptr)to, (CUdeviceptr)from, (size_t)bytes, s->stream),
      "copying between host and GPU", "");
}

/* On the device, and where kernels may read 16 bytes at a time. */
static bool on_device(const void *p) {
  unsigned type = 0;
  if ((uintptr_t)p % 16 != 0)
    return false;
  return driver.pointer_attribute(&type, pointer_memory_type, (CUdeviceptr)p) ==
             0 &&
         type == memory_type_device;
}
void *gradus_gpu_bring(struct gradus_gpu *model, const void *input,
                       void *staging, int64_t bytes) {
  if (on_device(input))
    return (void *)input;
  gradus_gpu_copy(model, staging, input, bytes);
  return staging;
}
void *gradus_gpu_place(struct gradus_gpu *model, void *output, void *staging,
                       int64_t bytes) {
  (void)model;
  (void)bytes;
  return on_device(output) ? output : staging;
}

void gradus_gpu_read(struct gradus_gpu *model, void *to, const void *from,
                     int64_t bytes) {
  struct gradus_gpu_state *s = model->state;
  memset(to, 0, (size_t)bytes);
  gradus_gpu_copy(model, to, from, bytes);
  if (!s->failed)
    succeeded(s, driver.stream_wait(s->stream), "running on the GPU", "");
}

void *gradus_gpu_constant(struct gradus_gpu *model, const void *host,
                          int64_t bytes) {
  struct gradus_gpu_state *s = model->state;
  for (size_t i = 0; i < s->constant_count; ++i)
    if (s->constants[i].host == host)
      return (void *)s->constants[i].device;
  struct constant *more =
      realloc(s->constants, (s->constant_count + 1) * sizeof *more);
  CUdeviceptr device = 0;
  if (more)
    s->constants = more;
  if (!more || driver.allocate(&device, bytes > 0 ? (size_t)bytes : 1) != 0) {
    if (!s->failed)
      snprintf(s->message, sizeof s->message,
               "the GPU has no memory for a constant of %lld bytes",
               (long long)bytes);
    s->failed = true;
    return NULL;
  }
  s->constants[s->constant_count++] = (struct constant){host, device};
  gradus_gpu_copy(model, (void *)device, host, bytes);
  return (void *)device;
}

int32_t gradus_gpu_replay(struct gradus_gpu *model, int32_t slot, void **args,
                          int32_t count) {
  struct gradus_gpu_state *s = model->state;
  struct recording *r = recording_of(&s->recordings, slot);
  if (!r || s->failed)
    return false;
  if (!same_args(r, args, count)) {
    if (r->graph)
      driver.graph_exec_destroy(r->graph);
    free(r->args);
    memset(r, 0, sizeof *r);
    r->args = malloc((size_t)count * sizeof *r->args + 1);
    if (!r->args)
      return false;
    for (int32_t i = 0; i < count; ++i)
      r->args[i] = *(void **)args[i];
    r->count = count;
    r->seen = true;
    return false;
  }
  if (r->graph) {
    succeeded(s, driver.graph_launch(r->graph, s->stream), "running on the GPU",
              "");
    return true;
  }
  r->running = driver.capture_begin(s->stream, capture_thread_local) == 0;
  s->noted = r->running ? &r->steps : NULL;
  return false;
}

void gradus_gpu_recorded(struct gradus_gpu *model, int32_t slot) {
  struct gradus_gpu_state *s = model->state;
  struct recording *r = recording_of(&s->recordings, slot);
  if (!r || !r->running)
    return;
  r->running = false;
  s->noted = NULL;
  CUgraph graph = NULL;
  if (succeeded(s, driver.capture_end(s->stream, &graph),
                "recording on the GPU", ""))
    loosen_chain(graph, &r->steps);
  forget_steps(&r->steps);
  if (s->failed)
    return;
  if (succeeded(s, driver.graph_instantiate(&r->graph, graph, 0),
                "recording on the GPU", ""))
    succeeded(s, driver.graph_launch(r->graph, s->stream), "running on the GPU",
              "");
  driver.graph_destroy(graph);
}

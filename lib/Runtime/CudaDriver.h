/*===- CudaDriver.h - what the runtime uses of the driver -------*- C -*-===*/

#ifndef GRADUS_RUNTIME_CUDADRIVER_H
#define GRADUS_RUNTIME_CUDADRIVER_H

#include <stddef.h>
#include <stdint.h>

/* Of cuda.h, which artefacts are made without. */
typedef int CUresult;
typedef int CUdevice;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;
typedef struct CUgraphNode_st *CUgraphNode;
typedef uint64_t CUdeviceptr;
enum {
  attribute_multiprocessors = 16,
  attribute_major = 75, /* CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR */
  attribute_minor = 76,
  jit_error_buffer = 5, /* CU_JIT_ERROR_LOG_BUFFER */
  jit_error_bytes = 6,
  stream_non_blocking = 1,
  capture_thread_local = 1,
  attach_global = 1,
  pointer_memory_type = 2, /* CU_POINTER_ATTRIBUTE_MEMORY_TYPE */
  memory_type_device = 2,
  attribute_shared = 8, /* CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES */
  unasked_shared_bytes = 48 * 1024, /* of a block */
};

/* Of CUDA 12, for kernels that copy boxes of tensors: cuTensorMapEncodeTiled.
 */
typedef CUresult (*tensor_map_function)(
    void *map, int type, uint32_t rank, void *memory, const uint64_t *sizes,
    const uint64_t *strides, const uint32_t *box, const uint32_t *element_steps,
    int interleave, int swizzle, int promotion, int fill);
enum {
  tensor_16_bits = 1, /* CU_TENSOR_MAP_DATA_TYPE_UINT16 */
  tensor_f32 = 7,     /* CU_TENSOR_MAP_DATA_TYPE_FLOAT32 */
  swizzle_128 = 3,    /* CU_TENSOR_MAP_SWIZZLE_128B */
  promotion_256 = 3,  /* CU_TENSOR_MAP_L2_PROMOTION_L2_256B */
  most_dimensions = 5,
};

/* X(name, symbol, parameters): without these, recordings are chains. */
#define OPTIONAL_DRIVER_FUNCTIONS(X)                                           \
  X(graph_nodes, "cuGraphGetNodes", (CUgraph, CUgraphNode *, size_t *))        \
  X(graph_edges, "cuGraphGetEdges",                                            \
    (CUgraph, CUgraphNode *, CUgraphNode *, size_t *))                         \
  X(add_dependencies, "cuGraphAddDependencies",                                \
    (CUgraph, const CUgraphNode *, const CUgraphNode *, size_t))               \
  X(remove_dependencies, "cuGraphRemoveDependencies",                          \
    (CUgraph, const CUgraphNode *, const CUgraphNode *, size_t))

/* X(name, symbol, parameters) */
#define DRIVER_FUNCTIONS(X)                                                    \
  X(init, "cuInit", (unsigned))                                                \
  X(version, "cuDriverGetVersion", (int *))                                    \
  X(device_count, "cuDeviceGetCount", (int *))                                 \
  X(device_get, "cuDeviceGet", (CUdevice *, int))                              \
  X(device_attribute, "cuDeviceGetAttribute", (int *, int, CUdevice))          \
  X(context_retain, "cuDevicePrimaryCtxRetain", (CUcontext *, CUdevice))       \
  X(context_set, "cuCtxSetCurrent", (CUcontext))                               \
  X(module_load, "cuModuleLoadDataEx",                                         \
    (CUmodule *, const void *, unsigned, int *, void **))                      \
  X(module_unload, "cuModuleUnload", (CUmodule))                               \
  X(module_function, "cuModuleGetFunction",                                    \
    (CUfunction *, CUmodule, const char *))                                    \
  X(set_attribute, "cuFuncSetAttribute", (CUfunction, int, int))               \
  X(occupancy, "cuOccupancyMaxActiveBlocksPerMultiprocessor",                  \
    (int *, CUfunction, int, size_t))                                          \
  X(launch, "cuLaunchKernel",                                                  \
    (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,   \
     unsigned, CUstream, void **, void **))                                    \
  X(allocate, "cuMemAlloc_v2", (CUdeviceptr *, size_t))                        \
  X(allocate_managed, "cuMemAllocManaged", (CUdeviceptr *, size_t, unsigned))  \
  X(release, "cuMemFree_v2", (CUdeviceptr))                                    \
  X(copy, "cuMemcpyAsync", (CUdeviceptr, CUdeviceptr, size_t, CUstream))       \
  X(pointer_attribute, "cuPointerGetAttribute", (void *, int, CUdeviceptr))    \
  X(stream_create, "cuStreamCreate", (CUstream *, unsigned))                   \
  X(stream_wait, "cuStreamSynchronize", (CUstream))                            \
  X(capture_begin, "cuStreamBeginCapture_v2", (CUstream, int))                 \
  X(capture_end, "cuStreamEndCapture", (CUstream, CUgraph *))                  \
  X(graph_instantiate, "cuGraphInstantiateWithFlags",                          \
    (CUgraphExec *, CUgraph, unsigned long long))                              \
  X(graph_launch, "cuGraphLaunch", (CUgraphExec, CUstream))                    \
  X(graph_destroy, "cuGraphDestroy", (CUgraph))                                \
  X(graph_exec_destroy, "cuGraphExecDestroy", (CUgraphExec))                   \
  X(error_text, "cuGetErrorString", (CUresult, const char **))

#endif /* GRADUS_RUNTIME_CUDADRIVER_H */

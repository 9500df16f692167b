//===- Touches.h - what of memory a kernel reads and writes -----*- C++ -*-===//

#ifndef GRADUS_GPU_TOUCHES_H
#define GRADUS_GPU_TOUCHES_H

#include "gradus/LLVM.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace gradus::gpu {

/// For each parameter the bytes behind it that the kernel may touch, negative
/// if it may write there; 0 if it is no pointer. `hostArgs`: what the host
/// passes.
SmallVector<int64_t> touchedBytes(mlir::gpu::GPUFuncOp kernel,
                                  ValueRange hostArgs);

} // namespace gradus::gpu

#endif // GRADUS_GPU_TOUCHES_H

//===- EmitNest.h - a nest of loops as a kernel -----------------*- C++ -*-===//

#ifndef GRADUS_GPU_EMITNEST_H
#define GRADUS_GPU_EMITNEST_H

#include "Kernel.h"

namespace gradus::gpu {

/// Adds a kernel for an op of the host's code that touches buffers by itself (a
/// nest of loops, a store), and its launch at `host`. Loops whose iterations
/// touch nothing in common run side by side; the others in order, in each
/// thread.
void emitNest(OpBuilder &host, mlir::gpu::GPUModuleOp kernels, Operation *op);

} // namespace gradus::gpu

#endif // GRADUS_GPU_EMITNEST_H

//===- EmitNest.h - a nest of loops as a kernel -----------------*- C++ -*-===//

#ifndef GRADUS_GPU_EMITNEST_H
#define GRADUS_GPU_EMITNEST_H

#include "Kernel.h"

namespace gradus::gpu {

/// Copies what a nest of the host's code does in a step into a kernel.
class StepCloner {
public:
  explicit StepCloner(Kernel &k) : k(&k) {}

  /// What a value of the host's code is in the kernel: said before, or to be
  /// had there.
  Value here(Value v);
  void map(Value host, Value inKernel) { known.map(host, inKernel); }
  /// A load, a store, or arithmetic.
  void clone(Operation *op);

private:
  SmallVector<Value> indices(ValueRange host);

  Kernel *k;
  mlir::IRMapping known;
};

/// Adds a kernel for an op of the host's code that touches buffers by itself (a
/// nest of loops, a store), and its launch at `host`. Loops whose iterations
/// touch nothing in common run side by side; the others in order, in each
/// thread.
void emitNest(OpBuilder &host, mlir::gpu::GPUModuleOp kernels, Operation *op);

} // namespace gradus::gpu

#endif // GRADUS_GPU_EMITNEST_H

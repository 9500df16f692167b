//===- EmitScatter.h - sums at looked-up places as a kernel -----*- C++ -*-===//

#ifndef GRADUS_GPU_EMITSCATTER_H
#define GRADUS_GPU_EMITSCATTER_H

#include "EmitNest.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace gradus::gpu {

/// Loops of which each step adds to one element of a buffer: some, the columns,
/// are axes of the buffer; where the others, the items, add to is computed.
struct Scatter {
  SmallVector<mlir::scf::ForOp> columns, items;
  SmallVector<int64_t> columnSizes, itemSizes; ///< at most
  mlir::memref::LoadOp old;
  mlir::memref::StoreOp store;
  /// What leads to the places that do not stand in columns.
  llvm::SmallPtrSet<Operation *, 8> ofPlace;

  static std::optional<Scatter> match(Operation *op);
};

/// Adds a kernel in which all items that add to a place are added, in order, by
/// the threads of the first one; and its launch at `host`.
void emitScatter(OpBuilder &host, mlir::gpu::GPUModuleOp kernels,
                 Scatter scatter);

} // namespace gradus::gpu

#endif // GRADUS_GPU_EMITSCATTER_H

//===- Quads.h - neighbouring sums of tensor cores --------------*- C++ -*-===//

#ifndef GRADUS_GPU_QUADS_H
#define GRADUS_GPU_QUADS_H

#include "Kernel.h"

namespace gradus::gpu {

/// What a lane has of a row of f32 sums that four lanes, a quad, have together:
/// of each eight columns in turn a pair of neighbours, the first lane the first
/// pair. `row`: behind the one of the warp's first quad.
struct QuadSums {
  int64_t row;
  SmallVector<mlir::ValueRange> pairs;
};

/// Calls visit(row, column, sums) for all sums, with rows counted from the
/// warp's first. Lanes exchange pairs, and visit four neighbours at a time, if
/// so many can be `stored` together. For all lanes of a warp.
void visitQuads(
    Kernel &k, ArrayRef<QuadSums> rows, int64_t stored,
    function_ref<void(Value row, Value column, mlir::ValueRange sums)> visit);

} // namespace gradus::gpu

#endif // GRADUS_GPU_QUADS_H

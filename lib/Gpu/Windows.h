//===- Windows.h - sums of windows that overlap -----------------*- C++ -*-===//

#ifndef GRADUS_GPU_WINDOWS_H
#define GRADUS_GPU_WINDOWS_H

#include "gradus/LLVM.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace gradus::gpu {

/// An axis of a result at which windows are put back: a place along it is
/// step * position + rest, so that the position follows from the place and
/// the loops in `rest`.
struct Window {
  unsigned axis;
  unsigned position; ///< a loop
  int64_t step;
  mlir::AffineExpr rest; ///< of other loops
};

/// The axes of the op's only result where its loops do not name a place but add
/// up to it; empty if the result is reached in another way than by loops that
/// stand by themselves and such sums.
SmallVector<Window> windowsOf(mlir::linalg::LinalgOp op);

/// Does each step of the loops touch an element of the result that no other
/// does? Such are windows that do not overlap.
bool touchesOnce(mlir::linalg::LinalgOp op);
/// The same of one of its results.
bool touchesOnce(mlir::linalg::LinalgOp op, mlir::OpOperand &init);

} // namespace gradus::gpu

#endif // GRADUS_GPU_WINDOWS_H

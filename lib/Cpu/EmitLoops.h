//===- EmitLoops.h - one linalg op on buffers as loops ----------*- C++ -*-===//

#ifndef GRADUS_CPU_EMITLOOPS_H
#define GRADUS_CPU_EMITLOOPS_H

#include "gradus/LLVM.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace gradus {

/// A loop of an op as the emitter is to run it: at one index that is given, or
/// from `low` to `high`, counted from `origin` (null: from 0).
struct LoopRange {
  Value at;
  mlir::OpFoldResult low, high;
  Value origin;
  int64_t unit = 1; ///< that the length is a multiple of
};

/// The ranges of all loops of an op, whole; to the size that a call says where
/// that is not known.
SmallVector<LoopRange> wholeRanges(OpBuilder &b, mlir::linalg::LinalgOp op);

/// Where a box is along an axis that has `size` elements.
struct AxisRange {
  int64_t low, count, size;
  bool isWhole() const { return count == size; }
  bool operator==(const AxisRange &) const = default;
};

/// What a buffer would hold that is never written: an image between zeros. Its
/// element at i is the image's at i - low, or zero if there is none.
struct Window {
  Value image;
  SmallVector<int64_t> low; ///< of each axis
  SmallVector<bool> isCut;  ///< axes with zeros on a side
};

/// Small buffers that stand for large ones. `local` holds one row, or a block
/// of rows, at a time: the leading `rows` indices are dropped, and in the loops
/// that are left of those over rows counted from their origins. `tile` holds
/// the ranges that the loops run over, from their origins; it has no axes for
/// indices that are given.
struct LocalBuffers {
  unsigned rows = 0;
  llvm::DenseMap<Value, Value> local;
  llvm::DenseMap<Value, Value> tile;
  /// What the sums of results start from, where nothing is there yet.
  llvm::DenseMap<Value, mlir::TypedAttr> starts;
  llvm::DenseMap<Value, Window> windows; ///< by the buffer never written
};

/// Emits zeros for the ranges of a buffer's axes; for all of it if there are
/// none.
void emitZeros(ImplicitLocOpBuilder &b, Value buffer,
               ArrayRef<LoopRange> ranges, unsigned vectorBits);

/// Emits the op's loops at the insertion point: along vectors of `vectorBits`
/// where one loop is contiguous in what the op reads and writes, the sums of a
/// reduction in registers. The op itself stays.
void emitLoops(ImplicitLocOpBuilder &b, mlir::linalg::LinalgOp op,
               ArrayRef<LoopRange> ranges, const LocalBuffers &buffers,
               unsigned vectorBits);

} // namespace gradus

#endif // GRADUS_CPU_EMITLOOPS_H

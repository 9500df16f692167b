//===- RowGroup.h - ops that run row by row together ------------*- C++ -*-===//

#ifndef GRADUS_LOWERING_ROWGROUP_H
#define GRADUS_LOWERING_ROWGROUP_H

#include "gradus/LLVM.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace gradus {

/// A number that no group of the block has yet.
int64_t nextGroup(Block &body);

/// The op's loops over its group's rows; none if it is in no such group.
ArrayRef<int64_t> rowLoopsOf(Operation *op);

/// Is the last of the loops over the rows of blocks one along which the op adds
/// up?
bool sumsRowsOfBlocks(Operation *op);

/// Are the operand's first indices those loops of its op, in their order?
bool startsWithLoops(mlir::OpOperand &operand, ArrayRef<unsigned> loops);

/// The ops of a group on buffers, and the loops of each over the rows.
struct RowGroup {
  SmallVector<mlir::linalg::LinalgOp> ops;
  llvm::DenseMap<Operation *, SmallVector<unsigned>> loops;
  SmallVector<int64_t> sizes;
  int64_t block = 1; ///< rows at a time, along the last of those loops

  /// The group that a kernel's ops are, if they still stand together.
  static std::optional<RowGroup> find(ArrayRef<mlir::linalg::LinalgOp> work);

  bool contains(Operation *op) const { return loops.contains(op); }
  /// Does the member add up the rows of all blocks? It comes after those that
  /// hand it something, for no member reads its result.
  bool sumsRows(Operation *op) const;
  /// Which axes of a member's result have the row's indices; of what adds up
  /// rows, those along which it does not.
  SmallVector<unsigned> axesOfRows(mlir::OpOperand &init) const;
  /// Is the buffer a temporary that only members touch, each at its own row?
  bool owns(Value buffer) const;
  /// Does any member write to the buffer that this one is, or is a view of?
  bool writes(Value buffer) const;

private:
  bool add(mlir::linalg::LinalgOp op);
  void addFill(mlir::linalg::LinalgOp fill, mlir::OpOperand &init);
  bool atItsRow(mlir::OpOperand &use) const;
};

} // namespace gradus

#endif // GRADUS_LOWERING_ROWGROUP_H

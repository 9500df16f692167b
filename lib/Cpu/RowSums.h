//===- RowSums.h - what a group adds up over its rows -----------*- C++ -*-===//
//
// Members that sum over the rows of blocks add to their results block after
// block: the gradients of keys and values, of all queries. The results of one
// index of the other row axes are summed together; where they do not lie so,
// they are in a buffer of their own until all blocks are done.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_CPU_ROWSUMS_H
#define GRADUS_CPU_ROWSUMS_H

#include "KernelWork.h"

namespace gradus {

class RowSums {
public:
  RowSums(const KernelWork &work, const RowGroup &group);

  ArrayRef<mlir::linalg::LinalgOp> members() const { return sums; }
  bool empty() const { return sums.empty(); }
  /// Is the op one of them, or a fill that one starts from?
  bool handles(Operation *op) const;

  /// Makes the buffers of their own, and enters them among the local ones.
  void allocate(ImplicitLocOpBuilder &b, LocalBuffers &buffers);
  /// Before the first block and after the last one. `at`: the indices of the
  /// other row axes.
  void start(ImplicitLocOpBuilder &b, ArrayRef<Value> at);
  void finish(ImplicitLocOpBuilder &b, ArrayRef<Value> at);

private:
  const KernelWork &work;
  const RowGroup &group;
  SmallVector<mlir::linalg::LinalgOp> sums;
  llvm::DenseMap<Operation *, Operation *> fills; ///< by the sum
  llvm::DenseMap<Operation *, Value> own;         ///< buffers, by the sum
};

} // namespace gradus

#endif // GRADUS_CPU_ROWSUMS_H

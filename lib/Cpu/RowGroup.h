//===- RowGroup.h - ops that run row by row together ------------*- C++ -*-===//

#ifndef GRADUS_CPU_ROWGROUP_H
#define GRADUS_CPU_ROWGROUP_H

#include "Contraction.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace gradus {

/// The ops of a group, and the loops of each over the rows.
struct RowGroup {
  SmallVector<mlir::linalg::LinalgOp> ops;
  llvm::DenseMap<Operation *, SmallVector<unsigned>> loops;
  SmallVector<int64_t> sizes;

  bool add(mlir::linalg::LinalgOp op) {
    auto rows =
        op->getAttrOfType<mlir::DenseI64ArrayAttr>(lowering::rowLoopsAttr);
    if (!rows)
      return false;
    auto ranges = op.getStaticLoopRanges();
    SmallVector<int64_t> own;
    for (int64_t d : rows.asArrayRef())
      own.push_back(ranges[d]);
    if (!ops.empty() && own != sizes)
      return false;
    sizes = own;
    loops[op] = SmallVector<unsigned>(rows.asArrayRef());
    ops.push_back(op);
    return true;
  }
  /// A fill that a member starts from runs row by row as well.
  void addFill(mlir::linalg::LinalgOp fill, mlir::linalg::LinalgOp member,
               mlir::OpOperand &init) {
    auto map = member.getMatchingIndexingMap(&init);
    SmallVector<unsigned> own;
    for (unsigned d : loops[member])
      own.push_back(
          *map.getResultPosition(mlir::getAffineDimExpr(d, map.getContext())));
    loops[fill] = own;
    ops.insert(ops.end() - 1, fill);
  }
  bool contains(Operation *op) const { return loops.contains(op); }
  /// The op's loops over the rows, at indices that are not known yet.
  RowPlace place(Operation *op) const {
    RowPlace place;
    for (unsigned d : loops.find(op)->second)
      place.loops.push_back({d, Value()});
    return place;
  }
};

} // namespace gradus

#endif // GRADUS_CPU_ROWGROUP_H

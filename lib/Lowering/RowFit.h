//===- RowFit.h - whether ops may be computed row by row --------*- C++ -*-===//

#ifndef GRADUS_LOWERING_ROWFIT_H
#define GRADUS_LOWERING_ROWFIT_H

#include "gradus/Lowering.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/SetVector.h"

namespace gradus {

inline constexpr unsigned mostRowAxes = 3;
/// Loops of an op by the axis of the row that they run over.
using RowLoops = SmallVector<unsigned, mostRowAxes>;

/// Ops on tensors that may become members of a group.
struct RowCandidates {
  llvm::SetVector<Operation *> members;
  llvm::DenseMap<Operation *, RowLoops> loops;
  SmallVector<int64_t> sizes; ///< of the row axes that all members share
  /// Products that add up the rows of blocks, each row as soon as it is there.
  llvm::SetVector<Operation *> sums;

  int64_t rows(unsigned axes) const {
    int64_t n = 1;
    for (int64_t s : ArrayRef(sizes).take_front(axes))
      n *= s;
    return n;
  }
  /// Does a member read the value?
  bool handsOn(Value v) const;
  /// Does nothing but members and sums read it?
  bool keeps(Value v) const;
};

/// What a group computes at a time: an index of each of the first axes, of the
/// last of them a block.
struct Rows {
  unsigned axes;
  int64_t block = 1;
};

/// What groups are to gain, and what of the machine they may take.
class RowFit {
public:
  RowFit(int64_t rowBytes, bool products, bool manyRows = false)
      : rowBytes(rowBytes), products(products), manyRows(manyRows) {}

  /// The least number of row axes with which the group works, if there is one;
  /// the greatest where many rows are wanted. While it grows, all users of a
  /// result may still join it.
  std::optional<Rows> of(const RowCandidates &group);
  /// Can a product add up the rows of the group's blocks, as they come?
  bool canSum(const RowCandidates &group, mlir::linalg::GenericOp sum,
              ArrayRef<unsigned> rowLoops);
  /// Where they did not, blocks may gain nothing: then its products are to be
  /// in no blocks from now on, and the answer is true.
  bool reject(const RowCandidates &group);

private:
  bool worksWith(const RowCandidates &group, unsigned axes) {
    return group.rows(axes) > 1 && fits(group, {axes});
  }
  static bool areMany(const RowCandidates &group, unsigned axes);
  bool gainsFromBlocks(const RowCandidates &group, unsigned axes,
                       bool isComplete);
  bool fits(const RowCandidates &group, Rows rows);
  bool knowsRow(mlir::linalg::GenericOp op, ArrayRef<unsigned> rowLoops,
                int64_t block);

  int64_t rowBytes; ///< what a row's intermediates may take
  bool products;    ///< may be members
  bool manyRows;    ///< each is the work of many threads
  LengthAnalysis lengths;
  llvm::SmallPtrSet<Operation *, 8> notInBlocks;
};

/// Does the op add products, of more than two rows alone? Such is a sum like
/// any other.
bool isProductOfTiles(Operation *op);
/// Does it, and has each operand an axis of the result that the other lacks?
bool isProductOfMatrices(Operation *op);

} // namespace gradus

#endif // GRADUS_LOWERING_ROWFIT_H

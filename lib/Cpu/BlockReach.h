//===- BlockReach.h - a block of rows without what is hidden ----*- C++ -*-===//
//
// Where members of a group have a reach (lib/Lowering/Reach.h), their hidden
// loops run from one index to another that depend on the block. Both are
// multiples of some unit, or where the loop ends, so that most code knows how
// much it works on. Products leave out what is hidden in all of a tile besides.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_CPU_BLOCKREACH_H
#define GRADUS_CPU_BLOCKREACH_H

#include "KernelWork.h"
#include "lib/Lowering/Reach.h"

namespace gradus {

/// The rows that code is being emitted for: their first indices.
struct RowBlock {
  const RowGroup &group;
  ArrayRef<Value> at;
  const LocalBuffers &buffers;
};

class BlockReach {
public:
  /// None if no member has one.
  static std::optional<BlockReach> of(const KernelWork &work,
                                      const RowGroup &group);

  /// `emitOps` emits the members' loops for the block, each within its extent
  /// and finished here. They run again as a whole if that was too little.
  void emit(ImplicitLocOpBuilder &b, const RowBlock &block,
            function_ref<void()> emitOps);
  /// What a member's hidden loop runs over; none if it is all of it.
  std::optional<Extent> extentOf(Operation *op) const;
  /// What of it a row of the block needs.
  std::optional<Slant> slantOf(Operation *op) const;
  /// After a member's loops: what is left to do at hidden indices. `ranges`:
  /// its loops'.
  void finish(ImplicitLocOpBuilder &b, mlir::linalg::LinalgOp op,
              const RowBlock &block, ArrayRef<LoopRange> ranges,
              unsigned vectorBits);

private:
  explicit BlockReach(int64_t size);

  void findExtent(ImplicitLocOpBuilder &b, const RowBlock &block);
  void wholeIf(ImplicitLocOpBuilder &b, Value condition);
  /// `body` gets a hidden part of the loop, if there is any, on each side that
  /// has such: where it begins and ends, and the index farthest from the row.
  void atHidden(ImplicitLocOpBuilder &b,
                function_ref<void(Value, Value, int64_t)> body);

  int64_t size, unit;           ///< of the hidden loops
  bool cutsLoops = true;        ///< to an extent
  int64_t below = 0, above = 0; ///< the rows: so far are indices not hidden
  bool asksResults = false;
  SmallVector<mlir::OpOperand *> askedInputs;
  Value low, high;   ///< the extent in the block
  Value isWhole;     ///< whether nothing is left out; null if something is
  Value isTooLittle; ///< whether a result said so; null if none did
};

} // namespace gradus

#endif // GRADUS_CPU_BLOCKREACH_H

//===- LoopPlan.h - how the loops of one op are to run ----------*- C++ -*-===//

#ifndef GRADUS_CPU_LOOPPLAN_H
#define GRADUS_CPU_LOOPPLAN_H

#include "EmitLoops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace gradus {

/// Which loops of an op are left to run, and which of them along vectors.
class LoopPlan {
public:
  LoopPlan(mlir::linalg::LinalgOp op, ArrayRef<LoopRange> ranges,
           unsigned vectorBits);

  bool isParallel(unsigned d) const {
    return kinds[d] == mlir::utils::IteratorType::parallel;
  }
  /// How long a loop's range is, if that is known here.
  std::optional<int64_t> lengthOf(unsigned d) const;

  /// Can the operand, which stands for the window, be read from its image:
  /// along vectors that are whole inside, or outside?
  bool readsWindows(mlir::OpOperand &o, const Window &window);

  mlir::AffineMap mapOf(mlir::OpOperand &o) {
    return op.getMatchingIndexingMap(&o);
  }
  static bool isScalar(mlir::OpOperand &o) {
    return !isa<mlir::MemRefType>(o.get().getType());
  }
  /// Does loop `d` move what the operand reads or writes?
  bool moves(mlir::OpOperand &o, unsigned d) {
    return !isScalar(o) && mapOf(o).isFunctionOfDim(d);
  }
  /// No reduction loop moves the result: its sum stays in a register.
  bool carried(mlir::OpOperand &init);
  /// How the op adds to a result, if it does nothing else with it.
  std::optional<mlir::vector::CombiningKind> combiner(mlir::OpOperand &init);
  /// The same, where there is one, for elements of its type.
  mlir::arith::AtomicRMWKind combination(mlir::OpOperand &init);

  mlir::linalg::LinalgOp op;
  ArrayRef<LoopRange> ranges;
  SmallVector<unsigned> parallel, reductions; ///< loops that are left to run
  std::optional<unsigned> along;              ///< the one along vectors
  int64_t lanes = 1, unroll = 1; ///< of a vector; vectors at a time
  /// Parallel loops of which some iterations are computed side by side: what
  /// they do not move is read once for them, and their sums do not wait for
  /// each other.
  struct SideLoop {
    unsigned loop;
    int64_t count; ///< iterations at a time
  };
  SmallVector<SideLoop, 2> beside;
  bool isBeside(unsigned d) const {
    return llvm::any_of(beside, [&](auto &side) { return side.loop == d; });
  }
  /// Reductions that run around the parallel loops, or each iteration of these
  /// would read what they do not move from memory. They are none of
  /// `reductions` then.
  SmallVector<unsigned> outermost;

  /// An axis along which `slides` moves the windows that `taps` reads, `step`
  /// elements on each time.
  struct WindowAxis {
    unsigned axis, slides, taps;
    int64_t step;
  };
  /// Those of an operand, the outermost first.
  SmallVector<WindowAxis> windowAxes(mlir::OpOperand &o);

  /// Is the operand contiguous along loop `d`?
  bool contiguous(mlir::OpOperand &o, unsigned d);
  /// Does each operation of the body work on vectors as well?
  bool bodyVectorizes();

private:
  bool canRunAlong(unsigned d);
  void chooseRows(unsigned vectorBits);
  void chooseSquare(unsigned vectorBits);
  void takeOuterTaps(unsigned inner);
  void chooseOutermost();
  unsigned widestElement();

  SmallVector<mlir::utils::IteratorType> kinds;
};

} // namespace gradus

#endif // GRADUS_CPU_LOOPPLAN_H

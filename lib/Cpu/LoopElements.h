//===- LoopElements.h - what a loop's body reads and writes -----*- C++ -*-===//

#ifndef GRADUS_CPU_LOOPELEMENTS_H
#define GRADUS_CPU_LOOPELEMENTS_H

#include "LoopPlan.h"
#include "mlir/IR/IRMapping.h"

namespace gradus {

/// Elements of an op's operands at the indices where its loops stand: single
/// ones or vectors. `u` counts the vectors side by side; `mask` is null or says
/// which lanes there are.
class LoopElements : protected LoopPlan {
public:
  LoopElements(ImplicitLocOpBuilder &b, const LoopPlan &plan,
               const LocalBuffers &buffers);

protected:
  using Values = SmallVector<Value>;

  Value index(int64_t n);
  mlir::VectorType vectorOf(Type element);
  static Type elementOf(mlir::OpOperand &o);
  Value asVector(Value v);
  bool inVectors(mlir::OpOperand &o) { return along && moves(o, *along); }
  /// Where loop `d` stands in the whole op.
  Value place(unsigned d);

  Value load(mlir::OpOperand &o, int64_t u, Value mask);
  /// Asks for as many vectors of what windows will read anew that lie one step
  /// on along the outermost of their axes: rows of an image lie too far apart
  /// for the processor to find out by itself.
  void fetchNextWindow(mlir::OpOperand &o, int64_t vectors);
  /// What a sum starts from: the result's element, or a number of all.
  Value old(mlir::OpOperand &o, int64_t u, Value mask);
  void store(mlir::OpOperand &o, Value v, int64_t u, Value mask);
  /// What adding to a result leaves as it is.
  Value identity(mlir::OpOperand &o);
  Value combine(mlir::OpOperand &o, Value x, Value y);
  /// An operation of the body, on vectors if its operands are such now.
  void cloneInner(Operation &inner, mlir::IRMapping &map, int64_t u);

  ImplicitLocOpBuilder &b;
  const LocalBuffers &buffers;
  Values ivs; ///< the index of each loop, where it is known
  /// Whether no sum has been stored yet; null if none ever is before its end.
  Value isFirst;

  /// Whether all that is read of windows is known to be inside.
  bool isInside = false;
  Values indicesOf(mlir::OpOperand &o, int64_t u);
  /// The window that an operand is read through; null if it is there itself.
  const Window *windowOf(mlir::OpOperand &o) const;
  /// Whether the window has an element at the indices of its image.
  Value isThere(const Window &window, ArrayRef<Value> at);

private:
  /// Is the expression a loop whose index is given?
  bool isGiven(mlir::AffineExpr e) const;
  /// What the operand, or the window that it is read through, is of.
  Value sourceOf(mlir::OpOperand &o) const;
  Value bufferOf(mlir::OpOperand &o);
};

} // namespace gradus

#endif // GRADUS_CPU_LOOPELEMENTS_H

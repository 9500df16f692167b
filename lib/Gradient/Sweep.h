//===- Sweep.h - derivatives of straight lists of ops -----------*- C++ -*-===//
//
// Reverse: from cotangents of the tape's results walk it backwards; each op
// that an active value reaches, and that has a cotangent, is asked for those of
// its operands. An op without a rule is differentiated through a decomposed
// copy beside it, so the forward keeps its composite.
//
// Forward: walk the tape forwards; the tangent of each op's result follows from
// its derivative, else from linearity, else from its parts, else as the
// transpose of its vjp, which is linear in the cotangent.
//
// The bodies of loops and branches are tapes of their own (ReverseBodies.cpp,
// ForwardBodies.cpp). A call of a function with a gradient of its own is one op
// of the tape, until all derivatives are written (Custom.cpp).
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_GRADIENT_SWEEP_H
#define GRADUS_GRADIENT_SWEEP_H

#include "gradus/Expand.h"

namespace gradus {

using Tape = SmallVector<Operation *>;
using ValueMap = llvm::DenseMap<Value, Value>;

inline bool isFloat(Value v) { return graph::Shape(v).isFloat(); }
Value filled(ImplicitLocOpBuilder &b, Value like, double n);
/// The ops that `build` puts at the insertion point, but updates.
Tape recorded(ImplicitLocOpBuilder &b, function_ref<void()> build);
template <typename Range>
SmallVector<unsigned> activeOnes(const Range &values, const ValueSet &active) {
  SmallVector<unsigned> which;
  for (auto [i, v] : llvm::enumerate(values))
    if (active.contains(v) && isFloat(v))
      which.push_back(i);
  return which;
}
/// A step of the loop at the insertion point; `map` says what became of its
/// values.
graph::ClonedBody cloneStep(OpBuilder &b, graph::ForOp loop, Value counter,
                            ValueRange carries, ValueRange slices,
                            mlir::IRMapping &map);
class Sweep {
public:
  Sweep(ImplicitLocOpBuilder &b, Location request) : b(b), request(request) {}

  /// From the cotangents of the tape's results to those of its operands.
  void reverse(const Tape &tape, const ValueSet &active, ValueMap &cotangents);
  /// From the tangents of the tape's inputs to those of its values; no entry
  /// is zero.
  void forward(const Tape &tape, ValueMap &tangents);

  bool complete = true; ///< did every op have a rule?

  /// A derivative wants more of a loop than the loop makes: another one makes
  /// both. Puts it in its place, in `results` too, once no map holds the old.
  void replaceLoops(SmallVectorImpl<Value> &results);

private:
  void accumulate(ValueMap &sums, Value key, Value term);
  void nameAfter(Value cotangent, Value v,
                 const llvm::SmallPtrSetImpl<Operation *> &onTape);
  void reverseParts(Operation *op, graph::Composite composite,
                    const llvm::SmallBitVector &needed, ValueMap &cotangents);
  void forwardOne(Operation *op, ArrayRef<Value> ts, const Tape &tape,
                  ValueMap &tangents);
  void forwardByTranspose(Operation *op, graph::Differentiable rule,
                          ArrayRef<Value> ts, ValueMap &tangents);
  void missing(Operation *op, const Tape &tape);

  //===-- Gradients of one's own
  //-------------------------------------------===//

  std::optional<SmallVector<Value>> applyRule(graph::CustomOp op,
                                              ArrayRef<Value> cotangents);
  void reverseCustom(graph::CustomOp op, const llvm::SmallBitVector &needed,
                     ValueMap &cotangents);
  void forwardCustom(graph::CustomOp op, ArrayRef<Value> ts,
                     ValueMap &tangents);

  //===-- Bodies ----------------------------------------------------------===//

  void reverseBodies(Operation *op, const ValueSet &active,
                     ValueMap &cotangents);
  void reverseLoop(graph::ForOp loop, const ValueSet &active,
                   ValueMap &cotangents);
  void reverseBranch(Operation *op, const ValueSet &active,
                     ValueMap &cotangents);
  void forwardBodies(Operation *op, ValueMap &tangents);
  void forwardLoop(graph::ForOp loop, const ValueSet &active,
                   ValueMap &tangents);
  void forwardLoop(graph::WhileOp loop, const ValueSet &active,
                   ValueMap &tangents);
  void forwardBranch(Operation *op, const ValueSet &active, ValueMap &tangents);
  graph::ClonedBody forwardBody(mlir::Region &body, mlir::IRMapping &map,
                                ValueMap &inner, ArrayRef<unsigned> carried,
                                ArrayRef<unsigned> stacked);
  SmallVector<Value> withTangents(ValueRange values, ArrayRef<unsigned> which,
                                  const ValueMap &tangents);
  Value orZeros(Value derivative, Value like) {
    return derivative ? derivative : filled(b, like, 0);
  }
  /// Sweeps a body, and returns what `sweep` does. Loops that it replaced are
  /// in their places then: no map of its own may outlive it.
  SmallVector<Value> inBody(function_ref<SmallVector<Value>()> sweep);
  /// The location of a derivative of `op`.
  Location derivedFrom(Operation *op);

  ImplicitLocOpBuilder &b;
  Location request;
  /// Ops, and the values that stand for their results.
  SmallVector<std::pair<Operation *, SmallVector<Value>>> replaced;
};

} // namespace gradus

#endif // GRADUS_GRADIENT_SWEEP_H

//===- RuntimeLengths.h - loops that run to a size given later --*- C++ -*-===//
//
// A dimension with a bound (`batch <= 64`) is as long as a call says. Buffers
// have the bound's size; which of their axes, and which loops, are shorter in
// a call is not in their types. It follows from the arguments' dimensions
// (`graph.lengths`) and from the tensors that stand in the model with such a
// dimension, along the ops between them.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_RUNTIMELENGTHS_H
#define GRADUS_RUNTIMELENGTHS_H

#include "gradus/Graph.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace gradus {

/// `times` the size of a dimension; none if the length is known.
struct RuntimeLength {
  StringAttr dim = {};
  int64_t times = 0;

  explicit operator bool() const { return !!dim; }
  /// The length as an `index`.
  Value build(OpBuilder &b, Location loc) const;
};
/// Of each axis of a tensor, or each loop of an op.
using RuntimeLengths = SmallVector<RuntimeLength>;

/// The attribute that keeps them: null if all are known.
ArrayAttr lengthsAttrOf(MLIRContext *ctx, ArrayRef<RuntimeLength> lengths);
/// Of an op's loops, once `markLoops` has run; empty if all are known.
RuntimeLengths loopLengths(Operation *op);
/// Of the axes of a result of an op that `dropNames` has marked.
RuntimeLengths resultLengths(mlir::OpResult result);
/// Of an argument's axes; empty if all are known.
RuntimeLengths argumentLengths(BlockArgument arg);
/// Of the axes of a type with named dimensions.
RuntimeLengths lengthsOfType(Type type);

/// Follows lengths through the ops on tensors of a function.
class LengthAnalysis {
public:
  RuntimeLengths of(Value tensor);
  /// Another value takes its place.
  void replace(Value tensor, Value by) { known[by] = of(tensor); }
  RuntimeLengths ofLoops(mlir::linalg::LinalgOp op);
  /// Does one of the loops, of this kind only, depend on a call?
  bool any(mlir::linalg::LinalgOp op, mlir::utils::IteratorType kind);

private:
  RuntimeLengths find(Value tensor);

  llvm::DenseMap<Value, RuntimeLengths> known;
};

/// The value has these lengths, whatever it is made from: said of the empty
/// tensor that it starts from.
void markTensor(Value tensor, const RuntimeLengths &lengths);
/// Types have sizes only from here on: keeps the lengths that their names say
/// of arguments and results, and gives the function its type.
void dropNames(mlir::func::FuncOp f);
/// The same of the results of an op that calls bodies.
void dropNames(Operation *call);
/// Keeps the lengths of each linalg op's loops as its attribute.
void markLoops(Operation *function);

} // namespace gradus

namespace gradus::lowering {
/// Argument, tensor that nothing else tells of, linalg op: which axes or loops
/// are as long as a call says: for each `[]` or `["batch", times]`. Of a call
/// of a body: for each result.
inline constexpr llvm::StringLiteral lengthsAttr = "graph.lengths";
/// Module: the largest sizes, a dictionary by name.
inline constexpr llvm::StringLiteral boundsAttr = "graph.bounds";
/// Function: one `of` another for a `size` of its dimension `dim`. Module, when
/// functions have their C names: all of these.
inline constexpr llvm::StringLiteral specialAttr = "graph.special";
/// Argument: the size of this dimension. Call of a loop's body: has that many
/// steps.
inline constexpr llvm::StringLiteral sizeAttr = "graph.size";
} // namespace gradus::lowering

#endif // GRADUS_RUNTIMELENGTHS_H

//===- Graph.h - the model dialect: its ops and what they answer *- C++ -*-===//

#ifndef GRADUS_GRAPH_H
#define GRADUS_GRAPH_H

#include "dialects/graph/Array.h"
#include "dialects/graph/Infer.h"
#include "dialects/graph/Shape.h"
#include "dialects/graph/Syntax.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Interfaces/LoopLikeInterface.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "llvm/ADT/SmallBitVector.h"

namespace mlir {
class IRMapping;
} // namespace mlir

namespace gradus::graph {
class FuncOp;
class ModelOp;
struct Examples;
struct Signature;
template <typename T> struct Linear : mlir::OpTrait::TraitBase<T, Linear> {};
template <typename T>
struct Multilinear : mlir::OpTrait::TraitBase<T, Multilinear> {};
template <typename T>
struct Batchwise : mlir::OpTrait::TraitBase<T, Batchwise> {};
template <typename T>
struct BlocksGradient : mlir::OpTrait::TraitBase<T, BlocksGradient> {};
} // namespace gradus::graph

#include "dialects/graph/Dialect.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/graph/Attributes.h.inc"
#include "dialects/graph/Interfaces.h.inc"

#define GET_OP_CLASSES
#include "dialects/graph/Control.h.inc"
#define GET_OP_CLASSES
#include "dialects/graph/Convolution.h.inc"
#define GET_OP_CLASSES
#include "dialects/graph/Elementwise.h.inc"
#define GET_OP_CLASSES
#include "dialects/graph/Index.h.inc"
#define GET_OP_CLASSES
#include "dialects/graph/Loss.h.inc"
#define GET_OP_CLASSES
#include "dialects/graph/MatMul.h.inc"
#define GET_OP_CLASSES
#include "dialects/graph/Model.h.inc"
#define GET_OP_CLASSES
#include "dialects/graph/Normalize.h.inc"
#define GET_OP_CLASSES
#include "dialects/graph/Random.h.inc"
#define GET_OP_CLASSES
#include "dialects/graph/Reduce.h.inc"
#define GET_OP_CLASSES
#include "dialects/graph/Shape.h.inc"

namespace gradus::graph {

/// Function: another one that is its gradient. It takes the arguments, then a
/// cotangent for each result, and returns one for each float argument.
inline constexpr llvm::StringLiteral gradientAttr = "graph.gradient";

/// What a call must know of its callee.
struct Signature {
  FunctionType type;
  ArrayAttr argAttrs;           ///< name and default of each argument
  SmallVector<StringAttr> dims; ///< named in arguments, results, variables

  Signature() = default;
  Signature(FunctionType type, ArrayAttr argAttrs, Region &body);
  explicit Signature(FuncOp f);
};

/// The types of a call's results, or a failure reported by `fail`. Options
/// override default arguments and give sizes to the callee's dimensions; the
/// bindings of the callee's dimensions go to `bound`. `given` are the types of
/// what it is called with, where they are not those of `inputs`.
FailureOr<SmallVector<Type>>
callResults(const Signature &callee, ValueRange inputs, DictionaryAttr options,
            const Report &fail, DimBindings *bound = nullptr,
            mlir::TypeRange given = {});
/// The function that a call names, in the model or in the standard library.
FuncOp lookupCallee(Operation *from, StringRef name);
/// Infers the result types of `op` anew from its operands.
LogicalResult inferAgain(Operation *op);
/// Clones a body's ops, but its last one, to the insertion point. `map` says
/// what its arguments stand for; its yields are among the results.
struct ClonedBody {
  SmallVector<Operation *> ops;
  SmallVector<Value> carried, stacked;
};
ClonedBody cloneBody(OpBuilder &b, Region &body, mlir::IRMapping &map);
/// Arguments of a body take the names of another's.
inline void takeNames(SmallVector<BlockArgument> args,
                      ArrayRef<BlockArgument> named) {
  for (auto [to, from] : llvm::zip(args, named))
    to.setLoc(from.getLoc());
}
/// Is every element 0, whatever is computed?
bool isZero(Value v);
/// Does the function declare parameters, states of its own?
bool isLayer(FuncOp f);
/// The name of a param or state, null for another op.
StringAttr variableName(Operation *op);
/// Value `v` of an op or block argument printed as the user wrote it, `%x`.
std::string display(Value v);

} // namespace gradus::graph

#endif // GRADUS_GRAPH_H

//===- LinalgBuilder.h - graph ops as linalg.generic ------------*- C++ -*-===//
//
// Shared by the two halves of graph-lower-to-linalg: ops that move or combine
// elements (LowerToLinalg.cpp) and ops that add products (LowerProducts.cpp).
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_LOWERING_LINALGBUILDER_H
#define GRADUS_LOWERING_LINALGBUILDER_H

#include "gradus/Graph.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"

namespace gradus {

using Iterator = mlir::utils::IteratorType;
using mlir::AffineExpr;
using mlir::AffineMap;

/// The type without the names of dimensions.
inline RankedTensorType tensorType(Value v) {
  auto type = cast<RankedTensorType>(v.getType());
  return RankedTensorType::get(type.getShape(), type.getElementType());
}

class LinalgBuilder {
public:
  explicit LinalgBuilder(ImplicitLocOpBuilder &b) : b(b) {}

  using Body = function_ref<Value(ImplicitLocOpBuilder &, ValueRange)>;

  Value empty(RankedTensorType type) {
    return mlir::tensor::EmptyOp::create(b, type.getShape(),
                                         type.getElementType());
  }
  /// A tensor of zeros.
  Value zeros(RankedTensorType type) {
    return filled(b.getZeroAttr(type.getElementType()), type);
  }
  Value filled(mlir::TypedAttr number, RankedTensorType type);
  /// One result; `inputs` that are constants of one number become numbers in
  /// the body.
  Value generic(ValueRange inputs, ArrayRef<AffineMap> maps, Value init,
                AffineMap outMap, ArrayRef<Iterator> iterators, Body body);
  /// All loops parallel, the result's index the loops' own.
  Value parallel(ValueRange inputs, ArrayRef<AffineMap> maps,
                 RankedTensorType type, Body body);
  /// Reads `x` under an index space of more axes: an axis of size 1 repeats.
  AffineMap broadcastMap(RankedTensorType x, ArrayRef<int64_t> space);
  AffineMap map(unsigned dims, ArrayRef<AffineExpr> results) {
    return AffineMap::get(dims, 0, results, b.getContext());
  }
  AffineExpr dim(unsigned i) { return b.getAffineDimExpr(i); }
  Value reshape(Value x, RankedTensorType type);
  /// `x` rounded to the element type of `type`.
  Value rounded(Value x, RankedTensorType type);
  /// `x` in the middle of a tensor of zeros, or of `value`.
  Value pad(Value x, RankedTensorType type, ArrayRef<int64_t> low,
            ArrayRef<int64_t> steps, mlir::TypedAttr value);

  //===-- Sums of products (LowerProducts.cpp) ----------------------------===//

  /// The lowered form of a matmul, einsum or convolution; null for other ops.
  /// `lowered` gives the value that stands for an operand.
  Value product(Operation *op, mlir::IRMapping &lowered);

  /// The lowered form of uniform or normal (LowerRandom.cpp); null for others.
  Value random(Operation *op, mlir::IRMapping &lowered);

  /// The lowered form of gather or scatter_add (LowerIndexing.cpp); null for
  /// others.
  Value lookUp(Operation *op, mlir::IRMapping &lowered);

  /// The lowered form of a reshape or slice that ends a tensor put together of
  /// others by turns (LowerTurns.cpp); null for others.
  Value byTurns(Operation *op, mlir::IRMapping &lowered);

  ImplicitLocOpBuilder &b;

private:
  Value gather(graph::GatherOp op, mlir::IRMapping &lowered);
  Value scatterAdd(graph::ScatterAddOp op, mlir::IRMapping &lowered);
  /// Each product by itself.
  Value products(Value lhs, Value rhs, ArrayRef<AffineMap> maps,
                 RankedTensorType type, AffineMap outMap);
  Value contraction(Value lhs, AffineMap lhsMap, Value rhs, AffineMap rhsMap,
                    RankedTensorType type, AffineMap outMap,
                    ArrayRef<Iterator> iterators);
  Value matmul(graph::MatMulOp op, mlir::IRMapping &lowered);
  Value einsum(graph::EinsumOp op, mlir::IRMapping &lowered);
  Value conv(graph::ConvOp op, mlir::IRMapping &lowered);
  Value convFilter(graph::ConvFilterOp op, mlir::IRMapping &lowered);
  /// An image between zeros, and where in it the first window starts.
  struct PaddedImage {
    Value image;
    SmallVector<int64_t> start;
  };
  template <typename Op>
  Value convolution(Op op, const PaddedImage &x, Value other, bool ofFilter);
  template <typename Op>
  PaddedImage paddedImage(Op op, Value x, ArrayRef<int64_t> taps);
};

/// What a reduction of `element` adds up in, before it rounds the sum.
inline Type reductionType(Type element) {
  return isa<FloatType>(element) ? graph::sumType(element) : element;
}
inline RankedTensorType sumsOf(RankedTensorType type) {
  return RankedTensorType::get(type.getShape(),
                               reductionType(type.getElementType()));
}
/// A number as the wider type that it is summed in.
Value widened(ImplicitLocOpBuilder &b, Value number, Type to);

/// Do the windows that are put back lie side by side, and cover the image?
bool windowsTile(graph::FoldOp op);

/// Only moves elements: a broadcast, a transpose, a slice.
bool onlyMoves(mlir::linalg::GenericOp op);
/// Does the consumer add up over the operand's leading axis?
bool addsRows(mlir::linalg::GenericOp consumer, mlir::OpOperand &operand);
/// Takes an input away that nothing in the body reads any more.
void eraseInput(mlir::linalg::GenericOp op, unsigned input);
/// Merges inputs that read the same element of the same tensor. Without this a
/// producer would be fused once for every such input, and its body double each
/// time.
void mergeInputs(mlir::linalg::GenericOp op);
/// The same, and what the body computes of them twice.
void mergeInBody(mlir::RewriterBase &rewriter, mlir::linalg::GenericOp op);

} // namespace gradus

#endif // GRADUS_LOWERING_LINALGBUILDER_H

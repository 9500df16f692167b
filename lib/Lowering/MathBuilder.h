//===- MathBuilder.h - functions of vectors, written as arithmetic -*- C++ -*-//

#ifndef GRADUS_LOWERING_MATHBUILDER_H
#define GRADUS_LOWERING_MATHBUILDER_H

#include "gradus/LLVM.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/PatternMatch.h"

namespace gradus {

/// Builds arithmetic on scalars or vectors of one shape.
struct MathBuilder {
  ImplicitLocOpBuilder b;
  Type shape; ///< a type of that shape

  Type of(Type element) const {
    if (auto shaped = dyn_cast<ShapedType>(shape))
      return shaped.clone(element);
    return element;
  }
  Value constant(mlir::TypedAttr number) {
    mlir::TypedAttr attr = number;
    if (auto shaped = dyn_cast<ShapedType>(of(number.getType())))
      attr = mlir::SplatElementsAttr::get(shaped, Attribute(number));
    return mlir::arith::ConstantOp::create(b, attr);
  }
  Value number(float x) { return constant(b.getF32FloatAttr(x)); }
  Value precise(double x) { return constant(b.getF64FloatAttr(x)); }
  Value integer(int32_t x) { return constant(b.getI32IntegerAttr(x)); }
  Value add(Value x, Value y) { return mlir::arith::AddFOp::create(b, x, y); }
  Value subtract(Value x, Value y) {
    return mlir::arith::SubFOp::create(b, x, y);
  }
  Value multiply(Value x, Value y) {
    return mlir::arith::MulFOp::create(b, x, y);
  }
  /// The sum of coefficients[i] t^i.
  Value polynomial(Value t, ArrayRef<float> coefficients) {
    Value sum = number(coefficients.back());
    for (float c : llvm::reverse(coefficients.drop_back()))
      sum = add(multiply(sum, t), number(c));
    return sum;
  }
  /// The same in f64.
  Value precisePolynomial(Value t, ArrayRef<double> coefficients) {
    Value sum = precise(coefficients.back());
    for (double c : llvm::reverse(coefficients.drop_back()))
      sum = add(multiply(sum, t), precise(c));
    return sum;
  }
  /// `v`, or `bound` where v is beyond it. Comparisons are false for NaN, which
  /// so comes through.
  Value limit(mlir::arith::CmpFPredicate beyond, Value v, float bound) {
    Value isBeyond = mlir::arith::CmpFOp::create(b, beyond, v, number(bound));
    return mlir::arith::SelectOp::create(b, isBeyond, number(bound), v);
  }
};

/// `fast` of whole vectors if `condition` is true in all lanes, and otherwise
/// `one` of each, lane by lane.
Value fastOrLaneByLane(
    ImplicitLocOpBuilder &b, ValueRange vectors, Value condition,
    function_ref<Value(ImplicitLocOpBuilder &)> fast,
    function_ref<Value(ImplicitLocOpBuilder &, ValueRange)> one);

/// pow of vectors of f32 as a logarithm and an exponential in f64.
void populatePowPatterns(mlir::RewritePatternSet &patterns);

} // namespace gradus

#endif // GRADUS_LOWERING_MATHBUILDER_H

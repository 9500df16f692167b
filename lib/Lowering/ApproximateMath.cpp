//===- ApproximateMath.cpp - functions of f32 as polynomials --------------===//
//
// exp (1 ulp), log (1) and tanh (4) are upstream's, after Cephes. erf, which
// upstream takes from four pieces, is one quotient here (6 ulp, see below). f64
// keeps libm.
//
//===----------------------------------------------------------------------===//

#include "gradus/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

namespace gradus {
#define GEN_PASS_DEF_APPROXIMATEMATH
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace arith = mlir::arith;
namespace math = mlir::math;

namespace {
/// erf(x) = x P(x^2) / Q(x^2), at most 1 in magnitude.
///
/// P and Q of degree 5 minimise the largest relative error on [0, 3.92]
/// (1.9e-8; Lawson's algorithm on 4,000 Chebyshev points). Beyond, erf rounds
/// to 1, and so does the quotient at 3.92 times anything above 1. The rounding
/// of the steps makes it 5.3 ulp at most (4 million points of [-6, 6]).
struct ErfAsQuotient : mlir::OpRewritePattern<math::ErfOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult
  matchAndRewrite(math::ErfOp op,
                  mlir::PatternRewriter &rewriter) const override {
    Type type = op.getType();
    if (!mlir::getElementTypeOrSelf(type).isF32())
      return failure();
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    auto number = [&](float x) -> Value {
      mlir::TypedAttr attr = b.getF32FloatAttr(x);
      if (auto shaped = dyn_cast<ShapedType>(type))
        attr = mlir::SplatElementsAttr::get(shaped, x);
      return arith::ConstantOp::create(b, attr);
    };
    auto polynomial = [&](Value t, ArrayRef<float> coefficients) {
      Value sum = number(coefficients.back());
      for (float c : llvm::reverse(coefficients.drop_back()))
        sum = arith::AddFOp::create(b, arith::MulFOp::create(b, sum, t),
                                    number(c));
      return sum;
    };
    // Comparisons are false for NaN, which so comes through.
    auto limit = [&](arith::CmpFPredicate beyond, Value v, float bound) {
      Value isBeyond = arith::CmpFOp::create(b, beyond, v, number(bound));
      return arith::SelectOp::create(b, isBeyond, number(bound), v).getResult();
    };
    Value x = op.getOperand();
    Value t = limit(arith::CmpFPredicate::OGT, arith::MulFOp::create(b, x, x),
                    3.92F * 3.92F);
    Value p = polynomial(t, {1.1283791F, 0.19040415F, 0.05274839F, 3.765512e-3F,
                             2.848795e-4F, 2.050093e-6F});
    Value q = polynomial(t, {1.0F, 0.502074F, 0.11410813F, 0.014969005F,
                             1.1625085e-3F, 3.8091606e-5F});
    Value y = arith::DivFOp::create(b, arith::MulFOp::create(b, x, p), q);
    y = limit(arith::CmpFPredicate::OGT, y, 1.0F);
    rewriter.replaceOp(op, limit(arith::CmpFPredicate::OLT, y, -1.0F));
    return success();
  }
};

struct ApproximateMath : impl::ApproximateMathBase<ApproximateMath> {
  using ApproximateMathBase::ApproximateMathBase;

  void runOnOperation() override {
    mlir::RewritePatternSet patterns(&getContext());
    patterns.add<ErfAsQuotient>(&getContext());
    mlir::populateMathPolynomialApproximationPatterns(
        patterns, [&](StringRef name) {
          return all || llvm::is_contained(
                            {"math.exp", "math.log", "math.tanh"}, name);
        });
    if (all)
      mlir::math::populateExpansionPatterns(
          patterns, {"powf", "rsqrt", "fpowi", "round", "tan", "sinh", "cosh",
                     "asinh", "acosh", "atanh"});
    if (!roundsToBf16)
      mlir::arith::populateExpandBFloat16Patterns(patterns);
    // Some are made of others.
    if (all)
      (void)mlir::applyPatternsGreedily(getOperation(), std::move(patterns));
    else
      mlir::walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};
} // namespace

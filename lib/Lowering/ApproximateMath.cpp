//===- ApproximateMath.cpp - functions of f32 as polynomials --------------===//
//
// exp (1 ulp), log (1) and tanh (4) are upstream's, after Cephes. erf, which
// upstream takes from four pieces, is one quotient here (6 ulp, see below); sin
// and cos, whose upstream forms lose a digit for each digit of x, are reduced
// in f64 (2 ulp), pow is computed in it (1 ulp). f64 keeps libm.
//
//===----------------------------------------------------------------------===//

#include "MathBuilder.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
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
    if (!mlir::getElementTypeOrSelf(op.getType()).isF32())
      return failure();
    MathBuilder m{{op.getLoc(), rewriter}, op.getType()};
    Value x = op.getOperand();
    Value t =
        m.limit(arith::CmpFPredicate::OGT, m.multiply(x, x), 3.92F * 3.92F);
    Value p = m.polynomial(t, {1.1283791F, 0.19040415F, 0.05274839F,
                               3.765512e-3F, 2.848795e-4F, 2.050093e-6F});
    Value q = m.polynomial(t, {1.0F, 0.502074F, 0.11410813F, 0.014969005F,
                               1.1625085e-3F, 3.8091606e-5F});
    Value y = arith::DivFOp::create(m.b, m.multiply(x, p), q);
    y = m.limit(arith::CmpFPredicate::OGT, y, 1.0F);
    rewriter.replaceOp(op, m.limit(arith::CmpFPredicate::OLT, y, -1.0F));
    return success();
  }
};

/// sin(x) or cos(x), with r = x - n pi/2 in [-pi/4, pi/4] and the polynomial
/// that n mod 4 says.
///
/// r is computed in f64, from pi/2 in two parts, the first of 33 bits: it is
/// exact to f32 for |x| up to 1e6. The polynomials minimise the largest
/// relative error (4e-9, 1.2e-10; Lawson's algorithm); with rounding, results
/// are 2 ulp from the right ones at most.
///
/// Vectors that have larger numbers, or none, ask libm where there is one.
template <typename Op> struct AsPolynomials : mlir::OpRewritePattern<Op> {
  AsPolynomials(MLIRContext *ctx, bool hasLibrary)
      : mlir::OpRewritePattern<Op>(ctx), hasLibrary(hasLibrary) {}

  LogicalResult
  matchAndRewrite(Op op, mlir::PatternRewriter &rewriter) const override {
    Type type = op.getType();
    auto vector = dyn_cast<mlir::VectorType>(type);
    if (!mlir::getElementTypeOrSelf(type).isF32() || (hasLibrary && !vector))
      return failure();
    MathBuilder m{{op.getLoc(), rewriter}, type};
    Value x = op.getOperand();
    if (!hasLibrary) {
      rewriter.replaceOp(op, polynomials(m, x));
      return success();
    }
    constexpr float reach = 1e6F;
    Value isSmall =
        arith::CmpFOp::create(m.b, arith::CmpFPredicate::OLT,
                              math::AbsFOp::create(m.b, x), m.number(reach));
    rewriter.replaceOp(
        op, fastOrLaneByLane(
                m.b, x, isSmall,
                [&](ImplicitLocOpBuilder &b) {
                  MathBuilder inside{b, type};
                  return polynomials(inside, x);
                },
                [](ImplicitLocOpBuilder &b, ValueRange lane) -> Value {
                  return Op::create(b, lane[0]);
                }));
    return success();
  }

private:
  bool hasLibrary;

  static Value polynomials(MathBuilder &m, Value x) {
    Type f64 = m.of(m.b.getF64Type()), i64 = m.of(m.b.getI64Type());
    Type f32 = m.of(m.b.getF32Type()), i32 = m.of(m.b.getI32Type());
    Value wide = arith::ExtFOp::create(m.b, f64, x);
    // Adding 1.5 * 2^52 rounds to an integer, which is in the lowest bits.
    Value magic = m.precise(0x1.8p52);
    Value shifted =
        m.add(m.multiply(wide, m.precise(0x1.45f306dc9c883p-1)), magic);
    Value n = m.subtract(shifted, magic);
    Value rest = m.subtract(wide, m.multiply(n, m.precise(0x1.921fb544p+0)));
    rest = m.subtract(rest, m.multiply(n, m.precise(0x1.0b4611a626331p-34)));
    Value r = arith::TruncFOp::create(m.b, f32, rest);
    Value quarter = arith::TruncIOp::create(
        m.b, i32, arith::BitcastOp::create(m.b, i64, shifted));
    if (std::is_same_v<Op, math::CosOp>)
      quarter = arith::AddIOp::create(m.b, quarter, m.integer(1));

    Value t = m.multiply(r, r);
    Value sine = m.multiply(
        m.multiply(r, t),
        m.polynomial(t, {-0.166666546F, 8.33216029e-3F, -1.95152179e-4F}));
    sine = m.add(r, sine);
    Value cosine = m.multiply(
        m.multiply(t, t),
        m.polynomial(t, {0.0416666457F, -1.38873156e-3F, 2.44330825e-5F}));
    cosine =
        m.add(m.subtract(m.number(1), m.multiply(t, m.number(0.5F))), cosine);
    Value isOdd = arith::CmpIOp::create(
        m.b, arith::CmpIPredicate::ne,
        arith::AndIOp::create(m.b, quarter, m.integer(1)), m.integer(0));
    Value y = arith::SelectOp::create(m.b, isOdd, cosine, sine);
    // The second half of the circle is the first's negative.
    Value sign = arith::ShLIOp::create(
        m.b, arith::AndIOp::create(m.b, quarter, m.integer(2)), m.integer(30));
    Value bits = arith::BitcastOp::create(m.b, i32, y);
    return arith::BitcastOp::create(m.b, f32,
                                    arith::XOrIOp::create(m.b, bits, sign));
  }
};

struct ApproximateMath : impl::ApproximateMathBase<ApproximateMath> {
  using ApproximateMathBase::ApproximateMathBase;

  void runOnOperation() override {
    mlir::RewritePatternSet patterns(&getContext());
    patterns.add<ErfAsQuotient>(&getContext());
    patterns.add<AsPolynomials<math::SinOp>, AsPolynomials<math::CosOp>>(
        &getContext(), /*hasLibrary=*/!all);
    mlir::populateMathAlgebraicSimplificationPatterns(patterns);
    if (!all)
      populatePowPatterns(patterns);
    mlir::populateMathPolynomialApproximationPatterns(
        patterns, [&](StringRef name) {
          return llvm::is_contained({"math.exp", "math.log", "math.tanh"},
                                    name) ||
                 (all && name != "math.sin" && name != "math.cos");
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

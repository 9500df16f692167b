//===- ApproximatePow.cpp - pow of vectors of f32 -------------------------===//
//
// pow(x, y) = 2^(y log2 |x|), both in f64, which leaves room for the digits
// that the product of a large y loses. A negative x wants an integer y, whose
// lowest bit is the sign. What this does not cover - x infinite or subnormal,
// zero to a negative power, y of 2^24 or more - asks libm.
//
//===----------------------------------------------------------------------===//

#include "MathBuilder.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace math = mlir::math;

namespace {
struct PowBuilder : MathBuilder {
  Value compare(arith::CmpFPredicate predicate, Value x, Value y) {
    return arith::CmpFOp::create(b, predicate, x, y);
  }
  Value both(Value x, Value y) { return arith::AndIOp::create(b, x, y); }
  Value select(Value condition, Value x, Value y) {
    return arith::SelectOp::create(b, condition, x, y);
  }
  Value longs(int64_t x) { return constant(b.getI64IntegerAttr(x)); }
  Value asLongs(Value x) {
    return arith::BitcastOp::create(b, of(b.getI64Type()), x);
  }
  Value asDoubles(Value x) {
    return arith::BitcastOp::create(b, of(b.getF64Type()), x);
  }

  /// Of normal numbers: the exponent, and of a mantissa m in [sqrt(1/2),
  /// sqrt(2)) log m = 2 artanh s, s = (m - 1) / (m + 1). The series' seven
  /// terms leave 1.3e-12 of it.
  Value log2(Value x) {
    Value bits = asLongs(x);
    // The bits of sqrt(1/2), so that the mantissa is no less.
    Value shifted = arith::SubIOp::create(b, bits, longs(0x3fe6a09e667f3bcdLL));
    Value exponent = arith::ShRSIOp::create(b, shifted, longs(52));
    Value scale = arith::ShLIOp::create(b, exponent, longs(52));
    Value m = asDoubles(arith::SubIOp::create(b, bits, scale));
    Value s =
        arith::DivFOp::create(b, subtract(m, precise(1)), add(m, precise(1)));
    Value log = multiply(
        s, precisePolynomial(multiply(s, s), {2.0, 2.0 / 3, 2.0 / 5, 2.0 / 7,
                                              2.0 / 9, 2.0 / 11, 2.0 / 13}));
    Value whole = arith::SIToFPOp::create(b, of(b.getF64Type()), exponent);
    return add(whole, multiply(log, precise(1.4426950408889634)));
  }
  /// The exponent's bits and, of the rest r in [-1/2, 1/2], nine terms of the
  /// series of e^(r log 2), which leave 2e-10 of it.
  Value exp2(Value t) {
    // What is beyond is 0 or infinite in f32.
    constexpr double farthest = 1000;
    t = arith::MinimumFOp::create(b, t, precise(farthest));
    t = arith::MaximumFOp::create(b, t, precise(-farthest));
    // Adding 1.5 * 2^52 rounds to an integer, which is in the lowest bits.
    Value magic = precise(0x1.8p52);
    Value shifted = add(t, magic);
    Value r = multiply(subtract(t, subtract(shifted, magic)),
                       precise(0.6931471805599453));
    Value power =
        precisePolynomial(r, {1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120,
                              1.0 / 720, 1.0 / 5040, 1.0 / 40320});
    Value scale = arith::ShLIOp::create(b, asLongs(shifted), longs(52));
    return asDoubles(arith::AddIOp::create(b, asLongs(power), scale));
  }

  Value isCovered(Value x, Value y) {
    using Is = arith::CmpFPredicate;
    Value size = math::AbsFOp::create(b, x);
    Value isNormal =
        both(compare(Is::OGE, size, number(std::numeric_limits<float>::min())),
             compare(Is::OLE, size, number(std::numeric_limits<float>::max())));
    Value isZero =
        both(compare(Is::OEQ, x, number(0)), compare(Is::OGT, y, number(0)));
    Value isShort =
        compare(Is::OLT, math::AbsFOp::create(b, y), number(0x1p24F));
    return both(arith::OrIOp::create(b, isNormal, isZero), isShort);
  }
  Value pow(Value x, Value y) {
    using Is = arith::CmpFPredicate;
    Type f64 = of(b.getF64Type()), f32 = of(b.getF32Type());
    Value size = math::AbsFOp::create(b, x);
    Value isZero = compare(Is::OEQ, x, number(0));
    Value wide = arith::ExtFOp::create(b, f64, size);
    Value exponent = arith::ExtFOp::create(b, f64, y);
    Value power = exp2(multiply(exponent, log2(wide)));
    power = select(isZero, number(0), arith::TruncFOp::create(b, f32, power));
    Value whole = arith::FPToSIOp::create(b, of(b.getI32Type()), y);
    Value isWhole = compare(Is::OEQ, arith::SIToFPOp::create(b, f32, whole), y);
    Value isOdd = arith::CmpIOp::create(b, arith::CmpIPredicate::ne,
                                        both(whole, integer(1)), integer(0));
    Value negative = select(isOdd, arith::NegFOp::create(b, power), power);
    negative = select(isWhole, negative,
                      number(std::numeric_limits<float>::quiet_NaN()));
    return select(compare(Is::OLT, x, number(0)), negative, power);
  }
};

struct PowInDoubles : mlir::OpRewritePattern<math::PowFOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult
  matchAndRewrite(math::PowFOp op,
                  mlir::PatternRewriter &rewriter) const override {
    auto type = dyn_cast<mlir::VectorType>(op.getType());
    if (!type || !type.getElementType().isF32())
      return failure();
    Value x = op.getLhs(), y = op.getRhs();
    PowBuilder m{{{op.getLoc(), rewriter}, type}};
    rewriter.replaceOp(
        op, fastOrLaneByLane(
                m.b, {x, y}, m.isCovered(x, y),
                [&](ImplicitLocOpBuilder &b) {
                  return PowBuilder{{b, type}}.pow(x, y);
                },
                [](ImplicitLocOpBuilder &b, ValueRange lane) -> Value {
                  return math::PowFOp::create(b, lane[0], lane[1]);
                }));
    return success();
  }
};
} // namespace

void gradus::populatePowPatterns(mlir::RewritePatternSet &patterns) {
  // After what makes products of small exponents.
  patterns.add<PowInDoubles>(patterns.getContext(), /*benefit=*/0);
}

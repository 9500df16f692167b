//===- BodyInTriangle.cpp - an op's body where a mask hides ---------------===//

#include "BodyInTriangle.h"
#include "mlir/Analysis/FlatLinearValueConstraints.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
using mlir::AffineExpr;

bool Known::isZero() const {
  if (kind != Constant)
    return false;
  if (auto f = dyn_cast<FloatAttr>(number))
    return f.getValue().isZero();
  auto i = dyn_cast<IntegerAttr>(number);
  return i && i.getValue().isZero();
}

//===----------------------------------------------------------------------===//
// Differences of indices
//===----------------------------------------------------------------------===//

std::optional<Difference> Difference::of(AffineExpr a, AffineExpr b,
                                         unsigned loops) {
  SmallVector<int64_t> factors; // of the loops, and the offset
  if (!a || !b ||
      failed(mlir::getFlattenedAffineExpr(a - b, loops, 0, &factors)))
    return std::nullopt;
  std::optional<unsigned> plus, minus;
  for (unsigned d = 0; d < loops; ++d) {
    if (factors[d] == 0)
      continue;
    auto &place = factors[d] > 0 ? plus : minus;
    if (place || std::abs(factors[d]) != 1)
      return std::nullopt;
    place = d;
  }
  if (!plus || !minus)
    return std::nullopt;
  return Difference{*plus, *minus, factors.back()};
}

/// Whether the difference compares so with 0 everywhere in the triangle.
static std::optional<bool> compares(arith::CmpIPredicate predicate,
                                    const Difference &d,
                                    const Triangle &triangle) {
  using P = arith::CmpIPredicate;
  std::optional<int64_t> least, most;
  if (d.plus == triangle.greater && d.minus == triangle.less)
    least = triangle.least + d.offset;
  else if (d.minus == triangle.greater && d.plus == triangle.less)
    most = d.offset - triangle.least;
  bool above = least && *least > 0, below = most && *most < 0,
       notBelow = least && *least >= 0, notAbove = most && *most <= 0;
  auto decide = [](bool yes, bool no) {
    return yes || no ? std::optional(yes) : std::nullopt;
  };
  switch (predicate) {
  case P::eq:
    return decide(false, above || below);
  case P::ne:
    return decide(above || below, false);
  case P::sgt:
    return decide(above, notAbove);
  case P::sge:
    return decide(notBelow, below);
  case P::slt:
    return decide(below, notBelow);
  case P::sle:
    return decide(notAbove, above);
  default:
    return std::nullopt;
  }
}

//===----------------------------------------------------------------------===//
// An op's body in a triangle
//===----------------------------------------------------------------------===//

static Known zeroOf(ArrayRef<Known> in) {
  return in[0].isZero() ? in[0] : in[1].isZero() ? in[1] : Known();
}
static AffineExpr indexOrConstant(const Known &k, Value v) {
  if (auto number = dyn_cast_or_null<IntegerAttr>(k.number))
    return mlir::getAffineConstantExpr(number.getInt(), v.getContext());
  return k.index;
}

/// Constants make a constant, and what is alike something alike.
static Known combine(Operation &inner, ArrayRef<Known> in) {
  Known::Kind least = Known::Alike;
  for (const Known &k : in)
    least = std::min(least, k.kind);
  if (inner.getNumRegions() > 0 || !mlir::isMemoryEffectFree(&inner))
    least = std::min(least, Known::Anything);
  if (least < Known::Alike)
    return {least};
  auto numbers = llvm::map_to_vector(
      in, [](const Known &k) { return mlir::Attribute(k.number); });
  SmallVector<mlir::OpFoldResult> folded;
  if (succeeded(inner.fold(numbers, folded)) && folded.size() == 1)
    if (auto number = dyn_cast<mlir::Attribute>(folded[0]))
      if (auto typed = dyn_cast<mlir::TypedAttr>(number))
        return Known::constant(typed);
  return {Known::Alike};
}

Known BodyInTriangle::get(Value v) const {
  if (auto it = values.find(v); it != values.end())
    return it->second;
  mlir::Attribute number;
  if (mlir::matchPattern(v, mlir::m_Constant(&number)))
    if (auto typed = dyn_cast<mlir::TypedAttr>(number))
      return Known::constant(typed);
  return {};
}
void BodyInTriangle::run(const KnownValues &assumed) {
  for (Operation &inner : op.getBody()->without_terminator()) {
    if (inner.getNumResults() != 1)
      continue;
    Value v = inner.getResult(0);
    auto it = assumed.find(v);
    values[v] = it == assumed.end() ? evaluate(inner) : it->second;
  }
}

Known BodyInTriangle::evaluate(Operation &inner) {
  if (AffineExpr index = indexOf(inner))
    return {index.isFunctionOfDim(along) ? Known::Anything : Known::Alike,
            {},
            index};
  SmallVector<Known> in;
  for (Value v : inner.getOperands())
    in.push_back(get(v));
  if (Known known = decide(inner, in); known.isKnown())
    return known;
  return combine(inner, in);
}

/// What an op computes from indices alone.
AffineExpr BodyInTriangle::indexOf(Operation &inner) const {
  MLIRContext *ctx = inner.getContext();
  auto of = [&](Value v) -> AffineExpr {
    Known known = get(v);
    auto number = dyn_cast_or_null<IntegerAttr>(known.number);
    return number ? mlir::getAffineConstantExpr(number.getInt(), ctx)
                  : known.index;
  };
  return llvm::TypeSwitch<Operation *, AffineExpr>(&inner)
      .Case([&](linalg::IndexOp i) {
        return mlir::getAffineDimExpr(i.getDim(), ctx);
      })
      .Case([&](mlir::affine::AffineApplyOp apply) -> AffineExpr {
        SmallVector<AffineExpr> dims, symbols;
        mlir::AffineMap map = apply.getAffineMap();
        for (auto [i, v] : llvm::enumerate(apply.getMapOperands())) {
          AffineExpr e = of(v);
          if (!e)
            return {};
          (i < map.getNumDims() ? dims : symbols).push_back(e);
        }
        return map.getResult(0).replaceDimsAndSymbols(dims, symbols);
      })
      .Case([&](arith::IndexCastOp cast) { return of(cast.getIn()); })
      .Case<arith::AddIOp, arith::SubIOp>([&](auto sum) -> AffineExpr {
        AffineExpr a = of(sum.getLhs()), b = of(sum.getRhs());
        if (!a || !b)
          return {};
        return isa<arith::AddIOp>(sum) ? a + b : a - b;
      })
      .Default(AffineExpr());
}

/// Ops whose result one operand may decide.
Known BodyInTriangle::decide(Operation &inner, ArrayRef<Known> in) {
  Type type = inner.getResult(0).getType();
  auto isTruth = [&](const Known &k, bool truth) {
    auto number = dyn_cast_or_null<IntegerAttr>(k.number);
    return k.kind == Known::Constant && number &&
           (truth ? number.getValue().isAllOnes() : number.getValue().isZero());
  };
  // The operand itself, where it is so whatever the other one is.
  auto either = [&](auto holds) {
    for (unsigned i : {0, 1})
      if (holds(in[i]) && in[1 - i].kind != Known::Missing)
        return in[i];
    return Known();
  };
  auto isNegativeInfinity = [](const Known &k) {
    auto f = dyn_cast_or_null<FloatAttr>(k.number);
    return k.kind == Known::Constant && f && f.getValue().isInfinity() &&
           f.getValue().isNegative();
  };
  return llvm::TypeSwitch<Operation *, Known>(&inner)
      .Case([&](arith::CmpIOp compare) {
        auto d = Difference::of(indexOrConstant(in[0], compare.getLhs()),
                                indexOrConstant(in[1], compare.getRhs()),
                                op.getNumLoops());
        auto truth =
            d ? compares(compare.getPredicate(), *d, triangle) : std::nullopt;
        return truth ? Known::constant(IntegerAttr::get(type, *truth ? -1 : 0))
                     : Known();
      })
      .Case([&](arith::SelectOp) {
        return isTruth(in[0], true)    ? in[1]
               : isTruth(in[0], false) ? in[2]
                                       : Known();
      })
      .Case<arith::MulFOp>([&](auto) {
        return either([](const Known &k) { return k.isZero(); });
      })
      .Case<arith::MulIOp>([&](auto) { return zeroOf(in); })
      .Case([&](arith::AndIOp) { return zeroOf(in); })
      .Case([&](arith::OrIOp) {
        return isTruth(in[0], true)   ? in[0]
               : isTruth(in[1], true) ? in[1]
                                      : Known();
      })
      .Case([&](arith::DivFOp) {
        return in[0].isZero() && in[1].kind != Known::Missing ? in[0] : Known();
      })
      .Case([&](arith::AddFOp) { return either(isNegativeInfinity); })
      .Default(Known());
}

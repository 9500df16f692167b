//===- Elementwise.cpp - one number from the numbers at one index ---------===//

#include "Build.h"
#include "Scalar.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace gradus;
using namespace gradus::graph;

#define GET_OP_CLASSES
#include "dialects/graph/Elementwise.cpp.inc"

//===----------------------------------------------------------------------===//
// Shape rules
//===----------------------------------------------------------------------===//

static Arg refuse(Arg x, Report::Failure &&) {
  x.failed = true;
  return x;
}
Arg Infer::floats(Arg x) {
  if (x.isFloat())
    return x;
  return refuse(x, fail(x.value)
                       << "expected floating-point numbers, not " << x.str());
}
Arg Infer::numbers(Arg x) {
  if (x.isFloat() || x.isInteger())
    return x;
  return refuse(x, fail(x.value) << "expected numbers, not " << x.str()
                                 << "; 'cast' makes numbers of truth values");
}
Arg Infer::truths(Arg x) {
  if (x.element.isInteger(1))
    return x;
  return refuse(x, fail(x.value) << "expected truth values (i1), not "
                                 << x.str() << "; 'compare' makes them");
}
Arg Infer::integers(Arg x) {
  if (x.isInteger())
    return x;
  return refuse(x, fail(x.value) << "expected whole numbers, not " << x.str());
}

bool Infer::unifyBroadcast(Dim &a, const Dim &b) {
  if (a.size == 1)
    a = b;
  else if (b.size != 1)
    return unify(a, b);
  return true;
}
Shapes Infer::broadcast(Arg a, Arg b) {
  if (a.failed || b.failed)
    return a.failed ? a : b;
  if (a.element != b.element)
    return fail(b.value) << "cannot combine " << b.str() << " with " << a.str()
                         << ": element types differ";
  Shape out = a.rank() >= b.rank() ? a : b;
  for (int64_t i = 1; i <= std::min(a.rank(), b.rank()); ++i) {
    Dim d = a[-i];
    if (!unifyBroadcast(d, b[-i]))
      return fail(b.value) << "cannot broadcast " << b.str() << " with "
                           << a.str() << ": " << b[-i].str() << " against "
                           << a[-i].str();
    out[-i] = d;
  }
  return out;
}
Shapes Infer::choose(Arg condition, Arg a, Arg b) {
  Shapes values = broadcast(a, b);
  if (condition = truths(condition); condition.failed || !values.shapes)
    return condition.failed ? Shapes(condition) : values;
  Shape &out = values.shapes->front();
  for (int64_t i = 1; i <= condition.rank(); ++i) {
    if (i > out.rank())
      out.dims.insert(out.dims.begin(), condition[-i]);
    else if (!unifyBroadcast(out[-i], condition[-i]))
      return fail(condition.value)
             << "cannot broadcast " << condition.str() << " with " << out.str()
             << ": " << condition[-i].str() << " against " << out[-i].str();
  }
  return values;
}
Shapes Infer::convert(Arg x, Type to) {
  x.element = to;
  return x;
}
Shapes Infer::as(Type element, Shapes s) {
  if (s.shapes)
    for (Shape &shape : *s.shapes)
      shape.element = element;
  return s;
}
Shapes Infer::scalar(Shapes s) {
  if (s.shapes)
    s.shapes->front().dims.clear();
  return s;
}

//===----------------------------------------------------------------------===//
// Scalars
//===----------------------------------------------------------------------===//

namespace arith = mlir::arith;
namespace math = mlir::math;

S S::as(const S &like) const {
  if (element)
    return *this;
  ImplicitLocOpBuilder &b = *like.builder;
  Type t = like.type();
  mlir::TypedAttr attr;
  if (isa<FloatType>(t))
    attr = b.getFloatAttr(t, number);
  else
    attr = b.getIntegerAttr(t, int64_t(number));
  return {like.builder, arith::ConstantOp::create(b, attr)};
}

template <typename FloatOp, typename IntOp> static S binary(S a, S b) {
  S x = b.value() ? a.as(b) : a, y = a.value() ? b.as(a) : b;
  ImplicitLocOpBuilder *builder = x.builder;
  if (x.isFloat())
    return {builder, FloatOp::create(*builder, x.value(), y.value())};
  return {builder, IntOp::create(*builder, x.value(), y.value())};
}
template <typename Op> static S unary(const S &x) {
  return {x.builder, Op::create(*x.builder, x.value())};
}

S graph::operator+(const S &a, const S &b) {
  return binary<arith::AddFOp, arith::AddIOp>(a, b);
}
S graph::operator-(const S &a, const S &b) {
  return binary<arith::SubFOp, arith::SubIOp>(a, b);
}
S graph::operator*(const S &a, const S &b) {
  return binary<arith::MulFOp, arith::MulIOp>(a, b);
}
S graph::max(const S &a, const S &b) {
  return binary<arith::MaximumFOp, arith::MaxSIOp>(a, b);
}
S graph::min(const S &a, const S &b) {
  return binary<arith::MinimumFOp, arith::MinSIOp>(a, b);
}
S graph::operator-(const S &a) {
  if (a.isFloat())
    return unary<arith::NegFOp>(a);
  return S(0.0) - a;
}
S graph::operator/(const S &a, const S &b) {
  S x = b.value() ? a.as(b) : a, y = a.value() ? b.as(a) : b;
  if (x.isFloat())
    return {x.builder, arith::DivFOp::create(*x.builder, x.value(), y.value())};
  // The machine traps on x / 0 and on INT_MIN / -1: divide by 1 there, then
  // put in 0 and the (wrapped) negation.
  S isZero = compare(Comparison::eq, y, 0.0),
    isMinusOne = compare(Comparison::eq, y, -1.0);
  S safe = select(logicalOr(isZero, isMinusOne), S(1.0).as(y), y);
  S quotient(x.builder,
             arith::DivSIOp::create(*x.builder, x.value(), safe.value()));
  return select(isZero, S(0.0).as(x), select(isMinusOne, -x, quotient));
}
S graph::pow(const S &a, const S &b) {
  return binary<math::PowFOp, math::IPowIOp>(a, b);
}
S graph::exp(const S &x) { return unary<math::ExpOp>(x); }
S graph::log(const S &x) { return unary<math::LogOp>(x); }
S graph::sqrt(const S &x) { return unary<math::SqrtOp>(x); }
S graph::tanh(const S &x) { return unary<math::TanhOp>(x); }
S graph::erf(const S &x) { return unary<math::ErfOp>(x); }
S graph::sin(const S &x) { return unary<math::SinOp>(x); }
S graph::cos(const S &x) { return unary<math::CosOp>(x); }
S graph::floor(const S &x) { return unary<math::FloorOp>(x); }
S graph::abs(const S &x) {
  return x.isFloat() ? unary<math::AbsFOp>(x) : unary<math::AbsIOp>(x);
}
S graph::sign(const S &x) {
  // The last choice is x itself: zero, or not a number.
  return select(compare(Comparison::gt, x, 0.0), S(1.0).as(x),
                select(compare(Comparison::lt, x, 0.0), S(-1.0).as(x), x));
}
S graph::sigmoid(const S &x) { return 1.0 / (1.0 + exp(-x)); }

S graph::compare(Comparison predicate, const S &a, const S &b) {
  S x = b.value() ? a.as(b) : a, y = a.value() ? b.as(a) : b;
  using F = arith::CmpFPredicate;
  using I = arith::CmpIPredicate;
  static constexpr F floats[] = {F::OEQ, F::UNE, F::OLT,
                                 F::OLE, F::OGT, F::OGE};
  static constexpr I ints[] = {I::eq, I::ne, I::slt, I::sle, I::sgt, I::sge};
  auto k = static_cast<unsigned>(predicate);
  if (x.isFloat())
    return {x.builder,
            arith::CmpFOp::create(*x.builder, floats[k], x.value(), y.value())};
  return {x.builder,
          arith::CmpIOp::create(*x.builder, ints[k], x.value(), y.value())};
}
S graph::select(const S &condition, const S &a, const S &b) {
  S x = b.value() ? a.as(b) : a, y = a.value() ? b.as(a) : b;
  return {condition.builder,
          arith::SelectOp::create(*condition.builder, condition.value(),
                                  x.value(), y.value())};
}
S graph::logicalAnd(const S &a, const S &b) {
  return {a.builder, arith::AndIOp::create(*a.builder, a.value(), b.value())};
}
S graph::logicalOr(const S &a, const S &b) {
  return {a.builder, arith::OrIOp::create(*a.builder, a.value(), b.value())};
}
S graph::logicalNot(const S &x) {
  return {x.builder,
          arith::XOrIOp::create(*x.builder, x.value(), S(1.0).as(x).value())};
}

/// Rounded towards zero and saturated; not a number gives 0. The bare
/// conversion is undefined outside the integer's range.
static S toInteger(const S &x, IntegerType to) {
  double top = std::ldexp(1.0, to.getWidth() - 1);
  bool isF32 = x.type().isF32();
  // The largest float below 2^(width - 1).
  double high = isF32                ? std::nextafterf(float(top), 0.0F)
                : to.getWidth() < 53 ? top - 1
                                     : std::nextafter(top, 0.0);
  S bounded = min(max(x, -top), high);
  S safe = select(compare(Comparison::eq, x, x), bounded, S(0.0).as(x));
  return {x.builder, arith::FPToSIOp::create(*x.builder, to, safe.value())};
}

S graph::convert(const S &x, Type to) {
  ImplicitLocOpBuilder &b = *x.builder;
  Type from = x.type();
  if (from == to)
    return x;
  auto made = [&](Value v) { return S(x.builder, v); };
  if (to.isInteger(1))
    return compare(Comparison::ne, x, 0.0);
  if (auto toFloat = dyn_cast<FloatType>(to)) {
    // Between 16 bits and anything else lies f32, on every processor.
    auto f32 = mlir::Float32Type::get(to.getContext());
    bool narrow = toFloat.getWidth() < 32 ||
                  (isa<FloatType>(from) && from.getIntOrFloatBitWidth() < 32);
    if (narrow && from != f32 && to != f32)
      return convert(convert(x, f32), to);
    if (auto fromFloat = dyn_cast<FloatType>(from))
      return fromFloat.getWidth() < toFloat.getWidth()
                 ? made(arith::ExtFOp::create(b, to, x.value()))
                 : made(arith::TruncFOp::create(b, to, x.value()));
    if (!from.isInteger(1))
      return made(arith::SIToFPOp::create(b, to, x.value()));
    // Of two constants: a vector of truth values is a mask, not numbers.
    Value one = arith::ConstantOp::create(b, b.getFloatAttr(to, 1)),
          zero = arith::ConstantOp::create(b, b.getFloatAttr(to, 0));
    return made(arith::SelectOp::create(b, x.value(), one, zero));
  }
  if (isa<FloatType>(from))
    return toInteger(x, cast<IntegerType>(to));
  if (from.isInteger(1))
    return made(arith::ExtUIOp::create(b, to, x.value()));
  return from.getIntOrFloatBitWidth() < to.getIntOrFloatBitWidth()
             ? made(arith::ExtSIOp::create(b, to, x.value()))
             : made(arith::TruncIOp::create(b, to, x.value()));
}

double graph::real::compare(Comparison predicate, double a, double b) {
  switch (predicate) {
  case Comparison::eq:
    return a == b;
  case Comparison::ne:
    return a != b;
  case Comparison::lt:
    return a < b;
  case Comparison::le:
    return a <= b;
  case Comparison::gt:
    return a > b;
  case Comparison::ge:
    return a >= b;
  }
  llvm_unreachable("a comparison of no kind");
}
double graph::real::convert(double x, Type to) {
  if (isa<FloatType>(to))
    return x;
  if (to.isInteger(1))
    return x != 0;
  double top = std::ldexp(1.0, to.getIntOrFloatBitWidth() - 1);
  return std::isnan(x) ? 0 : std::trunc(std::clamp(x, -top, top - 1));
}

//===----------------------------------------------------------------------===//
// Folds
//===----------------------------------------------------------------------===//

/// Is the attribute a constant filled with one number, `n`?
static bool isFilledWith(Attribute attr, double n) {
  auto d = dyn_cast_or_null<DenseElementsAttr>(attr);
  if (!d || !d.isSplat())
    return false;
  if (isa<FloatType>(d.getElementType()))
    return d.getSplatValue<llvm::APFloat>().convertToDouble() == n;
  return double(d.getSplatValue<llvm::APInt>().getSExtValue()) == n;
}
/// `x` if it has the type of the whole result, so that it can stand for it.
template <typename Op> static mlir::OpFoldResult whole(Op op, Value x) {
  return x.getType() == op.getType() ? mlir::OpFoldResult(x)
                                     : mlir::OpFoldResult();
}
mlir::OpFoldResult AddOp::fold(FoldAdaptor f) {
  if (isFilledWith(f.getRhs(), 0.0))
    return whole(*this, getLhs());
  if (isFilledWith(f.getLhs(), 0.0))
    return whole(*this, getRhs());
  return {};
}
mlir::OpFoldResult SubOp::fold(FoldAdaptor f) {
  return isFilledWith(f.getRhs(), 0.0) ? whole(*this, getLhs())
                                       : mlir::OpFoldResult();
}
mlir::OpFoldResult MulOp::fold(FoldAdaptor f) {
  if (isFilledWith(f.getRhs(), 1.0))
    return whole(*this, getLhs());
  if (isFilledWith(f.getLhs(), 1.0))
    return whole(*this, getRhs());
  return {};
}
mlir::OpFoldResult DivOp::fold(FoldAdaptor f) {
  return isFilledWith(f.getRhs(), 1.0) ? whole(*this, getLhs())
                                       : mlir::OpFoldResult();
}
mlir::OpFoldResult NegOp::fold(FoldAdaptor) {
  if (auto inner = getX().getDefiningOp<NegOp>())
    return inner.getX();
  return {};
}

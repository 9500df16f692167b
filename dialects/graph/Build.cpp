//===- Build.cpp - what `decompose`, `vjp` and `derivative` are made of ---===//

#include "Build.h"
#include "Scalar.h"

using namespace gradus;
using namespace gradus::graph;

V graph::tensor(double n, ImplicitLocOpBuilder *b, Type element) {
  auto type = RankedTensorType::get({}, element);
  Attribute number;
  if (isa<FloatType>(element))
    number = b->getFloatAttr(element, n);
  else
    number = b->getIntegerAttr(element, int64_t(n));
  auto value = DenseElementsAttr::get(type, number);
  return {b, ConstantOp::create(*b, type, cast<mlir::ElementsAttr>(value))};
}
V graph::constant(const V &like, const Shape &shape, double n) {
  return broadcast(tensor(n, like.builder, shape.element), shape);
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

V graph::shares(const V &x, const V &sum) {
  // In 16 bits the reciprocal would be rounded once more.
  constexpr unsigned leastBits = 32;
  bool isWide = x.shape().element.getIntOrFloatBitWidth() >= leastBits;
  return isWide ? x * (1.0 / sum) : x / sum;
}

/// A number beside a tensor becomes a rank-0 constant of its element type.
static void meet(V &a, V &b) {
  if (!a)
    a = tensor(a.asNumber(), b.builder, b.shape().element);
  if (!b)
    b = tensor(b.asNumber(), a.builder, a.shape().element);
}
template <typename Op> static V binary(V a, V b) {
  meet(a, b);
  return {a.builder, Op::create(*a.builder, a.value(), b.value())};
}
template <typename Op> static V unary(const V &x) {
  return {x.builder, Op::create(*x.builder, x.value())};
}

V graph::operator-(const V &a) {
  return a ? unary<NegOp>(a) : V(-a.asNumber());
}
V graph::operator+(V a, V b) {
  if (!a && !b)
    return a.asNumber() + b.asNumber();
  if (a.is(0))
    return b;
  if (b.is(0))
    return a;
  return binary<AddOp>(a, b);
}
V graph::operator-(V a, V b) {
  if (!a && !b)
    return a.asNumber() - b.asNumber();
  if (a.is(0))
    return -b;
  if (b.is(0))
    return a;
  return binary<SubOp>(a, b);
}
V graph::operator*(V a, V b) {
  if (!a && !b)
    return a.asNumber() * b.asNumber();
  for (auto [x, y] : {std::pair(a, b), std::pair(b, a)}) {
    if (x.is(0))
      return 0.0;
    if (x.is(1))
      return y;
    if (x.is(-1))
      return -y;
  }
  return binary<MulOp>(a, b);
}
V graph::operator/(V a, V b) {
  if (!a && !b)
    return a.asNumber() / b.asNumber();
  if (a.is(0))
    return 0.0;
  if (b.is(1))
    return a;
  return binary<DivOp>(a, b);
}

V graph::exp(const V &x) { return unary<ExpOp>(x); }
V graph::log(const V &x) { return unary<LogOp>(x); }
V graph::sqrt(const V &x) { return unary<SqrtOp>(x); }
V graph::rsqrt(const V &x) { return unary<RsqrtOp>(x); }
V graph::sigmoid(const V &x) { return unary<SigmoidOp>(x); }
V graph::erf(const V &x) { return unary<ErfOp>(x); }
V graph::sin(const V &x) { return unary<SinOp>(x); }
V graph::cos(const V &x) { return unary<CosOp>(x); }
V graph::sign(const V &x) { return unary<SignOp>(x); }
V graph::pow(V a, V b) { return binary<PowOp>(a, b); }

static V comparison(Comparison predicate, V a, V b) {
  meet(a, b);
  return {a.builder,
          CompareOp::create(*a.builder, predicate, a.value(), b.value())};
}
V graph::eq(V a, V b) { return comparison(Comparison::eq, a, b); }
V graph::gt(V a, V b) { return comparison(Comparison::gt, a, b); }
V graph::ge(V a, V b) { return comparison(Comparison::ge, a, b); }
V graph::select(const V &condition, V a, V b) {
  if (a.is(0) && b.is(0))
    return 0.0;
  meet(a, b);
  return {a.builder, SelectOp::create(*a.builder, condition.value(), a.value(),
                                      b.value())};
}
V graph::convert(const V &x, Type element) {
  if (!x || x.shape().element == element)
    return x;
  Shape to = x.shape();
  to.element = element;
  return {x.builder, CastOp::create(*x.builder, to.type(), x.value(),
                                    TypeAttr::get(element))};
}
V graph::indicator(const V &condition, Type element) {
  return convert(condition, element);
}
V graph::indicator(const V &condition, const V &like) {
  return convert(condition, like.shape().element);
}
V graph::favours(const V &a, const V &b) {
  return 0.5 * (indicator(gt(a, b), a) + indicator(ge(a, b), a));
}

//===----------------------------------------------------------------------===//
// Shape
//===----------------------------------------------------------------------===//

V graph::reshape(const V &x, const Shape &to) {
  if (!x || x.shape().dims == to.dims)
    return x;
  return {x.builder, ReshapeOp::create(*x.builder, to.type(), x.value(),
                                       TypeAttr::get(to.type()))};
}
V graph::broadcast(const V &x, const Shape &to) {
  if (!x || x.shape().dims == to.dims)
    return x;
  return {x.builder, BroadcastOp::create(*x.builder, to.type(), x.value(),
                                         TypeAttr::get(to.type()))};
}
V graph::transpose(const V &x, Axes perm) {
  if (!x || (perm && llvm::is_sorted(*perm)))
    return x;
  ImplicitLocOpBuilder &b = *x.builder;
  return {&b, TransposeOp::create(b, x.value(),
                                  perm ? b.getDenseI64ArrayAttr(*perm)
                                       : DenseI64ArrayAttr())};
}
V graph::moveAxis(const V &x, int64_t from, int64_t to) {
  SmallVector<int64_t> order =
      llvm::to_vector(llvm::seq<int64_t>(0, x.shape().rank()));
  order.erase(order.begin() + from);
  order.insert(order.begin() + to, from);
  return transpose(x, Axes(List(order)));
}
V graph::reverse(const V &x, List axes) {
  if (!x)
    return x;
  return {x.builder, ReverseOp::create(*x.builder, x.value(), axes)};
}
V graph::slice(const V &x, int64_t axis, int64_t start, int64_t length,
               int64_t step) {
  if (!x)
    return x;
  if (const Dim d = x.shape()[axis]; d.known() && d.size == length && step == 1)
    return x;
  return {x.builder,
          SliceOp::create(*x.builder, x.value(), axis, start, length, step)};
}
V graph::pad(const V &x, int64_t axis, int64_t low, int64_t high,
             int64_t interior, double value) {
  if (!x || (!low && !high && !interior))
    return x;
  return {x.builder, PadOp::create(*x.builder, x.value(), axis, low, high,
                                   interior, llvm::APFloat(value))};
}
V graph::concat(const Vs &xs, int64_t axis) {
  if (!xs[0])
    return 0.0;
  return {xs[0].builder, ConcatOp::create(*xs[0].builder, xs.values(), axis)};
}
V graph::like(const V &x, const V &g) {
  if (!g)
    return g;
  Shape xs = x.shape(), gs = g.shape();
  int64_t extra = gs.rank() - xs.rank();
  if (extra < 0)
    return broadcast(g, xs);
  SmallVector<int64_t> summed;
  for (int64_t i = 0; i < gs.rank(); ++i)
    if (i < extra || (xs[i - extra].size == 1 && gs[i].size != 1))
      summed.push_back(i);
  V sum = g;
  if (!summed.empty()) {
    // Keep the summed axes as 1, then drop those that x does not have.
    Shape ones = kept(g, Axes(List(summed)));
    sum = reduce_sum(g, Axes(List(summed)), false);
    sum =
        reshape(sum, Shape(gs.element, ArrayRef(ones.dims).drop_front(extra)));
  }
  return broadcast(sum, xs);
}
Permutation graph::inverse(Axes perm) {
  if (!perm)
    return {};
  SmallVector<int64_t> order(perm->size());
  for (auto [i, a] : llvm::enumerate(*perm))
    order[a] = i;
  return {order};
}
V graph::size(const V &x, int64_t axis) {
  Shape s = x.shape();
  if (s[axis].known())
    return double(s[axis].size);
  return {x.builder, SizeOp::create(*x.builder, x.value(), s.axis(axis))};
}
int64_t graph::sizeOf(ImplicitLocOpBuilder &b, const Dim &d) {
  if (d.known())
    return d.size;
  mlir::emitError(b.getLoc()) << "this needs the size of dimension '" << d.str()
                              << "': give it with --dims";
  return 1;
}
int64_t graph::extent(const V &x, int64_t axis) {
  return sizeOf(*x.builder, x.shape()[axis]);
}
int64_t graph::offset(const Vs &xs, int64_t axis, unsigned i) {
  int64_t at = 0;
  for (unsigned k = 0; k < i; ++k)
    at += extent(xs[k], axis);
  return at;
}
V graph::elements(const V &x, Axes axes, const V &as) {
  Shape s = x.shape();
  V n = 1.0;
  for (int64_t i = 0; i < s.rank(); ++i)
    if (!axes || axes->empty() ||
        llvm::any_of(*axes, [&](int64_t a) { return s.axis(a) == i; }))
      n = n * convert(size(x, i), as.shape().element);
  return n;
}
V graph::iota(ImplicitLocOpBuilder &b, const Shape &to, int64_t axis) {
  return {&b, IotaOp::create(b, to.type(), TypeAttr::get(to.type()),
                             b.getI64IntegerAttr(axis))};
}

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

template <typename Op> static V reduce(const V &x, Axes axes, bool keepdims) {
  if (!x)
    return x;
  ImplicitLocOpBuilder &b = *x.builder;
  return {&b, Op::create(b, x.value(),
                         axes && !axes->empty() ? b.getDenseI64ArrayAttr(*axes)
                                                : DenseI64ArrayAttr(),
                         keepdims)};
}
V graph::reduce_sum(const V &x, Axes axes, bool keepdims) {
  return reduce<ReduceSumOp>(x, axes, keepdims);
}
V graph::reduce_sum(const V &x, std::initializer_list<int64_t> axes,
                    bool keepdims) {
  return reduce<ReduceSumOp>(x, Axes(List(axes)), keepdims);
}
V graph::reduce_max(const V &x, std::initializer_list<int64_t> axes,
                    bool keepdims) {
  return reduce<ReduceMaxOp>(x, Axes(List(axes)), keepdims);
}
V graph::reduce_max(const V &x, List axes, bool keepdims) {
  return reduce<ReduceMaxOp>(x, Axes(axes), keepdims);
}
V graph::reduce_prod(const V &x, Axes axes, bool keepdims) {
  return reduce<ReduceProdOp>(x, axes, keepdims);
}
Shape graph::kept(const V &x, Axes axes) {
  Shape s = x.shape();
  for (int64_t i = 0; i < s.rank(); ++i)
    if (!axes || axes->empty() ||
        llvm::any_of(*axes, [&](int64_t a) { return s.axis(a) == i; }))
      s[i] = {1};
  return s;
}
V graph::shared(const V &x, const V &out, const V &ct, Axes axes) {
  if (!ct)
    return ct;
  Shape k = kept(x, axes);
  V hit = indicator(eq(x, reshape(out, k)), x);
  return hit * (reshape(ct, k) / reduce_sum(hit, axes, true));
}
Vs graph::cotangents(ImplicitLocOpBuilder *b, ValueRange cts, const Vs &outs) {
  Vs all(b, cts);
  if (llvm::any_of(cts, [](Value v) { return !!v; }))
    for (auto [ct, out] : llvm::zip(all, outs))
      if (!ct)
        ct = constant(out, out.shape(), 0);
  return all;
}

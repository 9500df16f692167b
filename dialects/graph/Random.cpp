//===- Random.cpp - numbers from a counter --------------------------------===//

#include "gradus/Random.h"
#include "Build.h"

using namespace gradus;
using namespace gradus::graph;

#define GET_OP_CLASSES
#include "dialects/graph/Random.cpp.inc"

Shapes Infer::random(Arg seed, Shape to) {
  if (!seed.isInteger() || seed.rank() != 0)
    return fail(seed.value)
           << "the seed must be i32[] or i64[], not " << seed.str();
  if (!to.isFloat() || to.element != sumType(to.element))
    return fail() << "random numbers are f32 or f64, not " << to.str()
                  << (to.isFloat() ? "; 'cast' rounds them" : "");
  return to;
}
Shapes Infer::dropout(Arg x, Arg seed, double rate) {
  if (x.failed)
    return x;
  if (!(rate >= 0 && rate < 1))
    return fail() << "rate must be at least 0 and below 1";
  Shape numbers = x;
  numbers.element = sumType(x.element);
  Shapes checked = random(seed, numbers);
  return checked.shapes ? Shapes(x) : checked;
}

V graph::uniform(const V &seed, const Shape &to, int64_t stream) {
  ImplicitLocOpBuilder &b = *seed.builder;
  Shape type = to;
  type.element = sumType(to.element);
  return {&b, UniformOp::create(b, type.type(), seed.value(),
                                TypeAttr::get(type.type()),
                                b.getI64IntegerAttr(stream))};
}

template <typename Op, typename F>
static SmallVector<Array> generate(Op op, const Array &seed, F f) {
  Array out(cast<RankedTensorType>(op.getType()).getShape());
  auto key = static_cast<uint64_t>(static_cast<int64_t>(seed.data[0]));
  for (auto [i, x] : llvm::enumerate(out.data))
    x = f(random::threefry2x32(key, op.getStream(), i));
  return {out};
}
SmallVector<Array> UniformOp::evaluate(ArrayRef<Array> in) {
  return generate(*this, in[0], random::uniform);
}
SmallVector<Array> NormalOp::evaluate(ArrayRef<Array> in) {
  return generate(*this, in[0], random::normal);
}

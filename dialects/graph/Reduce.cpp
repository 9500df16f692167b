//===- Reduce.cpp - one number from many along axes -----------------------===//

#include "Build.h"

using namespace gradus;
using namespace gradus::graph;

#define GET_OP_CLASSES
#include "dialects/graph/Reduce.cpp.inc"

Shapes Infer::reduce(Arg x, Axes axes, bool keepdims) {
  if (Shapes checked = within(x, axes.value_or(List())); !checked.shapes)
    return checked;
  Shape out(x.element, {});
  for (int64_t i = 0; i < x.rank(); ++i) {
    bool gone = !axes || axes->empty() ||
                llvm::any_of(*axes, [&](int64_t a) { return x.axis(a) == i; });
    if (!gone)
      out.dims.push_back(x[i]);
    else if (keepdims)
      out.dims.push_back({1});
  }
  return out;
}

//===----------------------------------------------------------------------===//
// Reference
//===----------------------------------------------------------------------===//

template <typename Op, typename F>
static SmallVector<Array> reduce(Op op, const Array &x, double start, F f) {
  SmallVector<int64_t> kept(x.shape);
  Shape shape(op.getX());
  for (int64_t i = 0; i < x.rank(); ++i)
    if (auto axes = op.getAxes();
        !axes || axes->empty() ||
        llvm::any_of(*axes, [&](int64_t a) { return shape.axis(a) == i; }))
      kept[i] = 1;
  Array out(kept, start);
  forEachIndex<2>(
      x.shape, {0, 0}, {x.strides(), out.broadcastStrides(x.rank())},
      [&](auto at) { out.data[at[1]] = f(out.data[at[1]], x.data[at[0]]); });
  out.shape =
      SmallVector<int64_t>(cast<RankedTensorType>(op.getType()).getShape());
  return {out};
}
SmallVector<Array> ReduceSumOp::evaluate(ArrayRef<Array> in) {
  return reduce(*this, in[0], 0, [](double a, double b) { return a + b; });
}
SmallVector<Array> ReduceProdOp::evaluate(ArrayRef<Array> in) {
  return reduce(*this, in[0], 1, [](double a, double b) { return a * b; });
}
SmallVector<Array> ReduceMaxOp::evaluate(ArrayRef<Array> in) {
  return reduce(*this, in[0], -INFINITY,
                [](double a, double b) { return std::max(a, b); });
}
SmallVector<Array> ReduceMinOp::evaluate(ArrayRef<Array> in) {
  return reduce(*this, in[0], INFINITY,
                [](double a, double b) { return std::min(a, b); });
}
SmallVector<Array> ArgmaxOp::evaluate(ArrayRef<Array> in) {
  const Array &x = in[0];
  Array out(cast<RankedTensorType>(getType()).getShape());
  int64_t axis = Shape(getX()).axis(getAxis());
  int64_t stride = x.strides()[axis], n = x.shape[axis];
  SmallVector<int64_t> rows(x.shape);
  Strides step = x.strides();
  rows.erase(rows.begin() + axis);
  step.erase(step.begin() + axis);
  forEachIndex<2>(rows, {0, 0}, {step, out.strides()}, [&](auto at) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; ++i)
      if (x.data[at[0] + i * stride] > x.data[at[0] + best * stride])
        best = i;
    out.data[at[1]] = best;
  });
  return {out};
}

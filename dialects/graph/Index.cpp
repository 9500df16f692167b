//===- Index.cpp - rows by number -----------------------------------------===//

#include "Batch.h"
#include "Build.h"

using namespace gradus;
using namespace gradus::graph;

#define GET_OP_CLASSES
#include "dialects/graph/Index.cpp.inc"

//===----------------------------------------------------------------------===//
// Shape rules
//===----------------------------------------------------------------------===//

Shapes Infer::gather(Arg x, Arg ids, int64_t axis) {
  if (!x.hasAxis(axis))
    return badAxis(x, axis);
  if (Arg checked = integers(ids); checked.failed)
    return checked;
  Shape out(x.element, ArrayRef(x.dims).take_front(x.axis(axis)));
  llvm::append_range(out.dims, ids.dims);
  llvm::append_range(out.dims, ArrayRef(x.dims).drop_front(x.axis(axis) + 1));
  return out;
}
Shapes Infer::scatter(Arg g, Arg ids, Shape to, int64_t axis) {
  Arg whole(Value{});
  static_cast<Shape &>(whole) = to;
  if (!whole.hasAxis(axis))
    return fail() << "axis " << axis << " is out of range for " << to.str();
  Shapes gathered = gather(whole, ids, axis);
  if (gathered.shapes && gathered.shapes->front().type() != g.type())
    return fail(g.value) << "slices of " << to.str() << " at " << ids.str()
                         << " are " << gathered.shapes->front().str()
                         << ", not " << g.str();
  return gathered.shapes ? Shapes(to) : gathered;
}
Shapes Infer::oneHot(Arg ids, Shape to) {
  if (Arg checked = integers(ids); checked.failed)
    return checked;
  bool fits = to.rank() == ids.rank() + 1;
  for (int64_t i = 0; fits && i < ids.rank(); ++i)
    fits = to[i] == ids[i];
  if (!fits)
    return fail(ids.value) << "one_hot of " << ids.str()
                           << " has its axes and one more, not " << to.str();
  if (!to.isFloat() && !to.isInteger())
    return fail() << "one_hot gives numbers, not " << to.str();
  return to;
}

//===----------------------------------------------------------------------===//
// Expressions
//===----------------------------------------------------------------------===//

V graph::gather(const V &x, const V &ids, int64_t axis) {
  if (!x)
    return x;
  return {x.builder,
          GatherOp::create(*x.builder, x.value(), ids.value(), axis)};
}
V graph::scatter_add(const V &g, const V &ids, const Shape &to, int64_t axis) {
  if (!g)
    return g;
  ImplicitLocOpBuilder &b = *g.builder;
  return {&b, ScatterAddOp::create(b, to.type(), g.value(), ids.value(),
                                   TypeAttr::get(to.type()),
                                   b.getI64IntegerAttr(axis))};
}
V graph::one_hot(const V &ids, const Shape &to) {
  ImplicitLocOpBuilder &b = *ids.builder;
  return {&b, OneHotOp::create(b, to.type(), ids.value(),
                               TypeAttr::get(to.type()))};
}
V graph::append(const V &x) {
  Shape s = x.shape();
  s.dims.push_back({1});
  return reshape(x, s);
}
Shape graph::typed(Shape s, const V &like) {
  s.element = like.shape().element;
  return s;
}

//===----------------------------------------------------------------------===//
// Under vmap
//===----------------------------------------------------------------------===//

/// Row numbers of the rows of all examples, one after the other.
static V amongAll(const Mapped &ids, Dim rows) {
  ImplicitLocOpBuilder &b = *ids.builder;
  V own = convert(ids, b.getI64Type());
  Shape first = own.shape();
  for (Dim &d : llvm::drop_begin(first.dims))
    d = {1};
  V shifted = own + iota(b, first, 0) * double(rows.size);
  V below = select(gt(double(rows.size), own), shifted, -1.0);
  return select(ge(own, 0.0), below, -1.0);
}

V graph::batchedGather(const Mapped &x, const Mapped &ids, int64_t axis) {
  axis = x.one.axis(axis);
  if (!ids.mapped)
    return gather(x, ids, axis + 1);
  if (!x.mapped)
    return moveAxis(gather(x, ids, axis), axis, 0);
  Dim rows = x.one[axis];
  if (!x.n.known() || !rows.known())
    return 0.0;
  V all = gather(merge(moveAxis(x, axis + 1, 1), 0), amongAll(ids, rows), 0);
  // The axes before `axis` stand behind those of the indices.
  for (int64_t i = 0; i < axis; ++i)
    all = moveAxis(all, ids.one.rank() + 1 + i, 1 + i);
  return all;
}

V graph::batchedScatterAdd(const Mapped &g, const Mapped &ids, const Shape &to,
                           int64_t axis) {
  axis = to.axis(axis);
  if (!ids.mapped)
    return scatter_add(g, ids, stacked(to, g.n), axis + 1);
  Dim rows = to[axis];
  if (!g.n.known() || !rows.known())
    return 0.0;
  V slices = spread(g);
  for (int64_t i = 0; i < axis; ++i)
    slices = moveAxis(slices, 1, ids.one.rank() + axis);
  Shape all = to;
  all.dims.erase(all.dims.begin() + axis);
  all.dims.insert(all.dims.begin(), Dim{g.n.size * rows.size});
  V sums = scatter_add(slices, amongAll(ids, rows), all, 0);
  return moveAxis(split(sums, 0, g.n, rows), 1, axis + 1);
}

//===----------------------------------------------------------------------===//
// Reference
//===----------------------------------------------------------------------===//

/// Calls `f(offset in x, offset in out)` for every element that a gather
/// moves; `out` has the axes of `ids` in place of `axis` of `x`.
template <typename F>
static void gathered(const Array &x, const Array &ids, const Array &out,
                     int64_t axis, F f) {
  Strides sx = x.strides(), si = ids.strides(), so = out.strides();
  SmallVector<int64_t> space(out.shape);
  // Under the result's space: x moves with the axes that are not indices,
  // ids with those that are.
  Strides xs(space.size(), 0), is(space.size(), 0);
  for (int64_t k = 0, e = space.size(); k < e; ++k) {
    if (k < axis)
      xs[k] = sx[k];
    else if (k < axis + ids.rank())
      is[k] = si[k - axis];
    else
      xs[k] = sx[k - ids.rank() + 1];
  }
  forEachIndex<3>(space, {0, 0, 0}, {xs, is, so}, [&](auto at) {
    double id = ids.data[at[1]];
    if (id >= 0 && id < x.shape[axis])
      f(at[0] + int64_t(id) * sx[axis], at[2]);
  });
}
SmallVector<Array> GatherOp::evaluate(ArrayRef<Array> in) {
  Array out(cast<RankedTensorType>(getType()).getShape());
  gathered(in[0], in[1], out, Shape(getX()).axis(getAxis()),
           [&](int64_t x, int64_t o) { out.data[o] = in[0].data[x]; });
  return {out};
}
SmallVector<Array> ScatterAddOp::evaluate(ArrayRef<Array> in) {
  Array out(cast<RankedTensorType>(getType()).getShape());
  gathered(out, in[1], in[0], Shape(getOut()).axis(getAxis()),
           [&](int64_t x, int64_t o) { out.data[x] += in[0].data[o]; });
  return {out};
}

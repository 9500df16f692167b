//===- Batch.cpp - one op for all examples of a `vmap` --------------------===//

#include "Batch.h"

using namespace gradus;
using namespace gradus::graph;

//===----------------------------------------------------------------------===//
// Axes
//===----------------------------------------------------------------------===//

Shape graph::stacked(const Shape &one, Dim n) {
  Shape all = one;
  all.dims.insert(all.dims.begin(), n);
  return all;
}

V graph::spread(const Mapped &x) {
  return !x || x.mapped ? V(x) : broadcast(x, stacked(x.one, x.n));
}

V graph::aligned(const Mapped &x, int64_t rank) {
  if (!x.mapped)
    return x;
  Shape to = x.shape();
  to.dims.insert(to.dims.begin() + 1, std::max<int64_t>(0, rank - x.one.rank()),
                 Dim{1});
  return reshape(x, to);
}

bool graph::mergeable(Dim a, Dim b) {
  return (a.known() && b.known()) || a.size == 1 || b.size == 1;
}
static Dim product(Dim a, Dim b) {
  return a.size == 1 ? b : b.size == 1 ? a : Dim{a.size * b.size};
}

V graph::merge(const V &x, int64_t axis) {
  Shape to = x.shape();
  to[axis] = product(to[axis], to[axis + 1]);
  to.dims.erase(to.dims.begin() + axis + 1);
  return reshape(x, to);
}
V graph::split(const V &x, int64_t axis, Dim outer, Dim inner) {
  Shape to = x.shape();
  axis = to.axis(axis);
  to[axis] = outer;
  to.dims.insert(to.dims.begin() + axis + 1, inner);
  return reshape(x, to);
}

V graph::together(const Mapped &x) {
  return mergeable(x.n, x.one[0]) ? merge(x, 0) : V(0.0);
}
Shape graph::together(const Shape &one, const Examples &examples) {
  Shape all = one;
  all[0] = product(examples.count, one[0]);
  return all;
}
V graph::apart(const V &x, const Mapped &like) {
  return x ? split(x, 0, like.n, like.one[0]) : x;
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

/// An axis of one example as an axis of all.
static int64_t behindExamples(int64_t axis) {
  return axis < 0 ? axis : axis + 1;
}

/// The attributes that speak of axes, as they are said of all examples.
static void moveAxes(Operation *op, const Shape &one, Dim n) {
  Builder b(op->getContext());
  if (auto axis = op->getAttrOfType<IntegerAttr>("axis"))
    op->setAttr("axis", b.getI64IntegerAttr(behindExamples(axis.getInt())));
  if (auto to = op->getAttrOfType<TypeAttr>("to"))
    op->setAttr("to", TypeAttr::get(stacked(Shape(to.getValue()), n).type()));
  if (auto perm = op->getAttrOfType<DenseI64ArrayAttr>("perm")) {
    SmallVector<int64_t> order{0};
    for (int64_t axis : perm.asArrayRef())
      order.push_back(one.axis(axis) + 1);
    op->setAttr("perm", b.getDenseI64ArrayAttr(order));
  }
  bool reduces =
      isa<ReduceSumOp, ReduceMeanOp, ReduceMaxOp, ReduceMinOp, ReduceProdOp>(
          op);
  if (auto given = op->getAttrOfType<DenseI64ArrayAttr>("axes");
      given || reduces) {
    SmallVector<int64_t> axes;
    if (given)
      axes = llvm::map_to_vector(given.asArrayRef(), behindExamples);
    if (axes.empty()) // every axis
      axes = llvm::to_vector(llvm::seq<int64_t>(1, one.rank() + 1));
    op->setAttr("axes", b.getDenseI64ArrayAttr(axes));
  }
}

/// The op again, with other operands and types for all examples.
static Operation *again(ImplicitLocOpBuilder &b, Operation *op,
                        ArrayRef<Value> operands, Dim n) {
  Operation *all = op->clone();
  all->setLoc(b.getLoc());
  all->setOperands(operands);
  for (mlir::OpResult r : all->getResults())
    r.setType(stacked(Shape(r), n).type());
  b.insert(all);
  return all;
}

SmallVector<Value> graph::batched(ImplicitLocOpBuilder &b, Operation *op,
                                  const Examples &examples) {
  Mappeds operands(&b, op->getOperands(), examples);
  SmallVector<Value> values;
  if (isa<Formula>(op)) {
    int64_t rank = Shape(op->getResult(0)).rank();
    for (const Mapped &x : operands)
      values.push_back(aligned(x, rank).value());
    return {again(b, op, values, examples.count)->getResult(0)};
  }
  if (op->hasTrait<Batchwise>()) {
    // A sum over every axis of a number is that number.
    bool isNumber = operands[0].one.rank() == 0;
    if (isNumber &&
        isa<ReduceSumOp, ReduceMeanOp, ReduceMaxOp, ReduceMinOp, ReduceProdOp>(
            op))
      return {operands[0].value()};
    for (const Mapped &x : operands)
      values.push_back(spread(x).value());
    Operation *all = again(b, op, values, examples.count);
    moveAxes(all, operands[0].one, examples.count);
    return SmallVector<Value>(all->getResults());
  }
  if (auto rule = dyn_cast<Batchable>(op))
    if (Value all = rule.buildBatched(b, examples))
      return {all};
  return {};
}

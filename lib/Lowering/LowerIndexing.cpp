//===- LowerIndexing.cpp - rows by number ---------------------------------===//
//
// An index outside the axis reads zeros and adds nothing.
//
//===----------------------------------------------------------------------===//

#include "LinalgBuilder.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace gradus;
using namespace gradus::graph;

/// An index as an `index`, 0 where it lies outside the axis, and whether it
/// lies inside.
static std::pair<Value, Value> checkedIndex(ImplicitLocOpBuilder &b, Value id,
                                            int64_t size) {
  Value index = mlir::arith::IndexCastOp::create(b, b.getIndexType(), id);
  Value n = mlir::arith::ConstantIndexOp::create(b, size),
        zero = mlir::arith::ConstantIndexOp::create(b, 0);
  // As unsigned, a negative index is a large one.
  Value inside =
      mlir::arith::CmpIOp::create(b, mlir::arith::CmpIPredicate::ult, index, n);
  return {mlir::arith::SelectOp::create(b, inside, index, zero), inside};
}

Value LinalgBuilder::gather(GatherOp op, mlir::IRMapping &lowered) {
  Value x = lowered.lookup(op.getX()), ids = lowered.lookup(op.getIds());
  RankedTensorType type = tensorType(op.getOut());
  int64_t axis = Shape(op.getX()).axis(op.getAxis()),
          idRank = tensorType(ids).getRank();
  int64_t size = tensorType(x).getDimSize(axis);
  if (size == 0)
    return zeros(type);
  SmallVector<AffineExpr> exprs;
  for (int64_t i = 0; i < idRank; ++i)
    exprs.push_back(dim(axis + i));
  return parallel(
      ids, map(type.getRank(), exprs), type,
      [&](ImplicitLocOpBuilder &inner, ValueRange args) -> Value {
        auto [index, inside] = checkedIndex(inner, args[0], size);
        SmallVector<Value> at;
        for (int64_t i = 0, e = tensorType(x).getRank(); i < e; ++i)
          at.push_back(i == axis ? index
                                 : Value(mlir::linalg::IndexOp::create(
                                       inner, i < axis ? i : i + idRank - 1)));
        Value v = mlir::tensor::ExtractOp::create(inner, x, at);
        Value zero = mlir::arith::ConstantOp::create(
            inner, inner.getZeroAttr(type.getElementType()));
        return mlir::arith::SelectOp::create(inner, inside, v, zero);
      });
}

Value LinalgBuilder::scatterAdd(ScatterAddOp op, mlir::IRMapping &lowered) {
  Value g = lowered.lookup(op.getG()), ids = lowered.lookup(op.getIds());
  RankedTensorType type = tensorType(op.getOut()), from = tensorType(g);
  int64_t axis = Shape(op.getOut()).axis(op.getAxis()),
          idRank = tensorType(ids).getRank();
  if (type.getNumElements() == 0 || from.getNumElements() == 0)
    return zeros(type);
  Value out = zeros(sumsOf(type));
  // Loops over the slices, in order: two may go to one place.
  SmallVector<Value> low, high, step, at;
  for (const Dim &d : Shape(op.getG()).dims) {
    low.push_back(mlir::arith::ConstantIndexOp::create(b, 0));
    high.push_back(
        d.name ? RuntimeLength{d.name, 1}.build(b, b.getLoc())
               : Value(mlir::arith::ConstantIndexOp::create(b, d.size)));
    step.push_back(mlir::arith::ConstantIndexOp::create(b, 1));
  }
  auto body = [&](OpBuilder &nested, Location loc, ValueRange at,
                  ValueRange sums) -> mlir::scf::ValueVector {
    ImplicitLocOpBuilder inner(loc, nested);
    Value id =
        mlir::tensor::ExtractOp::create(inner, ids, at.slice(axis, idRank));
    auto [index, inside] = checkedIndex(inner, id, type.getDimSize(axis));
    SmallVector<Value> to(at.take_front(axis));
    to.push_back(index);
    llvm::append_range(to, at.drop_front(axis + idRank));
    Value v = mlir::tensor::ExtractOp::create(inner, g, at);
    Value zero = mlir::arith::ConstantOp::create(
        inner, inner.getZeroAttr(type.getElementType()));
    Value term = mlir::arith::SelectOp::create(inner, inside, v, zero);
    Value old = mlir::tensor::ExtractOp::create(inner, sums[0], to);
    term = widened(inner, term, old.getType());
    Value sum = mlir::arith::AddFOp::create(inner, old, term);
    return {mlir::tensor::InsertOp::create(inner, sum, sums[0], to)};
  };
  if (from.getRank() == 0)
    return rounded(body(b, b.getLoc(), {}, out)[0], type);
  auto nest =
      mlir::scf::buildLoopNest(b, b.getLoc(), low, high, step, out, body);
  return rounded(nest.results[0], type);
}

Value LinalgBuilder::lookUp(Operation *op, mlir::IRMapping &lowered) {
  if (auto o = dyn_cast<GatherOp>(op))
    return gather(o, lowered);
  if (auto o = dyn_cast<ScatterAddOp>(op))
    return scatterAdd(o, lowered);
  return {};
}

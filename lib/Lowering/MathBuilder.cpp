//===- MathBuilder.cpp - functions of vectors, written as arithmetic ------===//

#include "MathBuilder.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace scf = mlir::scf;
namespace vector = mlir::vector;

/// `one` of each lane of the vectors, one after the other: a loop, for code
/// that hardly ever runs and is to be small.
static Value
laneByLane(ImplicitLocOpBuilder &b, ValueRange vectors,
           function_ref<Value(ImplicitLocOpBuilder &, ValueRange)> one) {
  auto number = [&](int64_t n) { return arith::ConstantIndexOp::create(b, n); };
  auto type = cast<mlir::VectorType>(vectors[0].getType());
  assert(type.getRank() == 1 && "loops run along one vector");
  return scf::ForOp::create(
             b, number(0), number(type.getNumElements()), number(1), vectors[0],
             [&](OpBuilder &at, Location loc, Value lane, ValueRange now) {
               ImplicitLocOpBuilder inner(loc, at);
               SmallVector<Value> elements;
               for (Value v : vectors)
                 elements.push_back(vector::ExtractOp::create(inner, v, lane));
               Value all = vector::InsertOp::create(inner, one(inner, elements),
                                                    now[0], lane);
               scf::YieldOp::create(inner, all);
             })
      .getResult(0);
}

Value gradus::fastOrLaneByLane(
    ImplicitLocOpBuilder &b, ValueRange vectors, Value condition,
    function_ref<Value(ImplicitLocOpBuilder &)> fast,
    function_ref<Value(ImplicitLocOpBuilder &, ValueRange)> one) {
  Value all =
      vector::ReductionOp::create(b, vector::CombiningKind::AND, condition);
  return scf::IfOp::create(
             b, all,
             [&](OpBuilder &at, Location loc) {
               ImplicitLocOpBuilder inner(loc, at);
               scf::YieldOp::create(inner, fast(inner));
             },
             [&](OpBuilder &at, Location loc) {
               ImplicitLocOpBuilder inner(loc, at);
               scf::YieldOp::create(inner, laneByLane(inner, vectors, one));
             })
      .getResult(0);
}

//===- ProductEnd.cpp - what happens to a product's sums ------------------===//

#include "ProductEnd.h"
#include "EmitOp.h"
#include <numeric>

using namespace gradus;
using namespace gradus::gpu;
namespace linalg = mlir::linalg;

bool ProductEnd::areInLine(int64_t count) {
  if (p.columns.empty())
    return count == 1;
  const Axis &last = p.columns.back();
  return last.size % count == 0 &&
         op.getStaticLoopRanges()[last.loops.back()] % count == 0;
}

/// What the places in the result of the first of so many neighbours are
/// multiples of.
int64_t ProductEnd::multipleOfPlaces(int64_t count) const {
  int64_t multiple = p.out.offset;
  auto add = [&](int64_t step) { multiple = std::gcd(multiple, step); };
  for (ArrayRef<Axis> axes : {ArrayRef(p.batch), ArrayRef(p.rows)})
    for (const Axis &a : axes)
      add(a.steps[Out]);
  for (const Axis &a : p.columns)
    add(a.steps[Out] * (&a == &p.columns.back() ? count : 1));
  return std::max<int64_t>(multiple, 1);
}

void ProductEnd::finish(Kernel &k, const AxisIndex &batch, const AxisIndex &row,
                        const AxisIndex &column, ValueRange sums) {
  auto count = int64_t(sums.size());
  Element result{p.out, k.at.number(p.out.offset)};
  if (p.out.start)
    result.place = k.at.add(result.place, k.inside(p.out.start));
  for (const AxisIndex *index : {&batch, &row, &column})
    result.place = k.at.add(result.place, index->part(k, Out));
  result.multiple = multipleOfPlaces(count);

  Position at{{}, count, 0};
  for (unsigned d = 0; d < op.getNumLoops(); ++d)
    at.loops.push_back(k.at.number(0)); // those of size 1, and the sum's
  for (const AxisIndex *index : {&batch, &row, &column})
    index->setLoops(k, p, at.loops);

  // What is read for all comes before what is stored: neighbours meet.
  SmallVector<SmallVector<Stored>> ofNeighbours;
  for (Value sum : sums) {
    ofNeighbours.push_back(finish(k, at, result, sum));
    ++at.behind;
    result.behind += p.columns.empty() ? 0 : p.columns.back().steps[Out];
  }
  for (size_t buffer = 0; buffer < ofNeighbours[0].size(); ++buffer)
    for (const auto &stored : ofNeighbours)
      k.store(stored[buffer].element, stored[buffer].value);
}

SmallVector<ProductEnd::Stored>
ProductEnd::finish(Kernel &k, const Position &at, Element result, Value sum) {
  SmallVector<Stored> stored;
  if (!epilogue.startsAtZero)
    sum = k.sum(k.load(result), sum);
  if (epilogue.stores)
    stored.push_back({result, sum});
  if (follower)
    follow(k, at, sum, stored);
  return stored;
}

void ProductEnd::follow(Kernel &k, const Position &at, Value sum,
                        SmallVectorImpl<Stored> &stored) {
  mlir::AffineMap written = op.getIndexingMapsArray().back(),
                  read = follower.getMatchingIndexingMap(epilogue.result);
  SmallVector<Value> first = epilogue.loops(op, at.loops);
  std::optional<unsigned> innermost;
  for (unsigned axis = 0; axis < read.getNumResults(); ++axis)
    if (!p.columns.empty() &&
        written.getDimPosition(axis) == p.columns.back().loops.back())
      innermost = read.getDimPosition(axis);
  SmallVector<Value> own = first;
  if (at.behind != 0)
    own[*innermost] = k.at.add(own[*innermost], at.behind);

  // Behind the first one's, if the operand's place is linear in the loop.
  auto elementOf = [&](mlir::OpOperand &o) {
    Element e{*Access::of(o.get()), {}};
    mlir::AffineMap map = follower.getMatchingIndexingMap(&o);
    int64_t step = 0, multiple = e.access.offset;
    bool isLinear = true;
    for (auto [i, index] : llvm::enumerate(map.getResults())) {
      int64_t ofIndex = e.access.steps[i];
      if (innermost && index.isFunctionOfDim(*innermost)) {
        isLinear &= isa<mlir::AffineDimExpr>(index);
        step += ofIndex;
        ofIndex *= at.count;
      }
      multiple = std::gcd(multiple, ofIndex);
    }
    e.place = k.placeOf(
        e.access, OpEmitter::operandIndices(k, map, isLinear ? first : own));
    if (isLinear) {
      e.behind = at.behind * step;
      e.multiple = std::max<int64_t>(multiple, 1);
    }
    return e;
  };
  SmallVector<Value> values = OpEmitter::emitBody(
      k, mlir::cast<linalg::LinalgOp>(follower.getOperation()), own,
      [&](mlir::OpOperand &o) -> Value {
        Value given = epilogue.given(k, o, sum);
        return given ? given : k.load(elementOf(o));
      });
  for (auto [init, v] : llvm::zip(follower.getDpsInitsMutable(), values))
    stored.push_back({elementOf(init), v});
}

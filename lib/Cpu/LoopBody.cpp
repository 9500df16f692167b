//===- LoopBody.cpp - an op's body where its loops stand ------------------===//

#include "LoopBody.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/IRMapping.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace scf = mlir::scf;
namespace vector = mlir::vector;
using mlir::OpOperand;

Value LoopBody::low(unsigned d) {
  return mlir::getValueOrCreateConstantIndexOp(b, b.getLoc(), ranges[d].low);
}
Value LoopBody::sideAt(unsigned n, int64_t i) {
  return i > 0 ? Value(arith::AddIOp::create(b, sides[n].first, index(i)))
               : sides[n].first;
}
void LoopBody::atEachSide(function_ref<void()> body, unsigned n) {
  if (n == beside.size())
    return body();
  for (int64_t i = 0; i < sides[n].count; ++i) {
    ivs[beside[n].loop] = sideAt(n, i);
    atEachSide(body, n + 1);
  }
}

//===-- Windows -----------------------------------------------------------===//

Value LoopBody::allInside(ArrayRef<unsigned> sums) {
  auto isWindow = [&](OpOperand *in) { return windowOf(*in) != nullptr; };
  if (llvm::none_of(op.getDpsInputOperands(), isWindow))
    return {};
  Value all;
  for (bool last : {false, true}) {
    for (unsigned d : sums)
      ivs[d] =
          last ? index(*mlir::getConstantIntValue(ranges[d].high) - 1) : low(d);
    for (unsigned n = 0; n < beside.size(); ++n)
      ivs[beside[n].loop] = sideAt(n, last ? sides[n].count - 1 : 0);
    for (OpOperand *in : op.getDpsInputOperands()) {
      const Window *window = windowOf(*in);
      if (!window)
        continue;
      Value there = isThere(*window, indicesOf(*in, 0));
      all = all ? Value(arith::AndIOp::create(b, all, there)) : there;
    }
  }
  return all;
}
LoopBody::Values LoopBody::whereInside(ArrayRef<unsigned> sums,
                                       mlir::TypeRange results,
                                       function_ref<Values()> emit) {
  Value inside = allInside(sums);
  if (!inside)
    return emit();
  auto branch = scf::IfOp::create(b, results, inside, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  for (mlir::Region &region : branch->getRegions()) {
    b.setInsertionPointToStart(&region.front());
    isInside = &region == &branch.getThenRegion();
    Values values = emit();
    if (!values.empty())
      scf::YieldOp::create(b, values);
  }
  isInside = false;
  return Values(branch.getResults());
}
bool LoopBody::asksAtEachStep() {
  constexpr int64_t longSum = 16;
  return llvm::any_of(reductions, [&](unsigned d) {
    return lengthOf(d).value_or(longSum) >= longSum;
  });
}

//===-- The body ----------------------------------------------------------===//

LoopBody::Values LoopBody::body(const Values &sums, int64_t vectors,
                                Value mask) {
  auto emit = [&] {
    Values results;
    unsigned k = 0;
    atEachSide([&] { bodyAtRow(sums, vectors, mask, k, results); });
    return results;
  };
  return asksAtEachStep() ? whereInside({}, ValueRange(sums).getTypes(), emit)
                          : emit();
}
Value LoopBody::multiplyAdded(Value v, Value sum) {
  auto add = v.getDefiningOp<arith::AddFOp>();
  if (!add || (add.getLhs() == sum) == (add.getRhs() == sum))
    return v;
  Value other = add.getLhs() == sum ? add.getRhs() : add.getLhs();
  auto product = other.getDefiningOp<arith::MulFOp>();
  return product
             ? vector::FMAOp::create(b, product.getLhs(), product.getRhs(), sum)
                   .getResult()
             : v;
}
void LoopBody::bodyAtRow(const Values &sums, int64_t vectors, Value mask,
                         unsigned &k, Values &results) {
  for (int64_t u = 0; u < vectors; ++u) {
    mlir::IRMapping map;
    SmallVector<Value> before;
    for (OpOperand &o : op->getOpOperands()) {
      BlockArgument arg = op.getMatchingBlockArgument(&o);
      bool isSum = op.isDpsInit(&o) && carried(o);
      Value v;
      if (isSum)
        v = sums[k++];
      else if (!arg.use_empty())
        v = load(o, u, mask);
      if (isSum)
        before.push_back(v);
      if (v)
        map.map(arg, v);
    }
    for (Operation &inner : op.getBlock()->without_terminator())
      cloneInner(inner, map, u);
    unsigned s = 0;
    for (OpOperand &o : op.getDpsInitsMutable()) {
      unsigned r = o.getOperandNumber() - op.getNumDpsInputs();
      Value v =
          map.lookupOrDefault(op.getBlock()->getTerminator()->getOperand(r));
      if (!carried(o)) {
        store(o, v, u, mask);
        continue;
      }
      Value old = before[s++];
      if (isa<mlir::VectorType>(old.getType()))
        v = multiplyAdded(asVector(v), old);
      // Lanes past the end add nothing to a sum of vectors.
      if (mask && !isParallel(*along))
        v = arith::SelectOp::create(b, mask, v, old);
      results.push_back(v);
    }
  }
}

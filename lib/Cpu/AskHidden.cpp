//===- AskHidden.cpp - is what a mask hides zero? -------------------------===//

#include "AskHidden.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace memref = mlir::memref;
namespace scf = mlir::scf;
using mlir::OpOperand;

static Value index(ImplicitLocOpBuilder &b, int64_t n) {
  return arith::ConstantIndexOp::create(b, n);
}
static Value add(ImplicitLocOpBuilder &b, Value v, int64_t n) {
  return arith::AddIOp::create(b, v, index(b, n));
}
static Value least(ImplicitLocOpBuilder &b, Value v, int64_t n) {
  return arith::MinSIOp::create(b, v, index(b, n));
}
static Value most(ImplicitLocOpBuilder &b, Value v, int64_t n) {
  return arith::MaxSIOp::create(b, v, index(b, n));
}

namespace {
class HiddenTest {
public:
  HiddenTest(ImplicitLocOpBuilder &b, OpOperand &operand, const RowBlock &block)
      : b(b), operand(operand), op(cast<linalg::LinalgOp>(operand.getOwner())),
        reach(*Reach::of(op)), group(block.group),
        local(block.buffers.local.lookup(operand.get())), at(op.getNumLoops()) {
    for (auto [loop, i] : llvm::zip(group.loops.find(op)->second, block.at))
      at[loop] = local ? index(b, 0) : i;
    if (group.block > 1)
      firstRow = block.at.back();
  }

  Value emit() {
    auto ranges = op.getStaticLoopRanges();
    int64_t size = ranges[reach.loop], allRows = ranges[reach.row];
    Value none = index(b, 0), all = index(b, size),
          first = firstRow ? firstRow : none,
          end = add(b, first, firstRow ? group.block : allRows);
    // Rows at one index, or, where they are alike, indices at one row.
    if (reach.high < size && reach.asksFarthestRow)
      askIndices(add(b, first, reach.high + 1), all, 0);
    else if (reach.high < size)
      askRows(first, least(b, end, size - 1 - reach.high), size - 1);
    if (reach.low < size && reach.asksFarthestRow)
      askIndices(none, least(b, add(b, end, -1 - reach.low), size),
                 allRows - 1);
    else if (reach.low < size)
      askRows(most(b, first, reach.low + 1), end, 0);
    return found;
  }

private:
  void askIndices(Value from, Value to, int64_t row) {
    at[reach.row] = index(b, row);
    ask({{reach.loop, from, to}});
  }
  void askRows(Value from, Value to, int64_t farthest) {
    if (local && firstRow) {
      from = arith::SubIOp::create(b, from, firstRow);
      to = arith::SubIOp::create(b, to, firstRow);
    }
    at[reach.loop] = index(b, farthest);
    ask({{reach.row, from, to}});
  }
  struct Range {
    unsigned loop;
    Value from, to;
  };
  /// All other loops of the operand run as a whole.
  void ask(SmallVector<Range> ranges) {
    auto map = op.getMatchingIndexingMap(&operand);
    for (auto [d, size] : llvm::enumerate(op.getStaticLoopRanges()))
      if (map.isFunctionOfDim(d) && d != reach.loop && d != reach.row && !at[d])
        ranges.push_back({unsigned(d), index(b, 0), index(b, size)});
    found = askIn(ranges, found ? found
                                : Value(arith::ConstantOp::create(
                                      b, b.getBoolAttr(false))));
  }
  Value askIn(ArrayRef<Range> ranges, Value before) {
    if (ranges.empty())
      return arith::OrIOp::create(b, before, isNonZero(element()));
    const Range &range = ranges.front();
    auto loop = scf::ForOp::create(b, range.from, range.to, index(b, 1),
                                   ValueRange{before});
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value outer = std::exchange(at[range.loop], loop.getInductionVar());
    Value now = askIn(ranges.drop_front(), loop.getRegionIterArgs()[0]);
    at[range.loop] = outer;
    scf::YieldOp::create(b, now);
    return loop.getResult(0);
  }
  Value element() {
    SmallVector<Value> place;
    for (mlir::AffineExpr e : op.getMatchingIndexingMap(&operand).getResults())
      if (auto c = dyn_cast<mlir::AffineConstantExpr>(e))
        place.push_back(index(b, c.getValue()));
      else
        place.push_back(at[cast<mlir::AffineDimExpr>(e).getPosition()]);
    return memref::LoadOp::create(b, local ? local : operand.get(), place);
  }
  Value isNonZero(Value v) {
    if (v.getType().isBF16() || v.getType().isF16())
      v = arith::ExtFOp::create(b, b.getF32Type(), v);
    Value zero = arith::ConstantOp::create(b, b.getZeroAttr(v.getType()));
    if (isa<FloatType>(v.getType())) // or no number
      return arith::CmpFOp::create(b, arith::CmpFPredicate::UNE, v, zero);
    return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, v, zero);
  }

  ImplicitLocOpBuilder &b;
  OpOperand &operand;
  linalg::LinalgOp op;
  Reach reach;
  const RowGroup &group;
  Value local;           ///< where the block's elements are, if so
  SmallVector<Value> at; ///< indices of the loops; null if not known yet
  Value firstRow;        ///< of a block; null if there are none
  Value found;
};
} // namespace

Value gradus::emitAskHidden(ImplicitLocOpBuilder &b, OpOperand &operand,
                            const RowBlock &block) {
  return HiddenTest(b, operand, block).emit();
}

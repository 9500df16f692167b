//===- BlockReach.cpp - a block of rows without what is hidden ------------===//

#include "BlockReach.h"
#include "AskHidden.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace memref = mlir::memref;
namespace scf = mlir::scf;
using mlir::OpOperand;

/// Short units leave out more, long ones keep products' blocks large.
static int64_t unitFor(int64_t size) {
  constexpr int64_t units = 32, wholeVectors = 64;
  return llvm::alignTo(llvm::divideCeil(size, units), wholeVectors);
}

BlockReach::BlockReach(int64_t size) : size(size), unit(unitFor(size)) {}

/// Can a product leave out ends of the loop?
static bool canCut(const Contraction &c, unsigned loop, int64_t unit) {
  int64_t word = c.words.elements * c.words.stepsAtOnce;
  return loop == c.column || (c.row && loop == *c.row) ||
         (c.reductions.size() == 1 && loop == c.reductions[0] &&
          unit % word == 0);
}

/// Does the first member that has to do with the buffer write it, whatever was
/// there?
static bool isMadeAnew(const RowGroup &group, Value buffer) {
  auto touches = [&](Value v) {
    return lowering::viewedBuffer(v) == lowering::viewedBuffer(buffer);
  };
  linalg::LinalgOp first = *llvm::find_if(group.ops, [&](linalg::LinalgOp op) {
    return llvm::any_of(op->getOperands(), touches);
  });
  return llvm::none_of(first->getOpOperands(), [&](OpOperand &o) {
    return touches(o.get()) &&
           (!first.isDpsInit(&o) || first.payloadUsesValueFromOperand(&o));
  });
}

std::optional<BlockReach> BlockReach::of(const KernelWork &work,
                                         const RowGroup &group) {
  std::optional<BlockReach> all;
  bool slants = false;
  for (linalg::LinalgOp op : group.ops) {
    auto reach = Reach::of(op);
    if (!reach)
      continue;
    int64_t size = op.getStaticLoopRanges()[reach->loop];
    if (!all)
      all = BlockReach(size);
    RowPlace place = placeOf(group, op);
    auto c = work.contraction(op, place);
    if (size != all->size || work.winogradOf(op, place) ||
        work.fills.paddingFrom(op))
      return std::nullopt;
    all->cutsLoops &= group.block > 1 && size >= 2 * all->unit &&
                      (!c || canCut(*c, reach->loop, all->unit));
    slants |= c && c->canClip();
    all->below = std::max(all->below, reach->low);
    all->above = std::max(all->above, reach->high);
    if (!reach->tested)
      continue;
    OpOperand &asked = op->getOpOperand(*reach->tested);
    if (op.isDpsInput(&asked))
      all->askedInputs.push_back(&asked);
    else
      all->asksResults = true;
  }
  if (!all || !(all->cutsLoops || slants) ||
      (all->below >= all->size && all->above >= all->size))
    return std::nullopt;
  // What runs again must find what it read the first time.
  if (all->asksResults)
    for (linalg::LinalgOp op : group.ops)
      for (Value in : op.getDpsInputs())
        if (isa<mlir::MemRefType>(in.getType()) && group.writes(in) &&
            !isMadeAnew(group, in))
          return std::nullopt;
  return all;
}

//===----------------------------------------------------------------------===//
// The extent
//===----------------------------------------------------------------------===//

static Value index(ImplicitLocOpBuilder &b, int64_t n) {
  return arith::ConstantIndexOp::create(b, n);
}
static Value flag(ImplicitLocOpBuilder &b, bool value) {
  return arith::ConstantOp::create(b, b.getBoolAttr(value));
}
static Value alignedDown(ImplicitLocOpBuilder &b, Value v, int64_t unit) {
  return arith::SubIOp::create(b, v,
                               arith::RemUIOp::create(b, v, index(b, unit)));
}

/// No end is nearer than a unit to the other: there is always something to sum.
void BlockReach::findExtent(ImplicitLocOpBuilder &b, const RowBlock &block) {
  Value row = block.at.back();
  auto clamp = [&](Value v, int64_t least, Value most) -> Value {
    return arith::MinSIOp::create(
        b, arith::MaxSIOp::create(b, v, index(b, least)), most);
  };
  if (above < size) {
    Value end = clamp(
        arith::AddIOp::create(b, row, index(b, block.group.block + above)), 1,
        index(b, size));
    Value up = arith::AddIOp::create(b, end, index(b, unit - 1));
    high = arith::MinSIOp::create(b, alignedDown(b, up, unit), index(b, size));
  }
  if (below < size) {
    Value last = arith::SubIOp::create(b, high, index(b, 1));
    low = alignedDown(
        b, clamp(arith::SubIOp::create(b, row, index(b, below)), 0, last),
        unit);
  }
}
void BlockReach::wholeIf(ImplicitLocOpBuilder &b, Value condition) {
  low = arith::SelectOp::create(b, condition, index(b, 0), low);
  high = arith::SelectOp::create(b, condition, index(b, size), high);
}
std::optional<Extent> BlockReach::extentOf(Operation *op) const {
  auto reach = Reach::of(op);
  return reach && cutsLoops
             ? std::optional(Extent{reach->loop, low, high, unit})
             : std::nullopt;
}
std::optional<Slant> BlockReach::slantOf(Operation *op) const {
  auto reach = Reach::of(op);
  return reach ? std::optional(Slant{reach->loop, reach->row, reach->low,
                                     reach->high, isWhole})
               : std::nullopt;
}

void BlockReach::emit(ImplicitLocOpBuilder &b, const RowBlock &block,
                      function_ref<void()> emitOps) {
  low = index(b, 0);
  high = index(b, size);
  if (cutsLoops)
    findExtent(b, block);
  isWhole = Value();
  for (OpOperand *in : askedInputs) {
    Value one = emitAskHidden(b, *in, block);
    isWhole = isWhole ? Value(arith::OrIOp::create(b, isWhole, one)) : one;
  }
  if (!asksResults) {
    if (isWhole)
      wholeIf(b, isWhole);
    return emitOps();
  }
  isTooLittle = Value();
  Value no = flag(b, false), limitedLow = low, limitedHigh = high;
  auto take = [&](Value whole) {
    isWhole = whole;
    low = limitedLow;
    high = limitedHigh;
    wholeIf(b, whole);
  };
  auto again = scf::WhileOp::create(b, mlir::TypeRange{no.getType()},
                                    ValueRange{isWhole ? isWhole : no});
  {
    OpBuilder::InsertionGuard guard(b);
    Location loc = b.getLoc();
    b.createBlock(&again.getBefore(), {}, again.getOperandTypes(), loc);
    take(again.getBeforeArguments()[0]);
    emitOps();
    // As a whole it never is too little.
    Value isLimited =
        arith::CmpIOp::create(b, arith::CmpIPredicate::eq, isWhole, no);
    scf::ConditionOp::create(
        b, arith::AndIOp::create(b, isTooLittle, isLimited), isWhole);
    b.createBlock(&again.getAfter(), {}, again.getResultTypes(), loc);
    scf::YieldOp::create(b, flag(b, true));
  }
  take(again.getResult(0));
}

//===----------------------------------------------------------------------===//
// Hidden indices
//===----------------------------------------------------------------------===//

void BlockReach::atHidden(ImplicitLocOpBuilder &b,
                          function_ref<void(Value, Value, int64_t)> body) {
  auto side = [&](Value from, Value to, int64_t farthest) {
    Value any = arith::CmpIOp::create(b, arith::CmpIPredicate::slt, from, to);
    auto branch = scf::IfOp::create(b, any, /*withElseRegion=*/false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    body(from, to, farthest);
  };
  if (above < size)
    side(high, index(b, size), size - 1);
  if (below < size)
    side(index(b, 0), low, 0);
}

void BlockReach::finish(ImplicitLocOpBuilder &b, linalg::LinalgOp op,
                        const RowBlock &block, ArrayRef<LoopRange> ranges,
                        unsigned vectorBits) {
  auto reach = Reach::of(op);
  if (!reach)
    return;
  SmallVector<LoopRange> hidden(ranges);
  if (reach->probes && cutsLoops)
    atHidden(b, [&](Value, Value, int64_t farthest) {
      hidden[reach->loop] = {Value(), b.getIndexAttr(farthest),
                             b.getIndexAttr(farthest + 1), Value()};
      emitLoops(b, op, hidden, block.buffers, vectorBits);
    });
  if (reach->tested && !op.isDpsInput(&op->getOpOperand(*reach->tested))) {
    Value found = emitAskHidden(b, op->getOpOperand(*reach->tested), block);
    isTooLittle = isTooLittle
                      ? Value(arith::OrIOp::create(b, isTooLittle, found))
                      : found;
  }
  if (!cutsLoops)
    return;
  // Others read zeros where nothing was computed.
  for (OpOperand &out : op.getDpsInitsMutable()) {
    auto map = op.getMatchingIndexingMap(&out);
    if (block.buffers.local.contains(out.get()) ||
        !map.isFunctionOfDim(reach->loop))
      continue;
    SmallVector<LoopRange> axes;
    for (mlir::AffineExpr e : map.getResults())
      axes.push_back(ranges[cast<mlir::AffineDimExpr>(e).getPosition()]);
    unsigned axis = *map.getResultPosition(
        mlir::getAffineDimExpr(reach->loop, b.getContext()));
    atHidden(b, [&](Value from, Value to, int64_t) {
      axes[axis] = {Value(), from, to, Value()};
      emitZeros(b, out.get(), axes, vectorBits);
    });
  }
}

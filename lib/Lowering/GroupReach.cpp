//===- GroupReach.cpp - what a group of ops can leave out -----------------===//

#include "GroupReach.h"
#include "RowGroup.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
using mlir::OpOperand;

static std::optional<unsigned> axisOf(mlir::AffineMap map, unsigned loop) {
  return map.getResultPosition(mlir::getAffineDimExpr(loop, map.getContext()));
}
static bool moves(linalg::GenericOp op, OpOperand &o, unsigned loop) {
  return op.getMatchingIndexingMap(&o).isFunctionOfDim(loop);
}
static unsigned resultOf(linalg::GenericOp op, OpOperand &init) {
  return init.getOperandNumber() - op.getNumDpsInputs();
}
static bool addsUp(linalg::GenericOp op, OpOperand &init) {
  return isa_and_nonnull<arith::AddFOp, arith::AddIOp>(
      op.getBody()
          ->getTerminator()
          ->getOperand(resultOf(op, init))
          .getDefiningOp());
}
/// Has each element of an operand one place that loops tell?
static bool isIndexedByLoops(linalg::GenericOp op, OpOperand &o) {
  return llvm::all_of(
      op.getMatchingIndexingMap(&o).getResults(),
      llvm::IsaPred<mlir::AffineConstantExpr, mlir::AffineDimExpr>);
}
static Known zeroOf(Value tensor) {
  return Known::zero(mlir::getElementTypeOrSelf(tensor));
}

//===----------------------------------------------------------------------===//
// Which loop of each member runs along an axis
//===----------------------------------------------------------------------===//

GroupAxis GroupAxis::ofBlocks(Ops members) {
  GroupAxis axis(members);
  for (linalg::GenericOp op : members)
    axis.loops[op] = rowLoopsOf(op).back();
  return axis;
}

bool GroupAxis::follow(linalg::GenericOp op, unsigned loop) {
  SmallVector<linalg::GenericOp> open;
  if (!set(op, loop, open))
    return false;
  while (!open.empty())
    if (!followFrom(open.pop_back_val(), open))
      return false;
  return true;
}
bool GroupAxis::set(linalg::GenericOp op, unsigned loop, OpenOps &open) {
  auto [it, isNew] = loops.try_emplace(op, loop);
  if (isNew)
    open.push_back(op);
  return it->second == loop;
}
bool GroupAxis::setAt(OpOperand &operand, unsigned axis, OpenOps &open) {
  auto op = cast<linalg::GenericOp>(operand.getOwner());
  auto d = dyn_cast<mlir::AffineDimExpr>(
      op.getMatchingIndexingMap(&operand).getResult(axis));
  return d && set(op, d.getPosition(), open);
}
bool GroupAxis::followFrom(linalg::GenericOp op, OpenOps &open) {
  unsigned loop = loops[op];
  for (OpOperand *in : op.getDpsInputOperands()) {
    auto producer = in->get().getDefiningOp<linalg::GenericOp>();
    if (!producer || !members.contains(producer))
      continue;
    auto axis = axisOf(op.getMatchingIndexingMap(in), loop);
    unsigned result = cast<mlir::OpResult>(in->get()).getResultNumber();
    if (axis && !setAt(*producer.getDpsInitOperand(result), *axis, open))
      return false;
  }
  for (OpOperand &init : op.getDpsInitsMutable()) {
    auto axis = axisOf(op.getMatchingIndexingMap(&init), loop);
    for (OpOperand &use : op->getResult(resultOf(op, init)).getUses())
      if (axis && members.contains(use.getOwner()) && !setAt(use, *axis, open))
        return false;
  }
  return true;
}

//===----------------------------------------------------------------------===//
// All members
//===----------------------------------------------------------------------===//

GroupReach::GroupReach(const HiddenParts &hidden,
                       ArrayRef<linalg::GenericOp> members,
                       const GroupAxis &rows)
    : hidden(hidden), members(members), rows(rows), hiddenAxis(members) {
  group.members.insert(members.begin(), members.end());
}

/// Does a result have an element for each point of the loop and the row?
bool GroupReach::writes(linalg::GenericOp op, OpOperand &init,
                        unsigned loop) const {
  return moves(op, init, loop) && op.getIteratorTypesArray()[row(op)] ==
                                      mlir::utils::IteratorType::parallel;
}

SmallVector<Side> GroupReach::sides() const {
  SmallVector<Side> all;
  for (linalg::GenericOp op : members)
    for (OpOperand *in : op.getDpsInputOperands())
      for (const Triangle &t : hidden.trianglesOf(*in))
        if (auto row = rows.loopOf(op); t.less == row || t.greater == row)
          all.push_back({t.less == row, t.least});
  llvm::stable_sort(
      all, [](const Side &a, const Side &b) { return a.least < b.least; });
  return all;
}

std::optional<Reaches> GroupReach::on(Side side) {
  reaches.clear();
  hiddenAxis = GroupAxis(members);
  assumed.clear();
  assumedOfAll.clear();
  if (!followLoops(side))
    return std::nullopt;
  for (linalg::GenericOp op : members)
    if (hiddenAxis.contains(op) && !limit(op, side))
      return std::nullopt;
  return reaches;
}

/// Finds the hidden axis by operands with triangles.
bool GroupReach::followLoops(Side side) {
  for (linalg::GenericOp op : members)
    for (OpOperand *in : op.getDpsInputOperands())
      for (const Triangle &t : hidden.trianglesOf(*in)) {
        auto row = rows.loopOf(op);
        unsigned loop = side.isAbove ? t.greater : t.less;
        if (row && t.contains(side.of(loop, *row)) &&
            !hiddenAxis.follow(op, loop))
          return false;
      }
  auto isApart = [&](linalg::GenericOp op) {
    auto loop = hiddenAxis.loopOf(op), row = rows.loopOf(op);
    return !loop || (row && row != loop);
  };
  return !hiddenAxis.empty() && llvm::all_of(members, isApart);
}
//===----------------------------------------------------------------------===//
// One member
//===----------------------------------------------------------------------===//

/// Gives the op its reach, if hidden points can be left out of it.
bool GroupReach::limit(linalg::GenericOp op, Side side) {
  unsigned loop = *hiddenAxis.loopOf(op);
  int64_t size = op.getStaticLoopRanges()[loop];
  Reach reach{loop, row(op), size, size};
  (side.isAbove ? reach.high : reach.low) = side.least - 1;
  Triangle points = side.of(loop, row(op));
  if (!isSilent(op, points, loop))
    assumeInputZero(op, reach, points);
  if (!handOn(op, hidden.at(op, points, loop, assumed), reach) ||
      !isSilent(op, points, loop))
    return false;
  for (OpOperand &init : op.getDpsInitsMutable())
    reach.probes |= !writes(op, init, loop) && !addsUp(op, init);
  reaches[op] = reach;
  return true;
}
/// Does the op add nothing to its sums at the points, or to a maximum the
/// same at all of them?
bool GroupReach::isSilent(linalg::GenericOp op, const Triangle &points,
                          unsigned loop) const {
  HiddenPoints there = hidden.at(op, points, loop, assumed),
               computed = hidden.at(op, points, loop, assumedOfAll);
  return llvm::all_of(op.getDpsInitsMutable(), [&](OpOperand &init) {
    unsigned number = resultOf(op, init);
    if (writes(op, init, loop))
      return true;
    if (!there.combiners[number])
      return false;
    // A sum is not run there, a maximum is at one of the points.
    return llvm::TypeSwitch<Operation *, bool>(there.combiners[number])
        .Case<arith::AddFOp, arith::AddIOp>(
            [&](auto) { return computed.terms[number].isZero(); })
        .Case<arith::MaximumFOp, arith::MinimumFOp, arith::MaxSIOp,
              arith::MinSIOp>(
            [&](auto) { return there.terms[number].isKnown(); })
        .Default(false);
  });
}
/// Has an input from outside asked before the block, if its elements are the
/// same along the row.
void GroupReach::assumeInputZero(linalg::GenericOp op, Reach &reach,
                                 const Triangle &points) {
  for (OpOperand *in : op.getDpsInputOperands()) {
    Value v = in->get();
    bool isOutside = !v.getDefiningOp() || !isMember(v.getDefiningOp());
    if (!isOutside || assumed.contains(v) || !moves(op, *in, reach.loop) ||
        !moves(op, *in, row(op)) || !isIndexedByLoops(op, *in))
      continue;
    for (unsigned along : {reach.loop, row(op)})
      if (hidden.operandAt(*in, points, along).kind == Known::Alike) {
        assume(v, zeroOf(v));
        reach.tested = in->getOperandNumber();
        reach.asksFarthestRow = along == row(op);
        return;
      }
  }
}
/// What the op hands on at the points: known, or missing to limited members.
bool GroupReach::handOn(linalg::GenericOp op, const HiddenPoints &points,
                        Reach &reach) {
  for (OpOperand &init : op.getDpsInitsMutable()) {
    if (!writes(op, init, reach.loop))
      continue;
    unsigned number = resultOf(op, init);
    Value result = op->getResult(number);
    const Known &made = points.yields[number];
    if (made.kind == Known::Constant && (made.isZero() || group.keeps(result)))
      assume(result, made);
    else if (made.kind == Known::Alike && !reach.tested &&
             isIndexedByLoops(op, init)) {
      assume(result, zeroOf(result));
      assume(op.getBody()->getTerminator()->getOperand(number), zeroOf(result));
      reach.tested = init.getOperandNumber();
    } else if (isReadByLimited(result)) {
      assumed[result] = {Known::Missing};
      continue;
    } else {
      return false;
    }
    reach.probes |= group.handsOn(result);
  }
  return true;
}
bool GroupReach::isReadByLimited(Value v) const {
  return llvm::all_of(
      v.getUsers(), [&](Operation *user) { return hiddenAxis.contains(user); });
}

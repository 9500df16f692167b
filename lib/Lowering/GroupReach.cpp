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
/// Does a result have an element for each point of the loop and the row?
static bool writes(linalg::GenericOp op, OpOperand &init, unsigned loop) {
  return moves(op, init, loop) && !sumsRowsOfBlocks(op);
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
static Known zeroOf(Value tensor) {
  return Known::zero(mlir::getElementTypeOrSelf(tensor));
}
/// Is an operand's element told by the row and the loop?
static bool isOnePlace(linalg::GenericOp op, OpOperand &o, unsigned loop) {
  auto rows = op->getAttrOfType<DenseI64ArrayAttr>(lowering::rowLoopsAttr);
  return llvm::all_of(
      op.getMatchingIndexingMap(&o).getResults(), [&](mlir::AffineExpr e) {
        auto d = dyn_cast<mlir::AffineDimExpr>(e);
        return isa<mlir::AffineConstantExpr>(e) ||
               (d && (d.getPosition() == loop ||
                      llvm::is_contained(rows.asArrayRef(),
                                         int64_t(d.getPosition()))));
      });
}

GroupReach::GroupReach(const HiddenParts &hidden,
                       ArrayRef<linalg::GenericOp> members)
    : hidden(hidden), members(members) {
  for (linalg::GenericOp op : members) {
    group.members.insert(op);
    auto rows = op->getAttrOfType<DenseI64ArrayAttr>(lowering::rowLoopsAttr);
    rowOf[op] = rows.asArrayRef().back();
  }
}

SmallVector<Side> GroupReach::sides() const {
  SmallVector<Side> all;
  for (linalg::GenericOp op : members)
    for (OpOperand *in : op.getDpsInputOperands())
      for (const Triangle &t : hidden.trianglesOf(*in))
        if (t.less == row(op) || t.greater == row(op))
          all.push_back({t.less == row(op), t.least});
  llvm::stable_sort(
      all, [](const Side &a, const Side &b) { return a.least < b.least; });
  return all;
}

std::optional<Reaches> GroupReach::on(Side side) {
  reaches.clear();
  hiddenLoop.clear();
  assumed.clear();
  assumedOfAll.clear();
  if (!followLoops(side))
    return std::nullopt;
  for (linalg::GenericOp op : members)
    if (hiddenLoop.contains(op) && !limit(op, side))
      return std::nullopt;
  return reaches;
}

//===----------------------------------------------------------------------===//
// Which loop of each member runs along the hidden axis
//===----------------------------------------------------------------------===//

bool GroupReach::setLoop(linalg::GenericOp op, unsigned loop, Ops &open) {
  auto [it, isNew] = hiddenLoop.try_emplace(op, loop);
  if (isNew)
    open.push_back(op);
  return it->second == loop && loop != row(op);
}
/// Starts from operands with triangles, and follows the axis along what
/// members hand to each other.
bool GroupReach::followLoops(Side side) {
  SmallVector<linalg::GenericOp> open;
  for (linalg::GenericOp op : members)
    for (OpOperand *in : op.getDpsInputOperands())
      for (const Triangle &t : hidden.trianglesOf(*in)) {
        unsigned loop = side.isAbove ? t.greater : t.less;
        if (t.contains(side.of(loop, row(op))) && !setLoop(op, loop, open))
          return false;
      }
  while (!open.empty())
    if (!followFrom(open.pop_back_val(), open))
      return false;
  return !hiddenLoop.empty();
}
bool GroupReach::followFrom(linalg::GenericOp op, Ops &open) {
  unsigned loop = hiddenLoop[op];
  for (OpOperand *in : op.getDpsInputOperands()) {
    auto producer = in->get().getDefiningOp<linalg::GenericOp>();
    if (!producer || !isMember(producer))
      continue;
    auto axis = axisOf(op.getMatchingIndexingMap(in), loop);
    unsigned result = cast<mlir::OpResult>(in->get()).getResultNumber();
    if (axis &&
        !setLoopAt(producer, *producer.getDpsInitOperand(result), *axis, open))
      return false;
  }
  for (OpOperand &init : op.getDpsInitsMutable()) {
    auto axis = axisOf(op.getMatchingIndexingMap(&init), loop);
    Value result = op->getResult(resultOf(op, init));
    for (OpOperand &use : result.getUses())
      if (axis && isMember(use.getOwner()) &&
          !setLoopAt(cast<linalg::GenericOp>(use.getOwner()), use, *axis, open))
        return false;
  }
  return true;
}
bool GroupReach::setLoopAt(linalg::GenericOp op, OpOperand &operand,
                           unsigned axis, Ops &open) {
  auto d = dyn_cast<mlir::AffineDimExpr>(
      op.getMatchingIndexingMap(&operand).getResult(axis));
  return d && setLoop(op, d.getPosition(), open);
}

//===----------------------------------------------------------------------===//
// One member
//===----------------------------------------------------------------------===//

/// Gives the op its reach, if hidden points can be left out of it.
bool GroupReach::limit(linalg::GenericOp op, Side side) {
  unsigned loop = hiddenLoop[op];
  int64_t size = op.getStaticLoopRanges()[loop];
  Reach reach{loop, size, size};
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
        !moves(op, *in, row(op)) || !isOnePlace(op, *in, reach.loop))
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
             isOnePlace(op, init, reach.loop)) {
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
      v.getUsers(), [&](Operation *user) { return hiddenLoop.contains(user); });
}

//===- LimitReach.cpp - groups leave out what a mask hides ----------------===//
//
// In: groups marked. Out: where a group takes rows in blocks, and for all rows
// of a block what members compute from some index on is hidden by a mask, each
// has its reach (`graph.reach`): products of scores, their softmax, the sum
// with the values that follows, and the same in the gradient.
//
// Members are followed in order. At hidden points each must add nothing to what
// it sums, or the same to a maximum; and what it hands on must be
//   - a constant: outside the group zero, which is written there,
//   - the same along the row: when the code runs, that of the farthest index is
//     made and asked. If it is zero, as an exponential far below its maximum
//     is, so are all; if not, nothing is left out in this block,
//   - or read by none but members that it decides nothing for.
// If one of these fails, the group leaves nothing out on this side.
//
//===----------------------------------------------------------------------===//

#include "HiddenParts.h"
#include "Reach.h"
#include "RowFit.h"
#include "RowGroup.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/TypeSwitch.h"

namespace gradus {
#define GEN_PASS_DEF_LIMITREACH
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
using mlir::OpOperand;

namespace {
/// The side of its row on which indices are hidden, and from how far on.
struct Side {
  bool isAbove;
  int64_t least;

  Triangle of(unsigned loop, unsigned row) const {
    return isAbove ? Triangle{loop, row, least} : Triangle{row, loop, least};
  }
};

/// What a group of ops can leave out on one side.
class GroupReach {
public:
  GroupReach(const HiddenParts &hidden, ArrayRef<linalg::GenericOp> members)
      : hidden(hidden), members(members) {
    for (linalg::GenericOp op : members) {
      auto rows = op->getAttrOfType<DenseI64ArrayAttr>(lowering::rowLoopsAttr);
      rowOf[op] = rows.asArrayRef().back();
    }
  }

  /// Sides that something the group reads or makes has a triangle on, the
  /// nearest first.
  SmallVector<Side> sides() const {
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

  /// The reaches of those members that have one; none if the group can leave
  /// nothing out.
  std::optional<llvm::MapVector<Operation *, Reach>> on(Side side) {
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

private:
  unsigned row(Operation *op) const { return rowOf.find(op)->second; }
  bool isMember(Operation *op) const { return rowOf.contains(op); }

  //===-- Which loop of each member runs along the hidden axis ------------===//

  bool setLoop(linalg::GenericOp op, unsigned loop,
               SmallVectorImpl<linalg::GenericOp> &open) {
    auto [it, isNew] = hiddenLoop.try_emplace(op, loop);
    if (isNew)
      open.push_back(op);
    return it->second == loop && loop != row(op);
  }
  /// Starts from operands with triangles, and follows the axis along what
  /// members hand to each other.
  bool followLoops(Side side) {
    SmallVector<linalg::GenericOp> open;
    for (linalg::GenericOp op : members)
      for (OpOperand *in : op.getDpsInputOperands())
        for (const Triangle &t : hidden.trianglesOf(*in)) {
          unsigned loop = side.isAbove ? t.greater : t.less;
          if (t.contains(side.of(loop, row(op))) && !setLoop(op, loop, open))
            return false;
        }
    while (!open.empty()) {
      linalg::GenericOp op = open.pop_back_val();
      unsigned loop = hiddenLoop[op];
      for (OpOperand *in : op.getDpsInputOperands()) {
        auto producer = in->get().getDefiningOp<linalg::GenericOp>();
        if (!producer || !isMember(producer))
          continue;
        auto axis = axisOf(op.getMatchingIndexingMap(in), loop);
        unsigned result = cast<mlir::OpResult>(in->get()).getResultNumber();
        if (axis && !setLoopAt(producer, *producer.getDpsInitOperand(result),
                               *axis, open))
          return false;
      }
      for (OpOperand &init : op.getDpsInitsMutable()) {
        auto axis = axisOf(op.getMatchingIndexingMap(&init), loop);
        Value result =
            op->getResult(init.getOperandNumber() - op.getNumDpsInputs());
        for (OpOperand &use : result.getUses())
          if (axis && isMember(use.getOwner()) &&
              !setLoopAt(cast<linalg::GenericOp>(use.getOwner()), use, *axis,
                         open))
            return false;
      }
    }
    return !hiddenLoop.empty();
  }
  bool setLoopAt(linalg::GenericOp op, OpOperand &operand, unsigned axis,
                 SmallVectorImpl<linalg::GenericOp> &open) {
    auto d = dyn_cast<mlir::AffineDimExpr>(
        op.getMatchingIndexingMap(&operand).getResult(axis));
    return d && setLoop(op, d.getPosition(), open);
  }
  static std::optional<unsigned> axisOf(mlir::AffineMap map, unsigned loop) {
    return map.getResultPosition(
        mlir::getAffineDimExpr(loop, map.getContext()));
  }

  //===-- One member ------------------------------------------------------===//

  bool limit(linalg::GenericOp op, Side side) {
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
      reach.probes |= !moves(op, init, loop) && !addsUp(op, init);
    reaches[op] = reach;
    return true;
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
  /// Does the op add nothing to its sums at the points, or to a maximum the
  /// same at all of them?
  bool isSilent(linalg::GenericOp op, const Triangle &points,
                unsigned loop) const {
    HiddenPoints there = hidden.at(op, points, loop, assumed),
                 computed = hidden.at(op, points, loop, assumedOfAll);
    return llvm::all_of(op.getDpsInitsMutable(), [&](OpOperand &init) {
      unsigned number = resultOf(op, init);
      if (moves(op, init, loop))
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
  void assumeInputZero(linalg::GenericOp op, Reach &reach,
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
  bool handOn(linalg::GenericOp op, const HiddenPoints &points, Reach &reach) {
    for (OpOperand &init : op.getDpsInitsMutable()) {
      if (!moves(op, init, reach.loop))
        continue;
      unsigned number = resultOf(op, init);
      Value result = op->getResult(number);
      const Known &made = points.yields[number];
      if (made.kind == Known::Constant &&
          (made.isZero() || staysInside(result)))
        assume(result, made);
      else if (made.kind == Known::Alike && !reach.tested &&
               isOnePlace(op, init, reach.loop)) {
        assume(result, zeroOf(result));
        assume(op.getBody()->getTerminator()->getOperand(number),
               zeroOf(result));
        reach.tested = init.getOperandNumber();
      } else if (isReadByLimited(result)) {
        assumed[result] = {Known::Missing};
        continue;
      } else {
        return false;
      }
      reach.probes |= handsOn(result);
    }
    return true;
  }
  void assume(Value v, const Known &known) {
    assumed[v] = assumedOfAll[v] = known;
  }
  static Known zeroOf(Value tensor) {
    return Known::zero(mlir::getElementTypeOrSelf(tensor));
  }
  bool handsOn(Value v) const {
    return llvm::any_of(v.getUsers(),
                        [&](Operation *user) { return isMember(user); });
  }
  bool staysInside(Value v) const {
    return llvm::all_of(v.getUsers(),
                        [&](Operation *user) { return isMember(user); });
  }
  bool isReadByLimited(Value v) const {
    return llvm::all_of(v.getUsers(), [&](Operation *user) {
      return hiddenLoop.contains(user);
    });
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

  const HiddenParts &hidden;
  ArrayRef<linalg::GenericOp> members;
  llvm::DenseMap<Operation *, unsigned> rowOf; ///< the loop along its blocks
  llvm::DenseMap<Operation *, unsigned> hiddenLoop;
  llvm::MapVector<Operation *, Reach> reaches;
  HiddenParts::Assumed assumed;
  HiddenParts::Assumed assumedOfAll; ///< the same, were nothing missing
};

using Reaches = llvm::MapVector<Operation *, Reach>;

struct LimitReach : impl::LimitReachBase<LimitReach> {
  void runOnOperation() override {
    Block &body = getOperation().getBody().front();
    llvm::MapVector<Attribute, SmallVector<linalg::GenericOp>> groups;
    for (auto op : body.getOps<linalg::GenericOp>())
      if (op->hasAttr(lowering::rowBlockAttr))
        groups[op->getAttr(lowering::groupAttr)].push_back(op);
    auto isProduct = [](linalg::GenericOp op) {
      return !op->hasAttr(lowering::groupAttr) && isProductOfTiles(op);
    };
    auto products = llvm::to_vector(
        llvm::make_filter_range(body.getOps<linalg::GenericOp>(), isProduct));
    if (groups.empty() && products.empty())
      return;
    HiddenParts hidden(body);
    if (hidden.empty())
      return;
    for (auto &[group, members] : groups) {
      Reaches all = reachesOf(hidden, members);
      for (auto &[op, reach] : all)
        reach.mark(op);
    }
    int64_t next = nextGroup(body);
    for (linalg::GenericOp product : products)
      next += limitProduct(hidden, product, next);
  }

private:
  /// Makes a product by itself a group that takes rows in blocks, if it can
  /// leave something out so.
  static bool limitProduct(const HiddenParts &hidden, linalg::GenericOp op,
                           int64_t number) {
    for (OpOperand *in : op.getDpsInputOperands())
      for (const Triangle &t : hidden.trianglesOf(*in))
        for (unsigned row : {t.greater, t.less})
          if (takeRows(op, row, number)) {
            Reaches all = reachesOf(hidden, op);
            for (auto &[limited, reach] : all)
              reach.mark(limited);
            if (!all.empty())
              return true;
            for (StringRef name : {lowering::groupAttr, lowering::rowLoopsAttr,
                                   lowering::rowBlockAttr})
              op->removeAttr(name);
          }
    return false;
  }
  /// Blocks of rows along a loop, for each index of all others but that along
  /// which the result is contiguous.
  static bool takeRows(linalg::GenericOp op, unsigned row, int64_t number) {
    constexpr int64_t block = 128, leastBlocks = 4;
    mlir::AffineMap out = op.getIndexingMapsArray().back();
    auto column = dyn_cast<mlir::AffineDimExpr>(out.getResults().back());
    SmallVector<int64_t> rows;
    for (mlir::AffineExpr e : out.getResults().drop_back())
      if (auto d = dyn_cast<mlir::AffineDimExpr>(e))
        if (d.getPosition() != row)
          rows.push_back(d.getPosition());
    rows.push_back(row);
    bool isRow =
        column && column.getPosition() != row &&
        out.getResultPosition(mlir::getAffineDimExpr(row, op.getContext()));
    if (!isRow || rows.size() != out.getNumResults() - 1 ||
        rows.size() > mostRowAxes || op->hasAttr(lowering::lengthsAttr) ||
        op.getStaticLoopRanges()[row] < leastBlocks * block)
      return false;
    Builder b(op.getContext());
    op->setAttr(lowering::groupAttr, b.getI64IntegerAttr(number));
    op->setAttr(lowering::rowLoopsAttr, b.getDenseI64ArrayAttr(rows));
    op->setAttr(lowering::rowBlockAttr, b.getI64IntegerAttr(block));
    return true;
  }
  static Reaches reachesOf(const HiddenParts &hidden,
                           ArrayRef<linalg::GenericOp> members) {
    Reaches all;
    GroupReach group(hidden, members);
    for (bool isAbove : {true, false})
      for (Side side : group.sides()) {
        auto found = side.isAbove == isAbove ? group.on(side) : std::nullopt;
        if (!found || !canMeet(all, *found))
          continue;
        meet(all, *found);
        break;
      }
    return all;
  }
  static bool canMeet(const Reaches &all, const Reaches &other) {
    return llvm::all_of(other, [&](auto &entry) {
      auto it = all.find(entry.first);
      if (it == all.end())
        return true;
      const Reach &a = it->second, &b = entry.second;
      return a.loop == b.loop &&
             (!a.tested || !b.tested ||
              (a.tested == b.tested && a.asksFarthestRow == b.asksFarthestRow));
    });
  }
  static void meet(Reaches &all, const Reaches &other) {
    for (auto &[op, reach] : other) {
      auto [it, isNew] = all.insert({op, reach});
      if (isNew)
        continue;
      Reach &both = it->second;
      both.low = std::min(both.low, reach.low);
      both.high = std::min(both.high, reach.high);
      both.probes |= reach.probes;
      if (!reach.tested)
        continue;
      both.tested = reach.tested;
      both.asksFarthestRow = reach.asksFarthestRow;
    }
  }
};
} // namespace

//===- LimitReach.cpp - groups leave out what a mask hides ----------------===//
//
// In: groups marked. Out: where for a row what members compute from some index
// on is hidden by a mask, each has its reach (`graph.reach`): products of
// scores, their softmax, the sum with the values that follows, and the same in
// the gradient. Rows are those that the group takes in blocks; in a group that
// takes no blocks, along an axis that the mask compares with another.
//
// Where the conditions of GroupReach.h fail, a group leaves nothing out.
//
//===----------------------------------------------------------------------===//

#include "GroupReach.h"
#include "RowGroup.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace gradus {
#define GEN_PASS_DEF_LIMITREACH
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace linalg = mlir::linalg;
using mlir::OpOperand;

namespace {
struct LimitReach : impl::LimitReachBase<LimitReach> {
  void runOnOperation() override {
    Block &body = getOperation().getBody().front();
    llvm::MapVector<Attribute, SmallVector<linalg::GenericOp>> groups;
    for (auto op : body.getOps<linalg::GenericOp>())
      if (!rowLoopsOf(op).empty())
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
    for (auto &[group, members] : groups)
      limit(hidden, members);
    int64_t next = nextGroup(body);
    for (linalg::GenericOp product : products)
      next += limitProduct(hidden, product, next);
  }

private:
  static constexpr int64_t block = 128; ///< rows of a product by itself

  /// Marks the members that can leave something out; false if none can.
  static bool limit(const HiddenParts &hidden,
                    ArrayRef<linalg::GenericOp> members) {
    if (members[0]->hasAttr(lowering::rowBlockAttr))
      return limit(hidden, members, GroupAxis::ofBlocks(members));
    for (linalg::GenericOp op : members)
      for (OpOperand *in : op.getDpsInputOperands())
        for (const Triangle &t : hidden.trianglesOf(*in))
          for (unsigned row : {t.greater, t.less})
            if (GroupAxis rows(members); rows.follow(op, row) &&
                                         areWithinGroup(members, rows) &&
                                         limit(hidden, members, rows))
              return true;
    return false;
  }
  static bool limit(const HiddenParts &hidden,
                    ArrayRef<linalg::GenericOp> members,
                    const GroupAxis &rows) {
    Reaches all = reachesOf(hidden, members, rows);
    for (auto &[op, reach] : all)
      reach.mark(op);
    return !all.empty();
  }
  /// Does the group compute all rows of the axis at a time, and are they those
  /// of several tiles of a product?
  static bool areWithinGroup(ArrayRef<linalg::GenericOp> members,
                             const GroupAxis &rows) {
    constexpr int64_t least = 32;
    auto isWithin = [&](linalg::GenericOp op) {
      auto row = rows.loopOf(op);
      return !row || !llvm::is_contained(rowLoopsOf(op), int64_t(*row));
    };
    return llvm::all_of(members, isWithin) &&
           llvm::any_of(members, [&](linalg::GenericOp op) {
             auto row = rows.loopOf(op);
             return row && isProductOfTiles(op) &&
                    op.getStaticLoopRanges()[*row] >= least;
           });
  }

  /// Makes a product by itself a group, if it can leave something out so.
  static bool limitProduct(const HiddenParts &hidden, linalg::GenericOp op,
                           int64_t number) {
    for (OpOperand *in : op.getDpsInputOperands())
      for (const Triangle &t : hidden.trianglesOf(*in))
        for (unsigned row : {t.greater, t.less})
          if (takeRows(op, row, number) && limitOrUngroup(hidden, op))
            return true;
    return takeMatrices(op, number) && limitOrUngroup(hidden, op);
  }
  static bool limitOrUngroup(const HiddenParts &hidden, linalg::GenericOp op) {
    if (limit(hidden, op))
      return true;
    for (StringRef name :
         {lowering::groupAttr, lowering::rowLoopsAttr, lowering::rowBlockAttr})
      op->removeAttr(name);
    return false;
  }
  /// Blocks of rows along a loop, for each index of all others but that along
  /// which the result is contiguous.
  static bool takeRows(linalg::GenericOp op, unsigned row, int64_t number) {
    constexpr int64_t leastBlocks = 4;
    mlir::AffineMap out = op.getIndexingMapsArray().back();
    if (out.getNumResults() == 0)
      return false;
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
    setGroup(op, number, rows);
    op->setAttr(lowering::rowBlockAttr, Builder(op).getI64IntegerAttr(block));
    return true;
  }
  /// A row for each matrix of many: the result's axes that both operands have.
  static bool takeMatrices(linalg::GenericOp op, int64_t number) {
    constexpr int64_t leastMatrices = 4; // threads share them
    auto ranges = op.getStaticLoopRanges();
    SmallVector<int64_t> rows;
    int64_t count = 1;
    for (mlir::AffineExpr e : op.getIndexingMapsArray().back().getResults()) {
      auto d = dyn_cast<mlir::AffineDimExpr>(e);
      bool isInAll =
          d && llvm::all_of(op.getIndexingMapsArray(), [&](auto map) {
            return map.getResultPosition(d).has_value();
          });
      if (!isInAll)
        continue;
      rows.push_back(d.getPosition());
      count *= ranges[d.getPosition()];
    }
    if (rows.empty() || rows.size() > mostRowAxes || count < leastMatrices ||
        op->hasAttr(lowering::lengthsAttr))
      return false;
    setGroup(op, number, rows);
    return true;
  }
  static void setGroup(linalg::GenericOp op, int64_t number,
                       ArrayRef<int64_t> rows) {
    Builder b(op.getContext());
    op->setAttr(lowering::groupAttr, b.getI64IntegerAttr(number));
    op->setAttr(lowering::rowLoopsAttr, b.getDenseI64ArrayAttr(rows));
  }
  static Reaches reachesOf(const HiddenParts &hidden,
                           ArrayRef<linalg::GenericOp> members,
                           const GroupAxis &rows) {
    Reaches all;
    GroupReach group(hidden, members, rows);
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

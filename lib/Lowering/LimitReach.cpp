//===- LimitReach.cpp - groups leave out what a mask hides ----------------===//
//
// In: groups marked. Out: where a group takes rows in blocks, and for all rows
// of a block what members compute from some index on is hidden by a mask, each
// has its reach (`graph.reach`): products of scores, their softmax, the sum
// with the values that follows, and the same in the gradient.
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

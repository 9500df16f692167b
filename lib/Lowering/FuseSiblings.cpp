//===- FuseSiblings.cpp - sums over the rows of one tensor, together ------===//
//
// In: linalg.generic on tensors, elementwise chains fused. Out: the same, with
// reductions that run over the same loops and read the same large tensor as
// one that makes all their results, where none needs what another makes. The
// gradients of a batch norm's gain, bias and deviation are so one pass over the
// tensor, and not three.
//
// Sums along rows stay: GroupRows.cpp keeps the row in the cache for them.
//
//===----------------------------------------------------------------------===//

#include "LinalgBuilder.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/PatternMatch.h"

namespace gradus {
#define GEN_PASS_DEF_FUSESIBLINGS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace linalg = mlir::linalg;
using mlir::OpOperand;

/// Of a tensor that reading once more costs nothing worth it.
static constexpr int64_t smallBytes = 64 * 1024;
/// More results at once would leave the registers.
static constexpr unsigned mostResults = 4;

/// Adds up elements, but no products, over the leading axis of an operand.
static bool addsRows(linalg::GenericOp op) {
  return !lowering::addsProducts(op) &&
         llvm::any_of(op.getDpsInputOperands(),
                      [&](OpOperand *in) { return addsRows(op, *in); });
}
static bool readsSameLargeTensor(linalg::GenericOp a, linalg::GenericOp b) {
  return llvm::any_of(a.getDpsInputOperands(), [&](OpOperand *x) {
    return isa<ShapedType>(x->get().getType()) &&
           lowering::byteCount(x->get()) > smallBytes &&
           llvm::any_of(b.getDpsInputOperands(), [&](OpOperand *y) {
             return x->get() == y->get() &&
                    a.getMatchingIndexingMap(x) == b.getMatchingIndexingMap(y);
           });
  });
}
static bool runsSameLoops(linalg::GenericOp a, linalg::GenericOp b) {
  return a.getIteratorTypesArray() == b.getIteratorTypesArray() &&
         a.getStaticLoopRanges() == b.getStaticLoopRanges() &&
         a->getAttr(lowering::lengthsAttr) == b->getAttr(lowering::lengthsAttr);
}
/// Does the later op read, through whatever is between, what the other makes?
static bool needs(Operation *later, Operation *op) {
  llvm::SmallPtrSet<Operation *, 16> made{op};
  for (Operation *o = op->getNextNode(); o; o = o->getNextNode()) {
    auto reads = o->walk([&](Operation *inner) {
      return llvm::any_of(
                 inner->getOperands(),
                 [&](Value v) { return made.contains(v.getDefiningOp()); })
                 ? WalkResult::interrupt()
                 : WalkResult::advance();
    });
    if (o == later)
      return reads.wasInterrupted();
    if (reads.wasInterrupted())
      made.insert(o);
  }
  llvm_unreachable("the later op stands behind the other");
}
static bool isUsedBefore(Operation *op, Operation *point) {
  return llvm::any_of(op->getUsers(), [&](Operation *user) {
    return point->getBlock()->findAncestorOpInBlock(*user)->isBeforeInBlock(
        point);
  });
}

/// One op that makes the results of both, where the later one stands.
static linalg::GenericOp fuse(mlir::IRRewriter &rewriter, linalg::GenericOp a,
                              linalg::GenericOp b) {
  SmallVector<Value> inputs, inits;
  SmallVector<mlir::AffineMap> maps;
  for (linalg::GenericOp op : {a, b})
    for (OpOperand *in : op.getDpsInputOperands()) {
      inputs.push_back(in->get());
      maps.push_back(op.getMatchingIndexingMap(in));
    }
  for (linalg::GenericOp op : {a, b})
    for (OpOperand &init : op.getDpsInitsMutable()) {
      inits.push_back(init.get());
      maps.push_back(op.getMatchingIndexingMap(&init));
    }
  rewriter.setInsertionPoint(b);
  auto fused = linalg::GenericOp::create(
      rewriter, rewriter.getFusedLoc({a.getLoc(), b.getLoc()}),
      ValueRange(inits).getTypes(), inputs, inits, maps,
      b.getIteratorTypesArray());
  if (Attribute lengths = b->getAttr(lowering::lengthsAttr))
    fused->setAttr(lowering::lengthsAttr, lengths);
  SmallVector<mlir::Location> places(inputs.size() + inits.size(),
                                     fused.getLoc());
  Block *body = rewriter.createBlock(
      &fused.getRegion(), {},
      llvm::map_to_vector(
          llvm::concat<Value>(inputs, inits),
          [](Value v) { return mlir::getElementTypeOrSelf(v.getType()); }),
      places);
  mlir::IRMapping map;
  SmallVector<Value> yielded;
  unsigned input = 0, init = inputs.size();
  for (linalg::GenericOp op : {a, b}) {
    for (OpOperand &o : op->getOpOperands())
      map.map(op.getMatchingBlockArgument(&o),
              body->getArgument(op.isDpsInput(&o) ? input++ : init++));
    for (Operation &inner : op.getBody()->without_terminator())
      rewriter.clone(inner, map);
    for (Value v : op.getBody()->getTerminator()->getOperands())
      yielded.push_back(map.lookupOrDefault(v));
  }
  linalg::YieldOp::create(rewriter, fused.getLoc(), yielded);
  auto results = fused.getResults();
  rewriter.replaceOp(a, results.take_front(a->getNumResults()));
  rewriter.replaceOp(b, results.take_back(b->getNumResults()));
  mergeInBody(rewriter, fused);
  return fused;
}

namespace {
struct FuseSiblings : impl::FuseSiblingsBase<FuseSiblings> {
  void runOnOperation() override {
    mlir::IRRewriter rewriter(&getContext());
    SmallVector<linalg::GenericOp> sums;
    for (auto op : llvm::make_early_inc_range(
             getOperation().getBody().front().getOps<linalg::GenericOp>())) {
      if (!addsRows(op))
        continue;
      linalg::GenericOp now = op;
      // The nearest first.
      for (linalg::GenericOp &earlier : llvm::reverse(sums))
        if (earlier && canFuse(earlier, now)) {
          now = fuse(rewriter, earlier, now);
          earlier = {};
        }
      sums.push_back(now);
    }
  }

private:
  static bool canFuse(linalg::GenericOp a, linalg::GenericOp b) {
    return a->getNumResults() + b->getNumResults() <= mostResults &&
           readsSameLargeTensor(a, b) && runsSameLoops(a, b) &&
           !isUsedBefore(a, b) && !needs(b, a);
  }
};
} // namespace

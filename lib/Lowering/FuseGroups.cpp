//===- FuseGroups.cpp - elementwise chains fused into their consumers -----===//
//
// In: linalg.generic on tensors. Out: the same with producers fused into
// consumers, so that intermediate tensors stay in registers.
//
// A producer is an all-parallel generic. It is fused where the consumer reads
// each of its elements once (an elementwise consumer, the input of a
// reduction), and where it only moves elements, wherever it is read. With
// several consumers it is computed in the first one, which yields its result
// beside its own; one that only moves elements is repeated in each.
//
// Contractions take no producers: their lowering wants operands in memory.
// Not done here: epilogues of contractions (FuseEpilogues.cpp), reductions
// fused with what follows them (GroupRows.cpp).
//
//===----------------------------------------------------------------------===//

#include "LinalgBuilder.h"
#include "Windows.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Dominance.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/CSE.h"

namespace gradus {
#define GEN_PASS_DEF_FUSEGROUPS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace linalg = mlir::linalg;
using mlir::OpOperand;

static bool isParallel(linalg::GenericOp op) {
  return op.getNumParallelLoops() == op.getNumLoops();
}
bool gradus::onlyMoves(linalg::GenericOp op) {
  return llvm::hasSingleElement(*op.getBody());
}
/// Reads elements of tensors by computed indices; fusing it elsewhere would
/// repeat loads in another order for little gain.
static bool gathers(linalg::GenericOp op) {
  return op.getBody()
      ->walk([](mlir::tensor::ExtractOp) { return WalkResult::interrupt(); })
      .wasInterrupted();
}

/// Does the consumer's loop nest read each element of the operand once?
static bool readsOnce(linalg::GenericOp consumer, OpOperand &operand) {
  return consumer.getMatchingIndexingMap(&operand).isPermutation();
}

bool gradus::addsRows(linalg::GenericOp consumer, OpOperand &operand) {
  auto map = consumer.getMatchingIndexingMap(&operand);
  if (map.getNumResults() < 2)
    return false;
  auto first = dyn_cast<mlir::AffineDimExpr>(map.getResult(0));
  return first && consumer.getIteratorTypesArray()[first.getPosition()] ==
                      Iterator::reduction;
}

static bool firstUser(Operation *producer, Operation *user) {
  return llvm::all_of(producer->getUsers(), [&](Operation *other) {
    Operation *top = user->getBlock()->findAncestorOpInBlock(*other);
    return top == user || (top && user->isBeforeInBlock(top));
  });
}

void gradus::eraseInput(linalg::GenericOp op, unsigned input) {
  SmallVector<Attribute> maps(op.getIndexingMaps().getValue());
  maps.erase(maps.begin() + input);
  op.setIndexingMapsAttr(ArrayAttr::get(op.getContext(), maps));
  op.getBody()->eraseArgument(input);
  op->eraseOperand(input);
  auto segments = op.getProperties().operandSegmentSizes;
  op.getProperties().operandSegmentSizes = {segments[0] - 1, segments[1]};
}

void gradus::mergeInputs(linalg::GenericOp op) {
  llvm::DenseMap<std::pair<Value, mlir::AffineMap>, BlockArgument> first;
  for (unsigned i = 0; i < unsigned(op.getNumDpsInputs());) {
    OpOperand *in = op.getDpsInputOperand(i);
    BlockArgument arg = op.getMatchingBlockArgument(in);
    auto [it, fresh] =
        first.try_emplace({in->get(), op.getMatchingIndexingMap(in)}, arg);
    if (fresh) {
      ++i;
      continue;
    }
    arg.replaceAllUsesWith(it->second);
    eraseInput(op, i);
  }
}

/// Has the op's body use what it computes of the producer that was fused into
/// it, where an input still reads that from memory: another result, or the same
/// one again. The producer would be fused once for each, and its body double.
static void readFromBody(linalg::GenericOp op,
                         const llvm::DenseMap<Value, Value> &replacements) {
  Operation *yield = op.getBody()->getTerminator();
  for (unsigned i = op.getNumDpsInputs(); i-- > 0;) {
    OpOperand *in = op.getDpsInputOperand(i);
    auto now = dyn_cast_or_null<mlir::OpResult>(replacements.lookup(in->get()));
    if (!now || now.getOwner() != op ||
        op.getMatchingIndexingMap(in) != op.getIndexingMapMatchingResult(now))
      continue;
    op.getMatchingBlockArgument(in).replaceAllUsesWith(
        yield->getOperand(now.getResultNumber()));
    eraseInput(op, i);
  }
}

void gradus::mergeInBody(mlir::RewriterBase &rewriter, linalg::GenericOp op) {
  mergeInputs(op);
  mlir::DominanceInfo dominance(op);
  mlir::eliminateCommonSubExpressions(rewriter, dominance, op);
}

namespace {
struct FuseGroups : impl::FuseGroupsBase<FuseGroups> {
  using FuseGroupsBase::FuseGroupsBase;

  void runOnOperation() override {
    mlir::IRRewriter rewriter(&getContext());
    Block &body = getOperation().getBody().front();
    // From top to bottom, so that a consumer meets producers that have taken
    // in theirs.
    for (Operation *op = &body.front(); op;) {
      auto consumer = dyn_cast<linalg::GenericOp>(op);
      op = op->getNextNode();
      if (consumer)
        fuseInto(rewriter, consumer);
    }
    // Producers that were repeated everywhere are left without uses.
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body)))
      if (mlir::isOpTriviallyDead(&op))
        rewriter.eraseOp(&op);
  }

private:
  bool worthFusing(linalg::GenericOp producer, linalg::GenericOp consumer,
                   OpOperand &operand) {
    // What is not copied is not a place to compute something else in.
    if (windows && isReadInWindows(consumer))
      return false;
    if (!isParallel(producer) || lowering::addsProducts(consumer) ||
        gathers(producer))
      return false;
    if (onlyMoves(producer))
      return producer->getNumResults() == 1;
    if (!readsOnce(consumer, operand) || !firstUser(producer, consumer))
      return false;
    // A kernel that spills its registers gains nothing from one more op.
    constexpr size_t largestBody = 256;
    if (producer.getBody()->getOperations().size() +
            consumer.getBody()->getOperations().size() >
        largestBody)
      return false;
    // What several read stays by itself rather than in a sum over the rows, so
    // that it can run row by row with what comes before it.
    return producer->hasOneUse() || !addsRows(consumer, operand);
  }

  void fuseInto(mlir::RewriterBase &rewriter, linalg::GenericOp consumer) {
    mergeInputs(consumer);
    for (bool changed = true; changed;) {
      changed = false;
      for (OpOperand *operand : consumer.getDpsInputOperands()) {
        auto producer = operand->get().getDefiningOp<linalg::GenericOp>();
        if (!producer || !linalg::areElementwiseOpsFusable(operand) ||
            !worthFusing(producer, consumer, *operand))
          continue;
        bool repeat = onlyMoves(producer);
        rewriter.setInsertionPoint(consumer);
        auto fused = linalg::fuseElementwiseOps(rewriter, operand);
        if (failed(fused))
          continue;
        // The producer's other users come after the fused op: they read its
        // yield, unless the producer is repeated in each.
        for (auto [old, now] : fused->replacements)
          if (old.getDefiningOp() == consumer || !repeat)
            rewriter.replaceUsesWithIf(
                old, now, [&, now = now](OpOperand &use) {
                  return use.getOwner() != now.getDefiningOp() &&
                         use.getOwner() != consumer;
                });
        rewriter.eraseOp(consumer);
        consumer = cast<linalg::GenericOp>(fused->fusedOp);
        readFromBody(consumer, fused->replacements);
        mergeInBody(rewriter, consumer);
        if (producer->use_empty())
          rewriter.eraseOp(producer);
        changed = true;
        break;
      }
    }
  }
};
} // namespace

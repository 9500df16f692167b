//===- CollapseAxes.cpp - ops on the axes of what they read ---------------===//
//
// In: linalg.generic on tensors, with reshapes between. Out: an op that reads a
// tensor whose axes a reshape took apart runs over the axes before it, where
// all that it reads and writes allows; the reshape then stands behind the op.
//
// A dense layer on [batch, time, width] is a product of matrices between two
// reshapes: this brings the bias, the activation and the residual that follow
// onto the product's own axes, where they can become its epilogue. So does the
// sum that a bias's gradient is, where what is summed can become a part of it.
//
//===----------------------------------------------------------------------===//

#include "gradus/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"

namespace gradus {
#define GEN_PASS_DEF_COLLAPSEAXES
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace linalg = mlir::linalg;
namespace tensor = mlir::tensor;
using mlir::AffineMap;
using mlir::OpOperand;
using mlir::ReassociationIndices;

/// The loops of `op` that run over the axes which the reshape took apart, group
/// by group; empty if they cannot be run as one loop a group.
static SmallVector<ReassociationIndices>
loopsToCollapse(linalg::GenericOp op, OpOperand &operand,
                tensor::ExpandShapeOp reshape) {
  AffineMap map = op.getMatchingIndexingMap(&operand);
  auto kinds = op.getIteratorTypesArray();
  SmallVector<ReassociationIndices> sequences;
  for (const ReassociationIndices &axes : reshape.getReassociationIndices()) {
    ReassociationIndices loops;
    for (int64_t a : axes) {
      auto d = dyn_cast<mlir::AffineDimExpr>(map.getResult(a));
      if (!d ||
          (!loops.empty() && kinds[d.getPosition()] != kinds[loops.front()])) {
        loops.clear();
        break;
      }
      loops.push_back(d.getPosition());
    }
    if (axes.size() < 2)
      continue;
    if (loops.empty())
      return {};
    sequences.push_back(loops);
  }
  // An axis that reads one place only (of size 1) is in the way.
  auto maps = op.getIndexingMapsArray();
  if (!llvm::all_of(maps,
                    [](AffineMap m) { return m.isProjectedPermutation(); }))
    return {};
  return linalg::areDimSequencesPreserved(maps, sequences)
             ? sequences
             : SmallVector<ReassociationIndices>();
}

/// An index that the body asks for would be another one.
static bool asksForIndices(linalg::GenericOp op) {
  return !op.getBody()->getOps<linalg::IndexOp>().empty();
}

/// Reads what an operand's reshapes, one undoing the other, started from.
static void readThroughReshapes(linalg::LinalgOp op) {
  for (OpOperand &o : op->getOpOperands()) {
    auto collapse = o.get().getDefiningOp<tensor::CollapseShapeOp>();
    auto expand = collapse
                      ? collapse.getSrc().getDefiningOp<tensor::ExpandShapeOp>()
                      : tensor::ExpandShapeOp();
    if (expand && expand.getSrcType() == collapse.getResultType())
      o.set(expand.getSrc());
  }
}

namespace {
struct CollapseAxes : impl::CollapseAxesBase<CollapseAxes> {
  void runOnOperation() override {
    mlir::IRRewriter rewriter(&getContext());
    Block &body = getOperation().getBody().front();
    for (auto op : llvm::make_early_inc_range(body.getOps<linalg::GenericOp>()))
      collapse(rewriter, op);
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body)))
      if (mlir::isOpTriviallyDead(&op))
        rewriter.eraseOp(&op);
  }

private:
  static void collapse(mlir::IRRewriter &rewriter, linalg::GenericOp op) {
    // A product keeps its axes: attention reads heads apart.
    if (asksForIndices(op) ||
        (op.getNumReductionLoops() > 0 && op.getNumDpsInputs() > 1))
      return;
    for (OpOperand *in : op.getDpsInputOperands()) {
      auto reshape = in->get().getDefiningOp<tensor::ExpandShapeOp>();
      if (!reshape)
        continue;
      auto sequences = loopsToCollapse(op, *in, reshape);
      if (sequences.empty())
        continue;
      rewriter.setInsertionPoint(op);
      auto collapsed = linalg::collapseOpIterationDims(op, sequences, rewriter);
      if (failed(collapsed))
        continue;
      rewriter.replaceOp(op, collapsed->results);
      readThroughReshapes(collapsed->collapsedOp);
      return;
    }
  }
};
} // namespace

//===- DropUnitAxes.cpp - reshapes that only add or drop axes of size 1 ---===//
//
// In: linalg.generic on tensors, with reshapes between. Out: an op reads the
// tensor before a reshape that gave it axes of size 1, and makes the tensor
// behind one that takes them away, where its maps have 0 there.
//
// A reduction that keeps its axes, as a pool's gradient counts the largest
// numbers of a window, and what divides by it then see each other's rows.
//
//===----------------------------------------------------------------------===//

#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/SmallBitVector.h"

namespace gradus {
#define GEN_PASS_DEF_DROPUNITAXES
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace linalg = mlir::linalg;
namespace tensor = mlir::tensor;
using mlir::AffineMap;
using mlir::OpOperand;
using mlir::ReassociationIndices;

/// The map without the axes that the reshape has on its longer side alone, all
/// of size 1 and 0 in the map; none if it has others.
static std::optional<AffineMap>
withoutUnits(AffineMap map, RankedTensorType longer,
             ArrayRef<ReassociationIndices> groups) {
  // One axis of each group stays; a tensor of rank 0 has no group.
  llvm::SmallBitVector stays(longer.getRank());
  for (const ReassociationIndices &axes : groups) {
    const int64_t *own = llvm::find_if(
        axes, [&](int64_t a) { return longer.getDimSize(a) != 1; });
    stays.set(own == axes.end() ? axes.front() : *own);
  }
  SmallVector<mlir::AffineExpr> kept;
  for (auto [a, e] : llvm::enumerate(map.getResults())) {
    if (stays[a]) {
      kept.push_back(e);
      continue;
    }
    auto zero = dyn_cast<mlir::AffineConstantExpr>(e);
    if (longer.getDimSize(a) != 1 || !zero || zero.getValue() != 0)
      return std::nullopt;
  }
  return AffineMap::get(map.getNumDims(), 0, kept, map.getContext());
}

namespace {
struct DropUnitAxes : impl::DropUnitAxesBase<DropUnitAxes> {
  void runOnOperation() override {
    Block &body = getOperation().getBody().front();
    for (auto op : llvm::make_early_inc_range(body.getOps<linalg::GenericOp>()))
      readBefore(op);
    for (auto reshape :
         llvm::make_early_inc_range(body.getOps<tensor::CollapseShapeOp>()))
      makeBehind(reshape);
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body)))
      if (mlir::isOpTriviallyDead(&op))
        op.erase();
  }

private:
  static void readBefore(linalg::GenericOp op) {
    SmallVector<AffineMap> maps = op.getIndexingMapsArray();
    for (OpOperand *in : op.getDpsInputOperands()) {
      auto reshape = in->get().getDefiningOp<tensor::ExpandShapeOp>();
      if (!reshape)
        continue;
      AffineMap &map = maps[in->getOperandNumber()];
      auto shorter = withoutUnits(map, reshape.getResultType(),
                                  reshape.getReassociationIndices());
      if (!shorter)
        continue;
      in->set(reshape.getSrc());
      map = *shorter;
    }
    op.setIndexingMapsAttr(
        Builder(op.getContext()).getAffineMapArrayAttr(maps));
  }

  /// An empty tensor, or one that is filled with a number, of another shape.
  static Value startOf(OpBuilder &b, Value start, RankedTensorType type) {
    Location loc = start.getLoc();
    auto fill = start.getDefiningOp<linalg::FillOp>();
    if (!fill && !start.getDefiningOp<tensor::EmptyOp>())
      return {};
    Value empty =
        tensor::EmptyOp::create(b, loc, type.getShape(), type.getElementType());
    return fill ? linalg::FillOp::create(b, loc, fill.getInputs(), empty)
                      .getResult(0)
                : empty;
  }

  static void makeBehind(tensor::CollapseShapeOp reshape) {
    auto op = reshape.getSrc().getDefiningOp<linalg::GenericOp>();
    if (!op || op->getNumResults() != 1 || !op->hasOneUse() ||
        op->hasAttr(lowering::lengthsAttr))
      return;
    OpOperand *init = op.getDpsInitOperand(0);
    auto shorter =
        withoutUnits(op.getMatchingIndexingMap(init), reshape.getSrcType(),
                     reshape.getReassociationIndices());
    if (!shorter)
      return;
    OpBuilder b(op);
    Value start = startOf(b, init->get(), reshape.getResultType());
    if (!start)
      return;
    init->set(start);
    SmallVector<AffineMap> maps = op.getIndexingMapsArray();
    maps.back() = *shorter;
    op.setIndexingMapsAttr(b.getAffineMapArrayAttr(maps));
    op.getResult(0).setType(reshape.getResultType());
    reshape.replaceAllUsesWith(op.getResult(0));
    reshape.erase();
  }
};
} // namespace

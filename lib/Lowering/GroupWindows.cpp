//===- GroupWindows.cpp - windows of images that have zeros around --------===//
//
// In: linalg.generic on tensors, groups marked. Out: an op that reads windows
// of a copy of an image between zeros, and that copy, are a group, or the copy
// joins the op's. Their kernel reads the image where it lies, and zeros where
// there is none (lib/Cpu/Fills.cpp): the copy is never made. Where several ops
// read it, each has one of its own.
//
// Left alone are copies that a row group makes row by row, and those for
// products, whose loop reads them too often to ask each time what is there.
//
//===----------------------------------------------------------------------===//

#include "RowGroup.h"
#include "Windows.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/IRMapping.h"

namespace gradus {
#define GEN_PASS_DEF_GROUPWINDOWS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;

/// Does the op add each element of a tensor, as it is, to a zero?
static bool copiesBetweenZeros(linalg::GenericOp op) {
  if (op.getNumDpsInputs() != 1 || op.getNumDpsInits() != 1 ||
      op.getNumParallelLoops() != op.getNumLoops() ||
      op->hasAttr(lowering::lengthsAttr))
    return false;
  auto fill = op.getDpsInits()[0].getDefiningOp<linalg::FillOp>();
  Operation *sum = op.getBody()->getTerminator()->getOperand(0).getDefiningOp();
  return fill && lowering::isZero(fill.getInputs()[0]) &&
         isa_and_nonnull<arith::AddFOp, arith::AddIOp>(sum) &&
         llvm::all_of(sum->getOperands(), llvm::IsaPred<BlockArgument>) &&
         sum->getOperand(0) != sum->getOperand(1);
}

/// Does the loop along the result's last axis move all that the op reads? A
/// product's moves one side alone.
static bool readsAllAlongVectors(linalg::GenericOp op) {
  auto places = op.getIndexingMapsArray().back().getResults();
  if (places.empty() || !isa<mlir::AffineDimExpr>(places.back()))
    return false;
  unsigned last = cast<mlir::AffineDimExpr>(places.back()).getPosition();
  return llvm::all_of(op.getDpsInputOperands(), [&](mlir::OpOperand *in) {
    return op.getMatchingIndexingMap(in).isFunctionOfDim(last);
  });
}

/// The op that reads the copy by this use, if it reads windows of it.
static linalg::GenericOp readerBy(mlir::OpOperand &use) {
  auto reader = dyn_cast<linalg::GenericOp>(use.getOwner());
  bool reads = reader && reader.isDpsInput(&use) &&
               reader->getBlock() == use.get().getParentBlock() &&
               readsAllAlongVectors(reader);
  return reads ? reader : linalg::GenericOp();
}

bool gradus::isReadInWindows(linalg::GenericOp copy) {
  return copiesBetweenZeros(copy) &&
         llvm::all_of(copy->getUses(),
                      [](mlir::OpOperand &use) { return !!readerBy(use); });
}

namespace {
struct GroupWindows : impl::GroupWindowsBase<GroupWindows> {
  void runOnOperation() override {
    Block &body = getOperation().getBody().front();
    int64_t next = nextGroup(body);
    Builder b(&getContext());
    for (auto copy :
         llvm::make_early_inc_range(body.getOps<linalg::GenericOp>())) {
      if (copy->hasAttr(lowering::groupAttr) || !isReadInWindows(copy))
        continue;
      for (mlir::OpOperand &use : llvm::make_early_inc_range(copy->getUses())) {
        linalg::GenericOp reader = readerBy(use);
        Attribute group = reader->getAttr(lowering::groupAttr);
        if (!group)
          group = b.getI64IntegerAttr(next++);
        reader->setAttr(lowering::groupAttr, group);
        linalg::GenericOp own =
            copy->hasOneUse() ? copy : copyFor(reader, copy);
        own->setAttr(lowering::groupAttr, group);
        use.set(own.getResult(0));
      }
    }
  }

private:
  /// Another copy before the op, with all that it starts from.
  static linalg::GenericOp copyFor(Operation *reader, linalg::GenericOp copy) {
    OpBuilder b(reader);
    mlir::IRMapping map;
    Operation *fill = copy.getDpsInits()[0].getDefiningOp();
    Operation *empty =
        cast<linalg::FillOp>(fill).getOutputs()[0].getDefiningOp();
    for (Operation *op : {empty, fill})
      b.clone(*op, map);
    return cast<linalg::GenericOp>(b.clone(*copy, map));
  }
};
} // namespace

//===- KernelWork.cpp - what a kernel's ops are to become -----------------===//

#include "KernelWork.h"
#include "gradus/Lowering.h"
#include "gradus/RuntimeLengths.h"

using namespace gradus;
namespace linalg = mlir::linalg;

static bool touches(Operation *op, Value buffer) {
  return llvm::is_contained(op->getOperands(), buffer);
}
/// Adds up blocks of a number that a call says: each adds to what is there.
static bool sumsToRuntimeLength(linalg::LinalgOp op) {
  for (auto [length, kind] :
       llvm::zip(loopLengths(op), op.getIteratorTypesArray()))
    if (length && kind == mlir::utils::IteratorType::reduction)
      return true;
  return false;
}
std::optional<Contraction> KernelWork::contraction(linalg::LinalgOp op,
                                                   const RowPlace &row) const {
  auto generic = dyn_cast<linalg::GenericOp>(op.getOperation());
  std::optional<Contraction> c;
  if (generic)
    c = Contraction::match(generic, machine, row);
  if (!c || c->depth() == 0)
    return std::nullopt;
  for (mlir::OpOperand *in : generic.getDpsInputOperands())
    if (const Padding *padding = fills.paddingOf(in->get()))
      if (auto box = padding->box())
        c->addClips(*in, *box);
  return c;
}
bool KernelWork::startsContraction(linalg::LinalgOp op,
                                   ArrayRef<linalg::LinalgOp> later,
                                   const RowGroup *group) const {
  auto fill = dyn_cast<linalg::FillOp>(op.getOperation());
  if (!fill || !lowering::isZero(fill.getInputs()[0]))
    return false;
  Value buffer = op.getDpsInits()[0];
  for (linalg::LinalgOp next : later)
    if (touches(next, buffer))
      return next.getDpsInits()[0] == buffer && !sumsToRuntimeLength(next) &&
             next->getBlock() == op->getBlock() &&
             !llvm::is_contained(next.getDpsInputs(), buffer) &&
             contraction(next, group ? placeOf(*group, next) : RowPlace());
  return false;
}
bool KernelWork::startedBy(linalg::LinalgOp op,
                           ArrayRef<linalg::LinalgOp> before,
                           const RowGroup *group) const {
  SmallVector<linalg::LinalgOp> later{op};
  for (linalg::LinalgOp last : llvm::reverse(before)) {
    if (touches(last, op.getDpsInits()[0]))
      return startsContraction(last, later, group);
    later.insert(later.begin(), last);
  }
  return false;
}

std::optional<Winograd> KernelWork::winogradOf(linalg::LinalgOp op,
                                               const RowPlace &row) const {
  // Its tiles of several images at once are cut to sizes that are known, and
  // not to blocks of rows.
  bool whole = loopLengths(op).empty() && row.block == 1;
  auto c = winograd && whole ? contraction(op, row) : std::nullopt;
  return c ? Winograd::match(*c) : std::nullopt;
}
void KernelWork::fillAround(ImplicitLocOpBuilder &b, linalg::LinalgOp fill,
                            const Padding &padding, ArrayRef<LoopRange> ranges,
                            const LocalBuffers &buffers) const {
  for (ArrayRef<LoopRange> piece : padding.around(b, ranges))
    emitLoops(b, fill, piece, buffers, machine.vectorBits);
}

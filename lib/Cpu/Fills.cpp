//===- Fills.cpp - fills that other ops make superfluous ------------------===//

#include "Fills.h"
#include "gradus/Lowering.h"
#include "mlir/IR/Matchers.h"

using namespace gradus;
namespace linalg = mlir::linalg;
using mlir::OpOperand;

/// The op that alone goes on from what the fill writes, and in no other way
/// than as its result; null if there is none. `later`: the ops behind it.
static linalg::GenericOp userOf(linalg::FillOp fill, Fills::Work later) {
  Value buffer = fill.getOutputs()[0];
  auto next = llvm::find_if(later, [&](linalg::LinalgOp o) {
    return lowering::usesBuffer(o, buffer);
  });
  if (next == later.end())
    return {};
  linalg::LinalgOp op = *next;
  auto user = dyn_cast<linalg::GenericOp>(op.getOperation());
  if (!user || user->getBlock() != fill->getBlock() ||
      !llvm::is_contained(user.getDpsInits(), buffer) ||
      llvm::count_if(user->getOperands(), [&](Value v) {
        return lowering::viewedBuffer(v) == lowering::viewedBuffer(buffer);
      }) != 1)
    return {};
  for (Operation *o = fill->getNextNode(); o != user; o = o->getNextNode())
    if (!mlir::isMemoryEffectFree(o) && lowering::usesBuffer(o, buffer))
      return {};
  return user;
}

void Fills::findPaddings(Work work) {
  paddings.clear();
  for (size_t i = 0; i < work.size(); ++i) {
    Operation *op = work[i];
    auto fill = dyn_cast<linalg::FillOp>(op);
    auto user =
        fill ? userOf(fill, work.drop_front(i + 1)) : linalg::GenericOp();
    auto padding = user ? Padding::match(fill, user) : std::nullopt;
    if (!padding)
      continue;
    padding->writeOnly();
    if (auto rows = padding->rows(); rows && work.size() == 2)
      user->setAttr(lowering::rowLoopsAttr,
                    Builder(op->getContext()).getDenseI64ArrayAttr({*rows}));
    paddings.insert({op, *padding});
  }
}

/// Are all elements of the buffer results of the op's loops, each of a sum in
/// one place?
static bool addsUpAll(linalg::GenericOp op, Value buffer) {
  // What follows a product runs on its blocks.
  if (op->hasAttr(lowering::epilogueAttr))
    return false;
  auto *init = llvm::find_if(op.getDpsInitsMutable(),
                             [&](OpOperand &o) { return o.get() == buffer; });
  mlir::AffineMap map = op.getMatchingIndexingMap(init);
  return map.isProjectedPermutation() &&
         map.getNumResults() == op.getNumParallelLoops();
}

void Fills::findStarts(Work work,
                       function_ref<bool(linalg::LinalgOp)> isContraction) {
  starts.clear();
  superfluous.clear();
  for (size_t i = 0; i < work.size(); ++i) {
    Operation *op = work[i];
    auto fill = dyn_cast<linalg::FillOp>(op);
    mlir::TypedAttr number;
    if (!fill || paddings.contains(op) ||
        !mlir::matchPattern(fill.getInputs()[0], mlir::m_Constant(&number)))
      continue;
    Value buffer = fill.getOutputs()[0];
    auto user = userOf(fill, work.drop_front(i + 1));
    if (!user || !addsUpAll(user, buffer) ||
        isContraction(cast<linalg::LinalgOp>(user.getOperation())))
      continue;
    starts[user][buffer] = number;
    superfluous.insert(op);
  }
}

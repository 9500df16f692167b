//===- ExtractNumbers.cpp - numbers that many ops read, as such -----------===//
//
// In: linalg on tensors, groups marked. Out: a number that many ops read, an
// optimiser's step size, is extracted from its tensor once, and they read that.
// They need no address for it then; and bufferisation, which compares all
// readers of a tensor with each other, takes no longer than without it.
//
//===----------------------------------------------------------------------===//

#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace gradus {
#define GEN_PASS_DEF_EXTRACTNUMBERS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace linalg = mlir::linalg;
using mlir::OpOperand;

/// Fewer readers gain nothing.
static constexpr size_t manyReaders = 8;

/// Does the op read it as an input, in a kernel that does not make it?
static bool readsFromOutside(OpOperand &use) {
  auto reader = dyn_cast<linalg::GenericOp>(use.getOwner());
  if (!reader || !reader.isDpsInput(&use))
    return false;
  Operation *maker = use.get().getDefiningOp();
  Attribute group = reader->getAttr(lowering::groupAttr);
  return !maker || !group || maker->getAttr(lowering::groupAttr) != group;
}

namespace {
struct ExtractNumbers : impl::ExtractNumbersBase<ExtractNumbers> {
  void runOnOperation() override {
    Block &body = getOperation().getBody().front();
    for (BlockArgument arg : body.getArguments())
      extract(arg, body.begin());
    for (Operation &op : llvm::make_early_inc_range(body))
      for (Value result : op.getResults())
        extract(result, std::next(op.getIterator()));
  }

private:
  static void extract(Value tensor, Block::iterator place) {
    auto type = dyn_cast<RankedTensorType>(tensor.getType());
    if (!type || type.getRank() != 0)
      return;
    SmallVector<OpOperand *> reads;
    for (OpOperand &use : tensor.getUses())
      if (readsFromOutside(use))
        reads.push_back(&use);
    if (reads.size() < manyReaders)
      return;
    OpBuilder b(tensor.getParentBlock(), place);
    Value number = mlir::tensor::ExtractOp::create(b, tensor.getLoc(), tensor,
                                                   ValueRange());
    for (OpOperand *read : reads)
      read->set(number);
  }
};
} // namespace

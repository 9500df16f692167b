//===- Fills.cpp - fills that other ops make superfluous ------------------===//

#include "Fills.h"
#include "LoopPlan.h"
#include "gradus/Lowering.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"

using namespace gradus;
namespace linalg = mlir::linalg;
namespace memref = mlir::memref;
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

const Padding *Fills::paddingOf(Value buffer) const {
  for (auto &[fill, padding] : paddings) {
    if (cast<linalg::FillOp>(fill).getOutputs()[0] != buffer)
      continue;
    bool isAlone = llvm::all_of(buffer.getUses(), [&, fill = fill](auto &use) {
      auto op = dyn_cast<linalg::LinalgOp>(use.getOwner());
      return op && (op == fill || op == padding.writer().getOperation() ||
                    op.isDpsInput(&use));
    });
    return isAlone ? &padding : nullptr;
  }
  return nullptr;
}

/// The op that alone reads what the padding writes, by loops along vectors that
/// find it in the image as well; null if there is none. `later`: the ops behind
/// the padding.
static linalg::GenericOp readerOf(Value buffer, const Padding &padding,
                                  const Window &window, Fills::Work later,
                                  unsigned vectorBits) {
  auto isUser = [&](linalg::LinalgOp o) {
    return lowering::usesBuffer(o, buffer);
  };
  auto next = llvm::find_if(later, isUser);
  // The fill, the padding and the op.
  if (next == later.end() || !buffer.getDefiningOp<memref::AllocOp>() ||
      llvm::range_size(buffer.getUses()) != 3)
    return {};
  linalg::LinalgOp op = *next;
  auto reader = dyn_cast<linalg::GenericOp>(op.getOperation());
  if (!reader || reader->getBlock() != padding.writer()->getBlock() ||
      reader->hasAttr(lowering::epilogueAttr) || !loopLengths(op).empty())
    return {};
  auto reads = [&](OpOperand *in) { return in->get() == buffer; };
  auto ins = reader.getDpsInputOperands();
  auto in = llvm::find_if(ins, reads);
  if (in == ins.end())
    return {};
  // A temporary of a group holds the row at which the padding stands.
  if (window.image.getDefiningOp<memref::AllocOp>() &&
      reader->hasAttr(lowering::rowLoopsAttr) !=
          padding.writer()->hasAttr(lowering::rowLoopsAttr))
    return {};
  // The image is to be there still, of all rows while a group runs row by row.
  for (Operation *o = padding.writer()->getNextNode(); o; o = o->getNextNode())
    if (auto writer = dyn_cast<linalg::LinalgOp>(o))
      for (Value out : writer.getDpsInits())
        if (lowering::viewedBuffer(out) == lowering::viewedBuffer(window.image))
          return {};
  OpBuilder b(reader);
  SmallVector<LoopRange> ranges = wholeRanges(b, op);
  LoopPlan plan(reader, ranges, vectorBits);
  return plan.readsWindows(**in, window) ? reader : linalg::GenericOp();
}

void Fills::findWindows(SmallVectorImpl<linalg::LinalgOp> &work,
                        unsigned vectorBits,
                        function_ref<bool(linalg::LinalgOp)> isContraction) {
  windows.clear();
  llvm::SmallPtrSet<Operation *, 4> found;
  for (size_t i = 0; i < work.size(); ++i) {
    auto it = paddings.find(work[i]);
    auto window = it == paddings.end() ? std::nullopt : it->second.window();
    if (!window)
      continue;
    Value buffer = work[i].getDpsInits()[0];
    Operation *writer = it->second.writer();
    auto *behind = llvm::find(work, cast<linalg::LinalgOp>(writer)) + 1;
    auto reader = readerOf(buffer, it->second, *window,
                           Work(behind, work.end()), vectorBits);
    if (!reader || isContraction(cast<linalg::LinalgOp>(reader.getOperation())))
      continue;
    windows[buffer] = *window;
    found.insert({it->first, writer});
    paddings.erase(it);
  }
  llvm::erase_if(work, [&](linalg::LinalgOp op) {
    bool isNeedless = found.contains(op);
    if (isNeedless)
      op->erase();
    return isNeedless;
  });
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
  unsigned loops = 0;
  auto sizes = cast<ShapedType>(buffer.getType()).getShape();
  for (auto [place, size] : llvm::zip(map.getResults(), sizes)) {
    bool isLoop = isa<mlir::AffineDimExpr>(place);
    if (!isLoop && size != 1)
      return false;
    loops += isLoop;
  }
  return map.isProjectedPermutation(/*allowZeroInResults=*/true) &&
         loops == op.getNumParallelLoops();
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

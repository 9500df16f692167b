//===- Epilogue.cpp - what follows a sum, in its kernel -------------------===//

#include "Epilogue.h"
#include "Windows.h"
#include "gradus/Lowering.h"

using namespace gradus;
using namespace gradus::gpu;
namespace linalg = mlir::linalg;
namespace memref = mlir::memref;
using mlir::OpOperand;

/// Is any result the same memory as something that `op` reads, or may be?
static bool overwrites(linalg::GenericOp next, linalg::GenericOp op) {
  for (Value to : next.getDpsInits())
    for (Value from : op.getDpsInputs()) {
      if (!isa<mlir::MemRefType>(from.getType()))
        continue;
      auto a = Access::of(to), b = Access::of(from);
      if (!a || !b || a->root == b->root)
        return true;
    }
  return false;
}

Epilogue Epilogue::find(linalg::GenericOp op, ArrayRef<Operation *> work,
                        const llvm::SmallPtrSetImpl<Operation *> &done) {
  Epilogue none;
  const auto *behind = llvm::find(work, op.getOperation()) + 1;
  while (behind != work.end() && isa<linalg::FillOp>(*behind))
    ++behind;
  if (behind == work.end() || !(*behind)->hasAttr(lowering::epilogueAttr))
    return none;
  auto next = cast<linalg::GenericOp>(*behind);
  Value out = op.getDpsInits()[0];
  OpOperand *result = nullptr;
  for (OpOperand &o : next->getOpOperands())
    if (o.get() == out)
      result = result ? nullptr : &o;
  // Other blocks may still read what the op does.
  if (!result || !next.isDpsInput(result) ||
      !next.getMatchingIndexingMap(result).isPermutation() ||
      !op.getIndexingMapsArray().back().isProjectedPermutation() ||
      overwrites(next, op))
    return none;
  Epilogue found;
  found.follower = next;
  found.result = result;
  found.stores = !out.getDefiningOp<memref::AllocOp>() ||
                 !llvm::all_of(out.getUsers(), [&](Operation *user) {
                   return user == op || user == next || done.contains(user);
                 });
  found.starts = startsOf(next, work);
  return found;
}

Epilogue::Starts Epilogue::startsOf(linalg::GenericOp op,
                                    ArrayRef<Operation *> work) {
  Starts starts;
  auto linalgOp = cast<linalg::LinalgOp>(op.getOperation());
  const auto *self = llvm::find(work, op.getOperation());
  for (OpOperand &init : op.getDpsInitsMutable())
    for (Operation *before :
         llvm::reverse(llvm::make_range(work.begin(), self))) {
      if (!lowering::usesBuffer(before, init.get()))
        continue;
      auto fill = dyn_cast<linalg::FillOp>(before);
      if (fill && fill.getOutputs()[0] == init.get() &&
          touchesOnce(linalgOp, init))
        starts[init.get()] = fill.getInputs()[0];
      break;
    }
  return starts;
}

Value Epilogue::given(Kernel &k, OpOperand &operand, Value sum) const {
  if (&operand == result)
    return sum;
  if (Value start = starts.lookup(operand.get()))
    return k.inside(start);
  return isa<mlir::MemRefType>(operand.get().getType())
             ? Value()
             : k.inside(operand.get());
}

SmallVector<Value> Epilogue::loops(linalg::GenericOp op,
                                   ValueRange loops) const {
  linalg::GenericOp next = follower; // its accessors are not const
  mlir::AffineMap written = op.getIndexingMapsArray().back(),
                  read = next.getMatchingIndexingMap(result);
  SmallVector<Value> own(next.getNumLoops());
  for (unsigned axis = 0; axis < read.getNumResults(); ++axis)
    own[read.getDimPosition(axis)] = loops[written.getDimPosition(axis)];
  return own;
}

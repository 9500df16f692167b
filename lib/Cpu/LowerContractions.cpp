//===- LowerContractions.cpp - contractions on buffers -> vector loops ----===//
//
// In: bufferised kernels. Out: the generics that add products, and that a
// vector can run along, as blocked loops (EmitContraction.cpp). A fill with
// zero just before one is dropped: its accumulators start there. Others stay
// for the plain loops.
//
//===----------------------------------------------------------------------===//

#include "Contraction.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

namespace gradus {
#define GEN_PASS_DEF_LOWERCONTRACTIONS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace linalg = mlir::linalg;

/// The fill with zero of the op's result just before it, or null.
static linalg::FillOp zeroFill(linalg::GenericOp op) {
  auto fill = dyn_cast_or_null<linalg::FillOp>(op->getPrevNode());
  if (!fill || fill.getOutputs()[0] != op.getDpsInits()[0])
    return {};
  bool zero = mlir::matchPattern(fill.getInputs()[0], mlir::m_AnyZeroFloat()) ||
              mlir::matchPattern(fill.getInputs()[0], mlir::m_Zero());
  return zero ? fill : linalg::FillOp();
}

namespace {
struct LowerContractions : impl::LowerContractionsBase<LowerContractions> {
  using LowerContractionsBase::LowerContractionsBase;

  void runOnOperation() override {
    RegisterFile machine{vectorBits, registers};
    SmallVector<linalg::GenericOp> work;
    getOperation().walk([&](linalg::GenericOp op) { work.push_back(op); });
    for (linalg::GenericOp op : work) {
      auto contraction = Contraction::match(op, machine);
      if (!contraction || contraction->depth() == 0)
        continue;
      linalg::FillOp fill = zeroFill(op);
      if (fill)
        fill.erase();
      auto split = splitContraction(*contraction, machine, threads);
      Contraction part = *contraction;
      if (split)
        part.size[split->first] = split->second.chunk;
      emitContraction(*contraction, Blocking::choose(part, machine), !!fill,
                      split);
    }
  }
};
} // namespace

//===- FlushDenormals.cpp - denormal numbers are zero in compiled code ----===//
//
// In: entry functions on buffers, for x86. Out: those that run loops set FTZ
// and DAZ in the SSE control register on entry and restore it on return. An
// operation on a denormal number takes the slow path of the machine, a hundred
// cycles; softmax and optimisers make many.
//
// A function of a few scalars is left alone: the two moves would cost more than
// its work.
//
//===----------------------------------------------------------------------===//

#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace gradus {
#define GEN_PASS_DEF_FLUSHDENORMALS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace func = mlir::func;
namespace LLVM = mlir::LLVM;

bool lowering::runsLoops(Operation *function) {
  auto module = function->getParentOfType<ModuleOp>();
  return function
      ->walk([&](Operation *op) {
        bool loops = isa<mlir::scf::ForOp>(op);
        if (auto call = dyn_cast<func::CallOp>(op))
          loops = runsLoops(module.lookupSymbol(call.getCallee()));
        return loops ? WalkResult::interrupt() : WalkResult::advance();
      })
      .wasInterrupted();
}

static void flush(func::FuncOp f) {
  ImplicitLocOpBuilder b(f.getLoc(), &f.getBody().front(),
                         f.getBody().front().begin());
  Type word = b.getI32Type(),
       pointer = LLVM::LLVMPointerType::get(f.getContext());
  auto intrinsic = [&](StringRef name, Value at) {
    LLVM::CallIntrinsicOp::create(b, b.getStringAttr(name), ValueRange{at});
  };
  Value one = LLVM::ConstantOp::create(b, word, b.getI32IntegerAttr(1));
  Value before = LLVM::AllocaOp::create(b, pointer, word, one);
  Value now = LLVM::AllocaOp::create(b, pointer, word, one);
  intrinsic("llvm.x86.sse.stmxcsr", before);
  constexpr int32_t flushToZero = 0x8000, denormalsAreZero = 0x0040;
  Value bits = LLVM::ConstantOp::create(
      b, word, b.getI32IntegerAttr(flushToZero | denormalsAreZero));
  Value old = LLVM::LoadOp::create(b, word, before);
  LLVM::StoreOp::create(b, LLVM::OrOp::create(b, old, bits), now);
  intrinsic("llvm.x86.sse.ldmxcsr", now);
  b.setInsertionPoint(f.getBody().front().getTerminator());
  intrinsic("llvm.x86.sse.ldmxcsr", before);
}

namespace {
struct FlushDenormals : impl::FlushDenormalsBase<FlushDenormals> {
  void runOnOperation() override {
    for (auto f : getOperation().getOps<func::FuncOp>())
      if (!f.isPrivate() && lowering::runsLoops(f))
        flush(f);
  }
};
} // namespace

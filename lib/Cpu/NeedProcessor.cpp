//===- NeedProcessor.cpp - entry functions check the processor ------------===//
//
// In: entry functions and kernels on buffers, for x86. Out: entry functions
// that run loops check first that the processor has what they are compiled for,
// else their first vector instruction would end the process without a word.
// Where a kernel multiplies in tile registers (AMX), they ask the system for
// leave to use these. What checks comes with the object
// (lib/Runtime/Processor.c).
//
//===----------------------------------------------------------------------===//

#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "lib/Runtime/Processor.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace gradus {
#define GEN_PASS_DEF_NEEDPROCESSOR
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace func = mlir::func;

static bool usesTiles(ModuleOp module) {
  return module
      .walk([](mlir::LLVM::CallIntrinsicOp call) {
        return call.getIntrin() == "llvm.x86.ldtilecfg"
                   ? WalkResult::interrupt()
                   : WalkResult::advance();
      })
      .wasInterrupted();
}

namespace {
struct NeedProcessor : impl::NeedProcessorBase<NeedProcessor> {
  using NeedProcessorBase::NeedProcessorBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    uint64_t wanted = features;
    bool tiles = usesTiles(module);
    if (tiles)
      wanted |= uint64_t(1) << gradus_tiles;
    if (wanted == 0)
      return;
    func::FuncOp check;
    for (auto f : llvm::to_vector(module.getOps<func::FuncOp>())) {
      if (f.isPrivate() || (!tiles && !lowering::runsLoops(f)))
        continue;
      OpBuilder b(module.getBodyRegion());
      if (!check) {
        auto type = b.getFunctionType(b.getI64Type(), {});
        check = func::FuncOp::create(b, module.getLoc(),
                                     lowering::needProcessorFunction, type);
        check.setPrivate();
      }
      b.setInsertionPointToStart(&f.getBody().front());
      Value mask = mlir::LLVM::ConstantOp::create(
          b, f.getLoc(), b.getI64IntegerAttr(int64_t(wanted)));
      func::CallOp::create(b, f.getLoc(), check, mask);
    }
  }
};
} // namespace

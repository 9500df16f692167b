//===- RequestTiles.cpp - entry functions ask for tile registers ----------===//
//
// In: entry functions and kernels on buffers. Out: where a kernel multiplies in
// tile registers (AMX), entry functions ask the system for leave to use them:
// without it their first instruction ends the process. What asks comes with the
// object (lib/Runtime/Tiles.c).
//
//===----------------------------------------------------------------------===//

#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace gradus {
#define GEN_PASS_DEF_REQUESTTILES
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
struct RequestTiles : impl::RequestTilesBase<RequestTiles> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (!usesTiles(module))
      return;
    OpBuilder b(module.getBodyRegion());
    auto type = b.getFunctionType({}, {});
    auto ask = func::FuncOp::create(b, module.getLoc(),
                                    lowering::needTilesFunction, type);
    ask.setPrivate();
    for (auto f : module.getOps<func::FuncOp>())
      if (!f.isPrivate()) {
        b.setInsertionPointToStart(&f.getBody().front());
        func::CallOp::create(b, f.getLoc(), ask);
      }
  }
};
} // namespace

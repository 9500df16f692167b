//===- LowerCopies.cpp - memref.copy -> loops -----------------------------===//
//
// The upstream lowering of a copy between layouts calls a runtime library;
// artefacts have none.
//
//===----------------------------------------------------------------------===//

#include "gradus/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

namespace gradus {
#define GEN_PASS_DEF_LOWERCOPIES
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;

namespace {
struct LowerCopies : impl::LowerCopiesBase<LowerCopies> {
  void runOnOperation() override {
    getOperation().walk([](mlir::memref::CopyOp copy) {
      OpBuilder b(copy);
      (void)mlir::linalg::makeMemRefCopyOp(b, copy.getLoc(), copy.getSource(),
                                           copy.getTarget());
      copy.erase();
    });
  }
};
} // namespace

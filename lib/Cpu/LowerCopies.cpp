//===- LowerCopies.cpp - memref.copy -> loops -----------------------------===//
//
// The upstream lowering of a copy between layouts calls a runtime library;
// artefacts have none. In an entry function a copy is a call of a kernel that
// all copies of its shape share, so that such a function has no loops of its
// own and its code grows by a call a copy.
//
//===----------------------------------------------------------------------===//

#include "gradus/Lowering.h"
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
namespace func = mlir::func;

namespace {
struct LowerCopies : impl::LowerCopiesBase<LowerCopies> {
  void runOnOperation() override {
    kernels.clear();
    SmallVector<mlir::memref::CopyOp> copies;
    getOperation().walk(
        [&](mlir::memref::CopyOp copy) { copies.push_back(copy); });
    for (mlir::memref::CopyOp copy : copies) {
      OpBuilder b(copy);
      Value from = copy.getSource(), to = copy.getTarget();
      if (auto kernel = sharedKernel(copy))
        func::CallOp::create(b, copy.getLoc(), kernel, ValueRange{from, to});
      else
        (void)mlir::linalg::makeMemRefCopyOp(b, copy.getLoc(), from, to);
      copy.erase();
    }
  }

private:
  /// The kernel that copies between buffers of these types; null for a copy
  /// that is part of a kernel or that a bare pointer cannot describe.
  func::FuncOp sharedKernel(mlir::memref::CopyOp copy) {
    auto from = dyn_cast<mlir::MemRefType>(copy.getSource().getType()),
         to = dyn_cast<mlir::MemRefType>(copy.getTarget().getType());
    if (copy->getParentOfType<func::FuncOp>()->hasAttr(lowering::kernelAttr) ||
        !from || !to || !from.getLayout().isIdentity() ||
        !to.getLayout().isIdentity())
      return {};
    func::FuncOp &kernel = kernels[{from, to}];
    if (kernel)
      return kernel;
    OpBuilder b = OpBuilder::atBlockEnd(getOperation().getBody());
    kernel = func::FuncOp::create(
        b, copy.getLoc(), ("kernel_copy" + Twine(kernels.size() - 1)).str(),
        b.getFunctionType({from, to}, {}));
    kernel.setPrivate();
    kernel->setAttr(lowering::kernelAttr, b.getUnitAttr());
    Block *body = kernel.addEntryBlock();
    b.setInsertionPointToStart(body);
    (void)mlir::linalg::makeMemRefCopyOp(b, copy.getLoc(), body->getArgument(0),
                                         body->getArgument(1));
    func::ReturnOp::create(b, copy.getLoc());
    return kernel;
  }

  llvm::DenseMap<std::pair<Type, Type>, func::FuncOp> kernels;
};
} // namespace

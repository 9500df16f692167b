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
#include "gradus/RuntimeLengths.h"
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
      ArrayAttr lengths = lengthsOf(copy);
      if (auto kernel = sharedKernel(copy, lengths))
        func::CallOp::create(b, copy.getLoc(), kernel, ValueRange{from, to});
      else
        makeCopy(b, copy.getLoc(), from, to, lengths);
      copy.erase();
    }
  }

private:
  static void makeCopy(OpBuilder &b, Location loc, Value from, Value to,
                       ArrayAttr lengths) {
    auto copy = mlir::linalg::makeMemRefCopyOp(b, loc, from, to);
    if (lengths)
      copy->setAttr(lowering::lengthsAttr, lengths);
  }

  /// How far down it goes, where one side is an argument of which a call says
  /// how many rows there are: what is behind them is someone else's.
  static ArrayAttr lengthsOf(mlir::memref::CopyOp copy) {
    for (Value side : {copy.getSource(), copy.getTarget()}) {
      Value root = lowering::viewedBuffer(side);
      auto arg = dyn_cast<BlockArgument>(root);
      RuntimeLengths lengths = arg ? argumentLengths(arg) : RuntimeLengths();
      auto type = cast<ShapedType>(side.getType());
      if (lengths.empty() || !lengths[0] || type.getRank() == 0)
        continue;
      // A view may have merged the first axis with those behind it.
      int64_t rows = type.getDimSize(0),
              whole = cast<ShapedType>(root.getType()).getDimSize(0);
      RuntimeLengths axes(type.getRank());
      axes[0] = {lengths[0].dim, lengths[0].times * rows / whole};
      return lengthsAttrOf(copy.getContext(), axes);
    }
    return {};
  }

  /// The kernel that copies between buffers of these types; null for a copy
  /// that is part of a kernel or that a bare pointer cannot describe.
  func::FuncOp sharedKernel(mlir::memref::CopyOp copy, ArrayAttr lengths) {
    auto from = dyn_cast<mlir::MemRefType>(copy.getSource().getType()),
         to = dyn_cast<mlir::MemRefType>(copy.getTarget().getType());
    if (copy->getParentOfType<func::FuncOp>()->hasAttr(lowering::kernelAttr) ||
        !from || !to || !from.getLayout().isIdentity() ||
        !to.getLayout().isIdentity())
      return {};
    func::FuncOp &kernel = kernels[{from, to, lengths}];
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
    makeCopy(b, copy.getLoc(), body->getArgument(0), body->getArgument(1),
             lengths);
    func::ReturnOp::create(b, copy.getLoc());
    return kernel;
  }

  /// By the types of both sides, and the lengths.
  llvm::DenseMap<std::tuple<Type, Type, Attribute>, func::FuncOp> kernels;
};
} // namespace

//===- Touches.cpp - what of memory a kernel reads and writes -------------===//

#include "Touches.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace gradus;
using namespace gradus::gpu;
namespace LLVM = mlir::LLVM;
namespace memref = mlir::memref;
namespace NVVM = mlir::NVVM;

/// Is the pointer, or memory, used for nothing but loads? What is not known to
/// load may store.
static bool isOnlyRead(Value memory) {
  return llvm::all_of(memory.getUses(), [](mlir::OpOperand &use) {
    Operation *user = use.getOwner();
    if (isa<memref::LoadOp, LLVM::LoadOp,
            NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp>(user))
      return true;
    if (auto copy = dyn_cast<NVVM::CpAsyncOp>(user))
      return use.get() == copy.getSrc();
    if (!isa<mlir::UnrealizedConversionCastOp, LLVM::ExtractValueOp,
             LLVM::GEPOp>(user))
      return false;
    return llvm::all_of(user->getResults(), isOnlyRead);
  });
}

SmallVector<int64_t> gpu::touchedBytes(mlir::gpu::GPUFuncOp kernel,
                                       ValueRange hostArgs) {
  SmallVector<int64_t> touched;
  for (auto [parameter, arg] : llvm::zip(kernel.getArguments(), hostArgs)) {
    auto buffer = dyn_cast<mlir::MemRefType>(arg.getType());
    int64_t bytes = buffer ? lowering::byteCount(buffer) : 0;
    touched.push_back(isOnlyRead(parameter) ? bytes : -bytes);
  }
  return touched;
}

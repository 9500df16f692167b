//===- CompileKernels.cpp - kernels in the LLVM dialect -> PTX ------------===//
//
// In process: no part of the CUDA toolkit is needed.
//
//===----------------------------------------------------------------------===//

#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "gradus/Pipeline.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

namespace gradus {
#define GEN_PASS_DEF_COMPILEKERNELS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace func = mlir::func;

static llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
nvptxMachine(StringRef chip) {
  LLVMInitializeNVPTXTargetInfo();
  LLVMInitializeNVPTXTarget();
  LLVMInitializeNVPTXTargetMC();
  LLVMInitializeNVPTXAsmPrinter();
  llvm::Triple triple("nvptx64-nvidia-cuda");
  std::string reason;
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, reason);
  if (!target)
    return llvm::createStringError("this LLVM has no NVPTX target: " + reason);
  // Made for no chip, or LLVM itself complains of one that it does not know.
  std::unique_ptr<llvm::MCSubtargetInfo> info(
      target->createMCSubtargetInfo(triple, /*CPU=*/"", /*Features=*/""));
  unsigned number;
  if (!chip.starts_with("sm_") ||
      chip.drop_front(3).take_while(llvm::isDigit).getAsInteger(10, number) ||
      number < 80 || !info->isCPUStringValid(chip))
    return llvm::createStringError(
        "-mcpu=" + chip +
        ": GPU kernels are made for sm_80 and later (sm_90a is Hopper)");
  // PTX 7.0 knows sm_80; later chips bring their own least version.
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Fast;
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, chip, number == 80 ? "+ptx70" : "", options, std::nullopt,
      std::nullopt, llvm::CodeGenOptLevel::Aggressive));
}

namespace {
struct CompileKernels : impl::CompileKernelsBase<CompileKernels> {
  using CompileKernelsBase::CompileKernelsBase;

  void runOnOperation() override {
    if (auto e = compileAll()) {
      std::string message = llvm::toString(std::move(e));
      if (!message.empty())
        getOperation().emitError(message);
      return signalPassFailure();
    }
    kernels().erase();
  }

private:
  mlir::gpu::GPUModuleOp kernels() {
    return *getOperation().getOps<mlir::gpu::GPUModuleOp>().begin();
  }

  llvm::Error compileAll() {
    auto keep = [&](StringRef attr, StringRef value) {
      getOperation()->setAttr(attr, StringAttr::get(&getContext(), value));
    };
    auto text = compile();
    if (!text)
      return text.takeError();
    keep(lowering::ptxAttr, *text);
    if (!cubin)
      return llvm::Error::success();
    auto code = assemblePtx(*text, chip);
    if (!code)
      return code.takeError();
    keep(lowering::cubinAttr, *code);
    return llvm::Error::success();
  }

  llvm::Expected<std::string> compile() {
    auto machine = nvptxMachine(chip);
    if (!machine)
      return machine.takeError();
    if (failed(refuseLibraryCalls()))
      return llvm::createStringError("");
    markTensorMaps();
    promiseThreads();
    mlir::OwningOpRef<ModuleOp> alone =
        ModuleOp::create(getOperation().getLoc());
    OpBuilder b = OpBuilder::atBlockEnd(alone->getBody());
    for (Operation &op : *kernels().getBody())
      b.clone(op);
    llvm::LLVMContext context;
    auto module = mlir::translateModuleToLLVMIR(*alone, context, "kernels");
    if (!module)
      return llvm::createStringError("the kernels could not be translated");
    module->setTargetTriple((*machine)->getTargetTriple());
    module->setDataLayout((*machine)->createDataLayout());
    if (auto e = optimizeForTarget(*module, **machine, /*optLevel=*/3))
      return std::move(e);
    auto ptx = emitMachineCode(*module, **machine, MachineCode::Assembly);
    if (!ptx)
      return ptx.takeError();
    return comments() + std::string(ptx->begin(), ptx->end());
  }

  /// Tensor maps are parameters by value, which kernels only point to.
  void markTensorMaps() {
    namespace LLVM = mlir::LLVM;
    using NVVM = mlir::NVVM::NVVMDialect;
    OpBuilder b(&getContext());
    constexpr int64_t bytes = 128, alignment = 64;
    auto type = TypeAttr::get(LLVM::LLVMArrayType::get(b.getI8Type(), bytes));
    for (auto f : kernels().getOps<LLVM::LLVMFuncOp>()) {
      auto which =
          f->getAttrOfType<mlir::DenseI64ArrayAttr>(lowering::tensorMapsAttr);
      for (int64_t i : which ? which.asArrayRef() : ArrayRef<int64_t>()) {
        f.setArgAttr(unsigned(i), LLVM::LLVMDialect::getByValAttrName(), type);
        f.setArgAttr(unsigned(i), LLVM::LLVMDialect::getAlignAttrName(),
                     b.getI64IntegerAttr(alignment));
        f.setArgAttr(unsigned(i), NVVM::getGridConstantAttrName(),
                     b.getUnitAttr());
      }
      f->removeAttr(lowering::tensorMapsAttr);
    }
  }

  /// A kernel is launched with the threads that it is made for, never fewer.
  void promiseThreads() {
    using NVVM = mlir::NVVM::NVVMDialect;
    for (auto f : kernels().getOps<mlir::LLVM::LLVMFuncOp>())
      if (Attribute threads = f->removeAttr(NVVM::getMaxntidAttrName()))
        f->setAttr(NVVM::getReqntidAttrName(), threads);
  }

  /// Functions that only a library of the CUDA toolkit has: those of f64.
  LogicalResult refuseLibraryCalls() {
    auto result = kernels().walk([](mlir::LLVM::CallOp call) {
      StringRef callee = call.getCallee().value_or("");
      if (!callee.consume_front("__nv_"))
        return mlir::WalkResult::advance();
      call.emitError("there is no GPU code for ")
          << callee << " of f64; use f32, or compile it for a CPU";
      return mlir::WalkResult::interrupt();
    });
    return failure(result.wasInterrupted());
  }

  /// Where each kernel comes from, and how it is launched.
  std::string comments() {
    std::string text;
    for (auto f : getOperation().getOps<func::FuncOp>()) {
      auto sizes =
          f->getAttrOfType<mlir::DenseI64ArrayAttr>(lowering::launchAttr);
      if (!sizes)
        continue;
      auto line = modelLine(f.getLoc());
      ArrayRef<int64_t> n = sizes.asArrayRef();
      auto plan = f->getAttrOfType<mlir::StringAttr>(lowering::planAttr);
      std::string place;
      if (line)
        place = llvm::formatv("{0}:{1}, ", line.getFilename().getValue(),
                              line.getLine());
      text += llvm::formatv("// {0}: {1}{2} {3} {4} {5}, block {6}{7}\n",
                            f.getName().split('.').second, place,
                            n[5] != 0 ? "grid up to" : "grid", n[0], n[1], n[2],
                            n[3], plan ? "; " + plan.str() : "");
    }
    return text;
  }
};
} // namespace

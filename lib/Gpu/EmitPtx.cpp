//===- EmitPtx.cpp - kernels -> NVVM -> PTX, in process -------------------===//

#include "Product.h"
#include "gradus/Gpu.h"
#include "gradus/Passes.h"
#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

using namespace gradus;
using llvm::formatv;

static llvm::Error error(const Twine &message) {
  return llvm::createStringError(message);
}

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
    return error("this LLVM has no NVPTX target: " + reason);
  std::unique_ptr<llvm::MCSubtargetInfo> info(
      target->createMCSubtargetInfo(triple, chip, ""));
  unsigned number;
  if (!chip.starts_with("sm_") ||
      chip.drop_front(3).take_while(llvm::isDigit).getAsInteger(10, number) ||
      number < 80 || !info->isCPUStringValid(chip))
    return error(
        "-mcpu=" + chip +
        ": GPU kernels are made for sm_80 and later (sm_90a is Hopper)");
  // PTX 7.0 knows sm_80; later chips bring their own least version.
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Fast;
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, chip, number == 80 ? "+ptx70" : "", options, std::nullopt,
      std::nullopt, llvm::CodeGenOptLevel::Aggressive));
}

/// How to launch each kernel, for people and for test/gpu.
static std::string launchComments(ArrayRef<Product> products) {
  std::string s;
  auto steps = [](const Product::Steps &o) {
    std::string text = formatv("{0},{1}", o.row, o.column);
    for (int64_t b : o.batch)
      text += formatv(",{0}", b);
    return text;
  };
  for (const Product &p : products) {
    Tiles t = Tiles::choose(p);
    std::string batch;
    for (int64_t b : p.batch)
      batch += formatv(",{0}", b);
    s += formatv("// {0}: grid {1} {2} {3}, block {4}; (lhs, rhs, out) of {5}, "
                 "{6}, {7} elements\n"
                 "// {0}: m,n,k,batch {8},{9},{10}{11} steps lhs {12} rhs {13} "
                 "out {14}\n",
                 p.name(), llvm::divideCeil(p.n, t.columns),
                 llvm::divideCeil(p.m, t.rows), p.batches(), t.threads(),
                 p.lhsElements, p.rhsElements, p.outElements, p.m, p.n, p.k,
                 batch, steps(p.lhs), steps(p.rhs), steps(p.out));
  }
  return s;
}

/// A module of the functions inside the gpu.module, for translation.
static mlir::OwningOpRef<ModuleOp> kernelsAlone(ModuleOp module) {
  auto kernels = *module.getOps<mlir::gpu::GPUModuleOp>().begin();
  mlir::OwningOpRef<ModuleOp> alone = ModuleOp::create(module.getLoc());
  OpBuilder b = OpBuilder::atBlockEnd(alone->getBody());
  for (Operation &op : *kernels.getBody())
    b.clone(op);
  return alone;
}

static LogicalResult lowerToNvvm(ModuleOp module) {
  mlir::PassManager pm(module.getContext(), ModuleOp::getOperationName());
  pm.addPass(createExtractMatmuls());
  auto &gpu = pm.nest<mlir::gpu::GPUModuleOp>();
  gpu.addPass(mlir::createCanonicalizerPass());
  gpu.addPass(mlir::createCSEPass());
  gpu.addPass(mlir::createSCFToControlFlowPass());
  mlir::ConvertGpuOpsToNVVMOpsOptions nvvm;
  nvvm.useBarePtrCallConv = true;
  nvvm.indexBitwidth = 64;
  gpu.addPass(mlir::createConvertGpuOpsToNVVMOps(nvvm));
  gpu.addPass(mlir::createReconcileUnrealizedCastsPass());
  return pm.run(module);
}

llvm::Expected<std::string> gradus::emitPtx(Compilation &c, StringRef chip) {
  auto machine = nvptxMachine(chip);
  if (!machine)
    return machine.takeError();
  mlir::DialectRegistry registry;
  mlir::registerGPUDialectTranslation(registry);
  mlir::registerNVVMDialectTranslation(registry);
  // convert-gpu-to-nvvm asks these dialects for their patterns.
  mlir::arith::registerConvertArithToLLVMInterface(registry);
  mlir::cf::registerConvertControlFlowToLLVMInterface(registry);
  mlir::registerConvertMathToLLVMInterface(registry);
  mlir::registerConvertMemRefToLLVMInterface(registry);
  c.context().appendDialectRegistry(registry);
  if (failed(c.runTo(Stage::Linalg)))
    return error("");
  std::vector<Product> products;
  c.module().walk([&](mlir::linalg::GenericOp op) {
    auto p = Product::match(op);
    if (p && llvm::none_of(products, [&](const Product &o) {
          return o.name() == p->name();
        }))
      products.push_back(*p);
  });
  if (products.empty())
    return error("the model has no matmul to make a GPU kernel of");
  if (failed(lowerToNvvm(c.module())))
    return error("");
  llvm::LLVMContext context;
  mlir::OwningOpRef<ModuleOp> kernels = kernelsAlone(c.module());
  auto module = mlir::translateModuleToLLVMIR(*kernels, context, "kernels");
  if (!module)
    return error("the kernels could not be translated");
  module->setTargetTriple((*machine)->getTargetTriple());
  module->setDataLayout((*machine)->createDataLayout());
  auto ptx = emitMachineCode(*module, **machine, MachineCode::Assembly);
  if (!ptx)
    return ptx.takeError();
  return launchComments(products) + std::string(ptx->begin(), ptx->end());
}

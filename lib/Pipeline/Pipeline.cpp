//===- Pipeline.cpp - the table of contents -------------------------------===//
//
// One function a stage: its passes, and why they stand where they stand.
//
//===----------------------------------------------------------------------===//

#include "gradus/Pipeline.h"
#include "gradus/Passes.h"
#include "lib/Runtime/Processor.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Conversion/VectorToSCF/VectorToSCF.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotAnalysis.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/Transforms/Passes.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

using namespace gradus;
using mlir::OpPassManager;
namespace bufferization = mlir::bufferization;
namespace func = mlir::func;

static constexpr std::pair<Stage, llvm::StringLiteral> stages[] = {
    {Stage::Graph, "graph"},     {Stage::Grad, "grad"},
    {Stage::Simple, "simple"},   {Stage::Linalg, "linalg"},
    {Stage::Kernels, "kernels"}, {Stage::Buffers, "buffers"},
    {Stage::Llvm, "llvm"},
};

StringRef gradus::stageName(Stage stage) {
  return stages[static_cast<int>(stage)].second;
}
std::optional<Stage> gradus::parseStage(StringRef name) {
  for (auto [stage, known] : stages)
    if (known == name)
      return stage;
  return std::nullopt;
}
ArrayRef<Stage> gradus::allStages() {
  static const SmallVector<Stage> all =
      llvm::map_to_vector(stages, [](auto &s) { return s.first; });
  return all;
}

//===----------------------------------------------------------------------===//
// The stages
//===----------------------------------------------------------------------===//

/// The model with its dimensions bound; shapes no longer change after this.
static void buildGraph(OpPassManager &pm, const CompileOptions &options) {
  if (options.dims.empty() && options.bounds.empty())
    return;
  BindDimsOptions bind;
  bind.sizes.assign(options.dims.begin(), options.dims.end());
  bind.bounds.assign(options.bounds.begin(), options.bounds.end());
  pm.addNestedPass<graph::ModelOp>(createBindDims(bind));
}

/// Layers, training steps and gradients written out, as text that a person
/// could have written.
static void buildGrad(OpPassManager &pm) {
  auto &model = pm.nest<graph::ModelOp>();
  model.addPass(createInstantiateLayers());
  model.addPass(createExpandTrain());
  // The step calls the optimiser once a parameter: layers again.
  model.addPass(createInstantiateLayers());
  model.addPass(createDifferentiate());
  // Fold before CSE, or copies of copies survive.
  model.addPass(mlir::createCanonicalizerPass());
  model.addPass(mlir::createCSEPass());
}

/// One function a purpose, of primitive ops.
static void buildSimple(OpPassManager &pm, const CompileOptions &options) {
  auto &model = pm.nest<graph::ModelOp>();
  model.addPass(createAddInit());
  InlineCallsOptions inlining;
  for (StringRef bound : options.bounds)
    inlining.bounded.push_back(bound.split('=').first.str());
  model.addPass(createInlineCalls(inlining));
  if (!options.functions.empty() || !options.freeze.empty()) {
    KeepFunctionsOptions keep;
    keep.frozen = !options.freeze.empty();
    keep.names.assign(options.functions.begin(), options.functions.end());
    model.addPass(createKeepFunctions(keep));
  }
  if (!options.special.empty()) {
    SpecializeOptions special;
    special.sizes.assign(options.special.begin(), options.special.end());
    special.bounds.assign(options.bounds.begin(), options.bounds.end());
    model.addPass(createSpecialize(special));
  }
  model.addPass(createDecompose());
  model.addPass(createHoistProducts());
  model.addPass(mlir::createCanonicalizerPass());
  model.addPass(mlir::createCSEPass());
}

static void buildLinalg(OpPassManager &pm, const CompileOptions &options) {
  ParamsToArgsOptions limits;
  limits.bounds.assign(options.bounds.begin(), options.bounds.end());
  pm.addPass(createParamsToArgs(limits));
  pm.addPass(createOutlineBodies());
  pm.addPass(createDropEmpty());
  // No CSE from here to bufferisation: it would merge the empty tensors and
  // fills that distinct results start from.
  pm.addNestedPass<func::FuncOp>(createLowerToLinalg());
  pm.addNestedPass<func::FuncOp>(createCollapseAxes());
  pm.addNestedPass<func::FuncOp>(createRematerialize());
  FuseGroupsOptions fusion;
  fusion.windows = options.gpu.empty(); // graph-group-windows follows
  pm.addNestedPass<func::FuncOp>(createFuseGroups(fusion));
  pm.addNestedPass<func::FuncOp>(createDropUnitAxes());
  pm.addNestedPass<func::FuncOp>(createFuseFolds());
  pm.addNestedPass<func::FuncOp>(createFuseSiblings());
  SplitSumsOptions sums;
  if (!options.gpu.empty()) {
    // A launch more is a few microseconds.
    sums.leastPoints = 1 << 20;
    sums.mostResults = 1 << 12;
    sums.mostParts = 256;
    sums.mostSums = 1 << 15;
  }
  pm.addNestedPass<func::FuncOp>(createSplitSums(sums));
  GroupRowsOptions rows;
  rows.windows = options.gpu.empty();
  if (!options.gpu.empty()) {
    // A block's shared memory; a product is the work of many blocks.
    rows.rowBytes = 32 * 1024;
    rows.products = false;
    rows.manyRows = true;
  }
  pm.addNestedPass<func::FuncOp>(createGroupRows(rows));
  if (options.gpu.empty()) {
    pm.addNestedPass<func::FuncOp>(createRecomputeRows());
    pm.addNestedPass<func::FuncOp>(createSumRows());
  }
  // Last: what a group keeps in the cache is more than an epilogue saves.
  pm.addNestedPass<func::FuncOp>(
      createFuseEpilogues({/*sums=*/!options.gpu.empty()}));
  if (!options.gpu.empty())
    return;
  pm.addNestedPass<func::FuncOp>(createLimitReach());
  pm.addNestedPass<func::FuncOp>(createGroupWindows());
  // The host has no numbers that a GPU computes.
  pm.addNestedPass<func::FuncOp>(createExtractNumbers());
}

static void buildKernels(OpPassManager &pm, const CompileOptions &options) {
  // Before outlining: an in-place update changes what a kernel's operands are.
  pm.addPass(createDefineBoundary());
  pm.addPass(createOutlineKernels());
  if (options.gpu.empty()) {
    pm.addPass(createMergeLoops());
    pm.addPass(createMarkBoxes());
  }
}

namespace {
/// What the options describe. Where that is no processor, it has nothing here;
/// the error is reported where code is made for it.
class Processor {
public:
  explicit Processor(const CompileOptions &options) {
    if (auto made = createTargetMachine(options))
      machine = std::move(*made);
    else
      llvm::consumeError(made.takeError());
  }
  /// All of them, "+avx,+fma"?
  bool has(StringRef features) const {
    return machine &&
           machine->getMCSubtargetInfo()->checkFeatures(features.str());
  }
  /// Those that the runtime can check, as a mask.
  uint64_t features() const {
    uint64_t mask = 0;
    for (auto [i, f] : llvm::enumerate(gradus_features))
      if (has(std::string("+") + f.name))
        mask |= uint64_t(1) << i;
    return mask;
  }

private:
  std::unique_ptr<llvm::TargetMachine> machine;
};
} // namespace

/// The width and number of the machine's vector registers, and what it
/// multiplies several elements at a time with.
static LowerKernelsOptions machineOptions(const CompileOptions &options) {
  LowerKernelsOptions result;
  result.threads = options.threads;
  result.winograd = options.winograd;
  Processor processor(options);
  if (processor.has("+avx512bw,+avx512vl") || processor.has("+avx2"))
    result.dots.push_back("vpmaddwd");
  if (processor.has("+avx512vnni,+avx512vl"))
    result.dots.push_back("vpdpwssd");
  if (processor.has("+avx512vnni,+avx512vl") || processor.has("+avxvnni"))
    result.dots.push_back("vpdpbusd");
  if (processor.has("+avx512bf16,+avx512vl"))
    result.dots.push_back("vdpbf16ps");
  if (processor.has("+amx-int8,+avx512vl"))
    result.dots.push_back("tdpbssd");
  if (processor.has("+amx-bf16,+avx512vl"))
    result.dots.push_back("tdpbf16ps");
  result.streams = processor.has("+avx");
  if (processor.has("+avx512f")) {
    result.vectorBits = 512;
    result.registers = 32;
  } else if (!processor.has("+avx")) {
    result.vectorBits = 128;
  }
  return result;
}

static void buildBuffers(OpPassManager &pm, const CompileOptions &options) {
  bufferization::OneShotBufferizePassOptions bufferize;
  bufferize.bufferizeFunctionBoundaries = true;
  bufferize.functionBoundaryTypeConversion =
      bufferization::LayoutMapOption::IdentityLayoutMap;
  pm.addPass(bufferization::createOneShotBufferizePass(bufferize));
  // Kernels return what they were given to write to.
  pm.addPass(bufferization::createDropEquivalentBufferResultsPass());
  // Copies of a buffer to itself go here; CSE would merge distinct buffers.
  pm.addPass(mlir::createCanonicalizerPass());
  pm.addPass(createLowerCopies());
  if (!options.gpu.empty()) {
    pm.addPass(createLowerToLaunches(
        {options.precision, options.gpu, options.packing}));
    pm.addPass(createHostMemory());
    pm.addPass(createPassSizes());
    pm.addPass(createPlanMemory({/*frozen=*/!options.freeze.empty()}));
    return;
  }
  LowerKernelsOptions machine = machineOptions(options);
  if (!options.freeze.empty())
    pm.addPass(createPackConstants({machine.vectorBits, machine.registers,
                                    machine.dots, machine.winograd}));
  pm.addNestedPass<func::FuncOp>(createLowerKernels(machine));
  pm.addPass(createPassSizes());
  pm.addPass(createOutlineParts());
  // After everything that allocates.
  pm.addPass(createPlanMemory({/*frozen=*/!options.freeze.empty()}));
}

static llvm::Triple tripleOf(const CompileOptions &options) {
  return llvm::Triple(options.triple.empty()
                          ? llvm::sys::getDefaultTargetTriple()
                          : options.triple);
}

void gradus::buildPtx(OpPassManager &pm, const CompileOptions &options) {
  auto &gpu = pm.nest<mlir::gpu::GPUModuleOp>();
  gpu.addPass(createApproximateMath({/*roundsToBf16=*/true, /*all=*/true}));
  gpu.addPass(mlir::createLowerAffinePass());
  gpu.addPass(mlir::createCanonicalizerPass());
  gpu.addPass(mlir::createCSEPass());
  gpu.addPass(mlir::createSCFToControlFlowPass());
  gpu.addPass(createLowerMath());
  mlir::ConvertGpuOpsToNVVMOpsOptions nvvm;
  nvvm.useBarePtrCallConv = true;
  nvvm.indexBitwidth = 32;
  gpu.addPass(mlir::createConvertGpuOpsToNVVMOps(nvvm));
  gpu.addPass(mlir::createConvertNVVMToLLVMPass());
  gpu.addPass(mlir::createReconcileUnrealizedCastsPass());
  pm.addPass(createCompileKernels({options.gpu, options.cubin}));
}

/// "sm_90a" -> 90
static int64_t gpuArchitecture(StringRef chip) {
  int64_t number = 0;
  chip.consume_front("sm_");
  (void)chip.take_while(llvm::isDigit).getAsInteger(10, number);
  return number;
}

static void buildLlvm(OpPassManager &pm, const CompileOptions &options) {
  if (!options.gpu.empty())
    buildPtx(pm, options);
  Processor processor(options);
  llvm::Triple triple = tripleOf(options);
  if (triple.isX86() && options.gpu.empty()) {
    pm.addPass(createFlushDenormals());
    // The first thing that an entry function does.
    if (triple.isArch64Bit() && triple.isOSLinux())
      pm.addPass(createNeedProcessor({processor.features()}));
  }
  auto &f = pm.nest<func::FuncOp>();
  bool roundsToBf16 = processor.has("+avx512bf16");
  f.addPass(createApproximateMath({roundsToBf16, /*all=*/false}));
  // No canonicalisation between here and LLVM: it would take the vectors of
  // the micro-kernels apart.
  f.addPass(mlir::createLoopInvariantCodeMotionPass());
  f.addPass(mlir::createCSEPass());
  f.addPass(mlir::memref::createExpandStridedMetadataPass());
  f.addPass(mlir::createLowerAffinePass());
  f.addPass(mlir::createSCFToControlFlowPass());
  // What the processor has, before libm is asked for the rest.
  f.addPass(mlir::createConvertMathToLLVMPass());
  // Declares functions, so not one function at a time. Takes vectors of what
  // only libm has apart: before vectors go.
  pm.addPass(mlir::createConvertMathToLibmPass());
  pm.addNestedPass<func::FuncOp>(createLowerToLlvm({roundsToBf16}));
  pm.addPass(mlir::createFinalizeMemRefToLLVMConversionPass()); // globals
  mlir::ConvertFuncToLLVMPassOptions abi;
  abi.useBarePtrCallConv = true; // the C ABI
  pm.addPass(mlir::createConvertFuncToLLVMPass(abi));
  pm.addPass(mlir::createReconcileUnrealizedCastsPass());
  pm.addPass(createLaunchParts());
  pm.addPass(
      createLaunchKernels({gpuArchitecture(options.gpu), options.cpuFallback}));
  pm.addPass(createCheckSizes());
  if (!options.modelLines)
    return;
  pm.addPass(createModelLocations());
  pm.addPass(mlir::LLVM::createDIScopeForLLVMFuncOpPass());
}

void gradus::buildStage(Stage stage, OpPassManager &pm,
                        const CompileOptions &options) {
  switch (stage) {
  case Stage::Graph:
    return buildGraph(pm, options);
  case Stage::Grad:
    return buildGrad(pm);
  case Stage::Simple:
    return buildSimple(pm, options);
  case Stage::Linalg:
    return buildLinalg(pm, options);
  case Stage::Kernels:
    return buildKernels(pm, options);
  case Stage::Buffers:
    return buildBuffers(pm, options);
  case Stage::Llvm:
    return buildLlvm(pm, options);
  }
}

void gradus::registerPassesAndPipelines() {
  registerGradusPasses();
  mlir::registerTransformsPasses();
  mlir::registerLinalgPasses();
  bufferization::registerBufferizationPasses();
  static mlir::PassPipelineRegistration<> gradient(
      "graph-gradient", "Write layers, training steps and gradients out",
      [](OpPassManager &pm) { buildGrad(pm); });
  static mlir::PassPipelineRegistration<> native(
      "graph-to-llvm", "Everything down to the LLVM dialect, for this machine",
      [](OpPassManager &pm) {
        CompileOptions options;
        for (Stage stage : allStages())
          buildStage(stage, pm, options);
      });
}

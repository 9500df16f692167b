//===- MachineCode.cpp - LLVM dialect -> LLVM IR -> machine code ----------===//

#include "Units.h"
#include "dialects/graph/Syntax.h"
#include "gradus/Lowering.h"
#include "gradus/Pipeline.h"
#include "lib/Runtime/Processor.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Operator.h"
#include "llvm/Linker/Linker.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

using namespace gradus;

static llvm::Error error(const Twine &message) {
  return llvm::createStringError(message);
}

/// Those that a user asks for: LLVM says once for each function that it ignores
/// one, and goes on.
static llvm::Error checkFeatures(StringRef features,
                                 const llvm::MCSubtargetInfo &known) {
  SmallVector<StringRef> names = llvm::map_to_vector(
      known.getAllProcessorFeatures(),
      [](const llvm::SubtargetFeatureKV &f) { return StringRef(f.Key); });
  for (StringRef feature : llvm::split(features, ',')) {
    StringRef name = feature;
    bool isSigned = name.consume_front("+") || name.consume_front("-");
    bool isKnown = llvm::is_contained(names, name);
    if (feature.empty() || (isSigned && isKnown))
      continue;
    if (isKnown)
      return error("--mattr=" + feature + ": say +" + name +
                   " to turn the feature on, -" + name + " to turn it off");
    StringRef close = graph::nearest(name, names);
    return error("--mattr=" + feature + ": there is no such feature" +
                 (close.empty() ? "" : "; did you mean '" + close + "'?"));
  }
  return llvm::Error::success();
}

llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
gradus::createTargetMachine(const CompileOptions &options) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  llvm::InitializeNativeTargetAsmParser(); // the runtime asks the processor
  std::string name = options.triple.empty()
                         ? llvm::sys::getDefaultTargetTriple()
                         : options.triple;
  std::string reason;
  llvm::Triple triple(name);
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, reason);
  if (!target)
    return error("no target '" + name + "' in this LLVM: " + reason);
  std::string cpu = options.cpu, features;
  if (cpu == "native") {
    cpu = llvm::sys::getHostCPUName().str();
    // The CPU's name promises features that a virtual machine may hide.
    for (auto &[feature, on] : llvm::sys::getHostCPUFeatures())
      features += (features.empty() ? "" : ",") + std::string(on ? "+" : "-") +
                  feature.str();
    // The system may keep them from this process.
    if (!gradus_allow_tiles())
      features += ",-amx-tile";
  }
  // What is asked for has the last word.
  if (!options.features.empty())
    features += (features.empty() ? "" : ",") + options.features;
  llvm::TargetOptions codegen;
  codegen.AllowFPOpFusion = llvm::FPOpFusion::Fast;
  // Made for no CPU, or LLVM itself complains of one that it does not know.
  std::unique_ptr<llvm::MCSubtargetInfo> info(
      target->createMCSubtargetInfo(triple, /*CPU=*/"", /*Features=*/""));
  if (!info || !info->isCPUStringValid(cpu))
    return error("this LLVM knows no CPU '" + cpu + "' for " + name +
                 "; -march=native means this machine's");
  if (llvm::Error e = checkFeatures(options.features, *info))
    return e;
  std::unique_ptr<llvm::TargetMachine> machine(target->createTargetMachine(
      triple, cpu, features, codegen, llvm::Reloc::PIC_, std::nullopt,
      options.optLevel >= 3   ? llvm::CodeGenOptLevel::Aggressive
      : options.optLevel == 0 ? llvm::CodeGenOptLevel::None
                              : llvm::CodeGenOptLevel::Default));
  if (!machine)
    return error("no code can be generated for '" + name + "'");
  return machine;
}

/// Products and sums may be contracted, and the lanes of a vector added up in
/// any order. Nothing else may be reordered: x - x + y is a NaN where x is
/// infinite. The order is fixed at compile time: results are the same from run
/// to run. Two roundings stay two: f64 to bf16 at once is a function that few
/// libraries have.
static void allowVectorSums(llvm::Module &module) {
  for (llvm::Function &f : module)
    for (llvm::Instruction &i : llvm::instructions(f)) {
      if (!isa<llvm::FPMathOperator>(i) || isa<llvm::CastInst>(i))
        continue;
      llvm::FastMathFlags flags;
      flags.setAllowContract();
      flags.setNoSignedZeros();
      auto *call = dyn_cast<llvm::IntrinsicInst>(&i);
      flags.setAllowReassoc(
          call &&
          (call->getIntrinsicID() == llvm::Intrinsic::vector_reduce_fadd ||
           call->getIntrinsicID() == llvm::Intrinsic::vector_reduce_fmul));
      i.setFastMathFlags(flags);
    }
}

/// Kernels write to buffers that no other argument shares, from aligned
/// starts; what is not for the outside is internal.
static void annotate(llvm::Module &module, ModuleOp source) {
  for (llvm::Function &f : module) {
    if (f.isDeclaration())
      continue;
    Operation *op = source.lookupSymbol(f.getName());
    bool kernel = op && op->hasAttr(lowering::kernelAttr);
    f.addFnAttr(llvm::Attribute::NoUnwind);
    f.addFnAttr("prefer-vector-width", "512");
    if (!kernel)
      continue;
    f.setLinkage(llvm::GlobalValue::InternalLinkage);
    // A kernel of a few scalars costs less than its call.
    f.addFnAttr(f.size() == 1 && f.front().size() < 64
                    ? llvm::Attribute::AlwaysInline
                    : llvm::Attribute::NoInline);
    for (llvm::Argument &a : f.args())
      if (a.getType()->isPointerTy())
        a.addAttr(llvm::Attribute::NoAlias);
  }
}

/// A light pipeline: the loops come tiled and hoisted. About a tenth of -O2's
/// time for the same code on the kernels (measured in docs/rationale).
static constexpr char lightPipeline[] =
    "always-inline,function(early-cse,simplifycfg,loop(loop-rotate),loop-mssa("
    "licm),"
    "early-cse,instcombine<no-verify-fixpoint>,simplifycfg)";

llvm::Error gradus::optimizeForTarget(llvm::Module &module,
                                      llvm::TargetMachine &machine,
                                      unsigned optLevel) {
  if (optLevel == 0)
    return llvm::Error::success();
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager sccs;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = true;
  llvm::PassBuilder builder(&machine, tuning);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(sccs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, sccs, modules);
  llvm::ModulePassManager passes;
  if (optLevel >= 3)
    passes = builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3);
  else if (auto e = builder.parsePassPipeline(passes, lightPipeline))
    return e;
  passes.run(module, modules);
  return llvm::Error::success();
}

static const unsigned char threadPool[] = {
#include "lib/Runtime/Parallel.bc.inc"
};
static const unsigned char processorRuntime[] = {
#include "lib/Runtime/Processor.bc.inc"
};
static const unsigned char gpuRuntime[] = {
#include "lib/Runtime/Gpu.bc.inc"
};

/// Links a part of the runtime into a module.
static llvm::Error linkRuntime(llvm::Module &module, llvm::StringRef bytes) {
  auto runtime = llvm::parseBitcodeFile(llvm::MemoryBufferRef(bytes, "runtime"),
                                        module.getContext());
  if (!runtime)
    return runtime.takeError();
  (*runtime)->setTargetTriple(module.getTargetTriple());
  (*runtime)->setDataLayout(module.getDataLayout());
  if (llvm::Linker::linkModules(module, std::move(*runtime)))
    return error("the runtime could not be linked");
  return llvm::Error::success();
}

/// Gives a module that launches GPU kernels the runtime that does; each model
/// has its own, with its own GPU.
static llvm::Error linkGpuRuntime(llvm::Module &module) {
  if (!module.getFunction("gradus_gpu_begin"))
    return llvm::Error::success();
  llvm::StringRef bytes(reinterpret_cast<const char *>(gpuRuntime),
                        sizeof gpuRuntime);
  if (auto e = linkRuntime(module, bytes))
    return e;
  for (llvm::Function &f : module)
    if (!f.isDeclaration() && f.getName().starts_with("gradus_gpu_"))
      f.setLinkage(llvm::GlobalValue::InternalLinkage);
  return llvm::Error::success();
}

/// Gives a module that calls `function` the part of the runtime that defines
/// it. Several models in one program share one.
static llvm::Error linkShared(llvm::Module &module, llvm::StringRef function,
                              llvm::ArrayRef<unsigned char> bytes,
                              llvm::StringRef purpose) {
  if (!module.getFunction(function))
    return llvm::Error::success();
  const llvm::Triple &triple = module.getTargetTriple();
  if (triple.getArch() != llvm::Triple::x86_64 || !triple.isOSLinux())
    return error(purpose + ", not for '" + triple.str() + "'");
  llvm::StringSet<> own;
  for (const llvm::Function &f : module)
    if (!f.isDeclaration())
      own.insert(f.getName());
  if (auto e = linkRuntime(
          module, {reinterpret_cast<const char *>(bytes.data()), bytes.size()}))
    return e;
  for (llvm::Function &f : module) {
    if (f.isDeclaration() || f.hasLocalLinkage() || own.contains(f.getName()))
      continue;
    f.setLinkage(llvm::GlobalValue::WeakODRLinkage);
    f.setComdat(module.getOrInsertComdat(f.getName()));
  }
  return llvm::Error::success();
}

llvm::Expected<std::unique_ptr<llvm::Module>>
gradus::translateToLLVM(ModuleOp source, llvm::LLVMContext &context,
                        llvm::TargetMachine &machine) {
  auto module = mlir::translateModuleToLLVMIR(
      source, context, source.getSymName().value_or("model"));
  if (!module)
    return error("the LLVM dialect could not be translated");
  module->setTargetTriple(machine.getTargetTriple());
  module->setDataLayout(machine.createDataLayout());
  annotate(*module, source);
  allowVectorSums(*module);
  if (auto e = linkShared(
          *module, lowering::parallelFunction, threadPool,
          "the thread pool is for x86-64 Linux (compile with --threads=1)"))
    return std::move(e);
  if (auto e =
          linkShared(*module, lowering::needProcessorFunction, processorRuntime,
                     "the check of the processor is for x86-64 Linux"))
    return std::move(e);
  if (auto e = linkGpuRuntime(*module))
    return std::move(e);
  return module;
}

llvm::Expected<SmallVector<char, 0>>
gradus::emitMachineCode(llvm::Module &module, llvm::TargetMachine &machine,
                        MachineCode kind) {
  SmallVector<char, 0> code;
  llvm::raw_svector_ostream os(code);
  llvm::legacy::PassManager passes;
  auto type = kind == MachineCode::Object ? llvm::CodeGenFileType::ObjectFile
                                          : llvm::CodeGenFileType::AssemblyFile;
  if (machine.addPassesToEmitFile(passes, os, nullptr, type))
    return error("this target emits no such file");
  passes.run(module);
  return code;
}

//===----------------------------------------------------------------------===//
// Units side by side
//===----------------------------------------------------------------------===//

/// Below this many instructions, one unit is done before a thread has started.
static constexpr size_t fewInstructions = 3000;

static llvm::Expected<Object> compileUnit(ArrayRef<char> bitcode,
                                          const CompileOptions &options) {
  llvm::LLVMContext context;
  auto module = llvm::parseBitcodeFile(
      llvm::MemoryBufferRef(StringRef(bitcode.data(), bitcode.size()), "unit"),
      context);
  if (!module)
    return module.takeError();
  auto machine = createTargetMachine(options);
  if (!machine)
    return machine.takeError();
  if (auto e = optimizeForTarget(**module, **machine, options.optLevel))
    return std::move(e);
  return emitMachineCode(**module, **machine, MachineCode::Object);
}

llvm::Expected<std::vector<Object>>
gradus::emitObjects(std::unique_ptr<llvm::Module> module,
                    const CompileOptions &options) {
  auto machine = createTargetMachine(options);
  if (!machine)
    return machine.takeError();
  llvm::ThreadPoolStrategy strategy = llvm::hardware_concurrency(options.jobs);
  unsigned jobs = strategy.compute_thread_count();
  std::optional<ObjectCache> cache;
  if (!options.cacheDir.empty())
    cache.emplace(options.cacheDir,
                  ((*machine)->getTargetTriple().str() + "|" +
                   (*machine)->getTargetCPU() + "|" +
                   (*machine)->getTargetFeatureString() + "|O" +
                   Twine(options.optLevel) + "|" LLVM_VERSION_STRING)
                      .str());
  if (!cache &&
      (jobs == 1 || module->getInstructionCount() < fewInstructions)) {
    if (auto e = optimizeForTarget(*module, **machine, options.optLevel))
      return std::move(e);
    auto object = emitMachineCode(*module, **machine, MachineCode::Object);
    if (!object)
      return object.takeError();
    std::vector<Object> one;
    one.push_back(std::move(*object));
    return one;
  }
  // More units than threads, so that these end at about the same time.
  constexpr unsigned unitsAThread = 3;
  auto units =
      splitIntoUnits(std::move(module), cache ? 0 : unitsAThread * jobs);
  std::vector<Object> objects(units.size());
  std::vector<std::string> errors(units.size());
  llvm::DefaultThreadPool threads(strategy);
  for (size_t i = 0; i < units.size(); ++i)
    threads.async([&, i] {
      if (cache)
        if (auto known = cache->find(units[i])) {
          objects[i] = std::move(*known);
          return;
        }
      auto object = compileUnit(units[i], options);
      if (!object) {
        errors[i] = llvm::toString(object.takeError());
        return;
      }
      objects[i] = std::move(*object);
      if (cache)
        if (auto e = cache->store(units[i], objects[i]))
          errors[i] = llvm::toString(std::move(e));
    });
  threads.wait();
  for (const std::string &message : errors)
    if (!message.empty())
      return error(message);
  return objects;
}

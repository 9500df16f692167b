//===- Compilation.cpp - a model on its way to machine code ---------------===//

#include "Constants.h"
#include "Fallback.h"
#include "gradus/Compiler.h"
#include "gradus/Graph.h"
#include "gradus/Lowering.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Support/FileUtilities.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/ToolOutputFile.h"
#include "llvm/Target/TargetMachine.h"

using namespace gradus;
namespace func = mlir::func;

static const mlir::DialectRegistry &dialects() {
  static mlir::DialectRegistry registry = [] {
    mlir::DialectRegistry r;
    registerDialects(r);
    return r;
  }();
  return registry;
}

Compilation::Compilation(CompileOptions options)
    : settings(std::move(options)),
      ctx(std::make_unique<MLIRContext>(dialects(),
                                        MLIRContext::Threading::DISABLED)),
      files(std::make_shared<llvm::SourceMgr>()),
      show(std::make_unique<mlir::SourceMgrDiagnosticHandler>(*files,
                                                              ctx.get())) {
  // Messages speak of the model, not of the compiler's ops.
  ctx->printOpOnDiagnostic(false);
  mlir::applyDefaultTimingManagerCLOptions(timing);
}
Compilation::~Compilation() = default;

LogicalResult Compilation::parse(StringRef path) {
  std::string message;
  std::unique_ptr<llvm::MemoryBuffer> buffer =
      mlir::openInputFile(path, &message);
  if (!buffer) {
    llvm::errs() << "error: " << message << "\n";
    return failure();
  }
  files->AddNewSourceBuffer(std::move(buffer), {});
  if (printTiming)
    timing.setEnabled(true);
  total = timing.getRootScope();
  auto scope = total.nest("read");
  source =
      mlir::parseSourceFile<ModuleOp>(files, mlir::ParserConfig(ctx.get()));
  if (!source)
    return failure();
  auto models = llvm::to_vector(source->getOps<graph::ModelOp>());
  if (models.size() == 1)
    return settings.cpuFallback ? parseFallback(path) : success();
  llvm::errs() << path
               << ": error: a file holds one graph.model, but this one has "
               << models.size() << "\n";
  return failure();
}

/// The same text on its way to code for the CPU. What there is to remark on is
/// said once.
LogicalResult Compilation::parseFallback(StringRef path) {
  CompileOptions forCpu = settings;
  forCpu.gpu.clear();
  forCpu.cubin = forCpu.cpuFallback = false;
  fallback = std::make_unique<Compilation>(forCpu);
  fallback->errorsOnly.emplace(fallback->ctx.get(), [](mlir::Diagnostic &d) {
    return success(d.getSeverity() != mlir::DiagnosticSeverity::Error);
  });
  return fallback->parseText(files->getMemoryBuffer(1)->getBuffer(), path);
}

LogicalResult Compilation::parseText(StringRef text, StringRef name) {
  files->AddNewSourceBuffer(llvm::MemoryBuffer::getMemBufferCopy(text, name),
                            {});
  source =
      mlir::parseSourceFile<ModuleOp>(files, mlir::ParserConfig(ctx.get()));
  return success(!!source);
}

LogicalResult Compilation::runTo(Stage stage) {
  for (Stage s : allStages()) {
    if (s > stage)
      break;
    if (!reached || s > *reached)
      if (failed(addStage(s)))
        return failure();
  }
  return success();
}

LogicalResult Compilation::addStage(Stage stage) {
  if (failed(runPasses(stage)))
    return failure();
  if (stage == Stage::Simple && settings.memoryLimit > 0 &&
      failed(limitMemory()))
    return failure();
  reached = stage;
  if (stage == Stage::Buffers) {
    recordInterface();
    if (fallback && failed(shareArenas()))
      return failure();
  }
  return dumpDirectory.empty() ? success() : dumpStage(stage);
}

LogicalResult Compilation::runPasses(Stage stage) {
  if (!dumpDirectory.empty())
    if (auto code = llvm::sys::fs::create_directories(dumpDirectory)) {
      llvm::errs() << "error: " << dumpDirectory << ": " << code.message()
                   << "\n";
      return failure();
    }
  mlir::PassManager pm(ctx.get(), ModuleOp::getOperationName());
  if (failed(mlir::applyPassManagerCLOptions(pm)))
    return failure();
  auto scope = total.nest(stageName(stage));
  pm.enableTiming(scope);
  if (!reproducer.empty())
    pm.enableCrashReproducerGeneration(reproducer,
                                       /*genLocalReproducer=*/false);
  if (!dumpDirectory.empty())
    pm.enableIRPrintingToFileTree(
        [](mlir::Pass *, Operation *) { return false; },
        [](mlir::Pass *, Operation *) { return true; },
        /*printModuleScope=*/true, /*printAfterOnlyOnChange=*/true,
        /*printAfterOnlyOnFailure=*/false,
        (dumpDirectory + "/" + std::to_string(static_cast<int>(stage)) + "-" +
         stageName(stage))
            .str());
  // What the verifier finds in graphs, the user may have written. Later, after
  // each pass, it would take a tenth of the whole time: once a stage is enough,
  // or LLVM's own on what the last leaves.
  bool isGraph = stage <= Stage::Simple;
  pm.enableVerifier(isGraph ||
                    (!dumpDirectory.empty() && stage != Stage::Llvm));
  buildStage(stage, pm, settings);
  // What goes wrong where an error was reported follows from it, as when an op
  // that needs a size goes on without.
  llvm::DenseSet<mlir::Attribute> errors; // their locations
  mlir::ScopedDiagnosticHandler first(ctx.get(), [&](mlir::Diagnostic &d) {
    bool isError = d.getSeverity() == mlir::DiagnosticSeverity::Error;
    return success(isError &&
                   !errors.insert(mlir::LocationAttr(d.getLocation())).second);
  });
  bool isVerifiedNow = !isGraph && stage != Stage::Llvm;
  if (succeeded(pm.run(*source)) &&
      (!isVerifiedNow || succeeded(mlir::verify(*source))))
    return success();
  if (errors.empty())
    llvm::errs() << "internal error: stage '" << stageName(stage)
                 << "' failed without a message\n";
  return failure();
}

LogicalResult Compilation::dumpStage(Stage stage) {
  std::string name =
      (dumpDirectory + "/" + std::to_string(static_cast<int>(stage)) + "-" +
       stageName(stage) + ".mlir")
          .str();
  std::string message;
  auto file = mlir::openOutputFile(name, &message);
  if (!file) {
    llvm::errs() << "error: " << message << "\n";
    return failure();
  }
  source->print(file->os());
  file->keep();
  return success();
}

static TensorSpec specOf(ShapedType type) {
  return {dtypeOf(type.getElementType()), type.getShape().vec()};
}
static Port portOf(func::FuncOp f, unsigned i) {
  auto type = cast<mlir::MemRefType>(f.getArgumentTypes()[i]);
  auto name = f.getArgAttrOfType<StringAttr>(i, lowering::nameAttr);
  RuntimeLengths lengths = argumentLengths(f.getArgument(i));
  std::string rows = lengths.empty() ? "" : lengths[0].dim.str();
  return {name ? name.str() : "", specOf(type), rows};
}

/// Buffers without elements, which nothing reads, become of rank 1: an axis of
/// size 0 behind another gives a stride that descriptors cannot have.
static void flattenEmpty(func::FuncOp f) {
  if (f.isExternal())
    return;
  for (BlockArgument a : f.getArguments())
    if (auto type = dyn_cast<mlir::MemRefType>(a.getType());
        type && type.hasStaticShape() && type.getNumElements() == 0)
      a.setType(mlir::MemRefType::get({0}, type.getElementType()));
  f.setFunctionType(FunctionType::get(f.getContext(),
                                      f.getBody().front().getArgumentTypes(),
                                      f.getResultTypes()));
}

/// Reads the interface off the module, and gives functions their C names.
void Compilation::recordInterface() {
  ports.name = source->getSymName().value_or("model").str();
  ports.gpu = !settings.gpu.empty();
  ports.cpuFallback = settings.cpuFallback;
  if (ports.gpu)
    (*source)->setAttr(lowering::cNameAttr,
                       StringAttr::get(ctx.get(), cIdentifier(ports.name)));
  if (auto bytes =
          (*source)->getAttrOfType<IntegerAttr>(lowering::variableBytesAttr))
    ports.variableBytes = bytes.getInt();
  for (Attribute a :
       (*source)->getAttrOfType<ArrayAttr>(lowering::variablesAttr)) {
    auto v = cast<DictionaryAttr>(a);
    ports.variables.push_back(
        {v.getAs<StringAttr>("name").str(),
         specOf(cast<RankedTensorType>(v.getAs<TypeAttr>("type").getValue())),
         v.getAs<IntegerAttr>("offset").getInt(),
         v.getAs<mlir::BoolAttr>("state").getValue()});
  }
  SmallVector<Attribute> specials;
  llvm::StringMap<int64_t> specialArena;
  for (auto f : source->getOps<func::FuncOp>()) {
    if (f.isPrivate())
      continue;
    FunctionInterface function;
    function.name = f.getSymName().str();
    function.arenaBytes =
        f->getAttrOfType<IntegerAttr>(lowering::arenaAttr).getInt();
    function.liveBytes =
        f->getAttrOfType<IntegerAttr>(lowering::liveAttr).getInt();
    if (auto line =
            f->getAttrOfType<mlir::FileLineColLoc>(lowering::peakAttr)) {
      function.peakLine =
          (line.getFilename().getValue() + ":" + Twine(line.getLine())).str();
      f->removeAttr(lowering::peakAttr);
    }
    function.recomputed = recomputed.lookup(function.name);
    if (auto flops = f->getAttrOfType<FloatAttr>(lowering::flopsAttr))
      function.productFlops = flops.getValueAsDouble();
    unsigned first = ports.variables.empty() ? 0 : 1,
             end = f.getNumArguments() - 1;
    auto bounds =
        (*source)->getAttrOfType<DictionaryAttr>(lowering::boundsAttr);
    for (unsigned i = first; i < end; ++i) {
      if (auto size = f.getArgAttrOfType<StringAttr>(i, lowering::sizeAttr)) {
        function.sizes.push_back(
            {size.str(), bounds.getAs<IntegerAttr>(size).getInt()});
        continue;
      }
      (f.getArgAttr(i, lowering::outputAttr) ? function.outputs
                                             : function.inputs)
          .push_back(portOf(f, i));
    }
    f.setSymName(cFunctionName(ports.name, function.name));
    if (auto special =
            f->getAttrOfType<DictionaryAttr>(lowering::specialAttr)) {
      // The one that it is of goes on there, with its arena.
      NamedAttrList named(special);
      StringRef of = special.getAs<StringAttr>("of").getValue();
      named.set("name", f.getSymNameAttr());
      named.set("of",
                StringAttr::get(ctx.get(), cFunctionName(ports.name, of)));
      specials.push_back(named.getDictionary(ctx.get()));
      f->removeAttr(lowering::specialAttr);
      int64_t &most = specialArena[of];
      most = std::max(most, function.arenaBytes);
      continue;
    }
    ports.functions.push_back(std::move(function));
  }
  for (FunctionInterface &f : ports.functions)
    f.arenaBytes = std::max(f.arenaBytes, specialArena.lookup(f.name));
  if (!specials.empty())
    (*source)->setAttr(lowering::specialAttr,
                       ArrayAttr::get(ctx.get(), specials));
  // These attributes have done their work; LLVM knows nothing of them.
  for (auto f : source->getOps<func::FuncOp>()) {
    flattenEmpty(f);
    for (unsigned i = 0; i < f.getNumArguments(); ++i) {
      for (StringRef name :
           {lowering::nameAttr, lowering::outputAttr, lowering::variableAttr,
            lowering::panelsAttr, lowering::winogradAttr, lowering::lengthsAttr,
            lowering::boxAttr})
        f.removeArgAttr(i, name);
      if (f.isPrivate())
        f.removeArgAttr(i, lowering::sizeAttr);
    }
  }
}

/// Either device's code has room in an arena.
LogicalResult Compilation::shareArenas() {
  if (failed(fallback->runTo(Stage::Buffers)))
    return failure();
  for (auto [gpu, cpu] :
       llvm::zip_equal(ports.functions, fallback->ports.functions))
    gpu.arenaBytes = std::max(gpu.arenaBytes, cpu.arenaBytes);
  return success();
}

llvm::Expected<std::unique_ptr<llvm::Module>>
Compilation::llvmModule(llvm::LLVMContext &context,
                        llvm::TargetMachine &machine) {
  if (failed(runTo(Stage::Llvm)))
    return llvm::createStringError("");
  auto scope = total.nest("translate to LLVM IR");
  auto module = translateToLLVM(*source, context, machine);
  if (module && !settings.freeze.empty()) {
    auto values = readConstants(settings.freeze, constants());
    if (!values)
      return values.takeError();
    embedConstants(**module,
                   (*source)->getAttrOfType<ArrayAttr>(lowering::constantsAttr),
                   *values);
  }
  if (!module || !fallback)
    return module;
  auto cpu = fallback->llvmModule(context, machine);
  if (!cpu)
    return cpu.takeError();
  std::vector<std::string> entries;
  for (const FunctionInterface &f : ports.functions)
    entries.push_back(cFunctionName(ports.name, f.name));
  if (auto e = addFallback(**module, std::move(*cpu), entries))
    return std::move(e);
  return module;
}

/// The variables that became constants, as the model declares them.
std::vector<VariableInfo> Compilation::constants() {
  std::vector<VariableInfo> all;
  for (Attribute a :
       (*source)->getAttrOfType<ArrayAttr>(lowering::constantsAttr)) {
    auto c = cast<DictionaryAttr>(a);
    all.push_back(
        {c.getAs<StringAttr>("name").str(),
         specOf(cast<ShapedType>(c.getAs<TypeAttr>("type").getValue())), 0,
         false});
  }
  return all;
}

llvm::Expected<std::vector<Object>> Compilation::objects() {
  auto machine = createTargetMachine(settings);
  if (!machine)
    return machine.takeError();
  llvm::LLVMContext context;
  auto module = llvmModule(context, **machine);
  if (!module)
    return module.takeError();
  auto scope = total.nest("optimise and emit machine code");
  CompileOptions how = settings;
  if (!settings.gpu.empty()) {
    // The host's code is small, and shares the runtime's state.
    how.jobs = 1;
    how.cacheDir.clear();
  }
  return emitObjects(std::move(*module), how);
}

llvm::Expected<std::string> Compilation::optimizedText(
    function_ref<llvm::Expected<std::string>(llvm::Module &,
                                             llvm::TargetMachine &)>
        print) {
  auto machine = createTargetMachine(settings);
  if (!machine)
    return machine.takeError();
  llvm::LLVMContext context;
  auto module = llvmModule(context, **machine);
  if (!module)
    return module.takeError();
  if (auto e = optimizeForTarget(**module, **machine, settings.optLevel))
    return std::move(e);
  return print(**module, **machine);
}

llvm::Expected<std::string> Compilation::kernels(bool assembled) {
  if (failed(runTo(Stage::Buffers)))
    return llvm::createStringError("");
  mlir::PassManager pm(ctx.get(), ModuleOp::getOperationName());
  CompileOptions how = settings;
  how.cubin = assembled;
  buildPtx(pm, how);
  if (failed(pm.run(*source)))
    return llvm::createStringError("");
  return (*source)
      ->getAttrOfType<StringAttr>(assembled ? lowering::cubinAttr
                                            : lowering::ptxAttr)
      .getValue()
      .str();
}

llvm::Expected<std::string> Compilation::assembly() {
  return optimizedText(
      [](llvm::Module &module,
         llvm::TargetMachine &machine) -> llvm::Expected<std::string> {
        auto code = emitMachineCode(module, machine, MachineCode::Assembly);
        if (!code)
          return code.takeError();
        return std::string(code->begin(), code->end());
      });
}

llvm::Expected<std::string> Compilation::llvmText() {
  return optimizedText([](llvm::Module &module, llvm::TargetMachine &) {
    std::string text;
    llvm::raw_string_ostream os(text);
    module.print(os, nullptr);
    return text;
  });
}

//===- Compile.cpp - gradus compile, gradus grad: a model into a file -----===//

#include "Command.h"
#include "gradus/Expand.h"
#include "gradus/Gradient.h"
#include "gradus/Graph.h"
#include "gradus/Link.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"

using namespace gradus;
using namespace gradus::tool;

static llvm::Error error(const Twine &message) {
  return llvm::createStringError(message);
}

static std::string moduleText(Compilation &c) {
  std::string text;
  llvm::raw_string_ostream os(text);
  c.module().print(os);
  os << "\n";
  return text;
}

/// What a file name asks for.
static StringRef kindOfFile(StringRef path) {
  StringRef extension = llvm::sys::path::extension(path);
  return llvm::StringSwitch<StringRef>(extension)
      .Case(".o", "obj")
      .Case(".a", "lib")
      .Case(".so", "so")
      .Case(".ll", "ll")
      .Case(".s", "asm")
      .Case(".ptx", "ptx")
      .Case(".cubin", "cubin")
      .Case(".h", "header")
      .Case(".mlir", "simple")
      .Case("", "exe")
      .Default("");
}

namespace {
struct CompileCommand : CommonOptions {
  cl::opt<std::string> output{
      "o",
      cl::desc(
          "Output file ('-': standard output); its extension says what it "
          "holds: .o .a .so .ll .s .mlir .ptx .cubin .h, none for a program"),
      cl::value_desc("file"), cl::cat(category)};
  cl::opt<std::string> emit{
      "emit",
      cl::desc("graph, grad, simple, linalg, kernels, buffers, llvm, ll, asm, "
               "obj, lib, so, exe, header, ptx, cubin"),
      cl::value_desc("stage"), cl::cat(category)};
  cl::opt<std::string> header{"header", cl::desc("Write a C header too"),
                              cl::value_desc("file.h"), cl::cat(category)};
  cl::opt<bool> memory{
      "memory",
      cl::desc("Print how much memory each function needs, and the line of the "
               "model where most of it is in use"),
      cl::cat(category)};
  cl::list<std::string> functions{
      "function", cl::desc("Compile these functions only (default: all)"),
      cl::value_desc("name,..."), cl::CommaSeparated, cl::cat(category)};
  cl::opt<std::string> freeze{
      "freeze",
      cl::desc("Make the variables constants with this checkpoint's values, in "
               "the object and in the order in which they are read"),
      cl::value_desc("file.safetensors"), cl::cat(category)};

  cl::opt<bool> cubin{
      "cubin",
      cl::desc("Assemble a GPU's kernels with ptxas or nvJitLink, beside their "
               "PTX: devices of that architecture need not do it when a model "
               "is loaded"),
      cl::cat(category)};
  enum class Device { None, Cpu };
  cl::opt<Device> fallback{
      "fallback",
      cl::desc("What else may run a GPU model, if NAME_device(-1) asks for it"),
      cl::values(clEnumValN(Device::Cpu, "cpu", "the CPU: -mcpu=sm_80,native")),
      cl::init(Device::None), cl::cat(category)};

  llvm::Error run() {
    std::string kind = emit;
    if (kind.empty() && isGpu() && output == "-")
      kind = "ptx";
    if (kind.empty() && !output.empty() && output != "-")
      kind = kindOfFile(output).str();
    if (kind.empty())
      return error(
          output.empty()
              ? "say where to with -o FILE, or what to print with --emit=STAGE"
              : "what should " + output +
                    " hold? Say it with --emit=STAGE or an extension: .o .a "
                    ".so .ll .s .mlir .ptx .cubin .h");
    for (StringRef forGpu : {"ptx", "cubin"})
      if (kind == forGpu && !isGpu())
        return error("--emit=" + forGpu + " needs --target=nvptx64");
    if ((cubin || fallback == Device::Cpu) && !isGpu())
      return error("--cubin and --fallback need --target=nvptx64");
    CompileOptions o = compileOptions(Purpose::Artefact);
    o.cubin = cubin;
    o.cpuFallback = fallback == Device::Cpu;
    o.functions.assign(functions.begin(), functions.end());
    o.freeze = freeze;
    if (kind == "obj" && !canMergeObjects())
      o.jobs = 1;
    Compilation c(o);
    configure(c);
    if (failed(c.parse(input)))
      return error("");
    if (kind == "so" || kind == "exe")
      return link(c, kind);
    auto file = contents(c, kind);
    if (!file)
      return file.takeError();
    if (auto e = writeHeader(c))
      return e;
    if (memory || !memoryLimit.empty())
      printMemory(c.interface());
    return writeFile(output.empty() ? "-" : StringRef(output),
                     ArrayRef(file->data(), file->size()));
  }

private:
  static void printMemory(const ModelInterface &model) {
    llvm::errs() << llvm::formatv("variables: {0} bytes\n",
                                  model.variableBytes);
    for (const FunctionInterface &f : model.functions) {
      llvm::errs() << llvm::formatv(
          "@{0}: arena {1} bytes; {2} are in use at once", f.name, f.arenaBytes,
          f.liveBytes);
      if (!f.peakLine.empty())
        llvm::errs() << " at " << f.peakLine;
      llvm::errs() << "\n";
      if (const Recomputation &r = f.recomputed; r.tensors > 0)
        llvm::errs() << llvm::formatv(
            "@{0}: {1} tensors are computed again: {2} bytes less than {3}, "
            "for {4:F1} % more operations; any choice takes {5:F1} % or more\n",
            f.name, r.tensors, r.arenaBefore - f.arenaBytes, r.arenaBefore,
            100 * r.moreOperations, 100 * r.leastOperations);
    }
  }
  llvm::Error writeHeader(Compilation &c) {
    if (header.empty())
      return llvm::Error::success();
    std::string text = cHeader(c.interface());
    return writeFile(header, ArrayRef(text.data(), text.size()));
  }
  /// The file's bytes.
  llvm::Expected<std::string> contents(Compilation &c, StringRef kind) {
    if (kind == "ptx" || kind == "cubin")
      return c.kernels(/*assembled=*/kind == "cubin");
    if (auto stage = parseStage(kind)) {
      if (failed(c.runTo(*stage)))
        return error("");
      if (!header.empty() && failed(c.runTo(Stage::Buffers)))
        return error("");
      return moduleText(c);
    }
    if (kind == "ll")
      return c.llvmText();
    if (kind == "header") {
      if (failed(c.runTo(Stage::Buffers)))
        return error("");
      return cHeader(c.interface());
    }
    if (!llvm::is_contained({"asm", "obj", "lib", "so", "exe"}, kind)) {
      StringRef known[] = {"graph",   "grad", "simple", "linalg", "kernels",
                           "buffers", "llvm", "ll",     "asm",    "obj",
                           "lib",     "so",   "exe",    "header", "ptx"};
      StringRef near = graph::nearest(kind, known);
      return error("--emit=" + kind + ": there is no such stage" +
                   (near.empty() ? "" : "; did you mean '" + near + "'?"));
    }
    if (kind == "asm")
      return c.assembly();
    auto objects = c.objects();
    if (!objects)
      return objects.takeError();
    if (kind == "lib")
      return archive(c.interface().name, *objects);
    auto merged = mergeObjects(*objects);
    if (!merged)
      return merged.takeError();
    return std::string(merged->begin(), merged->end());
  }

  llvm::Error link(Compilation &c, StringRef kind) {
    if (output.empty() || output == "-")
      return error("a linked file needs a name: -o FILE");
    auto objects = c.objects();
    if (!objects)
      return objects.takeError();
    if (auto e = writeHeader(c))
      return e;
    if (memory || !memoryLimit.empty())
      printMemory(c.interface());
    return kind == "so" ? linkSharedLibrary(*objects, output)
                        : linkProgram(*objects, c.interface(), output);
  }
};
} // namespace

int tool::compileCommand(int argc, char **argv) {
  CompileCommand command;
  int exitCode;
  if (!parseOptions(argc, argv,
                    "gradus compile: compiles a model to an object, a library, "
                    "a program, PTX, or the text of a stage\n",
                    command, exitCode))
    return exitCode;
  return report(command.run());
}

//===----------------------------------------------------------------------===//
// grad
//===----------------------------------------------------------------------===//

int tool::gradCommand(int argc, char **argv) {
  CommonOptions options;
  cl::opt<std::string> function{
      "function",
      cl::desc("Add the gradient of this scalar function with respect to its "
               "float arguments and parameters"),
      cl::cat(options.category)};
  cl::opt<std::string> output{"o", cl::desc("Output file"), cl::init("-"),
                              cl::cat(options.category)};
  int exitCode;
  if (!parseOptions(
          argc, argv,
          "gradus grad: prints a model with its gradients written out\n",
          options, exitCode))
    return exitCode;
  auto run = [&]() -> llvm::Error {
    Compilation c(options.compileOptions(CommonOptions::Purpose::Artefact));
    options.configure(c);
    registerPassesAndPipelines();
    if (failed(c.parse(options.input)) || failed(c.runTo(Stage::Graph)))
      return error("");
    // A function's parameters are known once its layers are instantiated.
    if (!function.empty() &&
        (failed(runModelPipeline(c.module(), "graph-instantiate-layers")) ||
         failed(addGradient(c.module(), function))))
      return error("");
    if (failed(c.runTo(Stage::Grad)))
      return error("");
    std::string text = moduleText(c);
    return writeFile(output, ArrayRef(text.data(), text.size()));
  };
  return report(run());
}

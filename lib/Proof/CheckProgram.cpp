//===- CheckProgram.cpp - everything that holds of a program --------------===//

#include "gradus/Pipeline.h"
#include "gradus/Proof.h"
#include "mlir/Bytecode/BytecodeWriter.h"
#include "mlir/Parser/Parser.h"

using namespace gradus;
using namespace gradus::graph;

static std::string textOf(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream(text) << module;
  return text;
}

static std::string checkText(ModuleOp module) {
  std::string text = textOf(module);
  auto again = mlir::parseSourceString<ModuleOp>(
      text, mlir::ParserConfig(module.getContext()), "printed");
  if (!again)
    return "its text does not read back";
  return textOf(*again) == text ? "" : "its text reads back as another program";
}

/// The same text after a way through MLIR's binary form.
static std::string checkBytecode(ModuleOp module) {
  std::string bytes;
  llvm::raw_string_ostream os(bytes);
  if (failed(mlir::writeBytecodeToFile(module, os)))
    return "it has no bytecode";
  auto again = mlir::parseSourceString<ModuleOp>(
      bytes, mlir::ParserConfig(module.getContext()), "bytecode");
  if (!again)
    return "its bytecode does not read back";
  return textOf(*again) == textOf(module)
             ? ""
             : "its bytecode reads back as another program";
}

/// The same numbers before and after canonicalisation.
static std::string checkCanonical(SampleModel &model) {
  mlir::OwningOpRef<ModuleOp> plain = model.module->clone(),
                              canonical = model.module->clone();
  if (failed(runModelPipeline(*plain, "graph-decompose")) ||
      failed(runModelPipeline(*canonical,
                              "canonicalize,cse,graph-decompose,canonicalize")))
    return "it does not canonicalise";
  std::mt19937_64 random(3);
  std::string wrong;
  plain->walk([&](FuncOp f) {
    FuncOp other;
    canonical->walk([&](FuncOp g) {
      if (g.getSymName() == f.getSymName())
        other = g;
    });
    SmallVector<Array> args;
    for (auto [i, type] : llvm::enumerate(f.getArgumentTypes())) {
      auto [low, high] =
          i < model.ranges.size() ? model.ranges[i] : std::pair(-1.0, 1.0);
      args.push_back(randomArray(type, low, high, random));
    }
    auto want = interpret(f, args), got = interpret(other, args);
    if (failed(want) || failed(got)) {
      wrong = "it has no value";
      return;
    }
    for (auto [w, g] : llvm::zip(*want, *got))
      for (auto [x, y] : llvm::zip(w.data, g.data))
        if (!(std::abs(x - y) <= 1e-9 * (1 + std::abs(x))) && x != y &&
            !(std::isnan(x) && std::isnan(y)))
          wrong = ("canonicalisation changes @" + f.getSymName()).str();
  });
  return wrong;
}

std::string gradus::checkProgram(const ProgramText &program, StringRef cpu,
                                 MLIRContext *ctx) {
  double worst;
  auto inDoubles = buildProgram(program, "f64", ctx);
  if (failed(inDoubles))
    return "it does not parse, or has no derivative";
  if (std::string what = checkText(*inDoubles->module); !what.empty())
    return what;
  if (std::string what = checkBytecode(*inDoubles->module); !what.empty())
    return what;
  if (std::string what = checkCanonical(*inDoubles); !what.empty())
    return what;
  if (std::string what = checkSample(*inDoubles, worst); !what.empty())
    return what;
  if (std::string what = checkBatching(program, ctx, worst); !what.empty())
    return what;
  if (cpu.empty())
    return "";
  for (StringRef element : {"f64", "f32"}) {
    // A GPU has no functions of f64 without a library.
    if (element == "f64" && cpu.starts_with("sm_"))
      continue;
    auto model = buildProgram(program, element, ctx);
    if (failed(model))
      return ("it does not parse with " + element).str();
    if (std::string what = compareCompiled(*model, cpu, worst); !what.empty())
      return (element + ": " + what).str();
  }
  return "";
}

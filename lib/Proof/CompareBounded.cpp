//===- CompareBounded.cpp - code for any size up to a bound ---------------===//

#include "gradus/Proof.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/StringExtras.h"

using namespace gradus;
using namespace gradus::graph;

static constexpr int64_t largest = 11;
static constexpr int64_t sizes[] = {1, 4, 11, 7, 0};

static bool isFloat(StringRef shape) { return !shape.starts_with("i"); }

/// @all: the program for a batch; @slope: a mean over the batch of its results,
/// in numbers of the type `wide`, and the gradient of that. Only the first
/// operand differs.
static std::string batchOf(const ProgramText &program,
                           const std::string &wide) {
  std::string args, names, over, wrt;
  unsigned floats = 0;
  for (auto [i, o] : llvm::enumerate(program.operands)) {
    auto [element, dims] = StringRef(o.shape).split('[');
    bool differs = i == 0;
    std::string name = "%a" + std::to_string(i), shape = o.shape;
    if (differs)
      shape = (element + "[batch" + (dims == "]" ? "" : ", ") + dims).str();
    args += (i ? ", " : "") + name + ": " + shape;
    names += (i ? ", " : "") + name;
    if (differs)
      over += (over.empty() ? "" : ", ") + name;
    if (isFloat(o.shape))
      wrt += (floats++ ? ", " : "") + name;
  }
  size_t count = program.results.size();
  std::string call = "%y:" + std::to_string(count) + " = vmap @op(" + names +
                     ") over " + over + "\n ",
              all, terms;
  for (size_t i = 0; i < count; ++i) {
    std::string k = std::to_string(i);
    all += (i ? ", %y#" : "%y#") + k;
    terms += "%c." + k + " = cast %y#" + k + ", to = " + wide + "\n %m." + k +
             " = reduce_mean %c." + k + "\n %q." + k + " = sin %m." + k +
             "\n " +
             (i ? "%t." + k + " = add %t." + std::to_string(i - 1) + ", %q." + k
                : "%z = constant " + wide + "[] = 0.0\n %t.0 = add %q.0, %z") +
             "\n ";
  }
  std::string text = "graph.model @m {\n func @op(" + declareOperands(program) +
                     ") { " + program.body + "\n return " +
                     llvm::join(program.results, ", ") + " }\n func @all(" +
                     args + ") { " + call + "return " + all + " }\n";
  if (floats == 0)
    return text + "}";
  std::string gradients;
  for (unsigned i = 0; i < floats; ++i)
    gradients += (i ? ", %g#" : "%g#") + std::to_string(i);
  return text + " func @loss(" + args + ") { " + call + terms + "return %t." +
         std::to_string(count - 1) + " }\n func @slope(" + args +
         ") { %v, %g:" + std::to_string(floats) + " = value_and_grad @loss(" +
         names + ") wrt " + wrt + "\n return %v, " + gradients + " }\n}";
}

namespace {
/// A model compiled for any batch up to the bound, called with several.
class BoundedCode {
public:
  BoundedCode(const ProgramText &program, std::string text, MLIRContext *ctx)
      : program(program), text(std::move(text)), ctx(ctx) {}

  /// What is wrong with the code; an error without text stands already: the
  /// batch's size is needed.
  llvm::Error compile(StringRef cpu) {
    CompileOptions options;
    (cpu.starts_with("sm_") ? options.gpu : options.cpu) = cpu.str();
    options.bounds = {"batch=" + std::to_string(largest)};
    options.functions = {"all"};
    if (StringRef(text).contains("@slope"))
      options.functions.push_back("slope");
    auto made = compileText(text, options);
    if (!made)
      return made.takeError();
    code.emplace(std::move(*made));
    return llvm::Error::success();
  }

  std::string compare(int64_t batch, double &worst) {
    mlir::OwningOpRef<ModuleOp> reference = mlir::parseSourceString<ModuleOp>(
        text, mlir::ParserConfig(ctx), "bounded");
    std::string pipeline =
        "graph-bind-dims{sizes=batch=" + std::to_string(batch) +
        "},graph-differentiate,graph-inline-calls,graph-decompose";
    if (!reference || failed(runModelPipeline(*reference, pipeline)))
      return "has no reference";
    std::mt19937_64 random(batch);
    for (const FunctionInterface &f : code->interface().functions) {
      FuncOp source;
      reference->walk([&](FuncOp g) {
        if (g.getSymName() == f.name)
          source = g;
      });
      // A mean over nothing is no number.
      if (!source || (batch == 0 && f.name == "slope"))
        continue;
      SmallVector<Array> args;
      for (auto [p, o, type] :
           llvm::zip(f.inputs, program.operands, source.getArgumentTypes()))
        args.push_back(
            roundedTo(p.type.type, randomArray(type, o.low, o.high, random)));
      auto want = interpret(source, args);
      if (failed(want))
        return "has no reference value";
      std::map<std::string, Array> none;
      auto got = callCompiled(*code, f, args, none, batch);
      if (!got)
        return "does not run: " + llvm::toString(got.takeError());
      for (auto [k, p] : llvm::enumerate(f.outputs))
        for (auto [i, w] : llvm::enumerate((*want)[k].data)) {
          double error = disagreement(w, (*got)[k].data[i]);
          worst = std::max(worst, error);
          if (!(error < tolerance()))
            return "@" + f.name + " for a batch of " + std::to_string(batch) +
                   " gives " + std::to_string((*got)[k].data[i]) +
                   " for element " + std::to_string(i) + " of result " +
                   std::to_string(k) + ", the reference " + std::to_string(w);
        }
    }
    return "";
  }

private:
  /// Results are as good as the numbers that they are made from.
  double tolerance() const {
    StringRef t(text);
    return toleranceOf(t.contains("bf16")  ? DType::BF16
                       : t.contains("f16") ? DType::F16
                                           : DType::F32);
  }

  const ProgramText &program;
  std::string text;
  MLIRContext *ctx;
  std::optional<Program> code;
};
} // namespace

std::string gradus::compareBounded(const ProgramText &program, StringRef cpu,
                                   MLIRContext *ctx, double &worst,
                                   bool &refused) {
  worst = 0;
  refused = false;
  if (program.operands.empty())
    return "";
  // The gradients of the others add up over the batch.
  // A GPU has no functions of f64 without a library.
  std::string wide = cpu.starts_with("sm_") ? "f32" : "f64";
  BoundedCode code(program, batchOf(program, wide), ctx);
  if (llvm::Error e = code.compile(cpu)) {
    std::string what = llvm::toString(std::move(e));
    refused = what.empty();
    return what;
  }
  for (int64_t batch : sizes)
    if (std::string what = code.compare(batch, worst); !what.empty())
      return what;
  return "";
}

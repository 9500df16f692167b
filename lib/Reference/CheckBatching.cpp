//===- CheckBatching.cpp - vmap against one example after the other -------===//

#include "gradus/Reference.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/StringExtras.h"

using namespace gradus;
using namespace gradus::graph;

static constexpr int64_t numExamples = 3;

/// "f32[2, 3]" -> "f32[3, 2, 3]"
static std::string withExamples(StringRef shape) {
  auto [element, dims] = shape.split('[');
  return (element + "[" + Twine(numExamples) + (dims == "]" ? "" : ", ") + dims)
      .str();
}
static Array example(const Array &all, int64_t i) {
  Array one(ArrayRef(all.shape).drop_front());
  auto size = std::ptrdiff_t(one.data.size());
  std::copy_n(all.data.begin() + i * size, size, one.data.begin());
  return one;
}

namespace {
/// One choice of what differs between examples.
class Batching {
public:
  Batching(const ProgramText &program, unsigned mask, MLIRContext *ctx)
      : program(program), mask(mask), ctx(ctx) {}

  std::string check(double &worst) {
    if (!build())
      return "vmap cannot be written out";
    double error = 0;
    std::mt19937_64 random(mask);
    SmallVector<Array> args;
    for (auto [o, type] :
         llvm::zip(program.operands, functions["all"].getArgumentTypes()))
      args.push_back(randomArray(type, o.low, o.high, random));
    auto all = interpret(functions["all"], args);
    if (failed(all))
      return "vmap has no value";
    for (int64_t i = 0; i < numExamples; ++i) {
      SmallVector<Array> ones(args);
      for (auto [k, arg] : llvm::enumerate(ones))
        if (isMapped(k))
          arg = example(arg, i);
      auto want = interpret(functions["op"], ones);
      if (failed(want))
        return "an example has no value";
      for (auto [w, got] : llvm::zip(*want, *all))
        for (auto [x, y] : llvm::zip(w.data, example(got, i).data))
          error = std::max(error, relativeError(x, y));
    }
    worst = std::max(worst, error);
    return error <= 1e-9 ? "" : "vmap differs from one example after the other";
  }

private:
  bool isMapped(size_t operand) const { return mask >> operand & 1; }

  bool build() {
    std::string args, names, over;
    for (auto [i, o] : llvm::enumerate(program.operands)) {
      std::string name = "%a" + std::to_string(i);
      args += (i ? ", " : "") + name + ": " +
              (isMapped(i) ? withExamples(o.shape) : o.shape);
      names += (i ? ", " : "") + name;
      if (isMapped(i))
        over += (over.empty() ? "" : ", ") + name;
    }
    std::string count = std::to_string(program.results.size()), results;
    for (size_t i = 0; i < program.results.size(); ++i)
      results += (i ? ", %y#" : "%y#") + std::to_string(i);
    std::string source =
        "graph.model @m {\n func @op(" + declareOperands(program) + ") { " +
        program.body + "\n return " + llvm::join(program.results, ", ") +
        " }\n func @all(" + args + ") { %y:" + count + " = vmap @op(" + names +
        ") over " + over + "\n return " + results + " }\n}";
    module = mlir::parseSourceString<ModuleOp>(source, mlir::ParserConfig(ctx),
                                               "batching");
    if (!module ||
        failed(runModelPipeline(
            *module, "graph-differentiate,graph-inline-calls,graph-decompose")))
      return false;
    module->walk([&](FuncOp f) { functions[f.getSymName()] = f; });
    return true;
  }

  const ProgramText &program;
  unsigned mask; ///< bit i: operand i differs
  MLIRContext *ctx;
  mlir::OwningOpRef<ModuleOp> module;
  llvm::StringMap<FuncOp> functions;
};
} // namespace

std::string gradus::checkBatching(const ProgramText &program, MLIRContext *ctx,
                                  double &worst) {
  size_t n = program.operands.size();
  unsigned everything = n ? (1U << std::min<size_t>(n, 16)) - 1 : 0;
  for (unsigned mask = 1; mask <= everything; ++mask) {
    // Of many operands: each alone, all but each, all.
    bool tried = n <= 3 || llvm::popcount(mask) == 1 ||
                 size_t(llvm::popcount(mask)) >= n - 1;
    if (!tried)
      continue;
    std::string what = Batching(program, mask, ctx).check(worst);
    if (!what.empty())
      return what + " (operands " + std::to_string(mask) + ")";
  }
  return "";
}

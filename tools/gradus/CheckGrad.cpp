//===- CheckGrad.cpp - gradus check-grad: gradients against differences ---===//

#include "Command.h"
#include "gradus/Expand.h"
#include "gradus/Gradient.h"
#include "gradus/Reference.h"
#include "llvm/Support/FormatVariadic.h"

using namespace gradus;
using namespace gradus::tool;
using namespace gradus::graph;
using llvm::formatv;

namespace {
/// Checks the gradient of one function of a model.
class GradientCheck {
public:
  GradientCheck(ModuleOp module, int64_t samples, double tolerance,
                int64_t seed)
      : module(module), samples(samples), tolerance(tolerance), random(seed) {}

  /// The scalar functions that a model's requests differentiate, or its only
  /// scalar ones.
  static SmallVector<std::string> candidates(ModuleOp module) {
    SmallVector<std::string> names;
    auto add = [&](StringRef n) {
      if (!llvm::is_contained(names, n))
        names.push_back(n.str());
    };
    module.walk([&](Operation *op) {
      if (auto t = dyn_cast<TrainOp>(op))
        add(t.getLoss());
      if (auto g = dyn_cast<ValueAndGradOp>(op))
        add(g.getCallee());
    });
    return names;
  }

  FailureOr<bool> run(StringRef name) {
    auto model = *module.getOps<ModelOp>().begin();
    auto found = [&](StringRef what) {
      return model.lookupSymbol<FuncOp>((name + what).str());
    };
    FuncOp f = found(""), g = found(".gradient"), jvp = found(".forward");
    if (!f || !g || !jvp)
      return failure();
    // Parameters and float arguments are checked; both are inputs here.
    Environment env;
    SmallVector<Array> inputs;
    SmallVector<unsigned> checked;
    SmallVector<Value> sources;
    auto variables = usedVariables(f);
    for (Operation *v : variables) {
      sources.push_back(v->getResult(0));
      double most = parameterSpread(graph::Shape(v->getResult(0)));
      inputs.push_back(
          randomArray(v->getResult(0).getType(), -most, most, random));
      if (isa<ParamOp>(v))
        checked.push_back(inputs.size() - 1);
    }
    for (BlockArgument a : f.getBody().getArguments()) {
      bool real = graph::Shape(a).isFloat();
      sources.push_back(a);
      inputs.push_back(
          randomArray(a.getType(), real ? -1 : 0, real ? 1 : 4, random));
      if (real)
        checked.push_back(inputs.size() - 1);
    }
    if (checked.empty()) {
      mlir::emitError(f.getLoc())
          << "@" << name << " has neither parameters nor float arguments";
      return failure();
    }
    size_t count = variables.size();
    bool ok = true;
    auto call = [&](FuncOp function, ArrayRef<Array> at) {
      Environment values;
      for (auto [i, v] : llvm::enumerate(variables))
        values[v->getResult(0)] = at[i];
      auto results = interpret(function, at.drop_front(count), values);
      ok &= succeeded(results);
      return succeeded(results)
                 ? *results
                 : SmallVector<Array>{Array(ArrayRef<int64_t>())};
    };
    auto gradients = call(g, inputs);
    if (!ok)
      return failure();
    auto error = checkGradient(
        [&](ArrayRef<Array> at) { return call(f, at)[0].data[0]; }, inputs,
        checked, ArrayRef(gradients).drop_front(f.getNumResults()), samples,
        random);
    // Forward mode along a random direction of all of them.
    SmallVector<Array> tangents;
    for (auto [i, input] : llvm::enumerate(inputs)) {
      bool moves = llvm::is_contained(checked, unsigned(i));
      tangents.push_back(
          moves ? randomArray(sources[i].getType(), -1, 1, random) : input);
      if (!moves && graph::Shape(sources[i]).isFloat())
        llvm::fill(tangents.back().data, 0);
    }
    SmallVector<Array> both(inputs);
    llvm::append_range(both, tangents);
    auto forward = interpret(jvp, both);
    if (failed(forward))
      return failure();
    double want = differenceAlong(
        [&](ArrayRef<Array> at) { return call(f, at)[0].data[0]; }, inputs,
        checked, tangents);
    double got = (*forward)[1].data[0];
    double forwardError = relativeError(want, got);
    bool good = error.error < tolerance, alsoGood = forwardError < tolerance;
    llvm::outs() << formatv(
        "@{0}: {1} of {2} checked, worst relative error {3:e2}; forward mode "
        "along a direction {4:e2}: {5}\n",
        name, samples,
        checked.size() == 1
            ? "an input"
            : formatv("each of {0} inputs", checked.size()).str(),
        error.error, forwardError, good && alsoGood ? "ok" : "WRONG");
    if (!alsoGood)
      mlir::emitError(f.getLoc())
          << formatv("the derivative of @{0} along a random direction is {1} "
                     "by forward mode, but differences give {2}",
                     name, got, want)
                 .str();
    if (!good) {
      if (error.argument == checked.size()) {
        mlir::emitError(f.getLoc())
            << formatv("the gradient of @{0} along a random direction is {1}, "
                       "but differences give {2}",
                       name, error.gradient, error.difference)
                   .str();
      } else {
        Value v = sources[checked[error.argument]];
        mlir::emitError(v.getLoc())
            << formatv("the gradient of @{0} with respect to element {1} of "
                       "{2} is {3}, but differences give {4}",
                       name, error.element, display(v), error.gradient,
                       error.difference)
                   .str();
      }
    }
    return good && alsoGood;
  }

private:
  ModuleOp module;
  int64_t samples;
  double tolerance;
  std::mt19937_64 random;
};
} // namespace

int tool::checkGradCommand(int argc, char **argv) {
  CommonOptions options;
  cl::opt<std::string> function{
      "function",
      cl::desc("The scalar function to check (default: those that the model "
               "differentiates)"),
      cl::cat(options.category)};
  cl::opt<unsigned> samples{"samples",
                            cl::desc("Elements of each input to check"),
                            cl::init(6), cl::cat(options.category)};
  cl::opt<double> tolerance{"tolerance",
                            cl::desc("Largest relative error allowed"),
                            cl::init(1e-5), cl::cat(options.category)};
  cl::opt<int64_t> seed{"seed", cl::desc("Seed of the random inputs"),
                        cl::init(1), cl::cat(options.category)};
  int exitCode;
  if (!parseOptions(argc, argv,
                    "gradus check-grad: compares derivatives of both modes "
                    "with central differences, in f64 on the reference "
                    "interpreter\n",
                    options, exitCode))
    return exitCode;
  Compilation c(options.compileOptions().atBounds());
  options.configure(c);
  if (failed(c.parse(options.input)))
    return Diagnosed;
  SmallVector<std::string> names;
  if (function.empty())
    names = GradientCheck::candidates(c.module());
  else
    names.push_back(function);
  if (names.empty()) {
    llvm::errs()
        << "error: " << options.input
        << " differentiates nothing; say with --function what to check\n";
    return Diagnosed;
  }
  // Layers first: a function's parameters are known after that only.
  registerPassesAndPipelines();
  if (failed(c.runTo(Stage::Graph)) ||
      failed(runModelPipeline(c.module(), "graph-instantiate-layers")))
    return Diagnosed;
  for (const std::string &name : names)
    if (failed(addGradient(c.module(), name)))
      return Diagnosed;
  if (failed(runModelPipeline(c.module(),
                              "graph-expand-train,graph-instantiate-layers,"
                              "graph-differentiate,graph-inline-calls")))
    return Diagnosed;
  for (const std::string &name : names)
    addForward(c.module(), name);
  if (failed(runModelPipeline(c.module(),
                              "graph-differentiate,graph-inline-calls,"
                              "graph-decompose,canonicalize,cse")))
    return Diagnosed;
  bool good = true;
  for (const std::string &name : names) {
    GradientCheck check(c.module(), samples, tolerance, seed);
    auto result = check.run(name);
    if (failed(result))
      return Diagnosed;
    good &= *result;
  }
  return good ? Ok : CheckFailed;
}

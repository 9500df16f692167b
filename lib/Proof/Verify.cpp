//===- Verify.cpp - a model's compiled function, op by op -----------------===//

#include "Expose.h"
#include "gradus/Proof.h"
#include "llvm/Support/FormatVariadic.h"

using namespace gradus;
using namespace gradus::graph;

namespace {
/// Compiled and interpreted, on the same random numbers.
class Verifier {
public:
  Verifier(ModuleOp simple, StringRef function, const CompileOptions &options,
           const VerifyOptions &verify)
      : simple(simple), name(function), options(options), verify(verify) {
    // The model that is compiled is at stage Simple already.
    this->options.functions = {name.str()};
    this->options.dims.clear();
    this->options.freeze.clear();
    this->options.special.clear();
  }

  llvm::Expected<VerifyResult> run() {
    if (!chooseNumbers())
      return llvm::createStringError("");
    VerifyResult result;
    auto whole = compare(simple);
    if (!whole)
      return whole.takeError();
    result.worst = whole->worst;
    result.results = whole->compared;
    if (!whole->first)
      return result;
    // Which op begins to differ, once every op's result is looked at?
    result.difference = whole->first;
    SmallVector<mlir::OpResult> values;
    for (Operation &op : functionOf(simple, name).getBody().front())
      if (!isa<ConstantOp>(op))
        llvm::append_range(values, op.getResults());
    for (size_t first = 0; first < values.size(); first += exposedAtOnce) {
      auto some = ArrayRef(values).drop_front(first).take_front(exposedAtOnce);
      mlir::OwningOpRef<ModuleOp> exposed = expose(simple, name, some);
      auto each = compare(*exposed);
      if (!each)
        return each.takeError();
      if (!each->first || each->first->result >= some.size())
        continue;
      result.difference = each->first;
      result.op = some[each->first->result].getOwner();
      break;
    }
    return result;
  }

private:
  /// The model with sizes for the dimensions that have a bound, some less than
  /// it; null if they cannot have them, which is reported.
  mlir::OwningOpRef<ModuleOp> sized(ModuleOp module) {
    mlir::OwningOpRef<ModuleOp> copy = module.clone();
    std::string sizes;
    for (StringRef bound : options.bounds) {
      auto [dim, most] = bound.split('=');
      int64_t n = 1;
      (void)most.getAsInteger(10, n); // ParamsToArgs looks at it
      dims[dim.str()] = n - n / 3;
      sizes += (sizes.empty() ? "" : ",") +
               (dim + "=" + Twine(dims[dim.str()])).str();
    }
    bool ok =
        sizes.empty() || succeeded(runModelPipeline(
                             *copy, "graph-bind-dims{sizes=" + sizes + "}"));
    return ok ? std::move(copy) : mlir::OwningOpRef<ModuleOp>();
  }

  bool chooseNumbers() {
    std::mt19937_64 random(verify.seed);
    mlir::OwningOpRef<ModuleOp> model = sized(simple);
    if (!model)
      return false;
    FuncOp f = functionOf(*model, name);
    simple.walk([&](Operation *op) {
      if (StringAttr variable = variableName(op)) {
        Shape s(op->getResult(0));
        double most = parameterSpread(s);
        // What a step keeps is often a mean of squares, or a count.
        variables[variable.str()] =
            roundedTo(dtypeOf(s.element),
                      randomArray(op->getResult(0).getType(),
                                  isa<StateOp>(op) ? 0 : -most, most, random));
      }
    });
    for (Type t : f.getArgumentTypes()) {
      bool real = Shape(t).isFloat();
      args.push_back(
          roundedTo(dtypeOf(Shape(t).element),
                    randomArray(t, real ? -1 : 0, real ? 1 : 4, random)));
    }
    return true;
  }

  struct Comparison {
    std::optional<Difference> first;
    double worst = 0;
    size_t compared = 0;
  };
  llvm::Expected<Comparison> compare(ModuleOp module) {
    mlir::OwningOpRef<ModuleOp> reference = sized(module);
    if (!reference)
      return llvm::createStringError("");
    FuncOp f = functionOf(*reference, name);
    Environment env;
    llvm::MapVector<Value, std::string> names;
    reference->walk([&](Operation *op) {
      if (StringAttr variable = variableName(op)) {
        env[op->getResult(0)] = variables.at(variable.str());
        names[op->getResult(0)] = variable.str();
      }
    });
    // What is computed from 16 bits is no better than they are.
    double roundings = 0;
    for (Operation &op : f.getBody().front())
      for (Value v : op.getResults())
        if (Shape(v).isFloat())
          roundings = std::max(roundings, allowed(dtypeOf(Shape(v).element)));
    Updates updates;
    auto want = interpret(f, args, env, &updates, /*rounds=*/true);
    if (failed(want))
      return llvm::createStringError("the function has no reference value");
    std::string text;
    llvm::raw_string_ostream(text) << module;
    auto program = compileText(text, options);
    if (!program)
      return program.takeError();
    const FunctionInterface *compiled = program->interface().find(name);
    std::map<std::string, Array> after = variables;
    SmallVector<int64_t> sizes;
    for (const SizeArgument &s : compiled->sizes)
      sizes.push_back(dims.at(s.name));
    auto got =
        callCompiled(*program, *compiled, args, after, sizes, verify.calls);
    if (!got)
      return got.takeError();
    Comparison c;
    for (auto [k, p] : llvm::enumerate(compiled->outputs))
      add(c, k, p.name, std::max(roundings, allowed(p.type.type)), (*want)[k],
          (*got)[k]);
    for (auto &[v, value] : updates)
      add(c, c.compared, "the next value of " + names[v], roundings, value,
          after.at(names[v]));
    return c;
  }
  /// A GPU may round the factors of products.
  double allowed(DType type) const {
    double own = toleranceOf(type);
    if (options.gpu.empty())
      return own;
    return options.precision == "bf16" ? std::max(own, toleranceOf(DType::BF16))
           : options.precision == "f16" || options.precision == "tf32"
               ? std::max(own, toleranceOf(DType::F16))
               : own;
  }
  void add(Comparison &c, size_t k, const std::string &what, double tolerance,
           const Array &want, const Array &got) {
    tolerance = verify.tolerance.value_or(tolerance);
    for (auto [i, w] : llvm::enumerate(want.data)) {
      double error = disagreement(w, got.data[i]);
      c.worst = std::max(c.worst, error);
      if (!c.first && !(error <= tolerance))
        c.first = Difference{k, i, what, got.data[i], w};
    }
    ++c.compared;
  }

  ModuleOp simple;
  StringRef name;
  CompileOptions options;
  VerifyOptions verify;
  std::map<std::string, Array> variables;
  std::map<std::string, int64_t> dims; ///< that a call says
  SmallVector<Array> args;
};
} // namespace

llvm::Expected<VerifyResult>
gradus::verifyCompiled(ModuleOp simple, StringRef function,
                       const CompileOptions &options,
                       const VerifyOptions &verify) {
  return Verifier(simple, function, options, verify).run();
}

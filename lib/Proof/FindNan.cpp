//===- FindNan.cpp - where numbers stop being numbers ---------------------===//
//
// The function is compiled with the results of its ops as its own, some at a
// time, and called with the numbers that were seen to go wrong. Within a loop
// or a branch the reference looks further, from what the compiled code gave it.
//
//===----------------------------------------------------------------------===//

#include "Expose.h"
#include "gradus/Proof.h"
#include "mlir/Transforms/RegionUtils.h"

using namespace gradus;
using namespace gradus::graph;

static std::optional<size_t> firstOf(const Array &a, bool (*is)(double)) {
  for (auto [i, x] : llvm::enumerate(a.data))
    if (is(x))
      return i;
  return std::nullopt;
}
static bool isNan(double x) { return std::isnan(x); }
static bool isInfinite(double x) { return std::isinf(x); }

namespace {
class Search {
public:
  Search(ModuleOp simple, StringRef function, const CompileOptions &options,
         const std::map<std::string, Array> &variables, ArrayRef<Array> inputs)
      : simple(simple), name(function), options(options), variables(variables),
        inputs(inputs) {
    // The model is at stage Simple already, its functions chosen.
    this->options.functions.clear();
    this->options.dims.clear();
  }

  llvm::Expected<std::optional<NanReport>> run() {
    SmallVector<mlir::OpResult> values;
    for (Operation &op : functionOf(simple, name).getBody().front())
      if (!isa<ConstantOp>(op))
        for (mlir::OpResult r : op.getResults())
          if (Shape(r).isFloat())
            values.push_back(r);
    NanReport report;
    for (size_t first = 0; first < values.size(); first += exposedAtOnce) {
      auto some = ArrayRef(values).drop_front(first).take_front(exposedAtOnce);
      auto numbers = numbersOf(some);
      if (!numbers)
        return numbers.takeError();
      for (auto [r, a] : llvm::zip(some, *numbers)) {
        if (auto i = firstOf(a, isNan)) {
          report.op = r.getOwner();
          report.value = r;
          report.element = *i;
          auto values = valuesRead(report.op);
          if (!values)
            return values.takeError();
          if (!isa<HasBodies>(report.op) || !lookInside(report, *values))
            for (Value v : report.op->getOperands())
              report.operands.push_back({v, values->at(v)});
          return report;
        }
        if (!report.infinity && firstOf(a, isInfinite))
          report.infinity = r;
      }
    }
    return std::nullopt;
  }

private:
  llvm::Expected<SmallVector<Array>>
  numbersOf(ArrayRef<mlir::OpResult> values) {
    mlir::OwningOpRef<ModuleOp> exposed = expose(simple, name, values);
    std::string text;
    llvm::raw_string_ostream(text) << *exposed;
    auto program = compileText(text, options);
    if (!program)
      return program.takeError();
    std::map<std::string, Array> after = variables;
    return callCompiled(*program, *program->interface().find(name), inputs,
                        after);
  }

  /// The numbers that the op and its bodies were given: results of others, the
  /// function's inputs, variables.
  llvm::Expected<Environment> valuesRead(Operation *op) {
    llvm::SetVector<Value> read(op->operand_begin(), op->operand_end());
    mlir::getUsedValuesDefinedAbove(op->getRegions(), read);
    Environment values;
    SmallVector<mlir::OpResult> computed;
    for (Value v : read) {
      auto r = dyn_cast<mlir::OpResult>(v);
      if (auto arg = dyn_cast<BlockArgument>(v))
        values[v] = inputs[arg.getArgNumber()];
      else if (StringAttr variable = variableName(r.getOwner()))
        values[v] = variables.at(variable.str());
      else
        computed.push_back(r);
    }
    // In the order of the function, as they are returned.
    llvm::sort(computed, [](mlir::OpResult a, mlir::OpResult b) {
      return a.getOwner() != b.getOwner()
                 ? a.getOwner()->isBeforeInBlock(b.getOwner())
                 : a.getResultNumber() < b.getResultNumber();
    });
    for (ArrayRef<mlir::OpResult> rest = computed; !rest.empty();) {
      auto some = rest.take_front(exposedAtOnce);
      rest = rest.drop_front(some.size());
      auto numbers = numbersOf(some);
      if (!numbers)
        return numbers.takeError();
      for (auto [r, a] : llvm::zip(some, *numbers))
        values[r] = std::move(a);
    }
    return values;
  }

  /// Moves the report to the op in a body that makes the first NaN; false if
  /// the reference finds none there.
  static bool lookInside(NanReport &report, const Environment &values) {
    bool found = false;
    observeBodies(report.op, values,
                  [&](Operation *op, ArrayRef<Array> operands,
                      ArrayRef<Array> results, ArrayRef<LoopStep> steps) {
                    for (auto [r, a] : llvm::zip(op->getResults(), results)) {
                      if (!Shape(r).isFloat())
                        continue;
                      if (!report.infinity && firstOf(a, isInfinite))
                        report.infinity = r;
                      auto i = firstOf(a, isNan);
                      if (!i)
                        continue;
                      found = true;
                      report.op = op;
                      report.steps.assign(steps.begin(), steps.end());
                      report.value = r;
                      report.element = *i;
                      for (auto [v, given] :
                           llvm::zip(op->getOperands(), operands))
                        report.operands.push_back({v, given});
                      break;
                    }
                    return found;
                  });
    return found;
  }

  ModuleOp simple;
  StringRef name;
  CompileOptions options;
  const std::map<std::string, Array> &variables;
  ArrayRef<Array> inputs;
};
} // namespace

llvm::Expected<std::optional<NanReport>> gradus::findNan(
    ModuleOp simple, StringRef function, const CompileOptions &options,
    const std::map<std::string, Array> &variables, ArrayRef<Array> inputs) {
  return Search(simple, function, options, variables, inputs).run();
}

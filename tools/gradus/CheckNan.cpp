//===- CheckNan.cpp - --check=nan -----------------------------------------===//

#include "CheckNan.h"
#include "gradus/Graph.h"
#include "gradus/Proof.h"

using namespace gradus;
using namespace gradus::tool;
using graph::Array;

static Array arrayOf(const HostTensor &t) {
  Array a(t.shape);
  for (auto [i, x] : llvm::enumerate(a.data))
    x = t.at(int64_t(i));
  return a;
}

bool tool::holdsNan(const Checkpoint &variables, ArrayRef<HostTensor> results) {
  return llvm::any_of(results, gradus::holdsNan) ||
         llvm::any_of(variables.tensors, [](auto &named) {
           return gradus::holdsNan(named.second);
         });
}

/// Prints where it is, and writes what the op was given.
static llvm::Error tell(const NanReport &report) {
  bool backwards = graph::nameOf(report.value).starts_with("d.");
  auto d = mlir::emitError(report.op->getLoc())
           << report.op->getName().stripDialect() << " makes a NaN"
           << (backwards ? " in the gradient" : "") << ", element "
           << report.element << " of " << graph::display(report.value) << ", "
           << graph::Shape(report.value).str();
  for (LoopStep s : llvm::reverse(report.steps))
    d.attachNote(s.loop->getLoc())
        << "in step " << s.step << " of this loop, counted from 0";
  if (report.infinity)
    d.attachNote(report.infinity.getLoc())
        << (graph::nameOf(report.infinity).empty()
                ? "a number"
                : graph::display(report.infinity))
        << " is infinite before it";
  for (auto [i, operand] : llvm::enumerate(report.operands)) {
    auto &[value, numbers] = operand;
    StringRef name = graph::nameOf(value);
    std::string file =
        ("nan." + (name.empty() ? Twine(i) : Twine(name)) + ".npy").str();
    HostTensor t(TensorSpec{dtypeOf(graph::Shape(value).element),
                            {numbers.shape.begin(), numbers.shape.end()}});
    for (auto [k, x] : llvm::enumerate(numbers.data))
      t.set(int64_t(k), x);
    if (auto e = writeNpy(file, t))
      return e;
    d.attachNote(value.getLoc())
        << "operand " << i << ", " << graph::display(value) << ", is saved as "
        << file;
  }
  return llvm::Error::success();
}

llvm::Error tool::explainNan(const CommonOptions &common,
                             CompileOptions options, StringRef function,
                             const Checkpoint &variables,
                             ArrayRef<HostTensor> inputs) {
  for (const auto &[name, t] : variables.tensors)
    if (gradus::holdsNan(t))
      return llvm::createStringError("'" + name +
                                     "' holds a NaN before the call");
  for (auto [i, t] : llvm::enumerate(inputs))
    if (gradus::holdsNan(t))
      return llvm::createStringError("input " + Twine(i) + " holds a NaN");
  std::map<std::string, Array> numbers;
  for (const auto &[name, t] : variables.tensors)
    numbers[name] = arrayOf(t);
  auto args = llvm::map_to_vector(inputs, arrayOf);
  options.functions = {function.str()};
  Compilation c(options);
  common.configure(c);
  {
    // Whoever made the call has been told.
    mlir::ScopedDiagnosticHandler toldAlready(
        &c.context(), [](mlir::Diagnostic &d) {
          return success(d.getSeverity() != mlir::DiagnosticSeverity::Error);
        });
    if (failed(c.parse(common.input)) || failed(c.runTo(Stage::Simple)))
      return llvm::createStringError("");
  }
  // @init has a name of its own: compiled again, it would stand twice.
  c.module().walk([&](graph::FuncOp f) {
    if (f.getSymName() != function)
      f.erase();
  });
  auto report = findNan(c.module(), function, options, numbers, args);
  if (!report)
    return report.takeError();
  if (!*report)
    return llvm::createStringError(
        "there was a NaN, but none once each op's result is looked at");
  if (auto e = tell(**report))
    return e;
  return llvm::createStringError("");
}

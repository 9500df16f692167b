//===- Verify.cpp - gradus verify: compiled code against the reference ----===//

#include "Command.h"
#include "gradus/Graph.h"
#include "gradus/Proof.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"

using namespace gradus;
using namespace gradus::tool;

static llvm::Error error(const Twine &message) {
  return llvm::createStringError(message);
}

/// Prints what was found; true if compiled code and the reference agree.
static bool tell(StringRef function, const VerifyResult &r) {
  bool good = !r.difference;
  llvm::outs() << llvm::formatv(
      "@{0}: {1} results compared, worst relative error {2:e2}: {3}\n",
      function, r.results, r.worst, good ? "ok" : "WRONG");
  if (good)
    return true;
  const Difference &d = *r.difference;
  std::string numbers;
  llvm::raw_string_ostream(numbers)
      << "compiled code gives " << llvm::format("%.9g", d.got)
      << " for element " << d.element << ", the reference "
      << llvm::format("%.9g", d.want);
  if (r.op)
    mlir::emitError(r.op->getLoc())
        << r.op->getName().stripDialect() << ": " << numbers;
  else
    llvm::errs() << "error: @" << function << ", " << d.what << ": " << numbers
                 << "; each op by itself is right\n";
  return false;
}

int tool::verifyCommand(int argc, char **argv) {
  CommonOptions options;
  cl::list<std::string> functions{
      "function", cl::desc("Verify these functions only (default: all)"),
      cl::value_desc("name,..."), cl::CommaSeparated,
      cl::cat(options.category)};
  cl::opt<double> tolerance{
      "tolerance",
      cl::desc("Largest relative error allowed (default: some roundings of the "
               "result's type)"),
      cl::init(0), cl::cat(options.category)};
  cl::opt<uint64_t> seed{"seed", cl::desc("Seed of the random numbers"),
                         cl::init(1), cl::cat(options.category)};
  cl::opt<unsigned> calls{
      "calls",
      cl::desc("Call compiled code so often, with the same values, and compare "
               "what the last call gives: a GPU replays from the third on"),
      cl::value_desc("n"), cl::init(1), cl::cat(options.category)};
  int exitCode;
  if (!parseOptions(argc, argv,
                    "gradus verify: compares compiled code with the reference, "
                    "and names the first line that differs\n",
                    options, exitCode))
    return exitCode;
  bool good = true;
  registerPassesAndPipelines();
  auto run = [&]() -> llvm::Error {
    CompileOptions o = options.compileOptions();
    o.functions.assign(functions.begin(), functions.end());
    Compilation c(o);
    options.configure(c);
    if (failed(c.parse(options.input)) || failed(c.runTo(Stage::Simple)))
      return error("");
    // @init has a name of its own: compiled again, it would stand twice.
    SmallVector<graph::FuncOp> all;
    c.module().walk([&](graph::FuncOp f) { all.push_back(f); });
    SmallVector<std::string> names;
    bool hasVariables = false;
    c.module().walk(
        [&](Operation *op) { hasVariables |= !!graph::variableName(op); });
    for (graph::FuncOp f : all) {
      // A function of any shape is compiled where it is called.
      bool ofAnyShape = llvm::any_of(f.getArgumentTypes(), [](Type t) {
        return graph::Shape(t).hasPack();
      });
      if (ofAnyShape || (hasVariables && f.getSymName() == "init"))
        f.erase();
      else
        names.push_back(f.getSymName().str());
    }
    VerifyOptions verify;
    verify.seed = seed;
    verify.calls = std::max(1u, unsigned(calls));
    if (tolerance > 0)
      verify.tolerance = tolerance;
    for (const std::string &name : names) {
      auto result = verifyCompiled(c.module(), name, o, verify);
      if (!result)
        return result.takeError();
      good &= tell(name, *result);
    }
    return llvm::Error::success();
  };
  if (int failed = report(run()))
    return failed;
  return good ? Ok : CheckFailed;
}

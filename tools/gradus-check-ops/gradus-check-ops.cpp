//===- gradus-check-ops.cpp - every sample of every op, checked -----------===//

#include "gradus/Compiler.h"
#include "gradus/Passes.h"
#include "gradus/Reference.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/InitLLVM.h"

using namespace gradus;
using namespace gradus::graph;
namespace cl = llvm::cl;

static cl::opt<std::string>
    compiled("compiled",
             cl::desc("Compare compiled code for this CPU with the reference"),
             cl::value_desc("cpu"));
static cl::opt<std::string> element("type", cl::desc("f32 or f64"),
                                    cl::init("f32"));

static cl::opt<std::string> only("only", cl::desc("Check this op alone"));
static cl::opt<bool> verbose("verbose",
                             cl::desc("Print samples that pass too"));

//===----------------------------------------------------------------------===//
// Compiled code against the reference
//===----------------------------------------------------------------------===//

/// The numbers that the type holds in their place.
static Array rounded(Array a, DType type) {
  HostTensor one({type, {}});
  for (double &x : a.data) {
    one.set(0, x);
    x = one.at(0);
  }
  return a;
}
/// How far results may lie from the reference, which computes in f64: some
/// roundings of each type.
static double tolerance(DType type) {
  switch (type) {
  case DType::F64:
    return 1e-9;
  case DType::F16:
    return 4e-3;
  case DType::BF16:
    return 3e-2;
  default:
    return 5e-4;
  }
}

static Block64 inMemory(const Array &a, const TensorSpec &spec) {
  HostTensor t(spec);
  for (auto [i, x] : llvm::enumerate(a.data))
    t.set(i, x);
  Block64 block(spec.byteCount());
  std::memcpy(block.data(), t.bytes.data(), t.bytes.size());
  return block;
}

/// Runs every function of a sample's model compiled and interpreted.
static std::string compareCompiled(SampleModel &sample, double &worst) {
  mlir::OwningOpRef<ModuleOp> reference = sample.module->clone();
  if (failed(runModelPipeline(*reference, "graph-decompose")))
    return "does not decompose";
  std::string text;
  llvm::raw_string_ostream(text) << *sample.module;
  CompileOptions options;
  options.cpu = compiled;
  Compilation c(options);
  if (failed(c.parseText(text, "sample")))
    return "does not print and parse";
  auto objects = c.objects();
  if (!objects)
    return "does not compile: " + llvm::toString(objects.takeError());
  auto program = Program::load(*objects, c.interface());
  if (!program)
    return "does not link: " + llvm::toString(program.takeError());
  std::mt19937_64 random(7);
  worst = 0;
  for (const FunctionInterface &f : program->interface().functions) {
    FuncOp source;
    reference->walk([&](FuncOp g) {
      if (g.getSymName() == f.name)
        source = g;
    });
    SmallVector<Array> args;
    std::vector<Block64> blocks;
    SmallVector<const void *> in;
    SmallVector<void *> out;
    for (auto [i, p] : llvm::enumerate(f.inputs)) {
      auto [low, high] =
          i < sample.ranges.size() ? sample.ranges[i] : std::pair(-1.0, 1.0);
      args.push_back(
          rounded(randomArray(source.getArgumentTypes()[i], low, high, random),
                  p.type.type));
      blocks.push_back(inMemory(args.back(), p.type));
    }
    for (const Port &p : f.outputs)
      blocks.emplace_back(p.type.byteCount());
    for (auto [i, b] : llvm::enumerate(blocks))
      i < f.inputs.size() ? in.push_back(b.data()) : out.push_back(b.data());
    auto want = interpret(source, args);
    if (failed(want))
      return "has no reference value";
    Block64 arena(f.arenaBytes);
    program->call(f, nullptr, in, out, arena.data());
    for (auto [k, p] : llvm::enumerate(f.outputs)) {
      HostTensor got(p.type);
      double bound = tolerance(p.type.type);
      std::memcpy(got.bytes.data(), out[k], got.bytes.size());
      for (auto [i, w] : llvm::enumerate((*want)[k].data)) {
        double error = std::abs(w - got.at(i)) / (1 + std::abs(w));
        worst = std::isnan(error) ? INFINITY : std::max(worst, error);
        if (!(error < bound))
          return "compiled @" + f.name + " gives " + std::to_string(got.at(i)) +
                 " for element " + std::to_string(i) + " of result " +
                 std::to_string(k) + ", the reference " + std::to_string(w);
      }
    }
  }
  return "";
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  mlir::registerPassManagerCLOptions();
  cl::ParseCommandLineOptions(
      argc, argv,
      "Checks each sample of each op: gradient and second derivative against "
      "differences, forward against reverse mode; or compiled code against the "
      "reference\n");
  registerPassesAndPipelines();
  MLIRContext ctx(MLIRContext::Threading::DISABLED);
  ctx.loadDialect<GraphDialect>();

  unsigned ops = 0, passed = 0, wrong = 0;
  for (auto name : ctx.getRegisteredOperationsByDialect("graph")) {
    auto *documented = name.getInterface<Documented>();
    if (!documented || (!only.empty() && name.stripDialect() != only))
      continue;
    ++ops;
    auto fail = [&](StringRef sample, StringRef what, double worst) {
      ++wrong;
      llvm::outs() << "WRONG " << name.stripDialect() << ": " << what;
      if (!sample.empty())
        llvm::outs() << " (" << llvm::format("%.1e", worst) << "): " << sample;
      llvm::outs() << "\n";
    };
    auto samples = documented->getSamples();
    if (std::string gap = missingSamples(name.stripDialect(), samples,
                                         documented->getArgSpecs());
        !gap.empty())
      fail("", gap, 0);
    for (StringRef sample : samples) {
      double worst = -1;
      FailureOr<SampleModel> model = buildSample(sample, element, &ctx);
      std::string what = failed(model) ? "does not parse or has no derivative"
                         : compiled.empty() ? checkSample(*model, worst)
                                            : compareCompiled(*model, worst);
      if (!what.empty()) {
        fail(sample, what, worst);
        continue;
      }
      ++passed;
      if (verbose)
        llvm::outs() << "ok    " << llvm::format("%.1e  ", worst) << sample
                     << "\n";
    }
  }
  llvm::outs() << ops << " ops, " << passed << " samples passed, " << wrong
               << " wrong\n";
  return wrong ? 3 : 0;
}

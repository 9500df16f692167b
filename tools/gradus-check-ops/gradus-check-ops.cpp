//===- gradus-check-ops.cpp - every sample of every op, checked -----------===//

#include "gradus/Passes.h"
#include "gradus/Pipeline.h"
#include "gradus/Proof.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/InitLLVM.h"

using namespace gradus;
using namespace gradus::graph;
namespace cl = llvm::cl;

static cl::opt<std::string>
    compiled("compiled",
             cl::desc("Compare compiled code for this CPU, or GPU (sm_80), "
                      "with the reference"),
             cl::value_desc("cpu"));
static cl::opt<std::string>
    bounded("bounded", cl::desc("The same of code for any batch up to a bound"),
            cl::value_desc("cpu"));
static cl::opt<std::string> element("type", cl::desc("f32 or f64"),
                                    cl::init("f32"));

static cl::opt<std::string> only("only", cl::desc("Check this op alone"));
static cl::opt<bool> verbose("verbose",
                             cl::desc("Print samples that pass too"));

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  mlir::registerPassManagerCLOptions();
  cl::ParseCommandLineOptions(
      argc, argv,
      "Checks each sample of each op: gradient and second derivative against "
      "differences, forward against reverse mode, vmap against one example "
      "after the "
      "other; or compiled code against the "
      "reference\n");
  registerPassesAndPipelines();
  MLIRContext ctx(MLIRContext::Threading::DISABLED);
  ctx.loadDialect<GraphDialect>();

  unsigned ops = 0, passed = 0, wrong = 0, needSize = 0, noGpuCode = 0;
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
      auto program = programOfSample(sample, &ctx);
      bool refused = false;
      std::string what =
          failed(model) ? "does not parse or has no derivative"
          : !bounded.empty()
              ? compareBounded(*program, bounded, &ctx, worst, refused)
          : compiled.empty() ? checkSample(*model, worst)
                             : compareCompiled(*model, compiled, worst);
      // Its message stands already.
      if (what == "does not compile: " &&
          StringRef(compiled).starts_with("sm_")) {
        ++noGpuCode;
        continue;
      }
      if (refused) {
        ++needSize;
        if (verbose)
          llvm::outs() << "size  " << sample << "\n";
        if (what.empty())
          continue;
      }
      if (what.empty() && compiled.empty() && bounded.empty())
        what = checkBatching(*program, &ctx, worst);
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
               << " wrong";
  if (!bounded.empty())
    llvm::outs() << ", " << needSize << " need the size of the batch";
  if (noGpuCode)
    llvm::outs() << ", " << noGpuCode << " refused";
  llvm::outs() << "\n";
  return wrong ? 3 : 0;
}

//===- gradus-fuzz.cpp - random programs, checked -------------------------===//

#include "gradus/Passes.h"
#include "gradus/Pipeline.h"
#include "gradus/Proof.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"

using namespace gradus;
namespace cl = llvm::cl;

static cl::opt<unsigned> programs("programs", cl::desc("How many to check"),
                                  cl::init(100));
static cl::opt<uint64_t> seed("seed", cl::desc("Of the first program"),
                              cl::init(1));
static cl::opt<unsigned> ops("ops", cl::desc("The most ops of a program"),
                             cl::init(12));
static cl::opt<std::string>
    cpu("cpu", cl::desc("Compile for this CPU ('': do not compile)"),
        cl::init("native"));
static cl::opt<bool> print("print", cl::desc("Print the programs too"));

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  mlir::registerPassManagerCLOptions();
  cl::ParseCommandLineOptions(
      argc, argv,
      "Checks random programs: reverse mode against differences, forward "
      "against reverse mode, second derivatives, text that reads back, "
      "canonicalisation, and compiled code against the reference\n");
  if (ops < 1) {
    llvm::errs() << "error: --ops takes at least 1\n";
    return 2;
  }
  registerPassesAndPipelines();
  MLIRContext ctx(MLIRContext::Threading::DISABLED);
  ctx.loadDialect<graph::GraphDialect>();

  unsigned wrong = 0;
  for (unsigned i = 0; i < programs; ++i) {
    uint64_t own = seed + i;
    RandomProgram program(own, unsigned(1 + own % ops), &ctx);
    if (print)
      llvm::outs() << "// seed " << own << "\n" << program.str();
    std::string what = checkProgram(program.text(), cpu, &ctx);
    if (what.empty())
      continue;
    ++wrong;
    auto fails = [&](const RandomProgram &smaller) {
      mlir::ScopedDiagnosticHandler quiet(&ctx,
                                          [](auto &) { return success(); });
      std::string now = checkProgram(smaller.text(), cpu, &ctx);
      return !now.empty() && !StringRef(now).starts_with("it does not parse");
    };
    RandomProgram smallest = program.shrunk(fails);
    llvm::outs() << "WRONG (seed " << own << "): " << what << "\n"
                 << smallest.str();
    llvm::outs().flush();
  }
  llvm::outs() << programs << " programs, " << wrong << " wrong\n";
  return wrong ? 3 : 0;
}

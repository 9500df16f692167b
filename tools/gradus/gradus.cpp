//===- gradus.cpp - the command that users run ----------------------------===//

#include "Command.h"
#include "gradus/Graph.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/Signals.h"
#include "llvm/TargetParser/Host.h"
#include <unistd.h>

using namespace gradus;
using namespace gradus::tool;

namespace {
struct Command {
  StringRef name, summary;
  int (*run)(int, char **);
};
} // namespace

static constexpr Command commands[] = {
    {"compile",
     "to an object, a library, a program, PTX, or the text of a stage",
     compileCommand},
    {"run", "compile and call a function", runCommand},
    {"grad", "print a model with its gradients written out", gradCommand},
    {"check-grad", "compare gradients with central differences",
     checkGradCommand},
    {"verify", "compare compiled code with the reference, op by op",
     verifyCommand},
    {"train", "train with a step compiled ahead of time", trainCommand},
    {"bench", "time a compiled function", benchCommand},
};

static void printHelp(llvm::raw_ostream &os) {
  os << "Gradus compiles models and their training steps ahead of time.\n\n"
     << "usage: gradus <command> <model> [options]\n\ncommands:\n";
  for (const Command &c : commands)
    os << "  " << llvm::left_justify(c.name, 12) << c.summary << "\n";
  os << "\n  gradus <command> --help   the options of a command\n"
     << "  gradus --version\n";
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  llvm::setBugReportMsg(
      "gradus has crashed; please report the model and the lines below.\n");
  // After the stack trace, which InitLLVM has asked for: an exit code of its
  // own, and what to do.
  llvm::sys::AddSignalHandler(
      [](void *) {
        static constexpr char advice[] =
            "internal error: run again with --crash-reproducer=FILE, and "
            "report that file\n";
        if (::write(STDERR_FILENO, advice, sizeof advice - 1) > 0)
          ::_exit(Internal);
      },
      nullptr);
  StringRef name = argc > 1 ? argv[1] : "";
  if (name == "--version") {
    llvm::outs() << "gradus " GRADUS_VERSION "\nLLVM " LLVM_VERSION_STRING
                    ", for "
                 << llvm::sys::getDefaultTargetTriple() << " ("
                 << llvm::sys::getHostCPUName() << ") and nvptx64\n";
    return Ok;
  }
  if (name == "--help" || name == "-h" || name == "help") {
    printHelp(llvm::outs());
    return Ok;
  }
  for (const Command &c : commands)
    if (c.name == name)
      return c.run(argc - 1, argv + 1);
  if (name.empty()) {
    printHelp(llvm::errs());
    return Usage;
  }
  SmallVector<StringRef> names;
  for (const Command &c : commands)
    names.push_back(c.name);
  llvm::errs() << "error: there is no command '" << name << "'";
  if (StringRef n = graph::nearest(name, names); !n.empty())
    llvm::errs() << "; did you mean '" << n << "'?";
  llvm::errs() << "\n";
  return Usage;
}

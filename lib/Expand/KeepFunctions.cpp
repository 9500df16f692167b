//===- KeepFunctions.cpp - drop what is not asked for ---------------------===//
//
// In: a model whose calls are inlined. Out: the same with the functions that
// are asked for, and @init. Variables stay: a checkpoint is of the whole model.
//
//===----------------------------------------------------------------------===//

#include "gradus/Graph.h"
#include "gradus/Passes.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"

namespace gradus {
#define GEN_PASS_DEF_KEEPFUNCTIONS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;

namespace {
struct KeepFunctions : impl::KeepFunctionsBase<KeepFunctions> {
  using KeepFunctionsBase::KeepFunctionsBase;

  void runOnOperation() override {
    ModelOp model = getOperation();
    auto functions = llvm::to_vector(model.getBody().getOps<FuncOp>());
    llvm::StringSet<> kept;
    kept.insert("init");
    for (const std::string &name : names) {
      if (llvm::none_of(functions,
                        [&](FuncOp f) { return f.getSymName() == name; })) {
        auto listed =
            llvm::map_range(functions, [](FuncOp f) { return f.getSymName(); });
        mlir::emitError(model.getLoc())
            << "the model has no function '" << name << "'; it has "
            << llvm::join(listed, ", ");
        return signalPassFailure();
      }
      kept.insert(name);
    }
    for (FuncOp f : functions)
      if (!kept.contains(f.getSymName()))
        f.erase();
  }
};
} // namespace

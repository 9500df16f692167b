//===- KeepFunctions.cpp - drop what is not asked for ---------------------===//
//
// In: a model whose calls are inlined. Out: the same with the functions that
// are asked for, and @init. Variables stay: a checkpoint is of the whole model.
// If they are to be constants, @init goes too, and so does, unless it is asked
// for, what updates them.
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
    if (!frozen)
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
    for (FuncOp f : functions) {
      bool named = kept.contains(f.getSymName());
      UpdateOp update = frozen ? firstUpdate(f) : UpdateOp();
      if (named && update) {
        update.emitError() << "@" << f.getSymName() << " updates "
                           << display(update.getVariable())
                           << ", which --freeze makes a constant";
        return signalPassFailure();
      }
      if (names.empty() ? !!update : !named)
        f.erase();
    }
    if (model.getBody().getOps<FuncOp>().empty()) {
      mlir::emitError(model.getLoc())
          << "every function updates a parameter, which --freeze makes a "
             "constant";
      signalPassFailure();
    }
  }

private:
  static UpdateOp firstUpdate(FuncOp f) {
    auto updates = f.getBody().getOps<UpdateOp>();
    return updates.empty() ? UpdateOp() : *updates.begin();
  }
};
} // namespace

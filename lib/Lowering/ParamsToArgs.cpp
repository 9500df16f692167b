//===- ParamsToArgs.cpp - variables become arguments ----------------------===//
//
// In: models of functions without calls, requests or layers, all dimensions
// known. Out: one func.func a function, in the module itself, its leading
// arguments the variables that it reads or updates (`graph.variable`), its
// trailing results the next values of those that it updates (`graph.next`).
// The module keeps a list of all variables (`graph.variables`).
//
// Functions with packs, and those that only library code needs, are templates:
// they are dropped.
//
//===----------------------------------------------------------------------===//

#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/SetVector.h"

namespace gradus {
#define GEN_PASS_DEF_PARAMSTOARGS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;
namespace func = mlir::func;

/// A function that only makes sense in a call.
static bool isTemplate(FuncOp f) {
  if (isLayer(f))
    return true;
  return llvm::any_of(f.getArgumentTypes(),
                      [](Type t) { return Shape(t).hasPack(); });
}

/// The first shape of `f` without a size, or none.
static std::optional<std::pair<Location, std::string>> unsized(FuncOp f) {
  auto open = [](Type t) -> std::string {
    for (const Dim &d : Shape(t).dims)
      if (!d.known())
        return d.str();
    return "";
  };
  for (BlockArgument a : f.getBody().getArguments())
    if (std::string d = open(a.getType()); !d.empty())
      return {{a.getLoc(), d}};
  std::optional<std::pair<Location, std::string>> found;
  f.walk([&](Operation *op) {
    for (Value r : op->getResults())
      if (std::string d = open(r.getType()); !d.empty() && !found)
        found = {{r.getLoc(), d}};
  });
  return found;
}

namespace {
struct ParamsToArgs : impl::ParamsToArgsBase<ParamsToArgs> {
  void runOnOperation() override {
    bool ok = true;
    for (auto model :
         llvm::make_early_inc_range(getOperation().getOps<ModelOp>())) {
      SmallVector<Attribute> variables;
      Builder b(&getContext());
      for (Operation &op : model.getBody().front())
        if (StringAttr name = variableName(&op))
          variables.push_back(b.getDictionaryAttr(
              {b.getNamedAttr("name", name),
               b.getNamedAttr("state", b.getBoolAttr(isa<StateOp>(op))),
               b.getNamedAttr("type",
                              TypeAttr::get(op.getResult(0).getType()))}));
      for (auto f :
           llvm::make_early_inc_range(model.getBody().getOps<FuncOp>())) {
        if (isTemplate(f))
          continue;
        if (auto open = unsized(f)) {
          std::string name = open->second;
          mlir::emitError(open->first)
              << "dimension '" << name << "' of @" << f.getSymName()
              << " has no size: "
              << (name == "?"
                      ? "give the dimensions it follows from a size with --dims"
                      : "give it one with --dims " + name + "=N");
          ok = false;
          continue;
        }
        convert(model, f);
      }
      getOperation().setSymName(model.getSymName());
      getOperation()->setAttr(lowering::variablesAttr,
                              b.getArrayAttr(variables));
      model.erase();
    }
    if (!ok)
      signalPassFailure();
  }

private:
  void convert(ModelOp model, FuncOp f) {
    OpBuilder b(model);
    llvm::SetVector<Operation *> used;
    SmallVector<UpdateOp> updates;
    // The last of several updates of one variable counts.
    llvm::MapVector<Value, Value> next;
    f.walk([&](Operation *op) {
      for (Value v : op->getOperands())
        if (Operation *d = v.getDefiningOp(); d && variableName(d))
          used.insert(d);
      if (auto u = dyn_cast<UpdateOp>(op)) {
        updates.push_back(u);
        next[u.getVariable()] = u.getValue();
      }
    });
    SmallVector<Operation *> variables = used.takeVector();
    llvm::sort(variables, [](Operation *a, Operation *b) {
      return a->isBeforeInBlock(b);
    });

    SmallVector<Type> inputs, results(f.getResultTypes());
    for (Operation *v : variables)
      inputs.push_back(v->getResult(0).getType());
    llvm::append_range(inputs, f.getArgumentTypes());
    for (auto &[variable, value] : next)
      results.push_back(value.getType());
    auto out = func::FuncOp::create(b, f.getLoc(), f.getSymName(),
                                    b.getFunctionType(inputs, results));
    unsigned arg = 0, result = 0;
    for (Operation *v : variables)
      out.setArgAttr(arg++, lowering::variableAttr, variableName(v));
    for (unsigned i = 0; i < f.getNumArguments(); ++i)
      out.setArgAttr(arg++, lowering::nameAttr,
                     b.getStringAttr(f.argumentName(i)));
    for (unsigned i = 0; i < f.getNumResults(); ++i)
      out.setResultAttr(result++, lowering::nameAttr,
                        b.getStringAttr(f.resultName(i)));
    for (auto &[variable, value] : next)
      out.setResultAttr(result++, lowering::nextAttr,
                        variableName(variable.getDefiningOp()));

    out.getBody().takeBody(f.getBody());
    for (auto [i, v] : llvm::enumerate(variables)) {
      BlockArgument a = out.getBody().insertArgument(
          i, v->getResult(0).getType(), v->getLoc());
      v->getResult(0).replaceUsesWithIf(a, [&](mlir::OpOperand &use) {
        return out->isProperAncestor(use.getOwner());
      });
    }
    Operation *ret = out.getBody().front().getTerminator();
    SmallVector<Value> values(ret->getOperands());
    for (auto &[variable, value] : next)
      values.push_back(value);
    // An update by a variable's own old value names the argument by now.
    for (Value &v : values)
      if (Operation *d = v.getDefiningOp(); d && variableName(d))
        v = out.getArgument(llvm::find(variables, d) - variables.begin());
    b.setInsertionPoint(ret);
    func::ReturnOp::create(b, ret->getLoc(), values);
    ret->erase();
    for (UpdateOp u : updates)
      u.erase();
    f.erase();
  }
};
} // namespace

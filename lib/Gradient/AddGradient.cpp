//===- AddGradient.cpp - a gradient function beside a function ------------===//

#include "gradus/Expand.h"
#include "gradus/Gradient.h"
#include "llvm/ADT/StringExtras.h"

using namespace gradus;
using namespace gradus::graph;

LogicalResult gradus::addGradient(ModuleOp module, StringRef name) {
  auto model = *module.getOps<ModelOp>().begin();
  auto f = model.lookupSymbol<FuncOp>(name);
  if (!f) {
    SmallVector<StringRef> all;
    for (auto other : model.getBody().getOps<FuncOp>())
      all.push_back(other.getSymName());
    auto d = mlir::emitError(model.getLoc())
             << "the model has no function @" << name;
    if (StringRef n = nearest(name, all); !n.empty())
      d << "; did you mean @" << n << "?";
    return d;
  }
  auto types = f.getResultTypes();
  if (types.empty() || Shape(types[0]).rank() || !Shape(types[0]).isFloat())
    return mlir::emitError(f.getLoc())
           << "only a scalar has a gradient, but @" << name << " returns "
           << (types.empty() ? "nothing" : Shape(types[0]).str());
  ImplicitLocOpBuilder b(f.getLoc(), f->getContext());
  b.setInsertionPointAfter(f);
  auto g = FuncOp::create(b, (name + ".gradient").str(), f.getFunctionType(),
                          f.getArgAttrsAttr(), ArrayAttr());
  Block *body = &g.getBody().emplaceBlock();
  SmallVector<Value> wrt;
  SmallVector<Type> results(types);
  SmallVector<std::string> names;
  for (unsigned i = 0; i < results.size(); ++i)
    names.push_back(f.resultName(i));
  auto add = [&](Value v) {
    wrt.push_back(v);
    results.push_back(v.getType());
    names.push_back(("d." + nameOf(v)).str());
  };
  for (Operation *v : usedVariables(f))
    if (isa<ParamOp>(v))
      add(v->getResult(0));
  for (BlockArgument a : f.getBody().getArguments()) {
    BlockArgument copy = body->addArgument(a.getType(), a.getLoc());
    if (Shape(a).isFloat())
      add(copy);
  }
  if (wrt.empty())
    return mlir::emitError(f.getLoc())
           << "@" << name
           << " has neither parameters nor float arguments to differentiate by";
  b.setInsertionPointToStart(body);
  b.setLoc(NameLoc::get(b.getStringAttr(llvm::join(names, ",")), f.getLoc()));
  auto request =
      ValueAndGradOp::create(b, results, name, body->getArguments(), wrt);
  auto nameAttrs =
      llvm::map_to_vector(names, [&](const std::string &n) -> Attribute {
        return b.getStringAttr(n);
      });
  ReturnOp::create(b, request.getResults(), b.getArrayAttr(nameAttrs));
  g.setFunctionType(b.getFunctionType(f.getArgumentTypes(), results));
  return success();
}

void gradus::addForward(ModuleOp module, StringRef name) {
  auto model = *module.getOps<ModelOp>().begin();
  auto f = model.lookupSymbol<FuncOp>(name);
  SmallVector<Operation *> variables = usedVariables(f);
  SmallVector<Type> types;
  for (Operation *v : variables)
    types.push_back(v->getResult(0).getType());
  llvm::append_range(types, f.getArgumentTypes());
  // The function with its variables as arguments, so that they may move.
  FuncOp open = addHelper(
      f, name + ".open", types, [&](ImplicitLocOpBuilder &b, ValueRange args) {
        auto results = inlineBody(b, f, args.drop_front(variables.size()),
                                  b.getLoc(), [](Operation *) {});
        Block *body = b.getInsertionBlock();
        for (auto [v, arg] : llvm::zip(variables, args)) {
          llvm::replace(results, Value(v->getResult(0)), Value(arg));
          v->getResult(0).replaceUsesWithIf(arg, [&](mlir::OpOperand &use) {
            return body->findAncestorOpInBlock(*use.getOwner());
          });
        }
        for (Operation &op : llvm::make_early_inc_range(*body))
          if (isa<UpdateOp>(op))
            op.erase();
        return SmallVector<Value>{results[0]};
      });
  SmallVector<Type> both(types);
  llvm::append_range(both, types);
  FuncOp forward =
      addHelper(f, name + ".forward", both,
                [&](ImplicitLocOpBuilder &b, ValueRange args) {
                  Type value = f.getResultTypes()[0];
                  auto jvp = JvpOp::create(b, mlir::TypeRange{value, value},
                                           open.getSymName(), args);
                  return SmallVector<Value>(jvp.getResults());
                });
  forward->removeAttr(helperAttr);
}

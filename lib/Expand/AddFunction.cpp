//===- AddFunction.cpp - functions that requests are written with ---------===//

#include "gradus/Expand.h"

using namespace gradus;
using namespace gradus::graph;

FuncOp gradus::addHelper(
    FuncOp caller, const Twine &name, mlir::TypeRange args,
    function_ref<SmallVector<Value>(ImplicitLocOpBuilder &, ValueRange)>
        build) {
  auto model = caller->getParentOfType<ModelOp>();
  std::string free = name.str();
  for (unsigned i = 2; model.lookupSymbol(free); ++i)
    free = (name + "." + Twine(i)).str();
  ImplicitLocOpBuilder b(withoutName(caller.getLoc()), caller);
  SmallVector<Attribute> names;
  for (size_t i = 0; i < args.size(); ++i)
    names.push_back(b.getDictionaryAttr(b.getNamedAttr(
        "graph.name", b.getStringAttr("a" + std::to_string(i)))));
  auto f = FuncOp::create(b, free, b.getFunctionType(args, {}),
                          b.getArrayAttr(names), ArrayAttr());
  f->setAttr(helperAttr, b.getUnitAttr());
  Block *body = b.createBlock(&f.getBody(), {}, args,
                              SmallVector<Location>(args.size(), b.getLoc()));
  SmallVector<Value> results = build(b, body->getArguments());
  b.setInsertionPointToEnd(body);
  ReturnOp::create(b, results, ArrayAttr());
  f.setFunctionType(b.getFunctionType(args, ValueRange(results).getTypes()));
  return f;
}

void gradus::dropHelpers(ModelOp model) {
  for (auto f : llvm::make_early_inc_range(model.getBody().getOps<FuncOp>()))
    if (f->hasAttr(helperAttr))
      f.erase();
}

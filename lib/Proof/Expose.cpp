//===- Expose.cpp - what a function computes on its way -------------------===//

#include "Expose.h"

using namespace gradus;
using namespace gradus::graph;

FuncOp gradus::functionOf(ModuleOp module, StringRef name) {
  FuncOp found;
  module.walk([&](FuncOp f) {
    if (f.getSymName() == name)
      found = f;
  });
  return found;
}

mlir::OwningOpRef<ModuleOp> gradus::expose(ModuleOp model, StringRef function,
                                           ArrayRef<mlir::OpResult> values) {
  mlir::OwningOpRef<ModuleOp> copy = model.clone();
  FuncOp f = functionOf(*copy, function),
         original = functionOf(model, function);
  SmallVector<Value> results;
  for (auto [op, old] :
       llvm::zip(f.getBody().front(), original.getBody().front()))
    for (auto [r, was] : llvm::zip(op.getResults(), old.getResults()))
      if (llvm::is_contained(values, was))
        results.push_back(r);
  auto ret = cast<ReturnOp>(f.getBody().front().getTerminator());
  ret->setOperands(results);
  ret.removeNamesAttr();
  f.setFunctionType(FunctionType::get(copy->getContext(), f.getArgumentTypes(),
                                      ValueRange(results).getTypes()));
  return copy;
}

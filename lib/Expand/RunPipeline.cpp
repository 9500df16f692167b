//===- RunPipeline.cpp - passes on every model of a module ----------------===//

#include "gradus/Expand.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"

using namespace gradus;

LogicalResult gradus::runModelPipeline(ModuleOp module, StringRef pipeline) {
  mlir::PassManager pm(module.getContext(), ModuleOp::getOperationName());
  if (failed(
          mlir::parsePassPipeline(("graph.model(" + pipeline + ")").str(), pm)))
    return failure();
  return pm.run(module);
}

//===- gradus-opt.cpp - runs passes on models, for developers -------------===//

#include "gradus/Pipeline.h"
#include "mlir/IR/Dialect.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  gradus::registerDialects(registry);
  gradus::registerPassesAndPipelines();
  return mlir::asMainReturnCode(mlir::MlirOptMain(
      argc, argv, "Gradus: runs passes on a model\n", registry));
}

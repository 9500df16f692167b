//===- Product.cpp - what makes an op a sum of products -------------------===//

#include "gradus/Lowering.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;

bool lowering::addsProducts(linalg::GenericOp op) {
  return op.getNumDpsInputs() == 2 && op.getNumDpsInits() == 1 &&
         op.getNumReductionLoops() > 0 &&
         linalg::detail::isContractionBody(
             *op.getBody(), [](Operation *a, Operation *b) {
               return (isa<arith::MulFOp>(a) && isa<arith::AddFOp>(b)) ||
                      (isa<arith::MulIOp>(a) && isa<arith::AddIOp>(b));
             });
}

//===- Product.cpp - what makes an op a sum of products -------------------===//

#include "gradus/Lowering.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;

/// An operand as it is, or in the wider type of the sums.
static bool isFactor(Value v) {
  while (isa_and_nonnull<arith::ExtFOp, arith::ExtSIOp>(v.getDefiningOp()))
    v = v.getDefiningOp()->getOperand(0);
  return isa<BlockArgument>(v);
}

/// Upstream's check looks through any op of one operand, a negation too.
static bool isPartOfProduct(Operation &op) {
  if (isa<arith::MulFOp, arith::MulIOp, arith::ExtFOp, arith::ExtSIOp>(op))
    return llvm::all_of(op.getOperands(), isFactor);
  return isa<arith::AddFOp, arith::AddIOp, linalg::YieldOp>(op);
}

bool lowering::addsProducts(linalg::GenericOp op) {
  return op.getNumDpsInputs() == 2 && op.getNumDpsInits() == 1 &&
         op.getNumReductionLoops() > 0 &&
         llvm::all_of(*op.getBody(), isPartOfProduct) &&
         linalg::detail::isContractionBody(
             *op.getBody(), [](Operation *a, Operation *b) {
               return (isa<arith::MulFOp>(a) && isa<arith::AddFOp>(b)) ||
                      (isa<arith::MulIOp>(a) && isa<arith::AddIOp>(b));
             });
}

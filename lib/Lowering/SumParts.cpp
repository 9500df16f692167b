//===- SumParts.cpp - sums made in parts, and added up --------------------===//

#include "SumParts.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;

Operation *gradus::combinerOf(linalg::GenericOp op, unsigned number) {
  BlockArgument sum = op.getMatchingBlockArgument(op.getDpsInitOperand(number));
  Operation *combiner =
      op.getBody()->getTerminator()->getOperand(number).getDefiningOp();
  bool isAll = combiner && sum.hasOneUse() && *sum.user_begin() == combiner;
  return isAll && isa<arith::AddFOp, arith::AddIOp, arith::MaximumFOp,
                      arith::MinimumFOp, arith::MaxSIOp, arith::MinSIOp>(
                      combiner)
             ? combiner
             : nullptr;
}
mlir::TypedAttr gradus::neutralFor(OpBuilder &b, Operation *combiner) {
  using Kind = arith::AtomicRMWKind;
  auto kind = llvm::TypeSwitch<Operation *, Kind>(combiner)
                  .Case<arith::AddFOp>([](auto) { return Kind::addf; })
                  .Case<arith::AddIOp>([](auto) { return Kind::addi; })
                  .Case<arith::MaximumFOp>([](auto) { return Kind::maximumf; })
                  .Case<arith::MinimumFOp>([](auto) { return Kind::minimumf; })
                  .Case<arith::MaxSIOp>([](auto) { return Kind::maxs; })
                  .Default([](auto) { return Kind::mins; });
  return arith::getIdentityValueAttr(kind, combiner->getResult(0).getType(), b,
                                     combiner->getLoc());
}

void gradus::repeatBody(linalg::GenericOp op, OpBuilder &b, ValueRange args) {
  mlir::IRMapping map;
  map.map(op.getBody()->getArguments(), args);
  for (Operation &each : *op.getBody())
    b.clone(each, map);
}

Value gradus::combineParts(LinalgBuilder &linalg, linalg::GenericOp op,
                           unsigned number, Value parts, unsigned axes) {
  Value start = op.getDpsInits()[number];
  unsigned rank = cast<RankedTensorType>(start.getType()).getRank(),
           loops = rank + axes;
  SmallVector<AffineExpr> own, places;
  for (unsigned axis = 0; axis < axes; ++axis)
    places.push_back(linalg.dim(rank + axis));
  for (unsigned axis = 0; axis < rank; ++axis)
    own.push_back(linalg.dim(axis));
  llvm::append_range(places, own);
  SmallVector<Iterator> kinds(rank, Iterator::parallel);
  kinds.append(axes, Iterator::reduction);
  return linalg::GenericOp::create(
             linalg.b, mlir::TypeRange{start.getType()}, ValueRange{parts},
             ValueRange{start},
             ArrayRef{linalg.map(loops, places), linalg.map(loops, own)}, kinds,
             [&](OpBuilder &inner, Location loc, ValueRange args) {
               Operation *both = inner.clone(*combinerOf(op, number));
               both->setOperands(args);
               linalg::YieldOp::create(inner, loc, both->getResults());
             })
      .getResult(0);
}

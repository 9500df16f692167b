//===- RowSums.cpp - what a group adds up over its rows -------------------===//

#include "RowSums.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace gradus;
namespace linalg = mlir::linalg;
namespace memref = mlir::memref;

static mlir::MemRefType typeOf(Value buffer) {
  return cast<mlir::MemRefType>(buffer.getType());
}

RowSums::RowSums(const KernelWork &work, const RowGroup &group)
    : work(work), group(group) {
  for (linalg::LinalgOp op : group.ops) {
    if (!group.sumsRows(op))
      continue;
    sums.push_back(op);
    for (linalg::LinalgOp before : group.ops)
      if (isa<linalg::FillOp>(before.getOperation()) &&
          before.getDpsInits()[0] == op.getDpsInits()[0])
        fills[op] = before;
  }
}

bool RowSums::handles(Operation *op) const {
  return llvm::is_contained(sums, op) ||
         llvm::is_contained(llvm::make_second_range(fills), op);
}

void RowSums::allocate(ImplicitLocOpBuilder &b, LocalBuffers &buffers) {
  own.clear();
  for (linalg::LinalgOp sum : sums) {
    Value result = sum.getDpsInits()[0];
    SmallVector<unsigned> axes = group.axesOfRows(*sum.getDpsInitOperand(0));
    bool liesTogether = llvm::equal(axes, llvm::seq<unsigned>(axes.size()));
    if (liesTogether || !fills.contains(sum) ||
        !work.contraction(sum, placeOf(group, sum)))
      continue;
    SmallVector<int64_t> shape(typeOf(result).getShape());
    for (unsigned axis : axes)
      shape[axis] = 1;
    own[sum] = buffers.local[result] = memref::AllocOp::create(
        b, mlir::MemRefType::get(shape, typeOf(result).getElementType()));
  }
}

void RowSums::start(ImplicitLocOpBuilder &b, ArrayRef<Value> at) {
  for (linalg::LinalgOp sum : sums) {
    if (Value buffer = own.lookup(sum)) {
      emitZeros(b, buffer, {}, work.machine.vectorBits);
    } else if (Operation *before = fills.lookup(sum)) {
      auto op = cast<linalg::LinalgOp>(before);
      SmallVector<LoopRange> ranges = wholeRanges(b, op);
      for (auto [axis, i] :
           llvm::zip(group.axesOfRows(*sum.getDpsInitOperand(0)), at))
        ranges[axis].at = i;
      emitLoops(b, op, ranges, LocalBuffers(), work.machine.vectorBits);
    }
  }
}

void RowSums::finish(ImplicitLocOpBuilder &b, ArrayRef<Value> at) {
  for (linalg::LinalgOp sum : sums) {
    Value buffer = own.lookup(sum);
    if (!buffer)
      continue;
    Value result = sum.getDpsInits()[0];
    SmallVector<unsigned> axes = group.axesOfRows(*sum.getDpsInitOperand(0));
    auto everywhere = b.getMultiDimIdentityMap(typeOf(result).getRank());
    SmallVector<mlir::AffineExpr> there(everywhere.getResults());
    for (unsigned axis : axes)
      there[axis] = b.getAffineConstantExpr(0);
    auto from =
        mlir::AffineMap::get(everywhere.getNumDims(), 0, there, b.getContext());
    SmallVector<mlir::utils::IteratorType> loops(
        everywhere.getNumDims(), mlir::utils::IteratorType::parallel);
    auto copy = linalg::GenericOp::create(
        b, buffer, result, ArrayRef{from, everywhere}, loops,
        [](OpBuilder &inner, Location loc, ValueRange elements) {
          linalg::YieldOp::create(inner, loc, elements[0]);
        });
    auto op = cast<linalg::LinalgOp>(copy.getOperation());
    SmallVector<LoopRange> ranges = wholeRanges(b, op);
    for (auto [axis, i] : llvm::zip(axes, at))
      ranges[axis].at = i;
    emitLoops(b, op, ranges, LocalBuffers(), work.machine.vectorBits);
    copy.erase();
  }
}

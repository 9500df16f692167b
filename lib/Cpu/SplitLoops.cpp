//===- SplitLoops.cpp - which loop threads share, and their parts ---------===//

#include "SplitLoops.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include <algorithm>

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
using mlir::OpOperand;

double gradus::workOf(linalg::LinalgOp op) {
  double points = 1, each = 1;
  for (int64_t n : op.getStaticLoopRanges())
    points *= double(n);
  for (Operation &inner : *op.getBlock())
    each += inner.getDialect()->getNamespace() == "math" ? 10 : 1;
  return points * each;
}

OpOperand *gradus::largestInput(linalg::LinalgOp op) {
  OpOperand *largest = nullptr;
  auto bytesOf = [](OpOperand *in) {
    auto type = dyn_cast<mlir::MemRefType>(in->get().getType());
    return type ? lowering::byteCount(type) : 0;
  };
  for (OpOperand *in : op.getDpsInputOperands())
    if (!largest || bytesOf(in) > bytesOf(largest))
      largest = in;
  return largest;
}

void gradus::takeEvener(std::optional<LoopSplit> &best, unsigned loop,
                        const Split &split, int64_t threads) {
  if (split.parts > 1 &&
      (!best || split.balance(threads) > best->second.balance(threads)))
    best = {loop, split};
}

std::optional<LoopSplit> gradus::chooseSplit(linalg::LinalgOp op,
                                             int64_t threads) {
  if (threads < 2 || workOf(op) < 2 * worthAThread)
    return std::nullopt;
  std::optional<LoopSplit> best;
  auto sizes = op.getStaticLoopRanges();
  auto loops = llvm::to_vector(llvm::seq<unsigned>(op.getNumLoops()));
  // Parts that share what is read most would read it all, each for itself.
  if (OpOperand *largest = largestInput(op))
    std::stable_partition(loops.begin(), loops.end(), [&](unsigned d) {
      return op.getMatchingIndexingMap(largest).isFunctionOfDim(d);
    });
  auto kinds = op.getIteratorTypesArray();
  for (unsigned d : loops) {
    if (kinds[d] != mlir::utils::IteratorType::parallel || sizes[d] < threads)
      continue;
    // Threads that write to one cache line wait for each other.
    constexpr int64_t lineElements = 16;
    bool innermost = d + 1 == sizes.size();
    takeEvener(best, d, Split(sizes[d], innermost ? lineElements : 1, threads),
               threads);
  }
  return best;
}

LoopRange gradus::rangeOfPart(ImplicitLocOpBuilder &b, const Split &split,
                              Value part, const RuntimeLength &length) {
  auto index = [&](int64_t n) {
    return arith::ConstantIndexOp::create(b, n).getResult();
  };
  if (length) {
    Value all = length.build(b, b.getLoc());
    Value chunk = arith::CeilDivUIOp::create(b, all, index(split.parts));
    Value start = arith::MulIOp::create(b, part, chunk);
    Value low = arith::MinUIOp::create(b, start, all);
    Value end = arith::AddIOp::create(b, low, chunk);
    return {Value(), low, arith::MinUIOp::create(b, end, all).getResult(),
            Value()};
  }
  Value low = arith::MulIOp::create(b, part, index(split.chunk));
  Value high = arith::AddIOp::create(b, low, index(split.chunk));
  if (split.last() != split.chunk)
    high = arith::MinSIOp::create(b, high, index(split.size));
  return {Value(), low, high, Value()};
}

LoopRange gradus::countedRangeOfPart(ImplicitLocOpBuilder &b,
                                     const Split &split, Value part,
                                     const RuntimeLength &length) {
  LoopRange range = rangeOfPart(b, split, part, length);
  if (length || split.last() != split.chunk)
    return range;
  return {Value(), b.getIndexAttr(0), b.getIndexAttr(split.chunk),
          mlir::getValueOrCreateConstantIndexOp(b, b.getLoc(), range.low)};
}

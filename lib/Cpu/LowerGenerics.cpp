//===- LowerGenerics.cpp - linalg on buffers -> loops ---------------------===//
//
// In: bufferised kernels whose contractions are loops already. Out: no linalg.
// A large op runs in parts: its loop nest stands in a loop over the parts, and
// one of its parallel loops runs over the part's range alone.
//
//===----------------------------------------------------------------------===//

#include "EmitLoops.h"
#include "Split.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace gradus {
#define GEN_PASS_DEF_LOWERGENERICS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;

/// Operations of the whole op, roughly: a function such as exp counts as ten.
static double workOf(linalg::LinalgOp op) {
  double points = 1, each = 1;
  for (int64_t n : op.getStaticLoopRanges())
    points *= double(n);
  for (Operation &inner : *op.getBlock())
    each += inner.getDialect()->getNamespace() == "math" ? 10 : 1;
  return points * each;
}

/// The parallel loop that falls into parts most evenly, the outermost of
/// equals; none if no loop is worth splitting.
static std::optional<std::pair<unsigned, Split>>
chooseSplit(linalg::LinalgOp op, int64_t threads) {
  if (threads < 2 || workOf(op) < 2 * worthAThread)
    return std::nullopt;
  std::optional<std::pair<unsigned, Split>> best;
  auto sizes = op.getStaticLoopRanges();
  for (auto [d, kind] : llvm::enumerate(op.getIteratorTypesArray())) {
    if (kind != mlir::utils::IteratorType::parallel || sizes[d] < threads)
      continue;
    // Threads that write to one cache line wait for each other.
    constexpr int64_t lineElements = 16;
    bool innermost = d + 1 == sizes.size();
    Split split(sizes[d], innermost ? lineElements : 1, threads);
    if (split.parts > 1 &&
        (!best || split.balance(threads) > best->second.balance(threads)))
      best = {d, split};
  }
  return best;
}

namespace {
struct LowerGenerics : impl::LowerGenericsBase<LowerGenerics> {
  using LowerGenericsBase::LowerGenericsBase;

  void runOnOperation() override {
    SmallVector<linalg::LinalgOp> work;
    getOperation().walk([&](linalg::LinalgOp op) { work.push_back(op); });
    for (linalg::LinalgOp op : work) {
      lower(op);
      op->erase();
    }
  }

private:
  void lower(linalg::LinalgOp op) {
    ImplicitLocOpBuilder b(op.getLoc(), op);
    SmallVector<LoopRange> ranges = wholeRanges(op);
    auto split = chooseSplit(op, threads);
    if (!split) {
      emitLoops(b, op, ranges, RowBuffers(), vectorBits);
      return;
    }
    createParts(b, split->second, [&](OpBuilder &nested, Value part) {
      ImplicitLocOpBuilder inner(op.getLoc(), nested);
      ranges[split->first] = rangeOfPart(inner, split->second, part);
      emitLoops(inner, op, ranges, RowBuffers(), vectorBits);
    });
  }

  static LoopRange rangeOfPart(ImplicitLocOpBuilder &b, const Split &split,
                               Value part) {
    auto index = [&](int64_t n) {
      return arith::ConstantIndexOp::create(b, n).getResult();
    };
    Value low = arith::MulIOp::create(b, part, index(split.chunk));
    Value high = arith::AddIOp::create(b, low, index(split.chunk));
    if (split.last() != split.chunk)
      high = arith::MinSIOp::create(b, high, index(split.size));
    return {Value(), low, high};
  }
};
} // namespace

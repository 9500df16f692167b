//===- SplitSums.cpp - long sums to a few numbers, in parts ---------------===//
//
// In: linalg.generic on tensors, elementwise chains fused. Out: a sum, or
// maximum, over very many elements whose results are a few numbers is made in
// parts along its outermost loop, and another op adds the parts' results up.
// Threads have nothing to share otherwise: they split parallel loops alone. How
// many parts there are depends on the sizes and not on the threads, so that
// neither do the results. A GPU has far more threads, and takes sums of more
// results apart: those of a batch norm, one for each channel.
//
//===----------------------------------------------------------------------===//

#include "RowFit.h"
#include "SumParts.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/TypeUtilities.h"

namespace gradus {
#define GEN_PASS_DEF_SPLITSUMS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace linalg = mlir::linalg;
using mlir::OpOperand;

namespace {
struct SplitSums : impl::SplitSumsBase<SplitSums> {
  using SplitSumsBase::SplitSumsBase;

  void runOnOperation() override {
    lengths = LengthAnalysis();
    for (auto op : llvm::make_early_inc_range(
             getOperation().getBody().front().getOps<linalg::GenericOp>()))
      if (auto loop = loopOf(op))
        split(op, *loop, partsOf(op, *loop));
  }

private:
  static int64_t resultsOf(linalg::GenericOp op) {
    int64_t results = 1;
    for (Type type : op.getResultTypes())
      results =
          std::max(results, cast<RankedTensorType>(type).getNumElements());
    return results;
  }
  /// As many as divide the loop, of a few; 1 if none do.
  int64_t partsOf(linalg::GenericOp op, unsigned loop) {
    constexpr int64_t fewest = 4;
    int64_t size = op.getStaticLoopRanges()[loop];
    for (int64_t n = std::min<int64_t>(mostParts, mostSums / resultsOf(op));
         n >= fewest; --n)
      if (size % n == 0)
        return n;
    return 1;
  }
  /// The loop whose parts are to be summed by themselves.
  std::optional<unsigned> loopOf(linalg::GenericOp op) {
    int64_t points = 1;
    std::optional<unsigned> outermost;
    auto kinds = op.getIteratorTypesArray();
    for (auto [d, size] : llvm::enumerate(op.getStaticLoopRanges())) {
      points *= size;
      if (kinds[d] == Iterator::reduction && !outermost)
        outermost = d;
    }
    auto isKnown = [](const RuntimeLength &length) { return !length; };
    // A product of matrices to so few numbers is a sum like any other.
    constexpr int64_t few = 16;
    bool isSum = outermost && points >= leastPoints &&
                 resultsOf(op) <= mostResults &&
                 (resultsOf(op) <= few || !isProductOfMatrices(op));
    if (!isSum || !llvm::all_of(lengths.ofLoops(op), isKnown) ||
        !op.getBody()->getOps<linalg::IndexOp>().empty() ||
        partsOf(op, *outermost) == 1)
      return std::nullopt;
    for (unsigned i = 0; i < op->getNumResults(); ++i)
      if (!combinerOf(op, i))
        return std::nullopt;
    // Its axes are cut in two.
    for (OpOperand *in : op.getDpsInputOperands())
      for (AffineExpr e : op.getMatchingIndexingMap(in).getResults())
        if (e.isFunctionOfDim(*outermost) && !isa<mlir::AffineDimExpr>(e))
          return std::nullopt;
    return outermost;
  }

  void split(linalg::GenericOp op, unsigned loop, int64_t parts) {
    ImplicitLocOpBuilder b(op.getLoc(), op);
    LinalgBuilder linalg(b);
    unsigned loops = op.getNumLoops();
    int64_t length = op.getStaticLoopRanges()[loop] / parts;
    // The part is the first loop.
    SmallVector<AffineExpr> moved;
    for (unsigned d = 0; d < loops; ++d)
      moved.push_back(linalg.dim(d + 1));
    SmallVector<Value> inputs;
    SmallVector<AffineMap> maps;
    for (OpOperand *in : op.getDpsInputOperands()) {
      SmallVector<AffineExpr> places;
      SmallVector<int64_t> shape;
      for (auto [axis, e] :
           llvm::enumerate(op.getMatchingIndexingMap(in).getResults())) {
        bool isCut = e == linalg.dim(loop);
        int64_t size =
            cast<RankedTensorType>(in->get().getType()).getDimSize(axis);
        if (isCut) {
          places.push_back(linalg.dim(0));
          shape.push_back(parts);
        }
        places.push_back(e.replaceDims(moved));
        shape.push_back(isCut ? length : size);
      }
      inputs.push_back(in->get());
      if (shape.size() != op.getMatchingIndexingMap(in).getNumResults())
        inputs.back() = linalg.reshape(
            in->get(), RankedTensorType::get(
                           shape, mlir::getElementTypeOrSelf(in->get())));
      maps.push_back(linalg.map(loops + 1, places));
    }
    SmallVector<Value> starts;
    SmallVector<Type> types;
    for (auto [i, result] : llvm::enumerate(op->getResults())) {
      auto type = cast<RankedTensorType>(result.getType());
      SmallVector<int64_t> shape(type.getShape());
      shape.insert(shape.begin(), parts);
      auto all = RankedTensorType::get(shape, type.getElementType());
      starts.push_back(linalg.filled(neutralFor(b, combinerOf(op, i)), all));
      types.push_back(all);
      SmallVector<AffineExpr> places{linalg.dim(0)};
      for (AffineExpr e : op.getIndexingMapMatchingResult(result).getResults())
        places.push_back(e.replaceDims(moved));
      maps.push_back(linalg.map(loops + 1, places));
    }
    SmallVector<Iterator> kinds = op.getIteratorTypesArray();
    kinds.insert(kinds.begin(), Iterator::parallel);
    auto inParts = linalg::GenericOp::create(
        b, types, inputs, starts, maps, kinds,
        [&](OpBuilder &inner, Location, ValueRange args) {
          repeatBody(op, inner, args);
        });
    for (auto [i, result] : llvm::enumerate(op->getResults()))
      result.replaceAllUsesWith(
          combineParts(linalg, op, i, inParts.getResult(i), /*axes=*/1));
    op.erase();
  }
  LengthAnalysis lengths;
};
} // namespace

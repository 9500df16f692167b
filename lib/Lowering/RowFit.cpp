//===- RowFit.cpp - whether ops may be computed row by row ----------------===//

#include "RowFit.h"

using namespace gradus;
namespace linalg = mlir::linalg;
using mlir::AffineMap;
using mlir::OpOperand;

/// Bytes of an operand that each row of a product reads anew.
static constexpr int64_t mostSharedBytes = 160 * 1024;
/// Results of a product a row, and uses of each element of what it reads, so
/// that its tiles stay large.
static constexpr int64_t leastResults = 1024, leastUses = 8;
/// Rows in a block: with so many, reading an operand anew for each block costs
/// little beside multiplying with it.
static constexpr int64_t leastBlock = 32, mostBlock = 256;

bool RowCandidates::handsOn(Value v) const {
  return llvm::any_of(v.getUsers(),
                      [&](Operation *user) { return members.contains(user); });
}
bool RowCandidates::keeps(Value v) const {
  return !v.use_empty() && llvm::all_of(v.getUsers(), [&](Operation *user) {
    return members.contains(user) || sums.contains(user);
  });
}

bool gradus::isProductOfTiles(Operation *op) {
  auto generic = cast<linalg::GenericOp>(op);
  if (!lowering::addsProducts(generic))
    return false;
  return llvm::any_of(generic.getDpsInputOperands(), [&](OpOperand *in) {
    return generic.getMatchingIndexingMap(in).getNumResults() <
           generic.getNumLoops();
  });
}

bool gradus::isProductOfMatrices(Operation *op) {
  auto generic = cast<linalg::GenericOp>(op);
  if (!lowering::addsProducts(generic))
    return false;
  AffineMap out = generic.getIndexingMapsArray().back();
  return llvm::all_of(generic.getDpsInputOperands(), [&](OpOperand *in) {
    AffineMap map = generic.getMatchingIndexingMap(in);
    return llvm::any_of(llvm::seq(out.getNumDims()), [&](unsigned d) {
      return out.isFunctionOfDim(d) && !map.isFunctionOfDim(d);
    });
  });
}

/// Is each row loop by itself an axis of every result?
static bool writesOwnRow(linalg::GenericOp op, ArrayRef<unsigned> rowLoops) {
  return llvm::all_of(op.getDpsInitsMutable(), [&](OpOperand &out) {
    AffineMap map = op.getMatchingIndexingMap(&out);
    return llvm::all_of(rowLoops, [&](unsigned d) {
      return map.getResultPosition(mlir::getAffineDimExpr(d, map.getContext()))
          .has_value();
    });
  });
}
/// Do rows take the axis along which the op's largest operands are
/// contiguous?
static bool takesVectors(linalg::GenericOp op, ArrayRef<unsigned> rowLoops) {
  auto maps = op.getIndexingMapsArray();
  unsigned rank = 0;
  for (AffineMap map : maps)
    rank = std::max(rank, map.getNumResults());
  return llvm::any_of(maps, [&](AffineMap map) {
    return map.getNumResults() == rank && rank > 0 &&
           llvm::any_of(rowLoops, [&](unsigned d) {
             return map.getResults().back().isFunctionOfDim(d);
           });
  });
}
/// Are a row's tiles large, and is what each row reads anew small or used
/// often? `rows`: of the whole op.
static bool keepsWork(linalg::GenericOp op, ArrayRef<unsigned> rowLoops,
                      int64_t rows, int64_t block) {
  auto out = cast<RankedTensorType>(op.getResult(0).getType());
  if (out.getNumElements() / rows * block < leastResults)
    return false;
  auto ranges = op.getStaticLoopRanges();
  return llvm::all_of(op.getDpsInputOperands(), [&](OpOperand *in) {
    AffineMap map = op.getMatchingIndexingMap(in);
    bool isAnew = !map.isFunctionOfDim(rowLoops.back());
    int64_t bytes = lowering::byteCount(in->get()), uses = isAnew ? block : 1,
            all = 1;
    for (auto [d, size] : llvm::enumerate(ranges)) {
      bool isRow = llvm::is_contained(rowLoops, d);
      if (map.isFunctionOfDim(d)) {
        bytes /= isRow ? size : 1;
      } else {
        uses *= isRow ? 1 : size;
        all *= size;
      }
    }
    return uses >= std::min(leastUses, all) &&
           (!isAnew || block > 1 || bytes <= mostSharedBytes);
  });
}

/// Does each call have rows of the same length?
bool RowFit::knowsRow(linalg::GenericOp op, ArrayRef<unsigned> rowLoops,
                      int64_t block) {
  ArrayRef<unsigned> single = block > 1 ? rowLoops.drop_back() : rowLoops;
  for (auto [d, length] : llvm::enumerate(lengths.ofLoops(op)))
    if (length && !llvm::is_contained(single, d))
      return false;
  return true;
}
/// Are there so many rows that each can be the work of one block of threads, or
/// are they short? Sums and what surrounds them can do without a row, if all of
/// it is a few steps of one block.
bool RowFit::areMany(const RowCandidates &group, unsigned axes) {
  constexpr int64_t leastRows = 128, mostPoints = 1 << 16, fewPoints = 1 << 12;
  int64_t points = 0;
  unsigned sums = 0;
  for (Operation *op : group.members) {
    int64_t all = 1;
    for (int64_t size : cast<linalg::GenericOp>(op).getStaticLoopRanges())
      all *= size;
    points = std::max(points, all);
    sums += cast<linalg::GenericOp>(op).getNumReductionLoops() > 0;
  }
  if (axes == 0)
    return sums > 0 && points <= fewPoints;
  return group.rows(axes) >= leastRows ||
         points / group.rows(axes) <= mostPoints;
}
std::optional<Rows> RowFit::of(const RowCandidates &group) {
  if (manyRows) {
    for (unsigned axes = group.sizes.size(); axes > 0; --axes)
      if (areMany(group, axes) && worksWith(group, axes))
        return Rows{axes};
    if (areMany(group, 0) && fits(group, {0}))
      return Rows{0};
    return std::nullopt;
  }
  for (unsigned axes = 1; axes <= group.sizes.size(); ++axes) {
    if (worksWith(group, axes))
      return Rows{axes};
    if (!gainsFromBlocks(group, axes, /*isComplete=*/false))
      continue;
    for (int64_t block = mostBlock; block >= leastBlock; block /= 2)
      if (2 * block <= group.sizes[axes - 1] && fits(group, {axes, block}))
        return Rows{axes, block};
  }
  return std::nullopt;
}
/// Are there products and more than an epilogue, and is what would never be
/// written to memory more than the cache holds and than what each block would
/// read anew?
bool RowFit::gainsFromBlocks(const RowCandidates &group, unsigned axes,
                             bool isComplete) {
  int64_t kept = 0, readAnew = 0;
  unsigned products = 0, sums = 0;
  for (Operation *op : group.members) {
    auto generic = cast<linalg::GenericOp>(op);
    sums += generic.getNumReductionLoops() > 0;
    for (Value v : op->getResults())
      if (isComplete ? group.keeps(v) : group.handsOn(v))
        kept += lowering::byteCount(v);
    if (!isProductOfTiles(op))
      continue;
    if (notInBlocks.contains(op))
      return false;
    ++products;
    for (OpOperand *in : generic.getDpsInputOperands())
      if (!generic.getMatchingIndexingMap(in).isFunctionOfDim(
              group.loops.find(op)->second[axes - 1]))
        readAnew += lowering::byteCount(in->get());
  }
  return products > 0 && sums > 1 && kept > readAnew &&
         kept / group.rows(axes - 1) > rowBytes;
}
/// Is the result made elementwise of another that nothing reads from then on?
static bool takesPlace(const RowCandidates &group, mlir::OpResult result) {
  auto op = cast<linalg::GenericOp>(result.getOwner());
  AffineMap out = op.getIndexingMapMatchingResult(result);
  return out.isPermutation() &&
         llvm::any_of(op.getDpsInputOperands(), [&](OpOperand *in) {
           Value v = in->get();
           return op.getMatchingIndexingMap(in) == out &&
                  v.getType() == result.getType() && v.getDefiningOp() &&
                  group.members.contains(v.getDefiningOp()) && group.keeps(v) &&
                  llvm::all_of(v.getUsers(), [&](Operation *user) {
                    return user == op || (group.members.contains(user) &&
                                          user->isBeforeInBlock(op));
                  });
         });
}
bool RowFit::fits(const RowCandidates &group, Rows rows) {
  int64_t handedOn = 0, count = group.rows(rows.axes);
  bool isLeast = rows.block == leastBlock;
  for (Operation *op : group.members) {
    auto generic = cast<linalg::GenericOp>(op);
    for (mlir::OpResult v : op->getResults())
      if (group.handsOn(v) && !(isLeast && takesPlace(group, v)))
        handedOn += lowering::byteCount(v) / count * rows.block;
    auto loops = ArrayRef(group.loops.find(op)->second).take_front(rows.axes);
    if (!knowsRow(generic, loops, rows.block) ||
        !writesOwnRow(generic, loops) || takesVectors(generic, loops) ||
        (isProductOfTiles(generic) &&
         (!products || !keepsWork(generic, loops, count, rows.block))))
      return false;
  }
  // A block of the fewest rows may leave the second cache for the third.
  return handedOn <= (isLeast ? 4 * rowBytes : rowBytes);
}

bool RowFit::canSum(const RowCandidates &group, linalg::GenericOp sum,
                    ArrayRef<unsigned> rowLoops) {
  // Threads share the other axes alone, and each index of them has sums of its
  // own, which all blocks read and write.
  constexpr int64_t leastSums = 4;
  int64_t others = group.rows(rowLoops.size() - 1);
  auto bytes = [&](Operation *op) {
    return lowering::byteCount(op->getResult(0)) / others;
  };
  int64_t all = bytes(sum);
  for (Operation *other : group.sums)
    all += bytes(other);
  auto kinds = sum.getIteratorTypesArray();
  auto isSummed = [&](unsigned d) {
    return kinds[d] == mlir::utils::IteratorType::reduction;
  };
  return isProductOfTiles(sum) && others >= leastSums && all <= 4 * rowBytes &&
         isSummed(rowLoops.back()) &&
         llvm::none_of(rowLoops.drop_back(), isSummed) &&
         writesOwnRow(sum, rowLoops.drop_back()) &&
         llvm::none_of(lengths.ofLoops(sum),
                       [](auto &length) { return bool(length); });
}

bool RowFit::reject(const RowCandidates &group) {
  auto rows = of(group);
  if (!rows || rows->block == 1 ||
      gainsFromBlocks(group, rows->axes, /*isComplete=*/true))
    return false;
  for (Operation *op : group.members)
    if (isProductOfTiles(op))
      notInBlocks.insert(op);
  return true;
}

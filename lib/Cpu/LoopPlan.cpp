//===- LoopPlan.cpp - how the loops of one op are to run ------------------===//

#include "LoopPlan.h"
#include "LinearForm.h"
#include "gradus/Lowering.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace vector = mlir::vector;
using mlir::AffineMap;
using mlir::OpOperand;

SmallVector<LoopRange> gradus::wholeRanges(OpBuilder &b, linalg::LinalgOp op) {
  SmallVector<LoopRange> ranges;
  for (int64_t n : op.getStaticLoopRanges())
    ranges.push_back({Value(), b.getIndexAttr(0), b.getIndexAttr(n), Value()});
  for (auto [range, length] : llvm::zip(ranges, loopLengths(op)))
    if (length)
      range.high = length.build(b, op.getLoc());
  return ranges;
}

/// How the operation that adds to a sum combines, if the sum is used by it
/// alone.
static std::optional<vector::CombiningKind> combinerOf(BlockArgument sum,
                                                       Value yielded) {
  using Kind = vector::CombiningKind;
  Operation *op = yielded.getDefiningOp();
  if (!op || !sum.hasOneUse() || *sum.user_begin() != op)
    return std::nullopt;
  return llvm::TypeSwitch<Operation *, std::optional<Kind>>(op)
      .Case<arith::AddFOp, arith::AddIOp>([](auto) { return Kind::ADD; })
      .Case<arith::MulFOp, arith::MulIOp>([](auto) { return Kind::MUL; })
      .Case([](arith::MaximumFOp) { return Kind::MAXIMUMF; })
      .Case([](arith::MinimumFOp) { return Kind::MINIMUMF; })
      .Case([](arith::MaxSIOp) { return Kind::MAXSI; })
      .Case([](arith::MinSIOp) { return Kind::MINSI; })
      .Default(std::nullopt);
}

LoopPlan::LoopPlan(linalg::LinalgOp op, ArrayRef<LoopRange> ranges,
                   unsigned vectorBits)
    : op(op), ranges(ranges), kinds(op.getIteratorTypesArray()) {
  for (auto [d, r] : llvm::enumerate(ranges))
    if (!r.at)
      (isParallel(d) ? parallel : reductions).push_back(d);
  lanes = vectorBits / widestElement();
  auto sizes = op.getStaticLoopRanges();
  if (!bodyVectorizes())
    return;
  // The longest; at least half a vector, or masks cost more than they gain.
  int64_t best = lanes / 2 - 1;
  for (unsigned d = 0; d < sizes.size(); ++d)
    if (!ranges[d].at && lengthOf(d).value_or(sizes[d]) > best &&
        canRunAlong(d)) {
      best = lengthOf(d).value_or(sizes[d]);
      along = d;
      unroll = std::clamp<int64_t>(best / lanes, 1, 4);
    }
  chooseRows(vectorBits);
  chooseSquare(vectorBits);
  chooseOutermost();
}

void LoopPlan::chooseOutermost() {
  constexpr int64_t largeBytes = 512 * 1024, smallBytes = 64 * 1024;
  auto bytesOf = [](OpOperand &o) {
    return lowering::byteCount(cast<ShapedType>(o.get().getType()));
  };
  if (!along || !isParallel(*along) ||
      llvm::any_of(op.getDpsInitsMutable(), [&](OpOperand &init) {
        return !carried(init) || bytesOf(init) > smallBytes;
      }))
    return;
  // What a step of those that are outermost already reads of an operand.
  auto bytesInside = [&](OpOperand &in) {
    int64_t bytes = bytesOf(in);
    for (unsigned d : outermost)
      if (moves(in, d))
        bytes /= *lengthOf(d);
    return bytes;
  };
  auto readsAgain = [&](unsigned first) {
    return llvm::any_of(parallel, [&](unsigned d) {
      return d != *along && !isBeside(d) && lengthOf(d).value_or(1) > 1 &&
             llvm::any_of(op.getDpsInputOperands(), [&](OpOperand *in) {
               return !isScalar(*in) && moves(*in, first) && !moves(*in, d) &&
                      bytesInside(*in) > largeBytes;
             });
    });
  };
  while (reductions.size() > 1 && lengthOf(reductions[0]).value_or(0) > 0 &&
         readsAgain(reductions[0])) {
    outermost.push_back(reductions[0]);
    reductions.erase(reductions.begin());
  }
}

void LoopPlan::chooseRows(unsigned vectorBits) {
  if (!along || !isParallel(*along) || reductions.empty() ||
      llvm::any_of(op.getDpsInitsMutable(),
                   [&](OpOperand &init) { return !carried(init); }))
    return;
  auto isRead = [&](OpOperand *in) {
    return !isScalar(*in) && !op.getMatchingBlockArgument(in).use_empty();
  };
  auto movesInSum = [&](OpOperand *in) {
    return llvm::any_of(reductions, [&](unsigned d) { return moves(*in, d); });
  };
  // Sums, and a register or two for what is multiplied.
  int64_t registers = vectorBits == 512 ? 12 : 8;
  for (unsigned d : llvm::reverse(parallel)) {
    auto n = lengthOf(d);
    if (d == *along || !n || *n < 2 ||
        llvm::none_of(
            op.getDpsInputOperands(),
            [&](OpOperand *in) {
              return isRead(in) && movesInSum(in) && !moves(*in, d);
            }))
      continue;
    int64_t most = std::min(registers / unroll, *n);
    if (most < 2)
      return;
    // No rest, if that leaves half as many.
    int64_t count = most;
    for (int64_t part = most; part > most / 2; --part)
      if (*n % part == 0) {
        count = part;
        break;
      }
    beside = {{d, count}};
    if (count == *n && vectorBits == 512)
      takeOuterTaps(d);
    return;
  }
}

/// All iterations of another short loop that moves the same operand too, if
/// registers hold the sums of a few vectors: what both leave where it is is
/// read once. That takes a narrow stretch of each pixel at a time, which is
/// slow from memory.
void LoopPlan::takeOuterTaps(unsigned inner) {
  constexpr int64_t fewVectors = 2, mostSums = 20, mostBytes = 8 << 20;
  if (llvm::any_of(op.getDpsInputOperands(), [](OpOperand *in) {
        return !isScalar(*in) &&
               lowering::byteCount(cast<ShapedType>(in->get().getType())) >
                   mostBytes;
      }))
    return;
  for (unsigned d : llvm::reverse(parallel)) {
    auto n = lengthOf(d);
    if (d == inner || d == *along || !n || *n < 2)
      continue;
    bool isAlike = llvm::all_of(op.getDpsInputOperands(), [&](OpOperand *in) {
      return moves(*in, d) == moves(*in, inner);
    });
    if (isAlike && unroll >= fewVectors &&
        *n * beside[0].count * fewVectors <= mostSums) {
      unroll = fewVectors;
      beside.insert(beside.begin(), {d, *n});
    }
    return;
  }
}

/// Sums of products along rows of both operands: several of one times several
/// of the other, so that a vector that is read takes part in several products.
void LoopPlan::chooseSquare(unsigned vectorBits) {
  auto generic = dyn_cast<linalg::GenericOp>(op.getOperation());
  if (!along || isParallel(*along) || !generic ||
      !lowering::addsProducts(generic))
    return;
  OpOperand &a = *op.getDpsInputOperand(0), &b = *op.getDpsInputOperand(1);
  if (!moves(a, *along) || !moves(b, *along))
    return;
  auto sizes = op.getStaticLoopRanges();
  auto sizeOf = [&](unsigned d) { return lengthOf(d).value_or(sizes[d]); };
  // The longest loop that moves one operand and not the other.
  auto longest = [&](OpOperand &moved, OpOperand &still) {
    std::optional<unsigned> best;
    for (unsigned d : parallel)
      if (moves(moved, d) && !moves(still, d) && sizeOf(d) > 1 &&
          (!best || sizeOf(d) > sizeOf(*best)))
        best = d;
    return best;
  };
  auto rows = longest(a, b), columns = longest(b, a);
  if (!rows || !columns)
    return;
  // A tile takes as long as its products, two at a time; few wait for each
  // other, and what is read is in the way of what is read ahead.
  auto tileCost = [](int64_t r, int64_t c) {
    constexpr int64_t latency = 8;
    return 4 * std::max(r * c, latency) + r + c;
  };
  auto cost = [&](int64_t r, int64_t c) {
    int64_t m = sizeOf(*rows), n = sizeOf(*columns);
    return (m / r) * ((n / c) * tileCost(r, c) + (n % c) * tileCost(r, 1)) +
           (m % r) * ((n / c) * tileCost(1, c) + (n % c) * tileCost(1, 1));
  };
  int64_t mostSums = vectorBits == 512 ? 20 : 10, r = 1, c = 1;
  for (int64_t i = 1; i <= std::min(mostSums, sizeOf(*rows)); ++i)
    for (int64_t j = 1; i * j <= mostSums && j <= sizeOf(*columns); ++j)
      if (cost(i, j) < cost(r, c))
        std::tie(r, c) = std::pair(i, j);
  // Rows of the larger operand are read once, the other's again for each tile.
  beside = {{*rows, r}, {*columns, c}};
  if (sizeOf(*rows) < sizeOf(*columns))
    std::swap(beside[0], beside[1]);
  unroll = 1;
}

std::optional<int64_t> LoopPlan::lengthOf(unsigned d) const {
  auto first = mlir::getConstantIntValue(ranges[d].low),
       last = mlir::getConstantIntValue(ranges[d].high);
  return first && last ? std::optional(*last - *first) : std::nullopt;
}

/// Does the index grow, if at all, with each loop?
static bool grows(mlir::AffineExpr e) {
  auto binary = dyn_cast<mlir::AffineBinaryOpExpr>(e);
  if (!binary)
    return true;
  auto factor = dyn_cast<mlir::AffineConstantExpr>(binary.getRHS());
  return e.getKind() == mlir::AffineExprKind::Add
             ? grows(binary.getLHS()) && grows(binary.getRHS())
             : e.getKind() == mlir::AffineExprKind::Mul && factor &&
                   factor.getValue() > 0 && grows(binary.getLHS());
}

bool LoopPlan::readsWindows(OpOperand &o, const Window &window) {
  if (!along || !isParallel(*along) || !moves(o, *along))
    return false;
  for (auto [e, isCut] : llvm::zip(mapOf(o).getResults(), window.isCut))
    if (isCut && (e.isFunctionOfDim(*along) || !grows(e)))
      return false;
  return true;
}

SmallVector<LoopPlan::WindowAxis> LoopPlan::windowAxes(OpOperand &o) {
  SmallVector<WindowAxis> axes;
  for (auto [axis, e] : llvm::enumerate(mapOf(o).getResults())) {
    auto form = LinearForm::of(e, kinds.size());
    std::optional<unsigned> slides, taps;
    for (unsigned d = 0; form && d < kinds.size(); ++d)
      if (form->step[d] != 0)
        (isParallel(d) ? slides : taps) = d;
    if (slides && taps)
      axes.push_back({unsigned(axis), *slides, *taps, form->step[*slides]});
  }
  return axes;
}

/// Of what the op computes, compares and writes: a vector has as many lanes as
/// registers hold of the widest.
unsigned LoopPlan::widestElement() {
  unsigned widest = 8;
  auto consider = [&](Type type) {
    if (type.isIntOrFloat())
      widest = std::max(widest, type.getIntOrFloatBitWidth());
  };
  for (OpOperand &o : op.getDpsInitsMutable())
    consider(mlir::getElementTypeOrSelf(o.get().getType()));
  for (Operation &inner : op.getBlock()->without_terminator()) {
    for (Type type : inner.getResultTypes())
      if (isa<FloatType>(type))
        consider(type);
    if (isa<arith::CmpFOp, arith::CmpIOp>(inner))
      consider(inner.getOperand(0).getType());
  }
  return widest;
}

bool LoopPlan::carried(OpOperand &init) {
  return llvm::none_of(reductions, [&](unsigned d) { return moves(init, d); });
}
std::optional<vector::CombiningKind> LoopPlan::combiner(OpOperand &init) {
  unsigned r = init.getOperandNumber() - op.getNumDpsInputs();
  return combinerOf(op.getMatchingBlockArgument(&init),
                    op.getBlock()->getTerminator()->getOperand(r));
}

arith::AtomicRMWKind LoopPlan::combination(OpOperand &init) {
  using Kind = vector::CombiningKind;
  bool isFloat =
      isa<FloatType>(mlir::getElementTypeOrSelf(init.get().getType()));
  switch (*combiner(init)) {
  case Kind::ADD:
    return isFloat ? arith::AtomicRMWKind::addf : arith::AtomicRMWKind::addi;
  case Kind::MUL:
    return isFloat ? arith::AtomicRMWKind::mulf : arith::AtomicRMWKind::muli;
  case Kind::MAXIMUMF:
    return arith::AtomicRMWKind::maximumf;
  case Kind::MINIMUMF:
    return arith::AtomicRMWKind::minimumf;
  case Kind::MAXSI:
    return arith::AtomicRMWKind::maxs;
  default:
    return arith::AtomicRMWKind::mins;
  }
}

bool LoopPlan::contiguous(OpOperand &o, unsigned d) {
  auto type = cast<mlir::MemRefType>(o.get().getType());
  AffineMap map = mapOf(o);
  SmallVector<int64_t> strides;
  int64_t offset;
  if (failed(type.getStridesAndOffset(strides, offset)) || strides.empty() ||
      strides.back() != 1)
    return false;
  // The innermost axis; those of size 1 after it do not count.
  unsigned inner = type.getRank() - 1;
  while (inner > 0 && type.getDimSize(inner) == 1)
    --inner;
  for (auto [i, e] : llvm::enumerate(map.getResults()))
    if (i != inner && e.isFunctionOfDim(d))
      return false;
  // Its index is d, plus what does not depend on it.
  mlir::AffineExpr dim = mlir::getAffineDimExpr(d, op.getContext());
  auto rest =
      mlir::simplifyAffineExpr(map.getResult(inner) - dim, map.getNumDims(), 0);
  return strides[inner] == 1 && !rest.isFunctionOfDim(d);
}
bool LoopPlan::bodyVectorizes() {
  for (Operation &inner : op.getBlock()->without_terminator())
    if (!isa<linalg::IndexOp>(inner) &&
        !inner.hasTrait<mlir::OpTrait::ConstantLike>() &&
        !mlir::OpTrait::hasElementwiseMappableTraits(&inner))
      return false;
  return true;
}

bool LoopPlan::canRunAlong(unsigned d) {
  for (OpOperand &o : op->getOpOperands())
    if (moves(o, d) && !contiguous(o, d))
      return false;
  for (OpOperand &o : op.getDpsInitsMutable()) {
    if (isParallel(d) && !moves(o, d))
      return false;
    if (!isParallel(d) && !moves(o, d) && (!carried(o) || !combiner(o)))
      return false;
  }
  return true;
}

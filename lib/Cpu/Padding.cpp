//===- Padding.cpp - elements that are written between zeros --------------===//

#include "Padding.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;

/// What is added in place of `v`: numbers of 16 bits in f32.
static Value widenedUse(Value v) {
  auto wide = v.hasOneUse() ? dyn_cast<arith::ExtFOp>(*v.user_begin())
                            : arith::ExtFOp();
  return wide ? wide.getOut() : v;
}
/// What the op yields but for the result's old element, if it yields their sum,
/// and uses that for nothing else.
static Value addedToOld(linalg::GenericOp op) {
  Value sum = op.getBody()->getTerminator()->getOperand(0);
  auto rounded = sum.getDefiningOp<arith::TruncFOp>();
  if (rounded)
    sum = rounded.getIn();
  Value old = widenedUse(op.getMatchingBlockArgument(op.getDpsInitOperand(0)));
  auto add = sum.getDefiningOp<arith::AddFOp>();
  if (!add || !old.hasOneUse() || *old.user_begin() != add)
    return {};
  Value other = add.getLhs() == old ? add.getRhs() : add.getLhs();
  if (!rounded)
    return other;
  auto wide = other.getDefiningOp<arith::ExtFOp>();
  return wide ? wide.getIn() : Value();
}

std::optional<Padding> Padding::match(linalg::FillOp fill,
                                      linalg::GenericOp op) {
  if (!lowering::isZero(fill.getInputs()[0]) || op.getNumDpsInits() != 1 ||
      op.getNumParallelLoops() != op.getNumLoops() || !addedToOld(op))
    return std::nullopt;
  Padding found;
  found.op = op;
  SmallVector<int64_t> loops = op.getStaticLoopRanges();
  auto places = op.getIndexingMapsArray().back().getResults();
  auto type = cast<ShapedType>(fill.getOutputs()[0].getType());
  if (type.getRank() == 0)
    return std::nullopt;
  for (auto [place, size] : llvm::zip(places, type.getShape())) {
    auto axis = axisOf(place, loops, size);
    if (!axis)
      return std::nullopt;
    found.axes.push_back(*axis);
  }
  // No two of the op's elements have one place.
  for (unsigned d = 0; d < loops.size(); ++d)
    if (loops[d] > 1 && llvm::count_if(places, [&](mlir::AffineExpr e) {
                          return e.isFunctionOfDim(d);
                        }) != 1)
      return std::nullopt;
  return found;
}

/// d, d + low, d * step, d * step + low, or low.
std::optional<Padding::Axis>
Padding::axisOf(mlir::AffineExpr place, ArrayRef<int64_t> loops, int64_t size) {
  Axis axis{{/*low=*/0, /*count=*/1, size}};
  auto takeConstant = [&](mlir::AffineExprKind kind, int64_t &to) {
    auto binary = dyn_cast<mlir::AffineBinaryOpExpr>(place);
    auto constant = binary && binary.getKind() == kind
                        ? dyn_cast<mlir::AffineConstantExpr>(binary.getRHS())
                        : mlir::AffineConstantExpr();
    if (!constant)
      return;
    to = constant.getValue();
    place = binary.getLHS();
  };
  if (auto constant = dyn_cast<mlir::AffineConstantExpr>(place)) {
    axis.low = constant.getValue();
    return axis;
  }
  takeConstant(mlir::AffineExprKind::Add, axis.low);
  takeConstant(mlir::AffineExprKind::Mul, axis.step);
  auto loop = dyn_cast<mlir::AffineDimExpr>(place);
  if (!loop || axis.step < 1 || axis.low < 0)
    return std::nullopt;
  axis.count = loops[loop.getPosition()];
  return axis;
}

std::optional<int64_t> Padding::rows() const {
  linalg::GenericOp writer = op; // its accessors are not const
  auto first = writer.getIndexingMapsArray().back().getResults().front();
  auto loop = dyn_cast<mlir::AffineDimExpr>(first);
  return loop && axes.front().isWhole() && axes.front().size > 1
             ? std::optional<int64_t>(loop.getPosition())
             : std::nullopt;
}

void Padding::writeOnly() {
  op.getBody()->getTerminator()->setOperand(0, addedToOld(op));
}

std::optional<SmallVector<AxisRange>> Padding::box() const {
  if (llvm::any_of(axes, [](const Axis &axis) { return axis.step != 1; }) ||
      llvm::all_of(axes, [](const Axis &axis) { return axis.isWhole(); }))
    return std::nullopt;
  return SmallVector<AxisRange>(axes.begin(), axes.end());
}

std::optional<Window> Padding::window() const {
  linalg::GenericOp writer = op; // its accessors are not const
  Value yielded = writer.getBody()->getTerminator()->getOperand(0);
  if (writer.getNumDpsInputs() != 1 ||
      yielded != writer.getBody()->getArgument(0) ||
      !writer.getIndexingMapsArray().front().isIdentity() ||
      axes.size() != writer.getNumLoops())
    return std::nullopt;
  Window window{writer.getDpsInputs()[0], {}, {}};
  auto places = writer.getIndexingMapsArray().back().getResults();
  for (auto [d, axis] : llvm::enumerate(axes)) {
    // Axes of size 1 may have no loop.
    if (axis.step != 1 || axis.count != writer.getStaticLoopRanges()[d] ||
        (axis.size > 1 && !places[d].isFunctionOfDim(d)))
      return std::nullopt;
    window.low.push_back(axis.low);
    window.isCut.push_back(!axis.isWhole());
  }
  return window;
}

SmallVector<SmallVector<LoopRange>>
Padding::around(OpBuilder &b, ArrayRef<LoopRange> ranges) const {
  SmallVector<LoopRange> inside(ranges);
  SmallVector<SmallVector<LoopRange>> pieces;
  int64_t written = 1, all = 1;
  for (const Axis &a : axes) {
    written *= a.count;
    all *= a.size;
  }
  bool isBox = llvm::all_of(
      axes, [](const Axis &a) { return a.step == 1 || a.count == 1; });
  if (!isBox || 2 * written < all)
    return {inside};
  for (auto [range, a] : llvm::zip(inside, axes)) {
    if (a.isWhole())
      continue;
    assert(!range.at && "rows are whole");
    auto add = [&](int64_t low, int64_t high) {
      if (low == high)
        return;
      range.low = b.getIndexAttr(low);
      range.high = b.getIndexAttr(high);
      pieces.push_back(inside);
    };
    add(0, a.low);
    add(a.low + a.count, a.size);
    range.low = b.getIndexAttr(a.low);
    range.high = b.getIndexAttr(a.low + a.count);
  }
  return pieces;
}

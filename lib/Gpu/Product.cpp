//===- Product.cpp - what is a product to the GPU -------------------------===//

#include "Product.h"
#include "Linear.h"
#include "gradus/Lowering.h"

using namespace gradus;
using namespace gradus::gpu;
namespace linalg = mlir::linalg;

/// Below this, most of a tile would be empty; threads that share one sum do
/// better.
static constexpr int64_t leastSide = 16;

int64_t Product::sizeOf(ArrayRef<Axis> axes) {
  int64_t n = 1;
  for (const Axis &a : axes)
    n *= a.size;
  return n;
}
bool Product::isF32() const {
  return lhs.element.isF32() && rhs.element.isF32() && out.element.isF32();
}

/// The steps of an operand's place along each loop; its offset takes up the
/// constant. None if the place is not linear in the loops.
static std::optional<SmallVector<int64_t>>
loopSteps(linalg::LinalgOp op, mlir::OpOperand &operand, Access &access) {
  SmallVector<int64_t> steps(op.getNumLoops(), 0);
  auto map = op.getMatchingIndexingMap(&operand);
  for (auto [e, step] : llvm::zip(map.getResults(), access.steps))
    if (!addCoefficients(e, step, steps, access.offset))
      return std::nullopt;
  return steps;
}

/// Adds a loop, inside those that are there.
static void addLoop(SmallVectorImpl<Axis> &axes, const Axis &inner) {
  if (inner.size == 1)
    return;
  if (!axes.empty()) {
    Axis &last = axes.back();
    bool follows = llvm::all_of(llvm::seq(3), [&](int o) {
      return last.steps[o] == inner.steps[o] * inner.size;
    });
    if (follows) {
      last.size *= inner.size;
      last.steps = inner.steps;
      last.loops.append(inner.loops);
      return;
    }
  }
  axes.push_back(inner);
}

/// Of a loop inside loops that are so long, together with them.
static RuntimeLength longer(RuntimeLength outer, const RuntimeLength &inner,
                            int64_t size) {
  if (!outer)
    return inner;
  outer.times *= size;
  return outer;
}

std::optional<Product> Product::match(linalg::LinalgOp linalgOp) {
  auto op = dyn_cast<linalg::GenericOp>(linalgOp.getOperation());
  if (!op || !lowering::addsProducts(op))
    return std::nullopt;
  Product p;
  p.op = op;
  Access *accesses[] = {&p.lhs, &p.rhs, &p.out};
  std::array<SmallVector<int64_t>, 3> steps;
  for (mlir::OpOperand &operand : op->getOpOperands()) {
    unsigned i = operand.getOperandNumber();
    auto access = Access::of(operand.get());
    if (!access)
      return std::nullopt;
    *accesses[i] = *access;
    auto own = loopSteps(op, operand, *accesses[i]);
    if (!own)
      return std::nullopt;
    steps[i] = *own;
  }
  auto sizes = op.getStaticLoopRanges();
  RuntimeLengths lengths = loopLengths(op);
  lengths.resize(sizes.size());
  for (auto [d, kind] : llvm::enumerate(op.getIteratorTypesArray())) {
    Axis loop{
        sizes[d], {steps[Lhs][d], steps[Rhs][d], steps[Out][d]}, {unsigned(d)}};
    bool inLhs = steps[Lhs][d] != 0, inRhs = steps[Rhs][d] != 0;
    if (kind == mlir::utils::IteratorType::reduction) {
      // An end before the last step is one of the whole sum's if this loop is
      // the outermost.
      if (lengths[d] && !p.depth.empty())
        return std::nullopt;
      addLoop(p.depth, loop);
      p.depthLength = longer(p.depthLength, lengths[d], loop.size);
    } else if (inLhs && !inRhs) {
      if (p.rows.empty() || p.rowsLength)
        p.rowsLength = longer(p.rowsLength, lengths[d], loop.size);
      addLoop(p.rows, loop);
    } else if (inRhs && !inLhs)
      addLoop(p.columns, loop);
    else
      addLoop(p.batch, loop);
  }
  if (p.m() < leastSide || p.n() < leastSide || p.k() == 0 || p.batches() == 0)
    return std::nullopt;
  return p;
}

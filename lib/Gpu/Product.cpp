//===- Product.cpp - what is a product to the GPU -------------------------===//

#include "Product.h"
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

/// Adds `times` the coefficients of a linear expression; false if it is none.
static bool addCoefficients(mlir::AffineExpr e, int64_t times,
                            SmallVectorImpl<int64_t> &coefficients,
                            int64_t &constant) {
  if (auto d = dyn_cast<mlir::AffineDimExpr>(e)) {
    coefficients[d.getPosition()] += times;
    return true;
  }
  if (auto c = dyn_cast<mlir::AffineConstantExpr>(e)) {
    constant += times * c.getValue();
    return true;
  }
  auto binary = dyn_cast<mlir::AffineBinaryOpExpr>(e);
  if (!binary)
    return false;
  if (e.getKind() == mlir::AffineExprKind::Add)
    return addCoefficients(binary.getLHS(), times, coefficients, constant) &&
           addCoefficients(binary.getRHS(), times, coefficients, constant);
  auto factor = dyn_cast<mlir::AffineConstantExpr>(binary.getRHS());
  return e.getKind() == mlir::AffineExprKind::Mul && factor &&
         addCoefficients(binary.getLHS(), times * factor.getValue(),
                         coefficients, constant);
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
  for (auto [d, kind] : llvm::enumerate(op.getIteratorTypesArray())) {
    Axis loop{
        sizes[d], {steps[Lhs][d], steps[Rhs][d], steps[Out][d]}, {unsigned(d)}};
    bool inLhs = steps[Lhs][d] != 0, inRhs = steps[Rhs][d] != 0;
    if (kind == mlir::utils::IteratorType::reduction)
      addLoop(p.depth, loop);
    else if (inLhs && !inRhs)
      addLoop(p.rows, loop);
    else if (inRhs && !inLhs)
      addLoop(p.columns, loop);
    else
      addLoop(p.batch, loop);
  }
  if (p.m() < leastSide || p.n() < leastSide || p.k() == 0 || p.batches() == 0)
    return std::nullopt;
  return p;
}

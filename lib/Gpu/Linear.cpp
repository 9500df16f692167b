//===- Linear.cpp - places that are linear in loops -----------------------===//

#include "Linear.h"

using namespace gradus;

bool gpu::addCoefficients(mlir::AffineExpr e, int64_t times,
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

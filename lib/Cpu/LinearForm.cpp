//===- LinearForm.cpp - an index as a sum of loops ------------------------===//

#include "LinearForm.h"

using namespace gradus;

static bool add(mlir::AffineExpr e, int64_t scale, LinearForm &form) {
  if (auto d = dyn_cast<mlir::AffineDimExpr>(e)) {
    form.step[d.getPosition()] += scale;
    return true;
  }
  if (auto c = dyn_cast<mlir::AffineConstantExpr>(e)) {
    form.start += scale * c.getValue();
    return true;
  }
  auto binary = dyn_cast<mlir::AffineBinaryOpExpr>(e);
  if (!binary)
    return false;
  if (e.getKind() == mlir::AffineExprKind::Add)
    return add(binary.getLHS(), scale, form) &&
           add(binary.getRHS(), scale, form);
  auto factor = dyn_cast<mlir::AffineConstantExpr>(binary.getRHS());
  return e.getKind() == mlir::AffineExprKind::Mul && factor &&
         add(binary.getLHS(), scale * factor.getValue(), form);
}

std::optional<LinearForm> LinearForm::of(mlir::AffineExpr e, unsigned loops) {
  LinearForm form{0, SmallVector<int64_t>(loops, 0)};
  return add(e, 1, form) ? std::optional(form) : std::nullopt;
}

//===- LinearForm.h - an index as a sum of loops ----------------*- C++ -*-===//

#ifndef GRADUS_CPU_LINEARFORM_H
#define GRADUS_CPU_LINEARFORM_H

#include "gradus/LLVM.h"
#include "mlir/IR/AffineExpr.h"

namespace gradus {

/// start + sum over loops d of step[d] * index[d].
struct LinearForm {
  int64_t start = 0;
  SmallVector<int64_t> step;

  /// What the expression over so many loops is, if it is linear.
  static std::optional<LinearForm> of(mlir::AffineExpr e, unsigned loops);
};

} // namespace gradus

#endif // GRADUS_CPU_LINEARFORM_H

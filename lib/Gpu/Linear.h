//===- Linear.h - places that are linear in loops ---------------*- C++ -*-===//

#ifndef GRADUS_GPU_LINEAR_H
#define GRADUS_GPU_LINEAR_H

#include "gradus/LLVM.h"
#include "mlir/IR/AffineExpr.h"

namespace gradus::gpu {

/// Adds `times` the coefficients of a linear expression, one for each loop, and
/// its constant; false if it is not linear.
bool addCoefficients(mlir::AffineExpr e, int64_t times,
                     SmallVectorImpl<int64_t> &coefficients, int64_t &constant);

} // namespace gradus::gpu

#endif // GRADUS_GPU_LINEAR_H

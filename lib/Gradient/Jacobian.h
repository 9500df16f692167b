//===- Jacobian.h - Jacobians and Hessians, written out ---------*- C++ -*-===//

#ifndef GRADUS_GRADIENT_JACOBIAN_H
#define GRADUS_GRADIENT_JACOBIAN_H

#include "gradus/Graph.h"

namespace gradus {

/// Puts jvp, value_and_grad and vmap of helper functions in the place of every
/// `jacobian` and `hessian` in the function.
LogicalResult writeOutJacobians(graph::FuncOp f);

} // namespace gradus

#endif // GRADUS_GRADIENT_JACOBIAN_H

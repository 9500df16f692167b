//===- Custom.h - functions with a gradient of their own --------*- C++ -*-===//

#ifndef GRADUS_GRADIENT_CUSTOM_H
#define GRADUS_GRADIENT_CUSTOM_H

#include "gradus/Graph.h"

namespace gradus {

/// The body of `f` at the insertion point, as a derivative wants it: a call of
/// a function with a gradient of its own, `f` included, is one op.
SmallVector<Value> inlineForDerivative(ImplicitLocOpBuilder &b, graph::FuncOp f,
                                       ValueRange args);

/// Replaces those ops by their bodies, once all derivatives are written.
void inlineCustomOps(Operation *root);

} // namespace gradus

#endif // GRADUS_GRADIENT_CUSTOM_H

//===- Gradient.h - requests for gradients ----------------------*- C++ -*-===//

#ifndef GRADUS_GRADIENT_H
#define GRADUS_GRADIENT_H

#include "gradus/LLVM.h"

namespace gradus {

/// Adds `func @NAME.gradient` beside the scalar function @NAME of the module's
/// model: its value and its gradient with respect to the parameters that it
/// uses and its float arguments, in that order. Layers must be instantiated.
LogicalResult addGradient(ModuleOp module, StringRef name);
/// Adds `func @NAME.forward` beside @NAME: its first result and the derivative
/// of it along a direction. Takes the variables that @NAME uses and its
/// arguments, then a tangent for each. @NAME must have no calls any more.
void addForward(ModuleOp module, StringRef name);

} // namespace gradus

#endif // GRADUS_GRADIENT_H

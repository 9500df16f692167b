//===- Expose.h - what a function computes on its way -----------*- C++ -*-===//

#ifndef GRADUS_PROOF_EXPOSE_H
#define GRADUS_PROOF_EXPOSE_H

#include "gradus/Graph.h"

namespace gradus {

graph::FuncOp functionOf(ModuleOp module, StringRef name);

/// A copy of the model in which the function returns some values of its body,
/// results of its ops, in the place of its own results.
mlir::OwningOpRef<ModuleOp> expose(ModuleOp model, StringRef function,
                                   ArrayRef<mlir::OpResult> values);

/// Results of one function that a call can take, its inputs beside them.
inline constexpr size_t exposedAtOnce = 32;

} // namespace gradus

#endif // GRADUS_PROOF_EXPOSE_H

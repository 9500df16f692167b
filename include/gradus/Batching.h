//===- Batching.h - a function of one example, for all ----------*- C++ -*-===//

#ifndef GRADUS_BATCHING_H
#define GRADUS_BATCHING_H

#include "gradus/Graph.h"

namespace gradus {

/// Puts a function's body where the builder stands.
using Inliner = SmallVector<Value> (*)(ImplicitLocOpBuilder &b, graph::FuncOp f,
                                       ValueRange args);

/// What `f` returns for all examples: the inputs at the places `over` have them
/// along a first axis, the others are the same for all.
FailureOr<SmallVector<Value>> batchFunction(ImplicitLocOpBuilder &b,
                                            graph::FuncOp f, ValueRange inputs,
                                            ArrayRef<int64_t> over,
                                            graph::Dim count, Inliner inliner);

} // namespace gradus

#endif // GRADUS_BATCHING_H

//===- Repeat.h - functions applied again and again -------------*- C++ -*-===//

#ifndef GRADUS_EXPAND_REPEAT_H
#define GRADUS_EXPAND_REPEAT_H

#include "gradus/Graph.h"

namespace gradus {

/// Loop: the prefix of the variables that are one for each step.
inline constexpr llvm::StringLiteral repeatAttr = "graph.repeat";

/// Replaces a `repeat` by a loop around one call, marked with the prefix of the
/// variables that each time is to have of its own.
void writeAsLoop(graph::RepeatOp repeat);

/// Once layers are their bodies: variables under the prefix of a marked loop
/// that it alone reads get a leading axis, which the loop walks.
void stackRepeatedVariables(graph::ModelOp model);

} // namespace gradus

#endif // GRADUS_EXPAND_REPEAT_H

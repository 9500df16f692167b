//===- Loops.h - loops as the sweeps want them ------------------*- C++ -*-===//

#ifndef GRADUS_GRADIENT_LOOPS_H
#define GRADUS_GRADIENT_LOOPS_H

#include "Sweep.h"

namespace gradus {

/// Makes each active `while` of the tape a `for` of as many steps as its limit
/// says, each of which does nothing once the condition fails. Without a limit,
/// reverse mode cannot keep the steps: an error.
LogicalResult boundLoops(ImplicitLocOpBuilder &b, Tape &tape,
                         const ValueSet &active,
                         SmallVectorImpl<Value> &results, Location request);

} // namespace gradus

#endif // GRADUS_GRADIENT_LOOPS_H

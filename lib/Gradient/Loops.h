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

/// Makes each active loop of the tape that is marked `checkpoint`, n steps, a
/// loop over blocks of about sqrt(n) steps: reverse mode keeps what the blocks
/// start from, and the steps of one block at a time.
LogicalResult splitCheckpoints(ImplicitLocOpBuilder &b, Tape &tape,
                               const ValueSet &active,
                               SmallVectorImpl<Value> &results);

} // namespace gradus

#endif // GRADUS_GRADIENT_LOOPS_H

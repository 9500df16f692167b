//===- TurnedLoops.h - elementwise ops that read across their rows -*- C++ -*-//
//
// Where an op writes along one loop and reads an operand along another, as a
// transpose does, no loop runs along vectors of both. Blocks of such operands
// are copied, turned in registers square by square, to tiles that lie as the
// result does; the op then runs along vectors, block by block.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_CPU_TURNEDLOOPS_H
#define GRADUS_CPU_TURNEDLOOPS_H

#include "EmitLoops.h"

namespace gradus {

class LoopPlan;

/// Emits the op's loops so, if it is such an op and they are long enough.
bool emitTurned(ImplicitLocOpBuilder &b, LoopPlan &plan,
                const LocalBuffers &buffers, unsigned vectorBits);

} // namespace gradus

#endif // GRADUS_CPU_TURNEDLOOPS_H

//===- AskHidden.h - is what a mask hides zero? -----------------*- C++ -*-===//

#ifndef GRADUS_CPU_ASKHIDDEN_H
#define GRADUS_CPU_ASKHIDDEN_H

#include "BlockReach.h"

namespace gradus {

/// Code that tells whether any hidden element of an operand is not zero, in the
/// rows of a block. Its op has a reach (lib/Lowering/Reach.h). Elements are
/// alike along one axis: in each row the farthest index is asked, if it is
/// hidden, or each hidden index at the row that is farthest from it.
Value emitAskHidden(ImplicitLocOpBuilder &b, mlir::OpOperand &operand,
                    const RowBlock &block);

} // namespace gradus

#endif // GRADUS_CPU_ASKHIDDEN_H

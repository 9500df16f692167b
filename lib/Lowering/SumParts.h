//===- SumParts.h - sums made in parts, and added up ------------*- C++ -*-===//

#ifndef GRADUS_LOWERING_SUMPARTS_H
#define GRADUS_LOWERING_SUMPARTS_H

#include "LinalgBuilder.h"

namespace gradus {

/// What combines elements with the op's `number`th result: a sum, a maximum or
/// a minimum; null if that is not all that is done with it.
Operation *combinerOf(mlir::linalg::GenericOp op, unsigned number);

/// The number that combining with leaves everything as it is.
mlir::TypedAttr neutralFor(OpBuilder &b, Operation *combiner);

/// The op's body again, as that of another generic op with the same operands.
void repeatBody(mlir::linalg::GenericOp op, OpBuilder &b, ValueRange args);

/// Combines `parts`, the op's `number`th result with so many axes before its
/// own, and what the op starts from.
Value combineParts(LinalgBuilder &linalg, mlir::linalg::GenericOp op,
                   unsigned number, Value parts, unsigned axes);

} // namespace gradus

#endif // GRADUS_LOWERING_SUMPARTS_H

//===- Control.h - what the text and the rules of bodies share --*- C++ -*-===//

#ifndef GRADUS_GRAPH_CONTROL_H
#define GRADUS_GRAPH_CONTROL_H

#include "gradus/Graph.h"

namespace gradus::graph {

/// Where the i-th value of a yield stands.
using YieldedAt = function_ref<Location(unsigned)>;

/// What one step gets of `source`. Its size along the axis goes to `steps`,
/// which must agree with it.
FailureOr<Type> sliceType(Value source, int64_t axis, Dim &steps,
                          const Report &fail);
/// The results of a loop: its carries' types, and what it keeps, stacked.
FailureOr<SmallVector<Type>> loopResults(ValueRange inits, YieldOp yield,
                                         const Dim &steps, int64_t axis,
                                         YieldedAt at);
/// The type of a counter's numbers over all steps.
RankedTensorType countsType(MLIRContext *ctx, const Dim &steps);

/// Does a step hand on what the next one takes?
LogicalResult checkCarries(ArrayRef<BlockArgument> carries, YieldOp yield,
                           YieldedAt at);
/// Does it yield one truth value?
LogicalResult checkCondition(YieldOp yield, YieldedAt at);
/// Do both branches yield the same types?
LogicalResult checkBranches(YieldOp yes, YieldOp no, YieldedAt at);
LogicalResult checkPredicate(Value predicate, const Report &fail);

} // namespace gradus::graph

#endif // GRADUS_GRAPH_CONTROL_H

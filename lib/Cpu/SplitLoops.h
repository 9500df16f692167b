//===- SplitLoops.h - which loop threads share, and their parts -*- C++ -*-===//

#ifndef GRADUS_CPU_SPLITLOOPS_H
#define GRADUS_CPU_SPLITLOOPS_H

#include "EmitLoops.h"
#include "Split.h"
#include "gradus/RuntimeLengths.h"

namespace gradus {

/// Operations of the whole op, roughly: a function such as exp counts as ten.
double workOf(mlir::linalg::LinalgOp op);

/// The first of the inputs that are largest; null if there is none.
mlir::OpOperand *largestInput(mlir::linalg::LinalgOp op);

/// A loop, and how it falls into parts.
using LoopSplit = std::pair<unsigned, Split>;
/// Takes the split in the place of a less even one.
void takeEvener(std::optional<LoopSplit> &best, unsigned loop,
                const Split &split, int64_t threads);
/// The parallel loop that falls into parts most evenly, the outermost of
/// equals; none if no loop is worth splitting.
std::optional<LoopSplit> chooseSplit(mlir::linalg::LinalgOp op,
                                     int64_t threads);

/// What part `part` runs over, as indices of the whole loop. `length`: how long
/// that is in this call, if it is not known.
LoopRange rangeOfPart(ImplicitLocOpBuilder &b, const Split &split, Value part,
                      const RuntimeLength &length);
/// The same; counted from the part's first index where parts are equally long,
/// so that loops over it are of a length that is known.
LoopRange countedRangeOfPart(ImplicitLocOpBuilder &b, const Split &split,
                             Value part, const RuntimeLength &length);

} // namespace gradus

#endif // GRADUS_CPU_SPLITLOOPS_H

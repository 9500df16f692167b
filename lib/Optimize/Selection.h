//===- Selection.h - what to keep over a point ------------------*- C++ -*-===//

#ifndef GRADUS_OPTIMIZE_SELECTION_H
#define GRADUS_OPTIMIZE_SELECTION_H

#include "Occupancy.h"

namespace gradus {

/// What is computed again after one point of a body, so that few bytes are kept
/// over it.
struct Selection {
  llvm::DenseSet<Value> again;
  double operations = 0; ///< of what is computed again, each op once
  int64_t bytes = 0;     ///< in use at the point then
};

/// The cheapest selections for what a byte may be worth are found exactly: each
/// tensor that is read after the point is kept over it or computed again, from
/// what is kept or computed again in turn.
struct BestSelections {
  Selection near;   ///< the last that needs more than the limit
  Selection within; ///< the first that does not, if one does not
  /// What any selection within the limit takes (Lagrange's bound).
  double leastOperations = 0;
};
BestSelections selectWithin(const Occupancy &now, const Costs &costs,
                            int64_t at, int64_t limit);

} // namespace gradus

#endif // GRADUS_OPTIMIZE_SELECTION_H

//===- Reach.h - what of a row's op is not hidden ---------------*- C++ -*-===//
//
// A row of an op needs its loop from the row's index less `low` to that plus
// `high` alone; a mask hides the rest. Groups that take rows in blocks leave
// out what is hidden in all rows of a block, products what is in all of a tile.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_LOWERING_REACH_H
#define GRADUS_LOWERING_REACH_H

#include "gradus/LLVM.h"

namespace gradus {

struct Reach {
  unsigned loop; ///< that is cut short
  unsigned row;  ///< the loop over the rows
  int64_t low,
      high; ///< as long as the loop, or longer: it is not, on that side
  /// The op also runs at the hidden index that is farthest, where there is one:
  /// at all others it does the same.
  bool probes = false;
  /// The operand that has to be zero there, in all rows of the block; if it is
  /// not, nothing is left out from then on. An output is asked after the op, an
  /// input before the block.
  std::optional<unsigned> tested = std::nullopt;
  /// Elements are alike along the rows instead: those of all hidden indices are
  /// asked, at the row that is farthest from them.
  bool asksFarthestRow = false;

  /// Of an op, if it has one.
  static std::optional<Reach> of(Operation *op);
  void mark(Operation *op) const;
};

} // namespace gradus

#endif // GRADUS_LOWERING_REACH_H

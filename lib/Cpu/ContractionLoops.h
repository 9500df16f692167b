//===- ContractionLoops.h - a contraction's loops in blocks -----*- C++ -*-===//

#ifndef GRADUS_CPU_CONTRACTIONLOOPS_H
#define GRADUS_CPU_CONTRACTIONLOOPS_H

#include "Contraction.h"

namespace gradus {

/// Runs over a loop of a contraction whatever is known of its length: all of
/// it, that a call says it, or that it is an extent.
class ContractionLoops : public PanelBuilder {
public:
  ContractionLoops(ImplicitLocOpBuilder &b, const Contraction &contraction,
                   const Blocking &blocking)
      : PanelBuilder(b, contraction.lanes, blocking.words), c(contraction),
        k(blocking), panel(k.tileVectors * c.lanes) {}

protected:
  /// Blocks of loop `d`: of the first of the sizes, the last one shorter; of
  /// all of them where a call says how long the loop is.
  void blocksOf(unsigned d, int64_t size, ArrayRef<int64_t> sizes,
                function_ref<void(Value, int64_t)> body);
  bool hasExtent(unsigned loop) const {
    return c.extent && c.extent->loop == loop;
  }
  /// The loop's extent, unit by unit; where the loop ends in the midst of one,
  /// what is left of it.
  void unitsOf(const Extent &e, int64_t size,
               function_ref<void(Value, int64_t)> body);
  /// Blocks of rows, in which tiles lie side by side.
  void rowBlocksOf(function_ref<void(Value, int64_t)> body);

  /// The place where the loops stand. `loops`: their indices (null: 0).
  Value placeAt(const LinearForm &form, ArrayRef<Value> loops);
  /// What the clips leave of each reduction loop, from where its block starts,
  /// in any row and column of a tile at `loops`.
  StepRanges rangesAt(ArrayRef<Value> loops, int64_t height, int64_t width);

private:
  /// What one of them does.
  std::pair<Value, Value> rangeAt(const Clip &clip, ArrayRef<Value> loops,
                                  int64_t height, int64_t width);

protected:
  Contraction c; ///< with the sizes of the part that is being emitted
  const Blocking &k;
  int64_t panel; ///< columns of a tile
};

} // namespace gradus

#endif // GRADUS_CPU_CONTRACTIONLOOPS_H

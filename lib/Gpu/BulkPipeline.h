//===- BulkPipeline.h - tiles brought by the memory accelerator -*- C++ -*-===//

#ifndef GRADUS_GPU_BULKPIPELINE_H
#define GRADUS_GPU_BULKPIPELINE_H

#include "Plan.h"
#include "Tiles.h"

namespace gradus::gpu {

/// A block's tiles, copied by the tensor memory accelerator (TMA): one thread
/// of a warpgroup of its own asks for boxes of both operands, the others
/// multiply them. An mbarrier for each stage says that its tiles are there,
/// another that they have been read.
class BulkPipeline {
public:
  /// For all threads of the block. `rows`: the first of each operand's tile.
  BulkPipeline(Kernel &k, const Product &p, const Plan &plan,
               Multiplier &multiplier, ArrayRef<Value> rows,
               const AxisIndex &batch);

  /// Is the thread one of those that bring tiles?
  Value isProducer() const { return producer; }
  void produce(const DepthRange &range);
  /// Returns the sums.
  SmallVector<Value> consume(const DepthRange &range);

private:
  struct Operand {
    Value map;
    SmallVector<Value> coordinates; ///< that of the depth is null
    int64_t pieces, pieceBytes;
    int64_t pieceWidth; ///< elements of its lines
  };
  Operand operand(const Side &side, Value firstRow, const AxisIndex &batch);
  void makeBarriers();
  Value barrier(Value stage, bool isFull);
  void wait(Value stage, bool isFull, Value parity);
  void copy(const Operand &o, Factor f, Value depth, Value stage);
  /// The next stage, and the parity of its phase.
  std::pair<Value, Value> following(Value stage, Value parity);
  Value word(int64_t n);
  Value asWord(Value index);
  Value isFirstLane();

  Kernel &k;
  const Product &p;
  const Plan &plan;
  Multiplier &multiplier;
  Value producer, barriers;
  Operand operands[2];
};

/// Are the operand's tiles boxes of a tensor of up to five dimensions?
bool isBoxes(const Side &side);

} // namespace gradus::gpu

#endif // GRADUS_GPU_BULKPIPELINE_H

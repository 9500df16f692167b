//===- BulkPipeline.h - tiles brought by the memory accelerator -*- C++ -*-===//

#ifndef GRADUS_GPU_BULKPIPELINE_H
#define GRADUS_GPU_BULKPIPELINE_H

#include "Plan.h"
#include "Tiles.h"

namespace gradus::gpu {

/// A block's tiles, copied by the tensor memory accelerator (TMA): one thread
/// of a warpgroup of its own asks for boxes of both operands, the others
/// multiply them. An mbarrier for each stage says that its tiles are there,
/// another that they have been read. Stages follow each other from one tile of
/// the result to the next, so that those of the next are on their way while
/// sums are stored.
class BulkPipeline {
public:
  /// For all threads of the block.
  BulkPipeline(Kernel &k, const Product &p, const Plan &plan,
               Multiplier &multiplier);

  /// What is multiplied for a tile of the result. `rows`: the first of each
  /// operand's tile.
  struct Factors {
    Value rows[2];
    AxisIndex batch;
    DepthRange depth;
  };
  /// The stage that comes next, and the parity of its phase; for consumers,
  /// that of the tile of the result too.
  using Turn = SmallVector<Value>;

  /// Is the thread one of those that bring tiles?
  Value isProducer() const { return producer; }
  /// What `body` adds is done by one of these.
  void inOneThread(function_ref<void()> body);
  Turn firstTurn(bool ofProducer);
  Turn produce(const Factors &factors, ArrayRef<Value> turn);
  struct Consumed {
    SmallVector<Value> sums;
    Turn turn;
  };
  Consumed consume(const DepthRange &depth, ArrayRef<Value> turn);
  /// For those of one role, when they want nothing of others any more; then,
  /// behind what else they do, for all threads.
  void leave();
  void end();

private:
  enum class Along { Depth, Rows, Batch };
  struct Operand {
    Value map;
    struct Dimension {
      Along along;
      size_t batchAxis;
    };
    SmallVector<Dimension> dimensions;
    int64_t pieces, pieceBytes;
    int64_t pieceWidth; ///< elements of its lines
    /// Of a piece, which a block brings; the whole cluster's in common.
    int64_t lines;
    bool isCommon;
  };
  Operand operand(const Side &side);
  void makeBarriers();
  Value barrier(Value stage, bool isFull);
  /// Which the first warpgroup's lead is told by.
  Value leadBarrier();
  void wait(Value barrier, Value parity);
  /// The second warpgroup waits until the first has its lead, which that says
  /// at a tile of its depth.
  void awaitLead(Value parity);
  void sayLead(const DepthRange &depth, Value at);
  void copy(Factor f, const Factors &factors, Value depth, Value stage);
  Turn following(ArrayRef<Value> turn);
  Value word(int64_t n);
  Value asWord(Value index);
  void joinLanes();
  /// `when`: null or whether there is such a stage.
  void saysRead(Value stage, Value when);

  Kernel &k;
  const Plan &plan;
  Multiplier &multiplier;
  Value producer, barriers;
  Value isFirst; ///< is the thread in the first warpgroup, if that has a lead?
  Value rank;    ///< of the block in its cluster, if there are any
  Operand operands[2];
};

/// Are the operand's tiles boxes of a tensor of up to five dimensions?
bool isBoxes(const Side &side);

} // namespace gradus::gpu

#endif // GRADUS_GPU_BULKPIPELINE_H

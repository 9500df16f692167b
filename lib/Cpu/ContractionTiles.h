//===- ContractionTiles.h - the tiles of a contraction's block --*- C++ -*-===//

#ifndef GRADUS_CPU_CONTRACTIONTILES_H
#define GRADUS_CPU_CONTRACTIONTILES_H

#include "OperandPanels.h"

namespace gradus {

/// Runs the micro-kernel on the tiles of a block.
class ContractionTiles : public OperandPanels {
public:
  ContractionTiles(ImplicitLocOpBuilder &b, const Contraction &contraction,
                   const Blocking &blocking, const Epilogue *epilogue)
      : OperandPanels(b, contraction, blocking), epilogue(epilogue) {}

protected:
  /// Offsets into the three buffers, and the loops' indices (null: 0).
  struct Position {
    Value lhs, rhs, out;
    SmallVector<Value> loops;
    Value panel = {}; ///< where in its panels rhs is copied to, if it is
    /// Rows from the first that reads a block of rhs, if the tiles there copy
    /// it.
    Value row = {};
  };
  Position moved(Position p, unsigned loop, Value i);
  /// A buffer that holds one row has it at its start.
  Position movedToRow(const Position &p, unsigned loop, Value i);

  /// Before the tiles of some rows, for each block of depth.
  void openRows(const Position &block, int64_t rows, int64_t depth);
  /// All tiles of a block. `zero`: sums start there; `last`: the epilogue
  /// follows.
  void tiles(const Position &block, int64_t rows, int64_t columns,
             int64_t depth, bool zero, bool last);
  void prepare(bool here, int64_t height, int64_t width);

  const Epilogue *epilogue;
  /// What the epilogue reads and writes of each tile's own, in flat buffers.
  SmallVector<LinearAccess> epilogueAccesses;
  bool preparedOnce = false; ///< the kernel is, for all tiles of the part

private:
  /// `body` with groups of a block's rows, and with what of lhs is theirs.
  void groupsOf(const Position &block, int64_t rows, int64_t depth,
                function_ref<void(Position, Value, int64_t)> body);
  Position movedInGroup(const Position &group, Value r);
  /// What all tiles of a block have in common.
  struct Pass {
    int64_t depth;
    bool zero, last;
  };
  void tileColumn(const Position &group, Value first, int64_t rows,
                  int64_t width, const Pass &pass, bool prepared);
  void multiply(const Position &corner, int64_t height, int64_t width,
                const Pass &pass);
  SmallVector<LaterTile> laterAt(const Position &corner);
};

} // namespace gradus

#endif // GRADUS_CPU_CONTRACTIONTILES_H

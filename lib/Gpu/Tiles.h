//===- Tiles.h - how a product's operands reach shared memory ---*- C++ -*-===//

#ifndef GRADUS_GPU_TILES_H
#define GRADUS_GPU_TILES_H

#include "EmitProduct.h"

namespace gradus::gpu {

/// An index along axes, and its part of a place in each operand.
class AxisIndex {
public:
  AxisIndex(Kernel &k, ArrayRef<Axis> axes, Value flat);

  Value operator[](size_t axis) const { return indices[axis]; }
  Value part(Kernel &k, Factor operand) const;
  /// Sets the op's loops that the axes stand for.
  void setLoops(Kernel &k, const Product &p,
                llvm::MutableArrayRef<Value> to) const;

private:
  ArrayRef<Axis> axes;
  SmallVector<Value> indices;
};

/// Of depth, that a block adds up.
struct DepthRange {
  Value from, end, step;
};
/// A loop over the range that carries values; `body` gets the depth and them.
SmallVector<Value>
forEachTile(Kernel &k, const DepthRange &range, ArrayRef<Value> carried,
            function_ref<SmallVector<Value>(Value, ArrayRef<Value>)> body);

/// Of an operand: whose tiles are meant, and what is across its depth.
struct Side {
  Side(const Product &p, Factor operand, const Tiles &t)
      : p(p), operand(operand), access(operand == Lhs ? p.lhs : p.rhs),
        across(operand == Lhs ? p.rows : p.columns),
        tileRows(operand == Lhs ? t.rows : t.columns), tileDepth(t.depth) {}

  const Product &p;
  Factor operand;
  const Access &access;
  ArrayRef<Axis> across;
  int64_t tileRows, tileDepth;
};

/// A thread's share of the tiles of one operand, by way of registers.
class TileReader {
public:
  TileReader(Kernel &k, const Side &side, int64_t depthAtATime, Value firstRow,
             Value start);

  /// Reads the tile that starts at this depth; zeros from `end` on, unless all
  /// tiles are whole.
  SmallVector<Value> read(Kernel &k, Value from, Value end, bool whole) const;
  void store(Kernel &k, Multiplier &to, ArrayRef<Value> values) const;
  size_t count() const { return shares.size() * size_t(together); }

private:
  struct Share {
    Value row, depth, place, inside;
  };
  Side side;
  int64_t together;
  Value start;
  SmallVector<Share> shares;
};

/// A thread's share of the tiles of one operand, copied to shared memory in
/// chunks while the thread goes on (cp.async).
class TileCopier {
public:
  TileCopier(Kernel &k, const Side &side, const ChunkedTile &tile,
             Value firstRow, Value start);

  /// Begins to copy the tile that starts at this depth to a stage; zeros from
  /// `end` on.
  void copy(Kernel &k, Value from, Value end, Value memory, Value stage) const;

private:
  struct Share {
    Value depth, place, inside, there;
  };
  Side side;
  ChunkedTile tile;
  Value start;
  SmallVector<Share> shares;
};

/// Can the operand's tiles be copied in chunks of 16 bytes, and how do they lie
/// for tensor cores then? None if 16 bytes that follow each other in a tile do
/// not in memory, or do not begin at a multiple of 16 there.
std::optional<ChunkedTile> chunkedTile(const Side &side);
/// The same for registers, which want the rows of each step of depth side by
/// side: 16 bytes at a time where memory has them so, else each element. None
/// if an element is smaller than what can be copied.
std::optional<ChunkedTile> plainTile(const Side &side);

} // namespace gradus::gpu

#endif // GRADUS_GPU_TILES_H

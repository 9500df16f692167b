//===- MicroKernel.h - the innermost block of a contraction -----*- C++ -*-===//
//
// Adds up a tile of rows x columns of the result over one block of depth, in
// registers. Two kinds: vectors for each row (VectorKernel.cpp), and tile
// registers of 16 x 16 words (TileKernel.cpp).
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_CPU_MICROKERNEL_H
#define GRADUS_CPU_MICROKERNEL_H

#include "Contraction.h"

namespace gradus {

/// Offsets into the three flat buffers. `copyTo`, unless null: rhs is read
/// where it lies, and what is read is copied to its panels from there on.
struct Offsets {
  Value lhs, rhs, out, copyTo = {};
};

/// Part of a buffer that is read or written soon after a tile's sums are
/// complete: as many rows and columns, from a corner on.
struct LaterTile {
  Value buffer, corner;
  int64_t across; ///< from row to row
};

class MicroKernel : public PanelBuilder {
public:
  /// `c`: with the sizes of the part that is being emitted.
  MicroKernel(ImplicitLocOpBuilder &b, const Contraction &c, const Blocking &k)
      : PanelBuilder(b, c.lanes, k.words), c(c), k(k),
        panel(k.tileVectors * c.lanes) {}
  virtual ~MicroKernel() = default;

  /// At the start of the code that computes a part, and at its end.
  virtual void open() {}
  virtual void close() {}
  /// Before tiles of this size, and again when it changes. It may take as long
  /// as a small tile.
  virtual void prepare(int64_t height, int64_t width) {}
  /// Before the tiles of `height` rows of a block, `row` the first of them, in
  /// each block of depth; if elements of rhs are flipped.
  virtual void openRows(const Offsets &at, Value row, int64_t height,
                        int64_t depth) {}
  /// `zero`: the sums start at zero, not at what is in `out`.
  virtual void emit(const Offsets &at, int64_t height, int64_t width,
                    int64_t depth, bool zero) = 0;

  /// Steps of a block's reduction loops: a step of the innermost takes a word.
  int64_t steps(int64_t depth) const {
    if (c.reductions.size() == 1)
      return words.steps(depth);
    int64_t inner = c.size[c.reductions.back()];
    return depth / inner * words.steps(inner);
  }

  /// Flat, or panels where they are copied.
  Value lhs, rhs, out;
  Value uncopied; ///< rhs as it lies
  /// Whether sums start at zero nevertheless, if that is known when it runs.
  Value isFirst;
  StepRanges ranges; ///< that the tile is to be added up over
  Value row;         ///< of the block, the tile's first
  /// What the kernel asks for while it adds up, as it will be read then.
  SmallVector<LaterTile> later;
  /// From row to row of packed lhs, and from step to step.
  int64_t packedAcross = 1, packedAlong = 1;

protected:
  int64_t lhsAcross() const {
    return k.packLhs ? packedAcross : c.row ? c.lhs.step[*c.row] : 0;
  }
  /// Elements of rhs that a word is: panels that are made here are of words.
  int64_t rhsElements() const { return c.panel ? words.elements : 1; }
  int64_t outAcross() const { return c.row ? c.out.step[*c.row] : 0; }
  /// `i` steps of reduction loop `n` on, each of which takes `inner` steps.
  Offsets moved(const Offsets &at, unsigned n, Value i, int64_t inner) {
    unsigned d = c.reductions[n];
    int64_t elements = n + 1 == c.reductions.size() ? words.elements : 1;
    int64_t along = k.packLhs ? packedAlong : elements * c.lhs.step[d];
    bool inPanels = k.pack && !at.copyTo;
    return {
        advance(at.lhs, i, along),
        advance(at.rhs, i, inPanels ? inner * panel : elements * c.rhs.step[d]),
        at.out, at.copyTo ? advance(at.copyTo, i, inner * panel) : Value()};
  }

  const Contraction &c;
  const Blocking &k;
  const int64_t panel; ///< columns of a tile
};

std::unique_ptr<MicroKernel> createVectorKernel(ImplicitLocOpBuilder &b,
                                                const Contraction &c,
                                                const Blocking &k);
std::unique_ptr<MicroKernel> createTileKernel(ImplicitLocOpBuilder &b,
                                              const Contraction &c,
                                              const Blocking &k);

} // namespace gradus

#endif // GRADUS_CPU_MICROKERNEL_H

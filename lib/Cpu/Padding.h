//===- Padding.h - elements that are written between zeros ------*- C++ -*-===//

#ifndef GRADUS_CPU_PADDING_H
#define GRADUS_CPU_PADDING_H

#include "EmitLoops.h"

namespace gradus {

/// An op that adds its elements to some of a buffer, each to another one, where
/// a fill has put zeros: a padded image. It can as well write them, and the
/// fill what is around.
class Padding {
public:
  /// `op`: which alone goes on from what the fill writes.
  static std::optional<Padding> match(mlir::linalg::FillOp fill,
                                      mlir::linalg::GenericOp op);

  /// The loop over the buffer's first axis, if that has more than one element
  /// and zeros are nowhere before or behind.
  std::optional<int64_t> rows() const;
  /// Has the op write its elements.
  void writeOnly();
  /// The op's operand as what is between the zeros, if the op but copies it.
  std::optional<Window> window() const;
  /// The box that the op writes; none if it writes one of several, or all.
  std::optional<SmallVector<AxisRange>> box() const;
  mlir::linalg::GenericOp writer() const { return op; }
  /// The fill's `ranges` without the box that the op writes: the same ranges,
  /// cut. All of them if it writes no box, or one that is hardly worth it.
  SmallVector<SmallVector<LoopRange>> around(OpBuilder &b,
                                             ArrayRef<LoopRange> ranges) const;

private:
  /// Of the buffer: the op writes each `step`th from `low` on, `count` of
  /// `size`.
  struct Axis : AxisRange {
    int64_t step = 1;
  };
  static std::optional<Axis> axisOf(mlir::AffineExpr place,
                                    ArrayRef<int64_t> loops, int64_t size);

  mlir::linalg::GenericOp op;
  SmallVector<Axis> axes;
};

} // namespace gradus

#endif // GRADUS_CPU_PADDING_H

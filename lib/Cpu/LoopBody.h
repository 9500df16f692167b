//===- LoopBody.h - an op's body where its loops stand ----------*- C++ -*-===//

#ifndef GRADUS_CPU_LOOPBODY_H
#define GRADUS_CPU_LOOPBODY_H

#include "LoopElements.h"

namespace gradus {

/// Emits an op's body at one place of its loops: for several vectors and
/// iterations side by side, from elements that windows have or have not.
class LoopBody : protected LoopElements {
public:
  using LoopElements::LoopElements;

protected:
  Value low(unsigned d);

  /// The `i`th of the iterations beside each other of the `n`th such loop.
  Value sideAt(unsigned n, int64_t i);
  void atEachSide(function_ref<void()> body, unsigned n = 0);

  /// `emit`, twice if there are windows: for where they have all that it reads,
  /// over whole `sums` too, and for where they may not.
  Values whereInside(ArrayRef<unsigned> sums, mlir::TypeRange results,
                     function_ref<Values()> emit);
  /// Sums over taps are asked for as a whole. One over an image is hardly ever
  /// inside as a whole, but for most of its steps.
  bool asksAtEachStep();

  /// The op's body for `vectors` vectors side by side (or one point). Carried
  /// results come and go in `sums`, vector by vector; others are stored.
  Values body(const Values &sums, int64_t vectors, Value mask);

  struct Side {
    Value first;
    int64_t count;
  };
  SmallVector<Side, 2> sides; ///< where loops beside each other are

private:
  /// Whether windows have all that is read here, over whole `sums` too: they do
  /// if they have the first and the last of it. Null without windows.
  Value allInside(ArrayRef<unsigned> sums);
  /// `k`: the sum that is next.
  void bodyAtRow(const Values &sums, int64_t vectors, Value mask, unsigned &k,
                 Values &results);
  /// A product that is added to a sum is so in one step, whatever the code
  /// around: however loops are cut, the bits are the same.
  Value multiplyAdded(Value v, Value sum);
};

} // namespace gradus

#endif // GRADUS_CPU_LOOPBODY_H

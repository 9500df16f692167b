//===- Batch.h - what `batch` rules are made of -----------------*- C++ -*-===//
//
// In a `batch` string an operand's name is what `vmap` made of it: with the
// examples along a new first axis, or the same for all of them. The rule
// returns the result with that axis, or 0.0 where it has no better way than
// the op's parts or a loop over the examples.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_GRAPH_BATCH_H
#define GRADUS_GRAPH_BATCH_H

#include "Build.h"

namespace gradus::graph {

/// The examples of a `vmap`.
struct Examples {
  Dim count;
  /// What a value of one example became, and whether it has the new axis.
  function_ref<std::pair<Value, bool>(Value)> all;
};

/// An operand of an op under vmap; a null one is absent.
struct Mapped : V {
  Mapped(ImplicitLocOpBuilder *b, Value one, const Examples &examples)
      : V(b, Value()), n(examples.count) {
    if (!one)
      return;
    auto [value, hasAxis] = examples.all(one);
    static_cast<V &>(*this) = V(b, value);
    this->one = Shape(one);
    mapped = hasAxis;
  }
  Dim n;               ///< the number of examples
  Shape one;           ///< the shape of one example
  bool mapped = false; ///< along a new first axis?
};
struct Mappeds : SmallVector<Mapped> {
  Mappeds(ImplicitLocOpBuilder *b, ValueRange values,
          const Examples &examples) {
    for (Value v : values)
      push_back({b, v, examples});
  }
};

/// All results of an op that is elementwise or `Batchwise`, or has a rule;
/// nothing where that does not do.
SmallVector<Value> batched(ImplicitLocOpBuilder &b, Operation *op,
                           const Examples &examples);

//===----------------------------------------------------------------------===//
// Axes
//===----------------------------------------------------------------------===//

/// The shape of all examples.
Shape stacked(const Shape &one, Dim n);
inline Shape stacked(const Shape &one, const Examples &examples) {
  return stacked(one, examples.count);
}
/// Every example has its own: what is the same for all is repeated.
V spread(const Mapped &x);
/// Axes of size 1 behind that of the examples, until one has `rank` axes.
V aligned(const Mapped &x, int64_t rank);
/// Can two axes become one? Their sizes must be numbers, unless one is 1.
bool mergeable(Dim a, Dim b);
/// Axes `axis` and the next one, become one, and become two again.
V merge(const V &x, int64_t axis);
V split(const V &x, int64_t axis, Dim outer, Dim inner);
/// The examples' axis and the first of an example's as one, where that can be;
/// and the same of a shape.
V together(const Mapped &x);
Shape together(const Shape &one, const Examples &examples);
/// Undoes `together` on a result that has the first axis of `x`.
V apart(const V &x, const Mapped &like);

//===----------------------------------------------------------------------===//
// Rules, each in the .cpp of its family
//===----------------------------------------------------------------------===//

V batchedMatmul(const Mapped &a, const Mapped &b, std::optional<Type> to);
V batchedLinear(const Mapped &x, const Mapped &w, const Mapped &bias);
V batchedEinsum(StringRef equation, const Mappeds &inputs);
V batchedConv(const Mapped &x, const Mapped &filter, Slide s);
V batchedConvInput(const Mapped &g, const Mapped &filter, const Shape &to,
                   Slide s);
V batchedConvFilter(const Mapped &x, const Mapped &g, const Shape &to, Slide s);
V batchedGather(const Mapped &x, const Mapped &ids, int64_t axis);
V batchedScatterAdd(const Mapped &g, const Mapped &ids, const Shape &to,
                    int64_t axis);
V batchedLayerNorm(const Mapped &x, const Mapped &gain, const Mapped &bias,
                   double eps);

} // namespace gradus::graph

#endif // GRADUS_GRAPH_BATCH_H

//===- Infer.h - what the `infer` strings are made of -----------*- C++ -*-===//
//
// In an `infer` string an operand's name is its shape, an attribute's name its
// value. Rules return the result's shape(s), or report at the operand that is
// at fault. Each rule stands in the .cpp of the family that uses it.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_GRAPH_INFER_H
#define GRADUS_GRAPH_INFER_H

#include "Syntax.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/Support/FormatVariadic.h"

namespace gradus::graph {

/// An attribute's value as the strings see it.
inline double plain(const llvm::APFloat &f) { return f.convertToDouble(); }
inline int64_t plain(uint64_t v) { return v; } // what ODS gives for I64Attr
inline Shape plain(RankedTensorType t) { return Shape(t); }
template <typename T> T plain(T v) { return v; }

/// An operand's shape, and the value to report at. `failed` once a rule
/// refused it.
struct Arg : Shape {
  Value value;
  bool failed = false;
  Arg(Value v) : value(v) {
    if (v)
      static_cast<Shape &>(*this) = Shape(v);
  }
  explicit operator bool() const { return !!value; }
};
using Args = SmallVector<Arg>;
struct ArgsOf : Args {
  ArgsOf(ValueRange values) : Args(values.begin(), values.end()) {}
};

/// The shapes of an op's results, or a failure that is already reported.
struct Shapes {
  std::optional<SmallVector<Shape>> shapes;
  Shapes(const Shape &s) : shapes{{s}} {}
  Shapes(const Arg &a) {
    if (!a.failed)
      shapes = {static_cast<const Shape &>(a)};
  }
  Shapes(SmallVector<Shape> s) : shapes(std::move(s)) {}
  Shapes(Report::Failure &&) {}
  LogicalResult into(SmallVectorImpl<Type> &types) const {
    if (!shapes)
      return failure();
    for (const Shape &s : *shapes)
      types.push_back(s.type());
    return success();
  }
};

/// How a filter moves over an image.
struct Slide {
  List stride, dilation; ///< empty: 1 along every axis
  Padding padding;
  Dim groups;
};
/// Of an axis, in a list that may be left out.
inline int64_t stepOf(List steps, int64_t axis) {
  return steps.empty() ? 1 : steps[axis];
}
/// Windows lie side by side where no stride is given.
inline List strideOf(List window, List stride) {
  return stride.empty() ? window : stride;
}
/// The axes of windows in the tensor of all of them.
SmallVector<int64_t> windowAxes(List window);
/// Padding before and after an axis of `size` so that windows of `extent`
/// give ceil(size / stride) places.
std::pair<int64_t, int64_t> samePadding(int64_t size, int64_t extent,
                                        int64_t stride);

struct Infer {
  Report fail;

  // Elementwise.cpp
  Arg floats(Arg x), numbers(Arg x), truths(Arg x), integers(Arg x);
  Shapes broadcast(Arg a, Arg b), choose(Arg condition, Arg a, Arg b),
      convert(Arg x, Type to), as(Type element, Shapes s), scalar(Shapes s);
  // Shape.cpp
  Shapes expand(Arg x, Shape to), resize(Arg x, Shape to),
      permute(Arg x, Axes perm), within(Arg x, int64_t axis),
      within(Arg x, List axes),
      slice(Arg x, int64_t axis, int64_t start, int64_t length, int64_t step),
      pad(Arg x, int64_t axis, int64_t low, int64_t high, int64_t interior),
      concat(ArrayRef<Arg> inputs, int64_t axis),
      split(Arg x, int64_t parts, int64_t axis),
      rearrange(Arg x, StringRef pattern, DictionaryAttr sizes),
      sizeOf(Arg x, int64_t axis), counted(Shape to, int64_t axis);
  // Reduce.cpp
  Shapes reduce(Arg x, Axes axes, bool keepdims);
  // MatMul.cpp
  Shapes matmul(Arg a, Arg b, std::optional<Type> to),
      linear(Arg x, Arg w, Arg b),
      einsum(StringRef equation, ArrayRef<Arg> inputs);
  // Convolution.cpp
  Shapes conv(Arg x, Arg filter, Slide s),
      convInput(Arg g, Arg filter, Shape to, Slide s),
      convFilter(Arg x, Arg g, Shape to, Slide s),
      windows(Arg x, List window, List stride),
      fold(Arg g, Shape to, List window, List stride),
      pooled(Arg x, List window, List stride, Padding padding);
  // Index.cpp
  Shapes gather(Arg x, Arg ids, int64_t axis),
      scatter(Arg g, Arg ids, Shape to, int64_t axis),
      oneHot(Arg ids, Shape to);
  // Normalize.cpp
  Shapes layerNorm(Arg x, Arg gain, Arg bias);
  // Loss.cpp
  Shapes crossEntropy(Arg logits, Arg labels);
  // Random.cpp
  Shapes random(Arg seed, Shape to), dropout(Arg x, Arg seed, double rate);

private:
  /// Broadcasts dimension by dimension from the last one.
  bool unifyBroadcast(Dim &a, const Dim &b);
  std::optional<Report::Failure> checkImage(const Arg &x),
      checkSlide(const Slide &s, int64_t sizes),
      checkWindow(const Arg &x, List window, List stride);
  Report::Failure badAxis(const Arg &x, int64_t axis);
};

} // namespace gradus::graph

#endif // GRADUS_GRAPH_INFER_H

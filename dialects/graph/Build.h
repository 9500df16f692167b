//===- Build.h - what `decompose`, `vjp` and `derivative` are made of -----===//
//
// In those strings a name is a tensor `V`. Operators and functions build ops;
// they simplify as they go (`ct * 1.0` is `ct`), so that dumps carry no junk.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_GRAPH_BUILD_H
#define GRADUS_GRAPH_BUILD_H

#include "gradus/Graph.h"
#include <cmath>

namespace gradus::graph {

/// A tensor in the graph, or a plain number. A null tensor is the number 0:
/// an absent operand, or a cotangent that is zero.
class V {
public:
  V(double number) : number(number) {}
  V(ImplicitLocOpBuilder *builder, Value value)
      : builder(builder), tensor(value) {}

  explicit operator bool() const { return !!tensor; }
  bool is(double n) const { return !tensor && number == n; }
  /// Null is zero; any other number has met a tensor by now.
  Value value() const {
    assert((tensor || number == 0) && "a number where a tensor is needed");
    return tensor;
  }
  double asNumber() const { return number; }
  Shape shape() const { return Shape(tensor); }

  ImplicitLocOpBuilder *builder = nullptr;

private:
  Value tensor;
  double number = 0;
};

struct Vs : SmallVector<V> {
  Vs() = default;
  Vs(V v) : SmallVector<V>{v} {}
  Vs(double n) : SmallVector<V>{V(n)} {}
  Vs(std::initializer_list<V> vs) : SmallVector<V>(vs) {}
  Vs(ImplicitLocOpBuilder *b, ValueRange values) {
    for (Value v : values)
      push_back({b, v});
  }
  SmallVector<Value> values() const {
    SmallVector<Value> all;
    for (const V &v : *this)
      all.push_back(v.value());
    return all;
  }
};

inline Shape shape(const V &x) { return x.shape(); }
/// A number as a rank-0 constant of an element type.
V tensor(double n, ImplicitLocOpBuilder *b, Type element);
/// `n` in every element of a shape.
V constant(const V &like, const Shape &shape, double n);

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

V operator-(const V &a);
V operator+(V a, V b);
V operator-(V a, V b);
V operator*(V a, V b);
V operator/(V a, V b);
V exp(const V &x);
V log(const V &x);
V sqrt(const V &x);
V rsqrt(const V &x);
V sigmoid(const V &x);
V erf(const V &x);
V sin(const V &x);
V cos(const V &x);
V sign(const V &x);
V pow(V a, V b);
V eq(V a, V b);
V gt(V a, V b);
V ge(V a, V b);
V select(const V &condition, V a, V b);
V convert(const V &x, Type element);
/// 1 where the condition holds, else 0, in the element type (of `like`).
V indicator(const V &condition, Type element);
V indicator(const V &condition, const V &like);
/// 1 where a > b, 1/2 where they are equal, else 0: the derivative of max.
V favours(const V &a, const V &b);

//===----------------------------------------------------------------------===//
// Shape
//===----------------------------------------------------------------------===//

V reshape(const V &x, const Shape &to);
V broadcast(const V &x, const Shape &to);
V transpose(const V &x, Axes perm = std::nullopt);
/// Axis `from` becomes axis `to`; the others keep their order.
V moveAxis(const V &x, int64_t from, int64_t to);
V reverse(const V &x, List axes);
V slice(const V &x, int64_t axis, int64_t start, int64_t length, int64_t step);
V pad(const V &x, int64_t axis, int64_t low, int64_t high, int64_t interior,
      double value);
V concat(const Vs &xs, int64_t axis);
V rearrange(const V &x, StringRef pattern, DictionaryAttr sizes,
            const Shape &to);
/// `g` summed down to the shape of `x`: the transpose of broadcasting.
V like(const V &x, const V &g);
/// The permutation that undoes one.
struct Permutation {
  std::optional<SmallVector<int64_t>> order;
  operator Axes() const { return order ? Axes(List(*order)) : std::nullopt; }
};
Permutation inverse(Axes perm);
/// The size of an axis as a number: known, or the op `size`.
V size(const V &x, int64_t axis);
/// The size of an axis where a rule needs it now; an error if it has none.
int64_t extent(const V &x, int64_t axis);
/// The same of a dimension.
int64_t sizeOf(ImplicitLocOpBuilder &b, const Dim &d);
/// Where element `i` of a concatenation starts.
int64_t offset(const Vs &xs, int64_t axis, unsigned i);
/// The number of elements under the axes, in the element type of `as`.
V elements(const V &x, Axes axes, const V &as);
inline V elements(const V &x, Axes axes) { return elements(x, axes, x); }
/// x / sum, where many elements share one sum that is no less than 1 and no
/// more than a size: such a sum has a reciprocal.
V shares(const V &x, const V &sum);
V iota(ImplicitLocOpBuilder &b, const Shape &to, int64_t axis);

//===----------------------------------------------------------------------===//
// Reductions, products
//===----------------------------------------------------------------------===//

V reduce_sum(const V &x, Axes axes, bool keepdims);
V reduce_sum(const V &x, std::initializer_list<int64_t> axes, bool keepdims);
V reduce_max(const V &x, std::initializer_list<int64_t> axes, bool keepdims);
V reduce_max(const V &x, List axes, bool keepdims);
V reduce_prod(const V &x, Axes axes, bool keepdims);
/// The shape of `x` with the reduced axes kept as 1.
Shape kept(const V &x, Axes axes);
/// The cotangent of a maximum or minimum, shared by equal ones.
V shared(const V &x, const V &out, const V &ct, Axes axes);
V matmul(const V &a, const V &b);
/// ct rhs' and lhs' ct, summed to the shape of the operand: over leading axes
/// that it lacks in the same product.
V matmulLhsGradient(const V &lhs, const V &rhs, const V &ct);
V matmulRhsGradient(const V &lhs, const V &rhs, const V &ct);
/// matmul of x's rows, whatever its leading axes, with a matrix.
V matmul2d(const V &x, const V &w);
/// The gradient of an einsum is an einsum: the result's letters change places
/// with the operand's.
V einsumTranspose(StringRef equation, const Vs &inputs, unsigned i,
                  const V &ct);

//===----------------------------------------------------------------------===//
// Windows, look-up, rows, random numbers
//===----------------------------------------------------------------------===//

V conv(const V &x, const V &filter, Slide s);
V conv_input(const V &g, const V &filter, const Shape &to, Slide s);
V conv_filter(const V &x, const V &g, const Shape &to, Slide s);
/// conv_input as a conv: of the spread-out cotangent with the filter
/// turned round.
V convInputParts(const V &g, const V &filter, const Shape &to, Slide s);
V windows(const V &x, List window, List stride);
V fold(const V &g, const Shape &to, List window, List stride);
V padded(const V &x, List window, List stride, Padding padding, double value);
V gather(const V &x, const V &ids, int64_t axis);
V scatter_add(const V &g, const V &ids, const Shape &to, int64_t axis);
V one_hot(const V &ids, const Shape &to);
/// A new last axis of size 1.
V append(const V &x);
/// A shape with the element type of `like`.
Shape typed(Shape s, const V &like);
V softmax(const V &x, int64_t axis);
V log_softmax(const V &x, int64_t axis);
/// Rows with mean 0 and variance 1, and the factor that made them so.
std::pair<V, V> normalized(const V &x, double eps);
V uniform(const V &seed, const Shape &to, int64_t stream);
/// Missing cotangents of some results filled with zeros, once one is there.
Vs cotangents(ImplicitLocOpBuilder *b, ValueRange cts, const Vs &outs);

} // namespace gradus::graph

#endif // GRADUS_GRAPH_BUILD_H

//===- Array.h - a tensor of doubles ----------------------------*- C++ -*-===//
//
// The value that the reference interpreter computes with, and the one loop it
// is written in: an index space walked together with an offset for each array.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_GRAPH_ARRAY_H
#define GRADUS_GRAPH_ARRAY_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include <array>
#include <cstdint>
#include <vector>

namespace gradus::graph {

struct Array {
  llvm::SmallVector<int64_t> shape;
  std::vector<double> data;

  Array() = default;
  explicit Array(llvm::ArrayRef<int64_t> shape, double fill = 0)
      : shape(shape.begin(), shape.end()), data(count(shape), fill) {}

  static int64_t count(llvm::ArrayRef<int64_t> shape) {
    int64_t n = 1;
    for (int64_t d : shape)
      n *= d;
    return n;
  }
  int64_t rank() const { return shape.size(); }
  /// Row-major.
  llvm::SmallVector<int64_t> strides() const {
    llvm::SmallVector<int64_t> s(rank(), 1);
    for (int64_t i = rank() - 1; i-- > 0;)
      s[i] = s[i + 1] * shape[i + 1];
    return s;
  }
  /// Strides under an index space of more axes: an axis of size 1 repeats.
  llvm::SmallVector<int64_t> broadcastStrides(int64_t spaceRank) const {
    llvm::SmallVector<int64_t> s(spaceRank, 0), own = strides();
    for (int64_t i = 0; i < rank(); ++i)
      s[spaceRank - rank() + i] = shape[i] == 1 ? 0 : own[i];
    return s;
  }
};

using Strides = llvm::SmallVector<int64_t>;

/// Calls `f(offsets)` for every index of `space`, in row-major order;
/// `offsets[k]` moves by `strides[k]`.
template <size_t N, typename F>
void forEachIndex(llvm::ArrayRef<int64_t> space, std::array<int64_t, N> offsets,
                  const std::array<Strides, N> &strides, F &&f) {
  llvm::SmallVector<int64_t> index(space.size(), 0);
  for (int64_t n = Array::count(space); n-- > 0;) {
    f(offsets);
    for (int64_t axis = space.size(); axis-- > 0;) {
      for (size_t k = 0; k < N; ++k)
        offsets[k] += strides[k][axis];
      if (++index[axis] < space[axis])
        break;
      for (size_t k = 0; k < N; ++k)
        offsets[k] -= strides[k][axis] * space[axis];
      index[axis] = 0;
    }
  }
}

} // namespace gradus::graph

#endif // GRADUS_GRAPH_ARRAY_H

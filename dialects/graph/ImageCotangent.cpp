//===- ImageCotangent.cpp - what a convolution hands back to its image ----===//
//
// Row h of the image meets row o of the result and tap k of the filter where
//
//   o * stride + k * dilation - low = h.
//
// With the result's rows `stride` apart, between zeros, and the taps in reverse
// order that is a convolution of stride 1; but of stride^n products, in n
// dimensions, one is not with zero. If taps are not dilated, rows fall into
// phases instead, as many as the stride is long: for h + low = m * stride + a
// and k = t * stride + a it is o = m - t. Each phase is a convolution of stride
// 1 with every stride'th tap, and the rows of the phases lie by turns. A single
// tap is convolved first and its rows set apart then.
//
//===----------------------------------------------------------------------===//

#include "Build.h"
#include "Infer.h"

using namespace gradus;
using namespace gradus::graph;

/// [taps, in, group * out] -> [taps, out, group * in], taps in reverse order.
static V turnedFilter(const V &f, int64_t groups) {
  Shape taps = f.shape();
  int64_t sizes = taps.rank() - 2;
  SmallVector<int64_t> tapAxes = llvm::to_vector(llvm::seq<int64_t>(0, sizes));
  Dim perGroup{extent(f, sizes + 1) / groups}, group{groups};
  auto withTaps = [&](ArrayRef<Dim> rest) {
    SmallVector<Dim> dims(taps.dims.begin(), taps.dims.begin() + sizes);
    llvm::append_range(dims, rest);
    return Shape(taps.element, dims);
  };
  SmallVector<int64_t> perm(tapAxes);
  perm.append({sizes + 2, sizes + 1, sizes});
  V turned = reverse(f, tapAxes);
  turned = reshape(turned, withTaps({taps[-2], group, perGroup}));
  turned = transpose(turned, List(perm));
  return reshape(turned, withTaps({perGroup, Dim{taps[-2].size * groups}}));
}

/// More elements of an axis, zeros, or fewer.
static V extended(V x, int64_t axis, int64_t low, int64_t high) {
  if (low < 0)
    x = slice(x, axis, -low, extent(x, axis) + low, 1);
  if (high < 0)
    x = slice(x, axis, 0, extent(x, axis) + high, 1);
  return low > 0 || high > 0 ? pad(x, axis, std::max<int64_t>(low, 0),
                                   std::max<int64_t>(high, 0), 0, 0.0)
                             : x;
}

namespace {
class ImageCotangent {
public:
  ImageCotangent(const Shape &to, Slide s) : to(to), s(s) {}

  /// Of the axes from the `i`th on; the others of `g` are as they are to be
  /// convolved.
  V from(size_t i, const V &g, const V &f) const {
    Shape taps = f.shape();
    if (i == size_t(taps.rank() - 2))
      return conv(g, turnedFilter(f, sizeOf(*g.builder, s.groups)),
                  Slide{{}, s.dilation, Padding::valid, s.groups});
    int64_t axis = 1 + i, stride = stepOf(s.stride, i),
            dilation = stepOf(s.dilation, i), count = taps[i].size,
            results = extent(g, axis), reach = (count - 1) * dilation;
    int64_t size = to[axis].known() ? to[axis].size : results;
    int64_t low = s.padding == Padding::same
                      ? samePadding(size, reach + 1, stride).first
                      : 0;
    int64_t last = (results - 1) * stride;
    if (count == 1 && low == 0)
      return pad(from(i + 1, g, f), axis, 0, size - last - 1, stride - 1, 0.0);
    if (stride > 1 && (dilation > 1 || count < stride || !isMuchWork(taps)))
      return from(
          i + 1,
          pad(g, axis, reach - low, size + low - last - 1, stride - 1, 0.0), f);
    // Phases have the rows m from `first` on.
    int64_t first = low / stride, rows = (size - 1 + low) / stride - first + 1;
    Vs phases;
    for (int64_t a = 0; a < stride; ++a) {
      int64_t own = llvm::divideCeil(count - a, stride);
      V every = stride == 1 ? f : slice(f, i, a, own, stride);
      V met = extended(g, axis, (own - 1) * dilation - first,
                       first + rows - results);
      phases.push_back(from(i + 1, met, every));
    }
    return stride == 1 ? phases[0]
                       : byTurns(phases, axis, low - first * stride, size);
  }

private:
  /// Of few products the zeros cost less than to put phases by turns.
  bool isMuchWork(const Shape &taps) const {
    constexpr int64_t leastProducts = 64;
    int64_t products = taps[-1].size / std::max<int64_t>(s.groups.size, 1);
    for (const Dim &d : ArrayRef(taps.dims).drop_back(2))
      products *= d.size;
    return products >= leastProducts;
  }
  /// Rows of each in turn; of them those from `start` on.
  static V byTurns(Vs &phases, int64_t axis, int64_t start, int64_t size) {
    Shape one = phases[0].shape(), apart = one, together = one;
    auto *behind = apart.dims.begin() + axis + 1;
    apart.dims.insert(behind, Dim{1});
    together.dims[axis] = Dim{one[axis].size * int64_t(phases.size())};
    for (V &phase : phases)
      phase = reshape(phase, apart);
    V all = reshape(concat(phases, axis + 1), together);
    return slice(all, axis, start, size, 1);
  }

  const Shape &to;
  Slide s;
};
} // namespace

V graph::convInputParts(const V &g, const V &f, const Shape &to, Slide s) {
  return ImageCotangent(to, s).from(0, g, f);
}

//===- Convolution.cpp - sums of products over windows of an image --------===//

#include "Build.h"

using namespace gradus;
using namespace gradus::graph;

#define GET_OP_CLASSES
#include "dialects/graph/Convolution.cpp.inc"

std::pair<int64_t, int64_t> graph::samePadding(int64_t size, int64_t extent,
                                               int64_t stride) {
  int64_t places = llvm::divideCeil(size, stride);
  int64_t total = std::max<int64_t>(0, (places - 1) * stride + extent - size);
  return {total / 2, total - total / 2};
}

//===----------------------------------------------------------------------===//
// Shape rules
//===----------------------------------------------------------------------===//

/// The number of places of a window along an axis; unknown where it depends on
/// an unknown size. False when the window does not fit.
static bool slide(Dim &d, int64_t extent, int64_t stride, Padding padding) {
  if (padding == Padding::same) {
    if (d.known())
      d.size = llvm::divideCeil(d.size, stride);
    else if (stride != 1)
      d = Dim();
    return true;
  }
  if (!d.known()) {
    d = Dim();
    return true;
  }
  if (d.size < extent)
    return false;
  d.size = (d.size - extent) / stride + 1;
  return true;
}

static bool pairOfPositive(List l) {
  return l.size() == 2 && l[0] > 0 && l[1] > 0 && l[0] < (1 << 20) &&
         l[1] < (1 << 20);
}

std::optional<Report::Failure> Infer::checkSlide(const Slide &s) {
  if (!pairOfPositive(s.stride))
    return fail() << "stride must be two positive numbers";
  if (!pairOfPositive(s.dilation))
    return fail() << "dilation must be two positive numbers";
  if (s.groups < 1)
    return fail() << "groups must be positive";
  return {};
}

Shapes Infer::conv2d(Arg x, Arg f, Slide s) {
  if (x.failed)
    return x;
  if (auto failure = checkSlide(s))
    return std::move(*failure);
  if (x.rank() != 4)
    return fail(x.value) << "expected [batch, height, width, channel], not "
                         << x.str();
  if (f.rank() != 4 || f.element != x.element)
    return fail(f.value)
           << "expected a filter [height, width, channel / groups, output "
              "channel] of "
           << llvm::formatv("{0}", x.element).str() << ", not " << f.str();
  Dim channels = f[2];
  if (channels.known())
    channels.size *= s.groups;
  if (Dim have = x[3];
      (s.groups > 1 && !f[2].known()) || !unify(have, channels))
    return fail(f.value) << "the filter takes " << f[2].str()
                         << (s.groups > 1 ? " channels a group" : " channels")
                         << ", but the image has " << x[3].str()
                         << (s.groups > 1 ? " in all" : "");
  if (f[3].known() && f[3].size % s.groups != 0)
    return fail(f.value) << f[3].str() << " output channels do not divide into "
                         << s.groups << " groups";
  Shape out = x;
  out.element = productType(x.element);
  for (int i : {0, 1}) {
    // A filter of no size yet fits, and leaves the size open.
    int64_t reach = f[i].known() ? (f[i].size - 1) * s.dilation[i] + 1 : 1;
    if (!f[i].known() && s.padding == Padding::valid)
      out[1 + i] = Dim();
    if (!slide(out[1 + i], reach, s.stride[i], s.padding))
      return fail(x.value) << "the filter, " << f.str()
                           << ", does not fit into " << x.str();
  }
  out[3] = f[3];
  return out;
}
Shapes Infer::conv2dInput(Arg g, Arg f, Shape to, Slide s) {
  Arg image(Value{});
  static_cast<Shape &>(image) = to;
  Shapes forward = conv2d(image, f, s);
  if (forward.shapes && forward.shapes->front().type() != g.type())
    return fail(g.value) << "the convolution of " << to.str() << " with "
                         << f.str() << " gives "
                         << forward.shapes->front().str() << ", not "
                         << g.str();
  return forward.shapes ? Shapes(to) : forward;
}
Shapes Infer::conv2dFilter(Arg x, Arg g, Shape to, Slide s) {
  Arg filter(Value{});
  static_cast<Shape &>(filter) = to;
  Shapes forward = conv2d(x, filter, s);
  if (forward.shapes && forward.shapes->front().type() != g.type())
    return fail(g.value) << "the convolution of " << x.str() << " with "
                         << to.str() << " gives "
                         << forward.shapes->front().str() << ", not "
                         << g.str();
  return forward.shapes ? Shapes(to) : forward;
}

Shapes Infer::windows(Arg x, List window, List stride) {
  if (!pairOfPositive(window) || !pairOfPositive(stride))
    return fail() << "window and stride must be two positive numbers each";
  if (x.rank() != 4)
    return fail(x.value) << "expected [batch, height, width, channel], not "
                         << x.str();
  Shape out = x;
  for (int i : {0, 1})
    if (!slide(out[1 + i], window[i], stride[i], Padding::valid))
      return fail(x.value) << "a window of " << window[0] << " x " << window[1]
                           << " does not fit into " << x.str();
  out.dims.insert(out.dims.begin() + 3, {Dim{window[0]}, Dim{window[1]}});
  return out;
}
Shapes Infer::fold(Arg g, Shape to, List window, List stride) {
  Arg image(Value{});
  static_cast<Shape &>(image) = to;
  Shapes forward = windows(image, window, stride);
  if (forward.shapes && forward.shapes->front().type() != g.type())
    return fail(g.value) << "the windows of " << to.str() << " are "
                         << forward.shapes->front().str() << ", not "
                         << g.str();
  return forward.shapes ? Shapes(to) : forward;
}
Shapes Infer::pooled(Arg x, List window, List stride, Padding padding) {
  if (x.failed)
    return x;
  if (!pairOfPositive(window) || !pairOfPositive(stride))
    return fail() << "window and stride must be two positive numbers each";
  if (x.rank() != 4)
    return fail(x.value) << "expected [batch, height, width, channel], not "
                         << x.str();
  Shape out = x;
  for (int i : {0, 1})
    if (!slide(out[1 + i], window[i], stride[i], padding))
      return fail(x.value) << "a window of " << window[0] << " x " << window[1]
                           << " does not fit into " << x.str();
  return out;
}

//===----------------------------------------------------------------------===//
// Expressions
//===----------------------------------------------------------------------===//

V graph::conv2d(const V &x, const V &f, Slide s) {
  if (!x || !f)
    return 0.0;
  return {x.builder,
          Conv2DOp::create(*x.builder, x.value(), f.value(), s.stride,
                           s.padding, s.dilation, s.groups)};
}
V graph::conv2d_input(const V &g, const V &f, const Shape &to, Slide s) {
  if (!g || !f)
    return 0.0;
  return {g.builder, Conv2DInputOp::create(
                         *g.builder, to.type(), g.value(), f.value(),
                         TypeAttr::get(to.type()),
                         g.builder->getDenseI64ArrayAttr(s.stride),
                         PaddingAttr::get(g.builder->getContext(), s.padding),
                         g.builder->getDenseI64ArrayAttr(s.dilation),
                         g.builder->getI64IntegerAttr(s.groups))};
}
V graph::conv2d_filter(const V &x, const V &g, const Shape &to, Slide s) {
  if (!x || !g)
    return 0.0;
  return {x.builder, Conv2DFilterOp::create(
                         *x.builder, to.type(), x.value(), g.value(),
                         TypeAttr::get(to.type()),
                         x.builder->getDenseI64ArrayAttr(s.stride),
                         PaddingAttr::get(x.builder->getContext(), s.padding),
                         x.builder->getDenseI64ArrayAttr(s.dilation),
                         x.builder->getI64IntegerAttr(s.groups))};
}

V graph::conv2dInputParts(const V &g, const V &f, const Shape &to, Slide s) {
  // Row h of the image meets row o of the result and tap k of the filter where
  // o * stride + k * dilation - low = h. With the result's rows `stride` apart
  // and the taps in reverse order, that is a convolution of stride 1.
  V spread = g;
  Shape places = g.shape(), taps = f.shape();
  for (int i : {0, 1}) {
    int64_t axis = 1 + i, reach = (taps[i].size - 1) * s.dilation[i];
    int64_t size = to[axis].known() ? to[axis].size : extent(g, axis);
    int64_t low = s.padding == Padding::same
                      ? samePadding(size, reach + 1, s.stride[i]).first
                      : 0;
    int64_t last = (extent(g, axis) - 1) * s.stride[i];
    spread = pad(spread, axis, reach - low, size + low - last - 1,
                 s.stride[i] - 1, 0.0);
  }
  // [kh, kw, in, group, out] -> [kh, kw, out, group, in]
  Dim perGroup{extent(f, 3) / s.groups}, group{s.groups};
  V turned = reverse(f, {0, 1});
  turned = reshape(turned, Shape(taps.element,
                                 {taps[0], taps[1], taps[2], group, perGroup}));
  turned = transpose(turned, List{0, 1, 4, 3, 2});
  turned = reshape(turned, Shape(taps.element, {taps[0], taps[1], perGroup,
                                                Dim{taps[2].size * s.groups}}));
  return conv2d(spread, turned,
                Slide{{1, 1}, s.dilation, Padding::valid, s.groups});
}

V graph::windows(const V &x, List window, List stride) {
  if (!x)
    return x;
  return {x.builder, WindowsOp::create(*x.builder, x.value(), window, stride)};
}
V graph::fold(const V &g, const Shape &to, List window, List stride) {
  if (!g)
    return g;
  ImplicitLocOpBuilder &b = *g.builder;
  return {&b, FoldOp::create(b, to.type(), g.value(), TypeAttr::get(to.type()),
                             b.getDenseI64ArrayAttr(window),
                             b.getDenseI64ArrayAttr(stride))};
}
V graph::padded(const V &x, List window, List stride, Padding padding,
                double value) {
  V out = x;
  if (padding == Padding::same)
    for (int i : {0, 1}) {
      auto [low, high] = samePadding(extent(x, 1 + i), window[i], stride[i]);
      out = pad(out, 1 + i, low, high, 0, value);
    }
  return out;
}

//===----------------------------------------------------------------------===//
// Reference
//===----------------------------------------------------------------------===//

/// Calls `f(offset in x, in filter, in y)` for every product that conv2d adds.
template <typename Op, typename F>
static void convolve(Op op, const Array &x, const Array &filter, const Array &y,
                     F f) {
  int64_t low[2] = {0, 0};
  for (int i : {0, 1})
    if (op.getPadding() == Padding::same)
      low[i] = samePadding(x.shape[1 + i],
                           (filter.shape[i] - 1) * op.getDilation()[i] + 1,
                           op.getStride()[i])
                   .first;
  Strides sx = x.strides(), sf = filter.strides(), sy = y.strides();
  int64_t inGroup = filter.shape[2], groups = op.getGroups();
  int64_t outGroup = filter.shape[3] / groups;
  int64_t places[] = {y.shape[0], y.shape[1], y.shape[2], filter.shape[0],
                      filter.shape[1]};
  SmallVector<int64_t> at(5);
  auto unit = [&](int64_t axis) {
    Strides s(5, 0);
    s[axis] = 1;
    return s;
  };
  forEachIndex<5>(
      places, {0, 0, 0, 0, 0}, {unit(0), unit(1), unit(2), unit(3), unit(4)},
      [&](auto p) {
        auto [n, oh, ow, kh, kw] = p;
        int64_t h = oh * op.getStride()[0] + kh * op.getDilation()[0] - low[0];
        int64_t w = ow * op.getStride()[1] + kw * op.getDilation()[1] - low[1];
        if (h < 0 || h >= x.shape[1] || w < 0 || w >= x.shape[2])
          return;
        int64_t px = n * sx[0] + h * sx[1] + w * sx[2];
        int64_t pf = kh * sf[0] + kw * sf[1];
        int64_t py = n * sy[0] + oh * sy[1] + ow * sy[2];
        for (int64_t g = 0; g < groups; ++g)
          for (int64_t c = 0; c < inGroup; ++c)
            for (int64_t o = g * outGroup; o < (g + 1) * outGroup; ++o)
              f(px + g * inGroup + c, pf + c * sf[2] + o, py + o);
      });
}
SmallVector<Array> Conv2DOp::evaluate(ArrayRef<Array> in) {
  Array y(cast<RankedTensorType>(getType()).getShape());
  convolve(*this, in[0], in[1], y, [&](int64_t x, int64_t f, int64_t o) {
    y.data[o] += in[0].data[x] * in[1].data[f];
  });
  return {y};
}
SmallVector<Array> Conv2DFilterOp::evaluate(ArrayRef<Array> in) {
  Array filter(cast<RankedTensorType>(getType()).getShape());
  convolve(*this, in[0], filter, in[1], [&](int64_t x, int64_t f, int64_t o) {
    filter.data[f] += in[0].data[x] * in[1].data[o];
  });
  return {filter};
}

/// Strides of an image under the index space of its windows.
static Strides windowStrides(const Array &image, List stride) {
  Strides s = image.strides();
  return {s[0], s[1] * stride[0], s[2] * stride[1], s[1], s[2], s[3]};
}
SmallVector<Array> WindowsOp::evaluate(ArrayRef<Array> in) {
  Array out(cast<RankedTensorType>(getType()).getShape());
  forEachIndex<2>(out.shape, {0, 0},
                  {windowStrides(in[0], getStride()), out.strides()},
                  [&](auto at) { out.data[at[1]] = in[0].data[at[0]]; });
  return {out};
}
SmallVector<Array> FoldOp::evaluate(ArrayRef<Array> in) {
  Array out(cast<RankedTensorType>(getType()).getShape());
  forEachIndex<2>(in[0].shape, {0, 0},
                  {in[0].strides(), windowStrides(out, getStride())},
                  [&](auto at) { out.data[at[1]] += in[0].data[at[0]]; });
  return {out};
}

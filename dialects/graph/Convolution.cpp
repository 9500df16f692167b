//===- Convolution.cpp - sums of products over windows of an image --------===//

#include "Batch.h"
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
/// an unknown size. False when the window does not fit, or one of the two is
/// nothing.
static bool slide(Dim &d, int64_t extent, int64_t stride, Padding padding) {
  if (extent <= 0 || (d.known() && d.size == 0))
    return false;
  if (padding == Padding::same) {
    if (d.known())
      d.size = llvm::divideCeil(d.size, stride);
    else if (stride != 1)
      d = Dim();
    return true;
  }
  if (!d.known()) {
    if (extent != 1 || stride != 1)
      d = Dim();
    return true;
  }
  if (d.size < extent)
    return false;
  d.size = (d.size - extent) / stride + 1;
  return true;
}

/// A window of one to three sizes, and steps for each or none.
static bool arePositive(List l, size_t count) {
  return l.size() == count &&
         llvm::all_of(l, [](int64_t n) { return n > 0 && n < (1 << 20); });
}
static bool areSteps(List l, int64_t sizes) {
  return l.empty() || arePositive(l, sizes);
}
static int64_t sizesOf(const Shape &image) { return image.rank() - 2; }

std::optional<Report::Failure> Infer::checkImage(const Arg &x) {
  if (sizesOf(x) < 1 || sizesOf(x) > 3)
    return fail(x.value) << "expected [batch, sizes, channel] with one to "
                            "three sizes, not "
                         << x.str();
  return {};
}
std::optional<Report::Failure> Infer::checkSlide(const Slide &s,
                                                 int64_t sizes) {
  auto wrong = [&](StringRef name) -> Report::Failure {
    return fail() << name << " must be " << sizes << " positive number"
                  << (sizes == 1 ? "" : "s") << ", one for each size";
  };
  if (!areSteps(s.stride, sizes))
    return wrong("stride");
  if (!areSteps(s.dilation, sizes))
    return wrong("dilation");
  if (s.groups.known() && s.groups.size < 1)
    return fail() << "groups must be positive";
  return {};
}
std::optional<Report::Failure> Infer::checkWindow(const Arg &x, List window,
                                                  List stride) {
  if (auto failure = checkImage(x))
    return failure;
  int64_t sizes = sizesOf(x);
  if (!arePositive(window, sizes) || !areSteps(stride, sizes))
    return fail() << "window and stride must be " << sizes << " positive number"
                  << (sizes == 1 ? "" : "s") << " each, one for each size of "
                  << x.str();
  return {};
}

Shapes Infer::conv(Arg x, Arg f, Slide s) {
  if (x.failed)
    return x;
  if (auto failure = checkImage(x))
    return std::move(*failure);
  int64_t sizes = sizesOf(x);
  if (auto failure = checkSlide(s, sizes))
    return std::move(*failure);
  if (f.rank() != x.rank() || f.element != x.element)
    return fail(f.value) << "expected a filter [" << sizes
                         << (sizes == 1 ? " size" : " sizes")
                         << ", channel / groups, output channel] of "
                         << llvm::formatv("{0}", x.element).str() << ", not "
                         << f.str();
  bool several = s.groups != Dim{1};
  Dim channels = f[-2];
  if (channels == Dim{1})
    channels = s.groups;
  else if (several && s.groups.known() && channels.known())
    channels.size *= s.groups.size;
  else if (several) // no size has this number
    channels = Dim();
  if (Dim have = x[-1]; (several && !f[-2].known()) || !unify(have, channels)) {
    auto refusal = fail(f.value)
                   << "the filter takes " << f[-2].str()
                   << (several ? " channels a group" : " channels")
                   << ", but the image has " << x[-1].str();
    return several ? std::move(refusal) << " in all, and there are "
                                        << s.groups.str() << " groups"
                   : std::move(refusal);
  }
  if (f[-1].known() && s.groups.known() && f[-1].size % s.groups.size != 0)
    return fail(f.value) << f[-1].str()
                         << " output channels do not divide into "
                         << s.groups.str() << " groups";
  Shape out = x;
  out.element = productType(x.element);
  for (int64_t i = 0; i < sizes; ++i) {
    // A filter of no size yet fits, and leaves the size open.
    int64_t reach =
        f[i].known() ? (f[i].size - 1) * stepOf(s.dilation, i) + 1 : 1;
    if (!f[i].known() && s.padding == Padding::valid)
      out[1 + i] = Dim();
    if (!slide(out[1 + i], reach, stepOf(s.stride, i), s.padding))
      return fail(x.value) << "the filter, " << f.str()
                           << ", does not fit into " << x.str();
  }
  out[-1] = f[-1];
  return out;
}
Shapes Infer::convInput(Arg g, Arg f, Shape to, Slide s) {
  Arg image(Value{});
  static_cast<Shape &>(image) = to;
  Shapes forward = conv(image, f, s);
  if (forward.shapes && forward.shapes->front().type() != g.type())
    return fail(g.value) << "the convolution of " << to.str() << " with "
                         << f.str() << " gives "
                         << forward.shapes->front().str() << ", not "
                         << g.str();
  return forward.shapes ? Shapes(to) : forward;
}
Shapes Infer::convFilter(Arg x, Arg g, Shape to, Slide s) {
  Arg filter(Value{});
  static_cast<Shape &>(filter) = to;
  Shapes forward = conv(x, filter, s);
  if (forward.shapes && forward.shapes->front().type() != g.type())
    return fail(g.value) << "the convolution of " << x.str() << " with "
                         << to.str() << " gives "
                         << forward.shapes->front().str() << ", not "
                         << g.str();
  return forward.shapes ? Shapes(to) : forward;
}

/// "3 x 2"
static std::string bySizes(List window) {
  std::string s;
  for (int64_t n : window)
    s += (s.empty() ? "" : " x ") + std::to_string(n);
  return s;
}

Shapes Infer::windows(Arg x, List window, List stride) {
  Shapes places = pooled(x, window, stride, Padding::valid);
  if (!places.shapes)
    return places;
  Shape &out = places.shapes->front();
  for (int64_t n : window)
    out.dims.insert(out.dims.end() - 1, Dim{n});
  return places;
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
  if (auto failure = checkWindow(x, window, stride))
    return std::move(*failure);
  Shape out = x;
  for (int64_t i = 0; i < sizesOf(x); ++i)
    if (!slide(out[1 + i], window[i], stepOf(stride, i), padding))
      return fail(x.value) << "a window of " << bySizes(window)
                           << " does not fit into " << x.str();
  return out;
}

//===----------------------------------------------------------------------===//
// Expressions
//===----------------------------------------------------------------------===//

static TypeAttr groupsAttr(ImplicitLocOpBuilder &b, const Slide &s) {
  return s.groups == Dim{1} ? TypeAttr() : extentAttr(b.getContext(), s.groups);
}

V graph::conv(const V &x, const V &f, Slide s) {
  if (!x || !f)
    return 0.0;
  return {x.builder,
          ConvOp::create(*x.builder, x.value(), f.value(),
                         x.builder->getDenseI64ArrayAttr(s.stride),
                         PaddingAttr::get(x.builder->getContext(), s.padding),
                         x.builder->getDenseI64ArrayAttr(s.dilation),
                         groupsAttr(*x.builder, s))};
}
V graph::conv_input(const V &g, const V &f, const Shape &to, Slide s) {
  if (!g || !f)
    return 0.0;
  return {g.builder, ConvInputOp::create(
                         *g.builder, to.type(), g.value(), f.value(),
                         TypeAttr::get(to.type()),
                         g.builder->getDenseI64ArrayAttr(s.stride),
                         PaddingAttr::get(g.builder->getContext(), s.padding),
                         g.builder->getDenseI64ArrayAttr(s.dilation),
                         groupsAttr(*g.builder, s))};
}
V graph::conv_filter(const V &x, const V &g, const Shape &to, Slide s) {
  if (!x || !g)
    return 0.0;
  return {x.builder, ConvFilterOp::create(
                         *x.builder, to.type(), x.value(), g.value(),
                         TypeAttr::get(to.type()),
                         x.builder->getDenseI64ArrayAttr(s.stride),
                         PaddingAttr::get(x.builder->getContext(), s.padding),
                         x.builder->getDenseI64ArrayAttr(s.dilation),
                         groupsAttr(*x.builder, s))};
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
    for (int64_t i = 0; i < int64_t(window.size()); ++i) {
      auto [low, high] =
          samePadding(extent(x, 1 + i), window[i], stepOf(stride, i));
      out = pad(out, 1 + i, low, high, 0, value);
    }
  return out;
}
SmallVector<int64_t> graph::windowAxes(List window) {
  int64_t n = window.size();
  return llvm::to_vector(llvm::seq<int64_t>(n + 1, 2 * n + 1));
}

//===----------------------------------------------------------------------===//
// Under vmap
//===----------------------------------------------------------------------===//

/// As many groups as there are examples, one at least, or so many each.
static bool canBeGroups(Dim examples, Dim groups) {
  return examples.known() && examples.size > 0 && groups.known();
}

V graph::batchedConv(const Mapped &x, const Mapped &f, Slide s) {
  if (!f.mapped)
    return apart(x.mapped ? conv(together(x), f, s) : V(0.0), x);
  // Each example is a group, or some, of one convolution.
  int64_t rank = f.one.rank(), groups = s.groups.size;
  Dim n = f.n, outputs = f.one[-1];
  if (!canBeGroups(n, s.groups) || !outputs.known() || !x.one[-1].known())
    return 0.0;
  if (x.mapped) {
    s.groups.size *= n.size;
    V all = conv(merge(moveAxis(x, 0, rank - 1), rank - 1),
                 merge(moveAxis(f, 0, rank - 1), rank - 1), s);
    return moveAxis(split(all, -1, n, outputs), rank - 1, 0);
  }
  // The same images: the examples are more output channels of each group.
  Dim perGroup{outputs.size / groups}, perExample{n.size * perGroup.size};
  V filters = moveAxis(split(f, -1, {groups}, perGroup), 0, rank);
  V all = conv(x, merge(merge(filters, rank - 1), rank - 1), s);
  all = split(split(all, -1, {groups}, perExample), -1, n, perGroup);
  return merge(moveAxis(all, rank, 0), rank);
}

V graph::batchedConvInput(const Mapped &g, const Mapped &f, const Shape &to,
                          Slide s) {
  if (f.mapped || !mergeable(g.n, to[0]))
    return 0.0; // its parts are a convolution
  V image = together(g);
  Shape all = to;
  all[0] = image ? image.shape()[0] : to[0];
  return apart(conv_input(image, f, all, s), g);
}

V graph::batchedConvFilter(const Mapped &x, const Mapped &g, const Shape &to,
                           Slide s) {
  int64_t rank = to.rank();
  Dim n = x.n, outputs = to[-1];
  if (!canBeGroups(n, s.groups) || !outputs.known() || !x.one[-1].known())
    return 0.0;
  s.groups.size *= n.size;
  Shape filters = to;
  filters[-1] = {n.size * outputs.size};
  V all = conv_filter(merge(moveAxis(spread(x), 0, rank - 1), rank - 1),
                      merge(moveAxis(spread(g), 0, rank - 1), rank - 1),
                      filters, s);
  return moveAxis(split(all, -1, n, outputs), rank - 1, 0);
}

//===----------------------------------------------------------------------===//
// Reference
//===----------------------------------------------------------------------===//

/// Calls `f(index)` for every index of `space`, in row-major order.
static void forEachPlace(ArrayRef<int64_t> space,
                         function_ref<void(ArrayRef<int64_t>)> f) {
  SmallVector<int64_t> index(space.size(), 0);
  for (int64_t n = Array::count(space); n-- > 0;) {
    f(index);
    for (int64_t axis = space.size(); axis-- > 0;) {
      if (++index[axis] < space[axis])
        break;
      index[axis] = 0;
    }
  }
}

/// Calls `f(offset in x, in filter, in y)` for every product that conv adds.
template <typename Op, typename F>
static void convolve(Op op, const Array &x, const Array &filter, const Array &y,
                     F f) {
  int64_t sizes = x.rank() - 2;
  SmallVector<int64_t> low(sizes, 0);
  if (op.getPadding() == Padding::same)
    for (int64_t i = 0; i < sizes; ++i)
      low[i] =
          samePadding(x.shape[1 + i],
                      (filter.shape[i] - 1) * stepOf(op.getDilation(), i) + 1,
                      stepOf(op.getStride(), i))
              .first;
  Strides sx = x.strides(), sf = filter.strides(), sy = y.strides();
  int64_t inGroup = filter.shape[sizes], groups = op.groupCount();
  int64_t outGroup = filter.shape[sizes + 1] / groups;
  // The places of the result, and the taps at each.
  ArrayRef<int64_t> places = ArrayRef(y.shape).drop_back(),
                    taps = ArrayRef(filter.shape).take_front(sizes);
  forEachPlace(places, [&](ArrayRef<int64_t> place) {
    forEachPlace(taps, [&](ArrayRef<int64_t> tap) {
      int64_t px = place[0] * sx[0], pf = 0, py = place[0] * sy[0];
      for (int64_t i = 0; i < sizes; ++i) {
        int64_t at = place[1 + i] * stepOf(op.getStride(), i) +
                     tap[i] * stepOf(op.getDilation(), i) - low[i];
        if (at < 0 || at >= x.shape[1 + i])
          return;
        px += at * sx[1 + i];
        pf += tap[i] * sf[i];
        py += place[1 + i] * sy[1 + i];
      }
      for (int64_t g = 0; g < groups; ++g)
        for (int64_t c = 0; c < inGroup; ++c)
          for (int64_t o = g * outGroup; o < (g + 1) * outGroup; ++o)
            f(px + g * inGroup + c, pf + c * sf[sizes] + o, py + o);
    });
  });
}
SmallVector<Array> ConvOp::evaluate(ArrayRef<Array> in) {
  Array y(cast<RankedTensorType>(getType()).getShape());
  convolve(*this, in[0], in[1], y, [&](int64_t x, int64_t f, int64_t o) {
    y.data[o] += in[0].data[x] * in[1].data[f];
  });
  return {y};
}
SmallVector<Array> ConvFilterOp::evaluate(ArrayRef<Array> in) {
  Array filter(cast<RankedTensorType>(getType()).getShape());
  convolve(*this, in[0], filter, in[1], [&](int64_t x, int64_t f, int64_t o) {
    filter.data[f] += in[0].data[x] * in[1].data[o];
  });
  return {filter};
}

/// Strides of an image under the index space of its windows.
static Strides windowStrides(const Array &image, List stride) {
  Strides s = image.strides(), sizes(s.begin() + 1, s.end() - 1), all{s[0]};
  for (auto [i, n] : llvm::enumerate(sizes))
    all.push_back(n * stepOf(stride, i));
  llvm::append_range(all, sizes);
  all.push_back(s.back());
  return all;
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

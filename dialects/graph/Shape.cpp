//===- Shape.cpp - the same numbers in another arrangement ----------------===//

#include "Batch.h"
#include "Build.h"
#include "llvm/ADT/StringExtras.h"

using namespace gradus;
using namespace gradus::graph;

#define GET_OP_CLASSES
#include "dialects/graph/Shape.cpp.inc"

//===----------------------------------------------------------------------===//
// Shape rules
//===----------------------------------------------------------------------===//

Report::Failure Infer::badAxis(const Arg &x, int64_t axis) {
  return fail(x.value) << "axis " << axis << " is out of range for " << x.str();
}

Shapes Infer::expand(Arg x, Shape to) {
  auto refused = [&] {
    return fail(x.value) << "cannot broadcast " << x.str() << " to "
                         << to.str();
  };
  if (x.element != to.element)
    return refused() << ": element types differ";
  if (x.rank() > to.rank())
    return refused();
  for (int64_t i = 1; i <= x.rank(); ++i)
    if (x[-i].size != 1 && x[-i] != to[-i])
      return refused() << ": " << x[-i].str() << " against " << to[-i].str();
  return to;
}

Shapes Infer::resize(Arg x, Shape to) {
  // The sizes multiply to the same number, the names are the same.
  auto parts = [](const Shape &s) {
    int64_t product = 1;
    SmallVector<std::string> names;
    for (const Dim &d : s.dims)
      if (d.known())
        product *= d.size;
      else
        names.push_back(d.str());
    llvm::sort(names);
    return std::pair(product, names);
  };
  // An anonymous size may be whatever fits: it is checked once it is known.
  bool open = llvm::any_of(x.dims, [](Dim &d) { return d.anonymous(); }) ||
              llvm::any_of(to.dims, [](Dim &d) { return d.anonymous(); });
  if (x.element != to.element || (!open && parts(x) != parts(to)))
    return fail(x.value) << "cannot make " << to.str() << " of " << x.str();
  return to;
}

Shapes Infer::permute(Arg x, Axes perm) {
  if (!perm) {
    if (x.rank() < 2)
      return fail(x.value) << "transpose needs two axes, not " << x.str();
    std::swap(x[-2], x[-1]);
    return x;
  }
  SmallVector<int64_t> sorted(perm->begin(), perm->end());
  llvm::sort(sorted);
  if (!llvm::equal(sorted, llvm::seq<int64_t>(0, x.rank())))
    return fail(x.value) << "perm must name each of the axes 0 to "
                         << x.rank() - 1 << " of " << x.str() << " once";
  Shape out(x.element, {});
  for (int64_t a : *perm)
    out.dims.push_back(x[a]);
  return out;
}

Shapes Infer::within(Arg x, int64_t axis) { return within(x, List(axis)); }
Shapes Infer::within(Arg x, List axes) {
  if (x.failed)
    return x;
  llvm::SmallDenseSet<int64_t> seen;
  for (int64_t a : axes) {
    if (!x.hasAxis(a))
      return badAxis(x, a);
    if (!seen.insert(x.axis(a)).second)
      return fail(x.value) << "axis " << a << " is named twice";
  }
  return x;
}

Shapes Infer::slice(Arg x, int64_t axis, int64_t start, int64_t length,
                    int64_t step) {
  if (!x.hasAxis(axis))
    return badAxis(x, axis);
  if (start < 0 || length < 0 || step < 1)
    return fail() << "slice needs start >= 0, length >= 0 and step >= 1";
  Dim &d = x[axis];
  if (int64_t past = start + (length - 1) * step + 1;
      length > 0 && d.known() && past > d.size)
    return fail(x.value) << "the slice ends at " << past << ", past axis "
                         << axis << " of " << x.str();
  d = {length};
  return x;
}

Shapes Infer::pad(Arg x, int64_t axis, int64_t low, int64_t high,
                  int64_t interior) {
  constexpr int64_t most = int64_t(1) << 31;
  if (!x.hasAxis(axis))
    return badAxis(x, axis);
  for (int64_t n : {low, high, interior})
    if (n < 0 || n > most)
      return fail() << "pad takes low, high and interior of 0 and more";
  Dim &d = x[axis];
  if (low || high || interior)
    d = d.known() ? Dim{low + high + d.size +
                        std::max<int64_t>(d.size - 1, 0) * interior}
                  : Dim{};
  return x;
}

Shapes Infer::concat(ArrayRef<Arg> inputs, int64_t axis) {
  Shape out = inputs[0];
  if (!out.hasAxis(axis))
    return badAxis(inputs[0], axis);
  for (const Arg &x : inputs.drop_front()) {
    auto refused = [&] {
      return fail(x.value) << "cannot concatenate " << x.str() << " to "
                           << out.str();
    };
    if (x.element != out.element)
      return refused() << ": element types differ";
    if (x.rank() != out.rank())
      return refused();
    for (int64_t i = 0; i < out.rank(); ++i) {
      if (i == out.axis(axis))
        out[i] = x[i].known() && out[i].known() ? Dim{x[i].size + out[i].size}
                                                : Dim{};
      else if (!unify(out[i], x[i]))
        return refused() << ": " << x[i].str() << " against " << out[i].str();
    }
  }
  return out;
}

Shapes Infer::split(Arg x, int64_t parts, int64_t axis) {
  if (!x.hasAxis(axis))
    return badAxis(x, axis);
  if (parts < 1 || parts > 65536)
    return fail() << "parts must be between 1 and 65536";
  Dim &d = x[axis];
  if (d.known() && d.size % parts != 0)
    return fail(x.value) << "cannot split " << d.size << " into " << parts
                         << " equal parts";
  d = d.known() ? Dim{d.size / parts} : Dim{};
  return SmallVector<Shape>(parts, x);
}

Shapes Infer::sizeOf(Arg x, int64_t axis) {
  if (!x.hasAxis(axis))
    return badAxis(x, axis);
  return numbers(x).failed ? Shapes(numbers(x)) : Shape(x.element, {});
}

Shapes Infer::counted(Shape to, int64_t axis) {
  if (!to.hasAxis(axis))
    return fail() << "axis " << axis << " is out of range for " << to.str();
  if (!to.isFloat() && !to.isInteger())
    return fail() << "iota counts in numbers, not in " << to.str();
  return to;
}

//===----------------------------------------------------------------------===//
// rearrange
//===----------------------------------------------------------------------===//

namespace {
/// One side of a pattern: groups of axis names.
using Side = SmallVector<SmallVector<StringRef>>;
struct Pattern {
  Side from, to;
};
} // namespace

/// Parses `b t (h d) -> b h t d`; an empty string and the pattern, or what is
/// wrong with it.
static std::string parsePattern(StringRef text, Pattern &pattern) {
  auto [left, right] = text.split("->");
  if (!text.contains("->"))
    return "a pattern has two sides, as in \"a b -> b a\"";
  auto side = [](StringRef s, Side &groups) {
    bool open = false;
    for (s = s.ltrim(); !s.empty(); s = s.ltrim()) {
      if (s.consume_front("(")) {
        if (open)
          return false;
        open = true;
        groups.emplace_back();
      } else if (s.consume_front(")")) {
        if (!open)
          return false;
        open = false;
      } else {
        StringRef name =
            s.take_until([](char c) { return StringRef(" ()").contains(c); });
        s = s.drop_front(name.size());
        if (!open)
          groups.emplace_back();
        groups.back().push_back(name);
      }
    }
    return !open;
  };
  if (!side(left, pattern.from) || !side(right, pattern.to))
    return "the parentheses do not match";
  SmallVector<StringRef> a, b;
  for (auto &g : pattern.from)
    llvm::append_range(a, g);
  for (auto &g : pattern.to)
    llvm::append_range(b, g);
  llvm::sort(a);
  llvm::sort(b);
  for (SmallVector<StringRef> *names : {&a, &b})
    if (auto *twice = std::adjacent_find(names->begin(), names->end());
        twice != names->end())
      return ("'" + *twice + "' stands twice on one side").str();
  if (a != b)
    return "both sides must have the same names";
  return "";
}

/// The sizes of the pattern's names in `x`; what is wrong, or an empty string.
static std::string patternSizes(const Shape &x, const Pattern &pattern,
                                DictionaryAttr given,
                                llvm::StringMap<Dim> &sizes) {
  if (int64_t(pattern.from.size()) != x.rank())
    return llvm::formatv(
        "the pattern has {0} axes on its left, but this is {1}",
        pattern.from.size(), x.str());
  for (auto [group, d] : llvm::zip(pattern.from, x.dims)) {
    StringRef open;
    int64_t product = 1;
    for (StringRef name : group) {
      if (auto size = given ? given.getAs<IntegerAttr>(name) : IntegerAttr()) {
        if (size.getInt() < 1)
          return ("the size of '" + name + "' must be positive").str();
        sizes[name] = {size.getInt()};
        product *= size.getInt();
      } else if (open.empty()) {
        open = name;
      } else {
        return ("the size of '" + name + "' or '" + open +
                "' must be given, as in '" + name + " = 8'")
            .str();
      }
    }
    if (!open.empty())
      sizes[open] = group.size() == 1 ? d
                    : d.known()       ? Dim{d.size / product}
                                      : Dim{};
    if (d.known() && product * (open.empty() ? 1 : sizes[open].size) != d.size)
      return llvm::formatv("{0} does not divide into '{1}'", d.size,
                           llvm::join(group, " "));
  }
  return "";
}

Shapes Infer::rearrange(Arg x, StringRef text, DictionaryAttr given) {
  Pattern pattern;
  llvm::StringMap<Dim> sizes;
  if (std::string wrong = parsePattern(text, pattern); !wrong.empty())
    return fail() << wrong;
  if (std::string wrong = patternSizes(x, pattern, given, sizes);
      !wrong.empty())
    return fail(x.value) << wrong;
  for (NamedAttribute a : given)
    if (!sizes.count(a.getName()))
      return fail() << "the pattern has no axis '" << a.getName().getValue()
                    << "'";
  Shape out(x.element, {});
  for (auto &group : pattern.to) {
    Dim d{1};
    for (StringRef name : group)
      d = group.size() == 1                  ? sizes[name]
          : d.known() && sizes[name].known() ? Dim{d.size * sizes[name].size}
                                             : Dim{};
    out.dims.push_back(d);
  }
  return out;
}

V graph::rearrange(const V &x, StringRef text, DictionaryAttr given,
                   const Shape &to) {
  Pattern pattern;
  llvm::StringMap<Dim> sizes;
  (void)parsePattern(text, pattern); // inference has accepted it
  (void)patternSizes(x.shape(), pattern, given, sizes);
  SmallVector<StringRef> order;
  Shape apart(x.shape().element, {});
  for (auto &group : pattern.from)
    for (StringRef name : group) {
      order.push_back(name);
      apart.dims.push_back(sizes[name]);
    }
  SmallVector<int64_t> perm;
  for (auto &group : pattern.to)
    for (StringRef name : group)
      perm.push_back(llvm::find(order, name) - order.begin());
  return reshape(transpose(reshape(x, apart), List(perm)), to);
}

//===----------------------------------------------------------------------===//
// Reference
//===----------------------------------------------------------------------===//

using Arrays = SmallVector<Array>;

static SmallVector<int64_t> sizesOf(Value v) {
  return SmallVector<int64_t>(cast<RankedTensorType>(v.getType()).getShape());
}

Arrays BroadcastOp::evaluate(ArrayRef<Array> in) {
  Array out(sizesOf(getOut()));
  forEachIndex<2>(out.shape, {0, 0},
                  {in[0].broadcastStrides(out.rank()), out.strides()},
                  [&](auto at) { out.data[at[1]] = in[0].data[at[0]]; });
  return {out};
}
Arrays ReshapeOp::evaluate(ArrayRef<Array> in) {
  Array out = in[0];
  out.shape = sizesOf(getOut());
  return {out};
}
Arrays TransposeOp::evaluate(ArrayRef<Array> in) {
  Array out(sizesOf(getOut()));
  Strides from = in[0].strides(), moved(from);
  if (auto perm = getPerm())
    for (auto [i, a] : llvm::enumerate(*perm))
      moved[i] = from[a];
  else
    std::swap(moved[moved.size() - 1], moved[moved.size() - 2]);
  forEachIndex<2>(out.shape, {0, 0}, {moved, out.strides()},
                  [&](auto at) { out.data[at[1]] = in[0].data[at[0]]; });
  return {out};
}
Arrays ReverseOp::evaluate(ArrayRef<Array> in) {
  Array out(in[0].shape);
  Strides back = in[0].strides();
  int64_t last = 0;
  for (int64_t a : getAxes()) {
    int64_t axis = a < 0 ? a + out.rank() : a;
    last += (out.shape[axis] - 1) * back[axis];
    back[axis] = -back[axis];
  }
  forEachIndex<2>(out.shape, {last, 0}, {back, out.strides()},
                  [&](auto at) { out.data[at[1]] = in[0].data[at[0]]; });
  return {out};
}
Arrays SliceOp::evaluate(ArrayRef<Array> in) {
  Array out(sizesOf(getOut()));
  Strides from = in[0].strides();
  int64_t axis = Shape(getX()).axis(getAxis());
  int64_t first = int64_t(getStart()) * from[axis];
  from[axis] *= getStep();
  forEachIndex<2>(out.shape, {first, 0}, {from, out.strides()},
                  [&](auto at) { out.data[at[1]] = in[0].data[at[0]]; });
  return {out};
}
Arrays PadOp::evaluate(ArrayRef<Array> in) {
  Array out(sizesOf(getOut()), getValue().convertToDouble());
  Strides to = out.strides();
  int64_t axis = Shape(getX()).axis(getAxis());
  int64_t first = int64_t(getLow()) * to[axis];
  to[axis] *= getInterior() + 1;
  forEachIndex<2>(in[0].shape, {0, first}, {in[0].strides(), to},
                  [&](auto at) { out.data[at[1]] = in[0].data[at[0]]; });
  return {out};
}
Arrays ConcatOp::evaluate(ArrayRef<Array> in) {
  Array out(sizesOf(getOut()));
  int64_t axis = Shape(getOut()).axis(getAxis()), first = 0;
  for (const Array &x : in) {
    forEachIndex<2>(x.shape, {0, first}, {x.strides(), out.strides()},
                    [&](auto at) { out.data[at[1]] = x.data[at[0]]; });
    first += x.shape[axis] * out.strides()[axis];
  }
  return {out};
}
Arrays SizeOp::evaluate(ArrayRef<Array> in) {
  return {Array({}, in[0].shape[Shape(getX()).axis(getAxis())])};
}
Arrays IotaOp::evaluate(ArrayRef<Array>) {
  Array out(sizesOf(getOut()));
  Strides index(out.rank(), 0);
  index[Shape(getOut()).axis(getAxis())] = 1;
  forEachIndex<2>(out.shape, {0, 0}, {index, out.strides()},
                  [&](auto at) { out.data[at[1]] = at[0]; });
  return {out};
}

//===----------------------------------------------------------------------===//
// Folds
//===----------------------------------------------------------------------===//

mlir::OpFoldResult BroadcastOp::fold(FoldAdaptor) {
  return getX().getType() == getType() ? getX() : mlir::OpFoldResult();
}
mlir::OpFoldResult ReshapeOp::fold(FoldAdaptor) {
  if (getX().getType() == getType())
    return getX();
  if (auto inner = getX().getDefiningOp<ReshapeOp>())
    return getXMutable().assign(inner.getX()), getResult();
  return {};
}
mlir::OpFoldResult TransposeOp::fold(FoldAdaptor) {
  auto inner = getX().getDefiningOp<TransposeOp>();
  if (inner && !inner.getPerm() && !getPerm())
    return inner.getX();
  return {};
}
mlir::OpFoldResult SizeOp::fold(FoldAdaptor) {
  Dim d = Shape(getX())[getAxis()];
  if (!d.known())
    return {};
  auto t = cast<RankedTensorType>(getType());
  Type e = t.getElementType();
  Builder b(getContext());
  if (isa<FloatType>(e))
    return DenseElementsAttr::get(t,
                                  Attribute(b.getFloatAttr(e, double(d.size))));
  return DenseElementsAttr::get(t, Attribute(b.getIntegerAttr(e, d.size)));
}

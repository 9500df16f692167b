//===- LowerProducts.cpp - sums of products as one kind of generic --------===//
//
// Matmul, einsum, convolution and its filter gradient are all
//   out[p] += lhs[f(p, r)] * rhs[g(p, r)]
// with affine f and g. Transposes of operands are read in place; padding of
// images is made explicit.
//
//===----------------------------------------------------------------------===//

#include "LinalgBuilder.h"
#include <map>

using namespace gradus;
using namespace gradus::graph;
namespace arith = mlir::arith;

static constexpr Iterator P = Iterator::parallel, R = Iterator::reduction;

Value LinalgBuilder::contraction(Value lhs, AffineMap lhsMap, Value rhs,
                                 AffineMap rhsMap, RankedTensorType type,
                                 AffineMap outMap,
                                 ArrayRef<Iterator> iterators) {
  Type element = sumType(type.getElementType());
  auto sums = RankedTensorType::get(type.getShape(), element);
  auto op = mlir::linalg::GenericOp::create(
      b, sums, ValueRange{lhs, rhs}, ValueRange{zeros(sums)},
      ArrayRef<AffineMap>{lhsMap, rhsMap, outMap}, iterators,
      [&](OpBuilder &nested, Location loc, ValueRange args) {
        ImplicitLocOpBuilder inner(loc, nested);
        Value x = widened(inner, args[0], element),
              y = widened(inner, args[1], element), sum;
        if (isa<FloatType>(element)) {
          Value product = arith::MulFOp::create(inner, x, y);
          sum = arith::AddFOp::create(inner, args[2], product);
        } else {
          Value product = arith::MulIOp::create(inner, x, y);
          sum = arith::AddIOp::create(inner, args[2], product);
        }
        mlir::linalg::YieldOp::create(inner, sum);
      });
  return rounded(op.getResult(0), type);
}

Value LinalgBuilder::products(Value lhs, Value rhs, ArrayRef<AffineMap> maps,
                              RankedTensorType type, AffineMap outMap) {
  Type element = sumType(type.getElementType());
  auto wide = RankedTensorType::get(type.getShape(), element);
  SmallVector<Iterator> iterators(type.getRank(), P);
  Value out =
      generic({lhs, rhs}, maps, empty(wide), outMap, iterators,
              [&](ImplicitLocOpBuilder &inner, ValueRange args) -> Value {
                Value x = widened(inner, args[0], element),
                      y = widened(inner, args[1], element);
                if (isa<FloatType>(element))
                  return arith::MulFOp::create(inner, x, y);
                return arith::MulIOp::create(inner, x, y);
              });
  return rounded(out, type);
}

/// An operand of a product as it lies before a transpose: the tensor, and where
/// in it what is at `places` lies. The transpose stays if what would follow
/// each other in memory then is neither a row nor a column, `isBatch`.
static std::pair<Value, SmallVector<AffineExpr>>
throughTranspose(Value v, ArrayRef<AffineExpr> places,
                 function_ref<bool(AffineExpr)> isBatch) {
  SmallVector<AffineExpr> before(places);
  auto t = v.getDefiningOp<TransposeOp>();
  if (!t || before.size() < 2)
    return {v, before};
  if (auto perm = t.getPerm())
    for (auto [axis, from] : llvm::enumerate(*perm))
      before[from] = places[axis];
  else
    std::swap(before[before.size() - 1], before[before.size() - 2]);
  if (isBatch(before.back()))
    return {v, SmallVector<AffineExpr>(places)};
  return {t.getX(), before};
}

Value LinalgBuilder::matmul(MatMulOp op, mlir::IRMapping &lowered) {
  RankedTensorType type = tensorType(op.getOut());
  int64_t batch = type.getRank() - 2;
  AffineExpr m = dim(batch), n = dim(batch + 1), k = dim(batch + 2);
  auto operand = [&](Value v, AffineExpr row, AffineExpr column) {
    RankedTensorType t = tensorType(v);
    SmallVector<AffineExpr> places;
    int64_t own = t.getRank() - 2;
    for (int64_t i = 0; i < own; ++i) {
      bool repeats =
          t.getDimSize(i) == 1 && type.getDimSize(batch - own + i) != 1;
      places.push_back(repeats ? b.getAffineConstantExpr(0)
                               : dim(batch - own + i));
    }
    llvm::append_values(places, row, column);
    auto [source, at] = throughTranspose(
        v, places, [&](AffineExpr e) { return e != row && e != column; });
    return std::pair(lowered.lookup(source), map(batch + 3, at));
  };
  auto [lhs, lhsMap] = operand(op.getLhs(), m, k);
  auto [rhs, rhsMap] = operand(op.getRhs(), k, n);
  SmallVector<Iterator> iterators(batch + 2, P);
  iterators.push_back(R);
  SmallVector<AffineExpr> out;
  for (int64_t i = 0; i < batch + 2; ++i)
    out.push_back(dim(i));
  return contraction(lhs, lhsMap, rhs, rhsMap, type, map(batch + 3, out),
                     iterators);
}

Value LinalgBuilder::einsum(EinsumOp op, mlir::IRMapping &lowered) {
  auto [left, result] = op.getEquation().split("->");
  SmallVector<StringRef> terms;
  left.split(terms, ',');
  std::string letters = result.str();
  for (StringRef term : terms)
    for (char c : term)
      if (!StringRef(letters).contains(c))
        letters += c;
  SmallVector<Iterator> iterators(letters.size(), R);
  std::fill_n(iterators.begin(), result.size(), P);
  auto termMap = [&](StringRef term) {
    SmallVector<AffineExpr> exprs;
    for (char c : term)
      exprs.push_back(dim(letters.find(c)));
    return map(letters.size(), exprs);
  };
  RankedTensorType type = tensorType(op.getOut());
  bool hasSum = letters.size() > result.size();
  if (terms.size() == 2) {
    auto operand = [&](unsigned i) {
      AffineMap own = termMap(terms[i]);
      auto isBatch = [&](AffineExpr e) {
        char letter = letters[cast<mlir::AffineDimExpr>(e).getPosition()];
        return terms[1 - i].contains(letter) && result.contains(letter);
      };
      auto [source, at] =
          throughTranspose(op.getInputs()[i], own.getResults(), isBatch);
      return std::pair(lowered.lookup(source), map(letters.size(), at));
    };
    auto [first, firstMap] = operand(0);
    auto [second, secondMap] = operand(1);
    return hasSum ? contraction(first, firstMap, second, secondMap, type,
                                termMap(result), iterators)
                  : products(first, second, {firstMap, secondMap}, type,
                             termMap(result));
  }
  Value first = lowered.lookup(op.getInputs()[0]);
  // One operand: a transpose, or a sum over axes.
  if (!hasSum)
    return generic(
        first, termMap(terms[0]), empty(type), termMap(result), iterators,
        [](ImplicitLocOpBuilder &, ValueRange args) { return args[0]; });
  Type element = reductionType(type.getElementType());
  auto sums = RankedTensorType::get(type.getShape(), element);
  Value out =
      generic(first, termMap(terms[0]), zeros(sums), termMap(result), iterators,
              [&](ImplicitLocOpBuilder &nested, ValueRange args) -> Value {
                Value x = widened(nested, args[0], element);
                if (isa<FloatType>(element))
                  return arith::AddFOp::create(nested, x, args[1]);
                return arith::AddIOp::create(nested, x, args[1]);
              });
  return rounded(out, type);
}

//===----------------------------------------------------------------------===//
// Convolution
//===----------------------------------------------------------------------===//

template <typename Op>
LinalgBuilder::PaddedImage LinalgBuilder::paddedImage(Op op, Value x,
                                                      ArrayRef<int64_t> taps) {
  RankedTensorType type = tensorType(x);
  int64_t rank = type.getRank();
  PaddedImage padded{x, SmallVector<int64_t>(rank, 0)};
  if (op.getPadding() == Padding::valid)
    return padded;
  SmallVector<int64_t> low(rank, 0), sizes(type.getShape());
  for (int64_t i = 0; i < rank - 2; ++i) {
    auto [before, after] = samePadding(
        type.getDimSize(1 + i), (taps[i] - 1) * stepOf(op.getDilation(), i) + 1,
        stepOf(op.getStride(), i));
    // A sum with zeros has some before the image, read or not.
    padded.start[1 + i] = before == 0 && after > 0;
    low[1 + i] = before + padded.start[1 + i];
    sizes[1 + i] += low[1 + i] + after;
  }
  auto to = RankedTensorType::get(sizes, type.getElementType());
  if (to != type)
    padded.image = pad(x, to, low, SmallVector<int64_t>(rank, 1),
                       b.getZeroAttr(type.getElementType()));
  return padded;
}

/// An axis of `size` as [groups, size / groups], in a shape; as it is if there
/// is one group, or each index is one.
static RankedTensorType grouped(RankedTensorType t, int64_t axis,
                                int64_t groups) {
  if (groups == 1 || t.getDimSize(axis) == groups)
    return t;
  SmallVector<int64_t> sizes(t.getShape());
  sizes[axis] /= groups;
  sizes.insert(sizes.begin() + axis, groups);
  return RankedTensorType::get(sizes, t.getElementType());
}

namespace {
/// How the loops of a convolution run over what it reads and writes. A single
/// group has no loop of its own, a single channel of several groups none, and
/// an axis of one tap none.
struct ConvolutionLoops {
  RankedTensorType filterType; ///< without the axes that have no loop
  SmallVector<AffineExpr> image, filter, result;
  SmallVector<Iterator> iterators;
};
} // namespace

/// Which axes of a filter have a loop over their taps: those of several, or
/// all if there would be nothing else to sum.
static SmallVector<bool> loopedTaps(RankedTensorType filter, bool hasIn) {
  ArrayRef<int64_t> taps = filter.getShape().drop_back(2);
  bool all = !hasIn && llvm::all_equal(taps) && taps[0] == 1;
  return llvm::map_to_vector(taps, [&](int64_t n) { return all || n != 1; });
}

/// The parallel loops are those over the result, and those over the taps and
/// the image's channels are summed; or the other way round, `ofFilter`.
template <typename Op>
static ConvolutionLoops convolutionLoops(Op op, RankedTensorType filter,
                                         MLIRContext *ctx, bool ofFilter) {
  int64_t sizes = filter.getRank() - 2, groups = op.groupCount();
  bool hasGroups = groups != 1,
       hasIn = !hasGroups || filter.getDimSize(sizes) != 1,
       hasOut = !hasGroups || filter.getDimSize(sizes + 1) != groups;
  SmallVector<bool> looped = loopedTaps(filter, hasIn);
  unsigned next = 0;
  auto loop = [&] { return mlir::getAffineDimExpr(next++, ctx); };
  AffineExpr zero = mlir::getAffineConstantExpr(0, ctx);
  AffineExpr image, group, in, out;
  SmallVector<AffineExpr> places, taps;
  auto overImages = [&] {
    image = loop();
    for (int64_t i = 0; i < sizes; ++i)
      places.push_back(loop());
  };
  auto overTaps = [&] {
    for (int64_t i = 0; i < sizes; ++i)
      taps.push_back(looped[i] ? loop() : zero);
    in = hasIn ? loop() : zero;
  };
  ofFilter ? overTaps() : overImages();
  if (hasGroups)
    group = loop();
  if (hasOut)
    out = loop();
  ConvolutionLoops loops;
  SmallVector<int64_t> filterSizes;
  for (int64_t i = 0; i < sizes; ++i)
    if (looped[i])
      filterSizes.push_back(filter.getDimSize(i));
  llvm::append_range(filterSizes, filter.getShape().take_back(2));
  loops.filterType =
      RankedTensorType::get(filterSizes, filter.getElementType());
  loops.iterators.append(next, P);
  ofFilter ? overImages() : overTaps();
  loops.iterators.append(next - loops.iterators.size(), R);

  loops.image.push_back(image);
  for (int64_t i = 0; i < sizes; ++i) {
    loops.image.push_back(places[i] * stepOf(op.getStride(), i) +
                          taps[i] * stepOf(op.getDilation(), i));
    if (looped[i])
      loops.filter.push_back(taps[i]);
  }
  loops.filter.push_back(in);
  loops.result.push_back(image);
  llvm::append_range(loops.result, places);
  for (auto *exprs : {&loops.image, &loops.filter, &loops.result})
    if (hasGroups)
      exprs->push_back(group);
  if (hasIn)
    loops.image.push_back(in);
  if (hasOut)
    for (auto *exprs : {&loops.filter, &loops.result})
      exprs->push_back(out);
  return loops;
}

Value LinalgBuilder::conv(ConvOp op, mlir::IRMapping &lowered) {
  Value filter = lowered.lookup(op.getFilter());
  auto x =
      paddedImage(op, lowered.lookup(op.getX()), tensorType(filter).getShape());
  return convolution(op, x, filter, /*ofFilter=*/false);
}

Value LinalgBuilder::convFilter(ConvFilterOp op, mlir::IRMapping &lowered) {
  auto x = paddedImage(op, lowered.lookup(op.getX()),
                       tensorType(op.getOut()).getShape());
  return convolution(op, x, lowered.lookup(op.getG()), /*ofFilter=*/true);
}

template <typename Op>
Value LinalgBuilder::convolution(Op op, const PaddedImage &x, Value other,
                                 bool ofFilter) {
  RankedTensorType type = tensorType(op.getOut());
  auto loops = convolutionLoops(op, ofFilter ? type : tensorType(other),
                                b.getContext(), ofFilter);
  unsigned n = loops.iterators.size();
  for (auto [at, start] : llvm::zip(loops.image, x.start))
    at = at + start;
  // Of the filter, the axis of output channels falls into groups; of the
  // others, that of their channels: the last of all three.
  auto inGroups = [&](RankedTensorType t) {
    return grouped(t, t.getRank() - 1, op.groupCount());
  };
  RankedTensorType result = ofFilter ? loops.filterType : type,
                   factor = ofFilter ? tensorType(other) : loops.filterType;
  Value out = contraction(
      reshape(x.image, inGroups(tensorType(x.image))), map(n, loops.image),
      reshape(other, inGroups(factor)),
      map(n, ofFilter ? loops.result : loops.filter), inGroups(result),
      map(n, ofFilter ? loops.filter : loops.result), loops.iterators);
  return reshape(out, type);
}

Value LinalgBuilder::product(Operation *op, mlir::IRMapping &lowered) {
  if (auto o = dyn_cast<MatMulOp>(op))
    return matmul(o, lowered);
  if (auto o = dyn_cast<EinsumOp>(op))
    return einsum(o, lowered);
  if (auto o = dyn_cast<ConvOp>(op))
    return conv(o, lowered);
  if (auto o = dyn_cast<ConvFilterOp>(op))
    return convFilter(o, lowered);
  return {};
}

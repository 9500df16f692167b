//===- MatMul.cpp - sums of products --------------------------------------===//

#include "Batch.h"
#include "Build.h"
#include "llvm/ADT/StringExtras.h"
#include <map>

using namespace gradus;
using namespace gradus::graph;

#define GET_OP_CLASSES
#include "dialects/graph/MatMul.cpp.inc"

//===----------------------------------------------------------------------===//
// Shape rules
//===----------------------------------------------------------------------===//

Shapes Infer::matmul(Arg a, Arg b, std::optional<Type> to) {
  if (a.failed)
    return a;
  if (a.element != b.element)
    return fail(b.value) << "cannot multiply " << a.str() << " by " << b.str()
                         << ": element types differ";
  if (a.rank() < 2)
    return fail(a.value) << "matmul needs a matrix on the left, not "
                         << a.str();
  if (b.rank() < 2)
    return fail(b.value) << "matmul needs a matrix on the right, not "
                         << b.str();
  if (Dim inner = a[-1]; !unify(inner, b[-2]))
    return fail(b.value) << "cannot multiply " << a.str() << " by " << b.str()
                         << ": inner dimensions " << a[-1].str() << " and "
                         << b[-2].str() << " differ";
  Shape out = a.rank() >= b.rank() ? a : b;
  for (int64_t i = 3; i <= std::min(a.rank(), b.rank()); ++i) {
    Dim d = a[-i];
    if (!unifyBroadcast(d, b[-i]))
      return fail(b.value) << "cannot multiply " << a.str() << " by " << b.str()
                           << ": " << a[-i].str() << " against " << b[-i].str();
    out[-i] = d;
  }
  out[-2] = a[-2];
  out[-1] = b[-1];
  out.element = to.value_or(productType(a.element));
  bool widens = isa<FloatType>(a.element) == isa<FloatType>(out.element) &&
                out.element.getIntOrFloatBitWidth() >=
                    productType(a.element).getIntOrFloatBitWidth();
  if (!widens)
    return fail() << "sums of products of " << typeName(a.element) << " are no "
                  << typeName(out.element) << "; 'cast' converts them";
  return out;
}

Shapes Infer::linear(Arg x, Arg w, Arg b) {
  if (x.failed)
    return x;
  if (x.rank() < 1)
    return fail(x.value) << "linear needs at least one dimension";
  if (w.element != x.element || w.rank() != 2)
    return fail(w.value) << "the weight must be a matrix of "
                         << llvm::formatv("{0}", x.element).str() << ", not "
                         << w.str();
  if (Dim inner = x[-1]; !unify(inner, w[0]))
    return fail(w.value) << "cannot multiply " << x.str() << " by " << w.str()
                         << ": inner dimensions " << x[-1].str() << " and "
                         << w[0].str() << " differ";
  Shape out = x;
  out[-1] = w[1];
  if (b) {
    bool fits = b.element == x.element && b.rank() == 1;
    if (Dim d = fits ? b[0] : Dim(); !fits || !unify(d, w[1]))
      return fail(b.value) << "the bias must be "
                           << Shape(w.element, w[1]).str() << ", not "
                           << b.str();
  }
  return out;
}

/// The terms of `ij,jk->ik` and its result.
static std::pair<SmallVector<StringRef>, StringRef> splitEquation(StringRef e) {
  auto [ins, out] = e.split("->");
  SmallVector<StringRef> terms;
  ins.split(terms, ',');
  return {terms, out};
}

Shapes Infer::einsum(StringRef equation, ArrayRef<Arg> inputs) {
  auto [terms, out] = splitEquation(equation);
  if (!equation.contains("->"))
    return fail() << "an equation names its result, as in \"ij,jk->ik\"";
  for (char c : equation)
    if (!llvm::isAlpha(c) && !StringRef(",->").contains(c))
      return fail() << "an equation is made of letters, ',' and '->', not '"
                    << StringRef(&c, 1) << "'";
  if (terms.size() != inputs.size())
    return fail() << "'" << equation << "' describes " << terms.size()
                  << " inputs, but " << inputs.size() << " are given";
  std::map<char, Dim> dims;
  for (auto [term, x] : llvm::zip(terms, inputs)) {
    if (Arg checked = numbers(x); checked.failed)
      return checked;
    if (x.element != inputs[0].element)
      return fail(x.value) << "cannot combine " << x.str() << " with "
                           << inputs[0].str() << ": element types differ";
    if (int64_t(term.size()) != x.rank())
      return fail(x.value) << "'" << term << "' names " << term.size()
                           << " dimensions, but this is " << x.str();
    for (int64_t i = 0; i < x.rank(); ++i) {
      if (term.find(term[i], i + 1) != StringRef::npos)
        return fail(x.value)
               << "'" << term << "' names '" << term.substr(i, 1) << "' twice";
      auto [it, fresh] = dims.try_emplace(term[i], x[i]);
      if (!fresh && !unify(it->second, x[i]))
        return fail(x.value) << "'" << term.substr(i, 1) << "' is "
                             << it->second.str() << " and also " << x[i].str();
    }
  }
  Shape result(inputs.size() > 1 ? productType(inputs[0].element)
                                 : inputs[0].element,
               {});
  for (auto [i, c] : llvm::enumerate(out)) {
    if (!dims.count(c))
      return fail() << "the result's '" << out.substr(i, 1)
                    << "' is in no input";
    if (out.find(c, i + 1) != StringRef::npos)
      return fail() << "the result names '" << out.substr(i, 1) << "' twice";
    result.dims.push_back(dims[c]);
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Expressions
//===----------------------------------------------------------------------===//

V graph::matmul(const V &a, const V &b) {
  if (!a || !b)
    return 0.0;
  return {a.builder,
          MatMulOp::create(*a.builder, a.value(), b.value(), TypeAttr())};
}

V graph::matmul2d(const V &x, const V &w) {
  Shape s = x.shape(), out = s;
  out[-1] = w.shape()[1];
  int64_t rows = 1;
  for (const Dim &d : ArrayRef(s.dims).drop_back()) {
    if (!d.known() && s.rank() > 2)
      return matmul(x, w);
    rows *= d.known() ? d.size : 1;
  }
  if (s.rank() == 2)
    return matmul(x, w);
  V flat = reshape(x, Shape(s.element, {Dim{rows}, s[-1]}));
  return reshape(matmul(flat, w), out);
}

static V einsum(StringRef equation, const Vs &xs) {
  ImplicitLocOpBuilder &b = *xs[0].builder;
  return {&b, EinsumOp::create(b, equation, xs.values())};
}

/// The letters of matmul's axes `rows` and `columns` behind the last `leading`
/// of its shared ones.
static std::string lettersOf(int64_t leading, int64_t of, StringRef rows,
                             StringRef columns) {
  std::string letters;
  for (int64_t i = of - leading; i < of; ++i)
    letters += char('a' + i);
  return letters + (rows + columns).str();
}
/// Has `part` fewer leading axes than the products, which `whole` and `ct`
/// share all of?
static bool sharesExamples(const Shape &part, const Shape &whole,
                           const Shape &ct) {
  constexpr int64_t mostLetters = 16;
  if (part.rank() >= ct.rank() || whole.rank() != ct.rank() ||
      ct.rank() > mostLetters)
    return false;
  auto leading = [](const Shape &s) { return ArrayRef(s.dims).drop_back(2); };
  return leading(whole) == leading(ct) &&
         leading(part) == leading(ct).take_back(part.rank() - 2);
}

V graph::matmulLhsGradient(const V &lhs, const V &rhs, const V &ct) {
  if (!ct || !sharesExamples(lhs.shape(), rhs.shape(), ct.shape()))
    return like(lhs, matmul(ct, transpose(rhs)));
  int64_t all = ct.shape().rank() - 2, own = lhs.shape().rank() - 2;
  return einsum(lettersOf(all, all, "x", "z") + "," +
                    lettersOf(all, all, "y", "z") + "->" +
                    lettersOf(own, all, "x", "y"),
                {ct, rhs});
}
V graph::matmulRhsGradient(const V &lhs, const V &rhs, const V &ct) {
  if (!ct || !sharesExamples(rhs.shape(), lhs.shape(), ct.shape()))
    return like(rhs, matmul(transpose(lhs), ct));
  int64_t all = ct.shape().rank() - 2, own = rhs.shape().rank() - 2;
  return einsum(lettersOf(all, all, "x", "y") + "," +
                    lettersOf(all, all, "x", "z") + "->" +
                    lettersOf(own, all, "y", "z"),
                {lhs, ct});
}

V graph::einsumTranspose(StringRef equation, const Vs &inputs, unsigned i,
                         const V &ct) {
  if (!ct)
    return ct;
  auto [terms, out] = splitEquation(equation);
  std::string left = out.str(), kept;
  std::string known = out.str(); // letters that another operand has
  Vs operands(ct);
  for (unsigned k = 0; k < inputs.size(); ++k)
    if (k != i) {
      left += "," + terms[k].str();
      known += terms[k];
      operands.push_back(inputs[k]);
    }
  // Letters that only this operand has were summed: broadcast there.
  Shape x = inputs[i].shape(), part(x.element, {});
  for (auto [n, c] : llvm::enumerate(terms[i])) {
    bool shared = StringRef(known).contains(c);
    part.dims.push_back(shared ? x[n] : Dim{1});
    if (shared)
      kept += c;
  }
  return broadcast(reshape(einsum(left + "->" + kept, operands), part), x);
}

//===----------------------------------------------------------------------===//
// Under vmap
//===----------------------------------------------------------------------===//

V graph::batchedMatmul(const Mapped &a, const Mapped &b,
                       std::optional<Type> to) {
  int64_t rank = std::max(a.one.rank(), b.one.rank());
  ImplicitLocOpBuilder &builder = *a.builder;
  return {&builder, MatMulOp::create(builder, aligned(a, rank).value(),
                                     aligned(b, rank).value(),
                                     to ? TypeAttr::get(*to) : TypeAttr())};
}

V graph::batchedLinear(const Mapped &x, const Mapped &w, const Mapped &bias) {
  if (w.mapped || bias.mapped)
    return 0.0;
  return {x.builder,
          LinearOp::create(*x.builder, x.value(), w.value(), bias.value())};
}

V graph::batchedEinsum(StringRef equation, const Mappeds &inputs) {
  char letter = 'a';
  while (equation.contains(letter))
    if (letter++ == 'z')
      return 0.0;
  auto [terms, out] = splitEquation(equation);
  std::string all;
  Vs values;
  for (auto [term, x] : llvm::zip(terms, inputs)) {
    all += (all.empty() ? "" : ",");
    all += x.mapped ? std::string(1, letter) : "";
    all += term;
    values.push_back(x);
  }
  return einsum(all + "->" + letter + out.str(), values);
}

//===----------------------------------------------------------------------===//
// Reference
//===----------------------------------------------------------------------===//

SmallVector<Array> MatMulOp::evaluate(ArrayRef<Array> in) {
  Array out(cast<RankedTensorType>(getType()).getShape());
  int64_t rank = out.rank(), inner = in[0].shape.back();
  // The space is the result's, then the summed axis.
  SmallVector<int64_t> space(out.shape);
  space.push_back(inner);
  Strides a = in[0].broadcastStrides(rank), b = in[1].broadcastStrides(rank);
  Strides c = out.strides();
  a[rank - 1] = 0;
  a.push_back(1);
  b[rank - 2] = 0;
  b.push_back(in[1].shape.back());
  c.push_back(0);
  forEachIndex<3>(space, {0, 0, 0}, {a, b, c}, [&](auto at) {
    out.data[at[2]] += in[0].data[at[0]] * in[1].data[at[1]];
  });
  return {out};
}

SmallVector<Array> EinsumOp::evaluate(ArrayRef<Array> in) {
  auto [terms, result] = splitEquation(getEquation());
  std::string letters;
  SmallVector<int64_t> space;
  for (auto [term, x] : llvm::zip(terms, in))
    for (auto [c, d] : llvm::zip(term, x.shape))
      if (!StringRef(letters).contains(c)) {
        letters += c;
        space.push_back(d);
      }
  auto stridesUnder = [&](StringRef term, const Array &x) {
    Strides s(letters.size(), 0);
    for (auto [c, stride] : llvm::zip(term, x.strides()))
      s[letters.find(c)] = stride;
    return s;
  };
  Array out(cast<RankedTensorType>(getType()).getShape());
  Array product(space, 1);
  for (auto [term, x] : llvm::zip(terms, in))
    forEachIndex<2>(space, {0, 0}, {stridesUnder(term, x), product.strides()},
                    [&](auto at) { product.data[at[1]] *= x.data[at[0]]; });
  forEachIndex<2>(space, {0, 0}, {product.strides(), stridesUnder(result, out)},
                  [&](auto at) { out.data[at[1]] += product.data[at[0]]; });
  return {out};
}

//===- Type.cpp - a tensor type taken apart, and its text -----------------===//

#include "Dims.h"
#include "gradus/Graph.h"
#include "mlir/IR/AttrTypeSubElements.h"

using namespace gradus;
using namespace gradus::graph;

std::string Dim::str() const {
  if (name && known())
    return name.str() + " <= " + std::to_string(size);
  return name ? name.str() : known() ? std::to_string(size) : "?";
}

Shape::Shape(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  element = tensor.getElementType();
  auto names = dyn_cast_or_null<DimsAttr>(tensor.getEncoding());
  for (auto [i, size] : llvm::enumerate(tensor.getShape())) {
    Dim d{size};
    if (names && !names.getNames()[i].empty())
      d.name = names.getNames()[i];
    dims.push_back(d);
  }
}

bool Shape::hasPack() const {
  return llvm::any_of(dims, [](const Dim &d) { return d.pack(); });
}

RankedTensorType Shape::type() const {
  SmallVector<int64_t> sizes;
  SmallVector<StringAttr> names;
  bool named = false;
  for (const Dim &d : dims) {
    sizes.push_back(d.size);
    named |= !!d.name;
    names.push_back(d.name ? d.name : StringAttr::get(element.getContext()));
  }
  Attribute encoding;
  if (named)
    encoding = DimsAttr::get(element.getContext(), names);
  return RankedTensorType::get(sizes, element, encoding);
}

std::string Shape::str() const {
  std::string s;
  llvm::raw_string_ostream os(s);
  os << element << "[";
  llvm::interleaveComma(dims, os, [&](const Dim &d) { os << d.str(); });
  os << "]";
  return s;
}

mlir::TypeAttr graph::extentAttr(MLIRContext *ctx, const Dim &d) {
  return TypeAttr::get(Shape(IntegerType::get(ctx, 1), d).type());
}
Dim graph::extentOf(Attribute attr) {
  return Shape(cast<TypeAttr>(attr).getValue())[0];
}

bool graph::unify(Dim &a, const Dim &b) {
  if (a == b || b.anonymous())
    return true;
  if (!a.anonymous())
    return false;
  a = b;
  return true;
}

bool graph::bindDims(const Shape &want, const Shape &have, DimBindings &bound) {
  if (want.element != have.element)
    return false;
  int64_t inPack = have.rank() - want.rank() + 1;
  if (want.hasPack() ? inPack < 0 : inPack != 1)
    return false;
  int64_t next = 0;
  for (const Dim &d : want.dims) {
    SmallVector<Dim> got;
    for (int64_t n = d.pack() ? inPack : 1; n-- > 0;)
      got.push_back(have[next++]);
    if (d.name) {
      auto [it, fresh] = bound.try_emplace(d.name, got);
      if (!fresh && it->second != got)
        return false;
    } else if (d != got[0] && !d.anonymous()) {
      return false;
    }
  }
  return true;
}

Type graph::substitute(Type type, const DimBindings &bound) {
  Shape s(type), out(s.element, {});
  for (const Dim &d : s.dims) {
    auto it = d.name ? bound.find(d.name) : bound.end();
    if (it == bound.end())
      out.dims.push_back(d);
    else
      llvm::append_range(out.dims, it->second);
  }
  return out.type();
}

void graph::replaceDims(Operation *root,
                        function_ref<Dim(const Dim &)> replace) {
  mlir::AttrTypeReplacer replacer;
  replacer.addReplacement([&](RankedTensorType t) -> std::optional<Type> {
    if (!isa_and_nonnull<DimsAttr>(t.getEncoding()))
      return std::nullopt;
    Shape s(t);
    for (Dim &d : s.dims)
      if (d.name)
        d = replace(d);
    return s.type();
  });
  replacer.recursivelyReplaceElementsIn(root, /*replaceAttrs=*/true,
                                        /*replaceLocs=*/false,
                                        /*replaceTypes=*/true);
}

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

bool graph::isElementType(Type type) {
  return type.isF32() || type.isF64() || type.isF16() || type.isBF16() ||
         type.isInteger(8) || type.isInteger(32) || type.isInteger(64) ||
         type.isInteger(1);
}
Type graph::sumType(Type element) {
  if (isa<FloatType>(element) && element.getIntOrFloatBitWidth() < 32)
    return mlir::Float32Type::get(element.getContext());
  if (element.isInteger(8))
    return IntegerType::get(element.getContext(), 32);
  return element;
}

Type graph::productType(Type element) {
  return isa<FloatType>(element) ? element : sumType(element);
}

/// More elements than any machine holds: refused before something multiplies.
static constexpr int64_t largestDim = int64_t(1) << 40;

ParseResult graph::parseDim(AsmParser &p, Dim &d) {
  auto loc = p.getCurrentLocation();
  if (succeeded(p.parseOptionalQuestion()))
    return success();
  int64_t size;
  if (auto r = p.parseOptionalInteger(size); r.has_value()) {
    if (failed(*r))
      return failure();
    if (size < 0)
      return error(p, loc, "a dimension cannot be negative");
    if (size > largestDim)
      return error(p, loc, "a dimension this large fits no machine");
    d.size = size;
    return success();
  }
  StringRef name;
  if (failed(p.parseOptionalKeyword(&name)))
    return error(p, loc,
                 "expected a size, a dimension name such as 'batch', or '?'");
  bool pack = succeeded(p.parseOptionalEllipsis());
  d.name = p.getBuilder().getStringAttr(pack ? name + "..." : Twine(name));
  return success();
}

ParseResult graph::parseShape(AsmParser &p, Type &type) {
  auto loc = p.getCurrentLocation();
  if (p.parseType(type))
    return failure();
  if (failed(p.parseOptionalLSquare()))
    return success();
  if (!isElementType(type))
    return error(p, loc) << "there are no tensors of " << typeName(type)
                         << "; element types are " << elementTypes;
  SmallVector<Dim> dims;
  if (failed(p.parseOptionalRSquare()))
    if (p.parseCommaSeparatedList(
            [&] { return parseDim(p, dims.emplace_back()); }) ||
        p.parseRSquare())
      return failure();
  int64_t elements = 1;
  for (const Dim &d : dims)
    if (d.known() && __builtin_mul_overflow(
                         elements, std::max<int64_t>(d.size, 1), &elements))
      elements = largestDim + 1;
  if (elements > largestDim)
    return error(p, loc, "a tensor this large fits no machine");
  if (llvm::count_if(dims, [](const Dim &d) { return d.pack(); }) > 1)
    return error(p, loc, "a shape takes one '...' at most");
  type = Shape(type, dims).type();
  return success();
}

void graph::printShape(AsmPrinter &p, Type type) {
  auto t = dyn_cast<RankedTensorType>(type);
  if (t && (!t.getEncoding() || isa<DimsAttr>(t.getEncoding())))
    p << Shape(t).str();
  else
    p << type;
}

Attribute DimsAttr::parse(AsmParser &p, Type) {
  SmallVector<StringAttr> names;
  auto one = [&]() -> ParseResult {
    StringRef name;
    if (failed(p.parseOptionalQuestion()) && p.parseKeyword(&name))
      return failure();
    bool pack = succeeded(p.parseOptionalEllipsis());
    names.push_back(
        p.getBuilder().getStringAttr(pack ? name + "..." : Twine(name)));
    return success();
  };
  if (p.parseCommaSeparatedList(AsmParser::Delimiter::LessGreater, one))
    return {};
  return get(p.getContext(), names);
}

void DimsAttr::print(AsmPrinter &p) const {
  p << "<";
  llvm::interleaveComma(getNames(), p, [&](StringAttr n) {
    p << (n.empty() ? "?" : n.getValue());
  });
  p << ">";
}

LogicalResult
DimsAttr::verifyEncoding(ArrayRef<int64_t> shape, Type,
                         function_ref<InFlightDiagnostic()> error) const {
  if (shape.size() != getNames().size())
    return error() << "expected " << shape.size() << " dimension names";
  return success();
}

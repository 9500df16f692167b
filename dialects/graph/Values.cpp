//===- Values.cpp - numbers, lists and shapes in the text -----------------===//

#include "gradus/Graph.h"
#include <charconv>

using namespace gradus;
using namespace gradus::graph;

static std::optional<double> numberNamed(StringRef word) {
  if (word == "inf")
    return INFINITY;
  return word == "nan" ? std::optional<double>(NAN) : std::nullopt;
}

std::string graph::shortest(double value) {
  char buffer[32];
  std::string s(buffer, std::to_chars(buffer, buffer + 32, value).ptr);
  // MLIR reads a number as a float by its point.
  if (std::isfinite(value) && s.find('.') == std::string::npos)
    s.insert(std::min(s.find('e'), s.size()), ".0");
  return s;
}

ParseResult graph::parseOption(AsmParser &p, Attribute &attr) {
  StringRef name;
  if (failed(p.parseOptionalKeyword(&name)))
    return parseNumber(p, attr);
  if (auto number = numberNamed(name))
    attr = p.getBuilder().getF64FloatAttr(*number);
  else
    attr = extentAttr(p.getContext(),
                      Dim{.name = p.getBuilder().getStringAttr(name)});
  return success();
}
void graph::printOption(AsmPrinter &p, Attribute attr) {
  isa<TypeAttr>(attr) ? printExtent(p, attr) : printNumber(p, attr);
}

ParseResult graph::parseNumber(AsmParser &p, Attribute &attr) {
  bool negative = succeeded(p.parseOptionalMinus());
  int64_t i;
  if (auto r = p.parseOptionalInteger(i); r.has_value()) {
    attr = p.getBuilder().getI64IntegerAttr(negative ? -i : i);
    return *r;
  }
  StringRef word;
  double d;
  if (succeeded(p.parseOptionalKeyword(&word, {"inf", "nan"})))
    d = *numberNamed(word);
  else if (p.parseFloat(d))
    return failure();
  attr = p.getBuilder().getF64FloatAttr(negative ? -d : d);
  return success();
}

void graph::printNumber(AsmPrinter &p, Attribute attr) {
  if (auto i = dyn_cast<IntegerAttr>(attr))
    p << i.getInt();
  else
    p << shortest(cast<FloatAttr>(attr).getValueAsDouble());
}

ParseResult graph::parseOptions(AsmParser &p,
                                SmallVectorImpl<NamedAttribute> &options) {
  if (failed(p.parseOptionalLParen()) || succeeded(p.parseOptionalRParen()))
    return success();
  auto one = [&]() -> ParseResult {
    StringRef key;
    Attribute value;
    auto loc = p.getCurrentLocation();
    if (p.parseKeyword(&key) || p.parseEqual() || parseNumber(p, value))
      return failure();
    if (llvm::any_of(options,
                     [&](NamedAttribute a) { return a.getName() == key; }))
      return error(p, loc) << "'" << key << "' is given twice";
    options.push_back(p.getBuilder().getNamedAttr(key, value));
    return success();
  };
  return ParseResult(
      failure(p.parseCommaSeparatedList(one) || p.parseRParen()));
}

void graph::printOptions(AsmPrinter &p, DictionaryAttr options) {
  p << "(";
  llvm::interleaveComma(options, p, [&](NamedAttribute a) {
    p << a.getName().getValue() << " = ";
    printNumber(p, a.getValue());
  });
  p << ")";
}

ParseResult graph::parseShapeAttr(AsmParser &p, Attribute &attr) {
  Type type;
  auto loc = p.getCurrentLocation();
  if (parseShape(p, type))
    return failure();
  if (!isa<RankedTensorType>(type))
    return error(p, loc) << "expected a shape, as in '" << typeName(type)
                         << "[2, 3]'";
  attr = TypeAttr::get(type);
  return success();
}

ParseResult graph::parseExtentAttr(AsmParser &p, Attribute &attr) {
  Dim d;
  StringRef name;
  if (succeeded(p.parseOptionalKeyword(&name))) {
    d.name = p.getBuilder().getStringAttr(name);
  } else {
    auto loc = p.getCurrentLocation();
    auto number = p.parseOptionalInteger(d.size);
    if (!number.has_value())
      return error(p, loc) << "expected a number or the name of a dimension";
    if (*number)
      return failure();
    if (d.size < 0)
      return error(p, loc) << "expected a number that is not negative, or the "
                              "name of a dimension";
  }
  attr = extentAttr(p.getContext(), d);
  return success();
}
void graph::printExtent(AsmPrinter &p, Attribute attr) {
  p << extentOf(attr).str();
}

ParseResult graph::parseElementAttr(AsmParser &p, Attribute &attr) {
  Type type;
  auto loc = p.getCurrentLocation();
  if (p.parseType(type))
    return failure();
  if (!isElementType(type))
    return error(p, loc) << "expected an element type: " << elementTypes;
  attr = TypeAttr::get(type);
  return success();
}

ParseResult graph::parseIntegers(AsmParser &p, Attribute &attr) {
  SmallVector<int64_t> values;
  if (p.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&] {
        return p.parseInteger(values.emplace_back());
      }))
    return failure();
  attr = p.getBuilder().getDenseI64ArrayAttr(values);
  return success();
}

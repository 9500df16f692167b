//===- Syntax.cpp - the text form that every op shares --------------------===//

#include "gradus/Graph.h"
#include "llvm/ADT/StringExtras.h"
#include <thread>

using namespace gradus;
using namespace gradus::graph;
using llvm::SMLoc;
using mlir::Diagnostic;

thread_local SmallVector<std::string> graph::namesInScope;

SMLoc graph::endOfLastToken(AsmParser &p) {
  const char *at = p.getCurrentLocation().getPointer();
  while (llvm::isSpace(at[-1]))
    --at;
  return SMLoc::getFromPointer(at);
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

/// Where a name that is used at `from` is defined further down in the region,
/// or null.
static const char *definedLater(const char *from, StringRef name) {
  int depth = 0;
  for (const char *c = from + 1; *c && depth >= 0; ++c) {
    depth += (*c == '{') - (*c == '}');
    StringRef rest(c);
    if (rest.consume_front(name) &&
        (rest.ltrim(' ').starts_with("=") || rest.starts_with(":")))
      return c;
  }
  return nullptr;
}

static InFlightDiagnostic
unknownName(OpAsmParser &p, const OpAsmParser::UnresolvedOperand &operand) {
  if (const char *c =
          definedLater(operand.location.getPointer(), operand.name)) {
    auto d = error(p, operand.location)
             << "'" << operand.name << "' is used before it is defined";
    d.attachNote(p.getEncodedSourceLoc(SMLoc::getFromPointer(c)))
        << "it is defined here";
    return d;
  }
  auto d = error(p, operand.location)
           << "no value named '" << operand.name << "' is in scope";
  SmallVector<StringRef> known(namesInScope.begin(), namesInScope.end());
  if (StringRef n = nearest(operand.name.drop_front(), known); !n.empty())
    d << "; did you mean '%" << n << "'?";
  return d;
}

/// MLIR's parser knows the type of every value in scope but has no call that
/// tells. Resolving with a type that no value has makes it say so in an error,
/// whose arguments carry the real type.
FailureOr<Value> graph::resolve(OpAsmParser &p,
                                const OpAsmParser::UnresolvedOperand &operand) {
  MLIRContext *ctx = p.getContext();
  Type nothing = FunctionType::get(ctx, {}, {}), type;
  SmallVector<Value, 1> value;
  {
    auto self = std::this_thread::get_id();
    mlir::ScopedDiagnosticHandler listen(ctx, [&](Diagnostic &d) {
      if (std::this_thread::get_id() != self)
        return failure();
      SmallVector<Type> types;
      for (auto &a : d.getArguments())
        if (a.getKind() ==
            mlir::DiagnosticArgument::DiagnosticArgumentKind::Type)
          types.push_back(a.getAsType());
      if (types.size() != 2 || types[0] != nothing)
        return failure(); // another error: let it through
      type = types[1];
      return success();
    });
    if (succeeded(p.resolveOperand(operand, nothing, value)))
      type = nothing;
    else if (!type || p.resolveOperand(operand, type, value))
      return failure();
  }
  // The parser stands a detached op in for a value it has not met.
  if (Operation *def = value[0].getDefiningOp(); def && !def->getBlock()) {
    unknownName(p, operand);
    return failure();
  }
  return value[0];
}

ParseResult graph::parseValues(OpAsmParser &p,
                               SmallVectorImpl<LocatedValue> &values) {
  SmallVector<OpAsmParser::UnresolvedOperand> names;
  if (p.parseOperandList(names))
    return failure();
  for (const auto &n : names) {
    FailureOr<Value> v = resolve(p, n);
    if (failed(v))
      return failure();
    values.push_back({*v, p.getEncodedSourceLoc(n.location)});
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Result names
//===----------------------------------------------------------------------===//

void graph::recordNames(OpAsmParser &p, OperationState &s) {
  SmallVector<StringRef> names;
  for (size_t i = 0, e = p.getNumResults(); i < e; ++i) {
    auto [name, index] = p.getResultName(i);
    if (index == 0)
      namesInScope.push_back(name.str());
    names.push_back(index != 0 || llvm::isDigit(name[0]) ? "" : name);
  }
  if (llvm::any_of(names, [](StringRef n) { return !n.empty(); }))
    s.location = NameLoc::get(
        p.getBuilder().getStringAttr(llvm::join(names, ",")), s.location);
}

void graph::nameResults(Operation *op, mlir::OpAsmSetValueNameFn set) {
  auto loc = op->getLoc()->findInstanceOf<NameLoc>(); // also in call sites
  if (!loc)
    return;
  SmallVector<StringRef> names;
  loc.getName().getValue().split(names, ',');
  for (auto [v, n] : llvm::zip(op->getResults(), names))
    if (!n.empty())
      set(v, n);
}

void graph::rename(mlir::OpResult value, StringRef name) {
  Operation *op = value.getOwner();
  SmallVector<std::string> names;
  for (Value r : op->getResults())
    names.push_back(r == value ? name.str() : nameOf(r).str());
  Location loc = op->getLoc();
  if (auto named = dyn_cast<NameLoc>(loc))
    loc = named.getChildLoc();
  op->setLoc(NameLoc::get(
      StringAttr::get(op->getContext(), llvm::join(names, ",")), loc));
}

void graph::nameArguments(Block::BlockArgListType args,
                          mlir::OpAsmSetValueNameFn set) {
  for (BlockArgument a : args)
    if (auto n = dyn_cast<NameLoc>(a.getLoc()))
      set(a, n.getName().getValue());
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

namespace {
/// The arguments of one op, read from left to right.
class ArgumentParser {
public:
  ArgumentParser(OpAsmParser &p, OperationState &s, ArrayRef<ArgSpec> specs,
                 ParsedArguments &out)
      : p(p), s(s), specs(specs), out(out), mnemonic(s.name.stripDialect()) {}

  ParseResult run() {
    // An op without operands has keywords only.
    bool anyOperand = llvm::any_of(specs, isOperand);
    size_t i = 0;
    for (; anyOperand && !isOperand(specs[i]); ++i) {
      Attribute a;
      if (specs[i].parse(p, a))
        return failure();
      out.attributes.append(specs[i].name, a);
      readComma();
    }
    for (; i < specs.size() && isOperand(specs[i]); ++i)
      if (operands(specs[i]))
        return failure();
    ArrayRef<ArgSpec> keywords = specs.drop_front(i);
    if (!anyOperand && !keywords.empty()) {
      // Nothing has been read: is there a first keyword?
      StringRef word;
      if (failed(p.parseOptionalKeyword(&word)))
        return missing("attribute", keywords[0].name);
      if (keyword(word, p.getNameLoc(), keywords))
        return failure();
    }
    while (comma)
      if (nextKeyword(keywords))
        return failure();
    if (!sizes.empty())
      out.attributes.append(keywords.back().name,
                            sizes.getDictionary(p.getContext()));
    for (const ArgSpec &a : keywords)
      if (!a.optional && !out.attributes.get(a.name))
        return missing("attribute", a.name);
    return p.parseOptionalAttrDict(s.attributes);
  }

private:
  static bool isOperand(const ArgSpec &a) {
    return a.kind != ArgSpec::Attribute;
  }
  /// Takes `name = integer` for names of its own (rearrange's axes).
  static bool takesSizes(const ArgSpec &a) {
    return a.parse == &parseValue<DictionaryAttr>;
  }
  void readComma() { comma = more = succeeded(p.parseOptionalComma()); }

  ParseResult operands(const ArgSpec &spec) {
    int32_t count = 0;
    while (more && (spec.kind == ArgSpec::Variadic || count == 0)) {
      OpAsmParser::UnresolvedOperand operand;
      auto r = p.parseOptionalOperand(operand);
      if (!r.has_value())
        break;
      if (failed(*r))
        return failure();
      FailureOr<Value> v = resolve(p, operand);
      if (failed(v))
        return failure();
      if (!isa<RankedTensorType>(v->getType()))
        return error(p, operand.location)
               << mnemonic << " takes tensors, but " << operand.name
               << " has type " << typeName(v->getType());
      out.operands.push_back({*v, p.getEncodedSourceLoc(operand.location)});
      s.operands.push_back(*v);
      ++count;
      readComma();
    }
    if (!count && !spec.optional)
      return missing("operand", spec.name);
    if (!count && spec.kind == ArgSpec::Variadic)
      return missing("operand", spec.name);
    out.segments.push_back(count);
    return success();
  }

  ParseResult nextKeyword(ArrayRef<ArgSpec> keywords) {
    StringRef word;
    auto loc = p.getCurrentLocation();
    if (succeeded(p.parseOptionalKeyword(&word)))
      return keyword(word, loc, keywords);
    OpAsmParser::UnresolvedOperand operand;
    auto r = p.parseOptionalOperand(operand);
    auto d = error(p, loc);
    if (r.has_value())
      d << mnemonic << " takes no more than " << s.operands.size()
        << (s.operands.size() == 1 ? " operand" : " operands");
    else
      d << "expected an attribute name";
    d.attachNote(s.location) << "usage: " << usage();
    return d;
  }

  ParseResult keyword(StringRef word, SMLoc loc, ArrayRef<ArgSpec> keywords) {
    const auto *spec = llvm::find_if(keywords, [&](const ArgSpec &a) {
      return a.name == word && !takesSizes(a);
    });
    if (spec == keywords.end() && !keywords.empty() &&
        takesSizes(keywords.back())) {
      int64_t v;
      if (p.parseEqual() || p.parseInteger(v))
        return failure();
      sizes.append(word, p.getBuilder().getI64IntegerAttr(v));
      readComma();
      return success();
    }
    if (spec == keywords.end())
      return unknownKeyword(word, loc, keywords);
    if (out.attributes.get(word))
      return error(p, loc) << "'" << word << "' is given twice";
    Attribute a;
    bool isFlag = spec->parse == &parseValue<UnitAttr>;
    if (SMLoc at = p.getCurrentLocation();
        isFlag && succeeded(p.parseOptionalEqual()))
      return error(p, at) << "'" << word << "' takes no value: write '" << word
                          << "', or leave it out";
    if ((!isFlag && p.parseEqual()) || spec->parse(p, a))
      return failure();
    out.attributes.append(word, a);
    readComma();
    return success();
  }

  ParseResult unknownKeyword(StringRef word, SMLoc loc,
                             ArrayRef<ArgSpec> keywords) {
    SmallVector<StringRef> valid;
    for (const ArgSpec &a : keywords)
      valid.push_back(a.name);
    auto d = error(p, loc) << mnemonic << " has no attribute '" << word << "'";
    if (StringRef n = nearest(word, valid); !n.empty())
      d << "; did you mean '" << n << "'?";
    if (valid.empty())
      d.attachNote(s.location) << mnemonic << " has no attributes";
    else
      d.attachNote(s.location)
          << "its attributes are: " << llvm::join(valid, ", ");
    return d;
  }

  ParseResult missing(StringRef what, StringRef name) {
    auto d = error(p, endOfLastToken(p))
             << mnemonic << " needs " << what << " '" << name << "'";
    d.attachNote(s.location) << "usage: " << usage();
    return d;
  }

  std::string usage() {
    std::string text = mnemonic.str();
    bool seenOperand = !llvm::any_of(specs, isOperand);
    for (const ArgSpec &a : specs) {
      text += &a == specs.begin() ? " " : ", ";
      std::string one = isOperand(a)  ? ("%" + a.name).str()
                        : seenOperand ? (a.name + " = ..").str()
                                      : ("<" + a.name + ">").str();
      seenOperand |= isOperand(a);
      if (a.kind == ArgSpec::Variadic)
        text += one + "...";
      else
        text += a.optional ? "[" + one + "]" : one;
    }
    return text;
  }

  OpAsmParser &p;
  OperationState &s;
  ArrayRef<ArgSpec> specs;
  ParsedArguments &out;
  StringRef mnemonic;
  NamedAttrList sizes;
  bool comma = false; ///< has one just been read?
  bool more = true;   ///< may another argument follow?
};
} // namespace

ParseResult graph::parseArguments(OpAsmParser &p, OperationState &s,
                                  ArrayRef<ArgSpec> specs,
                                  ParsedArguments &out) {
  recordNames(p, s);
  return ArgumentParser(p, s, specs, out).run();
}

ParseResult graph::parseResultTypes(OpAsmParser &p, OperationState &s,
                                    ArrayRef<Type> inferred) {
  StringRef mnemonic = s.name.stripDialect();
  if (succeeded(p.parseOptionalColon())) {
    unsigned i = 0;
    auto one = [&]() -> ParseResult {
      auto loc = p.getCurrentLocation();
      Type t;
      if (parseShape(p, t))
        return failure();
      if (i >= inferred.size())
        return error(p, loc)
               << mnemonic << " has " << inferred.size() << " result(s)";
      if (t == inferred[i++])
        return success();
      auto d = error(p, loc)
               << "the result is " << Shape(inferred[i - 1]).str() << ", not ";
      if (isa<RankedTensorType>(t))
        return d << Shape(t).str();
      return d << typeName(t);
    };
    if (p.parseCommaSeparatedList(one))
      return failure();
  }
  if (size_t n = p.getNumResults(); n && n != inferred.size()) {
    auto first = SMLoc::getFromPointer(p.getResultName(0).first.data() - 1);
    return error(p, first) << mnemonic << " makes " << inferred.size()
                           << (inferred.size() == 1 ? " value" : " values")
                           << ", but " << n
                           << (n == 1 ? " is named" : " are named");
  }
  s.addTypes(inferred);
  return success();
}

void graph::printResultTypes(OpAsmPrinter &p, mlir::TypeRange types) {
  if (types.empty())
    return;
  p << " : ";
  llvm::interleaveComma(types, p, [&](Type t) { printShape(p, t); });
}

void graph::printArguments(OpAsmPrinter &p, Operation *op,
                           ArrayRef<ArgSpec> specs,
                           function_ref<unsigned(unsigned)> segmentSize,
                           function_ref<Attribute(StringRef)> value,
                           function_ref<Attribute(StringRef)> defaultValue) {
  bool first = true;
  bool keywords = llvm::none_of(
      specs, [](const ArgSpec &a) { return a.kind != ArgSpec::Attribute; });
  unsigned operand = 0, segment = 0;
  SmallVector<StringRef> elided{"operandSegmentSizes"};
  auto separate = [&] {
    p << (first ? " " : ", ");
    first = false;
  };
  for (const ArgSpec &a : specs) {
    if (a.kind != ArgSpec::Attribute) {
      keywords = true;
      for (unsigned n = segmentSize(segment++); n-- > 0;) {
        separate();
        p << op->getOperand(operand++);
      }
      continue;
    }
    elided.push_back(a.name);
    Attribute v = value(a.name);
    if (!v || v == defaultValue(a.name))
      continue;
    if (auto sizes = dyn_cast<DictionaryAttr>(v)) {
      for (NamedAttribute size : sizes) {
        separate();
        p << size.getName().getValue() << " = ";
        printNumber(p, size.getValue());
      }
      continue;
    }
    separate();
    if (isa<UnitAttr>(v)) {
      p << a.name;
      continue;
    }
    if (keywords)
      p << a.name << " = ";
    a.print(p, v);
  }
  p.printOptionalAttrDict(op->getAttrs(), elided);
  printResultTypes(p, op->getResultTypes());
}

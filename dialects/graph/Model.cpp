//===- Model.cpp - models, variables, constants, training -----------------===//

#include "ModelScope.h"
#include "gradus/Graph.h"
#include "llvm/ADT/StringExtras.h"

using namespace gradus;
using namespace gradus::graph;
using llvm::APFloat;
using llvm::APInt;

#define GET_OP_CLASSES
#include "dialects/graph/Model.cpp.inc"

thread_local ModelScope *ModelScope::current = nullptr;

//===----------------------------------------------------------------------===//
// model
//===----------------------------------------------------------------------===//

ParseResult ModelOp::parse(OpAsmParser &p, OperationState &s) {
  StringAttr name;
  ModelScope scope;
  if (p.parseSymbolName(name, "sym_name", s.attributes) ||
      p.parseOptionalAttrDictWithKeyword(s.attributes))
    return failure();
  Region *body = s.addRegion();
  if (p.parseRegion(*body, {}, /*enableNameShadowing=*/true))
    return failure();
  if (body->empty())
    body->emplaceBlock();
  return success();
}
void ModelOp::print(OpAsmPrinter &p) {
  p << " ";
  p.printSymbolName(getSymName());
  p.printOptionalAttrDictWithKeyword((*this)->getAttrs(), {"sym_name"});
  p << " ";
  p.printRegion(getBody());
}
LogicalResult ModelOp::verifyRegions() {
  llvm::StringMap<Operation *> seen;
  for (Operation &op : getBody().front())
    if (StringAttr name = variableName(&op)) {
      auto [it, fresh] = seen.try_emplace(name.getValue(), &op);
      if (fresh)
        continue;
      auto d = mlir::emitError(op.getLoc())
               << (isa<ParamOp>(op) ? "parameter" : "state") << " '"
               << name.getValue() << "' is declared twice";
      d.attachNote(it->second->getLoc()) << "first declared here";
      return d;
    }
  return success();
}

//===----------------------------------------------------------------------===//
// param, state, update
//===----------------------------------------------------------------------===//

StringAttr graph::variableName(Operation *op) {
  if (auto p = dyn_cast<ParamOp>(op))
    return p.getNameAttr();
  if (auto s = dyn_cast<StateOp>(op))
    return s.getNameAttr();
  return {};
}

/// The initialisers, and the options each takes.
static const std::pair<StringRef, std::vector<StringRef>> initialisers[] = {
    {"zeros", {}},
    {"ones", {}},
    {"constant", {"value"}},
    {"normal", {"mean", "std", "seed"}},
    {"uniform", {"low", "high", "seed"}},
    // `stacked`: that many leading axes count parameters, not their inputs.
    {"he_normal", {"seed", "stacked"}},
    {"he_uniform", {"seed", "stacked"}},
    {"glorot_normal", {"seed", "stacked"}},
    {"glorot_uniform", {"seed", "stacked"}},
};

static ParseResult parseInitialiser(OpAsmParser &p, StringRef &init,
                                    SmallVectorImpl<NamedAttribute> &options) {
  auto loc = p.getCurrentLocation();
  if (p.parseKeyword(&init))
    return failure();
  SmallVector<StringRef> names;
  for (const auto &known : initialisers)
    names.push_back(known.first);
  const auto *known = llvm::find_if(
      initialisers, [&](const auto &i) { return i.first == init; });
  if (known == std::end(initialisers)) {
    auto d = error(p, loc) << "there is no initialiser '" << init << "'";
    if (StringRef n = nearest(init, names); !n.empty())
      d << "; did you mean '" << n << "'?";
    d.attachNote(p.getEncodedSourceLoc(loc))
        << "the initialisers are: " << llvm::join(names, ", ");
    return d;
  }
  auto at = p.getCurrentLocation();
  if (parseOptions(p, options))
    return failure();
  for (NamedAttribute a : options)
    if (!llvm::is_contained(known->second, a.getName().getValue()))
      return error(p, at) << init << " has no option '"
                          << a.getName().getValue() << "'"
                          << (known->second.empty()
                                  ? ""
                                  : "; its options are: " +
                                        llvm::join(known->second, ", "));
  return success();
}

static ParseResult parseVariable(OpAsmParser &p, OperationState &s) {
  Builder &b = p.getBuilder();
  StringRef kind = s.name.stripDialect();
  StringRef name = p.getNumResults() == 1 ? p.getResultName(0).first : "";
  if (name.empty() || llvm::isDigit(name[0]))
    return error(p, p.getNameLoc())
           << "a " << kind << " needs a name, as in '%fc1.w = " << kind
           << " ...'";
  s.location = NameLoc::get(b.getStringAttr(name), s.location);
  namesInScope.push_back(name.str());
  // A name that the text cannot hold as a value's stands in quotes.
  std::string id = name.str();
  (void)p.parseOptionalString(&id);
  Type type;
  auto loc = p.getCurrentLocation();
  if (parseShape(p, type))
    return failure();
  if (!isa<RankedTensorType>(type))
    return error(p, loc) << "a " << kind << " has a shape, as in '"
                         << typeName(type) << "[10]'";
  StringRef init;
  SmallVector<NamedAttribute> options;
  if (p.parseEqual() || parseInitialiser(p, init, options))
    return failure();
  s.addAttribute("name", b.getStringAttr(id));
  s.addAttribute("init", b.getStringAttr(init));
  s.addAttribute("options", b.getDictionaryAttr(options));
  s.addTypes(type);
  return p.parseOptionalAttrDict(s.attributes);
}
template <typename Op> static void printVariable(Op op, OpAsmPrinter &p) {
  std::string written;
  llvm::raw_string_ostream os(written);
  p.printOperand(op.getResult(), os);
  if (StringRef(written).drop_front() != op.getName()) {
    p << " ";
    p.printString(op.getName());
  }
  p << " ";
  printShape(p, op.getType());
  p << " = " << op.getInit();
  if (!op.getOptions().empty())
    printOptions(p, op.getOptions());
  p.printOptionalAttrDict(op->getAttrs(), {"name", "init", "options"});
}
static LogicalResult verifyVariable(Operation *op) {
  if (isa<ModelOp, FuncOp>(op->getParentOp()))
    return success();
  return mlir::emitError(op->getLoc())
         << "a " << op->getName().stripDialect()
         << " is declared in a model or function, outside its loops and "
            "branches; they may use it";
}
LogicalResult ParamOp::verify() { return verifyVariable(*this); }
LogicalResult StateOp::verify() { return verifyVariable(*this); }

ParseResult ParamOp::parse(OpAsmParser &p, OperationState &s) {
  return parseVariable(p, s);
}
void ParamOp::print(OpAsmPrinter &p) { printVariable(*this, p); }
ParseResult StateOp::parse(OpAsmParser &p, OperationState &s) {
  return parseVariable(p, s);
}
void StateOp::print(OpAsmPrinter &p) { printVariable(*this, p); }

ParseResult UpdateOp::parse(OpAsmParser &p, OperationState &s) {
  SmallVector<LocatedValue> values;
  auto at = p.getCurrentLocation();
  if (parseValues(p, values))
    return failure();
  if (values.size() != 2)
    return error(p, at) << "update takes a parameter or state and its next "
                           "value";
  auto [variable, next] = std::pair(values[0].first, values[1].first);
  if (!variable.getDefiningOp() || !variableName(variable.getDefiningOp()))
    return error(p, at) << display(variable)
                        << " is no parameter or state; only those are updated";
  if (variable.getType() != next.getType())
    return mlir::emitError(values[1].second)
           << display(variable) << " is " << Shape(variable).str()
           << ", but its next value is " << Shape(next).str();
  s.addOperands({variable, next});
  return p.parseOptionalAttrDict(s.attributes);
}
LogicalResult UpdateOp::verify() {
  if (isa<FuncOp>((*this)->getParentOp()))
    return success();
  return mlir::emitError(getLoc())
         << display(getVariable())
         << " is updated once a call of the function, not in a loop or branch: "
            "carry its value there and update it with the last one";
}
void UpdateOp::print(OpAsmPrinter &p) {
  p << " " << getVariable() << ", " << getValue();
  p.printOptionalAttrDict((*this)->getAttrs());
}

//===----------------------------------------------------------------------===//
// constant
//===----------------------------------------------------------------------===//

/// More belongs into a file.
static constexpr size_t mostInText = 4096;

namespace {
/// Numbers in nested brackets, checked against a shape.
struct NumberList {
  OpAsmParser &p;
  RankedTensorType type;
  SmallVector<Attribute> values;

  ParseResult one() {
    auto loc = p.getCurrentLocation();
    StringRef word;
    Attribute a;
    Builder &b = p.getBuilder();
    Type e = type.getElementType();
    if (succeeded(p.parseOptionalKeyword(&word, {"true", "false"})))
      a = b.getI64IntegerAttr(word == "true");
    else if (parseNumber(p, a))
      return failure();
    if (isa<FloatType>(e)) {
      double v = isa<IntegerAttr>(a) ? double(cast<IntegerAttr>(a).getInt())
                                     : cast<FloatAttr>(a).getValueAsDouble();
      values.push_back(b.getFloatAttr(e, v));
    } else if (auto i = dyn_cast<IntegerAttr>(a)) {
      if (e.isInteger(1) ? i.getInt() < 0 || i.getInt() > 1
                         : !APInt(64, i.getInt(), true)
                                .isSignedIntN(e.getIntOrFloatBitWidth()))
        return error(p, loc) << i.getInt() << " does not fit " << typeName(e);
      values.push_back(b.getIntegerAttr(e, i.getInt()));
    } else {
      return error(p, loc) << "expected a whole number for " << typeName(e);
    }
    if (values.size() > mostInText)
      return error(p, loc) << "a constant of more than " << mostInText
                           << " numbers belongs into a file: make it a "
                              "param and load it";
    return success();
  }
  ParseResult nested(int64_t axis) {
    if (axis == type.getRank())
      return one();
    auto loc = p.getCurrentLocation();
    int64_t n = 0;
    if (p.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&] {
          ++n;
          return nested(axis + 1);
        }))
      return failure();
    if (n != type.getDimSize(axis))
      return error(p, loc) << "axis " << axis << " of " << Shape(type).str()
                           << " has " << type.getDimSize(axis)
                           << " elements, but " << n << " are given";
    return success();
  }
};
} // namespace

ParseResult ConstantOp::parse(OpAsmParser &p, OperationState &s) {
  Type type;
  auto loc = p.getCurrentLocation();
  recordNames(p, s);
  if (parseShape(p, type) || p.parseEqual())
    return failure();
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor)
    return error(p, loc) << "a constant has a shape, as in '" << typeName(type)
                         << "[] = 1.0'";
  if (!tensor.hasStaticShape())
    return error(p, loc) << "a constant's sizes are numbers; 'broadcast' "
                            "fills named dimensions";
  // One number fills any shape.
  NumberList list{p, tensor, {}};
  const char *next = p.getCurrentLocation().getPointer();
  if (*next == '[' ? list.nested(0) : list.one())
    return failure();
  s.addAttribute("value", DenseElementsAttr::get(tensor, list.values));
  s.addTypes(type);
  return p.parseOptionalAttrDict(s.attributes);
}

static void printElement(OpAsmPrinter &p, DenseElementsAttr value, int64_t i) {
  Type e = value.getElementType();
  if (isa<FloatType>(e)) {
    APFloat v = value.getValues<APFloat>()[i];
    if (e.isF32()) { // the fewest digits that read back as the same f32
      char digits[32];
      v.convertToFloat();
      snprintf(digits, sizeof digits, "%.9g", v.convertToFloat());
      for (int n = 1; n < 9; ++n) {
        char fewer[32];
        snprintf(fewer, sizeof fewer, "%.*g", n, v.convertToFloat());
        if (strtof(fewer, nullptr) == v.convertToFloat()) {
          p << shortest(strtod(fewer, nullptr));
          return;
        }
      }
      p << shortest(strtod(digits, nullptr));
      return;
    }
    p << shortest(v.convertToDouble());
  } else if (e.isInteger(1)) {
    p << (value.getValues<APInt>()[i].isZero() ? "false" : "true");
  } else {
    p << value.getValues<APInt>()[i].getSExtValue();
  }
}
static int64_t printNested(OpAsmPrinter &p, DenseElementsAttr value,
                           int64_t axis, int64_t i) {
  if (axis == value.getType().getRank()) {
    printElement(p, value, i);
    return i + 1;
  }
  p << "[";
  for (int64_t n = 0; n < value.getType().getDimSize(axis); ++n) {
    p << (n ? ", " : "");
    i = printNested(p, value, axis + 1, i);
  }
  p << "]";
  return i;
}
void ConstantOp::print(OpAsmPrinter &p) {
  p << " ";
  printShape(p, getType());
  p << " = ";
  auto value = cast<DenseElementsAttr>(getValue());
  if (value.isSplat() && value.getNumElements())
    printElement(p, value, 0);
  else
    printNested(p, value, 0, 0);
  p.printOptionalAttrDict((*this)->getAttrs(), {"value"});
}
mlir::OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValue(); }

//===----------------------------------------------------------------------===//
// train
//===----------------------------------------------------------------------===//

ParseResult TrainOp::parse(OpAsmParser &p, OperationState &s) {
  StringAttr name;
  mlir::FlatSymbolRefAttr loss;
  StringRef optimizer;
  SmallVector<NamedAttribute> options;
  SmallVector<Attribute> reports;
  if (p.parseSymbolName(name, "sym_name", s.attributes) ||
      p.parseKeyword("minimizes") ||
      p.parseAttribute(loss, "loss", s.attributes))
    return failure();
  if (succeeded(p.parseOptionalKeyword("wrt"))) {
    SmallVector<Attribute> patterns;
    if (p.parseCommaSeparatedList([&] {
          std::string pattern;
          ParseResult r = p.parseString(&pattern);
          patterns.push_back(p.getBuilder().getStringAttr(pattern));
          return r;
        }))
      return failure();
    s.addAttribute("wrt", p.getBuilder().getArrayAttr(patterns));
  }
  if (p.parseKeyword("using") || p.parseKeyword(&optimizer) ||
      parseOptions(p, options))
    return failure();
  if (succeeded(p.parseOptionalKeyword("reports")))
    if (p.parseCommaSeparatedList([&]() -> ParseResult {
          mlir::FlatSymbolRefAttr metric;
          if (p.parseAttribute(metric))
            return failure();
          reports.push_back(metric);
          return success();
        }))
      return failure();
  Builder &b = p.getBuilder();
  s.addAttribute("optimizer", b.getStringAttr(optimizer));
  s.addAttribute("options", b.getDictionaryAttr(options));
  s.addAttribute("reports", b.getArrayAttr(reports));
  return p.parseOptionalAttrDict(s.attributes);
}
void TrainOp::print(OpAsmPrinter &p) {
  p << " ";
  p.printSymbolName(getSymName());
  p << " minimizes " << getLossAttr();
  if (auto patterns = getWrt()) {
    p << " wrt ";
    llvm::interleaveComma(*patterns, p);
  }
  p << " using " << getOptimizer();
  printOptions(p, getOptions());
  if (!getReports().empty()) {
    p << " reports ";
    llvm::interleaveComma(getReports(), p);
  }
  p.printOptionalAttrDict(
      (*this)->getAttrs(),
      {"sym_name", "loss", "wrt", "optimizer", "options", "reports"});
}

bool graph::isZero(Value v) {
  Operation *op = v.getDefiningOp();
  if (isa_and_nonnull<BroadcastOp, ReshapeOp>(op))
    return isZero(op->getOperand(0));
  auto constant = dyn_cast_or_null<ConstantOp>(op);
  if (!constant)
    return false;
  auto value = cast<DenseElementsAttr>(constant.getValue());
  if (value.getNumElements() == 0 || !value.isSplat())
    return false;
  return isa<FloatType>(value.getElementType())
             ? value.getSplatValue<llvm::APFloat>().isZero()
             : value.getSplatValue<llvm::APInt>().isZero();
}

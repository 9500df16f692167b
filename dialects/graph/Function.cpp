//===- Function.cpp - functions and what they return ----------------------===//

#include "ModelScope.h"
#include "gradus/Graph.h"
#include "llvm/ADT/SetVector.h"

using namespace gradus;
using namespace gradus::graph;

//===----------------------------------------------------------------------===//
// func, return
//===----------------------------------------------------------------------===//

namespace {
struct ParsedSignature {
  SmallVector<OpAsmParser::Argument> args;
  SmallVector<Type> inputs, results;
  SmallVector<Attribute> argAttrs;
  llvm::SMLoc resultLoc;
  bool declaresResults = false;
};
} // namespace

static ParseResult parseSignature(OpAsmParser &p, ParsedSignature &sig) {
  Builder &b = p.getBuilder();
  auto argument = [&]() -> ParseResult {
    OpAsmParser::Argument a;
    if (p.parseArgument(a) || p.parseColon())
      return failure();
    auto loc = p.getCurrentLocation();
    if (parseShape(p, a.type))
      return failure();
    if (!isa<RankedTensorType>(a.type))
      return error(p, loc) << "an argument has a shape, as in '"
                           << typeName(a.type) << "[]'";
    StringAttr name = b.getStringAttr(a.ssaName.name.drop_front());
    a.sourceLoc = NameLoc::get(name, p.getEncodedSourceLoc(a.ssaName.location));
    SmallVector<NamedAttribute> attrs{b.getNamedAttr("graph.name", name)};
    if (succeeded(p.parseOptionalEqual())) {
      Attribute value;
      if (Shape(a.type).rank())
        return error(p, loc) << "only a scalar argument has a default";
      if (parseNumber(p, value))
        return failure();
      attrs.push_back(b.getNamedAttr("graph.default", value));
    }
    sig.argAttrs.push_back(b.getDictionaryAttr(attrs));
    sig.args.push_back(a);
    sig.inputs.push_back(a.type);
    return success();
  };
  if (p.parseCommaSeparatedList(AsmParser::Delimiter::Paren, argument))
    return failure();
  sig.declaresResults = succeeded(p.parseOptionalArrow());
  sig.resultLoc = p.getCurrentLocation();
  if (sig.declaresResults)
    return p.parseCommaSeparatedList(
        [&] { return parseShape(p, sig.results.emplace_back()); });
  return success();
}

/// The parameters that a body and its callees use, in order of declaration.
static SmallVector<Value> usedParams(Region &body) {
  // The region is not attached yet, so getUsedValuesDefinedAbove would fail.
  llvm::SetVector<Value> used;
  body.walk([&](Operation *op) {
    for (Value v : op->getOperands())
      if (auto q = v.getDefiningOp<ParamOp>();
          q && q->getParentRegion() != &body)
        used.insert(v);
    if (isa<CallOp, RepeatOp>(op)) {
      auto callee = op->getAttrOfType<mlir::FlatSymbolRefAttr>("callee");
      auto &known = ModelScope::current->functions;
      if (auto it = known.find(callee.getValue()); it != known.end())
        used.insert_range(it->second.params);
    }
  });
  SmallVector<Value> params = used.takeVector();
  llvm::sort(params, [](Value a, Value b) {
    return a.getDefiningOp()->isBeforeInBlock(b.getDefiningOp());
  });
  return params;
}

ParseResult FuncOp::parse(OpAsmParser &p, OperationState &s) {
  Builder &b = p.getBuilder();
  StringAttr name;
  ParsedSignature sig;
  auto start = p.getCurrentLocation();
  mlir::FlatSymbolRefAttr rule;
  if (p.parseSymbolName(name, "sym_name", s.attributes) ||
      parseSignature(p, sig) ||
      (succeeded(p.parseOptionalKeyword("gradient")) &&
       p.parseAttribute(rule, gradientAttr, s.attributes)) ||
      p.parseOptionalAttrDictWithKeyword(s.attributes))
    return failure();
  Region *body = s.addRegion();
  size_t outside = namesInScope.size();
  for (auto &a : sig.args)
    namesInScope.push_back(a.ssaName.name.drop_front().str());
  if (p.parseRegion(*body, sig.args))
    return failure();
  namesInScope.truncate(outside);

  auto ret = body->empty() || body->back().empty()
                 ? ReturnOp()
                 : dyn_cast<ReturnOp>(body->back().back());
  if (!ret)
    return error(p, start) << "@" << name.getValue() << " does not return";
  SmallVector<Type> returned(ret.getOperandTypes());
  if (sig.declaresResults && returned != sig.results) {
    auto d = mlir::emitError(ret.getLoc())
             << "@" << name.getValue() << " returns ";
    llvm::interleaveComma(returned, d, [&](Type t) { d << Shape(t).str(); });
    d.attachNote(p.getEncodedSourceLoc(sig.resultLoc))
        << "it is declared to return something else";
    return d;
  }
  auto type = FunctionType::get(b.getContext(), sig.inputs, returned);
  ArrayAttr argAttrs = b.getArrayAttr(sig.argAttrs);
  s.addAttribute("function_type", TypeAttr::get(type));
  s.addAttribute("arg_attrs", argAttrs);
  if (ModelScope *scope = ModelScope::current) {
    auto [it, fresh] = scope->functions.try_emplace(
        name.getValue(), ModelScope::Function{Signature(type, argAttrs, *body),
                                              usedParams(*body)});
    if (!fresh)
      return error(p, start) << "there are two functions @" << name.getValue();
  }
  return success();
}

void FuncOp::print(OpAsmPrinter &p) {
  p << " ";
  p.printSymbolName(getSymName());
  p << "(";
  llvm::interleaveComma(getBody().getArguments(), p, [&](BlockArgument a) {
    p << a << ": ";
    printShape(p, a.getType());
    if (ArrayAttr attrs = getArgAttrsAttr()) {
      auto of = cast<DictionaryAttr>(attrs[a.getArgNumber()]);
      if (Attribute value = of.get("graph.default")) {
        p << " = ";
        printNumber(p, value);
      }
    }
  });
  p << ")";
  if (!getResultTypes().empty()) {
    p << " -> ";
    llvm::interleaveComma(getResultTypes(), p,
                          [&](Type t) { printShape(p, t); });
  }
  if (auto rule = (*this)->getAttrOfType<mlir::FlatSymbolRefAttr>(gradientAttr))
    p << " gradient " << rule;
  p.printOptionalAttrDictWithKeyword(
      (*this)->getAttrs(),
      {"sym_name", "function_type", "arg_attrs", "res_attrs", gradientAttr});
  p << " ";
  p.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

void FuncOp::getAsmBlockArgumentNames(Region &region,
                                      mlir::OpAsmSetValueNameFn set) {
  nameArguments(region.getArguments(), set);
}
/// A gradient of its own is one with respect to arguments.
static LogicalResult checkReadsArguments(FuncOp f) {
  WalkResult walked = f.walk([&](Operation *op) {
    bool declares = variableName(op) != nullptr;
    for (Value v : op->getOperands())
      declares |= v.getDefiningOp() && variableName(v.getDefiningOp());
    if (!declares)
      return WalkResult::advance();
    mlir::emitError(op->getLoc())
        << "@" << f.getSymName()
        << " has a gradient of its own: parameters and states reach it as "
           "arguments";
    return WalkResult::interrupt();
  });
  return success(!walked.wasInterrupted());
}

LogicalResult FuncOp::verifyRegions() {
  if ((*this)->hasAttr(gradientAttr) && failed(checkReadsArguments(*this)))
    return failure();
  if (ValueRange(returned()).getTypes() != getResultTypes())
    return mlir::emitError(getLoc())
           << "@" << getSymName() << " returns other types than it declares";
  return success();
}
std::string FuncOp::argumentName(unsigned i) {
  if (ArrayAttr attrs = getArgAttrsAttr())
    if (auto n = cast<DictionaryAttr>(attrs[i]).getAs<StringAttr>("graph.name"))
      return n.str();
  return "arg" + std::to_string(i);
}
std::string FuncOp::resultName(unsigned i) {
  auto ret = cast<ReturnOp>(getBody().front().getTerminator());
  if (auto names = ret.getNamesAttr())
    if (auto n = cast<StringAttr>(names[i]); !n.empty())
      return n.str();
  StringRef name = nameOf(ret.getOperand(i));
  return name.empty() ? "result" + std::to_string(i) : name.str();
}
bool graph::isLayer(FuncOp f) {
  return llvm::any_of(f.getBody().front(),
                      [](Operation &op) { return !!variableName(&op); });
}

ParseResult ReturnOp::parse(OpAsmParser &p, OperationState &s) {
  Builder &b = p.getBuilder();
  SmallVector<Attribute> names;
  bool named = false;
  OpAsmParser::UnresolvedOperand operand;
  auto first = p.parseOptionalOperand(operand);
  while (first.has_value()) {
    if (failed(*first))
      return failure();
    FailureOr<Value> v = resolve(p, operand);
    if (failed(v))
      return failure();
    s.operands.push_back(*v);
    std::string name;
    if (succeeded(p.parseOptionalKeyword("as"))) {
      if (p.parseString(&name))
        return failure();
      named = true;
    }
    names.push_back(b.getStringAttr(name));
    if (failed(p.parseOptionalComma()))
      break;
    operand = {};
    first = p.parseOperand(operand);
  }
  if (named)
    s.addAttribute("names", b.getArrayAttr(names));
  return p.parseOptionalAttrDict(s.attributes);
}
void ReturnOp::print(OpAsmPrinter &p) {
  for (auto [i, v] : llvm::enumerate(getValues())) {
    p << (i ? ", " : " ") << v;
    if (auto names = getNamesAttr())
      if (auto n = cast<StringAttr>(names[i]); !n.empty()) {
        p << " as ";
        p.printString(n.getValue());
      }
  }
  p.printOptionalAttrDict((*this)->getAttrs(), {"names"});
}

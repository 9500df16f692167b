//===- Function.cpp - functions and what calls them -----------------------===//

#include "ModelScope.h"
#include "gradus/Graph.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringSet.h"

using namespace gradus;
using namespace gradus::graph;
using mlir::FlatSymbolRefAttr;

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
    if (auto call = dyn_cast<CallOp>(op)) {
      auto &known = ModelScope::current->functions;
      if (auto it = known.find(call.getCallee()); it != known.end())
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
  if (p.parseSymbolName(name, "sym_name", s.attributes) ||
      parseSignature(p, sig) ||
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
  p.printOptionalAttrDictWithKeyword(
      (*this)->getAttrs(),
      {"sym_name", "function_type", "arg_attrs", "res_attrs"});
  p << " ";
  p.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

void FuncOp::getAsmBlockArgumentNames(Region &region,
                                      mlir::OpAsmSetValueNameFn set) {
  for (BlockArgument a : region.getArguments())
    if (auto n = dyn_cast<NameLoc>(a.getLoc()))
      set(a, n.getName().getValue());
}
LogicalResult FuncOp::verifyRegions() {
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

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

static DictionaryAttr argAttr(ArrayAttr attrs, unsigned i) {
  return cast<DictionaryAttr>(attrs[i]);
}
static StringRef argName(ArrayAttr attrs, unsigned i) {
  return argAttr(attrs, i).getAs<StringAttr>("graph.name").getValue();
}

Signature::Signature(FunctionType type, ArrayAttr argAttrs, Region &body)
    : type(type), argAttrs(argAttrs) {
  llvm::SetVector<StringAttr> names;
  auto collect = [&](Type t) {
    for (const Dim &d : Shape(t).dims)
      if (d.name && !d.pack())
        names.insert(d.name);
  };
  llvm::for_each(type.getInputs(), collect);
  llvm::for_each(type.getResults(), collect);
  for (Operation &op : body.front())
    if (variableName(&op))
      collect(op.getResult(0).getType());
  dims = names.takeVector();
}
Signature::Signature(FuncOp f)
    : Signature(f.getFunctionType(), f.getArgAttrsAttr(), f.getBody()) {}

FailureOr<SmallVector<Type>> graph::callResults(const Signature &callee,
                                                ValueRange inputs,
                                                DictionaryAttr options,
                                                const Report &fail,
                                                DimBindings *out) {
  auto refuse = [](Report::Failure &&) { return failure(); };
  unsigned required = 0, most = callee.type.getNumInputs();
  SmallVector<StringRef> names; // that options may use
  llvm::StringSet<> byDefault;
  for (unsigned i = 0; i < most; ++i)
    if (argAttr(callee.argAttrs, i).get("graph.default"))
      byDefault.insert(argName(callee.argAttrs, i));
    else
      ++required;
  if (inputs.size() < required || inputs.size() > most)
    return refuse(
        fail() << "the function takes " << required
               << (most > required ? " or more" : "")
               << (required == 1 && most == 1 ? " argument" : " arguments")
               << ", but " << inputs.size()
               << (inputs.size() == 1 ? " is given" : " are given"));
  DimBindings bound;
  for (NamedAttribute o :
       options ? options : DictionaryAttr::get(callee.type.getContext())) {
    StringRef name = o.getName();
    auto size = dyn_cast<IntegerAttr>(o.getValue());
    if (byDefault.contains(name))
      continue;
    if (!llvm::is_contained(callee.dims, o.getName()) || !size) {
      for (auto &e : byDefault)
        names.push_back(e.getKey());
      for (StringAttr d : callee.dims)
        names.push_back(d);
      auto f = fail() << "the function has no "
                      << (size ? "dimension or argument" : "argument") << " '"
                      << name << "'";
      if (StringRef n = nearest(name, names); !n.empty() && n != name)
        return refuse(std::move(f) << "; did you mean '" << n << "'?");
      return refuse(std::move(f));
    }
    if (size.getInt() < 0)
      return refuse(fail() << "dimension '" << name << "' cannot be negative");
    bound[o.getName()] = {Dim{size.getInt()}};
  }
  for (auto [v, t] : llvm::zip(inputs, callee.type.getInputs()))
    if (!bindDims(t, v, bound)) {
      std::string want = Shape(t).str(),
                  now = Shape(substitute(t, bound)).str();
      return refuse(fail(v) << "the function takes " << want << " here"
                            << (now != want ? " (" + now + ")" : "") << ", not "
                            << Shape(v).str());
    }
  if (out)
    *out = bound;
  SmallVector<Type> types;
  for (Type t : callee.type.getResults())
    types.push_back(substitute(t, bound));
  return types;
}

/// `@f(%x, %y)`: its operands resolved, its callee found.
static ParseResult parseCallee(OpAsmParser &p, OperationState &s,
                               SmallVectorImpl<LocatedValue> &inputs,
                               ModelScope::Function &known) {
  FlatSymbolRefAttr callee;
  SmallVector<OpAsmParser::UnresolvedOperand> operands;
  auto at = p.getCurrentLocation();
  if (p.parseAttribute(callee) ||
      p.parseOperandList(operands, AsmParser::Delimiter::Paren))
    return failure();
  recordNames(p, s);
  s.addAttribute("callee", callee);
  for (const auto &o : operands) {
    FailureOr<Value> v = resolve(p, o);
    if (failed(v))
      return failure();
    s.operands.push_back(*v);
    inputs.push_back({*v, p.getEncodedSourceLoc(o.location)});
  }
  StringRef name = callee.getValue();
  SmallVector<std::string> candidates;
  if (ModelScope *scope = ModelScope::current) {
    if (auto it = scope->functions.find(name); it != scope->functions.end()) {
      known = it->second;
      return success();
    }
    for (auto &f : scope->functions)
      candidates.push_back(f.getKey().str());
  }
  if (name.starts_with("std.")) {
    auto *dialect = p.getContext()->getLoadedDialect<GraphDialect>();
    if (ModelOp library = dialect->getLibrary())
      for (auto f : library.getBody().getOps<FuncOp>()) {
        if (f.getSymName() == name.drop_front(4)) {
          known = {Signature(f), {}};
          return success();
        }
        candidates.push_back("std." + f.getSymName().str());
      }
  }
  auto d = error(p, at) << "no function @" << name << " is defined above";
  SmallVector<StringRef> all(candidates.begin(), candidates.end());
  if (StringRef n = nearest(name, all); !n.empty())
    d << "; did you mean @" << n << "?";
  return d;
}

/// A call's types and its callee's must agree, whoever changed one of them.
static LogicalResult verifyCall(Operation *op, StringRef callee,
                                ValueRange inputs, DictionaryAttr options,
                                unsigned numResults) {
  FuncOp f = lookupCallee(op, callee);
  if (!f)
    return mlir::emitError(op->getLoc())
           << "there is no function @" << callee << " in this model";
  auto types = callResults(Signature(f), inputs, options, Report(op->getLoc()));
  if (failed(types))
    return failure();
  if (types->size() != numResults ||
      !llvm::equal(*types, op->getResults().take_front(numResults).getTypes()))
    return mlir::emitError(op->getLoc())
           << "the call does not match the type of @" << callee;
  return success();
}

ParseResult CallOp::parse(OpAsmParser &p, OperationState &s) {
  SmallVector<LocatedValue> inputs;
  ModelScope::Function callee;
  Builder &b = p.getBuilder();
  if (parseCallee(p, s, inputs, callee))
    return failure();
  if (succeeded(p.parseOptionalKeyword("as"))) {
    std::string prefix;
    if (p.parseString(&prefix))
      return failure();
    s.addAttribute("prefix", b.getStringAttr(prefix));
  }
  SmallVector<NamedAttribute> options;
  while (succeeded(p.parseOptionalComma())) {
    StringRef key;
    Attribute value;
    if (p.parseKeyword(&key) || p.parseEqual() || parseNumber(p, value))
      return failure();
    options.push_back(b.getNamedAttr(key, value));
  }
  DictionaryAttr given =
      options.empty() ? DictionaryAttr() : b.getDictionaryAttr(options);
  if (given)
    s.addAttribute("options", given);
  if (p.parseOptionalAttrDict(s.attributes))
    return failure();
  auto types = callResults(callee.signature, s.operands, given,
                           Report(s.location, inputs));
  if (failed(types))
    return failure();
  return parseResultTypes(p, s, *types);
}
void CallOp::print(OpAsmPrinter &p) {
  p << " " << getCalleeAttr() << "(" << getInputs() << ")";
  if (auto prefix = getPrefix()) {
    p << " as ";
    p.printString(*prefix);
  }
  if (auto options = getOptions())
    for (NamedAttribute o : *options) {
      p << ", " << o.getName().getValue() << " = ";
      printNumber(p, o.getValue());
    }
  p.printOptionalAttrDict((*this)->getAttrs(), {"callee", "prefix", "options"});
  printResultTypes(p, getResultTypes());
}
LogicalResult CallOp::verifySymbolUses(mlir::SymbolTableCollection &) {
  return verifyCall(*this, getCallee(), getInputs(), getOptionsAttr(),
                    getNumResults());
}

ParseResult ValueAndGradOp::parse(OpAsmParser &p, OperationState &s) {
  SmallVector<LocatedValue> inputs, wrt;
  ModelScope::Function callee;
  if (parseCallee(p, s, inputs, callee))
    return failure();
  SmallVector<Value> variables = callee.params;
  if (succeeded(p.parseOptionalKeyword("wrt"))) {
    if (parseValues(p, wrt))
      return failure();
    variables = llvm::map_to_vector(wrt, [](auto &v) { return v.first; });
  }
  for (auto &[v, loc] : wrt)
    if (!Shape(v).isFloat())
      return mlir::emitError(loc) << "there is no gradient with respect to "
                                  << Shape(v).str() << ", only to f32 and f64";
  auto types =
      callResults(callee.signature, s.operands, {}, Report(s.location, inputs));
  if (failed(types))
    return failure();
  StringRef name =
      cast<FlatSymbolRefAttr>(s.attributes.get("callee")).getValue();
  if (types->empty() || Shape((*types)[0]).rank() ||
      !Shape((*types)[0]).isFloat())
    return error(p, p.getNameLoc())
           << "only a scalar has a gradient, but @" << name << " returns "
           << (types->empty() ? "nothing" : Shape((*types)[0]).str());
  auto &segments = s.getOrAddProperties<Properties>().operandSegmentSizes;
  segments[0] = s.operands.size();
  segments[1] = variables.size();
  s.addOperands(variables);
  for (Value v : variables)
    types->push_back(v.getType());
  if (p.parseOptionalAttrDict(s.attributes))
    return failure();
  return parseResultTypes(p, s, *types);
}
void ValueAndGradOp::print(OpAsmPrinter &p) {
  p << " " << getCalleeAttr() << "(" << getInputs() << ")";
  if (!getWrt().empty())
    p << " wrt " << getWrt();
  p.printOptionalAttrDict((*this)->getAttrs(),
                          {"callee", "operandSegmentSizes"});
  printResultTypes(p, getResultTypes());
}
LogicalResult ValueAndGradOp::verifySymbolUses(mlir::SymbolTableCollection &) {
  return verifyCall(*this, getCallee(), getInputs(), {},
                    getNumResults() - getWrt().size());
}

ParseResult JvpOp::parse(OpAsmParser &p, OperationState &s) {
  SmallVector<LocatedValue> inputs;
  ModelScope::Function callee;
  if (parseCallee(p, s, inputs, callee))
    return failure();
  unsigned n = callee.signature.type.getNumInputs();
  if (s.operands.size() != 2 * n)
    return error(p, p.getNameLoc()) << "jvp takes the function's " << n
                                    << " arguments and a tangent for each, but "
                                    << s.operands.size() << " values are given";
  for (unsigned i = 0; i < n; ++i)
    if (s.operands[i].getType() != s.operands[n + i].getType())
      return mlir::emitError(inputs[n + i].second)
             << "the tangent of " << display(s.operands[i]) << " must be "
             << Shape(s.operands[i]).str() << ", not "
             << Shape(s.operands[n + i]).str();
  auto types =
      callResults(callee.signature, ValueRange(s.operands).take_front(n), {},
                  Report(s.location, inputs));
  if (failed(types))
    return failure();
  types->append(SmallVector<Type>(*types));
  if (p.parseOptionalAttrDict(s.attributes))
    return failure();
  return parseResultTypes(p, s, *types);
}
void JvpOp::print(OpAsmPrinter &p) {
  p << " " << getCalleeAttr() << "(" << getInputs() << ")";
  p.printOptionalAttrDict((*this)->getAttrs(), {"callee"});
  printResultTypes(p, getResultTypes());
}
LogicalResult JvpOp::verifySymbolUses(mlir::SymbolTableCollection &) {
  return verifyCall(*this, getCallee(),
                    getInputs().take_front(getInputs().size() / 2), {},
                    getNumResults() / 2);
}

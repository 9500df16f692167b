//===- Call.cpp - calls ---------------------------------------------------===//

#include "Call.h"
#include "gradus/Graph.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringSet.h"

using namespace gradus;
using namespace gradus::graph;
using mlir::FlatSymbolRefAttr;

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
  for (Operation &op : body.front()) {
    if (variableName(&op))
      collect(op.getResult(0).getType());
    if (auto options = op.getAttrOfType<DictionaryAttr>("options"))
      for (NamedAttribute o : options)
        if (auto extent = dyn_cast<TypeAttr>(o.getValue()))
          collect(extent.getValue());
  }
  dims = names.takeVector();
}
Signature::Signature(FuncOp f)
    : Signature(f.getFunctionType(), f.getArgAttrsAttr(), f.getBody()) {}

FailureOr<SmallVector<Type>>
graph::callResults(const Signature &callee, ValueRange inputs,
                   DictionaryAttr options, const Report &fail, DimBindings *out,
                   mlir::TypeRange given) {
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
    auto number = dyn_cast<IntegerAttr>(o.getValue());
    std::optional<Dim> size;
    if (number)
      size = Dim{number.getInt()};
    else if (isa<TypeAttr>(o.getValue()))
      size = extentOf(o.getValue());
    if (byDefault.contains(name)) {
      if (number || !size)
        continue;
      return refuse(fail() << "argument '" << name << "' is a number, but '"
                           << size->str() << "' is a dimension");
    }
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
    if (number && number.getInt() < 0)
      return refuse(fail() << "dimension '" << name << "' cannot be negative");
    bound[o.getName()] = {*size};
  }
  if (given.empty())
    given = inputs.getTypes();
  for (auto [v, have, t] : llvm::zip(inputs, given, callee.type.getInputs()))
    if (!bindDims(t, have, bound)) {
      std::string want = Shape(t).str(),
                  now = Shape(substitute(t, bound)).str();
      return refuse(fail(v) << "the function takes " << want << " here"
                            << (now != want ? " (" + now + ")" : "") << ", not "
                            << Shape(have).str());
    }
  if (out)
    *out = bound;
  SmallVector<Type> types;
  for (Type t : callee.type.getResults())
    types.push_back(substitute(t, bound));
  return types;
}

ParseResult graph::parseCallee(OpAsmParser &p, OperationState &s,
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

FuncOp graph::knownCallee(Operation *call, StringRef name) {
  FuncOp f = lookupCallee(call, name);
  if (!f)
    mlir::emitError(call->getLoc())
        << "there is no function @" << name << " in this model";
  return f;
}

LogicalResult graph::verifyCall(Operation *op, StringRef callee,
                                ValueRange inputs, DictionaryAttr options,
                                unsigned numResults) {
  FuncOp f = knownCallee(op, callee);
  if (!f)
    return failure();
  auto types = callResults(Signature(f), inputs, options, Report(op->getLoc()));
  if (failed(types))
    return failure();
  if (types->size() != numResults ||
      !llvm::equal(*types, op->getResults().take_front(numResults).getTypes()))
    return mlir::emitError(op->getLoc())
           << "the call does not match the type of @" << callee;
  return success();
}

/// `@f(%x) as "name", option = 3`: the types of what it returns.
static FailureOr<SmallVector<Type>> parseCall(OpAsmParser &p,
                                              OperationState &s) {
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
    if (p.parseKeyword(&key) || p.parseEqual() || parseOption(p, value))
      return failure();
    options.push_back(b.getNamedAttr(key, value));
  }
  DictionaryAttr given =
      options.empty() ? DictionaryAttr() : b.getDictionaryAttr(options);
  if (given)
    s.addAttribute("options", given);
  if (p.parseOptionalAttrDict(s.attributes))
    return failure();
  return callResults(callee.signature, s.operands, given,
                     Report(s.location, inputs));
}
template <typename Op> static void printCall(OpAsmPrinter &p, Op op) {
  p << " " << op.getCalleeAttr() << "(" << op.getInputs() << ")";
  if (auto prefix = op.getPrefix()) {
    p << " as ";
    p.printString(*prefix);
  }
  if (auto options = op.getOptions())
    for (NamedAttribute o : *options) {
      p << ", " << o.getName().getValue() << " = ";
      printOption(p, o.getValue());
    }
  p.printOptionalAttrDict(op->getAttrs(),
                          {"callee", "prefix", "options", "times"});
  printResultTypes(p, op.getResultTypes());
}

ParseResult CallOp::parse(OpAsmParser &p, OperationState &s) {
  auto types = parseCall(p, s);
  return failed(types) ? ParseResult(failure())
                       : parseResultTypes(p, s, *types);
}
void CallOp::print(OpAsmPrinter &p) { printCall(p, *this); }
LogicalResult CallOp::verifySymbolUses(mlir::SymbolTableCollection &) {
  return verifyCall(*this, getCallee(), getInputs(), getOptionsAttr(),
                    getNumResults());
}

/// What one time returns the next one takes.
static LogicalResult checkRepeats(Location loc, ArrayRef<Type> results,
                                  ValueRange inputs) {
  if (results.empty() || results.size() > inputs.size())
    return mlir::emitError(loc)
           << "what is repeated takes what it returns: it has " << inputs.size()
           << " argument" << (inputs.size() == 1 ? "" : "s") << " and "
           << results.size() << " result" << (results.size() == 1 ? "" : "s");
  for (auto [i, type] : llvm::enumerate(results))
    if (type != inputs[i].getType())
      return mlir::emitError(loc)
             << "what is repeated takes what it returns: argument " << i
             << " is " << Shape(inputs[i]).str() << ", but result " << i
             << " is " << Shape(type).str();
  return success();
}

ParseResult RepeatOp::parse(OpAsmParser &p, OperationState &s) {
  auto at = p.getCurrentLocation();
  int64_t times;
  if (p.parseInteger(times))
    return failure();
  if (times < 1)
    return error(p, at) << "a function is repeated once at least, not " << times
                        << " times";
  s.addAttribute("times", p.getBuilder().getI64IntegerAttr(times));
  auto types = parseCall(p, s);
  if (failed(types) || failed(checkRepeats(s.location, *types, s.operands)))
    return failure();
  return parseResultTypes(p, s, *types);
}
void RepeatOp::print(OpAsmPrinter &p) {
  p << " " << getTimes();
  printCall(p, *this);
}
LogicalResult RepeatOp::verifySymbolUses(mlir::SymbolTableCollection &) {
  return verifyCall(*this, getCallee(), getInputs(), getOptionsAttr(),
                    getNumResults());
}

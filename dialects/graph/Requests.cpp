//===- Requests.cpp - requests for derivatives and for batching -----------===//

#include "Call.h"

using namespace gradus;
using namespace gradus::graph;
using mlir::FlatSymbolRefAttr;

static StringRef calleeOf(const OperationState &s) {
  return cast<FlatSymbolRefAttr>(s.attributes.get("callee")).getValue();
}
static bool isFloatScalar(Type t) {
  return Shape(t).rank() == 0 && Shape(t).isFloat();
}

/// `wrt %a, %b`, or nothing: `variables` stay.
static ParseResult parseWrt(OpAsmParser &p, SmallVector<Value> &variables) {
  if (failed(p.parseOptionalKeyword("wrt")))
    return success();
  SmallVector<LocatedValue> wrt;
  if (parseValues(p, wrt))
    return failure();
  for (auto &[v, loc] : wrt)
    if (!Shape(v).isFloat())
      return mlir::emitError(loc) << "there is no gradient with respect to "
                                  << Shape(v).str() << ", only to f32 and f64";
  variables = llvm::map_to_vector(wrt, [](auto &v) { return v.first; });
  return success();
}
/// `@f(%x) wrt %a`: the types of what the callee returns, and what the request
/// is with respect to, `byDefault` unless the text says.
static FailureOr<SmallVector<Type>> parseRequest(
    OpAsmParser &p, OperationState &s, SmallVector<Value> &variables,
    function_ref<SmallVector<Value>(const ModelScope::Function &)> byDefault) {
  SmallVector<LocatedValue> inputs;
  ModelScope::Function callee;
  if (parseCallee(p, s, inputs, callee))
    return failure();
  variables = byDefault(callee);
  if (parseWrt(p, variables))
    return failure();
  return callResults(callee.signature, s.operands, {},
                     Report(s.location, inputs));
}
/// Sets the operands of `Op`, what it calls with and what it is with respect
/// to.
template <typename Op>
static void setOperands(OperationState &s, ArrayRef<Value> variables) {
  auto &segments =
      s.getOrAddProperties<typename Op::Properties>().operandSegmentSizes;
  segments[0] = s.operands.size();
  segments[1] = variables.size();
  s.addOperands(variables);
}
template <typename Op> static void printRequest(OpAsmPrinter &p, Op op) {
  p << " " << op.getCalleeAttr() << "(" << op.getInputs() << ")";
  if (!op.getWrt().empty())
    p << " wrt " << op.getWrt();
  p.printOptionalAttrDict(op->getAttrs(), {"callee", "operandSegmentSizes"});
  printResultTypes(p, op.getResultTypes());
}

//===----------------------------------------------------------------------===//
// Gradients, tangents
//===----------------------------------------------------------------------===//

ParseResult ValueAndGradOp::parse(OpAsmParser &p, OperationState &s) {
  SmallVector<Value> variables;
  auto types =
      parseRequest(p, s, variables, [](auto &callee) { return callee.params; });
  if (failed(types))
    return failure();
  if (types->empty() || !isFloatScalar((*types)[0]))
    return error(p, p.getNameLoc())
           << "only a scalar has a gradient, but @" << calleeOf(s)
           << " returns "
           << (types->empty() ? "nothing" : Shape((*types)[0]).str());
  setOperands<ValueAndGradOp>(s, variables);
  for (Value v : variables)
    types->push_back(v.getType());
  if (p.parseOptionalAttrDict(s.attributes))
    return failure();
  return parseResultTypes(p, s, *types);
}
void ValueAndGradOp::print(OpAsmPrinter &p) { printRequest(p, *this); }
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

//===----------------------------------------------------------------------===//
// Jacobians, Hessians
//===----------------------------------------------------------------------===//

static Type joined(Type a, Type b) {
  Shape s(a);
  llvm::append_range(s.dims, Shape(b).dims);
  return s.type();
}
static SmallVector<Type> jacobianTypes(Type value, ValueRange variables) {
  return llvm::map_to_vector(variables.getTypes(),
                             [&](Type v) { return joined(value, v); });
}
static SmallVector<Type> hessianTypes(ValueRange variables) {
  SmallVector<Type> types;
  for (Type v : variables.getTypes())
    llvm::append_range(types, jacobianTypes(v, variables));
  return types;
}
/// Does the op have the types that `expected` gives it for its callee's result?
template <typename Op>
static LogicalResult
verifyDerivative(Op op, function_ref<SmallVector<Type>(Type)> expected) {
  FuncOp f = knownCallee(op, op.getCallee());
  if (!f)
    return failure();
  auto value =
      callResults(Signature(f), op.getInputs(), {}, Report(op.getLoc()));
  if (failed(value) || value->size() != 1 ||
      !llvm::equal(expected(value->front()), op.getResultTypes()))
    return mlir::emitError(op.getLoc())
           << "the " << op->getName().stripDialect()
           << " does not match the type of @" << op.getCallee();
  return success();
}

/// The callee and its operands; with respect to its float arguments unless the
/// text says otherwise.
static FailureOr<SmallVector<Type>>
parseDerivative(OpAsmParser &p, OperationState &s, StringRef what,
                SmallVector<Value> &variables) {
  auto floats = [&](auto &) {
    return SmallVector<Value>(llvm::make_filter_range(
        s.operands, [](Value v) { return Shape(v).isFloat(); }));
  };
  auto types = parseRequest(p, s, variables, floats);
  if (failed(types))
    return failure();
  if (types->size() != 1 || !Shape(types->front()).isFloat()) {
    error(p, p.getNameLoc())
        << "a " << what << " is of a function with one float result, but @"
        << calleeOf(s) << " returns "
        << (types->size() == 1 ? Shape(types->front()).str()
                               : std::to_string(types->size()) + " values");
    return failure();
  }
  return types;
}

ParseResult JacobianOp::parse(OpAsmParser &p, OperationState &s) {
  SmallVector<Value> variables;
  auto value = parseDerivative(p, s, "jacobian", variables);
  if (failed(value))
    return failure();
  setOperands<JacobianOp>(s, variables);
  SmallVector<Type> types = jacobianTypes(value->front(), variables);
  if (p.parseOptionalAttrDict(s.attributes))
    return failure();
  return parseResultTypes(p, s, types);
}
void JacobianOp::print(OpAsmPrinter &p) { printRequest(p, *this); }
LogicalResult JacobianOp::verifySymbolUses(mlir::SymbolTableCollection &) {
  return verifyDerivative(
      *this, [&](Type value) { return jacobianTypes(value, getWrt()); });
}

ParseResult HessianOp::parse(OpAsmParser &p, OperationState &s) {
  SmallVector<Value> variables;
  auto value = parseDerivative(p, s, "hessian", variables);
  if (failed(value))
    return failure();
  if (!isFloatScalar(value->front()))
    return error(p, p.getNameLoc())
           << "only a scalar has a hessian, but @" << calleeOf(s) << " returns "
           << Shape(value->front()).str();
  setOperands<HessianOp>(s, variables);
  SmallVector<Type> types = hessianTypes(variables);
  if (p.parseOptionalAttrDict(s.attributes))
    return failure();
  return parseResultTypes(p, s, types);
}
void HessianOp::print(OpAsmPrinter &p) { printRequest(p, *this); }
LogicalResult HessianOp::verifySymbolUses(mlir::SymbolTableCollection &) {
  return verifyDerivative(*this, [&](Type) { return hessianTypes(getWrt()); });
}

//===----------------------------------------------------------------------===//
// vmap
//===----------------------------------------------------------------------===//

/// The types that the callee gets, and the number of examples.
static FailureOr<SmallVector<Type>>
exampleTypes(ValueRange inputs, List over, const Report &fail, Dim &count) {
  SmallVector<Type> types(inputs.getTypes());
  for (int64_t i : over) {
    Shape s(inputs[i]);
    Dim n = s.rank() ? s[0] : Dim{1};
    if (s.rank() && unify(count, n)) {
      s.dims.erase(s.dims.begin());
      types[i] = s.type();
      continue;
    }
    auto wrong = fail(inputs[i]);
    LogicalResult reported =
        s.rank() ? std::move(wrong)
                       << "there are " << count.str() << " examples, but "
                       << display(inputs[i]) << " has " << n.str()
                 : std::move(wrong)
                       << display(inputs[i]) << " is " << s.str()
                       << ": it has no axis of examples; 'over' names "
                          "those that have one";
    return reported;
  }
  return types;
}

FailureOr<SmallVector<Type>> VmapOp::resultTypes(const Signature &callee,
                                                 ValueRange inputs, List over,
                                                 const Report &fail) {
  Dim count;
  auto given = exampleTypes(inputs, over, fail, count);
  if (failed(given))
    return failure();
  auto types = callResults(callee, inputs, {}, fail, nullptr, *given);
  if (failed(types))
    return failure();
  for (Type &t : *types) {
    Shape s(t);
    s.dims.insert(s.dims.begin(), count);
    t = s.type();
  }
  return types;
}

ParseResult VmapOp::parse(OpAsmParser &p, OperationState &s) {
  SmallVector<LocatedValue> inputs, chosen;
  ModelScope::Function callee;
  if (parseCallee(p, s, inputs, callee))
    return failure();
  SmallVector<int64_t> over;
  if (succeeded(p.parseOptionalKeyword("over"))) {
    if (parseValues(p, chosen))
      return failure();
    for (auto &[v, loc] : chosen)
      if (!llvm::is_contained(s.operands, v))
        return mlir::emitError(loc)
               << display(v) << " is no argument of this vmap of @"
               << calleeOf(s);
  }
  for (auto [i, v] : llvm::enumerate(s.operands))
    if (chosen.empty() ||
        llvm::any_of(chosen, [&, v = v](auto &c) { return c.first == v; }))
      over.push_back(i);
  if (over.empty())
    return error(p, p.getNameLoc())
           << "vmap wants an argument with an axis of examples";
  s.addAttribute("over", p.getBuilder().getDenseI64ArrayAttr(over));
  if (p.parseOptionalAttrDict(s.attributes))
    return failure();
  auto types = resultTypes(callee.signature, s.operands, over,
                           Report(s.location, inputs));
  return failed(types) ? ParseResult(failure())
                       : parseResultTypes(p, s, *types);
}
void VmapOp::print(OpAsmPrinter &p) {
  p << " " << getCalleeAttr() << "(" << getInputs() << ")";
  if (getOver().size() < getInputs().size()) {
    llvm::SmallSetVector<Value, 4> over;
    for (int64_t i : getOver())
      over.insert(getInputs()[i]);
    p << " over ";
    llvm::interleaveComma(over, p);
  }
  p.printOptionalAttrDict((*this)->getAttrs(), {"callee", "over"});
  printResultTypes(p, getResultTypes());
}
LogicalResult VmapOp::verifySymbolUses(mlir::SymbolTableCollection &) {
  FuncOp f = knownCallee(*this, getCallee());
  if (!f)
    return failure();
  auto types =
      resultTypes(Signature(f), getInputs(), getOver(), Report(getLoc()));
  if (failed(types) || !llvm::equal(*types, getResultTypes()))
    return mlir::emitError(getLoc())
           << "the vmap does not match the type of @" << getCallee();
  return success();
}

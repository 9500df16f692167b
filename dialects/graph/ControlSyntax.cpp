//===- ControlSyntax.cpp - bodies, yields and branches in the text --------===//

#include "ControlSyntax.h"
#include "llvm/ADT/StringExtras.h"

using namespace gradus;
using namespace gradus::graph;
using llvm::SMLoc;

/// Where the operands of the yield that was read last stand: a body's types are
/// checked when its op is complete, and the errors point there.
static thread_local SmallVector<Location> yielded;
thread_local unsigned graph::bodyDepth = 0;

Location graph::namedAfter(OpAsmParser &p, const OpAsmParser::Argument &a) {
  StringRef name = a.ssaName.name.drop_front();
  Location loc = p.getEncodedSourceLoc(a.ssaName.location);
  if (llvm::isDigit(name[0]))
    return loc;
  return NameLoc::get(p.getBuilder().getStringAttr(name), loc);
}

ParseResult graph::checkGivenType(OpAsmParser &p, OpAsmParser::Argument &a,
                                  Type given, SMLoc at, Type type) {
  a.type = type;
  a.sourceLoc = namedAfter(p, a);
  if (!given || given == type)
    return success();
  return error(p, at) << a.ssaName.name << " is " << Shape(type).str()
                      << ", not " << typeName(given);
}

ParseResult graph::parseCarries(OpAsmParser &p, Bindings &carries) {
  if (failed(p.parseOptionalKeyword("carry")))
    return success();
  auto one = [&]() -> ParseResult {
    OpAsmParser::Argument a;
    OpAsmParser::UnresolvedOperand init;
    Type given;
    if (p.parseArgument(a))
      return failure();
    SMLoc at = p.getCurrentLocation();
    if (succeeded(p.parseOptionalColon()) && parseShape(p, given))
      return failure();
    if (p.parseEqual() || p.parseOperand(init))
      return failure();
    FailureOr<Value> v = resolve(p, init);
    if (failed(v) || checkGivenType(p, a, given, at, v->getType()))
      return failure();
    carries.args.push_back(a);
    carries.values.push_back(*v);
    return success();
  };
  return p.parseCommaSeparatedList(AsmParser::Delimiter::Paren, one);
}

ParseResult graph::parseBody(OpAsmParser &p, OperationState &s,
                             ArrayRef<OpAsmParser::Argument> args, Region &body,
                             YieldOp &yield) {
  size_t outside = namesInScope.size();
  yielded.clear();
  for (const auto &a : args)
    namesInScope.push_back(a.ssaName.name.drop_front().str());
  SMLoc at = p.getCurrentLocation();
  ++bodyDepth;
  ParseResult parsed = p.parseRegion(body, args);
  --bodyDepth;
  if (parsed)
    return failure();
  namesInScope.truncate(outside);
  yield = body.empty() || body.back().empty()
              ? YieldOp()
              : dyn_cast<YieldOp>(body.back().back());
  if (!yield)
    return error(p, at) << "this body of '" << s.name.stripDialect()
                        << "' does not yield";
  return success();
}
Location graph::yieldedAt(unsigned i) { return yielded[i]; }

void graph::printBindings(OpAsmPrinter &p, ArrayRef<BlockArgument> args,
                          ValueRange values, StringRef between) {
  llvm::interleaveComma(llvm::zip(args, values), p, [&](auto binding) {
    auto [a, v] = binding;
    p << a << ": ";
    printShape(p, a.getType());
    p << between << v;
  });
}
void graph::printCarries(OpAsmPrinter &p, ArrayRef<BlockArgument> args,
                         ValueRange inits) {
  if (inits.empty())
    return;
  p << " carry (";
  printBindings(p, args, inits, " = ");
  p << ")";
}
void graph::printBody(OpAsmPrinter &p, Region &body) {
  p.printRegion(body, /*printEntryBlockArgs=*/false);
}

//===----------------------------------------------------------------------===//
// yield
//===----------------------------------------------------------------------===//

ParseResult YieldOp::parse(OpAsmParser &p, OperationState &s) {
  SmallVector<LocatedValue> carried, stacked;
  if (parseValues(p, carried) ||
      (succeeded(p.parseOptionalKeyword("stack")) && parseValues(p, stacked)))
    return failure();
  yielded.clear();
  for (auto &[v, loc] : llvm::concat<LocatedValue>(carried, stacked)) {
    s.operands.push_back(v);
    yielded.push_back(loc);
  }
  auto &segments = s.getOrAddProperties<Properties>().operandSegmentSizes;
  segments = {int32_t(carried.size()), int32_t(stacked.size())};
  return p.parseOptionalAttrDict(s.attributes);
}
void YieldOp::print(OpAsmPrinter &p) {
  if (!getCarried().empty())
    p << " " << getCarried();
  if (!getStacked().empty())
    p << " stack " << getStacked();
  p.printOptionalAttrDict((*this)->getAttrs(), {"operandSegmentSizes"});
}

//===----------------------------------------------------------------------===//
// if
//===----------------------------------------------------------------------===//

ParseResult IfOp::parse(OpAsmParser &p, OperationState &s) {
  recordNames(p, s);
  OpAsmParser::UnresolvedOperand predicate;
  if (p.parseOperand(predicate))
    return failure();
  FailureOr<Value> v = resolve(p, predicate);
  if (failed(v))
    return failure();
  LocatedValue located{*v, p.getEncodedSourceLoc(predicate.location)};
  if (failed(checkPredicate(*v, Report(s.location, located))))
    return failure();
  s.addOperands(*v);
  Region *yes = s.addRegion(), *no = s.addRegion();
  YieldOp a, b;
  if (parseBody(p, s, {}, *yes, a))
    return failure();
  if (failed(p.parseOptionalKeyword("else")))
    return error(p, endOfLastToken(p))
           << "an 'if' is a value: it needs an 'else { ... yield ... }'";
  if (parseBody(p, s, {}, *no, b) || failed(checkBranches(a, b, yieldedAt)) ||
      p.parseOptionalAttrDict(s.attributes))
    return failure();
  return parseResultTypes(p, s, SmallVector<Type>(a.getOperandTypes()));
}

void IfOp::print(OpAsmPrinter &p) {
  p << " " << getPredicate() << " ";
  printBody(p, getYes());
  p << " else ";
  printBody(p, getNo());
  p.printOptionalAttrDict((*this)->getAttrs());
  printResultTypes(p, getResultTypes());
}

//===----------------------------------------------------------------------===//
// checkpoint
//===----------------------------------------------------------------------===//

ParseResult CheckpointOp::parse(OpAsmParser &p, OperationState &s) {
  recordNames(p, s);
  YieldOp yield;
  if (parseBody(p, s, {}, *s.addRegion(), yield) ||
      p.parseOptionalAttrDict(s.attributes))
    return failure();
  return parseResultTypes(p, s,
                          SmallVector<Type>(yield.getCarried().getTypes()));
}
void CheckpointOp::print(OpAsmPrinter &p) {
  p << " ";
  printBody(p, getBody());
  p.printOptionalAttrDict((*this)->getAttrs());
  printResultTypes(p, getResultTypes());
}
void CheckpointOp::getAsmBlockArgumentNames(mlir::Region &,
                                            mlir::OpAsmSetValueNameFn) {}

//===- LoopSyntax.cpp - for and while in the text -------------------------===//

#include "ControlSyntax.h"

using namespace gradus;
using namespace gradus::graph;
using llvm::SMLoc;

//===----------------------------------------------------------------------===//
// for
//===----------------------------------------------------------------------===//

namespace {
/// `%xt in %x, %i in 12, axis = 1, reverse`
class ForHead {
public:
  ForHead(OpAsmParser &p, OperationState &s) : p(p), s(s) {}

  ParseResult parse() {
    do {
      if (part())
        return failure();
    } while (succeeded(p.parseOptionalComma()));
    // The axis may stand behind the tensors.
    for (Source &source : sources)
      if (resolveSource(source))
        return failure();
    if (sources.empty() && !counter)
      return error(p, p.getNameLoc())
             << "a loop walks something: '%i in 10' or '%slice in %tensor'";
    if (!counter) {
      counter.emplace();
      // No text can name it, and no loop around this one has it.
      counter->ssaName = {p.getNameLoc(), "%counter.unnamed", bodyDepth};
      counter->sourceLoc = p.getEncodedSourceLoc(p.getNameLoc());
    }
    counter->type = Shape(p.getBuilder().getI32Type(), {}).type();
    return success();
  }

  std::optional<OpAsmParser::Argument> counter;
  Bindings slices;
  Dim steps;
  int64_t axis = 0;
  bool reverse = false, checkpoint = false;

private:
  struct Source {
    OpAsmParser::Argument name;
    OpAsmParser::UnresolvedOperand tensor;
    Type given;
    SMLoc givenAt;
  };

  ParseResult part() {
    OpAsmParser::Argument name;
    SMLoc at = p.getCurrentLocation();
    if (auto r = p.parseOptionalArgument(name); r.has_value())
      return ParseResult(failure(failed(*r) || walk(name)));
    StringRef word;
    if (failed(p.parseOptionalKeyword(&word)))
      return error(p, at) << "expected '%i in 10', '%slice in %tensor', "
                             "'axis = 1', 'reverse' or 'checkpoint'";
    if (word == "reverse" || word == "checkpoint") {
      (word == "reverse" ? reverse : checkpoint) = true;
      return success();
    }
    if (word == "axis")
      return ParseResult(failure(p.parseEqual() || p.parseInteger(axis)));
    auto d = error(p, at) << "for has no attribute '" << word << "'";
    if (StringRef n = nearest(word, {"axis", "reverse", "checkpoint"});
        !n.empty())
      d << "; did you mean '" << n << "'?";
    d.attachNote(s.location) << "its attributes are: axis, reverse, checkpoint";
    return d;
  }

  ParseResult walk(OpAsmParser::Argument &name) {
    Source source{name, {}, {}, {}};
    source.givenAt = p.getCurrentLocation();
    if (succeeded(p.parseOptionalColon()) && parseShape(p, source.given))
      return failure();
    if (p.parseKeyword("in"))
      return failure();
    auto r = p.parseOptionalOperand(source.tensor);
    if (!r.has_value())
      return count(name);
    sources.push_back(source);
    return *r;
  }
  ParseResult count(OpAsmParser::Argument &name) {
    SMLoc at = p.getCurrentLocation();
    if (counter)
      return error(p, at) << "a loop has one counter; it has "
                          << counter->ssaName.name << " already";
    Dim given;
    if (parseDim(p, given))
      return failure();
    if (given.anonymous() || given.pack())
      return error(p, at) << "expected a tensor, a number of steps, or the "
                             "name of a dimension";
    steps = given;
    counter = name;
    counter->sourceLoc = namedAfter(p, name);
    return success();
  }

  ParseResult resolveSource(Source &source) {
    FailureOr<Value> v = resolve(p, source.tensor);
    if (failed(v))
      return failure();
    LocatedValue located{*v, p.getEncodedSourceLoc(source.tensor.location)};
    FailureOr<Type> slice =
        sliceType(*v, axis, steps, Report(s.location, located));
    if (failed(slice) ||
        checkGivenType(p, source.name, source.given, source.givenAt, *slice))
      return failure();
    slices.args.push_back(source.name);
    slices.values.push_back(*v);
    return success();
  }

  OpAsmParser &p;
  OperationState &s;
  SmallVector<Source> sources;
};
} // namespace

ParseResult ForOp::parse(OpAsmParser &p, OperationState &s) {
  recordNames(p, s);
  ForHead head(p, s);
  Bindings carries;
  if (head.parse() || parseCarries(p, carries))
    return failure();
  SmallVector<OpAsmParser::Argument> args{*head.counter};
  llvm::append_range(args, carries.args);
  llvm::append_range(args, head.slices.args);
  Region *body = s.addRegion();
  YieldOp yield;
  if (parseBody(p, s, args, *body, yield) ||
      failed(checkCarries(body->getArguments().slice(1, carries.values.size()),
                          yield, yieldedAt)))
    return failure();
  auto types =
      loopResults(carries.values, yield, head.steps, head.axis, yieldedAt);
  if (failed(types))
    return failure();
  s.addOperands(carries.values);
  s.addOperands(head.slices.values);
  auto &properties = s.getOrAddProperties<Properties>();
  properties.operandSegmentSizes = {int32_t(carries.values.size()),
                                    int32_t(head.slices.values.size())};
  properties.setCounts(TypeAttr::get(countsType(p.getContext(), head.steps)));
  properties.setAxis(p.getBuilder().getI64IntegerAttr(head.axis));
  if (head.reverse)
    properties.setReverse(p.getBuilder().getUnitAttr());
  if (head.checkpoint)
    properties.setCheckpoint(p.getBuilder().getUnitAttr());
  if (p.parseOptionalAttrDict(s.attributes))
    return failure();
  return parseResultTypes(p, s, *types);
}

/// A counter that nothing reads is not printed if the slices count as well.
static bool showsCounter(ForOp loop) {
  return !loop.getCounter().use_empty() || loop.getSources().empty();
}
void ForOp::getAsmBlockArgumentNames(mlir::Region &region,
                                     mlir::OpAsmSetValueNameFn set) {
  // One that is not printed must take no name that others would have without.
  StringRef name = nameOf(getCounter());
  set(getCounter(), !showsCounter(*this) ? "unused"
                    : name.empty()       ? "i"
                                         : name);
  nameArguments(region.getArguments().drop_front(), set);
}
void WhileOp::getAsmBlockArgumentNames(mlir::Region &region,
                                       mlir::OpAsmSetValueNameFn set) {
  nameArguments(region.getArguments(), set);
}
void IfOp::getAsmBlockArgumentNames(mlir::Region &, mlir::OpAsmSetValueNameFn) {
}

void ForOp::print(OpAsmPrinter &p) {
  bool counts = showsCounter(*this);
  p << " ";
  if (counts)
    p << getCounter() << " in " << getSteps().str();
  if (!getSources().empty()) {
    p << (counts ? ", " : "");
    printBindings(p, llvm::to_vector(getSlices()), getSources(), " in ");
  }
  if (getAxis())
    p << ", axis = " << int64_t(getAxis());
  if (getReverse())
    p << ", reverse";
  if (getCheckpoint())
    p << ", checkpoint";
  printCarries(p, llvm::to_vector(getCarries()), getInitial());
  p << " ";
  printBody(p, getBody());
  p.printOptionalAttrDict((*this)->getAttrs(),
                          {"operandSegmentSizes", "counts", "axis", "reverse"});
  printResultTypes(p, getResultTypes());
}

//===----------------------------------------------------------------------===//
// while
//===----------------------------------------------------------------------===//

ParseResult WhileOp::parse(OpAsmParser &p, OperationState &s) {
  recordNames(p, s);
  Bindings carries;
  if (succeeded(p.parseOptionalKeyword("limit"))) {
    int64_t limit;
    if (p.parseEqual())
      return failure();
    SMLoc at = p.getCurrentLocation();
    if (p.parseInteger(limit))
      return failure();
    if (limit < 0)
      return error(p, at) << "a loop cannot have " << limit << " steps";
    s.getOrAddProperties<Properties>().setLimit(
        p.getBuilder().getI64IntegerAttr(limit));
  }
  if (parseCarries(p, carries))
    return failure();
  Region *condition = s.addRegion(), *body = s.addRegion();
  YieldOp goOn, next;
  if (parseBody(p, s, carries.args, *condition, goOn) ||
      failed(checkCondition(goOn, yieldedAt)) || p.parseKeyword("do") ||
      parseBody(p, s, carries.args, *body, next) ||
      failed(
          checkCarries(llvm::to_vector(body->getArguments()), next, yieldedAt)))
    return failure();
  s.addOperands(carries.values);
  if (p.parseOptionalAttrDict(s.attributes))
    return failure();
  return parseResultTypes(
      p, s, SmallVector<Type>(ValueRange(carries.values).getTypes()));
}

void WhileOp::print(OpAsmPrinter &p) {
  if (getLimit())
    p << " limit = " << *getLimit();
  printCarries(p, llvm::to_vector(getCondition().getArguments()), getInitial());
  p << " ";
  printBody(p, getCondition());
  p << " do ";
  // The text names the carries once, for both bodies.
  p.shadowRegionArgs(getBody(), getCondition().getArguments());
  printBody(p, getBody());
  p.printOptionalAttrDict((*this)->getAttrs(), {"limit"});
  printResultTypes(p, getResultTypes());
}

//===- Control.cpp - loops and branches: types, checks, simplification ----===//

#include "Control.h"
#include "mlir/IR/IRMapping.h"

using namespace gradus;
using namespace gradus::graph;

#define GET_OP_CLASSES
#include "dialects/graph/Control.cpp.inc"

static LogicalResult refuse(Report::Failure &&) { return failure(); }

static YieldOp yieldOf(Region &body) {
  return cast<YieldOp>(body.front().getTerminator());
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

RankedTensorType graph::countsType(MLIRContext *ctx, const Dim &steps) {
  return Shape(IntegerType::get(ctx, 32), {steps}).type();
}
static RankedTensorType counterType(MLIRContext *ctx) {
  return Shape(IntegerType::get(ctx, 32), {}).type();
}

FailureOr<Type> graph::sliceType(Value source, int64_t axis, Dim &steps,
                                 const Report &fail) {
  Shape s(source);
  if (!s.hasAxis(axis))
    return refuse(fail(source)
                  << "axis " << axis << " is out of range for " << s.str());
  Dim along = s[axis];
  if (!unify(steps, along))
    return refuse(fail(source)
                  << "the loop has " << steps.str() << " steps, but axis "
                  << axis << " of " << display(source) << ", " << s.str()
                  << ", has " << along.str());
  s.dims.erase(s.dims.begin() + s.axis(axis));
  return Type(s.type());
}

FailureOr<SmallVector<Type>> graph::loopResults(ValueRange inits, YieldOp yield,
                                                const Dim &steps, int64_t axis,
                                                YieldedAt at) {
  SmallVector<Type> types(inits.getTypes());
  for (auto [i, v] : llvm::enumerate(yield.getStacked())) {
    Shape s(v);
    int64_t where = axis < 0 ? axis + s.rank() + 1 : axis;
    if (where < 0 || where > s.rank()) {
      mlir::emitError(at(yield.getCarried().size() + i))
          << "a stack of " << s.str() << " has no axis " << axis;
      return failure();
    }
    s.dims.insert(s.dims.begin() + where, steps);
    types.push_back(s.type());
  }
  return types;
}

//===----------------------------------------------------------------------===//
// Checks
//===----------------------------------------------------------------------===//

/// What makes two shapes different, or an empty string.
static std::string difference(const Shape &before, const Shape &after) {
  if (before.element != after.element)
    return "the element types differ";
  if (before.rank() != after.rank())
    return "the ranks differ";
  for (auto [axis, dims] :
       llvm::enumerate(llvm::zip(before.dims, after.dims))) {
    auto [was, is] = dims;
    if (was != is)
      return "axis " + std::to_string(axis) + " is " + was.str() +
             " before and " + is.str() + " after";
  }
  return "";
}

static const char *plural(size_t n) { return n == 1 ? "" : "s"; }

LogicalResult graph::checkCarries(ArrayRef<BlockArgument> carries,
                                  YieldOp yield, YieldedAt at) {
  size_t given = yield.getCarried().size();
  if (given != carries.size()) {
    auto d = mlir::emitError(yield.getLoc())
             << "the loop carries " << carries.size() << " value"
             << plural(carries.size());
    for (auto [i, c] : llvm::enumerate(carries))
      d << (i ? ", " : " (") << display(c);
    d << (carries.empty() ? "" : ")") << ", but " << given
      << (given == 1 ? " is" : " are") << " yielded";
    if (given > carries.size())
      d.attachNote(yield.getLoc())
          << "a value to keep of every step is written after 'stack'";
    return d;
  }
  for (auto [i, c, v] : llvm::enumerate(carries, yield.getCarried())) {
    if (c.getType() == v.getType())
      continue;
    auto d = mlir::emitError(at(i))
             << "the carry " << display(c) << " is " << Shape(c).str()
             << ", but " << Shape(v).str()
             << " after one step: " << difference(Shape(c), Shape(v));
    d.attachNote(c.getLoc()) << display(c) << " starts here";
    return d;
  }
  return success();
}

static bool isTruth(Value v) {
  Shape s(v);
  return s.rank() == 0 && s.element.isInteger(1);
}

LogicalResult graph::checkCondition(YieldOp yield, YieldedAt at) {
  ValueRange given = yield.getCarried();
  if (given.size() == 1 && yield.getStacked().empty() && isTruth(given[0]))
    return success();
  auto d = mlir::emitError(given.empty() ? yield.getLoc() : at(0))
           << "the condition yields one i1[], not ";
  if (given.empty())
    return d << "nothing";
  llvm::interleaveComma(given, d, [&](Value v) { d << Shape(v).str(); });
  return d;
}

LogicalResult graph::checkPredicate(Value predicate, const Report &fail) {
  if (isTruth(predicate))
    return success();
  return fail(predicate) << "the condition of 'if' is i1[], not "
                         << Shape(predicate).str();
}

LogicalResult graph::checkBranches(YieldOp yes, YieldOp no, YieldedAt at) {
  for (YieldOp y : {yes, no})
    if (!y.getStacked().empty())
      return mlir::emitError(y.getLoc())
             << "only a 'for' keeps values of every step";
  if (yes.getCarried().size() != no.getCarried().size()) {
    auto d = mlir::emitError(no.getLoc())
             << "this branch yields " << no.getCarried().size() << " value"
             << plural(no.getCarried().size()) << ", the other "
             << yes.getCarried().size();
    d.attachNote(yes.getLoc()) << "the other branch";
    return d;
  }
  for (auto [i, a, b] : llvm::enumerate(yes.getCarried(), no.getCarried())) {
    if (a.getType() == b.getType())
      continue;
    auto d = mlir::emitError(at(i))
             << "this branch yields " << Shape(b).str() << ", the other "
             << Shape(a).str() << ": the branches of an 'if' agree";
    d.attachNote(yes.getLoc()) << "the other branch";
    return d;
  }
  return success();
}

static LogicalResult checkNoStack(YieldOp yield) {
  if (yield.getStacked().empty())
    return success();
  return mlir::emitError(yield.getLoc())
         << "only a 'for' keeps values of every step: how many a 'while' makes "
            "is not known";
}
LogicalResult CheckpointOp::verifyRegions() {
  if (!yieldOf(getBody()).getStacked().empty())
    return mlir::emitError(getLoc())
           << "only a 'for' keeps values of every step";
  return success();
}

LogicalResult ForOp::verifyRegions() {
  YieldOp y = getYield();
  auto at = [&](unsigned) { return y.getLoc(); };
  if (failed(checkCarries(llvm::to_vector(getCarries()), y, at)))
    return failure();
  auto types = loopResults(getInitial(), y, getSteps(), int64_t(getAxis()), at);
  if (failed(types))
    return failure();
  if (!llvm::equal(*types, getResultTypes()))
    return emitError() << "the loop has other results than its body yields";
  return success();
}
LogicalResult WhileOp::verifyRegions() {
  YieldOp y = yieldOf(getBody()), c = yieldOf(getCondition());
  auto at = [&](unsigned) { return y.getLoc(); };
  return success(
      succeeded(checkCondition(c, [&](unsigned) { return c.getLoc(); })) &&
      succeeded(checkNoStack(y)) &&
      succeeded(
          checkCarries(llvm::to_vector(getBody().getArguments()), y, at)));
}
LogicalResult IfOp::verifyRegions() {
  YieldOp no = yieldOf(getNo());
  return checkBranches(yieldOf(getYes()), no,
                       [&](unsigned) { return no.getLoc(); });
}

//===----------------------------------------------------------------------===//
// Inference
//===----------------------------------------------------------------------===//

using InferOp = function_ref<LogicalResult(Operation *)>;

static LogicalResult inferBody(Region &body, InferOp infer) {
  for (Operation &op : body.front().without_terminator())
    if (failed(infer(&op)))
      return failure();
  return success();
}
static void setTypes(ValueRange values, mlir::TypeRange types) {
  for (auto [v, t] : llvm::zip(values, types))
    v.setType(t);
}

LogicalResult ForOp::inferBodies(InferOp infer) {
  Report fail(getLoc());
  auto axis = int64_t(getAxis());
  Dim steps = getSteps();
  setTypes(ValueRange(llvm::to_vector_of<Value>(getCarries())),
           getInitial().getTypes());
  for (auto [slice, source] : llvm::zip(getSlices(), getSources())) {
    auto type = sliceType(source, axis, steps, fail);
    if (failed(type))
      return failure();
    slice.setType(*type);
  }
  setCountsAttr(TypeAttr::get(countsType(getContext(), steps)));
  if (failed(inferBody(getBody(), infer)))
    return failure();
  YieldOp y = getYield();
  auto at = [&](unsigned) { return y.getLoc(); };
  if (failed(checkCarries(llvm::to_vector(getCarries()), y, at)))
    return failure();
  auto types = loopResults(getInitial(), y, steps, axis, at);
  if (failed(types))
    return failure();
  setTypes(getResults(), *types);
  return success();
}
LogicalResult WhileOp::inferBodies(InferOp infer) {
  for (Region *r : getRegions()) {
    setTypes(ValueRange(llvm::to_vector_of<Value>(r->getArguments())),
             getInitial().getTypes());
    if (failed(inferBody(*r, infer)))
      return failure();
  }
  setTypes(getResults(), getInitial().getTypes());
  return verifyRegions();
}
LogicalResult IfOp::inferBodies(InferOp infer) {
  for (Region *r : getRegions())
    if (failed(inferBody(*r, infer)))
      return failure();
  setTypes(getResults(), yieldOf(getYes()).getOperandTypes());
  return verifyRegions();
}

LogicalResult CheckpointOp::inferBodies(InferOp infer) {
  if (failed(inferBody(getBody(), infer)))
    return failure();
  setTypes(getResults(), yieldOf(getBody()).getOperandTypes());
  return success();
}

//===----------------------------------------------------------------------===//
// Building
//===----------------------------------------------------------------------===//

YieldOp ForOp::getYield() { return yieldOf(getBody()); }
SmallVector<Region *> ForOp::getLoopRegions() { return {&getBody()}; }
SmallVector<Region *> WhileOp::getLoopRegions() {
  return {&getCondition(), &getBody()};
}

Value PartOp::getViewSource() { return getSource(); }

ForOp ForOp::make(ImplicitLocOpBuilder &b, ValueRange inits, ValueRange sources,
                  RankedTensorType counts, bool reverse, Body body) {
  Dim steps = Shape(counts)[0];
  Report fail(b.getLoc());
  SmallVector<Type> types{counterType(b.getContext())};
  llvm::append_range(types, inits.getTypes());
  for (Value source : sources) {
    auto type = sliceType(source, 0, steps, fail);
    assert(succeeded(type) && "a loop over tensors of different lengths");
    types.push_back(*type);
  }
  // Ops in the body want a function around them, but the results are known
  // only when it is complete: it is built in another loop's place.
  auto place = ForOp::create(b, mlir::TypeRange{}, ValueRange{}, ValueRange{},
                             TypeAttr::get(counts), /*axis=*/0, reverse);
  YieldOp yield;
  {
    OpBuilder::InsertionGuard guard(b);
    Block *block =
        b.createBlock(&place.getBody(), {}, types,
                      SmallVector<Location>(types.size(), b.getLoc()));
    ValueRange args = block->getArguments();
    Yields yields = body(args[0], args.slice(1, inits.size()),
                         args.drop_front(1 + inits.size()));
    b.setInsertionPointToEnd(block);
    yield = YieldOp::create(b, yields.carried, yields.stacked);
  }
  auto results = loopResults(inits, yield, steps, 0,
                             [&](unsigned) { return yield.getLoc(); });
  auto loop = ForOp::create(b, *results, inits, sources, TypeAttr::get(counts),
                            /*axis=*/0, reverse);
  loop.getBody().takeBody(place.getBody());
  place.erase();
  return loop;
}

IfOp IfOp::make(ImplicitLocOpBuilder &b, Value predicate, Branch yes,
                Branch no) {
  SmallVector<Type> types;
  auto build = [&](Region &body, Branch branch) {
    OpBuilder::InsertionGuard guard(b);
    Block *block = b.createBlock(&body);
    SmallVector<Value> values = branch();
    b.setInsertionPointToEnd(block);
    YieldOp::create(b, values);
    types = llvm::to_vector(ValueRange(values).getTypes());
  };
  // As for a loop: the results are known last.
  auto place = IfOp::create(b, mlir::TypeRange{}, predicate);
  build(place.getYes(), yes);
  build(place.getNo(), no);
  auto op = IfOp::create(b, types, predicate);
  op.getYes().takeBody(place.getYes());
  op.getNo().takeBody(place.getNo());
  place.erase();
  return op;
}

CheckpointOp CheckpointOp::make(ImplicitLocOpBuilder &b, Body body) {
  auto place = CheckpointOp::create(b, mlir::TypeRange{});
  SmallVector<Value> values;
  {
    OpBuilder::InsertionGuard guard(b);
    Block *block = b.createBlock(&place.getBody());
    values = body();
    b.setInsertionPointToEnd(block);
    YieldOp::create(b, values);
  }
  auto op = CheckpointOp::create(b, ValueRange(values).getTypes());
  op.getBody().takeBody(place.getBody());
  place.erase();
  return op;
}

ClonedBody graph::cloneBody(OpBuilder &b, Region &body, mlir::IRMapping &map) {
  ClonedBody cloned;
  for (Operation &op : body.front().without_terminator())
    cloned.ops.push_back(b.clone(op, map));
  auto mapped = [&](ValueRange values) {
    return llvm::map_to_vector(values,
                               [&](Value v) { return map.lookupOrDefault(v); });
  };
  YieldOp y = yieldOf(body);
  cloned.carried = mapped(y.getCarried());
  cloned.stacked = mapped(y.getStacked());
  return cloned;
}

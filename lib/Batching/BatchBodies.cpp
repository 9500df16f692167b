//===- BatchBodies.cpp - loops and branches for all examples --------------===//
//
// A `for` walks the same steps for all examples. Where examples decide
// differently, both branches of an `if` are computed and one is chosen, and a
// `while` goes on until no example does: those that are done stay as they are.
//
//===----------------------------------------------------------------------===//

#include "Batcher.h"

using namespace gradus;
using namespace gradus::graph;

static SmallVector<bool> whichOf(const ValueSet &set, ValueRange values) {
  return llvm::map_to_vector(values, [&](Value v) { return set.contains(v); });
}

ValueSet Batcher::dependent(Operation *op) const {
  return reached(llvm::to_vector(mapped), op, Through::Control);
}

SmallVector<Value> Batcher::runBody(Region &body, ArrayRef<bool> hasAxis) {
  run(body.front());
  auto yield = cast<YieldOp>(body.front().getTerminator());
  return as(yield->getOperands(), hasAxis);
}

/// A loop walks axis 0, where the examples are: another one has to be there.
static Value stepsFirst(ImplicitLocOpBuilder &b, Value v) {
  return moveAxis(V(&b, v), 1, 0).value();
}

void Batcher::runFor(ForOp loop) {
  ValueSet differing = dependent(loop);
  SmallVector<bool> carries = whichOf(differing, loop.getFinals()),
                    stacks = whichOf(differing, loop.getStacks()), yielded;
  llvm::append_range(yielded, carries);
  llvm::append_range(yielded, stacks);
  SmallVector<Value> initial = as(loop.getInitial(), carries), sources;
  for (Value v : loop.getSources())
    sources.push_back(isMapped(v) ? stepsFirst(b, now(v)) : now(v));
  auto all = ForOp::make(
      b, initial, sources, cast<RankedTensorType>(loop.getCounts()),
      loop.getReverse(),
      [&](Value counter, ValueRange carried,
          ValueRange slices) -> ForOp::Yields {
        values.map(loop.getCounter(), counter);
        setAll(loop.getCarries(), carried, carries);
        for (auto [one, value, source] :
             llvm::zip(loop.getSlices(), slices, loop.getSources()))
          set(one, value, isMapped(source));
        SmallVector<Value> next = runBody(loop.getBody(), yielded);
        return {SmallVector<Value>(ArrayRef(next).take_front(carries.size())),
                SmallVector<Value>(ArrayRef(next).drop_front(carries.size()))};
      });
  all.setCheckpoint(loop.getCheckpoint());
  b.setInsertionPointAfter(all);
  setAll(loop.getFinals(), all.getFinals(), carries);
  for (auto [one, value, axis] :
       llvm::zip(loop.getStacks(), all.getStacks(), stacks))
    set(one, axis ? stepsFirst(b, value) : Value(value), axis);
}

/// Does it hold for any example?
static Value any(ImplicitLocOpBuilder &b, Value truths) {
  Type counted = b.getI32Type();
  V hits = indicator(V(&b, truths), counted);
  return gt(reduce_max(hits, {0}, false), 0.0).value();
}
/// A truth for each example beside values of `rank` axes each.
static V beside(ImplicitLocOpBuilder &b, Value truths, int64_t rank) {
  Shape to(truths);
  to.dims.append(rank, Dim{1});
  return reshape(V(&b, truths), to);
}

void Batcher::runWhile(WhileOp loop) {
  ValueSet differing = dependent(loop);
  SmallVector<bool> carries = whichOf(differing, loop.getResults());
  Value goesOn = cast<YieldOp>(loop.getCondition().front().getTerminator())
                     .getCarried()[0];
  bool decideApart = differing.contains(goesOn);
  SmallVector<Value> initial = as(loop.getInitial(), carries);
  auto all = WhileOp::create(b, ValueRange(initial).getTypes(), initial,
                             loop.getLimitAttr());
  auto fill = [&](Region &to, function_ref<SmallVector<Value>(ValueRange)> f) {
    OpBuilder::InsertionGuard guard(b);
    Location loc = b.getLoc();
    Block *block = b.createBlock(&to, {}, ValueRange(initial).getTypes(),
                                 SmallVector<Location>(initial.size(), loc));
    SmallVector<Value> yielded = f(block->getArguments());
    b.setLoc(loc);
    YieldOp::create(b, yielded);
  };
  auto takes = [&](Region &body, ValueRange now) {
    setAll(body.getArguments(), now, carries);
  };
  auto condition = [&](ValueRange now) {
    takes(loop.getCondition(), now);
    return runBody(loop.getCondition(), {decideApart})[0];
  };
  fill(all.getCondition(), [&](ValueRange now) -> SmallVector<Value> {
    Value truths = condition(now);
    return {decideApart ? any(b, truths) : truths};
  });
  fill(all.getBody(), [&](ValueRange now) {
    Value truths = decideApart ? condition(now) : Value();
    takes(loop.getBody(), now);
    SmallVector<Value> next = runBody(loop.getBody(), carries);
    for (auto [i, v] : llvm::enumerate(next))
      if (decideApart) {
        int64_t rank = Shape(loop.getResult(i)).rank();
        v = select(beside(b, truths, rank), V(&b, v), V(&b, now[i])).value();
      }
    return next;
  });
  setAll(loop.getResults(), all.getResults(), carries);
}

void Batcher::runIf(IfOp branch) {
  ValueSet differing = dependent(branch);
  SmallVector<bool> results = whichOf(differing, branch.getResults());
  if (isMapped(branch.getPredicate())) {
    Value truths = now(branch.getPredicate());
    SmallVector<Value> yes = runBody(branch.getYes(), results),
                       no = runBody(branch.getNo(), results), chosen;
    for (auto [one, v, w] : llvm::zip(branch.getResults(), yes, no))
      chosen.push_back(
          select(beside(b, truths, Shape(one).rank()), V(&b, v), V(&b, w))
              .value());
    return setResults(branch, chosen);
  }
  auto all = IfOp::make(
      b, now(branch.getPredicate()),
      [&] { return runBody(branch.getYes(), results); },
      [&] { return runBody(branch.getNo(), results); });
  setAll(branch.getResults(), all.getResults(), results);
}

void Batcher::runCheckpoint(CheckpointOp op) {
  SmallVector<bool> results = whichOf(dependent(op), op.getResults());
  auto all =
      CheckpointOp::make(b, [&] { return runBody(op.getBody(), results); });
  setAll(op.getResults(), all.getResults(), results);
}

/// Does the function take what the gradient of the op gets?
static bool fitsAsRule(CustomOp op, FuncOp rule) {
  SmallVector<Value> args(op.getInputs());
  for (Value r : op.getResults())
    if (Shape(r).isFloat())
      args.push_back(r);
  return succeeded(
      callResults(Signature(rule), args, {}, Report(std::nullopt)));
}

FuncOp Batcher::batchedRule(CustomOp op) {
  FuncOp rule = lookupCallee(op, op.getRule());
  SmallVector<Type> all;
  SmallVector<int64_t> over;
  for (auto [i, v] : llvm::enumerate(op.getInputs())) {
    all.push_back(now(v).getType());
    if (isMapped(v))
      over.push_back(i);
  }
  for (Value r : op.getResults())
    if (Shape(r).isFloat()) {
      over.push_back(all.size());
      all.push_back(stacked(Shape(r), count).type());
    }
  return addHelper(op->getParentOfType<FuncOp>(), op.getRule() + ".vmap", all,
                   [&](ImplicitLocOpBuilder &inner, ValueRange args) {
                     auto gradients =
                         batchFunction(inner, rule, args, over, count, inliner);
                     complete &= succeeded(gradients);
                     if (failed(gradients))
                       return SmallVector<Value>();
                     // What is the same for all examples has the sum of their
                     // cotangents.
                     auto next = gradients->begin();
                     for (Value v : op.getInputs())
                       if (Shape(v).isFloat()) {
                         if (!isMapped(v))
                           *next =
                               reduce_sum(V(&inner, *next), {0}, false).value();
                         ++next;
                       }
                     return *gradients;
                   });
}

void Batcher::runCustom(CustomOp op) {
  SmallVector<Type> types;
  for (Value r : op.getResults())
    types.push_back(stacked(Shape(r), count).type());
  SmallVector<Value> inputs = now(op.getInputs());
  // A rule that is none is reported where it is used.
  FuncOp rule = lookupCallee(op, op.getRule());
  StringRef name = rule && fitsAsRule(op, rule) ? batchedRule(op).getSymName()
                                                : op.getRule();
  auto all = CustomOp::create(b, types, name, inputs);
  {
    OpBuilder::InsertionGuard guard(b);
    Block *body =
        b.createBlock(&all.getBody(), {}, ValueRange(inputs).getTypes(),
                      SmallVector<Location>(inputs.size(), b.getLoc()));
    for (auto [one, value, input] : llvm::zip(
             op.getBody().getArguments(), body->getArguments(), op.getInputs()))
      set(one, value, isMapped(input));
    SmallVector<bool> every(op.getNumResults(), true);
    SmallVector<Value> results = runBody(op.getBody(), every);
    YieldOp::create(b, results);
  }
  setResults(op, all.getResults());
}

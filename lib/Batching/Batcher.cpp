//===- Batcher.cpp - from one example to all of them ----------------------===//

#include "Batcher.h"

using namespace gradus;
using namespace gradus::graph;

void Batcher::set(Value one, Value all, bool hasAxis) {
  values.map(one, all);
  if (hasAxis)
    mapped.insert(one);
}

SmallVector<Value> Batcher::now(ValueRange ones) {
  return llvm::map_to_vector(ones, [&](Value v) { return now(v); });
}

Value Batcher::as(Value one, bool hasAxis) {
  Value all = now(one);
  if (!hasAxis || isMapped(one))
    return all;
  return broadcast(V(&b, all), stacked(Shape(one), count)).value();
}
SmallVector<Value> Batcher::as(ValueRange ones, ArrayRef<bool> hasAxis) {
  SmallVector<Value> all;
  for (auto [one, axis] : llvm::zip(ones, hasAxis))
    all.push_back(as(one, axis));
  return all;
}
SmallVector<Value> Batcher::spread(ValueRange ones) {
  return llvm::map_to_vector(ones, [&](Value v) { return as(v, true); });
}

bool Batcher::differs(Operation *op) const {
  return op
      ->walk([&](Operation *nested) {
        return llvm::any_of(nested->getOperands(),
                            [&](Value v) { return isMapped(v); })
                   ? mlir::WalkResult::interrupt()
                   : mlir::WalkResult::advance();
      })
      .wasInterrupted();
}

void Batcher::setResults(Operation *op, ValueRange all) {
  for (auto [one, now] : llvm::zip(op->getResults(), all)) {
    set(one, now, true);
    auto made = dyn_cast<mlir::OpResult>(now);
    if (StringRef name = nameOf(one); made && !name.empty())
      rename(made, name);
  }
}

void Batcher::run(Block &example) {
  // Parts of ops are put among them, and gone again when they are done.
  for (Operation &op : llvm::make_early_inc_range(example.without_terminator()))
    run(&op);
}

void Batcher::run(Operation *op) {
  b.setLoc(withoutName(op->getLoc()));
  if (!differs(op)) {
    b.clone(*op, values);
    return;
  }
  if (auto update = dyn_cast<UpdateOp>(op)) {
    auto d = mlir::emitError(update.getLoc())
             << "the next value of " << display(update.getVariable())
             << " differs from example to example";
    d.attachNote(request) << "of this vmap";
    complete = false;
    return;
  }
  if (auto loop = dyn_cast<ForOp>(op))
    return runFor(loop);
  if (auto loop = dyn_cast<WhileOp>(op))
    return runWhile(loop);
  if (auto branch = dyn_cast<IfOp>(op))
    return runIf(branch);
  if (auto kept = dyn_cast<CheckpointOp>(op))
    return runCheckpoint(kept);
  if (auto custom = dyn_cast<CustomOp>(op))
    return runCustom(custom);
  if (auto size = dyn_cast<SizeOp>(op)) { // the same for all
    int64_t axis = Shape(size.getX()).axis(size.getAxis()) + 1;
    values.map(size.getOut(),
               SizeOp::create(b, now(size.getX()), axis).getOut());
    return;
  }
  auto became = [&](Value one) { return std::pair(now(one), isMapped(one)); };
  if (auto all = batched(b, op, {count, became}); !all.empty())
    return setResults(op, all);
  if (auto composite = dyn_cast<Composite>(op))
    return runParts(op, composite);
  runInLoop(op);
}

void Batcher::runParts(Operation *op, Composite composite) {
  Block *block = op->getBlock();
  Operation *before =
      op == &block->front() ? nullptr : &*std::prev(op->getIterator());
  ImplicitLocOpBuilder beside(b.getLoc(), op);
  SmallVector<Value> results = composite.decompose(beside);
  auto first = before ? std::next(before->getIterator()) : block->begin();
  SmallVector<Operation *> parts;
  for (Operation &part : llvm::make_range(first, op->getIterator()))
    parts.push_back(&part);
  for (Operation *part : parts)
    run(part);
  SmallVector<Value> all = spread(results);
  // Nothing may know the parts when they are gone: others take their place.
  for (Operation *part : llvm::reverse(parts)) {
    for (Value r : part->getResults()) {
      values.erase(r);
      mapped.erase(r);
    }
    part->erase();
  }
  setResults(op, all);
}

void Batcher::runInLoop(Operation *op) {
  SmallVector<Value> sources, ones;
  for (Value v : op->getOperands())
    if (isMapped(v)) {
      ones.push_back(v);
      sources.push_back(now(v));
    }
  RankedTensorType counts = Shape(b.getI32Type(), {count}).type();
  auto loop = ForOp::make(
      b, {}, sources, counts, /*reverse=*/false,
      [&](Value, ValueRange, ValueRange slices) -> ForOp::Yields {
        mlir::IRMapping example(values);
        example.map(ones, slices);
        return {{}, SmallVector<Value>(b.clone(*op, example)->getResults())};
      });
  setResults(op, loop.getStacks());
}

FailureOr<SmallVector<Value>>
gradus::batchFunction(ImplicitLocOpBuilder &b, FuncOp f, ValueRange inputs,
                      ArrayRef<int64_t> over, Dim count, Inliner inliner) {
  Location request = b.getLoc();
  // The body of one example, which goes again.
  SmallVector<Type> types(inputs.getTypes());
  for (int64_t i : over) {
    Shape s(inputs[i]);
    s.dims.erase(s.dims.begin());
    types[i] = s.type();
  }
  auto holder = CustomOp::create(b, mlir::TypeRange{}, "", inputs);
  SmallVector<Location> locs(types.size(), request);
  {
    OpBuilder::InsertionGuard guard(b);
    Block *body = b.createBlock(&holder.getBody(), {}, types, locs);
    SmallVector<Value> results = inliner(b, f, body->getArguments());
    b.setInsertionPointToEnd(body);
    b.setLoc(request);
    YieldOp::create(b, results);
  }
  walkAlongAxis0(holder, [](Value, Value) {});
  Block &example = holder.getBody().front();
  Batcher batcher(b, count, request, inliner);
  for (auto [i, arg] : llvm::enumerate(example.getArguments()))
    batcher.set(arg, inputs[i], llvm::is_contained(over, int64_t(i)));
  batcher.run(example);
  SmallVector<Value> results =
      batcher.spread(example.getTerminator()->getOperands());
  holder.erase();
  if (!batcher.complete)
    return failure();
  return results;
}

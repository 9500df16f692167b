//===- ForwardBodies.cpp - tangents through loops and branches ------------===//
//
// A loop carries the tangents of its carries beside them, and keeps those of
// what it keeps; a branch yields both.
//
//===----------------------------------------------------------------------===//

#include "Sweep.h"
#include "dialects/graph/Control.h"
#include "gradus/Expand.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"

using namespace gradus;
using namespace gradus::graph;

ClonedBody Sweep::forwardBody(Region &body, mlir::IRMapping &map,
                              ValueMap &inner, ArrayRef<unsigned> carried,
                              ArrayRef<unsigned> stacked) {
  ClonedBody step = cloneBody(b, body, map);
  Block *block = b.getInsertionBlock();
  Location loc = b.getLoc();
  // `inner` is not read again.
  SmallVector<Value> all = inBody([&] {
    forward(step.ops, inner);
    b.setInsertionPointToEnd(block);
    b.setLoc(loc);
    SmallVector<Value> values = withTangents(step.carried, carried, inner);
    values.append(withTangents(step.stacked, stacked, inner));
    return values;
  });
  size_t split = step.carried.size() + carried.size();
  step.carried.assign(all.begin(), all.begin() + split);
  step.stacked.assign(all.begin() + split, all.end());
  return step;
}

/// The tangents of some of `values` behind all of them.
SmallVector<Value> Sweep::withTangents(ValueRange values,
                                       ArrayRef<unsigned> which,
                                       const ValueMap &tangents) {
  SmallVector<Value> all(values);
  for (unsigned i : which)
    all.push_back(orZeros(tangents.lookup(values[i]), values[i]));
  return all;
}

/// The first arguments stand for those of `body`, the last for the tangents of
/// some of them.
static void mapWithTangents(ValueRange body, ValueRange args,
                            ArrayRef<unsigned> which, mlir::IRMapping &map,
                            ValueMap &tangents) {
  map.map(body, args.take_front(body.size()));
  for (auto [i, t] : llvm::zip(which, args.drop_front(body.size())))
    tangents[args[i]] = t;
}

void Sweep::forwardLoop(ForOp loop, const ValueSet &active,
                        ValueMap &tangents) {
  SmallVector<unsigned> carries = activeOnes(loop.getCarries(), active),
                        slices = activeOnes(loop.getSlices(), active),
                        stacks =
                            activeOnes(loop.getYield().getStacked(), active);
  auto args = [](Block::BlockArgListType list) {
    return llvm::to_vector_of<Value>(list);
  };
  auto both = ForOp::make(
      b, withTangents(loop.getInitial(), carries, tangents),
      withTangents(loop.getSources(), slices, tangents),
      cast<RankedTensorType>(loop.getCounts()), loop.getReverse(),
      [&](Value counter, ValueRange now, ValueRange parts) -> ForOp::Yields {
        mlir::IRMapping map;
        ValueMap inner(tangents);
        map.map(loop.getCounter(), counter);
        mapWithTangents(args(loop.getCarries()), now, carries, map, inner);
        mapWithTangents(args(loop.getSlices()), parts, slices, map, inner);
        ClonedBody step =
            forwardBody(loop.getBody(), map, inner, carries, stacks);
        return {step.carried, step.stacked};
      });
  takeNames(llvm::to_vector(both.getCarries()),
            llvm::to_vector(loop.getCarries()));
  takeNames(llvm::to_vector(both.getSlices()),
            llvm::to_vector(loop.getSlices()));
  unsigned numFinals = loop.getFinals().size(),
           numStacks = loop.getStacks().size();
  SmallVector<Value> values(both.getFinals().take_front(numFinals));
  llvm::append_range(values, both.getStacks().take_front(numStacks));
  for (auto [i, t] : llvm::zip(carries, both.getFinals().drop_front(numFinals)))
    tangents[loop.getFinals()[i]] = t;
  for (auto [i, t] : llvm::zip(stacks, both.getStacks().drop_front(numStacks)))
    tangents[loop.getStacks()[i]] = t;
  replaced.push_back({loop, values});
}

void Sweep::forwardLoop(WhileOp loop, const ValueSet &active,
                        ValueMap &tangents) {
  SmallVector<unsigned> carries =
      activeOnes(loop.getBody().getArguments(), active);
  SmallVector<Value> inits = withTangents(loop.getInitial(), carries, tangents);
  auto both = WhileOp::create(b, ValueRange(inits).getTypes(), inits,
                              loop.getLimitAttr());
  // The condition needs no tangents, but gets them.
  auto fill = [&](Region &from, Region &to, bool isBody) {
    OpBuilder::InsertionGuard guard(b);
    Block *block =
        b.createBlock(&to, {}, ValueRange(inits).getTypes(),
                      SmallVector<Location>(inits.size(), b.getLoc()));
    mlir::IRMapping map;
    ValueMap inner(tangents);
    mapWithTangents(llvm::to_vector_of<Value>(from.getArguments()),
                    block->getArguments(), carries, map, inner);
    ClonedBody step = isBody ? forwardBody(from, map, inner, carries, {})
                             : cloneBody(b, from, map);
    YieldOp::create(b, step.carried);
  };
  fill(loop.getCondition(), both.getCondition(), false);
  fill(loop.getBody(), both.getBody(), true);
  unsigned n = loop.getNumResults();
  for (auto [i, t] : llvm::zip(carries, both.getResults().drop_front(n)))
    tangents[loop.getResult(i)] = t;
  replaced.push_back(
      {loop, SmallVector<Value>(both.getResults().take_front(n))});
}

void Sweep::forwardBranch(Operation *op, const ValueSet &active,
                          ValueMap &tangents) {
  SmallVector<unsigned> results = activeOnes(op->getResults(), active);
  auto with = [&](Region &body) {
    mlir::IRMapping map;
    ValueMap inner(tangents);
    return forwardBody(body, map, inner, results, {}).carried;
  };
  Operation *both;
  if (auto branch = dyn_cast<IfOp>(op))
    both = IfOp::make(
        b, branch.getPredicate(), [&] { return with(branch.getYes()); },
        [&] { return with(branch.getNo()); });
  else
    both = CheckpointOp::make(
        b, [&] { return with(cast<CheckpointOp>(op).getBody()); });
  unsigned n = op->getNumResults();
  for (auto [i, t] : llvm::zip(results, both->getResults().drop_front(n)))
    tangents[op->getResult(i)] = t;
  replaced.push_back(
      {op, SmallVector<Value>(both->getResults().take_front(n))});
}

void Sweep::forwardBodies(Operation *op, ValueMap &tangents) {
  llvm::SetVector<Value> read(op->operand_begin(), op->operand_end());
  for (Region &body : op->getRegions())
    mlir::getUsedValuesDefinedAbove(body, read);
  SmallVector<Value> from;
  for (Value v : read)
    if (tangents.lookup(v))
      from.push_back(v);
  ValueSet active = reached(from, op);
  if (llvm::none_of(op->getResults(),
                    [&](Value r) { return active.contains(r); }))
    return;
  b.setLoc(derivedFrom(op));
  b.setInsertionPointAfter(op);
  if (auto loop = dyn_cast<ForOp>(op))
    forwardLoop(loop, active, tangents);
  else if (auto loop = dyn_cast<WhileOp>(op))
    forwardLoop(loop, active, tangents);
  else
    forwardBranch(op, active, tangents);
  for (auto [r, v] : llvm::zip(op->getResults(), replaced.back().second)) {
    StringRef name = nameOf(r);
    if (name.empty())
      continue;
    rename(cast<mlir::OpResult>(v), name);
    if (Value t = tangents.lookup(r))
      rename(cast<mlir::OpResult>(t), ("t." + name).str());
  }
}

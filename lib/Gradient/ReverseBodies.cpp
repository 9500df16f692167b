//===- ReverseBodies.cpp - gradients of loops and branches ----------------===//
//
// The gradient of a `for` is a `for` in the other direction. Its carries are
// the cotangents of the loop's carries and a sum for every value that the body
// reads from outside; its slices those of the loop, of the cotangents of what
// it keeps, and of what the step backwards needs of the step forwards:
//   - values that are cheap to make again (numbers, broadcasts, reshapes) are;
//   - loops and branches inside are run again, so that what their own
//     gradients keep lives for one step: a loop of n steps written as two
//     nested ones keeps O(sqrt n) of them;
//   - everything else is stacked by the loop forwards.
//
// The gradient of an `if` is an `if`: the branch again, then backwards; that of
// a `checkpoint` one of its body, then backwards.
//
//===----------------------------------------------------------------------===//

#include "Sweep.h"
#include "dialects/graph/Control.h"
#include "gradus/Expand.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/StringExtras.h"

using namespace gradus;
using namespace gradus::graph;

/// The active values outside that the op's bodies read.
static SmallVector<Value> activeCaptures(Operation *op,
                                         const ValueSet &active) {
  llvm::SetVector<Value> used;
  for (Region &body : op->getRegions())
    mlir::getUsedValuesDefinedAbove(body, used);
  return llvm::to_vector(llvm::make_filter_range(
      used, [&](Value v) { return active.contains(v) && isFloat(v); }));
}

template <typename Range>
static SmallVector<Value> at(const Range &values, ArrayRef<unsigned> which) {
  return llvm::map_to_vector(which,
                             [&](unsigned i) { return Value(values[i]); });
}

static Location named(Location loc, const Twine &name) {
  return NameLoc::get(StringAttr::get(loc.getContext(), name), loc);
}
/// `d.` and the names of values; those without one have none.
static Location derivativesOf(ArrayRef<Value> values, Location loc) {
  SmallVector<std::string> names;
  for (Value v : values)
    names.push_back(nameOf(v).empty() ? "" : ("d." + nameOf(v)).str());
  bool any = llvm::any_of(names, [](StringRef n) { return !n.empty(); });
  return any ? named(loc, llvm::join(names, ",")) : loc;
}

//===----------------------------------------------------------------------===//
// Reverse: a loop
//===----------------------------------------------------------------------===//

namespace {
/// The body of a loop backwards while it is written: what it takes from the
/// loop forwards is known at its end only.
class BackwardBody {
public:
  BackwardBody(ImplicitLocOpBuilder &b, ForOp loop)
      : b(b), loop(loop),
        place(ForOp::create(b, mlir::TypeRange{}, ValueRange{}, ValueRange{},
                            loop.getCountsAttr(), /*axis=*/0, false)),
        block(b.createBlock(&place.getBody())) {
    map.map(loop.getCounter(),
            block->addArgument(loop.getCounter().getType(), loop.getLoc()));
  }

  Value addCarry(Value init, Value like) {
    inits.push_back(init);
    return block->addArgument(like.getType(),
                              derivativesOf({like}, b.getLoc()));
  }
  /// One slice of `source` in each step.
  Value addSlice(Value source, Type type, Location loc) {
    sources.push_back(source);
    return block->addArgument(type, loc);
  }
  /// The step forwards again; its ops join the tape.
  Tape cloneStep() {
    for (auto [source, slice] : llvm::zip(loop.getSources(), loop.getSlices()))
      map.map(slice, addSlice(source, slice.getType(), slice.getLoc()));
    for (Value carry : loop.getCarries())
      map.map(carry, addKept(carry));
    forward = cloneBody(b, loop.getBody(), map);
    for (auto [copy, op] :
         llvm::zip(forward.ops, loop.getBody().front().without_terminator()))
      if (!isMadeAgain(&op))
        original[copy] = &op;
    return forward.ops;
  }
  Value clonedCarry(unsigned i) {
    return map.lookup(Value(loop.getCarries()[i]));
  }
  Value clonedSlice(unsigned i) {
    return map.lookup(Value(loop.getSlices()[i]));
  }

  /// Replaces what was cloned and is read by what the loop forwards keeps.
  void keepWhatIsRead() {
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(*block))) {
      // The users of the op, which follow it, are what they will be.
      auto from = original.find(&op);
      if (from != original.end() && !op.use_empty())
        for (auto [copy, kept] :
             llvm::zip(op.getResults(), from->second->getResults()))
          if (!copy.use_empty())
            copy.replaceAllUsesWith(addKept(kept));
      if (mlir::isOpTriviallyDead(&op))
        op.erase();
    }
    dropUnread();
  }

  ImplicitLocOpBuilder &b;
  ForOp loop;
  ForOp place; ///< holds the body until the loop backwards is there
  mlir::IRMapping map;
  ClonedBody forward;
  SmallVector<Value> inits, sources;
  SmallVector<Value> kept;      ///< values of the loop forwards, to be stacked
  SmallVector<unsigned> keptAt; ///< where in `sources` their stacks belong

private:
  static bool isMadeAgain(Operation *op) {
    return isa<HasBodies, ConstantOp, SizeOp, IotaOp, BroadcastOp, ReshapeOp,
               TransposeOp>(op);
  }
  Value addKept(Value value) {
    keptAt.push_back(sources.size());
    kept.push_back(value);
    StringRef name = nameOf(value);
    return addSlice(Value(), value.getType(),
                    name.empty() ? b.getLoc() : named(b.getLoc(), name));
  }
  void dropUnread() {
    unsigned first = 1 + inits.size();
    for (unsigned i = kept.size(); i-- > 0;) {
      unsigned at = keptAt[i];
      if (!block->getArgument(first + at).use_empty())
        continue;
      block->eraseArgument(first + at);
      sources.erase(sources.begin() + at);
      kept.erase(kept.begin() + i);
      keptAt.erase(keptAt.begin() + i);
      for (unsigned &later : keptAt)
        if (later > at)
          --later;
    }
  }

  Block *block;
  llvm::DenseMap<Operation *, Operation *> original; ///< of what is not cheap
};
} // namespace

/// The loop, keeping more values of every step.
static ForOp keeping(ImplicitLocOpBuilder &b, ForOp loop,
                     ArrayRef<Value> values) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointAfter(loop);
  Location outside = b.getLoc();
  SmallVector<std::string> names;
  for (Value r : loop.getResults())
    names.push_back(nameOf(r).str());
  for (Value v : values)
    names.push_back(nameOf(v).empty() ? "" : ("kept." + nameOf(v)).str());
  b.setLoc(named(withoutName(loop.getLoc()), llvm::join(names, ",")));
  ForOp more =
      ForOp::make(b, loop.getInitial(), loop.getSources(),
                  cast<RankedTensorType>(loop.getCounts()), loop.getReverse(),
                  [&](Value counter, ValueRange carries,
                      ValueRange slices) -> ForOp::Yields {
                    mlir::IRMapping map;
                    ClonedBody body =
                        cloneStep(b, loop, counter, carries, slices, map);
                    for (Value v : values)
                      body.stacked.push_back(map.lookupOrDefault(v));
                    return {body.carried, body.stacked};
                  });
  takeNames(llvm::to_vector(more.getBody().getArguments()),
            llvm::to_vector(loop.getBody().getArguments()));
  b.setLoc(outside);
  return more;
}

void Sweep::reverseLoop(ForOp loop, const ValueSet &active,
                        ValueMap &cotangents) {
  SmallVector<unsigned> carries = activeOnes(loop.getCarries(), active),
                        slices = activeOnes(loop.getSlices(), active);
  SmallVector<Value> captures = activeCaptures(loop, active);
  YieldOp yield = loop.getYield();

  SmallVector<Value> inits;
  for (unsigned i : carries)
    inits.push_back(
        orZeros(cotangents.lookup(loop.getFinals()[i]), loop.getInitial()[i]));
  for (Value c : captures)
    inits.push_back(filled(b, c, 0));

  // The body: its arguments, the step forwards, the step backwards.
  SmallVector<unsigned> stackedSlices;
  auto end = b.saveInsertionPoint();
  BackwardBody body(b, loop);
  SmallVector<Value> yields = inBody([&] {
    ValueMap inner;
    SmallVector<Value> cts, sums;
    for (auto [n, i] : llvm::enumerate(carries))
      cts.push_back(body.addCarry(inits[n], loop.getCarries()[i]));
    for (auto [n, c] : llvm::enumerate(captures))
      sums.push_back(body.addCarry(inits[carries.size() + n], c));
    Tape tape = body.cloneStep();
    SmallVector<Value> from(captures);
    for (unsigned i : carries)
      from.push_back(body.clonedCarry(i));
    for (unsigned i : slices)
      from.push_back(body.clonedSlice(i));
    for (auto [ct, i] : llvm::zip(cts, carries))
      accumulate(inner, body.forward.carried[i], ct);
    for (auto [i, v] : llvm::enumerate(yield.getStacked()))
      if (Value ct = cotangents.lookup(loop.getStacks()[i]))
        accumulate(
            inner, body.forward.stacked[i],
            body.addSlice(ct, v.getType(), derivativesOf({v}, b.getLoc())));
    Location at = b.getLoc();
    reverse(tape, reached(from, tape), inner);
    b.setLoc(at);
    SmallVector<Value> values;
    for (unsigned i : carries)
      values.push_back(
          orZeros(inner.lookup(body.clonedCarry(i)), loop.getCarries()[i]));
    for (auto [c, sum] : llvm::zip(captures, sums)) {
      Value term = inner.lookup(c);
      values.push_back(term ? Value(AddOp::create(b, sum, term)) : sum);
    }
    for (unsigned i : slices)
      if (Value ct = inner.lookup(body.clonedSlice(i))) {
        stackedSlices.push_back(i);
        values.push_back(ct);
      }
    return values;
  });
  ValueRange all(yields);
  YieldOp::create(b, all.take_front(inits.size()),
                  all.drop_front(inits.size()));
  body.keepWhatIsRead();
  b.restoreInsertionPoint(end);

  // The loop forwards, if it has to keep something.
  if (!body.kept.empty()) {
    ForOp forward = keeping(b, loop, body.kept);
    auto stacks = forward.getStacks().take_back(body.kept.size());
    for (auto [i, stack] : llvm::zip(body.keptAt, stacks))
      body.sources[i] = stack;
    SmallVector<Value> values(
        forward->getResults().take_front(loop.getNumResults()));
    replaced.push_back({loop, values});
  }
  // The loop backwards, and the cotangents that it ends with.
  auto types = loopResults(inits, body.place.getYield(), loop.getSteps(), 0,
                           [&](unsigned) { return loop.getLoc(); });
  SmallVector<Value> of = at(loop.getInitial(), carries), names = of;
  of.append(captures);
  names.append(captures);
  of.append(at(loop.getSources(), stackedSlices));
  names.append(at(loop.getSlices(), stackedSlices));
  auto backward = ForOp::create(b, derivativesOf(names, b.getLoc()), *types,
                                inits, body.sources, loop.getCountsAttr(),
                                /*axis=*/0, !loop.getReverse());
  backward.getBody().takeBody(body.place.getBody());
  body.place.erase();
  for (auto [v, d] : llvm::zip(of, backward.getResults()))
    if (active.contains(v))
      accumulate(cotangents, v, d);
}

//===----------------------------------------------------------------------===//
// Reverse: a branch
//===----------------------------------------------------------------------===//

void Sweep::reverseBranch(Operation *op, const ValueSet &active,
                          ValueMap &cotangents) {
  SmallVector<Value> captures = activeCaptures(op, active);
  if (captures.empty())
    return;
  auto backwards = [&](Region &body) {
    return inBody([&] {
      mlir::IRMapping map;
      ClonedBody step = cloneBody(b, body, map);
      ValueMap inner;
      for (auto [v, r] : llvm::zip(step.carried, op->getResults()))
        if (Value ct = cotangents.lookup(r); ct && isFloat(v))
          accumulate(inner, v, ct);
      Location at = b.getLoc();
      reverse(step.ops, reached(captures, step.ops), inner);
      b.setLoc(at);
      SmallVector<Value> derivatives;
      for (Value c : captures)
        derivatives.push_back(orZeros(inner.lookup(c), c));
      return derivatives;
    });
  };
  Operation *backward;
  if (auto branch = dyn_cast<IfOp>(op))
    backward = IfOp::make(
        b, branch.getPredicate(), [&] { return backwards(branch.getYes()); },
        [&] { return backwards(branch.getNo()); });
  else
    backward = CheckpointOp::make(
        b, [&] { return backwards(cast<CheckpointOp>(op).getBody()); });
  backward->setLoc(derivativesOf(captures, b.getLoc()));
  for (auto [c, d] : llvm::zip(captures, backward->getResults()))
    accumulate(cotangents, c, d);
}

void Sweep::reverseBodies(Operation *op, const ValueSet &active,
                          ValueMap &cotangents) {
  if (auto loop = dyn_cast<ForOp>(op))
    reverseLoop(loop, active, cotangents);
  else if (isa<WhileOp>(op)) // the tape's are `for`s, not those of a rule
    missing(op, {});
  else
    reverseBranch(op, active, cotangents);
}

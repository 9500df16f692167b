//===- Loops.cpp - loops as the sweeps want them --------------------------===//

#include "Loops.h"
#include "dialects/graph/Build.h"
#include "dialects/graph/Control.h"
#include "gradus/Expand.h"
#include "mlir/IR/IRMapping.h"

using namespace gradus;
using namespace gradus::graph;

/// The condition needs no memory of having failed: the carries stay, and so
/// does what it says of them.
static ForOp bounded(ImplicitLocOpBuilder &b, WhileOp loop) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(loop);
  b.setLoc(loop.getLoc());
  RankedTensorType counts =
      countsType(b.getContext(), Dim{int64_t(*loop.getLimit())});
  auto step = [&](Value, ValueRange carries, ValueRange) -> ForOp::Yields {
    mlir::IRMapping inCondition, inBody;
    inCondition.map(loop.getCondition().getArguments(), carries);
    Value goOn = cloneBody(b, loop.getCondition(), inCondition).carried[0];
    inBody.map(loop.getBody().getArguments(), carries);
    auto next = IfOp::make(
        b, goOn, [&] { return cloneBody(b, loop.getBody(), inBody).carried; },
        [&] { return SmallVector<Value>(carries); });
    return {SmallVector<Value>(next.getResults()), {}};
  };
  auto steps = ForOp::make(b, loop.getInitial(), {}, counts,
                           /*reverse=*/false, step);
  takeNames(llvm::to_vector(steps.getCarries()),
            llvm::to_vector(loop.getBody().getArguments()));
  return steps;
}

/// `values` stand for the op's results from now on.
static void replace(Operation *op, ValueRange values,
                    SmallVectorImpl<Value> &results) {
  for (auto [from, to] : llvm::zip(op->getResults(), values))
    llvm::replace(results, Value(from), to);
  op->replaceAllUsesWith(values);
  op->erase();
}

template <typename Loop>
static SmallVector<Loop> activeLoops(const Tape &tape, const ValueSet &active) {
  SmallVector<Loop> loops; // inner ones first
  for (Operation *op : tape)
    op->walk([&](Loop loop) {
      if (llvm::any_of(loop->getResults(),
                       [&](Value r) { return active.contains(r); }))
        loops.push_back(loop);
    });
  return loops;
}

LogicalResult gradus::boundLoops(ImplicitLocOpBuilder &b, Tape &tape,
                                 const ValueSet &active,
                                 SmallVectorImpl<Value> &results,
                                 Location request) {
  bool ok = true;
  for (WhileOp loop : activeLoops<WhileOp>(tape, active)) {
    if (!loop.getLimit()) {
      auto d = mlir::emitError(withoutName(loop.getLoc()))
               << "this 'while' may take any number of steps, and its gradient "
                  "keeps them all: say how many it takes at most, as in 'while "
                  "limit = 100 carry (...)'";
      d.attachNote(request) << "asked for here";
      ok = false;
      continue;
    }
    ForOp steps = bounded(b, loop);
    llvm::replace(tape, loop.getOperation(), steps.getOperation());
    replace(loop, steps.getResults(), results);
  }
  return success(ok);
}

//===----------------------------------------------------------------------===//
// Checkpoints
//===----------------------------------------------------------------------===//

namespace {
/// A loop as one over blocks, and what is left after the last whole block.
class Blocks {
public:
  Blocks(ImplicitLocOpBuilder &b, ForOp loop, int64_t steps)
      : b(b), loop(loop), size(blockSize(steps)), count(steps / size),
        rest(steps % size) {}

  SmallVector<Value> run() {
    SmallVector<Value> carries(loop.getInitial()), stacks;
    size_t n = carries.size();
    auto advance = [&](ForOp part) {
      carries.assign(part->result_begin(), part->result_begin() + n);
      return SmallVector<Value>(part.getStacks());
    };
    SmallVector<Value> ofBlocks, ofRest;
    auto runRest = [&] {
      if (rest > 0)
        ofRest = advance(restLoop(carries));
    };
    if (loop.getReverse())
      runRest();
    ofBlocks = advance(blockLoop(carries));
    if (!loop.getReverse())
      runRest();
    for (auto [i, v] : llvm::enumerate(ofBlocks)) {
      V whole = reshape(V(&b, v), lengths(Shape(v), 2, {size * count}));
      if (rest > 0)
        whole = concat(Vs{whole, V(&b, ofRest[i])}, 0);
      carries.push_back(whole.value());
    }
    return carries;
  }

private:
  /// About the square root; one that leaves no rest if there is one near it,
  /// for then blocks are views.
  static int64_t blockSize(int64_t steps) {
    auto root = int64_t(std::ceil(std::sqrt(double(steps))));
    for (int64_t size = root; size <= 2 * root; ++size)
      if (steps % size == 0)
        return size;
    return root;
  }
  /// The shape with other leading axes in place of the first `gone`.
  static Shape lengths(Shape s, unsigned gone, ArrayRef<int64_t> lead) {
    s.dims.erase(s.dims.begin(), s.dims.begin() + gone);
    for (int64_t n : llvm::reverse(lead))
      s.dims.insert(s.dims.begin(), Dim{n});
    return s;
  }
  /// Steps `start` to `start + length` of the sources.
  SmallVector<V> sources(int64_t start, int64_t length) {
    SmallVector<V> parts;
    for (Value v : loop.getSources())
      parts.push_back(slice(V(&b, v), 0, start, length, 1));
    return parts;
  }
  RankedTensorType counts(int64_t n) {
    return countsType(b.getContext(), Dim{n});
  }
  /// Some steps of the loop, the first one's counter `first`.
  ForOp steps(Value first, ValueRange carries, ValueRange slices, int64_t n) {
    auto part = ForOp::make(
        b, carries, slices, counts(n), loop.getReverse(),
        [&](Value counter, ValueRange now, ValueRange parts) -> ForOp::Yields {
          V at = V(&b, first) + V(&b, counter);
          mlir::IRMapping map;
          ClonedBody step = cloneStep(b, loop, at.value(), now, parts, map);
          return {step.carried, step.stacked};
        });
    takeNames(llvm::to_vector(part.getCarries()),
              llvm::to_vector(loop.getCarries()));
    takeNames(llvm::to_vector(part.getSlices()),
              llvm::to_vector(loop.getSlices()));
    return part;
  }
  Value number(int64_t n) {
    return tensor(double(n), &b, b.getI32Type()).value();
  }
  ForOp restLoop(ValueRange carries) {
    int64_t start = size * count;
    SmallVector<Value> parts;
    for (const V &v : sources(start, rest))
      parts.push_back(v.value());
    return steps(number(start), carries, parts, rest);
  }
  ForOp blockLoop(ValueRange carries) {
    SmallVector<Value> blocks;
    for (const V &v : sources(0, size * count))
      blocks.push_back(
          reshape(v, lengths(v.shape(), 1, {count, size})).value());
    return ForOp::make(
        b, carries, blocks, counts(count), loop.getReverse(),
        [&](Value block, ValueRange now, ValueRange parts) -> ForOp::Yields {
          Value first = (V(&b, block) * V(&b, number(size))).value();
          ForOp inner = steps(first, now, parts, size);
          return {SmallVector<Value>(inner.getFinals()),
                  SmallVector<Value>(inner.getStacks())};
        });
  }

  ImplicitLocOpBuilder &b;
  ForOp loop;
  int64_t size, count, rest; ///< of a block, of blocks, steps after them
};
} // namespace

LogicalResult gradus::splitCheckpoints(ImplicitLocOpBuilder &b, Tape &tape,
                                       const ValueSet &active,
                                       SmallVectorImpl<Value> &results) {
  for (ForOp loop : activeLoops<ForOp>(tape, active)) {
    constexpr int64_t fewest = 4; // of which blocks would keep fewer
    Dim steps = loop.getSteps();
    if (!loop.getCheckpoint() || (steps.known() && steps.size < fewest))
      continue;
    if (!steps.known())
      return mlir::emitError(withoutName(loop.getLoc()))
             << "checkpoints need the number of steps: give dimension '"
             << steps.str() << "' a size with --dims";
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(loop);
    b.setLoc(loop.getLoc());
    SmallVector<Value> values;
    Tape made =
        recorded(b, [&] { values = Blocks(b, loop, steps.size).run(); });
    auto *at = llvm::find(tape, loop.getOperation());
    if (at != tape.end()) // else it is in the body of one that is
      tape.insert(tape.erase(at), made.begin(), made.end());
    replace(loop, values, results);
  }
  return success();
}

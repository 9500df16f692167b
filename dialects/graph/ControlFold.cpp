//===- ControlFold.cpp - loops and branches without what nothing needs ----===//

#include "Control.h"

using namespace gradus;
using namespace gradus::graph;
using mlir::PatternRewriter;

namespace {
/// Which carries, sources and stacks of a loop stay.
struct Kept {
  llvm::SmallBitVector carries, sources, stacks;
  bool all() const { return carries.all() && sources.all() && stacks.all(); }
};
} // namespace

template <typename Range>
static SmallVector<Value> chosen(const Range &values,
                                 const llvm::SmallBitVector &kept) {
  SmallVector<Value> some;
  for (auto [i, v] : llvm::enumerate(values))
    if (kept[i])
      some.push_back(v);
  return some;
}

/// The values in the body that what stays depends on.
static llvm::DenseSet<Value> neededValues(ForOp loop, Kept &kept) {
  llvm::DenseSet<Value> needed;
  YieldOp y = loop.getYield();
  auto need = [&](Operation *op) {
    op->walk([&](Operation *nested) {
      needed.insert(nested->operand_begin(), nested->operand_end());
    });
  };
  needed.insert_range(chosen(y.getStacked(), kept.stacks));
  // A carry that another one reads is needed with it.
  for (bool changed = true; changed;) {
    changed = false;
    needed.insert_range(chosen(y.getCarried(), kept.carries));
    for (Operation &op :
         llvm::reverse(loop.getBody().front().without_terminator()))
      if (llvm::any_of(op.getResults(),
                       [&](Value v) { return needed.contains(v); }))
        need(&op);
    for (auto [i, c] : llvm::enumerate(loop.getCarries()))
      if (!kept.carries[i] && needed.contains(c)) {
        kept.carries.set(i);
        changed = true;
      }
  }
  return needed;
}

static Kept keptParts(ForOp loop) {
  Kept kept{llvm::SmallBitVector(loop.getInitial().size()),
            llvm::SmallBitVector(loop.getSources().size()),
            llvm::SmallBitVector(loop.getStacks().size())};
  for (auto [i, r] : llvm::enumerate(loop.getFinals()))
    kept.carries[i] = !r.use_empty();
  for (auto [i, r] : llvm::enumerate(loop.getStacks()))
    kept.stacks[i] = !r.use_empty();
  llvm::DenseSet<Value> needed = neededValues(loop, kept);
  for (auto [i, s] : llvm::enumerate(loop.getSlices()))
    kept.sources[i] = needed.contains(s);
  return kept;
}

/// The loop without some of its parts, which nothing needs.
static void reduceTo(PatternRewriter &rewriter, ForOp loop, const Kept &kept) {
  YieldOp y = loop.getYield();
  SmallVector<Value> finals = chosen(loop.getFinals(), kept.carries),
                     stacks = chosen(loop.getStacks(), kept.stacks);
  SmallVector<Type> types;
  for (Value v : llvm::concat<Value>(finals, stacks))
    types.push_back(v.getType());
  auto reduced = ForOp::create(
      rewriter, loop.getLoc(), types, chosen(loop.getInitial(), kept.carries),
      chosen(loop.getSources(), kept.sources), loop.getCountsAttr(),
      loop.getAxis(), loop.getReverse(), loop.getCheckpoint());
  rewriter.modifyOpInPlace(y, [&] {
    SmallVector<Value> carried = chosen(y.getCarried(), kept.carries),
                       stacked = chosen(y.getStacked(), kept.stacks);
    y.getCarriedMutable().assign(carried);
    y.getStackedMutable().assign(stacked);
  });
  Block &body = loop.getBody().front();
  llvm::BitVector gone(body.getNumArguments());
  for (unsigned i = 0; i < kept.carries.size(); ++i)
    gone[1 + i] = !kept.carries[i];
  for (unsigned i = 0; i < kept.sources.size(); ++i)
    gone[1 + kept.carries.size() + i] = !kept.sources[i];
  // What computed them goes with the arguments that it reads.
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body)))
    if (mlir::isOpTriviallyDead(&op))
      rewriter.eraseOp(&op);
  body.eraseArguments(gone);
  rewriter.inlineRegionBefore(loop.getBody(), reduced.getBody(),
                              reduced.getBody().end());
  for (auto [from, to] :
       llvm::zip(llvm::concat<Value>(finals, stacks), reduced.getResults()))
    rewriter.replaceAllUsesWith(from, to);
  rewriter.eraseOp(loop);
}

/// A carry that no step changes is its initial value; a tensor that two slices
/// walk, or two stacks keep, is one.
static bool mergeEqual(PatternRewriter &rewriter, ForOp loop) {
  YieldOp y = loop.getYield();
  bool changed = false;
  auto replace = [&](Value from, Value to) {
    if (from.use_empty())
      return;
    rewriter.replaceAllUsesWith(from, to);
    changed = true;
  };
  for (auto [carry, next, init, final] :
       llvm::zip(loop.getCarries(), y.getCarried(), loop.getInitial(),
                 loop.getFinals()))
    if (next == carry) {
      replace(final, init);
      if (llvm::any_of(carry.getUsers(),
                       [&](Operation *user) { return user != y; })) {
        rewriter.replaceAllUsesExcept(carry, init, y);
        changed = true;
      }
    }
  llvm::DenseMap<Value, Value> first;
  for (auto [slice, source] : llvm::zip(loop.getSlices(), loop.getSources()))
    if (Value same = first.try_emplace(source, slice).first->second;
        same != slice)
      replace(slice, same);
  first.clear();
  for (auto [value, stack] : llvm::zip(y.getStacked(), loop.getStacks()))
    if (Value same = first.try_emplace(value, stack).first->second;
        same != stack)
      replace(stack, same);
  return changed;
}

LogicalResult ForOp::canonicalize(ForOp loop, PatternRewriter &rewriter) {
  if (mergeEqual(rewriter, loop))
    return success();
  Kept kept = keptParts(loop);
  if (kept.all())
    return failure();
  reduceTo(rewriter, loop, kept);
  return success();
}

LogicalResult IfOp::canonicalize(IfOp op, PatternRewriter &rewriter) {
  // Results that nothing reads, or that do not depend on the branch taken.
  auto yes = cast<YieldOp>(op.getYes().front().getTerminator()),
       no = cast<YieldOp>(op.getNo().front().getTerminator());
  llvm::SmallBitVector kept(op.getNumResults());
  bool changed = false;
  for (auto [i, r, a, b] :
       llvm::enumerate(op.getResults(), yes.getCarried(), no.getCarried())) {
    bool outside = a.getParentRegion() != &op.getYes();
    if (a == b && outside && !r.use_empty()) {
      rewriter.replaceAllUsesWith(r, a);
      changed = true;
    }
    kept[i] = !r.use_empty();
  }
  if (kept.all())
    return success(changed);
  SmallVector<Value> results = chosen(op.getResults(), kept);
  for (YieldOp y : {yes, no})
    rewriter.modifyOpInPlace(y, [&] {
      SmallVector<Value> carried = chosen(y.getCarried(), kept);
      y.getCarriedMutable().assign(carried);
    });
  auto reduced = IfOp::create(
      rewriter, op.getLoc(), ValueRange(results).getTypes(), op.getPredicate());
  rewriter.inlineRegionBefore(op.getYes(), reduced.getYes(),
                              reduced.getYes().end());
  rewriter.inlineRegionBefore(op.getNo(), reduced.getNo(),
                              reduced.getNo().end());
  for (auto [from, to] : llvm::zip(results, reduced.getResults()))
    rewriter.replaceAllUsesWith(from, to);
  rewriter.eraseOp(op);
  return success();
}

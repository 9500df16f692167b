//===- RecomputeRows.cpp - rows made again rather than kept ---------------===//
//
// In: groups marked (GroupRows.cpp). Out: where one group reads from memory a
// large tensor that another has made from little, it makes the tensor's rows
// again as it goes, and the tensor is never written: a softmax's rows are made
// again of queries, keys, and each row's maximum and sum.
//
// What is made again is a slice of the first group: the ops from the tensor
// back to what comes from outside and to results that are small beside it,
// which are kept. Of an op that also adds up, only what the tensor needs is
// repeated.
//
//===----------------------------------------------------------------------===//

#include "LinalgBuilder.h"
#include "RowFit.h"
#include "RowGroup.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/IR/PatternMatch.h"
#include "llvm/ADT/MapVector.h"

namespace gradus {
#define GEN_PASS_DEF_RECOMPUTEROWS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace linalg = mlir::linalg;
using mlir::OpOperand;

/// Tensors that are smaller may still be in the second cache when they are
/// read; those of `farBytes` are in none.
static constexpr int64_t leastBytes = 4 << 20, farBytes = 32 << 20;
/// What is kept instead may take this part of it.
static constexpr int64_t leastSaved = 8;
/// Steps of a product that take as long as an element's way to memory and back,
/// and to the last cache.
static constexpr int64_t deepestSum = 128, deepestNearSum = 16;

static Attribute groupOf(Operation *op) {
  return op->hasAttr(lowering::rowLoopsAttr) ? op->getAttr(lowering::groupAttr)
                                             : Attribute();
}
/// Does the operand's tensor have the row's indices first?
static bool isAtRow(OpOperand &operand) {
  return startsWithLoops(operand,
                         SmallVector<unsigned>(rowLoopsOf(operand.getOwner())));
}
static SmallVector<int64_t> rowSizes(linalg::GenericOp op) {
  auto ranges = op.getStaticLoopRanges();
  return llvm::map_to_vector(rowLoopsOf(op),
                             [&](int64_t d) { return ranges[d]; });
}

/// The ops of the body that make one of the op's results.
static llvm::SetVector<Operation *> bodyOpsFor(linalg::GenericOp op,
                                               unsigned result) {
  llvm::SetVector<Operation *> needed;
  SmallVector<Value> open{op.getBody()->getTerminator()->getOperand(result)};
  while (!open.empty()) {
    Operation *def = open.pop_back_val().getDefiningOp();
    if (def && def->getBlock() == op.getBody() && needed.insert(def))
      llvm::append_range(open, def->getOperands());
  }
  return needed;
}
static unsigned numberOf(Value result) {
  return cast<mlir::OpResult>(result).getResultNumber();
}
/// Is the result made elementwise, whatever else the op adds up?
static bool isElementwise(linalg::GenericOp op, Value result) {
  unsigned number = numberOf(result);
  Value yielded = op.getBody()->getTerminator()->getOperand(number);
  auto needed = bodyOpsFor(op, number);
  auto readsOutput = [&](Value v) {
    auto arg = dyn_cast<BlockArgument>(v);
    return arg && arg.getArgNumber() >= unsigned(op.getNumDpsInputs());
  };
  return op.getMatchingIndexingMap(op.getDpsInitOperand(number))
             .isPermutation() &&
         !readsOutput(yielded) && llvm::none_of(needed, [&](Operation *inner) {
           return inner->getNumRegions() > 0 ||
                  llvm::any_of(inner->getOperands(), readsOutput);
         });
}
static bool isElementwise(linalg::GenericOp op) {
  return op->getNumResults() == 1 &&
         op.getNumParallelLoops() == op.getNumLoops();
}

namespace {
/// Ops of one group that are to be made again, those that hand on first, and
/// for each the result that is.
using Slice = llvm::MapVector<Operation *, Value>;

/// A slice repeated in a group.
struct Repetition {
  Value original;
  SmallVector<OpOperand *> uses; ///< that read the new rows
  SmallVector<linalg::GenericOp> ops;
};

class Recomputation {
public:
  Recomputation(Block &body, int64_t rowBytes)
      : body(body), rewriter(body.getParentOp()->getContext()),
        rowBytes(rowBytes) {}

  void run() {
    SmallVector<Value> large;
    for (auto op : body.getOps<linalg::GenericOp>())
      if (groupOf(op))
        for (Value v : op->getResults())
          if (lowering::byteCount(v) >= leastBytes)
            large.push_back(v);
    for (Value v : large)
      consider(v);
  }

private:
  void consider(Value v) {
    auto maker = v.getDefiningOp<linalg::GenericOp>();
    if (!isAtRow(*maker.getDpsInitOperand(numberOf(v))))
      return;
    llvm::MapVector<Attribute, SmallVector<OpOperand *>> readers;
    for (OpOperand &use : v.getUses()) {
      auto user = dyn_cast<linalg::GenericOp>(use.getOwner());
      if (user && groupOf(user) == groupOf(maker))
        continue;
      if (!user || !groupOf(user) || !user.isDpsInput(&use) || !isAtRow(use) ||
          rowSizes(user) != rowSizes(maker))
        return; // it is written for this one
      readers[groupOf(user)].push_back(&use);
    }
    Slice slice;
    if (readers.empty() || !collect(v, bytesOf(v) / leastSaved, slice) ||
        llvm::any_of(llvm::make_first_range(readers), [&](Attribute group) {
          return !isWorthIt(v, slice, group);
        }))
      return;
    SmallVector<Repetition> done;
    for (auto &[group, uses] : readers) {
      done.push_back(repeat(v, slice, group, uses));
      if (setBlock(group))
        continue;
      for (Repetition &repetition : done)
        undo(repetition);
      return;
    }
  }
  static int64_t bytesOf(Value v) { return lowering::byteCount(v); }

  //===-- What is made again ----------------------------------------------===//

  /// Adds what makes the value, from its group's results of `small` bytes.
  static bool collect(Value v, int64_t small, Slice &slice) {
    auto op = v.getDefiningOp<linalg::GenericOp>();
    if (auto it = slice.find(op); it != slice.end())
      return it->second == v;
    if (!startsFromNothing(op.getDpsInitOperand(numberOf(v))->get()) ||
        sumsRowsOfBlocks(op) ||
        (!isElementwise(op, v) && !isProductOfTiles(op)))
      return false;
    for (Value in : op.getDpsInputs()) {
      Operation *def = in.getDefiningOp();
      bool isMade = def && groupOf(def) && groupOf(def) == groupOf(op);
      if (isMade && bytesOf(in) > small && !collect(in, small, slice))
        return false;
    }
    slice.insert({op, v});
    return true;
  }
  static bool startsFromNothing(Value init) {
    if (auto fill = init.getDefiningOp<linalg::FillOp>())
      init = fill.getOutputs()[0];
    return init.getDefiningOp<mlir::tensor::EmptyOp>();
  }
  /// Does it multiply no longer than writing and reading the value takes, and
  /// is what the group would have to read besides small beside it?
  bool isWorthIt(Value v, const Slice &slice, Attribute group) const {
    int64_t depth = 0, bytes = 0;
    llvm::SmallSetVector<Value, 8> read;
    for (auto &[op, result] : slice) {
      auto generic = cast<linalg::GenericOp>(op);
      for (Value in : generic.getDpsInputs())
        if (!slice.contains(in.getDefiningOp()) &&
            llvm::none_of(in.getUsers(), [&](Operation *user) {
              return groupOf(user) == group;
            }))
          read.insert(in);
      if (isProductOfTiles(op))
        depth += depthOf(generic);
    }
    for (Value in : read)
      bytes += bytesOf(in);
    int64_t deepest = bytesOf(v) >= farBytes ? deepestSum : deepestNearSum;
    return depth <= deepest && bytes * leastSaved <= bytesOf(v);
  }
  static int64_t depthOf(linalg::GenericOp op) {
    int64_t steps = 1;
    for (auto [size, kind] :
         llvm::zip(op.getStaticLoopRanges(), op.getIteratorTypesArray()))
      steps *= kind == Iterator::reduction ? size : 1;
    return steps;
  }

  //===-- Making it again -------------------------------------------------===//

  Repetition repeat(Value v, const Slice &slice, Attribute group,
                    ArrayRef<OpOperand *> uses) {
    Operation *first = uses[0]->getOwner();
    for (OpOperand *use : uses)
      if (use->getOwner()->isBeforeInBlock(first))
        first = use->getOwner();
    rewriter.setInsertionPoint(first);
    Repetition repetition{v, SmallVector<OpOperand *>(uses), {}};
    mlir::IRMapping map;
    for (auto &[op, result] : slice) {
      auto copy = copyOf(cast<linalg::GenericOp>(op), result, map);
      copy->setAttr(lowering::groupAttr, group);
      copy->setAttr(lowering::rowLoopsAttr,
                    op->getAttr(lowering::rowLoopsAttr));
      repetition.ops.push_back(copy);
    }
    fuse(repetition.ops);
    for (OpOperand *use : uses)
      use->set(repetition.ops.back().getResult(0));
    return repetition;
  }
  /// The op with one result alone, and what that starts from.
  linalg::GenericOp copyOf(linalg::GenericOp op, Value result,
                           mlir::IRMapping &map) {
    unsigned number = numberOf(result);
    OpOperand *init = op.getDpsInitOperand(number);
    Operation *start = init->get().getDefiningOp();
    if (auto fill = dyn_cast<linalg::FillOp>(start))
      rewriter.clone(*fill.getOutputs()[0].getDefiningOp(), map);
    rewriter.clone(*start, map);
    if (op->getNumResults() == 1)
      return cast<linalg::GenericOp>(rewriter.clone(*op, map));
    SmallVector<Value> inputs;
    SmallVector<mlir::AffineMap> maps;
    for (OpOperand *in : op.getDpsInputOperands()) {
      inputs.push_back(map.lookupOrDefault(in->get()));
      maps.push_back(op.getMatchingIndexingMap(in));
    }
    maps.push_back(op.getMatchingIndexingMap(init));
    SmallVector<Iterator> loops(op.getNumLoops(), Iterator::parallel);
    auto needed = bodyOpsFor(op, number);
    auto copy = linalg::GenericOp::create(
        rewriter, op.getLoc(), result.getType(), inputs,
        map.lookupOrDefault(init->get()), maps, loops,
        [&](OpBuilder &b, Location loc, ValueRange args) {
          mlir::IRMapping inner;
          inner.map(op.getBody()->getArguments().take_front(inputs.size()),
                    args.drop_back());
          for (Operation &o : *op.getBody())
            if (needed.contains(&o))
              b.clone(o, inner);
          Value yielded = op.getBody()->getTerminator()->getOperand(number);
          linalg::YieldOp::create(b, loc, inner.lookupOrDefault(yielded));
        });
    map.map(result, copy.getResult(0));
    return copy;
  }
  /// Elementwise ops become one with those that read them.
  void fuse(SmallVectorImpl<linalg::GenericOp> &ops) {
    for (size_t i = 0; i + 1 < ops.size();)
      if (!fuseIntoUser(ops, i))
        ++i;
  }
  bool fuseIntoUser(SmallVectorImpl<linalg::GenericOp> &ops, size_t i) {
    linalg::GenericOp producer = ops[i];
    if (!producer->hasOneUse() || !isElementwise(producer))
      return false;
    OpOperand &use = *producer->use_begin();
    auto user = cast<linalg::GenericOp>(use.getOwner());
    if (!isElementwise(user) || !linalg::areElementwiseOpsFusable(&use))
      return false;
    rewriter.setInsertionPoint(user);
    auto fused = linalg::fuseElementwiseOps(rewriter, &use);
    if (failed(fused))
      return false;
    auto one = cast<linalg::GenericOp>(fused->fusedOp);
    // Its loops are those of the op that read.
    for (StringRef name : {lowering::groupAttr, lowering::rowLoopsAttr})
      one->setAttr(name, user->getAttr(name));
    rewriter.replaceAllUsesWith(user.getResult(0), one->getResults().back());
    *llvm::find(ops, user) = one;
    rewriter.eraseOp(user);
    rewriter.eraseOp(producer);
    ops.erase(ops.begin() + i);
    mergeInBody(rewriter, one);
    return true;
  }

  /// Finds how many rows a block of the group has from now on; false if the
  /// group works no longer.
  bool setBlock(Attribute number) {
    RowCandidates group;
    SmallVector<Operation *> all;
    for (auto op : body.getOps<linalg::GenericOp>()) {
      if (groupOf(op) != number)
        continue;
      all.push_back(op);
      auto loops = rowLoopsOf(op);
      group.loops[op] = RowLoops(loops.begin(), loops.end());
      group.sizes = rowSizes(op);
      (sumsRowsOfBlocks(op) ? group.sums : group.members).insert(op);
    }
    auto rows = RowFit(rowBytes, /*products=*/true).of(group);
    if (!rows || rows->axes != group.sizes.size())
      return false;
    Builder b(body.getParentOp()->getContext());
    for (Operation *op : all) {
      op->removeAttr(lowering::rowBlockAttr);
      if (rows->block > 1)
        op->setAttr(lowering::rowBlockAttr, b.getI64IntegerAttr(rows->block));
    }
    return true;
  }
  void undo(Repetition &repetition) {
    for (OpOperand *use : repetition.uses)
      use->set(repetition.original);
    for (linalg::GenericOp op : llvm::reverse(repetition.ops)) {
      Value init = op.getDpsInits()[0];
      rewriter.eraseOp(op);
      eraseStart(init);
    }
  }
  /// What an op started from, if nothing else does.
  void eraseStart(Value start) {
    if (!start.use_empty())
      return;
    auto fill = start.getDefiningOp<linalg::FillOp>();
    Value empty = fill ? fill.getOutputs()[0] : Value();
    rewriter.eraseOp(start.getDefiningOp());
    if (empty)
      eraseStart(empty);
  }

  Block &body;
  mlir::IRRewriter rewriter;
  int64_t rowBytes;
};

struct RecomputeRows : impl::RecomputeRowsBase<RecomputeRows> {
  using RecomputeRowsBase::RecomputeRowsBase;

  void runOnOperation() override {
    Recomputation(getOperation().getBody().front(), rowBytes).run();
  }
};
} // namespace
